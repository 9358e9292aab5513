// Directories as Hugging Face lays them out: what is found in them, shards and their index (H18 to H20, H47,
// H50), and files that change under us.
#include <gtest/gtest.h>

#include <cstring>
#include <ctime>
#include <filesystem>
#include <fstream>

#include "base/error.h"
#include "format/describe.h"
#include "format/llama_layout.h"
#include "format/shard_index.h"
#include "format_builders.h"

namespace chaski::testing {
namespace {

namespace fs = std::filesystem;

void write(const fs::path& path, const std::string& text) { write_file_atomic(path, text); }

void expect_small_model(const Checkpoint& model) {
  for (const ExpectedWeight& weight : expected_weights(small_config())) {
    EXPECT_EQ(values_of(*model.require(weight.name, weight.shape)), small_weight(weight.name, weight.shape));
  }
}

TEST(Directory, OneFileAndShardsGiveTheSameModel) {
  const TemporaryFolder folder;
  write_small_hf_model(folder.path() / "one", small_hf_config());
  write_sharded_model(folder.path() / "two");
  const auto one = Checkpoint::open(folder.path() / "one"), two = Checkpoint::open(folder.path() / "two");
  expect_small_model(*one);
  expect_small_model(*two);
  EXPECT_EQ(one->kind(), "safetensors");
  EXPECT_EQ(one->content_hash(), sha256_of_file(InputFile(folder.path() / "one/model.safetensors")));
  EXPECT_EQ(two->content_hash(), sha256_of(sha256_of_file(InputFile(folder.path() / "two/a.safetensors")) +
                                           sha256_of_file(InputFile(folder.path() / "two/b.safetensors"))));
  EXPECT_EQ(one->weight_bytes(), static_cast<uint64_t>(small_config().n_parameters()) * 4);
}

TEST(Directory, TemplateAndGenerationConfigAreRead) {
  const TemporaryFolder folder;
  write_small_hf_model(folder.path(), small_hf_config());
  write(folder.path() / "tokenizer.json", "{}");
  write(folder.path() / "tokenizer_config.json", R"({"chat_template":"from config"})");
  write(folder.path() / "generation_config.json", R"({"eos_token_id":[2,9],"temperature":0.6})");
  auto model = Checkpoint::open(folder.path());
  EXPECT_EQ(model->chat_template(), "from config");
  EXPECT_EQ(model->tokenizer().tokenizer_json, "{}");
  EXPECT_EQ(model->config().eos, (std::vector<int32_t>{2, 9}));
  EXPECT_EQ(model->generation().temperature, 0.6);
  write(folder.path() / "chat_template.jinja", "from jinja");
  EXPECT_EQ(Checkpoint::open(folder.path())->chat_template(), "from jinja");
}

TEST(Directory, OneGgufFileWithoutConfigIsOpenedAndTwoAreNot) {
  const TemporaryFolder folder;
  write(folder.path() / "m.gguf", small_gguf().build());
  const auto model = Checkpoint::open(folder.path());
  EXPECT_EQ(model->kind(), "gguf");
  expect_small_model(*model);
  write(folder.path() / "n.gguf", "x");
  expect_refused(
      "two", [&] { Checkpoint::open(folder.path()); }, "found 2 .gguf files");
}

TEST(Directory, DescriptionCountsFormatsAndTellsTheConfig) {
  const TemporaryFolder folder;
  write_small_hf_model(folder.path(), small_hf_config());
  const OrderedJson facts = describe_checkpoint(*Checkpoint::open(folder.path()));
  EXPECT_EQ(facts["formats"]["f32"], 12);
  EXPECT_EQ(facts["parameters"], small_config().n_parameters());
  EXPECT_EQ(facts["config"]["n_kv_heads"], 1);
  EXPECT_TRUE(facts["chat_template"].is_null());
  const OrderedJson tiny = describe_checkpoint(*Checkpoint::open("synthetic:tiny@q8_0"));
  EXPECT_EQ(tiny["formats"]["q8_0"], 15);
  EXPECT_EQ(tiny["config"]["rope_scaling"]["type"], "llama3");
  EXPECT_EQ(tiny["tokenizer"]["vocab"], 512);
}

TEST(Directory, H18_ShardNamesThatLeaveTheFolderAreRefusedUnopened) {
  const TemporaryFolder folder;
  Json index = write_sharded_model(folder.path() / "model");
  write(folder.path() / "x.safetensors", "outside");
  for (const std::string& name :
       {std::string("../x.safetensors"), std::string("/tmp/x.safetensors"),
        std::string("a/../../x.safetensors"), std::string("x\0.safetensors", 14),
        std::string("a\\x.safetensors"), std::string("C:x.safetensors"), std::string("./x.safetensors"),
        std::string(""), std::string("weights.bin"), std::string(".safetensors")}) {
    index["weight_map"]["lm_head.weight"] = name;
    write(folder.path() / "model/model.safetensors.index.json", index.dump());
    expect_refused(
        "H18 " + name, [&] { Checkpoint::open(folder.path() / "model"); },
        "expected the name of a .safetensors file below the folder");
  }
  fs::create_symlink("../x.safetensors", folder.path() / "model/link.safetensors");
  index["weight_map"]["lm_head.weight"] = "link.safetensors";
  write(folder.path() / "model/model.safetensors.index.json", index.dump());
  expect_refused(
      "H18 link", [&] { Checkpoint::open(folder.path() / "model"); }, "a link that leads out of the folder");
}

TEST(Directory, H18_NoFileOfAModelMayBeALinkOutOfItsFolder) {
  for (const std::string name :
       {"config.json", "generation_config.json", "model.safetensors", "model.safetensors.index.json",
        "tokenizer.json", "tokenizer_config.json", "chat_template.jinja"}) {
    const TemporaryFolder folder;
    const fs::path model = folder.path() / "model";
    if (name == "model.safetensors.index.json") {
      write_sharded_model(model);
    } else {
      write_small_hf_model(model, small_hf_config());
    }
    for (const char* text : {"generation_config.json", "tokenizer.json", "tokenizer_config.json"}) {
      write(model / text, "{}");
    }
    write(model / "chat_template.jinja", "x");
    expect_small_model(*Checkpoint::open(model));
    fs::rename(model / name, folder.path() / "outside");
    fs::create_symlink("../outside", model / name);
    expect_refused(
        name, [&] { Checkpoint::open(model); }, name + " is a link that leads out of the folder");
    fs::remove(model / name);
    fs::create_directory(model / "sub");
    fs::rename(folder.path() / "outside", model / "sub/file");
    fs::create_symlink("sub/file", model / name);
    expect_small_model(*Checkpoint::open(model));
  }
  const TemporaryFolder folder;
  fs::create_directory(folder.path() / "model");
  write(folder.path() / "outside.gguf", small_gguf().build());
  fs::create_symlink("../outside.gguf", folder.path() / "model/m.gguf");
  expect_refused(
      "gguf", [&] { Checkpoint::open(folder.path() / "model"); }, "a link that leads out of the folder");
  expect_small_model(*Checkpoint::open(folder.path() / "model/m.gguf"));
}

TEST(Directory, WhatInAFolderIsTheModelIsOneRule) {
  const TemporaryFolder folder;
  EXPECT_EQ(model_in_folder(folder.path()), std::nullopt);
  write(folder.path() / "b.gguf", "x");
  EXPECT_EQ(model_in_folder(folder.path()), folder.path() / "b.gguf");
  write(folder.path() / "a.gguf", "x");
  EXPECT_EQ(model_in_folder(folder.path()), std::nullopt);
  EXPECT_EQ(gguf_files_in(folder.path()).front(), folder.path() / "a.gguf");
  write(folder.path() / "config.json", "{}");
  EXPECT_EQ(model_in_folder(folder.path()), folder.path());
  EXPECT_THROW(model_in_folder(folder.path() / "none"), Error);
}

/// The small model with `n` more tensors of one byte, their names `name_bytes` long, in its one file.
void write_model_with_extras(const fs::path& folder, size_t n, size_t name_bytes) {
  write_small_hf_model(folder, small_hf_config());
  const std::string file = read_text_file(folder / "model.safetensors");
  uint64_t length = 0;
  std::memcpy(&length, file.data(), 8);
  std::string header = file.substr(8, length), data = file.substr(8 + length);
  header.pop_back();
  const std::string padding(name_bytes - 7, 'x');
  for (size_t i = 0; i < n; ++i) {
    header += fmt::format(R"(,"{}{:07}":{{"dtype":"U8","shape":[1],"data_offsets":[{},{}]}})", padding, i,
                          data.size(), data.size() + 1);
    data += 'x';
  }
  write(folder / "model.safetensors", safetensors_file(header + "}", data));
}

TEST(Directory, H17_TwoHundredThousandTensorsAreOpenedSoonAndInLittleMemoryAndMoreAreRefused) {
  const TemporaryFolder folder;
  for (const auto& [n, name_bytes] : {std::pair<size_t, size_t>(199'988, 7), {180'000, 480}}) {
    write_model_with_extras(folder.path(), n, name_bytes);
    const size_t before = heap_now();
    reset_heap_peak();
    const std::clock_t start = std::clock();
    const auto model = Checkpoint::open(folder.path());
    EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 2) << name_bytes;
    EXPECT_LT(heap_peak() - before, 64u << 20) << name_bytes;
    EXPECT_EQ(model->names().size(), 12u);
    expect_small_model(*model);
  }
  write_model_with_extras(folder.path(), 199'989, 7);
  expect_refused(
      "H17 one more", [&] { Checkpoint::open(folder.path()); }, "at most 200000 tensors");
  write_model_with_extras(folder.path(), 1'000'000, 7);
  expect_refused(
      "H17 a million", [&] { Checkpoint::open(folder.path()); }, "at most 200000 tensors");
  write_model_with_extras(folder.path(), 1, 513);
  expect_refused(
      "a name of 513 bytes", [&] { Checkpoint::open(folder.path()); }, "at most 512 bytes");
}

TEST(Directory, H17_TheLimitOnTensorsIsOnAllFilesOfAModel) {
  const TemporaryFolder folder;
  write_sharded_model(folder.path());
  std::string header = "{", data(150'000, 'x');
  for (size_t i = 0; i < data.size(); ++i) {
    header += fmt::format(R"({}"t{}":{{"dtype":"U8","shape":[1],"data_offsets":[{},{}]}})", i == 0 ? "" : ",",
                          i, i, i + 1);
  }
  Json index = parse_json(read_text_file(folder.path() / "model.safetensors.index.json"), "index");
  for (const std::string file : {"x.safetensors", "y.safetensors"}) {
    write(folder.path() / file, safetensors_file(header + "}", data));
    index["weight_map"]["in " + file] = file;
  }
  write(folder.path() / "model.safetensors.index.json", index.dump());
  expect_refused(
      "H17 shards", [&] { Checkpoint::open(folder.path()); }, "at most 200000 tensors in a model");
}

TEST(Directory, LinksOfHuggingFacesCacheAreFollowed) {
  const TemporaryFolder folder;
  const fs::path snapshot = folder.path() / "repo/snapshots/0123";
  write_sharded_model(snapshot);
  fs::create_directories(folder.path() / "repo/blobs");
  for (const char* name : {"config.json", "a.safetensors", "b.safetensors", "model.safetensors.index.json"}) {
    fs::rename(snapshot / name, folder.path() / "repo/blobs" / name);
    fs::create_symlink(fs::path("../../blobs") / name, snapshot / name);
  }
  expect_small_model(*Checkpoint::open(snapshot));
}

TEST(Directory, LinksIntoTheStoreThatHuggingFacesRepositoriesShareAreFollowed) {
  const TemporaryFolder folder;
  const fs::path snapshot = folder.path() / "hub/models--A--B/snapshots/0123",
                 shared = folder.path() / "hub/blobs/ab";
  write_sharded_model(snapshot);
  fs::create_directories(folder.path() / "hub/models--A--B/blobs");
  fs::create_directories(shared);
  for (const char* name : {"a.safetensors", "b.safetensors"}) {
    fs::rename(snapshot / name, shared / name);
    fs::create_symlink(fs::path("../../blobs/ab") / name, folder.path() / "hub/models--A--B/blobs" / name);
    fs::create_symlink(fs::path("../../blobs") / name, snapshot / name);
  }
  expect_refused(
      "no marker", [&] { Checkpoint::open(snapshot); }, "is a link that leads out of the folder");
  write(folder.path() / "hub/blobs/.huggingface-shared-blobs", "1");
  expect_small_model(*Checkpoint::open(snapshot));
}

TEST(Directory, H19_MissingShardsAndTensorsAreListed) {
  const TemporaryFolder folder;
  Json index = write_sharded_model(folder.path());
  // Each of these weights stands in the other file.
  for (const char* name : {"input_layernorm", "self_attn.k_proj", "self_attn.o_proj", "mlp.gate_proj"}) {
    auto& file = index["weight_map"][std::string("model.layers.0.") + name + ".weight"];
    file = file == "a.safetensors" ? "b.safetensors" : "a.safetensors";
  }
  write(folder.path() / "model.safetensors.index.json", index.dump());
  expect_refused(
      "H19 tensor", [&] { Checkpoint::open(folder.path()); },
      "model.layers.0.input_layernorm.weight in a.safetensors, model.layers.0.mlp.gate_proj.weight in "
      "a.safetensors, model.layers.0.self_attn.k_proj.weight in a.safetensors and 1 more");
  fs::remove(folder.path() / "b.safetensors");
  expect_refused(
      "H19 shard", [&] { Checkpoint::open(folder.path()); }, "are missing: b.safetensors");
}

TEST(Directory, IndexesThatAreNoMapOfNamesAreRefused) {
  for (const std::string text :
       {"", "[]", "{}", R"({"weight_map":[]})", R"({"weight_map":{"a":1}})",
        R"({"weight_map":{},"weight_map":{}})", R"({"weight_map":{"a":"x.safetensors","a":"x.safetensors"}})",
        R"({"weight_map":{}}x)", R"({"weight_map":{)", R"({"weight_map":{"a":"x.safetensors",}})"}) {
    expect_refused(
        text, [&] { read_shard_index(MemorySource("index.json", text)); }, "index.json");
  }
  std::string text = "{\"weight_map\":{\"t\":\"a.safetensors\"";
  for (int i = 0; i < 300000; ++i) text += ",\"t" + std::to_string(i) + "\":\"a.safetensors\"";
  const MemorySource source("index.json", text + "}}");
  expect_refused(
      "300,000 tensors", [&] { read_shard_index(source); }, "at most 200000");
}

TEST(Directory, H20_AFileCutAfterItWasOpenedIsAnErrorThatNamesFileAndOffset) {
  const TemporaryFolder folder;
  write_small_hf_model(folder.path(), small_hf_config());
  const auto model = Checkpoint::open(folder.path());
  fs::resize_file(folder.path() / "model.safetensors", 100);
  expect_refused(
      "H20", [&] { values_of(*model->find("model.norm.weight")); }, "model.safetensors ends at offset");
}

TEST(Directory, H47_WeightsThatDisagreeWithTheConfigAreNamed) {
  const TemporaryFolder folder;
  Json config = small_hf_config();
  config["intermediate_size"] = 17;
  write_small_hf_model(folder.path(), config);
  expect_refused(
      "H47", [&] { Checkpoint::open(folder.path()); },
      "mlp.gate_proj.weight: expected shape [17, 8] from the config, found [16, 8]");
  config = small_hf_config();
  config["num_hidden_layers"] = 2;
  write_small_hf_model(folder.path(), config);
  expect_refused(
      "H47 layers", [&] { Checkpoint::open(folder.path()); },
      "model.layers.1.input_layernorm.weight is missing");
}

TEST(Directory, H50_AHugeConfigIsRefusedBySize) {
  const TemporaryFolder folder;
  write_small_hf_model(folder.path(), small_hf_config());
  for (const char* name :
       {"config.json", "generation_config.json", "tokenizer_config.json", "tokenizer.json"}) {
    const TemporaryFolder copy;
    fs::copy(folder.path(), copy.path(), fs::copy_options::recursive);
    std::ofstream(copy.path() / name).close();
    fs::resize_file(copy.path() / name, 500000000);
    expect_refused(
        "H50", [&] { Checkpoint::open(copy.path()); }, "500000000 bytes, at most");
  }
}

TEST(Directory, GitLfsPointersAndPicklesAreNamedAsSuch) {
  const std::string pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 17\n";
  for (const char* name : {"model.safetensors", "tokenizer.json", "config.json"}) {
    const TemporaryFolder folder;
    write_small_hf_model(folder.path(), small_hf_config());
    write(folder.path() / name, pointer);
    expect_refused(
        name, [&] { Checkpoint::open(folder.path()); }, std::string(name) + ": expected the file itself");
  }
  const TemporaryFolder folder;
  write(folder.path() / "config.json", small_hf_config().dump());
  expect_refused(
      "no weights", [&] { Checkpoint::open(folder.path()); }, "found neither");
  write(folder.path() / "pytorch_model.bin", "x");
  expect_refused(
      "pickle", [&] { Checkpoint::open(folder.path()); }, "never loaded");
}

TEST(Directory, AWeightOfAnotherTypeIsRefusedWhenItIsNeeded) {
  const TemporaryFolder folder;
  write_small_hf_model(folder.path(), small_hf_config());
  std::string file = read_text_file(folder.path() / "model.safetensors");
  const size_t at = file.find("\"F32\"");
  file.replace(at, 5, "\"U32\"");
  write(folder.path() / "model.safetensors", file);
  expect_refused(
      "U32", [&] { Checkpoint::open(folder.path()); }, "stored as U32, expected F32, F16 or BF16");
}

}  // namespace
}  // namespace chaski::testing
