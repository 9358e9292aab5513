// The one pass over a tokenizer.json; what its fields mean is in tokenizer_json.cpp.
#include "text/tokenizer_json_reader.h"

#include <algorithm>
#include <array>

#include "base/error.h"
#include "text/tokenizer_files.h"

namespace chaski::tokenizer_files {

const Json& field_of(const Json& object, const char* key) {
  static const Json kNull;
  if (!object.is_object()) return kNull;
  const auto it = object.find(key);
  return it == object.end() ? kNull : *it;
}

std::string show(const Json& value) { return printable(to_json_text(value), 120); }

namespace {

/// Reads the document in one pass: model.vocab and model.merges, which hold nearly all of its bytes, go
/// straight into the spec; of the rest, what is read at all becomes a small tree. Pieces and merges stay as
/// they are spelled.
class Reader : public nlohmann::json_sax<Json> {
 public:
  Reader(TokenizerSpec& spec, size_t n_ids) : spec_(spec), n_ids_(n_ids) {}

  Json take_rest() { return std::move(rest_); }

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
      const auto [left, right] = sides_of(v, spec_.where);
      add_merge(left, right);
      return true;
    }
    if (in_ == In::kMergePair && n_sides_ < 2) {
      sides_[n_sides_++] = std::move(v);
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
      add_merge(sides_[0], sides_[1]);
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

  void add_merge(std::string_view left, std::string_view right) {
    if (spec_.merges.size() == Tokenizer::kMaxVocab) {
      corrupt(spec_.where, fmt::format("model.merges: more than {}", Tokenizer::kMaxVocab));
    }
    spec_.merges.emplace_back(left, right);
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

}  // namespace

Json read_tokenizer_json(std::string_view json, size_t n_ids, TokenizerSpec& spec) {
  Reader reader(spec, n_ids);
  Json::sax_parse(json.begin(), json.end(), &reader);
  return reader.take_rest();
}

}  // namespace chaski::tokenizer_files
