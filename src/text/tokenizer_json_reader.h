// Reading a tokenizer.json in one pass, and looking into its small rest; used by tokenizer_json.cpp only.
#pragma once

#include <string>
#include <string_view>

#include "base/json.h"
#include "text/tokenizer.h"

namespace chaski::tokenizer_files {

/// The member, or null where there is none or `object` is none.
const Json& field_of(const Json& object, const char* key);
/// A value as errors show it.
std::string show(const Json& value);

/// Fills pieces (of ids below `n_ids`) and merges of `spec` as the file spells them; gives the rest of the
/// document that is read at all. Throws Error(kCorrupt) for broken JSON, ids or merges and past its limits.
Json read_tokenizer_json(std::string_view json, size_t n_ids, TokenizerSpec& spec);

}  // namespace chaski::tokenizer_files
