// What the program says of its own command line: help pages in the reader's language, and what was probably
// meant by a word that it does not know.
#pragma once

#include <CLI/CLI.hpp>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/error.h"
#include "report/lang.h"

namespace chaski::cli {

/// For the program before its commands are added: types as words, sets as their members, no remnants of
/// CLI11's own.
std::shared_ptr<CLI::Formatter> make_help_formatter(Lang lang);

/// The page of the command that `path` names, as {"history", "rm"}; of the program for none. Throws
/// Error(kUsage) for a name that is none.
std::string help_page(CLI::App& app, const std::vector<std::string>& path, Lang lang);

/// After a command line could not be parsed: its first word that no command knows, with the nearest that
/// there is; nothing where all words are known.
std::optional<Error> unknown_word(const CLI::App& app, Lang lang);

}  // namespace chaski::cli
