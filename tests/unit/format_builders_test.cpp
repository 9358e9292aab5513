// What format_builders.h promises.
#include "format_builders.h"

#include <dlfcn.h>
#include <execinfo.h>
#include <stdlib.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "base/error.h"
#include "format/gguf_checkpoint.h"
#include "format/llama_layout.h"
#include "support/heap_meter.h"

namespace chaski::testing {

size_t heap_now() { return heap_meter::now(); }
size_t heap_peak() { return heap_meter::peak(); }
void reset_heap_peak() { heap_meter::reset_peak(); }

namespace {
bool is_outside_json_destructors() {
  void* frames[64];
  const int n = ::backtrace(frames, 64);
  for (int i = 0; i < n; ++i) {
    Dl_info info{};
    if (::dladdr(frames[i], &info) == 0 || info.dli_sname == nullptr) continue;
    const std::string name = info.dli_sname;
    if (name.find("basic_json") == std::string::npos) continue;
    if (name.find("D1Ev") != std::string::npos || name.find("D2Ev") != std::string::npos ||
        name.find("7destroy") != std::string::npos) {
      return false;
    }
  }
  return true;
}
}  // namespace

void fail_allocation(size_t n) {
  heap_meter::may_fail = is_outside_json_destructors;
  heap_meter::until_failure = n;
}
bool allocation_failed() { return heap_meter::until_failure.exchange(0) == 0; }

void expect_refused(const std::string& what, const std::function<void()>& work, const std::string& part) {
  constexpr size_t kMostBytes = 64u << 20;
  constexpr double kMostSeconds = 2;
  const size_t before = heap_now();
  reset_heap_peak();
  const std::clock_t start = std::clock();
  try {
    work();
    ADD_FAILURE() << what << ": accepted";
  } catch (const Error& error) {
    EXPECT_NE(error.code(), ErrorCode::kInternal) << what << ": " << error.what();
    EXPECT_NE(std::string(error.what()).find(part), std::string::npos)
        << what << ": \"" << error.what() << "\" does not say \"" << part << "\"";
    EXPECT_LT(std::strlen(error.what()), 2000u) << what;
  } catch (const std::exception& error) {
    ADD_FAILURE() << what << ": " << error.what();
  }
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, kMostSeconds) << what;
  EXPECT_LT(heap_peak() - before, kMostBytes) << what;
}

std::string safetensors_file(const std::string& header, const std::string& data) {
  return raw<uint64_t>(header.size()) + header + data;
}

ModelConfig small_config() {
  ModelConfig config;
  config.n_layers = 1;
  config.hidden = 8;
  config.ffn = 16;
  config.n_heads = 2;
  config.n_kv_heads = 1;
  config.head_dim = 4;
  config.vocab = 32;
  config.max_context = 64;
  return config;
}

std::vector<float> small_weight(const std::string& name, const Shape& shape) {
  std::vector<float> values(static_cast<size_t>(shape.n_elements()));
  float next = static_cast<float>(std::hash<std::string>{}(name) % 1000);
  for (float& value : values) value = next++;
  return values;
}

Json small_hf_config() {
  return Json{{"architectures", {"LlamaForCausalLM"}},
              {"model_type", "llama"},
              {"hidden_size", 8},
              {"intermediate_size", 16},
              {"num_hidden_layers", 1},
              {"num_attention_heads", 2},
              {"num_key_value_heads", 1},
              {"head_dim", 4},
              {"vocab_size", 32},
              {"max_position_embeddings", 64},
              {"rms_norm_eps", 1e-5},
              {"rope_theta", 10000.0},
              {"bos_token_id", 1},
              {"eos_token_id", 2}};
}

void write_small_hf_model(const std::filesystem::path& folder, const Json& config) {
  std::filesystem::create_directories(folder);
  write_file_atomic(folder / "config.json", config.dump());
  Json header = Json::object();
  std::string data;
  for (const ExpectedWeight& weight : expected_weights(small_config())) {
    const std::vector<float> values = small_weight(weight.name, weight.shape);
    std::vector<int64_t> dims;
    for (int axis = 0; axis < weight.shape.rank(); ++axis) dims.push_back(weight.shape[axis]);
    const size_t begin = data.size();
    data.append(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(float));
    header[weight.name] = {{"dtype", "F32"}, {"shape", dims}, {"data_offsets", {begin, data.size()}}};
  }
  write_file_atomic(folder / "model.safetensors", safetensors_file(header.dump(), data));
}

