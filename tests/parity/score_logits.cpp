// score_logits MODEL [--precision exact|fast] [--isa PATH] [--kv-dtype TYPE] [--ctx N] [--last N]: reads one
// JSON list of token ids a line, writes for each all positions' logits, or the last N, as raw f32 [n, vocab]
// to stdout. The side of ours that logits_parity.py talks to.
#include <algorithm>
#include <cstdio>
#include <iostream>
#include <limits>
#include <string>

#include "backend/cpu/cpu_backend.h"
#include "engine/engine.h"
#include "support/load_tokenizer.h"

int main(int argc, char** argv) {
  using namespace chaski;
  try {
    DeviceOptions options;
    options.precision = Precision::kExact;
    options.n_threads = 2;
    int64_t context = 16384;
    int64_t n_last = std::numeric_limits<int64_t>::max();
    for (int i = 2; i + 1 < argc; i += 2) {
      const std::string name = argv[i];
      if (name == "--precision")
        options.precision = std::string(argv[i + 1]) == "fast" ? Precision::kFast : Precision::kExact;
      if (name == "--isa") options.isa = argv[i + 1];
      if (name == "--kv-dtype") options.kv_dtype = argv[i + 1];
      if (name == "--ctx") context = std::stoll(argv[i + 1]);
      if (name == "--last") n_last = std::stoll(argv[i + 1]);
    }
    const auto checkpoint = Checkpoint::open(argv[1]);
    const std::unique_ptr<Device> device = CpuBackend().open(0, options);
    EngineOptions engine_options;
    engine_options.context = std::min<int64_t>(checkpoint->config().max_context, context);
    engine_options.max_sequences = 1;
    const LlamaModel model = load_llama(*checkpoint, device->ops(), engine_options.context);
    const Tokenizer tokenizer = tests::load_tokenizer(*checkpoint);
    Engine engine(*device, device->ops(), model, tokenizer, engine_options);
    for (std::string line; std::getline(std::cin, line);) {
      const auto ids = parse_json(line, "stdin").get<std::vector<int32_t>>();
      const int64_t first_wanted = static_cast<int64_t>(ids.size()) - n_last;
      engine.score(ids, [&](int64_t first, int64_t n_rows, const float* logits) {
        const int64_t skipped = std::clamp<int64_t>(first_wanted - first, 0, n_rows);
        std::fwrite(logits + skipped * model.config.vocab, sizeof(float),
                    static_cast<size_t>((n_rows - skipped) * model.config.vocab), stdout);
      });
      std::fflush(stdout);
    }
    return 0;
  } catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
  }
}
