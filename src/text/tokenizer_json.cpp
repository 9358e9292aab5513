// Hugging Face's tokenizer.json turned into a TokenizerSpec. What a file asks for and is not known here is
// refused when it is loaded: other ids than the reference's would be worse.
#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/json.h"
#include "text/tokenizer_files.h"
#include "text/tokenizer_json_reader.h"

namespace chaski {

using namespace tokenizer_files;

namespace {

void respell_piece(size_t id, TokenizerSpec& spec) {
  std::string& piece = spec.pieces[id];
  if (!spec.is_of_characters) {
    piece = bytes_of(piece, spec.where, "token");
  } else if (const auto byte = byte_of(piece)) {
    set_byte_token(spec, *byte, id);
  } else {
    piece = spaced_of(piece);
  }
}

/// Reads added_tokens and turns the spelling of the other pieces and of the merges into bytes.
void read_added_tokens(const Json& root, size_t n_ids, TokenizerSpec& spec) {
  std::vector<bool> is_added(spec.pieces.size(), false);
  std::vector<std::pair<size_t, std::string>> texts;
  const Json& added = field_of(root, "added_tokens");
  if (!added.is_null() && !added.is_array()) corrupt(spec.where, "added_tokens: expected a list");
  for (const Json& token : added) {
    const std::string text = require_string(token, "content", spec.where);
    const size_t id = claim_id(spec, require_int(token, "id", spec.where), n_ids, printable(text));
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
    if (!is_added[id]) respell_piece(id, spec);
  }
  for (auto& [id, text] : texts) spec.pieces[id] = std::move(text);
  MergeList merges;
  merges.reserve(spec.merges.size());
  for (size_t rank = 0; rank < spec.merges.size(); ++rank) {
    const auto [left, right] = spec.merges[rank];
    if (spec.is_of_characters) {
      merges.emplace_back(spaced_of(left), spaced_of(right));
    } else {
      merges.emplace_back(bytes_of(left, spec.where, "merge of"), bytes_of(right, spec.where, "merge of"));
    }
  }
  spec.merges = std::move(merges);
}

/// A vocabulary of bytes alone needs no merges; without them, longer tokens would be joined by their ids.
void check_merges(const TokenizerSpec& spec) {
  if (!spec.merges.empty()) return;
  std::vector<bool> is_added(spec.pieces.size(), false);
  for (const AddedToken& token : spec.added) is_added[static_cast<size_t>(token.id)] = true;
  for (size_t id = 0; id < spec.pieces.size(); ++id) {
    if (spec.pieces[id].size() > 1 && !is_added[id]) {
      corrupt(spec.where, "model.merges: expected a list that is not empty");
    }
  }
}

[[noreturn]] void refuse_form(const Json& step, std::string_view field, const TokenizerSpec& spec) {
  unsupported(spec.where, field, fmt::format("{} is not a form that chaski knows", show(step)));
}

void check_byte_level(const Json& step, std::string_view field, const TokenizerSpec& spec) {
  if (!step.is_object() || get_string(step, "type", "", spec.where) != "ByteLevel" ||
      get_bool(step, "add_prefix_space", true, spec.where)) {
    refuse_form(step, field, spec);
  }
}

/// A step before the last one of a byte-level pre_tokenizer.
SplitStep read_split_step(const Json& step, std::string_view field, const TokenizerSpec& spec) {
  const std::string type = step.is_object() ? get_string(step, "type", "", spec.where) : "";
  if (type == "Digits") {
    return get_bool(step, "individual_digits", false, spec.where) ? SplitStep::kDigits
                                                                  : SplitStep::kNumberRuns;
  }
  const Json& pattern = field_of(field_of(step, "pattern"), "Regex");
  const bool is_isolated = type == "Split" && get_string(step, "behavior", "", spec.where) == "Isolated" &&
                           !get_bool(step, "invert", false, spec.where);
  if (!is_isolated || !pattern.is_string()) refuse_form(step, field, spec);
  const auto known = step_of_pattern(pattern.get_ref<const std::string&>());
  if (!known) refuse_form(step, field, spec);
  return *known;
}

SplitRule read_pre_tokenizer(const Json& root, const TokenizerSpec& spec) {
  constexpr std::string_view kField = "pre_tokenizer";
  constexpr size_t kMaxSteps = 8;
  const Json& step = field_of(root, "pre_tokenizer");
  const std::string type = step.is_object() ? get_string(step, "type", "", spec.where) : "";
  if (type == "ByteLevel") {
    check_byte_level(step, kField, spec);
    if (!get_bool(step, "use_regex", true, spec.where)) refuse_form(step, kField, spec);
    return SplitRule::kGpt2;
  }
  const Json& steps = field_of(step, "pretokenizers");
  if (type != "Sequence" || !steps.is_array() || steps.empty() || steps.size() > kMaxSteps) {
    refuse_form(step, kField, spec);
  }
  std::vector<SplitStep> known;
  for (size_t i = 0; i + 1 < steps.size(); ++i) known.push_back(read_split_step(steps[i], kField, spec));
  check_byte_level(steps.back(), kField, spec);
  if (get_bool(steps.back(), "use_regex", true, spec.where)) known.push_back(SplitStep::kGpt2Words);
  const auto rule = rule_of(known);
  if (!rule) refuse_form(step, kField, spec);
  return *rule;
}

/// Whether `step` is {"type": type, key: value}.
bool is_step(const Json& step, std::string_view type, const char* key, std::string_view value) {
  const Json& found = field_of(step, key);
  const Json& found_type = field_of(step, "type");
  return found_type.is_string() && found_type.get_ref<const std::string&>() == type &&
         (found.is_string() && found.get_ref<const std::string&>() == value);
}

/// Whether `step` replaces the text `from` by `to`.
bool is_replace(const Json& step, std::string_view from, std::string_view to) {
  const Json& pattern = field_of(field_of(step, "pattern"), "String");
  return is_step(step, "Replace", "content", to) && pattern.is_string() &&
         pattern.get_ref<const std::string&>() == from;
}

/// The members `list` of a Sequence, or the one step that stands instead of it; none for null.
std::vector<Json> steps_of_field(const Json& field, const char* list) {
  if (field.is_null()) return {};
  const Json& steps = field_of(field, list);
  if (!steps.is_array()) return {field};
  return {steps.begin(), steps.end()};
}

/// Where spaces are put and text is cut, as SentencePiece's vocabularies have it in tokenizer.json: by a
/// normalizer (older files) or by the pre_tokenizer Metaspace.
void read_space_rules(const Json& root, TokenizerSpec& spec) {
  const std::vector<Json> steps = steps_of_field(field_of(root, "normalizer"), "normalizers");
  const Json& metaspace = field_of(root, "pre_tokenizer");
  spec.split = SplitRule::kWhole;
  if (metaspace.is_null()) {
    const bool has_prepend = !steps.empty() && is_step(steps[0], "Prepend", "prepend", kSpaceMark);
    if (steps.size() != (has_prepend ? 2u : 1u) || !is_replace(steps.back(), " ", kSpaceMark)) {
      refuse_form(field_of(root, "normalizer"), "normalizer", spec);
    }
    if (has_prepend) spec.space_prefix = SpacePrefix::kEvery;
    return;
  }
  if (!is_step(metaspace, "Metaspace", "replacement", kSpaceMark)) {
    unsupported(spec.where, "model.byte_fallback",
                fmt::format("true beside the pre_tokenizer {}, expected Metaspace or none", show(metaspace)));
  }
  if (!steps.empty()) refuse_form(field_of(root, "normalizer"), "normalizer", spec);
  const bool adds_space = get_bool(metaspace, "add_prefix_space", true, spec.where);
  const std::string scheme =
      get_string(metaspace, "prepend_scheme", adds_space ? "always" : "never", spec.where);
  if (scheme == "always") {
    spec.space_prefix = SpacePrefix::kEveryUnspaced;
  } else if (scheme == "first") {
    spec.space_prefix = SpacePrefix::kFirstUnspaced;
  } else if (scheme != "never") {
    refuse_form(metaspace, "pre_tokenizer", spec);
  }
  if (get_bool(metaspace, "split", true, spec.where)) spec.split = SplitRule::kBeforeEachSpace;
}

/// Replace, ByteFallback, Fuse and, where decoded text loses its first space, Strip.
void read_character_decoder(const Json& root, TokenizerSpec& spec) {
  const Json& field = field_of(root, "decoder");
  const std::vector<Json> steps = steps_of_field(field, "decoders");
  const auto has_type = [&](size_t i, std::string_view type) {
    const Json& found = field_of(steps[i], "type");
    return found.is_string() && found.get_ref<const std::string&>() == type;
  };
  if (steps.size() < 3 || steps.size() > 4 || !is_replace(steps[0], kSpaceMark, " ") ||
      !has_type(1, "ByteFallback") || !has_type(2, "Fuse")) {
    refuse_form(field, "decoder", spec);
  }
  if (steps.size() == 3) return;
  if (!is_step(steps[3], "Strip", "content", " ") || get_int(steps[3], "start", 0, spec.where) != 1 ||
      get_int(steps[3], "stop", 0, spec.where) != 0) {
    refuse_form(field, "decoder", spec);
  }
  spec.strips_first_space = true;
}

/// With a prefix made by the normalizer, the reference looks for normalized tokens in text that has it.
void check_character_tokens(const Json& model, TokenizerSpec& spec) {
  for (const AddedToken& token : spec.added) {
    if (token.normalized && spec.space_prefix == SpacePrefix::kEvery) {
      unsupported(
          spec.where, "added_tokens",
          fmt::format("token {} is normalized, expected none beside the normalizer Prepend", token.id));
    }
  }
  const std::string unknown = get_string(model, "unk_token", "", spec.where);
  if (unknown.empty()) return;
  const auto it = std::find(spec.pieces.begin(), spec.pieces.end(), unknown);
  if (it == spec.pieces.end()) {
    corrupt(spec.where, fmt::format("model.unk_token \"{}\" is no token", printable(unknown)));
  }
  spec.unk = static_cast<int32_t>(it - spec.pieces.begin());
  const bool has_all_bytes =
      std::find(spec.byte_tokens.begin(), spec.byte_tokens.end(), -1) == spec.byte_tokens.end();
  if (!has_all_bytes && !get_bool(model, "fuse_unk", false, spec.where)) {
    unsupported(spec.where, "model.fuse_unk", "false, expected true where bytes have no tokens");
  }
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

void check_byte_level_only(const Json& root, const TokenizerSpec& spec) {
  const Json& normalizer = field_of(root, "normalizer");
  if (!normalizer.is_null()) {
    unsupported(spec.where, "normalizer", fmt::format("{}, expected null", show(normalizer)));
  }
  const Json& decoder = field_of(root, "decoder");
  if (!decoder.is_null() &&
      (!decoder.is_object() || get_string(decoder, "type", "", spec.where) != "ByteLevel")) {
    unsupported(spec.where, "decoder", fmt::format("{}, expected ByteLevel", show(decoder)));
  }
}

TokenizerSpec spec_of(std::string_view json, const Json& config, std::string_view where) {
  TokenizerSpec spec;
  spec.where = where;
  // An entry takes five bytes and more, so a short document cannot make a long vocabulary.
  const size_t n_ids = std::min(Tokenizer::kMaxVocab, json.size() / 5 + Tokenizer::kMaxUnusedIds);
  const Json root = read_tokenizer_json(json, n_ids, spec);
  if (!root.is_object()) corrupt(where, "expected a JSON object");
  const Json& model = field_of(root, "model");
  check_model(model, spec);
  spec.is_of_characters = get_bool(model, "byte_fallback", false, where);
  if (spec.is_of_characters) {
    read_space_rules(root, spec);
    read_character_decoder(root, spec);
  } else {
    check_byte_level_only(root, spec);
    spec.split = read_pre_tokenizer(root, spec);
  }
  spec.ignore_merges = get_bool(model, "ignore_merges", false, where);
  if (spec.pieces.empty()) corrupt(where, "model.vocab: expected an object with tokens");
  read_added_tokens(root, n_ids, spec);
  check_merges(spec);
  if (spec.is_of_characters) {
    check_character_tokens(model, spec);
  } else {
    check_unknown_token(model, spec);
  }
  const std::string bos = read_post_processor(field_of(root, "post_processor"), spec);
  if (!bos.empty()) {
    spec.bos = id_of_text(spec, bos);
    if (!spec.bos) corrupt(where, fmt::format("post_processor: \"{}\" is no added token", printable(bos)));
    spec.add_bos = true;
  }
  if (const auto id = token_in_config(config, "bos_token", spec); id && !spec.bos) spec.bos = id;
  spec.eos = token_in_config(config, "eos_token", spec);
  if (config.is_object()) {
    spec.add_bos = get_bool(config, "add_bos_token", spec.add_bos, where);
    if (get_bool(config, "add_eos_token", false, where)) {
      unsupported(where, "add_eos_token",
                  "true in the config, expected false: eos ends answers, not prompts");
    }
  }
  return spec;
}

}  // namespace

TokenizerSpec spec_from_tokenizer_json(std::string_view json, std::string_view config_json,
                                       std::string_view where) {
  if (config_json.empty()) return spec_of(json, Json(), where);
  return spec_of(json, parse_json(config_json, fmt::format("{} (its config)", where)), where);
}

Tokenizer Tokenizer::from_tokenizer_json(std::string_view json, std::string_view where) {
  return Tokenizer(spec_from_tokenizer_json(json, {}, where));
}

Tokenizer Tokenizer::from_tokenizer_json(std::string_view json, std::string_view config_json,
                                         std::string_view where) {
  return Tokenizer(spec_from_tokenizer_json(json, config_json, where));
}

}  // namespace chaski