Json write_sharded_model(const std::filesystem::path& folder) {
  std::filesystem::create_directories(folder);
  write_file_atomic(folder / "config.json", small_hf_config().dump());
  Json headers[2] = {Json::object(), Json::object()}, map = Json::object();
  std::string data[2];
  const std::vector<ExpectedWeight> weights = expected_weights(small_config());
  for (size_t i = 0; i < weights.size(); ++i) {
    const Shape& shape = weights[i].shape;
    const std::vector<float> values = small_weight(weights[i].name, shape);
    std::string& bytes = data[i % 2];
    const size_t begin = bytes.size();
    bytes.append(reinterpret_cast<const char*>(values.data()), values.size() * 4);
    const std::vector<int64_t> dims =
        shape.rank() == 1 ? std::vector<int64_t>{shape[0]} : std::vector<int64_t>{shape[0], shape[1]};
    headers[i % 2][weights[i].name] = {
        {"dtype", "F32"}, {"shape", dims}, {"data_offsets", {begin, bytes.size()}}};
    map[weights[i].name] = i % 2 == 0 ? "a.safetensors" : "b.safetensors";
  }
  write_file_atomic(folder / "a.safetensors", safetensors_file(headers[0].dump(), data[0]));
  write_file_atomic(folder / "b.safetensors", safetensors_file(headers[1].dump(), data[1]));
  const Json index = {{"metadata", {{"total_size", 1}}}, {"weight_map", map}};
  write_file_atomic(folder / "model.safetensors.index.json", index.dump());
  return index;
}

std::string gguf_string(const std::string& text) { return raw<uint64_t>(text.size()) + text; }

void GgufBuilder::set(const std::string& key, uint32_t type, const std::string& payload) {
  erase(key);
  keys.push_back({key, type, payload});
}

void GgufBuilder::set_string(const std::string& key, const std::string& value) {
  set(key, 8, gguf_string(value));
}

void GgufBuilder::set_strings(const std::string& key, const std::vector<std::string>& values) {
  std::string payload = raw<uint32_t>(8) + raw<uint64_t>(values.size());
  for (const std::string& value : values) payload += gguf_string(value);
  set(key, 9, payload);
}

void GgufBuilder::erase(const std::string& key) {
  keys.erase(std::remove_if(keys.begin(), keys.end(), [&](const KeyValue& kv) { return kv.key == key; }),
             keys.end());
}

GgufBuilder::Tensor& GgufBuilder::tensor(const std::string& name) {
  return *std::find_if(tensors.begin(), tensors.end(), [&](const Tensor& t) { return t.name == name; });
}

std::string GgufBuilder::build() const {
  constexpr size_t kAlignment = 32;
  std::string file =
      magic + raw(version) + raw(n_tensors.value_or(tensors.size())) + raw(n_keys.value_or(keys.size()));
  for (const KeyValue& kv : keys) file += gguf_string(kv.key) + raw(kv.type) + kv.payload;
  std::string data;
  for (const Tensor& tensor : tensors) {
    data.resize((data.size() + kAlignment - 1) / kAlignment * kAlignment);
    file += gguf_string(tensor.name) + raw(static_cast<uint32_t>(tensor.dims.size()));
    for (const uint64_t dim : tensor.dims) file += raw(dim);
    file += raw(tensor.type) + raw(tensor.offset.value_or(data.size()));
    data += tensor.data;
  }
  file.resize((file.size() + kAlignment - 1) / kAlignment * kAlignment);
  return file + data;
}

namespace {

/// A weight's rows as GGUF orders those of q and k: the two halves of each head interleaved.
std::vector<float> interleave(const std::vector<float>& values, int64_t head_dim, int64_t n_cols) {
  std::vector<float> out;
  const int64_t n_rows = static_cast<int64_t>(values.size()) / n_cols;
  for (int64_t row = 0; row < n_rows; ++row) {
    const int64_t in_head = row % head_dim;
    const int64_t from = row - in_head + in_head % 2 * (head_dim / 2) + in_head / 2;
    out.insert(out.end(), values.begin() + from * n_cols, values.begin() + (from + 1) * n_cols);
  }
  return out;
}

}  // namespace

