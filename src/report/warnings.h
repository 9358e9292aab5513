// The warnings that a run's record may carry, in both languages.
#pragma once

#include "report/lang.h"
#include "report/run_record.h"

namespace chaski {

/// The warning of that code, with its English sentence. CHECKs that the code is known.
RunWarning make_warning(std::string_view code);

/// The warning's sentence for the reader, and what the record's own message has beyond it; a code this
/// program does not know gives that message.
std::string warning_text(const RunWarning& warning, Lang lang);

/// Adds the warning that goes with device.device_kind, where one does.
void warn_of_device(RunRecord& record);

}  // namespace chaski
