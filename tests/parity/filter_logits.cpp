// The side of ours for sampling_parity.py: reads cases from stdin, writes what the sampler leaves of them.
//
// A case is a line of JSON {"vocab", "temperature", "top_k", "top_p", "min_p", "repetition_penalty",
// "presence_penalty", "frequency_penalty", "prompt", "output"}, then `vocab` float32 in this machine's order.
// The answer is a line with the number of candidates, then their ids (int32), then their probabilities
// (float32).
#include <fmt/format.h>

#include <cstdio>
#include <iostream>
#include <string>

#include "base/error.h"
#include "base/json.h"
#include "engine/sampler.h"

namespace chaski {
namespace {

void answer_cases() {
  std::string line;
  while (std::getline(std::cin, line)) {
    const Json json = parse_json(line, "the case");
    SamplingParams params;
    params.temperature = json.at("temperature").get<double>();
    params.top_k = json.at("top_k").get<int64_t>();
    params.top_p = json.at("top_p").get<double>();
    params.min_p = json.at("min_p").get<double>();
    params.repetition_penalty = json.at("repetition_penalty").get<double>();
    params.presence_penalty = json.at("presence_penalty").get<double>();
    params.frequency_penalty = json.at("frequency_penalty").get<double>();
    params.validate();
    TokenCounts counts;
    counts.add_prompt(json.at("prompt").get<std::vector<int32_t>>());
    for (const int32_t id : json.at("output").get<std::vector<int32_t>>()) counts.add_output(id);

    std::vector<float> logits(json.at("vocab").get<size_t>());
    const auto n_bytes = static_cast<std::streamsize>(logits.size() * sizeof(float));
    std::cin.read(reinterpret_cast<char*>(logits.data()), n_bytes);
    CHECK(std::cin.gcount() == n_bytes, "the row ends after {} of {} bytes", std::cin.gcount(), n_bytes);

    const std::vector<Candidate> candidates = filtered(logits, params, counts);
    std::vector<int32_t> ids;
    std::vector<float> probs;
    for (const Candidate& candidate : candidates) {
      ids.push_back(candidate.id);
      probs.push_back(candidate.prob);
    }
    fmt::print("{}\n", candidates.size());
    std::fwrite(ids.data(), sizeof(int32_t), ids.size(), stdout);
    std::fwrite(probs.data(), sizeof(float), probs.size(), stdout);
    std::fflush(stdout);
  }
}

}  // namespace
}  // namespace chaski

int main() {
  try {
    chaski::answer_cases();
    return 0;
  } catch (const std::exception& error) {
    fmt::print(stderr, "filter_logits: {}\n", error.what());
    return 1;
  }
}
