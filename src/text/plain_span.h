// A range of bytes that came from the user: special-token text inside it is tokenised as plain text.
#pragma once

#include <cstddef>

namespace chaski {

/// Bytes [begin, end) of a text.
struct PlainSpan {
  size_t begin = 0;
  size_t end = 0;

  friend bool operator==(const PlainSpan&, const PlainSpan&) = default;
};

}  // namespace chaski
