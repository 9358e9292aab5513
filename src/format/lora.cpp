#include "format/lora.h"

#include <algorithm>
#include <cmath>
#include <mutex>
#include <unordered_map>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "format/llama_layout.h"
#include "format/model_folder.h"
#include "format/safetensors.h"
#include "format/stored_weight.h"
#include "tensor/quantize.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

constexpr uint64_t kMaxConfigBytes = 1u << 20;
constexpr size_t kMaxPatterns = 4096;
constexpr int64_t kMaxRank = 4096;

[[noreturn]] void fail(const std::string& where, const std::string& message) {
  throw Error(ErrorCode::kCorrupt, "read LoRA adapter", fmt::format("{}: {}", where, message));
}
[[noreturn]] void refuse(const std::string& where, const std::string& message, std::string hint = {}) {
  throw Error(ErrorCode::kUnsupported, "read LoRA adapter", fmt::format("{}: {}", where, message),
              std::move(hint));
}

// ---- adapter_config.json

/// Numbers for some modules, first match wins. A key is a module's name or its end from a dot on.
using Patterns = std::vector<std::pair<std::string, double>>;

struct LoraConfig {
  double rank = 0, alpha = 0;
  Patterns rank_pattern, alpha_pattern;
  bool is_rank_stabilised = false;  ///< scale is alpha / √rank
};

/// Whether a setting departs from "off": null, false, empty and "none" do not.
bool is_set(const Json& value) {
  if (value.is_boolean()) return value.get<bool>();
  if (value.is_string()) return value != "" && value != "none";
  return value.is_number() || !value.empty();
}

/// Settings that change what is computed. Whatever else starts with use_ is refused as well.
void refuse_variants(const Json& config, const std::string& where) {
  constexpr std::string_view kOff[] = {"bias",
                                       "fan_in_fan_out",
                                       "modules_to_save",
                                       "lora_bias",
                                       "layer_replication",
                                       "target_parameters",
                                       "trainable_token_indices",
                                       "alora_invocation_tokens",
                                       "arrow_config",
                                       "kasa_config",
                                       "monteclora_config",
                                       "velora_config"};
  const std::string type = get_string(config, "peft_type", "", where);
  if (type != "LORA") {
    refuse(where, fmt::format("field \"peft_type\": expected LORA, found \"{}\"", printable(type)));
  }
  for (const auto& [key, value] : config.items()) {
    const bool is_variant = key.rfind("use_", 0) == 0 && key != "use_rslora";
    if ((is_variant || std::count(std::begin(kOff), std::end(kOff), key) > 0) && is_set(value)) {
      refuse(where, fmt::format("field \"{}\" is {}: only plain LoRA is computed", printable(key),
                                printable(to_json_text(value), 40)));
    }
  }
  // Initialisations that took a part of the base's weights away: the files of the base still have it.
  const auto init = config.find("init_lora_weights");
  if (init != config.end() && init->is_string() && *init != "gaussian" && *init != "eva" &&
      *init != "orthogonal") {
    refuse(where,
           fmt::format("field \"init_lora_weights\" is {}: such an adapter belongs to changed base weights",
                       printable(to_json_text(*init), 40)),
           "save it with PEFT's path_initial_model_for_weight_conversion");
  }
}

Patterns read_patterns(const OrderedJson& config, const char* field, const std::string& where) {
  Patterns patterns;
  const auto found = config.find(field);
  if (found == config.end() || found->is_null()) return patterns;
  if (!found->is_object() || found->size() > kMaxPatterns) {
    fail(where, fmt::format("field \"{}\": expected an object of at most {} names", field, kMaxPatterns));
  }
  for (const auto& [key, value] : found->items()) {
    if (!value.is_number()) {
      fail(where, fmt::format("field \"{}\": {}: expected a number", field, printable(key)));
    }
    const bool is_name = !key.empty() && std::all_of(key.begin(), key.end(), [](char c) {
      return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
             c == '.';
    });
    if (!is_name) {
      refuse(where,
             fmt::format("field \"{}\": {}: expected the name of a module, not a regular expression", field,
                         printable(key)),
             "spell the modules out, one key each");
    }
    patterns.emplace_back(key, value.get<double>());
  }
  return patterns;
}

