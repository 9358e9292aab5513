// Which questions are asked: the options that pick a part of a suite, and the list of the suites there are.
#pragma once

#include "cli/options.h"
#include "lab/suite.h"

namespace chaski::cli {

/// --limit and --type.
void add_part_options(CLI::App& command, Lang lang, SuitePart& part);

/// Print the suites that find_suite knows by name: questions, types, language, title; as JSON a list of
/// objects. One that cannot be read is said on standard error.
void list_suites(bool wants_json, Lang lang);

}  // namespace chaski::cli
