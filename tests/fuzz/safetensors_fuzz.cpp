// Any bytes as a safetensors file. What is accepted must lie inside the file.
#include "format/safetensors.h"
#include "fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace chaski;
  const MemorySource source("fuzz.safetensors", fuzz::text_of(data, size));
  fuzz::expect_error_at_most([&] {
    for (const SafetensorsEntry& entry : read_safetensors_header(source).entries) {
      if (entry.offset > size || entry.bytes > size - entry.offset) std::abort();
    }
  });
  return 0;
}
