// Any text as a kept GGUF value. One that is accepted must be read again as the only key of a GGUF file.
#include "convert/kept_metadata.h"
#include "format/gguf.h"
#include "fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace chaski;
  const auto value = gguf_value_of_kept(fuzz::text_of(data, size));
  if (!value) return 0;
  GgufMetadata metadata;
  metadata.set_encoded("key", *value);
  const GgufLayout layout = lay_out_gguf(metadata, {});
  const GgufHeader header(std::make_shared<MemorySource>("fuzz.gguf", layout.header));
  if (header.values().size() != 1) std::abort();
  return 0;
}
