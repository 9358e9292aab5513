// suite.yaml and items.jsonl of any bytes, split at the first NUL: a suite or Error(kCorrupt), nothing else.
#include <cstdint>
#include <string_view>

#include "base/error.h"
#include "lab/suite.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view input(reinterpret_cast<const char*>(data), size);
  const size_t split = input.find('\0');
  const std::string_view items =
      split == std::string_view::npos ? std::string_view() : input.substr(split + 1);
  try {
    const chaski::Suite suite = chaski::parse_suite(input.substr(0, split), items, "fuzz");
    CHECK(!suite.items.empty() && !suite.name.empty(), "a suite without name or items was accepted");
  } catch (const chaski::Error& error) {
    if (error.code() != chaski::ErrorCode::kCorrupt) throw;
  }
  return 0;
}
