#include "convert/tokenizer_to_hf.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "base/utf8.h"
#include "convert/gguf_vocabulary.h"
#include "text/tokenizer.h"

namespace chaski {
namespace {

enum TokenType : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4 };

constexpr std::string_view kSpaceMark = "\u2581";

std::string quoted(const std::string& text) { return to_json_text(Json(text)); }

[[noreturn]] void refuse(const std::string& where, const std::string& message) {
  throw Error(ErrorCode::kUnsupported, "convert tokenizer", fmt::format("{}: {}", where, message),
              "keep this model as GGUF");
}

OrderedJson byte_level(bool uses_regex) {
  return {
      {"type", "ByteLevel"}, {"add_prefix_space", false}, {"trim_offsets", true}, {"use_regex", uses_regex}};
}

OrderedJson split_by(std::string_view pattern) {
  return {{"type", "Split"}, {"pattern", {{"Regex", pattern}}}, {"behavior", "Isolated"}, {"invert", false}};
}

OrderedJson sequence_of(OrderedJson first, OrderedJson second) {
  return {{"type", "Sequence"}, {"pretokenizers", OrderedJson::array({std::move(first), std::move(second)})}};
}

OrderedJson pre_tokenizer_of(SplitRule rule, const std::string& where) {
  switch (rule) {
    case SplitRule::kLlama3:
      return sequence_of(split_by(kLlama3Pattern), byte_level(false));
    case SplitRule::kSmolLm:
      return sequence_of({{"type", "Digits"}, {"individual_digits", true}}, byte_level(true));
    case SplitRule::kGpt2:
      return byte_level(true);
    default:
      refuse(where, "this way of splitting text has no words in tokenizer.json that are known here");
  }
}

/// Puts bos before a text, and before both of a pair.
OrderedJson bos_template(const std::string& bos, int32_t id) {
  const auto special = [&](int type) {
    return OrderedJson{{"SpecialToken", {{"id", bos}, {"type_id", type}}}};
  };
  const auto text = [](const char* name, int type) {
    return OrderedJson{{"Sequence", {{"id", name}, {"type_id", type}}}};
  };
  return {{"type", "TemplateProcessing"},
          {"single", OrderedJson::array({special(0), text("A", 0)})},
          {"pair", OrderedJson::array({special(0), text("A", 0), special(1), text("B", 1)})},
          {"special_tokens",
           {{bos, {{"id", bos}, {"ids", OrderedJson::array({id})}, {"tokens", OrderedJson::array({bos})}}}}}};
}

/// Tokens that tokenizer.json lists apart, since they are matched before the text is split.
bool is_added(int32_t type) { return type == kUnknown || type == kControl || type == kUserDefined; }

/// The text of tokenizer.json as it grows, which may be far larger than the arrays it comes from: every way
/// to cut a piece in two may be a merge. Refused where it passes what is read here.
class GrowingText {
 public:
  explicit GrowingText(std::string where) : where_(std::move(where)) {}

  template <typename... Args>
  void append(fmt::format_string<Args...> format, Args&&... args) {
    fmt::format_to(std::back_inserter(text_), format, std::forward<Args>(args)...);
    if (text_.size() > kMaxBytes) {
      refuse(where_, fmt::format("the tokenizer would be a tokenizer.json of more than {} bytes", kMaxBytes));
    }
  }
  std::string take() { return std::move(text_); }

 private:
  static constexpr size_t kMaxBytes = 64u << 20;

  std::string where_, text_;
};

void append_added_tokens(const TokenizerData& data, GrowingText& text) {
  const char* comma = "";
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    if (!is_added(data.token_types[id])) continue;
    const OrderedJson token = {{"id", id},
                               {"content", data.tokens[id]},
                               {"single_word", false},
                               {"lstrip", false},
                               {"rstrip", false},
                               {"normalized", false},
                               {"special", data.token_types[id] != kUserDefined}};
    text.append("{}{}", std::exchange(comma, ","), to_json_text(token));
  }
}

void check_texts(const TokenizerData& data, const std::string& where) {
  std::unordered_set<std::string_view> seen;
  for (const std::string& text : data.tokens) {
    if (!is_valid_utf8(text)) refuse(where, fmt::format("token \"{}\" is not valid UTF-8", printable(text)));
    if (!seen.insert(text).second) refuse(where, fmt::format("token \"{}\" stands twice", printable(text)));
  }
}

/// The merges by which SentencePiece's scores join pieces: every way to make a token of two, best score
/// first.
template <typename OnMerge>
void for_merges_of_scores(const TokenizerData& data, const OnMerge& on_merge) {
  std::unordered_set<std::string_view> pieces;
  std::vector<size_t> order;
  for (size_t id = 0; id < data.tokens.size(); ++id) {
    if (data.token_types[id] != kNormal) continue;
    pieces.insert(data.tokens[id]);
    order.push_back(id);
  }
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return data.scores[a] > data.scores[b]; });
  for (const size_t id : order) {
    const std::string_view piece = data.tokens[id];
    for (size_t cut = 1; cut < piece.size(); ++cut) {
      const std::string_view left = piece.substr(0, cut), right = piece.substr(cut);
      if (pieces.count(left) > 0 && pieces.count(right) > 0) on_merge(fmt::format("{} {}", left, right));
    }
  }
}

