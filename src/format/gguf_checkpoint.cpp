#include "format/gguf_checkpoint.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "format/gguf.h"
#include "format/gguf_names.h"
#include "format/gguf_split.h"
#include "format/llama_layout.h"
#include "format/stored_checkpoint.h"

namespace chaski {
namespace {

constexpr uint64_t kMaxTemplateBytes = 1u << 20;
constexpr uint64_t kMaxShortString = 4096;
constexpr uint64_t kMaxPieceBytes = 4096;
constexpr uint64_t kMaxMerges = 4u << 20;

constexpr ConfigKeys kKeys = {.n_layers = "llama.block_count",
                              .hidden = "llama.embedding_length",
                              .ffn = "llama.feed_forward_length",
                              .n_heads = "llama.attention.head_count",
                              .n_kv_heads = "llama.attention.head_count_kv",
                              .head_dim = "llama.attention.key_length",
                              .vocab = "rows of token_embd.weight",
                              .max_context = "llama.context_length",
                              .rms_eps = "llama.attention.layer_norm_rms_epsilon",
                              .rope_theta = "llama.rope.freq_base",
                              .rope_scaling = "llama.rope.scaling",
                              .rope_factors = kGgufRopeFactors,
                              .bos = "tokenizer.ggml.bos_token_id",
                              .eos = "tokenizer.ggml.eos_token_id"};

class GgufCheckpoint : public StoredCheckpoint {
 public:
  explicit GgufCheckpoint(std::vector<ByteSourcePtr> parts)
      : parts_(read_gguf_parts(parts)), header_(parts_.front()) {
    path_ = parts.front()->name();
    kind_ = "gguf";
    files_ = std::move(parts);
    read_config();
    for (const GgufHeader& part : parts_) {
      for (const GgufTensor& tensor : part.tensors()) add_weight(part.source(), tensor);
    }
    config_.validate(path_, kKeys);
    check_weights(*this);
    read_tokenizer();
    chat_template_ = header_.get_string("tokenizer.chat_template", kMaxTemplateBytes).value_or("");
  }

 private:
  std::string name_in_file(std::string_view weight) const override { return gguf_name(weight); }

  [[noreturn]] void refuse(const std::string& message, std::string hint = {}) const {
    throw Error(ErrorCode::kUnsupported, "read GGUF", fmt::format("{}: {}", path_, message), std::move(hint));
  }

  int64_t require_int(std::string_view key) const {
    const auto value = header_.get_int(key);
    if (!value) throw_missing(key);
    return *value;
  }
  [[noreturn]] void throw_missing(std::string_view key) const {
    throw Error(ErrorCode::kCorrupt, "read GGUF", fmt::format("{}: key {} is missing", path_, key));
  }

  struct Found {
    const GgufHeader* part = nullptr;
    const GgufTensor* tensor = nullptr;
  };
  /// Of null pointers where there is none of that name.
  Found find_tensor(std::string_view name) const {
    for (const GgufHeader& part : parts_) {
      for (const GgufTensor& tensor : part.tensors()) {
        if (tensor.name == name) return {&part, &tensor};
      }
    }
    return {};
  }

  void read_config() {
    const auto architecture = header_.get_string("general.architecture", kMaxShortString);
    if (!architecture) throw_missing("general.architecture");
    if (*architecture != "llama") {
      refuse(fmt::format("architecture \"{}\", expected \"llama\"", printable(*architecture)));
    }
    config_.n_layers = require_int("llama.block_count");
    config_.max_context = require_int("llama.context_length");
    config_.hidden = require_int("llama.embedding_length");
    config_.ffn = require_int("llama.feed_forward_length");
    config_.n_heads = require_int("llama.attention.head_count");
    config_.n_kv_heads = header_.get_int("llama.attention.head_count_kv").value_or(config_.n_heads);
    const int64_t usual_head_dim = config_.n_heads > 0 ? config_.hidden / config_.n_heads : 0;
    config_.head_dim = header_.get_int("llama.attention.key_length").value_or(usual_head_dim);
    config_.rope_theta = header_.get_number("llama.rope.freq_base").value_or(10000);
    const auto epsilon = header_.get_number("llama.attention.layer_norm_rms_epsilon");
    if (!epsilon) throw_missing("llama.attention.layer_norm_rms_epsilon");
    config_.rms_eps = *epsilon;
    refuse_other_scaling();
    refuse_other_graphs();

    const GgufTensor* embedding = find_tensor("token_embd.weight").tensor;
    if (embedding == nullptr) {
      throw Error(ErrorCode::kCorrupt, "read GGUF",
                  fmt::format("{}: tensor token_embd.weight is missing", path_));
    }
    config_.vocab = embedding->shape.n_rows();
    config_.tie_embeddings = find_tensor("output.weight").tensor == nullptr;
    // Before anything is compared with the shape or measured by it.
    config_.validate(path_, kKeys);
    expect_same("llama.attention.value_length", config_.head_dim);
    expect_same("llama.rope.dimension_count", config_.head_dim);
    expect_same("llama.vocab_size", config_.vocab);
    config_.is_synthetic = header_.get_bool("chaski.synthetic").value_or(false);
    config_.bos = token_id("tokenizer.ggml.bos_token_id");
    if (const Found factors = find_tensor(kGgufRopeFactors); factors.tensor != nullptr) {
      read_rope_factors(*factors.part->source(), *factors.tensor);
    }
  }

