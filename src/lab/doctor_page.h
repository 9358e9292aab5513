// Doctor's findings as one page for a person. As JSON: machine/doctor.h.
#pragma once

#include <string>
#include <vector>

#include "machine/doctor.h"
#include "report/lang.h"

namespace chaski {

/// The verdict first, then every section that has findings, a line each, with reason and fix below. With
/// `has_colours`, status words are coloured for a terminal; all else is made visible, whatever it holds.
std::string doctor_page(const std::vector<Finding>& findings, Lang lang, bool has_colours);

/// "step 3 of 12: CANN 7.0 is too old": a finding in one line.
std::string headline_of(const Finding& finding, Lang lang);

}  // namespace chaski
