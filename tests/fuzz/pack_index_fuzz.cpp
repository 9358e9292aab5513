// Any bytes as the beginning of a file of packed weights: as they are, and with their checksums set right,
// which no fuzzer would find. What is accepted lies inside the file and is written again as it was.
#include "backend/cpu/pack_index.h"

#include <cstring>

#include "fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr uint32_t kLayout = 1;

void decode(std::span<const std::byte> beginning, uint64_t file_bytes) {
  using namespace chaski;
  fuzz::expect_error_at_most([&] {
    const cpu::PackIndex index = cpu::decode_pack_index(beginning, file_bytes, kLayout);
    for (const auto& [name, place] : index.weights) {
      if (place.offset < cpu::kPackChunk || place.bytes > file_bytes - place.offset) std::abort();
    }
    if (index.checksums.size() != cpu::PackIndex::n_chunks(file_bytes)) std::abort();
    const std::string written = cpu::encode_pack_index(index, kLayout);
    const cpu::PackIndex again =
        cpu::decode_pack_index(std::as_bytes(std::span(written)), file_bytes, kLayout);
    if (again.weights.size() != index.weights.size() || again.checksums != index.checksums) std::abort();
  });
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  std::string bytes = chaski::fuzz::text_of(data, size);
  // The header says how long the file is; the fuzzer need not guess it twice.
  uint64_t file_bytes = 0;
  if (bytes.size() >= 32) std::memcpy(&file_bytes, bytes.data() + 24, sizeof file_bytes);
  decode(std::as_bytes(std::span(bytes)), file_bytes);
  chaski::cpu::repair_pack_checksums(std::as_writable_bytes(std::span(bytes)));
  decode(std::as_bytes(std::span(bytes)), file_bytes);
  return 0;
}
