// Tokenizer files: tokenizer.json, rank files and GGUF metadata, each turned into a TokenizerSpec. What a
// file asks for and is not known here is refused when it is loaded: other ids than the reference's would be
// worse.
#include <array>
#include <charconv>

#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "text/byte_alphabet.h"
#include "text/tokenizer.h"

namespace chaski {
namespace {

constexpr std::string_view kOperation = "load tokenizer";

[[noreturn]] void corrupt(std::string_view where, const std::string& message) {
  throw Error(ErrorCode::kCorrupt, kOperation, fmt::format("{}: {}", where, message));
}

[[noreturn]] void unsupported(std::string_view where, std::string_view field, const std::string& message) {
  throw Error(ErrorCode::kUnsupported, kOperation, fmt::format("{}: {}: {}", where, field, message));
}

const Json& field_of(const Json& object, const char* key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto it = object.find(key);
  return it == object.end() ? kNull : *it;
}

std::string show(const Json& value) { return printable(to_json_text(value), 120); }

std::string bytes_of(std::string_view spelled, std::string_view where, std::string_view what) {
  auto bytes = bytes_from_alphabet(spelled);
  if (!bytes)
    corrupt(where, fmt::format("{} \"{}\" is not in the byte-level alphabet", what, printable(spelled)));
  return std::move(*bytes);
}

/// "a b" as the two sides of a merge.
std::pair<std::string, std::string> merge_of(std::string_view line, std::string_view where) {
  const size_t space = line.find(' ');
  if (space == std::string_view::npos || line.find(' ', space + 1) != std::string_view::npos) {
    corrupt(where, fmt::format("merge \"{}\": expected two tokens with a space between", printable(line)));
  }
  return {bytes_of(line.substr(0, space), where, "merge of"),
          bytes_of(line.substr(space + 1), where, "merge of")};
}

/// Makes room for `id` in the vocabulary.
size_t claim_id(TokenizerSpec& spec, int64_t id, std::string_view what) {
  if (id < 0 || id >= static_cast<int64_t>(Tokenizer::kMaxVocab)) {
    corrupt(spec.where, fmt::format("{} has id {}, expected 0 to {}", what, id, Tokenizer::kMaxVocab - 1));
  }
  const auto i = static_cast<size_t>(id);
  if (i >= spec.pieces.size()) {
    spec.pieces.resize(i + 1);
    spec.is_special.resize(i + 1, false);
  }
  return i;
}

void read_vocab(const Json& model, TokenizerSpec& spec) {
  const Json& vocab = field_of(model, "vocab");
  if (!vocab.is_object()) corrupt(spec.where, "model.vocab: expected an object");
  for (const auto& [spelled, id] : vocab.items()) {
    if (!id.is_number_integer())
      corrupt(spec.where, fmt::format("model.vocab: id {} is no integer", show(id)));
    if (spelled.empty()) corrupt(spec.where, "model.vocab: a token has no characters");
    const bool fits = !id.is_number_unsigned() || id.get<uint64_t>() <= INT32_MAX;
    const size_t i = claim_id(spec, fits ? id.get<int64_t>() : INT64_MAX, printable(spelled));
    if (!spec.pieces[i].empty()) corrupt(spec.where, fmt::format("model.vocab: id {} stands twice", i));
    spec.pieces[i] = spelled;  // as it is spelled, until the added tokens are known, which are plain text
  }
}

void read_merges(const Json& model, TokenizerSpec& spec) {
  const Json& merges = field_of(model, "merges");
  if (!merges.is_array() || merges.empty())
    corrupt(spec.where, "model.merges: expected a list that is not empty");
  spec.merges.reserve(merges.size());
  for (const Json& merge : merges) {
    if (merge.is_string()) {
      spec.merges.push_back(merge_of(merge.get_ref<const std::string&>(), spec.where));
    } else if (merge.is_array() && merge.size() == 2 && merge[0].is_string() && merge[1].is_string()) {
      spec.merges.emplace_back(bytes_of(merge[0].get_ref<const std::string&>(), spec.where, "merge of"),
                               bytes_of(merge[1].get_ref<const std::string&>(), spec.where, "merge of"));
    } else {
      corrupt(spec.where,
              fmt::format("model.merges: expected \"a b\" or [\"a\", \"b\"], found {}", show(merge)));
    }
  }
}

/// Reads added_tokens and turns the spelling of the other pieces into bytes.
void read_added_tokens(const Json& root, TokenizerSpec& spec) {
  std::vector<bool> is_added(spec.pieces.size(), false);
  std::vector<std::pair<size_t, std::string>> texts;
  const Json& added = field_of(root, "added_tokens");
  if (!added.is_null() && !added.is_array()) corrupt(spec.where, "added_tokens: expected a list");
  for (const Json& token : added) {
    const std::string text = require_string(token, "content", spec.where);
    const size_t id = claim_id(spec, require_int(token, "id", spec.where), printable(text));
    is_added.resize(spec.pieces.size(), false);
    if (is_added[id]) corrupt(spec.where, fmt::format("added_tokens: id {} stands twice", id));
    if (!spec.pieces[id].empty() && spec.pieces[id] != text) {
      corrupt(spec.where, fmt::format("added_tokens: id {} is \"{}\", and \"{}\" in the vocabulary", id,
                                      printable(text), printable(spec.pieces[id])));
    }
    is_added[id] = true;
    spec.is_special[id] = get_bool(token, "special", false, spec.where);
    spec.added.push_back({.id = static_cast<int32_t>(id),
                          .lstrip = get_bool(token, "lstrip", false, spec.where),
                          .rstrip = get_bool(token, "rstrip", false, spec.where),
                          .single_word = get_bool(token, "single_word", false, spec.where),
                          .normalized = get_bool(token, "normalized", !spec.is_special[id], spec.where)});
    texts.emplace_back(id, text);
  }
  for (size_t id = 0; id < spec.pieces.size(); ++id) {
    if (!is_added[id]) spec.pieces[id] = bytes_of(spec.pieces[id], spec.where, "token");
  }
  for (auto& [id, text] : texts) spec.pieces[id] = std::move(text);
}

/// A ByteLevel step that splits by GPT-2's rule or only spells bytes.
void check_byte_level(const Json& step, std::string_view field, bool use_regex, const TokenizerSpec& spec) {
  if (get_string(step, "type", "", spec.where) != "ByteLevel" ||
      get_bool(step, "add_prefix_space", true, spec.where) ||
      get_bool(step, "use_regex", true, spec.where) != use_regex) {
    unsupported(spec.where, field, fmt::format("{} is not a form that chaski knows", show(step)));
  }
}

SplitRule read_pre_tokenizer(const Json& root, const TokenizerSpec& spec) {
  constexpr std::string_view kField = "pre_tokenizer";
  const Json& step = field_of(root, "pre_tokenizer");
  const std::string type = step.is_object() ? get_string(step, "type", "", spec.where) : "";
  if (type == "ByteLevel") {
    check_byte_level(step, kField, true, spec);
    return SplitRule::kGpt2;
  }
  const Json& steps = field_of(step, "pretokenizers");
  if (type != "Sequence" || !steps.is_array() || steps.size() != 2 || !steps[0].is_object()) {
    unsupported(spec.where, kField, fmt::format("{} is not a form that chaski knows", show(step)));
  }
  const std::string first = get_string(steps[0], "type", "", spec.where);
  if (first == "Digits" && get_bool(steps[0], "individual_digits", false, spec.where)) {
    check_byte_level(steps[1], kField, true, spec);
    return SplitRule::kSmolLm;
  }
  const Json& pattern = field_of(field_of(steps[0], "pattern"), "Regex");
  const bool is_isolated = get_string(steps[0], "behavior", "", spec.where) == "Isolated" &&
                           !get_bool(steps[0], "invert", false, spec.where);
  if (first == "Split" && is_isolated && pattern.is_string()) {
    check_byte_level(steps[1], kField, false, spec);
    if (pattern.get_ref<const std::string&>() == kLlama3Pattern) return SplitRule::kLlama3;
    if (pattern.get_ref<const std::string&>() == kGpt2Pattern) return SplitRule::kGpt2;
  }
  unsupported(spec.where, kField, fmt::format("{} is not a form that chaski knows", show(steps[0])));
}

/// The text of the token that a TemplateProcessing puts before a single sequence; empty for none.
std::string read_post_processor(const Json& step, const TokenizerSpec& spec) {
  constexpr std::string_view kField = "post_processor";
  if (step.is_null()) return {};
  const std::string type = step.is_object() ? get_string(step, "type", "", spec.where) : "";
  if (type == "ByteLevel") return {};
  std::string bos;
  if (type == "Sequence") {
    for (const Json& inner : field_of(step, "processors")) {
      // One level only: a Sequence inside a Sequence is refused below.
      if (get_string(inner, "type", "", spec.where) == "Sequence")
        unsupported(spec.where, kField, "nested Sequence");
      const std::string found = read_post_processor(inner, spec);
      if (!found.empty()) bos = found;
    }
    return bos;
  }
  if (type != "TemplateProcessing")
    unsupported(spec.where, kField, fmt::format("type \"{}\"", printable(type)));
  const Json& single = field_of(step, "single");
  for (size_t i = 0; single.is_array() && i < single.size(); ++i) {
    const Json& special = field_of(single[i], "SpecialToken");
    const bool is_last = i + 1 == single.size();
    if (i == 0 && special.is_object() && !is_last) {
      bos = require_string(special, "id", spec.where);
    } else if (is_last && field_of(single[i], "Sequence").is_object()) {
      return bos;
    }
  }
  unsupported(spec.where, kField, fmt::format("template {} is not [bos] and the text", show(single)));
}

void check_model(const Json& model, const TokenizerSpec& spec) {
  if (!model.is_object()) corrupt(spec.where, "model: expected an object");
  const std::string type = get_string(model, "type", "BPE", spec.where);
  if (type != "BPE")
    unsupported(spec.where, "model.type", fmt::format("\"{}\", expected BPE", printable(type)));
  if (get_number(model, "dropout", 0, spec.where) != 0)
    unsupported(spec.where, "model.dropout", "expected none");
  if (get_bool(model, "byte_fallback", false, spec.where)) {
    unsupported(spec.where, "model.byte_fallback", "expected a byte-level vocabulary");
  }
  for (const char* key : {"continuing_subword_prefix", "end_of_word_suffix"}) {
    if (!get_string(model, key, "", spec.where).empty()) unsupported(spec.where, key, "expected none");
  }
}

/// An unknown token would stand for bytes without a token; one that never can is harmless.
void check_unknown_token(const Json& model, const TokenizerSpec& spec) {
  if (get_string(model, "unk_token", "", spec.where).empty()) return;
  std::array<bool, 256> has_token{};
  for (size_t id = 0; id < spec.pieces.size(); ++id) {
    const std::string& piece = spec.pieces[id];
    if (piece.size() == 1 && !spec.is_special[id]) has_token[static_cast<unsigned char>(piece[0])] = true;
  }
  for (const bool has : has_token) {
    if (!has)
      unsupported(spec.where, "model.unk_token",
                  "a byte-level vocabulary that lacks bytes, with an unknown token");
  }
}

std::optional<int32_t> id_of_text(const TokenizerSpec& spec, std::string_view text) {
  for (const AddedToken& token : spec.added) {
    if (spec.pieces[static_cast<size_t>(token.id)] == text) return token.id;
  }
  return std::nullopt;
}

/// bos_token and eos_token of tokenizer_config.json are texts, or objects with the text as `content`.
std::optional<int32_t> token_in_config(const Json& config, const char* key, const TokenizerSpec& spec) {
  const Json& token = field_of(config, key);
  const Json& text = token.is_object() ? field_of(token, "content") : token;
  return text.is_string() ? id_of_text(spec, text.get_ref<const std::string&>()) : std::nullopt;
}

TokenizerSpec spec_from_json(std::string_view json, const Json& config, std::string_view where) {
  TokenizerSpec spec;
  spec.where = where;
  const Json root = parse_json(json, where);
  if (!root.is_object()) corrupt(where, "expected a JSON object");
  if (!field_of(root, "normalizer").is_null()) {
    unsupported(where, "normalizer", fmt::format("{}, expected null", show(field_of(root, "normalizer"))));
  }
  const Json& decoder = field_of(root, "decoder");
  if (!decoder.is_null() && (!decoder.is_object() || get_string(decoder, "type", "", where) != "ByteLevel")) {
    unsupported(where, "decoder", fmt::format("{}, expected ByteLevel", show(decoder)));
  }
  const Json& model = field_of(root, "model");
  check_model(model, spec);
  spec.split = read_pre_tokenizer(root, spec);
  spec.ignore_merges = get_bool(model, "ignore_merges", false, where);
  read_vocab(model, spec);
  read_added_tokens(root, spec);
  read_merges(model, spec);
  check_unknown_token(model, spec);
  const std::string bos = read_post_processor(field_of(root, "post_processor"), spec);
  if (!bos.empty()) {
    spec.bos = id_of_text(spec, bos);
    if (!spec.bos) corrupt(where, fmt::format("post_processor: \"{}\" is no added token", printable(bos)));
    spec.add_bos = true;
  }
  if (const auto id = token_in_config(config, "bos_token", spec); id && !spec.bos) spec.bos = id;
  spec.eos = token_in_config(config, "eos_token", spec);
  if (config.is_object()) spec.add_bos = spec.add_bos || get_bool(config, "add_bos_token", false, where);
  return spec;
}

constexpr size_t kLlama3Ranks = 128000;
constexpr size_t kLlama3Specials = 256;

/// The special tokens of Llama 3.1 and 3.2 text models, in the order of their ids.
std::vector<std::string> llama3_specials() {
  std::vector<std::string> names = {"<|begin_of_text|>",
                                    "<|end_of_text|>",
                                    "<|reserved_special_token_0|>",
                                    "<|reserved_special_token_1|>",
                                    "<|finetune_right_pad_id|>",
                                    "<|reserved_special_token_2|>",
                                    "<|start_header_id|>",
                                    "<|end_header_id|>",
                                    "<|eom_id|>",
                                    "<|eot_id|>",
                                    "<|python_tag|>"};
  for (int i = 3; names.size() < kLlama3Specials; ++i)
    names.push_back(fmt::format("<|reserved_special_token_{}|>", i));
  return names;
}

std::optional<std::string> decode_base64(std::string_view text) {
  if (text.empty() || text.size() % 4 != 0) return std::nullopt;
  const size_t n_pad = text.ends_with("==") ? 2 : text.ends_with("=") ? 1 : 0;
  std::string bytes;
  uint32_t bits = 0;
  for (size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    uint32_t value = 0;
    if (c >= 'A' && c <= 'Z') {
      value = static_cast<uint32_t>(c - 'A');
    } else if (c >= 'a' && c <= 'z') {
      value = static_cast<uint32_t>(c - 'a' + 26);
    } else if (c >= '0' && c <= '9') {
      value = static_cast<uint32_t>(c - '0' + 52);
    } else if (c == '+' || c == '/') {
      value = c == '+' ? 62 : 63;
    } else if (c != '=' || i + n_pad < text.size()) {
      return std::nullopt;
    }
    bits = bits << 6 | value;
    if (i % 4 == 3) {
      for (const int shift : {16, 8, 0}) bytes += static_cast<char>(bits >> shift & 0xFF);
      bits = 0;
    }
  }
  bytes.resize(bytes.size() - n_pad);
  return bytes;
}

}  // namespace

Tokenizer Tokenizer::from_tokenizer_json(std::string_view json, std::string_view where) {
  return Tokenizer(spec_from_json(json, Json(), where));
}

Tokenizer Tokenizer::from_tokenizer_json(std::string_view json, std::string_view config_json,
                                         std::string_view where) {
  return Tokenizer(
      spec_from_json(json, parse_json(config_json, fmt::format("{} (its config)", where)), where));
}

Tokenizer Tokenizer::from_rank_file(std::string_view text, std::string_view where) {
  TokenizerSpec spec;
  spec.where = where;
  size_t n_lines = 0;
  while (!text.empty()) {
    const size_t line_end = std::min(text.find('\n'), text.size());
    std::string_view line = text.substr(0, line_end);
    text.remove_prefix(std::min(line_end + 1, text.size()));
    if (line.ends_with('\r')) line.remove_suffix(1);
    if (line.empty()) continue;
    ++n_lines;
    const size_t space = std::min(line.find(' '), line.size());
    auto bytes = decode_base64(line.substr(0, space));
    const std::string_view digits = line.substr(std::min(space + 1, line.size()));
    uint32_t rank = 0;
    const auto [end, status] = std::from_chars(digits.data(), digits.data() + digits.size(), rank);
    if (!bytes || status != std::errc() || end != digits.data() + digits.size()) {
      corrupt(where,
              fmt::format("line {}: expected \"base64 rank\", found \"{}\"", n_lines, printable(line)));
    }
    if (rank >= kLlama3Ranks) {
      unsupported(where, "ranks",
                  fmt::format("rank {}, but a Llama 3 vocabulary has {}", rank, kLlama3Ranks));
    }
    const size_t id = claim_id(spec, rank, "a rank");
    if (!spec.pieces[id].empty()) corrupt(where, fmt::format("rank {} stands twice", rank));
    spec.pieces[id] = std::move(*bytes);
  }
  if (n_lines != spec.pieces.size() || n_lines == 0) {
    corrupt(where, fmt::format("{} ranks, but the last is {}", n_lines,
                               static_cast<int64_t>(spec.pieces.size()) - 1));
  }
  spec.bos = static_cast<int32_t>(n_lines);
  spec.eos = *spec.bos + 1;
  spec.add_bos = true;
  spec.ignore_merges = true;
  for (std::string& name : llama3_specials()) spec.pieces.push_back(std::move(name));
  spec.is_special.resize(spec.pieces.size(), true);
  Tokenizer tokenizer(std::move(spec));
  for (int byte = 0; byte < 256; ++byte) {
    if (tokenizer.bpe_.byte_id(static_cast<unsigned char>(byte)) < 0) {
      corrupt(where, fmt::format("no rank for the byte 0x{:02x}", byte));
    }
  }
  return tokenizer;
}

Tokenizer Tokenizer::open(const std::filesystem::path& path) {
  const std::string text = read_text_file(path);
  const size_t first = text.find_first_not_of(" \t\r\n");
  if (first != std::string::npos && text[first] == '{') return from_tokenizer_json(text, path.string());
  return from_rank_file(text, path.string());
}

TokenizerSpec spec_from_gguf(const std::vector<std::string>& tokens, const std::vector<int32_t>& token_types,
                             const std::vector<std::string>& merges, std::string_view pre,
                             std::optional<int32_t> bos, std::optional<int32_t> eos,
                             std::optional<bool> add_bos) {
  constexpr int32_t kControl = 3;
  constexpr int32_t kUserDefined = 4;
  constexpr int32_t kUnused = 5;
  TokenizerSpec spec;
  spec.where = "GGUF metadata tokenizer.ggml";
  if (pre == "llama-bpe" || pre == "llama3" || pre == "llama-v3") {
    spec.split = SplitRule::kLlama3;
  } else if (pre == "smollm") {
    spec.split = SplitRule::kSmolLm;
  } else if (pre == "gpt2" || pre == "gpt-2") {
    spec.split = SplitRule::kGpt2;
  } else {
    unsupported(spec.where, "tokenizer.ggml.pre",
                fmt::format("\"{}\" is not a split rule that chaski knows", printable(pre)));
  }
  if (token_types.size() != tokens.size()) {
    corrupt(spec.where, fmt::format("{} tokens, but {} token types", tokens.size(), token_types.size()));
  }
  spec.pieces.reserve(tokens.size());
  for (size_t id = 0; id < tokens.size(); ++id) {
    const bool is_text = token_types[id] >= kControl && token_types[id] <= kUnused;
    spec.pieces.push_back(is_text ? tokens[id] : bytes_of(tokens[id], spec.where, "token"));
    spec.is_special.push_back(token_types[id] == kControl);
    if (token_types[id] == kUserDefined) spec.added.push_back({.id = static_cast<int32_t>(id)});
  }
  spec.merges.reserve(merges.size());
  for (const std::string& merge : merges) spec.merges.push_back(merge_of(merge, spec.where));
  spec.ignore_merges = spec.split == SplitRule::kLlama3;
  spec.bos = bos;
  spec.eos = eos;
  spec.add_bos = add_bos.value_or(spec.split == SplitRule::kLlama3);
  return spec;
}

}  // namespace chaski
