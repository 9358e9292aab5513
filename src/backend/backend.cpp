#include "backend/backend.h"

namespace chaski {

std::string_view name_of(Precision precision) { return precision == Precision::kExact ? "exact" : "fast"; }

}  // namespace chaski
