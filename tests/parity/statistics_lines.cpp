// The side of ours for statistics_parity.py: a case of JSON per line of stdin, what statistics.h says of it
// per line of stdout.
#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <numeric>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "report/statistics.h"

namespace chaski {
namespace {

using Values = std::vector<double>;

Values values_of(const Json& json, const char* key) { return json.at(key).get<Values>(); }

Json interval_json(const std::optional<Interval>& interval) {
  return interval ? Json{interval->low, interval->high} : Json(nullptr);
}

Json number_json(const std::optional<double>& value) { return value ? Json(*value) : Json(nullptr); }

Json test_json(const PairedTest& test) {
  return {{"n", test.n},
          {"difference", test.mean_difference},
          {"p", test.p_value},
          {"ci95", interval_json(test.ci95)}};
}

Json metric_json(const Metric& m) {
  return {{"mean", m.mean},     {"std", m.std},        {"median", m.median},
          {"p90", m.p90},       {"p95", m.p95},        {"p99", m.p99},
          {"min", m.range.low}, {"max", m.range.high}, {"ci95", interval_json(m.ci95)}};
}

double mean_of(std::span<const double> values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

Json answer_to(const Json& json) {
  const auto op = json.at("op").get<std::string>();
  const auto seed = json.value("seed", uint64_t{0});
  if (op == "summarize") return metric_json(summarize(values_of(json, "samples")));
  if (op == "bootstrap_mean") {
    return interval_json(bootstrap_interval(values_of(json, "samples"), mean_of, 0.95, 9999, seed));
  }
  if (op == "kappa") {
    const auto a = json.at("a").get<std::vector<int>>();
    const auto b = json.at("b").get<std::vector<int>>();
    return number_json(quadratic_kappa(a, b, json.at("least").get<int>(), json.at("most").get<int>()));
  }
  const Values a = values_of(json, "a");
  const Values b = values_of(json, "b");
  if (op == "paired") return test_json(paired_permutation_test(a, b, seed));
  if (op == "unpaired") return test_json(permutation_test(a, b, seed));
  CHECK(op == "spearman", "unknown op {}", op);
  return number_json(spearman(a, b));
}

void answer_cases() {
  std::string line;
  while (std::getline(std::cin, line))
    fmt::print("{}\n", to_json_text(answer_to(parse_json(line, "the case"))));
}

}  // namespace
}  // namespace chaski

int main() {
  try {
    chaski::answer_cases();
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "statistics_lines: {}\n", error.what());
    return 1;
  }
}