LoraConfig read_config(std::string_view text, const std::string& where) {
  JsonLimits limits;
  limits.max_bytes = kMaxConfigBytes;
  const Json config = parse_json(text, where, limits);
  if (!config.is_object()) {
    fail(where, fmt::format("expected a JSON object, found {}", config.type_name()));
  }
  refuse_variants(config, where);
  LoraConfig lora;
  lora.rank = static_cast<double>(require_int(config, "r", where));
  lora.alpha = require_number(config, "lora_alpha", where);
  lora.is_rank_stabilised = get_bool(config, "use_rslora", false, where);
  const OrderedJson ordered = parse_ordered_json(text, where, limits);
  lora.rank_pattern = read_patterns(ordered, "rank_pattern", where);
  lora.alpha_pattern = read_patterns(ordered, "alpha_pattern", where);
  return lora;
}

double number_for(const std::string& module, const Patterns& patterns, double otherwise) {
  for (const auto& [key, number] : patterns) {
    if (module.size() < key.size() || module.compare(module.size() - key.size(), key.size(), key) != 0)
      continue;
    if (module.size() == key.size() || module[module.size() - key.size() - 1] == '.') return number;
  }
  return otherwise;
}

// ---- adapter_model.safetensors

constexpr std::string_view kPrefix = "base_model.model.";
struct Part {
  std::string_view suffix;
  WeightSourcePtr LoraPair::*field;
};
constexpr Part kParts[] = {
    {".lora_A.weight", &LoraPair::a}, {".lora_B.weight", &LoraPair::b}, {".base_layer.weight", &LoraPair::w}};

class Reader {
 public:
  Reader(const LoraConfig& lora, std::string config_where, const ByteSourcePtr& source,
         const ModelConfig& base)
      : lora_(lora), config_where_(std::move(config_where)), source_(source), base_(base) {
    for (ExpectedWeight& weight : expected_weights(base)) {
      if (!weight.is_norm()) shapes_.emplace(weight.name, weight.shape);
    }
  }

  LoraPairs read() {
    // The model has so many weights at most: names beyond them are refused one by one, before they are kept.
    for (const SafetensorsEntry& entry : read_safetensors_header(*source_).entries) add(entry);
    if (pairs_.empty()) fail(where(), "expected LoRA tensors, found none");
    for (auto& [name, pair] : pairs_) check(name, pair);
    return std::move(pairs_);
  }

 private:
  const std::string& where() const { return source_->name(); }

  void add(const SafetensorsEntry& entry) {
    const std::string_view name = entry.name;
    const auto* part = std::find_if(std::begin(kParts), std::end(kParts),
                                    [&](const Part& p) { return ends_with(name, p.suffix); });
    if (name.substr(0, kPrefix.size()) != kPrefix || part == std::end(kParts)) refuse_name(name);
    const std::string_view module =
        name.substr(kPrefix.size(), name.size() - kPrefix.size() - part->suffix.size());
    const std::string weight = fmt::format("{}.weight", module);
    if (weight == "lm_head.weight" && base_.tie_embeddings) {
      refuse(where(), "tensor " + printable(name) +
                          ": this model's head is its embedding (tie_word_embeddings), which has no weight "
                          "of its own to adapt");
    }
    if (weight == "model.embed_tokens.weight" || shapes_.count(weight) == 0) refuse_name(name);
    if (!entry.dtype) {
      refuse(where(),
             fmt::format("tensor {}: stored as {}, expected F32, F16 or BF16", printable(name), entry.type));
    }
    if (entry.shape.rank() != 2) {
      fail(where(), fmt::format("tensor {}: expected a matrix, found shape {}", printable(name),
                                entry.shape.to_string()));
    }
    pairs_[weight].*part->field =
        std::make_shared<StoredWeight>(source_, entry.name, *entry.dtype, entry.shape, entry.offset);
  }

  static bool ends_with(std::string_view name, std::string_view suffix) {
    return name.size() > kPrefix.size() + suffix.size() && name.substr(name.size() - suffix.size()) == suffix;
  }

  [[noreturn]] void refuse_name(std::string_view name) const {
    const bool is_magnitude = name.find("lora_magnitude") != name.npos;
    const bool is_embedding =
        name.find("lora_embedding") != name.npos || name.find("embed_tokens") != name.npos;
    refuse(where(),
           fmt::format("tensor {}: {}", printable(name, 200),
                       is_magnitude   ? "DoRA is not computed"
                       : is_embedding ? "adapters of the embedding are not computed"
                                      : "expected lora_A or lora_B of a linear layer of this model"));
  }

