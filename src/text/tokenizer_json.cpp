// Hugging Face's tokenizer.json turned into a TokenizerSpec. What a file asks for and is not known here is
// refused when it is loaded: other ids than the reference's would be worse.
#include <algorithm>
#include <array>

#include "base/error.h"
#include "base/json.h"
#include "text/tokenizer_files.h"

namespace chaski {

using namespace tokenizer_files;

namespace {

const Json& field_of(const Json& object, const char* key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto it = object.find(key);
  return it == object.end() ? kNull : *it;
}

std::string show(const Json& value) { return printable(to_json_text(value), 120); }

/// Reads the document in one pass: model.vocab and model.merges, which hold nearly all of its bytes, go
/// straight into the spec; of the rest, what is read at all becomes a small tree. Pieces stay as they are
/// spelled until the added tokens are known.
class Reader : public nlohmann::json_sax<Json> {
 public:
  Reader(TokenizerSpec& spec, size_t n_ids) : spec_(spec), n_ids_(n_ids) {}

  Json take_rest() { return std::move(rest_); }
  bool has_vocab() const { return has_vocab_; }

  bool null() override { return skip() || value(Json(nullptr)); }
  bool boolean(bool v) override { return skip() || value(Json(v)); }
  bool number_float(double v, const std::string&) override { return skip() || value(Json(v)); }
  bool binary(binary_t&) override { return false; }
  bool number_integer(int64_t v) override {
    if (skip()) return true;
    return in_ == In::kVocab ? put_token(v) : value(Json(v));
  }
  bool number_unsigned(uint64_t v) override {
    if (skip()) return true;
    if (in_ != In::kVocab) return value(Json(v));
    return put_token(v <= INT32_MAX ? static_cast<int64_t>(v) : INT64_MAX);
  }
  bool string(std::string& v) override {
    if (skip()) return true;
    if (in_ == In::kMerges) {
      add_merge(merge_of(v, spec_.where));
      return true;
    }
    if (in_ == In::kMergePair && n_sides_ < 2) {
      sides_[n_sides_++] = bytes_of(v, spec_.where, "merge of");
      return true;
    }
    return value(Json(std::move(v)));
  }
  bool key(std::string& name) override {
    key_ = std::move(name);
    return true;
  }
  bool start_object(std::size_t) override {
    if (is_skipped()) return skip_in();
    if (in_ == In::kTree && is_in_model() && key_ == "vocab") {
      if (has_vocab_) corrupt(spec_.where, "model.vocab stands twice");
      has_vocab_ = true;
      in_ = In::kVocab;
      return true;
    }
    return open(Json::object());
  }
  bool end_object() override {
    if (skip_out()) return true;
    if (in_ == In::kVocab) {
      in_ = In::kTree;
    } else {
      stack_.pop_back();
    }
    return true;
  }
  bool start_array(std::size_t) override {
    if (is_skipped()) return skip_in();
    if (in_ == In::kMerges) {
      in_ = In::kMergePair;
      n_sides_ = 0;
      return true;
    }
    if (in_ == In::kTree && is_in_model() && key_ == "merges") {
      if (!spec_.merges.empty()) corrupt(spec_.where, "model.merges stands twice");
      in_ = In::kMerges;
      return true;
    }
    return open(Json::array());
  }
  bool end_array() override {
    if (skip_out()) return true;
    if (in_ == In::kMerges) {
      in_ = In::kTree;
    } else if (in_ == In::kMergePair) {
      if (n_sides_ != 2) corrupt(spec_.where, "model.merges: expected two tokens in each merge");
      add_merge({std::move(sides_[0]), std::move(sides_[1])});
      in_ = In::kMerges;
    } else {
      stack_.pop_back();
    }
    return true;
  }
  bool parse_error(std::size_t position, const std::string&, const nlohmann::detail::exception&) override {
    corrupt(spec_.where, fmt::format("invalid JSON at offset {}", position));
  }

 private:
  enum class In { kTree, kVocab, kMerges, kMergePair };

  struct Level {
    Json* node;
    bool is_model;
  };

  bool is_in_model() const { return !stack_.empty() && stack_.back().is_model; }

