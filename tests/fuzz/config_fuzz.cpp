// Any text as config.json, as generation_config.json and as tokenizer_config.json.
#include "format/hf_checkpoint.h"
#include "format/hf_config.h"
#include "fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace chaski;
  const std::string text = fuzz::text_of(data, size);
  ModelConfig config;
  config.vocab = 32;
  fuzz::expect_error_at_most([&] { parse_hf_config(text, "config.json").n_parameters(); });
  fuzz::expect_error_at_most([&] { parse_generation_config(text, "generation_config.json", config); });
  fuzz::expect_error_at_most([&] { read_chat_template(MemorySource("tokenizer_config.json", text)); });
  return 0;
}
