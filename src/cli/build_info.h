// What this program was built as.
#pragma once

#include <string>

#include "report/run_record.h"

namespace chaski::cli {

BuildFacts build_facts();
/// What `chaski version` prints: lines for people, or one JSON object.
std::string version_text();
std::string version_json();

}  // namespace chaski::cli