/// `"model"` of tokenizer.json, written out at once: a tree of a large vocabulary would take a hundred times
/// its bytes. Added tokens at the end get their ids from their list; one among the others keeps its place.
void append_bpe_model(const TokenizerData& data, const TokenizerSpec& spec, GrowingText& text) {
  const bool is_of_characters = spec.is_of_characters;
  size_t n_model = data.tokens.size();
  while (!is_of_characters && n_model > 0 && is_added(data.token_types[n_model - 1])) --n_model;
  const std::string unknown =
      is_of_characters && spec.unk ? quoted(data.tokens[static_cast<size_t>(*spec.unk)]) : "null";
  text.append(
      R"({{"type":"BPE","dropout":null,"unk_token":{},"continuing_subword_prefix":null,"end_of_word_suffix":null,)"
      R"("fuse_unk":{},"byte_fallback":{},"ignore_merges":{},)",
      unknown, is_of_characters, is_of_characters, spec.ignore_merges);
  text.append("\n\"vocab\":{{");
  for (size_t id = 0; id < n_model; ++id) {
    text.append("{}\n{}:{}", id == 0 ? "" : ",", quoted(data.tokens[id]), id);
  }
  text.append("}},\n\"merges\":[");
  const char* comma = "";
  const auto add = [&](const std::string& merge) {
    text.append("{}\n{}", std::exchange(comma, ","), quoted(merge));
  };
  if (is_of_characters) {
    for_merges_of_scores(data, add);
  } else {
    for (const std::string& merge : data.merges) add(merge);
  }
  text.append("]}}");
}

/// The parts of tokenizer.json around the model.
struct Pipeline {
  OrderedJson normalizer, pre_tokenizer, post_processor, decoder;
};

Pipeline byte_level_pipeline(const TokenizerSpec& spec, const std::string& where) {
  OrderedJson decoder = byte_level(true), post = byte_level(true);
  decoder["add_prefix_space"] = true;
  post["trim_offsets"] = false;
  return {nullptr, pre_tokenizer_of(spec.split, where), std::move(post), std::move(decoder)};
}

/// As Llama 2's files have it.
Pipeline sentencepiece_pipeline(const TokenizerSpec& spec) {
  const auto replace = [](std::string_view from, std::string_view to) {
    return OrderedJson{{"type", "Replace"}, {"pattern", {{"String", from}}}, {"content", to}};
  };
  OrderedJson normalizers = OrderedJson::array(), decoders = OrderedJson::array();
  const bool has_prefix = spec.space_prefix != SpacePrefix::kNone;
  if (has_prefix) normalizers.push_back({{"type", "Prepend"}, {"prepend", kSpaceMark}});
  normalizers.push_back(replace(" ", kSpaceMark));
  decoders.push_back(replace(kSpaceMark, " "));
  decoders.push_back({{"type", "ByteFallback"}});
  decoders.push_back({{"type", "Fuse"}});
  if (has_prefix) decoders.push_back({{"type", "Strip"}, {"content", " "}, {"start", 1}, {"stop", 0}});
  return {{{"type", "Sequence"}, {"normalizers", std::move(normalizers)}},
          nullptr,
          nullptr,
          {{"type", "Sequence"}, {"decoders", std::move(decoders)}}};
}

std::string tokenizer_json_text(const TokenizerData& data, const std::string& where) {
  const TokenizerSpec spec = spec_from_gguf(gguf_vocabulary_of(data), where);
  const Tokenizer checked(spec);  // throws where ids, scores or lengths are no tokenizer's
  Pipeline pipeline = spec.is_of_characters ? sentencepiece_pipeline(spec) : byte_level_pipeline(spec, where);
  if (spec.add_bos && data.bos) {
    pipeline.post_processor = bos_template(data.tokens[static_cast<size_t>(*data.bos)], *data.bos);
  }
  GrowingText text(where);
  const auto append_part = [&](const char* key, const OrderedJson& value) {
    text.append("\"{}\":{},\n", key, to_json_text(value));
  };
  text.append("{{");
  append_part("version", "1.0");
  append_part("truncation", nullptr);
  append_part("padding", nullptr);
  text.append("\"added_tokens\":[");
  append_added_tokens(data, text);
  text.append("],\n");
  append_part("normalizer", pipeline.normalizer);
  append_part("pre_tokenizer", pipeline.pre_tokenizer);
  append_part("post_processor", pipeline.post_processor);
  append_part("decoder", pipeline.decoder);
  text.append("\"model\":");
  append_bpe_model(data, spec, text);
  text.append("}}\n");
  return text.take();
}

std::string tokenizer_config_text(const Checkpoint& checkpoint) {
  const TokenizerData& data = checkpoint.tokenizer();
  OrderedJson config = {{"tokenizer_class", "PreTrainedTokenizerFast"},
                        {"clean_up_tokenization_spaces", false},
                        {"model_max_length", checkpoint.config().max_context},
                        {"model_input_names", {"input_ids", "attention_mask"}}};
  const auto set = [&](const char* key, std::optional<int32_t> id) {
    if (id) config[key] = data.tokens[static_cast<size_t>(*id)];
  };
  set("bos_token", data.bos);
  set("eos_token", data.eos);
  set("pad_token", data.pad);
  set("unk_token", data.unk);
  if (!checkpoint.chat_template().empty()) config["chat_template"] = checkpoint.chat_template();
  return to_json_text(config, 2) + "\n";
}

}  // namespace

HfTokenizerFiles hf_tokenizer_of(const Checkpoint& checkpoint) {
  const TokenizerData& data = checkpoint.tokenizer();
  if (!data.tokenizer_json.empty()) return {data.tokenizer_json, data.tokenizer_config_json};
  if (data.tokens.empty()) return {};
  const std::string& where = checkpoint.path();
  check_texts(data, where);
  return {tokenizer_json_text(data, where), tokenizer_config_text(checkpoint)};
}

}  // namespace chaski
