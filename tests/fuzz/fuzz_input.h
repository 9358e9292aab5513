// What the fuzz targets of file readers share: an Error is a right answer, an internal one is a finding.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "base/error.h"

namespace chaski::fuzz {

/// Runs `read`; whatever else than an Error about the input escapes ends the program, which is a finding.
template <typename Read>
void expect_error_at_most(Read read) {
  try {
    read();
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInternal) std::abort();
  }
}

inline std::string text_of(const uint8_t* data, size_t size) {
  return std::string(reinterpret_cast<const char*>(data), size);
}

/// Takes choices off the front of the input; zeros once it is used up.
class Choices {
 public:
  Choices(const uint8_t* data, size_t size) : at_(data), end_(data + size) {}
  uint8_t byte() { return at_ == end_ ? uint8_t{0} : *at_++; }
  /// Below `n`.
  size_t below(size_t n) { return byte() % n; }
  bool one_in(size_t n) { return below(n) == n - 1; }
  uint64_t number() {
    uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value = value << 8 | byte();
    return value;
  }
  bool is_empty() const { return at_ == end_; }

 private:
  const uint8_t* at_;
  const uint8_t* end_;
};

}  // namespace chaski::fuzz
