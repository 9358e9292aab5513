// A safetensors file that is right but for a few choices of the input; a file without any lie must be
// accepted.
#include <fmt/format.h>

#include "format/safetensors.h"
#include "fuzz_input.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

struct Built {
  std::string bytes;
  bool is_honest = true;
};

Built build(chaski::fuzz::Choices& choices) {
  constexpr const char* kTypes[] = {"F32", "F16", "BF16", "U8", "I64", "F4", "F99"};
  constexpr uint64_t kBits[] = {32, 16, 16, 8, 64, 4, 8};
  Built file;
  std::string header = "{";
  uint64_t at = 0;
  const size_t n = choices.below(6);
  for (size_t i = 0; i < n; ++i) {
    const size_t type = choices.below(7);
    if (type == 6) file.is_honest = false;
    uint64_t elements = 1;
    std::string shape;
    const size_t rank = choices.below(5);
    for (size_t axis = 0; axis < rank; ++axis) {
      const bool is_huge = choices.one_in(16);
      const uint64_t dim = is_huge ? choices.number() : choices.below(5);
      file.is_honest &= !is_huge;
      elements *= dim;
      shape += fmt::format("{}{}", axis == 0 ? "" : ",", dim);
    }
    if (elements * kBits[type] % 8 != 0) file.is_honest = false;
    uint64_t begin = at, end = at + (file.is_honest ? elements * kBits[type] / 8 : 1);
    if (choices.one_in(16)) {
      (choices.one_in(2) ? begin : end) = choices.number();
      file.is_honest = false;
    }
    const bool is_repeated = choices.one_in(16) && i > 0;
    if (is_repeated) file.is_honest = false;
    header += fmt::format("{}\"t{}\":{{\"dtype\":\"{}\",\"shape\":[{}],\"data_offsets\":[{},{}]}}",
                          i == 0 ? "" : ",", is_repeated ? 0 : i, kTypes[type], shape, begin, end);
    at = end;
  }
  header += "}";
  if (choices.one_in(16)) {
    header[choices.below(header.size())] = static_cast<char>(choices.byte());
    file.is_honest = false;
  }
  const uint64_t length = header.size();
  file.bytes.assign(reinterpret_cast<const char*>(&length), 8);
  file.bytes += header;
  file.bytes.resize(file.bytes.size() + static_cast<size_t>(file.is_honest ? at : at % 4096));
  return file;
}

}  // namespace

int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace chaski;
  fuzz::Choices choices(data, size);
  const Built file = build(choices);
  bool is_accepted = false;
  fuzz::expect_error_at_most([&] {
    read_safetensors_header(MemorySource("fuzz.safetensors", file.bytes));
    is_accepted = true;
  });
  if (file.is_honest && !is_accepted) std::abort();
  return 0;
}
