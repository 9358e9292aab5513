// SentencePiece's tokenizer.model, a protobuf, turned into a TokenizerSpec: BPE over text as it is. Unigram
// models and those that normalise text are refused. Source: docs/sources.md#sentencepiece-model.
#include <bit>
#include <charconv>

#include "base/error.h"
#include "base/json.h"
#include "text/tokenizer_files.h"

namespace chaski {

using namespace tokenizer_files;

namespace {

/// The fields of one protobuf message, one after the other. Throws Error(kCorrupt) where the message ends in
/// the middle of one.
class Message {
 public:
  Message(std::string_view bytes, std::string_view where) : bytes_(bytes), where_(where) {}

  /// Goes to the next field; false at the end.
  bool next() {
    if (bytes_.empty()) return false;
    const uint64_t key = varint();
    number_ = key >> 3;
    value_ = 0;
    text_ = {};
    switch (key & 7) {
      case 0:
        value_ = varint();
        return true;
      case 1:
        take(8);
        return true;
      case 2:
        text_ = take(varint());
        return true;
      case 5:
        for (const char c : take(4)) {
          value_ = value_ >> 8 | static_cast<uint64_t>(static_cast<unsigned char>(c)) << 24;
        }
        return true;
      default:
        corrupt(where_, fmt::format("field {} has wire type {}", number_, key & 7));
    }
  }
  uint64_t number() const { return number_; }
  uint64_t value() const { return value_; }  ///< of an integer or a flag; the bits of a float
  float real() const { return std::bit_cast<float>(static_cast<uint32_t>(value_)); }
  std::string_view text() const { return text_; }  ///< of a text, or a message's bytes

 private:
  uint64_t varint() {
    uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7F) << shift;
      if (byte < 0x80) return value;
    }
    corrupt(where_, "a number of more than 64 bits");
  }
  std::string_view take(uint64_t n) {
    if (n > bytes_.size()) {
      corrupt(where_, fmt::format("a field has {} bytes, but {} are left", n, bytes_.size()));
    }
    const std::string_view taken = bytes_.substr(0, static_cast<size_t>(n));
    bytes_.remove_prefix(static_cast<size_t>(n));
    return taken;
  }

  std::string_view bytes_;
  std::string_view where_;
  uint64_t number_ = 0;
  uint64_t value_ = 0;
  std::string_view text_;
};

/// What of the file is read, with the values that fields left out have.
struct Model {
  std::vector<std::string> tokens;
  std::vector<int32_t> types;
  std::vector<float> scores;
  uint64_t model_type = 1;
  uint64_t unk = 0, bos = 1, eos = 2;  // negative ones are numbers of 64 bits
  bool treats_space_as_suffix = false;
  bool changes_characters = false;
  bool adds_prefix = true;
  bool removes_spaces = true;
  bool escapes_spaces = true;
};

void read_piece(std::string_view bytes, std::string_view where, Model& model) {
  if (model.tokens.size() == Tokenizer::kMaxVocab) {
    corrupt(where, fmt::format("more than {} pieces", Tokenizer::kMaxVocab));
  }
  std::string_view token;
  float score = 0;
  uint64_t type = 1;
  for (Message field(bytes, where); field.next();) {
    if (field.number() == 1) token = field.text();
    if (field.number() == 2) score = field.real();
    if (field.number() == 3) type = field.value();
  }
  constexpr uint64_t kUnused = 5;
  if (token.empty()) corrupt(where, fmt::format("piece {} has no characters", model.tokens.size()));
  if (type == 0 || type > 6) {
    corrupt(where, fmt::format("piece {} has type {}, expected 1 to 6", model.tokens.size(), type));
  }
  if (type == kUnused) {
    unsupported(where, "pieces", fmt::format("piece {} is of type \"unused\"", model.tokens.size()));
  }
  model.tokens.emplace_back(token);
  model.types.push_back(static_cast<int32_t>(type));
  model.scores.push_back(score);
}

Model read_model(std::string_view bytes, std::string_view where) {
  Model model;
  for (Message field(bytes, where); field.next();) {
    if (field.number() == 1) read_piece(field.text(), where, model);
    if (field.number() == 2) {
      for (Message trainer(field.text(), where); trainer.next();) {
        if (trainer.number() == 3) model.model_type = trainer.value();
        if (trainer.number() == 24) model.treats_space_as_suffix = trainer.value() != 0;
        if (trainer.number() == 40) model.unk = trainer.value();
        if (trainer.number() == 41) model.bos = trainer.value();
        if (trainer.number() == 42) model.eos = trainer.value();
      }
    }
    if (field.number() == 3) {
      for (Message normalizer(field.text(), where); normalizer.next();) {
        if (normalizer.number() == 2) model.changes_characters = !normalizer.text().empty();
        if (normalizer.number() == 3) model.adds_prefix = normalizer.value() != 0;
        if (normalizer.number() == 4) model.removes_spaces = normalizer.value() != 0;
        if (normalizer.number() == 5) model.escapes_spaces = normalizer.value() != 0;
      }
    }
  }
  return model;
}

