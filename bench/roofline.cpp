// What this machine can do at most (src/machine/peak_rates.h), as JSON. Denominators for bench/peers.py.
//
//   roofline [--threads 1,2] [--mib 2048] [--reps 7] [--only read,fma_f32,…]
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "base/error.h"
#include "machine/peak_rates.h"

namespace {

struct Options {
  std::vector<int> threads;
  size_t mib = 2048;
  int n_reps = 7;
  std::vector<std::string> only;  ///< empty: all
  bool wants_reading() const {
    return only.empty() || std::find(only.begin(), only.end(), "read") != only.end();
  }
};

/// One line of the JSON list.
void tell(const chaski::PeakRate& rate) {
  static bool is_first = true;
  std::vector<double> values = rate.rates;
  std::sort(values.begin(), values.end());
  std::printf(
      "%s\n  {\"what\": \"%s\", \"path\": \"%s\", \"threads\": %d, \"unit\": \"%s\", \"median\": %.3f, "
      "\"best\": %.3f, \"worst\": %.3f}",
      is_first ? "" : ",", rate.what.c_str(), rate.path.c_str(), rate.n_threads, rate.unit.c_str(),
      values[values.size() / 2], values.back(), values.front());
  is_first = false;
}

[[noreturn]] void usage(const char* wrong) {
  std::fprintf(
      stderr,
      "roofline: %s\nusage: roofline [--threads 1,2] [--mib 2048] [--reps 7] [--only read,fma_f32,…]\n",
      wrong);
  std::exit(2);
}

int positive(const char* text, int most) {
  const int value = std::atoi(text);
  if (value < 1 || value > most) usage("a number is out of range");
  return value;
}

Options parse(int argc, char** argv) {
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string flag = argv[i];
    if (i + 1 >= argc) usage("an option without a value");
    const char* value = argv[i + 1];
    if (flag == "--threads") {
      for (const char* at = value; at != nullptr; at = std::strchr(at, ',')) {
        if (*at == ',') ++at;
        options.threads.push_back(positive(at, 1024));
      }
    } else if (flag == "--mib") {
      options.mib = static_cast<size_t>(positive(value, 1 << 20));
    } else if (flag == "--reps") {
      options.n_reps = positive(value, 1000);
    } else if (flag == "--only") {
      std::istringstream names(value);
      for (std::string name; std::getline(names, name, ',');) options.only.push_back(name);
    } else {
      usage("an unknown option");
    }
  }
  if (options.threads.empty()) {
    const int n_cores = std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
    options.threads = n_cores == 1 ? std::vector<int>{1} : std::vector<int>{1, n_cores};
  }
  return options;
}

}  // namespace

int main(int argc, char** argv) {
  const Options options = parse(argc, argv);
  std::printf("[");
  try {
    if (options.wants_reading()) {
      for (const auto& rate : chaski::reading_rates(options.threads, options.mib << 20, options.n_reps))
        tell(rate);
    }
    for (const auto& rate : chaski::multiplying_rates(options.threads, options.only, options.n_reps, 0.02)) {
      tell(rate);
    }
  } catch (const chaski::Error& error) {
    std::fprintf(stderr, "roofline: %s\n", error.what());
    return 1;
  }
  std::printf("\n]\n");
  return 0;
}