  /// A key that repeats what another says.
  void expect_same(std::string_view key, int64_t expected) const {
    const auto value = header_.get_int(key);
    if (value && *value != expected) {
      throw Error(ErrorCode::kCorrupt, "read GGUF",
                  fmt::format("{}: {}: expected {}, found {}", path_, key, expected, *value));
    }
  }

  /// Llama 3's scaling comes as a tensor of factors; any rule told by keys would be another one.
  void refuse_other_scaling() const {
    const auto type = header_.get_string("llama.rope.scaling.type", kMaxShortString);
    if (type && *type != "none") {
      refuse(
          fmt::format("llama.rope.scaling.type \"{}\", expected \"none\" or no such key", printable(*type)));
    }
    if (type) return;
    for (const char* key : {"llama.rope.scaling.factor", "llama.rope.scale_linear"}) {
      const double factor = header_.get_number(key).value_or(1);
      if (factor != 1 && factor != 0)
        refuse(fmt::format("{} {}: linear scaling is not supported", key, factor));
    }
  }

  /// Keys by which files of this architecture ask for another computation than Llama's.
  void refuse_other_graphs() const {
    if (const int64_t n = header_.get_int("llama.expert_count").value_or(0); n != 0) {
      refuse(fmt::format("llama.expert_count {}: mixtures of experts are not supported", n));
    }
    const double usual = config_.head_dim > 0 ? 1 / std::sqrt(static_cast<double>(config_.head_dim)) : 0;
    for (const auto& [key, neutral] :
         {std::pair("llama.attention.scale", usual), std::pair("llama.logit_scale", 1.0),
          std::pair("llama.residual_scale", 1.0), std::pair("llama.embedding_scale", 1.0)}) {
      const double scale = header_.get_number(key).value_or(0);  // 0 says that there is none
      if (scale != 0 && !(std::abs(scale - neutral) <= 1e-6)) {
        refuse(fmt::format("{} {}: expected {} or no such key", key, scale, neutral));
      }
    }
  }

  void read_rope_factors(const ByteSource& source, const GgufTensor& tensor) {
    if (tensor.dtype != DType::kF32 || tensor.shape != Shape{config_.head_dim / 2}) {
      throw Error(ErrorCode::kCorrupt, "read GGUF",
                  fmt::format("{}: tensor {}: expected f32 {}, found {} {}", path_, kGgufRopeFactors,
                              Shape{config_.head_dim / 2}.to_string(), name_of(tensor.dtype),
                              tensor.shape.to_string()));
    }
    config_.rope_factors.resize(static_cast<size_t>(config_.head_dim / 2));
    source.read_at(tensor.offset, std::as_writable_bytes(std::span(config_.rope_factors)));
  }

  void add_weight(const ByteSourcePtr& source, const GgufTensor& tensor) {
    if (tensor.name == kGgufRopeFactors) return;
    const std::string name = hugging_face_name(tensor.name, config_.n_layers);
    if (name.empty()) {
      refuse(fmt::format("tensor {} is not part of a Llama model of {} layers", printable(tensor.name),
                         config_.n_layers),
             "only plain Llama models run here: no biases, no experts");
    }
    const bool is_interleaved =
        name.find(".q_proj.") != std::string::npos || name.find(".k_proj.") != std::string::npos;
    int64_t head_dim = 0;
    if (is_interleaved) {
      head_dim = config_.head_dim;
      if (tensor.shape.n_rows() % head_dim != 0) {
        throw Error(ErrorCode::kCorrupt, "read GGUF",
                    fmt::format("{}: tensor {}: expected rows in heads of {}, found shape {}", path_,
                                printable(tensor.name), head_dim, tensor.shape.to_string()));
      }
    }
    weights_.emplace(name, std::make_shared<StoredWeight>(source, name, tensor.dtype, tensor.shape,
                                                          tensor.offset, head_dim));
  }