GgufBuilder small_gguf() {
  const ModelConfig config = small_config();
  GgufBuilder file;
  file.set_string("general.architecture", "llama");
  file.set_u32("llama.block_count", 1);
  file.set_u32("llama.context_length", 64);
  file.set_u32("llama.embedding_length", 8);
  file.set_u32("llama.feed_forward_length", 16);
  file.set_u32("llama.attention.head_count", 2);
  file.set_u32("llama.attention.head_count_kv", 1);
  file.set_u32("llama.rope.dimension_count", 4);
  file.set_f32("llama.attention.layer_norm_rms_epsilon", 1e-5f);
  file.set_string("tokenizer.ggml.model", "gpt2");
  file.set_string("tokenizer.ggml.pre", "llama-bpe");
  std::vector<std::string> tokens;
  std::string types = raw<uint32_t>(5) + raw<uint64_t>(32);
  for (int i = 0; i < 32; ++i) {
    tokens.push_back("t" + std::to_string(i));
    types += raw<int32_t>(1);
  }
  file.set_strings("tokenizer.ggml.tokens", tokens);
  file.set("tokenizer.ggml.token_type", 9, types);
  file.set_strings("tokenizer.ggml.merges", {"t 1", "t 2"});
  file.set_u32("tokenizer.ggml.bos_token_id", 1);
  file.set_u32("tokenizer.ggml.eos_token_id", 2);
  const std::vector<std::string> names = {"token_embd",     "blk.0.attn_norm", "blk.0.attn_q",
                                          "blk.0.attn_k",   "blk.0.attn_v",    "blk.0.attn_output",
                                          "blk.0.ffn_norm", "blk.0.ffn_gate",  "blk.0.ffn_up",
                                          "blk.0.ffn_down", "output_norm",     "output"};
  const std::vector<ExpectedWeight> weights = expected_weights(config);
  for (size_t i = 0; i < names.size(); ++i) {
    const Shape& shape = weights[i].shape;
    std::vector<float> values = small_weight(weights[i].name, shape);
    if (names[i] == "blk.0.attn_q" || names[i] == "blk.0.attn_k") {
      values = interleave(values, config.head_dim, shape.last());
    }
    std::vector<uint64_t> dims = {static_cast<uint64_t>(shape.last())};
    if (shape.rank() == 2) dims.push_back(static_cast<uint64_t>(shape[0]));
    file.tensors.push_back({names[i] + ".weight",
                            dims,
                            0,
                            std::string(reinterpret_cast<const char*>(values.data()), values.size() * 4),
                            {}});
  }
  return file;
}

std::string gguf_part_name(size_t i, size_t n_parts) {
  return fmt::format("m-{:05}-of-{:05}.gguf", i + 1, n_parts);
}

void set_split_keys(GgufBuilder& part, size_t number, size_t n_parts, size_t n_tensors) {
  part.set("split.no", 2, raw(static_cast<uint16_t>(number)));
  part.set("split.count", 2, raw(static_cast<uint16_t>(n_parts)));
  part.set("split.tensors.count", 5, raw(static_cast<int32_t>(n_tensors)));
}

std::vector<GgufBuilder> small_gguf_parts() {
  const GgufBuilder whole = small_gguf();
  std::vector<GgufBuilder> parts(kSmallParts);
  parts[0].keys = whole.keys;
  for (size_t i = 0; i < whole.tensors.size(); ++i) {
    parts[1 + i * (kSmallParts - 1) / whole.tensors.size()].tensors.push_back(whole.tensors[i]);
  }
  for (size_t i = 0; i < kSmallParts; ++i) set_split_keys(parts[i], i, kSmallParts, whole.tensors.size());
  return parts;
}

void write_gguf_parts(const std::filesystem::path& folder, const std::vector<GgufBuilder>& parts) {
  std::filesystem::create_directories(folder);
  for (size_t i = 0; i < parts.size(); ++i) write_file_atomic(folder / gguf_part_name(i), parts[i].build());
}

std::shared_ptr<const Checkpoint> open_gguf_bytes(const std::string& bytes) {
  return open_gguf({std::make_shared<MemorySource>("test.gguf", bytes)});
}

std::vector<float> values_of(const WeightSource& weight) {
  std::vector<std::byte> bytes(
      static_cast<size_t>(weight.n_rows() * row_bytes(weight.dtype(), weight.n_cols())));
  weight.read_rows(0, weight.n_rows(), bytes);
  std::vector<float> values(static_cast<size_t>(weight.shape().n_elements()));
  format_of(weight.dtype()).dequantize_row(bytes.data(), values.data(), static_cast<int64_t>(values.size()));
  return values;
}

TEST(HeapMeter, CountsWhatIsAllocatedAndRemembersThePeak) {
  reset_heap_peak();
  const size_t before = heap_now();
  { const std::vector<char> block(10u << 20); }
  EXPECT_GE(heap_peak() - before, 10u << 20);
  EXPECT_LT(heap_now() - before, 1u << 20);
}

}  // namespace chaski::testing