  void check(const std::string& name, LoraPair& pair) const {
    const std::string module = name.substr(0, name.size() - std::string_view(".weight").size());
    if (pair.a == nullptr || pair.b == nullptr) {
      fail(where(), fmt::format("module {}: {} is missing", module, pair.a == nullptr ? "lora_A" : "lora_B"));
    }
    const double wanted = number_for(module, lora_.rank_pattern, lora_.rank);
    const double alpha = number_for(module, lora_.alpha_pattern, lora_.alpha);
    if (!(wanted >= 1 && wanted <= static_cast<double>(kMaxRank)) || wanted != std::floor(wanted)) {
      fail(config_where_, fmt::format("rank of {}: expected 1 to {}, found {}", module, kMaxRank, wanted));
    }
    const auto rank = static_cast<int64_t>(wanted);
    const Shape& base = shapes_.at(name);
    expect_shape(*pair.a, {rank, base[1]}, rank);
    expect_shape(*pair.b, {base[0], rank}, rank);
    if (pair.w != nullptr) expect_shape(*pair.w, base, rank);
    const double divisor = lora_.is_rank_stabilised ? std::sqrt(wanted) : wanted;
    pair.scale = static_cast<float>(alpha / divisor);
    if (!std::isfinite(pair.scale)) fail(config_where_, fmt::format("lora_alpha {} of {}", alpha, module));
  }

  void expect_shape(const WeightSource& found, const Shape& expected, int64_t rank) const {
    if (found.shape() == expected) return;
    fail(where(),
         fmt::format("tensor {}: expected shape {} (rank {} and this model's shapes), found {}",
                     printable(found.name(), 200), expected.to_string(), rank, found.shape().to_string()));
  }

  const LoraConfig& lora_;
  std::string config_where_;
  const ByteSourcePtr& source_;
  const ModelConfig& base_;
  std::unordered_map<std::string, Shape> shapes_;
  LoraPairs pairs_;
};

// ---- the merged model

std::vector<float> read_as_f32(const WeightSource& weight, int64_t first, int64_t count) {
  const int64_t stride = row_bytes(weight.dtype(), weight.n_cols());
  std::vector<std::byte> stored(static_cast<size_t>(count * stride));
  weight.read_rows(first, count, stored);
  std::vector<float> values(static_cast<size_t>(count * weight.n_cols()));
  row_codec(weight.dtype()).dequantize_row(stored.data(), values.data(), count * weight.n_cols());
  return values;
}

/// The matrix A that was used last, as f32: weights are read one after another, and each needs only its own.
class LastMatrix {
 public:
  std::shared_ptr<const std::vector<float>> get(const WeightSource& a) {
    const std::lock_guard lock(mutex_);
    if (of_ != &a) {
      of_ = nullptr;
      values_ = std::make_shared<const std::vector<float>>(read_as_f32(a, 0, a.n_rows()));
      of_ = &a;
    }
    return values_;
  }

 private:
  std::mutex mutex_;
  const WeightSource* of_ = nullptr;
  std::shared_ptr<const std::vector<float>> values_;
};

/// row[i] += scale · Σ b[k] · a[k · n + i], in tiles of columns whose sums stay in registers.
void add_scaled_product(const float* b, const float* a, int64_t rank, int64_t n, float scale, float* row) {
  constexpr int64_t kTile = 32;
  int64_t at = 0;
  for (; at + kTile <= n; at += kTile) {
    float sums[kTile] = {};
    for (int64_t k = 0; k < rank; ++k) {
      const float* tile = a + k * n + at;
      const float factor = b[k];
      for (int64_t i = 0; i < kTile; ++i) sums[i] += factor * tile[i];
    }
    for (int64_t i = 0; i < kTile; ++i) row[at + i] += scale * sums[i];
  }
  for (; at < n; ++at) {
    float sum = 0;
    for (int64_t k = 0; k < rank; ++k) sum += b[k] * a[k * n + at];
    row[at] += scale * sum;
  }
}

class LoraWeight : public WeightSource {
 public:
  LoraWeight(std::string name, WeightSourcePtr base, LoraPair pair, DType merged,
             std::shared_ptr<LastMatrix> last)
      : name_(std::move(name)),
        base_(std::move(base)),
        pair_(std::move(pair)),
        last_(std::move(last)),
        dtype_(merged) {}

  const std::string& name() const override { return name_; }
  DType dtype() const override { return dtype_; }
  const Shape& shape() const override { return base_->shape(); }
  std::string file() const override { return fmt::format("{} with {}", base_->file(), pair_.a->file()); }

  void read_rows(int64_t first, int64_t count, std::span<std::byte> out) const override {
    const int64_t n = n_cols(), rank = pair_.a->n_rows(), stride = row_bytes(dtype_, n);
    CHECK(static_cast<int64_t>(out.size()) == count * stride, "{}: {} bytes for {} rows", name(), out.size(),
          count);
    const auto a = last_->get(*pair_.a);
    const std::vector<float> b = read_as_f32(*pair_.b, first, count);
    std::vector<float> rows = read_as_f32(*base_, first, count);
    const RowCodec codec = row_codec(dtype_);
    for (int64_t r = 0; r < count; ++r) {
      float* row = rows.data() + r * n;
      add_scaled_product(b.data() + r * rank, a->data(), rank, n, pair_.scale, row);
      codec.quantize_row(row, out.data() + r * stride, n);
    }
  }

