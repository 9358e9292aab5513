// same_text MODEL N: N prompts give the same tokens at temperature 0 and 0.7 on each instruction set's own
// path whatever the batch (1, 2, 8), the chunk of a prompt (1, 7, 512), the threads (1, 2, 4) and the
// speculation (off, n-grams, a draft model, here the model itself). Every value of each is tried, with those
// of the others taken in turn. Exit status 1 names the first difference.
#include <fmt/format.h>

#include <array>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

#include "backend/cpu/cpu_backend.h"
#include "backend/cpu/dispatch.h"
#include "base/error.h"
#include "engine/engine.h"
#include "support/load_tokenizer.h"

namespace chaski {
namespace {

constexpr int64_t kContext = 256;
using Answers = std::vector<std::vector<int32_t>>;

/// Some repeat themselves, some ask for what is in them, some for anything.
std::string text_of(int index) {
  constexpr std::array<const char*, 5> kFrames{
      "Repeat: {0}, {0}, {0} and {1}, {0}, {0}, {0} and", "The history of {0} begins with {1}. In those days",
      "def {1}_{0}(x):\n    return x + 1\n\ndef {0}_{1}(x):\n    return", "一只{0}看见了{1}，一只{0}看见了",
      "{{\"{0}\": 1, \"{1}\": 2}}\n{{\"{0}\": 2, \"{1}\": 3}}\n{{\""};
  constexpr std::array<const char*, 5> kThings{"apple", "river", "engine", "violin", "月亮"};
  const auto n = static_cast<size_t>(index);
  return fmt::format(fmt::runtime(kFrames[n % 5]), kThings[n / 5 % 5], kThings[(n / 25 + n + 1) % 5]);
}

Answers answers_of(Engine& engine, const Tokenizer& tokenizer, int n_prompts, double temperature) {
  std::vector<RequestId> ids;
  for (int i = 0; i < n_prompts; ++i) {
    Request request;
    request.prompt = tokenizer.encode(text_of(i));
    request.sampling.temperature = temperature;
    request.sampling.top_p = temperature > 0 ? 0.9 : 1.0;
    request.sampling.seed = static_cast<uint64_t>(i);
    request.max_new_tokens = 24;
    ids.push_back(engine.submit(std::move(request)));
  }
  while (engine.step()) {
  }
  Answers answers;
  for (const RequestId id : ids) answers.push_back(engine.take(id).ids);
  return answers;
}

void check_path(const Checkpoint& checkpoint, const Tokenizer& tokenizer, const std::string& isa,
                int n_prompts) {
  constexpr std::array<int32_t, 3> kBatches{1, 2, 8}, kChunks{1, 7, 512};
  constexpr std::array<SpeculationKind, 3> kKinds{SpeculationKind::kOff, SpeculationKind::kNgram,
                                                  SpeculationKind::kDraft};
  std::array<Answers, 2> expected;
  int n_compared = 0;
  int64_t n_accepted = 0;
  size_t turn = 0;
  for (const int n_threads : {1, 2, 4}) {
    DeviceOptions device_options;
    device_options.isa = isa;
    device_options.n_threads = n_threads;
    const std::unique_ptr<Device> device = CpuBackend().open(0, device_options);
    const LlamaModel model = load_llama(checkpoint, device->ops(), kContext);
    for (const int32_t batch : kBatches) {
      for (const SpeculationKind kind : kKinds) {
        EngineOptions options;
        options.context = kContext;
        options.max_sequences = batch;
        options.max_step_rows = kChunks[turn++ % 3];
        options.speculation = kind;
        options.draft = &model;
        options.n_guesses = 1 + static_cast<int32_t>(turn % 5);
        Engine engine(*device, device->ops(), model, tokenizer, options);
        for (const size_t i : {0U, 1U}) {
          const Answers answers = answers_of(engine, tokenizer, n_prompts, i == 0 ? 0.0 : 0.7);
          if (expected[i].empty()) expected[i] = answers;
          CHECK(answers == expected[i],
                "{}: other tokens with {} threads, {} sequences, chunks of {}, speculation {}, sampling {}",
                isa, n_threads, batch, options.max_step_rows, name_of(kind), i);
          ++n_compared;
        }
        n_accepted += engine.stats().n_accepted_tokens;
      }
      ++turn;  // so that each chunk meets each kind
    }
  }
  fmt::print("{}: {} runs of {} prompts alike, {} guessed tokens accepted\n", isa, n_compared, n_prompts,
             n_accepted);
}

}  // namespace
}  // namespace chaski

int main(int argc, char** argv) {
  using namespace chaski;
  try {
    CHECK(argc == 3, "same_text MODEL N");
    const auto checkpoint = Checkpoint::open(argv[1]);
    const Tokenizer tokenizer = tests::load_tokenizer(*checkpoint);
    for (const cpu::KernelTable* kernels : cpu::available_kernels()) {
      // The reference path is too slow for whole models; the unit tests have it.
      if (std::string(kernels->isa) == "scalar") continue;
      check_path(*checkpoint, tokenizer, std::string(kernels->isa), std::atoi(argv[2]));
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