void check_supported(const Model& model, std::string_view where) {
  constexpr uint64_t kBpe = 2;
  if (model.model_type != kBpe) {
    constexpr const char* kNames[] = {"0", "unigram", "BPE", "word", "char"};
    unsupported(
        where, "trainer_spec.model_type",
        fmt::format("{}, expected BPE", model.model_type <= 4 ? kNames[model.model_type] : "unknown"));
  }
  if (model.changes_characters) {
    unsupported(where, "normalizer_spec.precompiled_charsmap", "expected none (the rule \"identity\")");
  }
  if (model.removes_spaces) {
    unsupported(where, "normalizer_spec.remove_extra_whitespaces", "true, expected false");
  }
  if (!model.escapes_spaces) {
    unsupported(where, "normalizer_spec.escape_whitespaces", "false, expected true");
  }
  if (model.treats_space_as_suffix) {
    unsupported(where, "trainer_spec.treat_whitespace_as_suffix", "true, expected false");
  }
}

/// tokenizer_config.json says whether bos is put in front; what else it asks for, it must not.
void apply_config(std::string_view config_json, TokenizerSpec& spec) {
  if (config_json.empty()) return;
  const std::string where = fmt::format("{} (its config)", spec.where);
  const Json config = parse_json(config_json, where);
  if (!config.is_object()) corrupt(where, "expected a JSON object");
  spec.add_bos = get_bool(config, "add_bos_token", spec.add_bos, where);
  if (get_bool(config, "add_eos_token", false, where)) {
    unsupported(where, "add_eos_token", "true, expected false: eos ends answers, not prompts");
  }
  const auto added = config.find("added_tokens_decoder");
  if (added == config.end() || !added->is_object()) return;
  for (const auto& [key, token] : added->items()) {
    const std::string text = get_string(token, "content", "", where);
    size_t id = spec.pieces.size();
    const auto [end, status] = std::from_chars(key.data(), key.data() + key.size(), id);
    const bool is_id = status == std::errc() && end == key.data() + key.size() && id < spec.pieces.size();
    if (!is_id || spec.pieces[id] != text) {
      unsupported(where, "added_tokens_decoder",
                  fmt::format("token {} \"{}\" is not in tokenizer.model", printable(key), printable(text)));
    }
  }
}

}  // namespace

TokenizerSpec spec_from_sentencepiece(std::string_view model_bytes, std::string_view config_json,
                                      std::string_view where) {
  const Model model = read_model(model_bytes, where);
  check_supported(model, where);
  const auto id_of = [&](uint64_t id) -> std::optional<int32_t> {
    if (static_cast<int64_t>(id) < 0) return std::nullopt;
    return id > INT32_MAX ? INT32_MAX : static_cast<int32_t>(id);  // what is too large is refused later
  };
  GgufVocabulary vocabulary;
  vocabulary.model = "llama";
  vocabulary.tokens = model.tokens;
  vocabulary.token_types = model.types;
  vocabulary.scores = model.scores;
  vocabulary.add_space_prefix = model.adds_prefix;
  TokenizerSpec spec = spec_from_gguf(vocabulary, where);
  spec.bos = id_of(model.bos);
  spec.eos = id_of(model.eos);
  spec.unk = id_of(model.unk);
  if (model.adds_prefix) spec.space_prefix = SpacePrefix::kAfterSpecial;
  for (size_t id = 0; id < model.tokens.size(); ++id) {
    constexpr int32_t kUserDefined = 4;
    if (model.types[id] == kUserDefined && spec.pieces[id] != model.tokens[id]) {
      unsupported(where, "pieces", fmt::format("piece {} is user-defined and has a space in it", id));
    }
  }
  apply_config(config_json, spec);
  return spec;
}

Tokenizer Tokenizer::from_sentencepiece(std::string_view model, std::string_view config_json,
                                        std::string_view where) {
  return Tokenizer(spec_from_sentencepiece(model, config_json, where));
}

}  // namespace chaski
