// Any bytes as a GGUF file. Every weight of what is accepted must be readable.
#include "format/gguf_checkpoint.h"
#include "fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace chaski;
  fuzz::expect_error_at_most([&] {
    const auto model = open_gguf({std::make_shared<MemorySource>("fuzz.gguf", fuzz::text_of(data, size))});
    for (const std::string& name : model->names()) {
      const WeightSourcePtr weight = model->find(name);
      std::vector<std::byte> row(static_cast<size_t>(row_bytes(weight->dtype(), weight->n_cols())));
      weight->read_rows(weight->n_rows() - 1, 1, row);
    }
  });
  return 0;
}