 private:
  std::string name_;
  WeightSourcePtr base_;
  LoraPair pair_;
  std::shared_ptr<LastMatrix> last_;
  DType dtype_;
};

class LoraCheckpoint : public Checkpoint {
 public:
  LoraCheckpoint(std::shared_ptr<const Checkpoint> base, const LoraPairs& pairs,
                 std::vector<ByteSourcePtr> files, DType merged)
      : base_(std::move(base)), files_(std::move(files)) {
    path_ = base_->path();
    kind_ = base_->kind();
    chat_template_ = base_->chat_template();
    config_ = base_->config();
    tokenizer_ = base_->tokenizer();
    generation_ = base_->generation();
    const auto last = std::make_shared<LastMatrix>();
    for (const auto& [name, pair] : pairs) {
      const WeightSourcePtr weight = pair.w != nullptr ? pair.w : base_->find(name);
      CHECK(weight != nullptr, "{} is not in {}", name, path_);
      const DType stored = weight->dtype();
      const bool stays = merged == DType::kBF16 && (stored == DType::kF16 || stored == DType::kF32);
      weights_.emplace(name, std::make_shared<LoraWeight>(name, weight, pair, stays ? stored : merged, last));
    }
  }

  std::vector<std::string> names() const override { return base_->names(); }
  WeightSourcePtr find(std::string_view name) const override {
    const auto merged = weights_.find(name);
    return merged == weights_.end() ? base_->find(name) : merged->second;
  }
  std::string content_hash(const OnBytes& on_bytes) const override {
    std::call_once(hashed_, [&] {
      std::string digests = base_->content_hash(on_bytes);
      for (const ByteSourcePtr& file : files_) digests += file->sha256(on_bytes);
      hash_ = sha256_of(digests);
    });
    return hash_;
  }
  bool is_unchanged() const override {
    return base_->is_unchanged() && std::all_of(files_.begin(), files_.end(), [](const ByteSourcePtr& file) {
             return file->is_unchanged();
           });
  }
  uint64_t weight_bytes() const override {
    uint64_t bytes = base_->weight_bytes();
    for (const ByteSourcePtr& file : files_) bytes += file->size();
    return bytes;
  }

 private:
  std::shared_ptr<const Checkpoint> base_;
  std::vector<ByteSourcePtr> files_;
  std::map<std::string, WeightSourcePtr, std::less<>> weights_;
  mutable std::once_flag hashed_;
  mutable std::string hash_;
};

}  // namespace

LoraPairs read_lora(std::string_view adapter_config, const std::string& where, const ByteSourcePtr& tensors,
                    const ModelConfig& base) {
  const LoraConfig config = read_config(adapter_config, where);
  return Reader(config, where, tensors, base).read();
}

std::shared_ptr<const Checkpoint> with_lora(std::shared_ptr<const Checkpoint> base, const fs::path& adapter,
                                            DType merged) {
  std::error_code ignored;
  const auto has = [&](const char* name) { return fs::exists(adapter / name, ignored); };
  if (!has("adapter_config.json") || !has("adapter_model.safetensors")) {
    const bool has_pickle = has("adapter_model.bin");
    throw Error(
        has_pickle ? ErrorCode::kUnsupported : ErrorCode::kNotFound, "read LoRA adapter",
        fmt::format("{}: expected a folder with adapter_config.json and adapter_model.safetensors{}",
                    printable(adapter.string(), 300),
                    has_pickle ? ", found adapter_model.bin, which can hold code and is never loaded" : ""),
        has_pickle ? "save the adapter again with safe_serialization=True" : "");
  }
  const auto config = std::make_shared<FileSource>(inside(adapter, "adapter_config.json"));
  const auto tensors = std::make_shared<FileSource>(inside(adapter, "adapter_model.safetensors"));
  refuse_lfs_pointer(*config);
  const std::string text = read_text_file(config->name(), kMaxConfigBytes);
  const LoraPairs pairs = read_lora(text, config->name(), tensors, base->config());
  std::vector<ByteSourcePtr> files{config, tensors};
  return std::make_shared<LoraCheckpoint>(std::move(base), pairs, std::move(files), merged);
}

}  // namespace chaski
