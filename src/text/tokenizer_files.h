// What the readers of tokenizer files share; used by tokenizer_json.cpp and tokenizer_files.cpp only.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>

#include "text/tokenizer.h"

namespace chaski::tokenizer_files {

/// Throw Error(kCorrupt) or Error(kUnsupported); `where` names the file, `field` what in it is not known.
[[noreturn]] void corrupt(std::string_view where, const std::string& message);
[[noreturn]] void unsupported(std::string_view where, std::string_view field, const std::string& message);

/// The bytes of a token or of a merge's side as files spell them; `what` names it in the error.
std::string bytes_of(std::string_view spelled, std::string_view where, std::string_view what);

/// "a b" as the two sides of a merge, in bytes.
std::pair<std::string, std::string> merge_of(std::string_view line, std::string_view where);

/// `id` (< `n_ids`) as an index, with room for it made in the vocabulary; `what` names the token in the
/// error.
size_t claim_id(TokenizerSpec& spec, int64_t id, size_t n_ids, std::string_view what);

}  // namespace chaski::tokenizer_files
