// PEFT's LoRA adapters: what is computed, and what is refused and why.
#include "format/lora.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/error.h"
#include "format_builders.h"

namespace chaski::testing {
namespace {

constexpr char kQ[] = "model.layers.0.self_attn.q_proj";
constexpr char kDown[] = "model.layers.0.mlp.down_proj";

/// An adapter of the small model that adapts q and down with rank 2.
struct Adapter {
  struct Tensor {
    std::string name, type;
    Shape shape;
    std::string data;
  };
  Json config = {
      {"peft_type", "LORA"}, {"r", 2}, {"lora_alpha", 6}, {"target_modules", {"q_proj", "down_proj"}}};
  std::vector<Tensor> tensors;

  Adapter() {
    add_pair(kQ, 8, 8, 2);
    add_pair(kDown, 8, 16, 2);
  }
  static float value(size_t i) { return 0.25f * static_cast<float>(static_cast<int>(i * 7 % 11) - 5); }
  void add(const std::string& name, Shape shape) {
    std::string data;
    for (int64_t i = 0; i < shape.n_elements(); ++i)
      data += raw(value(static_cast<size_t>(i) + tensors.size()));
    tensors.push_back({"base_model.model." + name, "F32", shape, data});
  }
  void add_pair(const std::string& module, int64_t out, int64_t in, int64_t rank) {
    add(module + ".lora_A.weight", {rank, in});
    add(module + ".lora_B.weight", {out, rank});
  }
  std::string file() const {
    Json header = Json::object();
    std::string data;
    for (const Tensor& t : tensors) {
      Json shape = Json::array();
      for (int axis = 0; axis < t.shape.rank(); ++axis) shape.push_back(t.shape[axis]);
      header[t.name] = {
          {"dtype", t.type}, {"shape", shape}, {"data_offsets", {data.size(), data.size() + t.data.size()}}};
      data += t.data;
    }
    return safetensors_file(header.dump(), data);
  }
  LoraPairs read(const ModelConfig& base = small_config()) const {
    return read_lora(config.dump(), "adapter_config.json",
                     std::make_shared<MemorySource>("adapter_model.safetensors", file()), base);
  }
  void write(const std::filesystem::path& folder) const {
    std::filesystem::create_directories(folder);
    write_file_atomic(folder / "adapter_config.json", config.dump());
    write_file_atomic(folder / "adapter_model.safetensors", file());
  }
};

/// W + scale · B · A in f64, from the adapter's own numbers.
std::vector<float> merged_by_hand(const std::vector<float>& w, const LoraPair& pair) {
  const std::vector<float> a = values_of(*pair.a), b = values_of(*pair.b);
  const auto n = static_cast<size_t>(pair.a->n_cols()), rank = static_cast<size_t>(pair.a->n_rows());
  std::vector<float> merged = w;
  for (size_t i = 0; i < w.size(); ++i) {
    double sum = 0;
    for (size_t k = 0; k < rank; ++k) {
      sum += static_cast<double>(b[i / n * rank + k]) * static_cast<double>(a[k * n + i % n]);
    }
    merged[i] = static_cast<float>(static_cast<double>(w[i]) + static_cast<double>(pair.scale) * sum);
  }
  return merged;
}

void expect_close(const std::vector<float>& found, const std::vector<float>& expected, float relative) {
  ASSERT_EQ(found.size(), expected.size());
  for (size_t i = 0; i < found.size(); ++i) {
    EXPECT_NEAR(found[i], expected[i], relative * (1 + std::fabs(expected[i]))) << i;
  }
}

TEST(Lora, WeightsAreBasePlusScaledProduct) {
  const TemporaryFolder folder;
  write_small_hf_model(folder.path() / "base", small_hf_config());
  const Adapter adapter;
  adapter.write(folder.path() / "adapter");
  const auto base = Checkpoint::open((folder.path() / "base").string());
  const LoraPairs pairs = adapter.read();
  EXPECT_EQ(pairs.size(), 2u);
  for (const DType merged : {DType::kF32, DType::kF16}) {
    const auto model = with_lora(base, folder.path() / "adapter", merged);
    EXPECT_EQ(model->names(), base->names());
    EXPECT_NE(model->content_hash(), base->content_hash());
    for (const std::string& name : base->names()) {
      const auto weight = model->find(name);
      const auto pair = pairs.find(name);
      if (pair == pairs.end()) {
        EXPECT_EQ(weight, base->find(name)) << name;
        continue;
      }
      EXPECT_EQ(weight->dtype(), merged);
      expect_close(values_of(*weight), merged_by_hand(values_of(*base->find(name)), pair->second),
                   merged == DType::kF32 ? 1e-6f : 1e-3f);
    }
  }
}

TEST(Lora, RowsReadAloneAreTheRowsReadTogether) {
  const TemporaryFolder folder;
  write_small_hf_model(folder.path() / "base", small_hf_config());
  Adapter().write(folder.path() / "adapter");
  const auto model =
      with_lora(Checkpoint::open((folder.path() / "base").string()), folder.path() / "adapter", DType::kF32);
  const auto weight = model->find(std::string(kDown) + ".weight");
  const std::vector<float> all = values_of(*weight);
  std::vector<float> row(16);
  for (int64_t r = 0; r < weight->n_rows(); ++r) {
    weight->read_rows(r, 1, std::as_writable_bytes(std::span(row)));
    EXPECT_TRUE(std::equal(row.begin(), row.end(), all.begin() + r * 16)) << r;
  }
}

TEST(Lora, AdaptedWeightsAreNeverNarrowerThanTheBase) {
  const TemporaryFolder folder;
  const Adapter adapter;
  adapter.write(folder.path());
  const std::string name = std::string(kDown) + ".weight";
  const std::vector<float> values = small_weight(name, {8, 16});
  for (const auto& [type, stored] : {std::pair(0u, DType::kF32), {1u, DType::kF16}, {30u, DType::kBF16}}) {
    GgufBuilder builder = small_gguf();
    std::string data(static_cast<size_t>(row_bytes(stored, 8 * 16)), '\0');
    format_of(stored).quantize_row(values.data(), reinterpret_cast<std::byte*>(data.data()), 8 * 16);
    builder.tensor("blk.0.ffn_down.weight").type = type;
    builder.tensor("blk.0.ffn_down.weight").data = data;
    const auto base = open_gguf_bytes(builder.build());
    const std::vector<float> expected = merged_by_hand(values_of(*base->find(name)), adapter.read().at(name));
    const auto as_bf16 = with_lora(base, folder.path(), DType::kBF16)->find(name);
    const auto as_f32 = with_lora(base, folder.path(), DType::kF32)->find(name);
    EXPECT_EQ(as_bf16->dtype(), stored);
    EXPECT_EQ(as_f32->dtype(), DType::kF32);
    expect_close(values_of(*as_f32), expected, 1e-6f);
    expect_close(values_of(*as_bf16), expected, stored == DType::kF32 ? 1e-6f : 4e-3f);
  }
}

TEST(Lora, AGgufBaseGivesTheSameWeights) {
  const TemporaryFolder folder;
  write_small_hf_model(folder.path() / "base", small_hf_config());
  Adapter().write(folder.path() / "adapter");
  const auto hf =
      with_lora(Checkpoint::open((folder.path() / "base").string()), folder.path() / "adapter", DType::kF32);
  const auto gguf = with_lora(open_gguf_bytes(small_gguf().build()), folder.path() / "adapter", DType::kF32);
  for (const char* module : {kQ, kDown}) {
    const std::string name = std::string(module) + ".weight";
    EXPECT_EQ(values_of(*hf->find(name)), values_of(*gguf->find(name))) << name;
  }
}

TEST(Lora, ScaleIsAlphaByRankOrItsRootAndPatternsGoFirst) {
  Adapter adapter;
  const std::string q = std::string(kQ) + ".weight", down = std::string(kDown) + ".weight";
  EXPECT_FLOAT_EQ(adapter.read().at(q).scale, 3.0f);
  adapter.config["use_rslora"] = true;
  EXPECT_FLOAT_EQ(adapter.read().at(q).scale, 6.0f / std::sqrt(2.0f));
  adapter.config["use_rslora"] = false;
  adapter.config["r"] = 9;
  adapter.config["rank_pattern"] = {{"q_proj", 2}, {kDown, 2}};
  adapter.config["alpha_pattern"] = {{"roj", 100}, {"mlp.down_proj", 1}};
  EXPECT_FLOAT_EQ(adapter.read().at(q).scale, 3.0f);
  EXPECT_FLOAT_EQ(adapter.read().at(down).scale, 0.5f);
}

TEST(Lora, VariantsThatComputeSomethingElseAreRefused) {
  const std::pair<const char*, Json> variants[] = {{"peft_type", "IA3"},
                                                   {"use_dora", true},
                                                   {"use_qalora", true},
                                                   {"use_something_new", true},
                                                   {"bias", "lora_only"},
                                                   {"lora_bias", true},
                                                   {"fan_in_fan_out", true},
                                                   {"modules_to_save", {"lm_head"}},
                                                   {"trainable_token_indices", {1, 2}},
                                                   {"layer_replication", {{0, 1}}},
                                                   {"init_lora_weights", "pissa"},
                                                   {"rank_pattern", {{"layers\\.[01]\\.q_proj", 2}}}};
  for (const auto& [field, value] : variants) {
    Adapter adapter;
    adapter.config[field] = value;
    expect_refused(
        field, [&] { adapter.read(); }, std::string("\"") + field + "\"");
  }
  Adapter plain;
  plain.config.update({{"use_dora", false},
                       {"bias", "none"},
                       {"modules_to_save", nullptr},
                       {"rank_pattern", Json::object()},
                       {"init_lora_weights", true},
                       {"lora_dropout", 0.1},
                       {"megatron_core", "megatron.core"}});
  EXPECT_NO_THROW(plain.read());
}

TEST(Lora, TensorsThatDoNotFitTheModelAreRefused) {
  const auto expect = [](const std::string& what, const std::function<void(Adapter&)>& spoil,
                         const std::string& part) {
    Adapter adapter;
    spoil(adapter);
    expect_refused(
        what, [&] { adapter.read(); }, part);
  };
  expect(
      "rank", [](Adapter& a) { a.config["r"] = 3; }, "expected shape [3, ");
  expect(
      "rank 0", [](Adapter& a) { a.config["r"] = 0; }, "expected 1 to");
  expect(
      "huge rank", [](Adapter& a) { a.config["r"] = int64_t{1} << 62; }, "expected 1 to");
  expect(
      "alpha", [](Adapter& a) { a.config["lora_alpha"] = 1e308; }, "lora_alpha");
  expect(
      "no alpha", [](Adapter& a) { a.config.erase("lora_alpha"); }, "lora_alpha");
  expect(
      "a half", [](Adapter& a) { a.tensors.pop_back(); }, "lora_B is missing");
  expect(
      "none", [](Adapter& a) { a.tensors.clear(); }, "found none");
  expect(
      "layer", [](Adapter& a) { a.add_pair("model.layers.1.mlp.up_proj", 16, 8, 2); },
      "layers.1.mlp.up_proj");
  expect(
      "other shape", [](Adapter& a) { a.add_pair("model.layers.0.mlp.up_proj", 8, 16, 2); },
      "expected shape [2, 8]");
  expect(
      "norm", [](Adapter& a) { a.add_pair("model.norm", 8, 8, 2); }, "model.norm");
  expect(
      "DoRA", [](Adapter& a) { a.add(std::string(kQ) + ".lora_magnitude_vector.weight", {8}); }, "DoRA");
  expect(
      "embedding",
      [](Adapter& a) {
        a.add("model.embed_tokens.lora_embedding_A", {2, 32});
      },
      "embedding");
  expect(
      "embedding linear", [](Adapter& a) { a.add_pair("model.embed_tokens", 32, 8, 2); }, "embedding");
  expect(
      "bias", [](Adapter& a) { a.add(std::string(kQ) + ".lora_B.bias", {8}); }, "expected lora_A or lora_B");
  expect(
      "saved module",
      [](Adapter& a) {
        a.add("lm_head.weight", {32, 8});
      },
      "lm_head");
  expect(
      "vector", [](Adapter& a) { a.tensors[0].shape = {16}; }, "expected a matrix");
  expect(
      "type", [](Adapter& a) { a.tensors[0].type = "I32"; }, "expected F32");
  expect(
      "prefix", [](Adapter& a) { a.tensors[0].name = a.tensors[0].name.substr(11); }, "lora_A");
}

TEST(Lora, TheHeadIsAdaptedWhereItHasAWeightOfItsOwn) {
  Adapter adapter;
  adapter.add_pair("lm_head", 32, 8, 2);
  EXPECT_EQ(adapter.read().count("lm_head.weight"), 1u);
  const TemporaryFolder folder;
  write_small_hf_model(folder.path() / "base", small_hf_config());
  adapter.add("lm_head.base_layer.weight", {32, 8});  // as PEFT saves it beside an adapted head
  adapter.write(folder.path() / "adapter");
  const auto model =
      with_lora(Checkpoint::open((folder.path() / "base").string()), folder.path() / "adapter", DType::kF32);
  const LoraPair pair = adapter.read().at("lm_head.weight");
  expect_close(values_of(*model->find("lm_head.weight")), merged_by_hand(values_of(*pair.w), pair), 1e-6f);
  EXPECT_EQ(model->find("lm_head.weight")->name(), "lm_head.weight");
  ModelConfig tied = small_config();
  tied.tie_embeddings = true;
  expect_refused(
      "tied", [&] { adapter.read(tied); }, "tie_word_embeddings");
}

TEST(Lora, AFolderWithoutAdapterAndAPickledOneAreRefused) {
  const TemporaryFolder folder;
  write_small_hf_model(folder.path() / "base", small_hf_config());
  const auto base = Checkpoint::open((folder.path() / "base").string());
  const auto open = [&] { with_lora(base, folder.path(), DType::kF32); };
  expect_refused("empty", open, "adapter_model.safetensors");
  expect_refused(
      "no folder", [&] { with_lora(base, folder.path() / "none", DType::kF32); }, "adapter_config.json");
  write_file_atomic(folder.path() / "adapter_config.json", Adapter().config.dump());
  write_file_atomic(folder.path() / "adapter_model.bin", "\x80\x02");
  expect_refused("pickle", open, "never loaded");
}

TEST(Lora, AHostileConfigIsRefused) {
  const auto read = [](const std::string& text) {
    return [text] {
      read_lora(text, "adapter_config.json", std::make_shared<MemorySource>("a", Adapter().file()),
                small_config());
    };
  };
  expect_refused("not JSON", read("{"), "adapter_config.json");
  expect_refused("a list", read("[]"), "expected a JSON object");
  expect_refused("deep", read(std::string(100000, '[')), "adapter_config.json");
  Adapter many;
  for (int i = 0; i < 5000; ++i) many.config["rank_pattern"]["m" + std::to_string(i)] = 2;
  expect_refused(
      "many patterns", [&] { many.read(); }, "at most");
}

}  // namespace
}  // namespace chaski::testing
