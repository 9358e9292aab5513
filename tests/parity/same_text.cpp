// same_text MODEL N [DRAFT [ISA]]: N prompts give the same tokens at temperature 0 and 0.7, on the
// instruction set's own path ISA (without it on each but scalar, which is slow), whatever the threads (1, 2,
// 4), the batch (1, 2, 8), the chunk of a prompt (1, 7, 512) and the speculation (off, n-grams, the model
// DRAFT; without one the model itself). All 81 settings are run: those that differ from the first in one
// thing alone on every prompt, the others on every fifth, by turns; on the scalar path the former alone. Exit
// status 1 names the first difference.
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

struct Setting {
  int n_threads = 1;
  int32_t batch = 1;
  int32_t chunk = 512;
  SpeculationKind kind = SpeculationKind::kOff;
};

/// The first is what the others are compared with.
std::vector<Setting> all_settings() {
  std::vector<Setting> settings;
  for (const int n_threads : {1, 2, 4}) {
    for (const int32_t batch : {1, 2, 8}) {
      for (const int32_t chunk : {512, 7, 1}) {
        for (const auto kind : {SpeculationKind::kOff, SpeculationKind::kNgram, SpeculationKind::kDraft}) {
          settings.push_back({n_threads, batch, chunk, kind});
        }
      }
    }
  }
  return settings;
}

int n_differences(const Setting& a, const Setting& b) {
  return int{a.n_threads != b.n_threads} + int{a.batch != b.batch} + int{a.chunk != b.chunk} +
         int{a.kind != b.kind};
}

Answers answers_of(Engine& engine, const Tokenizer& tokenizer, const std::vector<int>& prompts,
                   double temperature) {
  std::vector<RequestId> ids;
  for (const int i : prompts) {
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

/// The settings of one number of threads share a device, and its weights.
struct Loaded {
  Loaded(const Checkpoint& checkpoint, const Checkpoint& draft_checkpoint, const DeviceOptions& options)
      : device(CpuBackend().open(0, options)),
        model(load_llama(checkpoint, device->ops(), kContext)),
        draft(load_llama(draft_checkpoint, device->ops(), kContext)) {}
  std::unique_ptr<Device> device;
  LlamaModel model, draft;
};

class PathCheck {
 public:
  PathCheck(const Checkpoint& checkpoint, const Checkpoint& draft, std::string isa, int n_prompts)
      : checkpoint_(checkpoint),
        draft_(draft),
        isa_(std::move(isa)),
        n_prompts_(n_prompts),
        tokenizer_(tests::load_tokenizer(checkpoint)) {}

  void run() {
    std::unique_ptr<Loaded> loaded;
    const std::vector<Setting> settings = all_settings();
    for (size_t i = 0; i < settings.size(); ++i) {
      if (i == 0 || settings[i].n_threads != settings[i - 1].n_threads) {
        DeviceOptions options;
        options.isa = isa_;
        options.n_threads = settings[i].n_threads;
        loaded.reset();
        loaded = std::make_unique<Loaded>(checkpoint_, draft_, options);
      }
      const bool is_near = n_differences(settings[i], settings[0]) < 2;
      if (is_near || isa_ != "scalar")
        compare(*loaded, settings[i], prompts_for(static_cast<int>(i), is_near));
    }
    fmt::print("{}: {} settings, {} answers to {} prompts alike, {} of {} guessed tokens accepted\n", isa_,
               n_settings_, n_answers_, n_prompts_, n_accepted_, n_drafted_);
    std::fflush(stdout);
  }

 private:
  std::vector<int> prompts_for(int index, bool wants_all) const {
    std::vector<int> prompts;
    for (int i = 0; i < n_prompts_; ++i) {
      if (wants_all || (i + index) % 5 == 0) prompts.push_back(i);
    }
    return prompts;
  }

  void compare(Loaded& loaded, const Setting& setting, const std::vector<int>& prompts) {
    EngineOptions options;
    options.context = kContext;
    options.max_sequences = setting.batch;
    options.max_step_rows = setting.chunk;
    options.speculation = setting.kind;
    options.draft = &loaded.draft;
    options.n_guesses = n_settings_ % 6;  // 0: as many as pay
    Engine engine(*loaded.device, loaded.device->ops(), loaded.model, tokenizer_, options);
    for (const size_t i : {0U, 1U}) {
      const Answers answers = answers_of(engine, tokenizer_, prompts, i == 0 ? 0.0 : 0.7);
      if (expected_[i].empty()) expected_[i] = answers;
      for (size_t k = 0; k < prompts.size(); ++k) {
        CHECK(answers[k] == expected_[i][static_cast<size_t>(prompts[k])],
              "{}: other tokens after prompt {} with {} threads, {} sequences, chunks of {}, speculation {}, "
              "sampling {}",
              isa_, prompts[k], setting.n_threads, setting.batch, setting.chunk, name_of(setting.kind), i);
        ++n_answers_;
      }
    }
    ++n_settings_;
    n_accepted_ += engine.stats().n_accepted_tokens;
    n_drafted_ += engine.stats().n_drafted_tokens;
  }

  const Checkpoint& checkpoint_;
  const Checkpoint& draft_;
  std::string isa_;
  int n_prompts_;
  Tokenizer tokenizer_;
  std::array<Answers, 2> expected_;  ///< by sampling, prompt
  int32_t n_settings_ = 0;
  int64_t n_answers_ = 0, n_accepted_ = 0, n_drafted_ = 0;
};

}  // namespace
}  // namespace chaski

int main(int argc, char** argv) {
  using namespace chaski;
  try {
    CHECK(argc >= 3 && argc <= 5, "same_text MODEL N [DRAFT [ISA]]");
    const auto checkpoint = Checkpoint::open(argv[1]);
    const auto draft = Checkpoint::open(argv[argc > 3 ? 3 : 1]);
    for (const cpu::KernelTable* kernels : cpu::available_kernels()) {
      const std::string isa(kernels->isa);
      if (argc > 4 ? isa != argv[4] : isa == "scalar") continue;
      PathCheck(*checkpoint, *draft, isa, std::atoi(argv[2])).run();
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
