// The warnings that a run's record may carry, in both languages.
#pragma once

#include "report/lang.h"
#include "report/run_record.h"

namespace chaski {

/// The warning of that code, with its English sentence. CHECKs that the code is known.
RunWarning make_warning(std::string_view code);

/// The warning's sentence for the reader; a code this program does not know gives the record's own message.
std::string warning_text(const RunWarning& warning, Lang lang);

}  // namespace chaski
