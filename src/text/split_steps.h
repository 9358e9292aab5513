// One step of a split rule over one piece of text; used by split.cpp only.
#pragma once

#include <string_view>

#include "text/split.h"

namespace chaski {

/// The end of the piece that begins at `at` (< text.size()). All calls over a text take linear time together.
size_t end_of_piece(SplitStep step, std::string_view text, size_t at);

}  // namespace chaski