  /// Whether the value that comes is, or lies in, a member of the document that nobody reads.
  bool is_skipped() const {
    if (n_skipped_ > 0) return true;
    if (stack_.size() != 1 || !stack_[0].node->is_object()) return false;
    return std::find(kRead.begin(), kRead.end(), key_) == kRead.end();
  }
  bool skip() {
    if (!is_skipped()) return false;
    count_value();
    return true;
  }
  bool skip_in() {
    check_depth();
    count_value();
    ++n_skipped_;
    return true;
  }
  bool skip_out() {
    if (n_skipped_ == 0) return false;
    --n_skipped_;
    return true;
  }
  void count_value() {
    if (++n_values_ > kMaxValues) {
      corrupt(spec_.where,
              fmt::format("more than {} values outside model.vocab and model.merges", kMaxValues));
    }
  }
  void check_depth() const {
    if (stack_.size() + n_skipped_ >= kMaxDepth) {
      corrupt(spec_.where, fmt::format("nested deeper than {} levels", kMaxDepth));
    }
  }

  void add_merge(Bpe::Merges::value_type&& merge) {
    if (spec_.merges.size() == Tokenizer::kMaxVocab) {
      corrupt(spec_.where, fmt::format("model.merges: more than {}", Tokenizer::kMaxVocab));
    }
    spec_.merges.push_back(std::move(merge));
  }

  bool put_token(int64_t id) {
    if (key_.empty()) corrupt(spec_.where, "model.vocab: a token has no characters");
    const size_t i = claim_id(spec_, id, n_ids_, printable(key_));
    if (!spec_.pieces[i].empty()) corrupt(spec_.where, fmt::format("model.vocab: id {} stands twice", i));
    spec_.pieces[i] = std::move(key_);
    return true;
  }

  Json* place(Json&& v) {
    if (in_ == In::kVocab) corrupt(spec_.where, fmt::format("model.vocab: id {} is no integer", show(v)));
    if (in_ != In::kTree) {
      corrupt(spec_.where,
              fmt::format("model.merges: expected \"a b\" or [\"a\", \"b\"], found {}", show(v)));
    }
    count_value();
    if (stack_.empty()) {
      rest_ = std::move(v);
      return &rest_;
    }
    Json& parent = *stack_.back().node;
    if (parent.is_array()) {
      parent.push_back(std::move(v));
      return &parent.back();
    }
    const auto [at, is_new] = parent.emplace(key_, std::move(v));
    if (!is_new) corrupt(spec_.where, fmt::format("key \"{}\" stands twice", printable(key_)));
    return &at.value();
  }
  bool value(Json&& v) {
    place(std::move(v));
    return true;
  }
  bool open(Json&& container) {
    check_depth();
    const bool is_model =
        stack_.size() == 1 && stack_[0].node->is_object() && container.is_object() && key_ == "model";
    // Only the innermost container grows, so pointers to the outer ones stay valid.
    stack_.push_back({place(std::move(container)), is_model});
    return true;
  }

  static constexpr size_t kMaxDepth = 64;
  static constexpr size_t kMaxValues = 500'000;
  static constexpr std::array<std::string_view, 6> kRead = {
      "added_tokens", "decoder", "model", "normalizer", "post_processor", "pre_tokenizer"};
  TokenizerSpec& spec_;
  size_t n_ids_;  // ids are below
  In in_ = In::kTree;
  bool has_vocab_ = false;
  std::string key_;
  std::array<std::string, 2> sides_;
  size_t n_sides_ = 0;
  Json rest_;
  size_t n_values_ = 0;
  size_t n_skipped_ = 0;  // open containers of a member that is not read
  std::vector<Level> stack_;
};

/// Reads added_tokens and turns the spelling of the other pieces into bytes.
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

TokenizerSpec spec_of(std::string_view json, const Json& config, std::string_view where) {
  TokenizerSpec spec;
  spec.where = where;
  // An entry takes five bytes and more, so a short document cannot make a long vocabulary.
  const size_t n_ids = std::min(Tokenizer::kMaxVocab, json.size() / 5 + Tokenizer::kMaxUnusedIds);
  Reader reader(spec, n_ids);
  Json::sax_parse(json.begin(), json.end(), &reader);
  const Json root = reader.take_rest();
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
  if (!reader.has_vocab()) corrupt(where, "model.vocab: expected an object");
  if (spec.merges.empty()) corrupt(where, "model.merges: expected a list that is not empty");
  read_added_tokens(root, n_ids, spec);
  check_unknown_token(model, spec);
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