  std::optional<int32_t> token_id(std::string_view key) const {
    const auto id = header_.get_int(key);
    if (!id) return std::nullopt;
    if (*id < 0 || *id >= config_.vocab) {
      throw Error(ErrorCode::kCorrupt, "read GGUF",
                  fmt::format("{}: {}: expected 0 to {}, found {}", path_, key, config_.vocab - 1, *id));
    }
    return static_cast<int32_t>(*id);
  }

  void expect_per_token(std::string_view key, std::optional<uint64_t> count) const {
    if (count && *count != static_cast<uint64_t>(config_.vocab)) {
      throw Error(ErrorCode::kCorrupt, "read GGUF",
                  fmt::format("{}: {}: expected {} elements, as many as embedding rows, found {}", path_, key,
                              config_.vocab, *count));
    }
  }

  void read_tokenizer() {
    using Type = GgufValue::Type;
    constexpr const char *kTokens = "tokenizer.ggml.tokens", *kTypes = "tokenizer.ggml.token_type",
                         *kScores = "tokenizer.ggml.scores", *kMerges = "tokenizer.ggml.merges";
    // All counts and types first: nothing is read where one of them is wrong.
    expect_per_token(kTokens, header_.array_count(kTokens, Type::kString));
    expect_per_token(kTypes, header_.array_count(kTypes, Type::kInt32));
    expect_per_token(kScores, header_.array_count(kScores, Type::kFloat32));
    header_.array_count(kMerges, Type::kString);
    TokenizerData& data = tokenizer_;
    data.bos = config_.bos;
    data.eos = token_id("tokenizer.ggml.eos_token_id");
    data.eot = token_id("tokenizer.ggml.eot_token_id");
    data.pad = token_id("tokenizer.ggml.padding_token_id");
    data.unk = token_id("tokenizer.ggml.unknown_token_id");
    data.add_bos = header_.get_bool("tokenizer.ggml.add_bos_token");
    data.add_eos = header_.get_bool("tokenizer.ggml.add_eos_token");
    data.add_space_prefix = header_.get_bool("tokenizer.ggml.add_space_prefix");
    data.gguf_model = header_.get_string("tokenizer.ggml.model", kMaxShortString).value_or("");
    data.gguf_pre = header_.get_string("tokenizer.ggml.pre", kMaxShortString).value_or("");

    const auto vocab = static_cast<uint64_t>(config_.vocab);
    data.tokens = header_.get_strings(kTokens, vocab, kMaxPieceBytes);
    data.token_types = header_.get_int32s(kTypes, vocab);
    data.scores = header_.get_float32s(kScores, vocab);
    data.merges = header_.get_strings(kMerges, kMaxMerges, 2 * kMaxPieceBytes + 1);
    collect_eos();
  }

  /// The ids that end an answer: those the keys name, and Llama 3's own, which files seldom list all.
  void collect_eos() {
    const auto add = [this](std::optional<int32_t> id) {
      if (id && std::find(config_.eos.begin(), config_.eos.end(), *id) == config_.eos.end()) {
        config_.eos.push_back(*id);
      }
    };
    add(tokenizer_.eos);
    add(tokenizer_.eot);
    add(token_id("tokenizer.ggml.eom_token_id"));
    constexpr int32_t kControl = 3;
    for (size_t i = 0; i < tokenizer_.token_types.size() && i < tokenizer_.tokens.size(); ++i) {
      const std::string& text = tokenizer_.tokens[i];
      const bool ends = text == "<|end_of_text|>" || text == "<|eom_id|>" || text == "<|eot_id|>";
      if (ends && tokenizer_.token_types[i] == kControl) add(static_cast<int32_t>(i));
    }
  }

  std::deque<GgufHeader> parts_;
  const GgufHeader& header_;  ///< of the first part
};

}  // namespace

std::shared_ptr<const Checkpoint> open_gguf(std::vector<ByteSourcePtr> parts) {
  return std::make_shared<GgufCheckpoint>(std::move(parts));
}

}  // namespace chaski
