#include "convert/tokenizer_to_gguf.h"

#include <algorithm>
#include <unordered_map>

#include "base/byte_alphabet.h"
#include "base/error.h"
#include "base/json.h"
#include "text/tokenizer.h"

namespace chaski {
namespace {

enum TokenType : int32_t {
  kNormal = 1,
  kUnknown = 2,
  kControl = 3,
  kUserDefined = 4,
  kUnused = 5,
  kByte = 6
};

/// The text of "pad_token" and its like in tokenizer_config.json: a string, or an object with its content.
std::string token_text(const Json& config, const char* key, const std::string& where) {
  const auto it = config.find(key);
  if (it == config.end() || it->is_null()) return {};
  return it->is_object() ? get_string(*it, "content", "", where) : get_string(config, key, "", where);
}

std::optional<int32_t> id_of(const TokenizerSpec& spec, const std::string& text) {
  if (text.empty()) return std::nullopt;
  const auto at = std::find(spec.pieces.begin(), spec.pieces.end(), text);
  if (at == spec.pieces.end()) return std::nullopt;
  return static_cast<int32_t>(at - spec.pieces.begin());
}

/// A piece of characters as SentencePiece spells it: U+2581 for a space.
std::string spelled(std::string_view piece) {
  std::string text;
  for (const char c : piece) text += c == ' ' ? std::string_view("\u2581") : std::string_view(&c, 1);
  return text;
}

/// [vocab] tokens as GGUF spells them, and their types.
void fill_tokens(const TokenizerSpec& spec, int64_t vocab, TokenizerData& data) {
  const auto n = static_cast<size_t>(vocab);
  if (spec.pieces.size() > n) {
    throw Error(
        ErrorCode::kCorrupt, "convert tokenizer",
        fmt::format("{}: {} tokens, but the embedding has {} rows", spec.where, spec.pieces.size(), n));
  }
  std::vector<bool> is_added(n, false);
  for (const AddedToken& token : spec.added) is_added[static_cast<size_t>(token.id)] = true;
  const auto add = [&](std::string text, TokenType type) {
    data.tokens.push_back(std::move(text));
    data.token_types.push_back(type);
  };
  for (size_t id = 0; id < n; ++id) {
    if (id >= spec.pieces.size() || spec.pieces[id].empty()) {
      add(fmt::format("[PAD{}]", id), kUnused);
    } else if (spec.is_of_characters && spec.unk == static_cast<int32_t>(id)) {
      add(spec.pieces[id], kUnknown);
    } else if (spec.is_special[id] || is_added[id]) {
      add(spec.pieces[id], spec.is_special[id] ? kControl : kUserDefined);
    } else {
      add(spec.is_of_characters ? spelled(spec.pieces[id]) : alphabet_from_bytes(spec.pieces[id]), kNormal);
    }
  }
  for (size_t byte = 0; byte < spec.byte_tokens.size(); ++byte) {
    if (spec.byte_tokens[byte] < 0) continue;
    const auto id = static_cast<size_t>(spec.byte_tokens[byte]);
    data.tokens[id] = fmt::format("<0x{:02X}>", byte);
    data.token_types[id] = kByte;
  }
}

/// [vocab] scores that make SentencePiece join what the merges join, the first of them first.
std::vector<float> scores_of(const TokenizerSpec& spec, size_t vocab) {
  std::vector<float> scores = spec.scores;
  scores.resize(vocab, 0);
  if (!spec.scores.empty()) return scores;
  std::unordered_map<std::string_view, size_t> ids;
  for (size_t id = 0; id < spec.pieces.size(); ++id) ids.emplace(spec.pieces[id], id);
  std::fill(scores.begin(), scores.end(), -1e6f);  // what no merge makes
  for (size_t rank = spec.merges.size(); rank-- > 0;) {
    const auto at = ids.find(spec.merges.joined(rank));
    if (at != ids.end()) scores[at->second] = -static_cast<float>(rank);
  }
  return scores;
}

/// Byte-level BPE by its merges, SentencePiece's by scores.
void fill_model(const TokenizerSpec& spec, TokenizerData& data) {
  if (spec.is_of_characters) {
    data.gguf_model = "llama";
    data.gguf_pre = "default";
    data.scores = scores_of(spec, data.tokens.size());
    data.unk = spec.unk;
    data.add_space_prefix = spec.space_prefix != SpacePrefix::kNone;
    return;
  }
  const auto pre = gguf_pre_name(spec.split, spec.ignore_merges);
  if (!pre) {
    throw Error(ErrorCode::kUnsupported, "convert tokenizer",
                fmt::format("{}: GGUF has no name for this way of splitting text", spec.where));
  }
  data.gguf_model = "gpt2";
  data.gguf_pre = *pre;
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const auto [left, right] = spec.merges[rank];
    data.merges.push_back(alphabet_from_bytes(left) + " " + alphabet_from_bytes(right));
  }
}

/// GGUF has one place for the end of an answer and one for that of a turn; Llama 3's <|eot_id|> is the
/// latter, whether it is the former too or not.
void fill_ends(const std::vector<int32_t>& eos, TokenizerData& data) {
  if (!data.eos && !eos.empty()) data.eos = eos.front();
  for (const int32_t id : eos) {
    const bool is_turn_end = data.tokens[static_cast<size_t>(id)] == "<|eot_id|>";
    if (is_turn_end || (!data.eot && id != data.eos)) data.eot = id;
  }
}

}  // namespace

TokenizerData gguf_tokenizer_of(const Checkpoint& checkpoint) {
  const TokenizerData& files = checkpoint.tokenizer();
  const bool is_model = files.tokenizer_json.empty();
  const std::string& text = is_model ? files.tokenizer_model : files.tokenizer_json;
  if (text.empty()) return files;
  const std::string where = checkpoint.path() + (is_model ? "/tokenizer.model" : "/tokenizer.json");
  const TokenizerSpec spec = spec_from_tokenizer_file(text, files.tokenizer_config_json, where);
  if (is_model && !spec.is_of_characters) {
    throw Error(ErrorCode::kUnsupported, "convert tokenizer",
                fmt::format("{}: GGUF has no words for ranks without merges", where),
                "put the tokenizer.json of this model beside it, which has the merges");
  }
  const Tokenizer checked(spec);  // throws where ids, scores or lengths are no tokenizer's
  TokenizerData data;
  fill_tokens(spec, checkpoint.config().vocab, data);
  fill_model(spec, data);
  data.bos = spec.bos ? spec.bos : checkpoint.config().bos;
  data.eos = spec.eos;
  fill_ends(checkpoint.config().eos, data);
  data.add_bos = spec.add_bos;
  if (!files.tokenizer_config_json.empty()) {
    const Json config = parse_json(files.tokenizer_config_json, where);
    data.pad = id_of(spec, token_text(config, "pad_token", where));
    if (!data.unk) data.unk = id_of(spec, token_text(config, "unk_token", where));
  }
  return data;
}

}  // namespace chaski
