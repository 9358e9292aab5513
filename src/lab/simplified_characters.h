// The simplified form of a traditional Chinese character.
#pragma once

#include <cstdint>

namespace chaski {

/// The simplified character for a common traditional one; every other code is returned as it is.
uint32_t simplified(uint32_t code);

}  // namespace chaski
