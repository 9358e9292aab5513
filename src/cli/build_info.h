// What this program was built as.
#pragma once

#include <string>

#include "report/run_record.h"

namespace chaski::cli {

BuildFacts build_facts();
/// The lines that `chaski version` prints.
std::string version_text();

}  // namespace chaski::cli
