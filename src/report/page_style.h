// The style of HTML pages: light and dark, wide and narrow, screen and print.
#pragma once

#include <string>

namespace chaski {

/// One style sheet with no outside reference, the charts' included.
std::string page_style();

}  // namespace chaski
