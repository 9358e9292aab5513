#include "convert/tokenizer_to_gguf.h"

#include <algorithm>

#include "base/byte_alphabet.h"
#include "base/error.h"
#include "base/json.h"
#include "text/tokenizer.h"

namespace chaski {
namespace {

enum TokenType : int32_t { kNormal = 1, kControl = 3, kUserDefined = 4, kUnused = 5 };

/// The text of "pad_token" and its like in tokenizer_config.json: a string, or an object with its content.
std::string token_text(const Json& config, const char* key) {
  const auto it = config.find(key);
  if (it == config.end()) return {};
  if (it->is_string()) return it->get<std::string>();
  return it->is_object() ? it->value("content", std::string()) : std::string();
}

std::optional<int32_t> id_of(const TokenizerSpec& spec, const std::string& text) {
  if (text.empty()) return std::nullopt;
  const auto at = std::find(spec.pieces.begin(), spec.pieces.end(), text);
  if (at == spec.pieces.end()) return std::nullopt;
  return static_cast<int32_t>(at - spec.pieces.begin());
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
  for (size_t id = 0; id < n; ++id) {
    const bool is_there = id < spec.pieces.size() && !spec.pieces[id].empty();
    if (!is_there) {
      data.tokens.push_back(fmt::format("[PAD{}]", id));
      data.token_types.push_back(kUnused);
    } else if (spec.is_special[id] || is_added[id]) {
      data.tokens.push_back(spec.pieces[id]);
      data.token_types.push_back(spec.is_special[id] ? kControl : kUserDefined);
    } else {
      data.tokens.push_back(alphabet_from_bytes(spec.pieces[id]));
      data.token_types.push_back(kNormal);
    }
  }
}

/// GGUF has one place each for the ids that end an answer, a turn and a message.
void fill_ends(const std::vector<int32_t>& eos, TokenizerData& data) {
  if (!data.eos && !eos.empty()) data.eos = eos.front();
  for (const int32_t id : eos) {
    const std::string& text = data.tokens[static_cast<size_t>(id)];
    if (id != data.eos && (!data.eot || text == "<|eot_id|>")) data.eot = id;
  }
}

}  // namespace

TokenizerData gguf_tokenizer_of(const Checkpoint& checkpoint) {
  const TokenizerData& files = checkpoint.tokenizer();
  if (files.tokenizer_json.empty()) return files;
  const std::string where = checkpoint.path() + "/tokenizer.json";
  const TokenizerSpec spec =
      spec_from_tokenizer_json(files.tokenizer_json, files.tokenizer_config_json, where);
  const auto pre = gguf_pre_name(spec.split, spec.ignore_merges);
  if (!pre) {
    throw Error(ErrorCode::kUnsupported, "convert tokenizer",
                fmt::format("{}: GGUF has no name for this way of splitting text", where));
  }
  TokenizerData data;
  data.gguf_model = "gpt2";
  data.gguf_pre = *pre;
  fill_tokens(spec, checkpoint.config().vocab, data);
  for (const auto& [left, right] : spec.merges) {
    data.merges.push_back(alphabet_from_bytes(left) + " " + alphabet_from_bytes(right));
  }
  data.bos = spec.bos ? spec.bos : checkpoint.config().bos;
  data.eos = spec.eos;
  fill_ends(checkpoint.config().eos, data);
  data.add_bos = spec.add_bos;
  if (!files.tokenizer_config_json.empty()) {
    const Json config = parse_json(files.tokenizer_config_json, where);
    data.pad = id_of(spec, token_text(config, "pad_token"));
    data.unk = id_of(spec, token_text(config, "unk_token"));
  }
  return data;
}

}  // namespace chaski
