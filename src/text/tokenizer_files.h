// What the readers of tokenizer files share; used by tokenizer_*.cpp only.
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

/// The same at the end of `bytes`.
void append_bytes_of(std::string_view spelled, std::string_view where, std::string_view what,
                     std::string& bytes);

inline constexpr std::string_view kSpaceMark = "\xE2\x96\x81";  // U+2581, SentencePiece's space

/// The text that SentencePiece spells so: U+2581 becomes a space.
std::string spaced_of(std::string_view spelled);
/// The same at the end of `text`.
void append_spaced(std::string_view spelled, std::string& text);

/// The byte that "<0xAB>" names; nothing for other texts, small digits too.
std::optional<uint8_t> byte_of(std::string_view spelled);

/// Token `id` stands for `byte`. Throws Error(kCorrupt) where another does.
void set_byte_token(TokenizerSpec& spec, uint8_t byte, size_t id);

/// "a b" as the two sides of a merge, as they are spelled.
std::pair<std::string_view, std::string_view> sides_of(std::string_view merge, std::string_view where);

/// `id` (< `n_ids`) as an index, with room for it made in the vocabulary; `what` names the token in the
/// error.
size_t claim_id(TokenizerSpec& spec, int64_t id, size_t n_ids, std::string_view what);

}  // namespace chaski::tokenizer_files
