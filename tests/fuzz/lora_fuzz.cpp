// A LoRA adapter that is right but for a few choices of the input: its config, its tensors' names, types and
// shapes. One without any lie must be accepted, and its merged weights read.
#include <fmt/format.h>

#include "format/lora.h"
#include "fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

using chaski::fuzz::Choices;

constexpr int64_t kHidden = 8, kFfn = 16;

chaski::ModelConfig small_model() {
  chaski::ModelConfig config;
  config.n_layers = 1;
  config.hidden = kHidden;
  config.ffn = kFfn;
  config.n_heads = config.n_kv_heads = 2;
  config.head_dim = 4;
  config.vocab = 32;
  config.max_context = 64;
  return config;
}

struct Built {
  std::string config, tensors;
  bool is_honest = true;
};

/// Text in place of an honest one, now and then.
std::string lie(Choices& choices, Built& built, std::string honest) {
  constexpr const char* kTexts[] = {"null", "true",  "-1",  "1e999", "{}",
                                    "[]",   "\"x\"", "1.5", "0",     "9223372036854775807"};
  if (!choices.one_in(24)) return honest;
  built.is_honest = false;
  return kTexts[choices.below(std::size(kTexts))];
}

void build_config(Choices& choices, Built& built, size_t rank) {
  built.config =
      fmt::format(R"({{"peft_type":{},"r":{},"lora_alpha":{},"use_rslora":{})",
                  lie(choices, built, "\"LORA\""), lie(choices, built, std::to_string(rank)),
                  lie(choices, built, "16"), lie(choices, built, choices.one_in(2) ? "true" : "false"));
  constexpr const char* kFields[] = {"rank_pattern",    "alpha_pattern", "bias",
                                     "modules_to_save", "use_dora",      "fan_in_fan_out",
                                     "use_new",         "unused",        "init_lora_weights"};
  for (size_t n = choices.below(4); n > 0; --n) {
    built.config +=
        fmt::format(",\"{}\":{}", kFields[choices.below(std::size(kFields))], lie(choices, built, "null"));
    built.is_honest = false;  // a field may stand twice
  }
  built.config += "}";
  if (choices.one_in(24)) {
    built.config[choices.below(built.config.size())] = static_cast<char>(choices.byte());
    built.is_honest = false;
  }
}

void build_tensors(Choices& choices, Built& built, size_t rank) {
  struct Module {
    const char* name;
    int64_t out, in;
  };
  constexpr Module kModules[] = {{"model.layers.0.self_attn.q_proj", kHidden, kHidden},
                                 {"model.layers.0.mlp.gate_proj", kFfn, kHidden},
                                 {"model.layers.0.mlp.down_proj", kHidden, kFfn},
                                 {"lm_head", 32, kHidden}};
  constexpr Module kLies[] = {{"model.layers.1.mlp.up_proj", kFfn, kHidden},
                              {"model.norm", kHidden, kHidden},
                              {"", kHidden, kHidden},
                              {"model.embed_tokens", 32, kHidden}};
  constexpr const char* kTypes[] = {"F32", "F16", "BF16", "I8"};
  constexpr size_t kBytes[] = {4, 2, 2, 1};
  std::string header = "{";
  size_t at = 0;
  const size_t first = choices.below(std::size(kModules));
  for (size_t i = 0; i <= first; ++i) {
    const bool is_lie = choices.one_in(24);
    const Module& module = is_lie ? kLies[choices.below(std::size(kLies))] : kModules[i];
    for (const bool is_a : {true, false}) {
      if (choices.one_in(24)) {
        built.is_honest = false;
        continue;
      }
      const size_t type = choices.below(choices.one_in(12) ? 4 : 3);
      int64_t rows = is_a ? static_cast<int64_t>(rank) : module.out;
      int64_t cols = is_a ? module.in : static_cast<int64_t>(rank);
      if (choices.one_in(24)) {
        (choices.one_in(2) ? rows : cols) = static_cast<int64_t>(choices.below(20));
        built.is_honest = false;
      }
      built.is_honest &= !is_lie && type < 3;
      const size_t bytes = static_cast<size_t>(rows * cols) * kBytes[type];
      header += fmt::format(
          "{}\"base_model.model.{}.lora_{}.weight\":{{\"dtype\":\"{}\",\"shape\":[{},{}],"
          "\"data_offsets\":[{},{}]}}",
          header.size() == 1 ? "" : ",", module.name, is_a ? "A" : "B", kTypes[type], rows, cols, at,
          at + bytes);
      at += bytes;
    }
  }
  header += "}";
  if (choices.one_in(24)) {
    header[choices.below(header.size())] = static_cast<char>(choices.byte());
    built.is_honest = false;
  }
  const uint64_t length = header.size();
  built.tensors.assign(reinterpret_cast<const char*>(&length), 8);
  built.tensors += header;
  while (built.tensors.size() < 8 + header.size() + at) built.tensors += static_cast<char>(choices.byte());
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace chaski;
  Choices choices(data, size);
  Built built;
  const size_t rank = 1 + choices.below(4);
  build_config(choices, built, rank);
  build_tensors(choices, built, rank);
  bool is_accepted = false;
  fuzz::expect_error_at_most([&] {
    const LoraPairs pairs =
        read_lora(built.config, "adapter_config.json",
                  std::make_shared<MemorySource>("fuzz.safetensors", built.tensors), small_model());
    is_accepted = true;
    for (const auto& [name, pair] : pairs) {
      for (const WeightSourcePtr& weight : {pair.a, pair.b}) {
        std::vector<std::byte> bytes(
            static_cast<size_t>(weight->n_rows() * row_bytes(weight->dtype(), weight->n_cols())));
        weight->read_rows(0, weight->n_rows(), bytes);
      }
    }
  });
  if (built.is_honest && !is_accepted) std::abort();
  return 0;
}
