// GGUF files: what a right one becomes, and what hostile ones are told (H22 to H41).
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "base/error.h"
#include "format/llama_layout.h"
#include "format_builders.h"

namespace chaski::testing {
namespace {

void refused(const std::string& what, const GgufBuilder& file, const std::string& part) {
  const auto source = file.build();
  expect_refused(
      what, [&] { open_gguf_bytes(source); }, part);
}

void key_refused(const std::string& what, const std::string& key, uint32_t type, const std::string& payload,
                 const std::string& part) {
  GgufBuilder file = small_gguf();
  file.set(key, type, payload);
  refused(what, file, part);
}

enum : uint32_t {
  kUint8,
  kInt8,
  kUint16,
  kInt16,
  kUint32,
  kInt32,
  kFloat32,
  kBool,
  kString,
  kArray,
  kUint64,
  kInt64
};

TEST(Gguf, BecomesTheSameWeightsAsHuggingFaceFiles) {
  const auto model = open_gguf_bytes(small_gguf().build());
  for (const ExpectedWeight& weight : expected_weights(small_config())) {
    EXPECT_EQ(values_of(*model->require(weight.name, weight.shape)), small_weight(weight.name, weight.shape))
        << weight.name;
  }
  EXPECT_EQ(model->names().size(), 12u);
  EXPECT_EQ(model->config().eos, std::vector<int32_t>{2});
  EXPECT_EQ(model->tokenizer().tokens[31], "t31");
  EXPECT_EQ(model->tokenizer().merges.size(), 2u);
  EXPECT_FALSE(model->config().tie_embeddings);
}

TEST(Gguf, AnyRangeOfRowsOfQueriesIsPutBackInHalfSplitOrder) {
  const auto model = open_gguf_bytes(small_gguf().build());
  const auto weight = model->find("model.layers.0.self_attn.q_proj.weight");
  const std::vector<float> all = small_weight(weight->name(), {8, 8});
  for (int64_t first = 0; first < 8; ++first) {
    for (int64_t count = 0; count <= 8 - first; ++count) {
      std::vector<float> part(static_cast<size_t>(count * 8));
      weight->read_rows(first, count, std::as_writable_bytes(std::span(part)));
      EXPECT_TRUE(std::equal(part.begin(), part.end(), all.begin() + first * 8)) << first << " " << count;
    }
  }
}

TEST(Gguf, TiedEmbeddingsRopeFactorsAndLlama3EndingsAreRecognised) {
  GgufBuilder file = small_gguf();
  file.tensors.pop_back();
  const float factors[2] = {1.0f, 32.0f};
  file.tensors.push_back(
      {"rope_freqs.weight", {2}, 0, std::string(reinterpret_cast<const char*>(factors), 8), {}});
  std::vector<std::string> tokens;
  std::string types = raw<uint32_t>(5) + raw<uint64_t>(32);
  for (int i = 0; i < 32; ++i) {
    tokens.push_back(i == 7 ? "<|eot_id|>" : "t" + std::to_string(i));
    types += raw<int32_t>(i == 7 ? 3 : 1);
  }
  file.set_strings("tokenizer.ggml.tokens", tokens);
  file.set("tokenizer.ggml.token_type", kArray, types);
  file.version = 2;
  const auto model = open_gguf_bytes(file.build());
  EXPECT_TRUE(model->config().tie_embeddings);
  EXPECT_EQ(model->config().rope_factors, (std::vector<float>{1.0f, 32.0f}));
  EXPECT_EQ(model->config().eos, (std::vector<int32_t>{2, 7}));
}

TEST(Gguf, H22_MagicVersionAndByteOrderAreChecked) {
  GgufBuilder file = small_gguf();
  file.magic = "GGML";
  refused("H22 magic", file, "expected \"GGUF\", found \"GGML\"");
  file.magic = "GGUF";
  for (const uint32_t version : {0u, 1u, 4u, 999u}) {
    file.version = version;
    refused("H22 version", file, "version " + std::to_string(version) + ", expected 2 or 3");
  }
  file.version = 0x03000000;
  refused("H22 big-endian", file, "big-endian GGUF version 3");
}

TEST(Gguf, H23_CountsAreComparedWithTheFileBeforeAnythingIsAllocated) {
  for (const uint64_t count : {uint64_t{1} << 63, UINT64_MAX, uint64_t{100000}, uint64_t{13}}) {
    GgufBuilder file = small_gguf();
    file.n_tensors = count;
    refused("H23 tensors", file, "test.gguf");
    file.n_tensors.reset();
    file.n_keys = count == 13 ? 60000 : count;
    refused("H23 keys", file, "test.gguf");
  }
}

TEST(Gguf, H24_LengthsOfKeysAndStringsAreCompared) {
  GgufBuilder file = small_gguf();
  file.keys.push_back({"last", kString, raw(UINT64_MAX)});
  refused("H24 string", file, "found length 18446744073709551615");
  file.keys.back().payload = raw<uint64_t>(15u << 20);
  refused("H24 past the end", file, "more bytes, the file has");
  GgufBuilder empty;
  empty.n_keys = 1;
  expect_refused(
      "H24 key",
      [&] { open_gguf_bytes(empty.build().substr(0, 24) + raw(UINT64_MAX) + "12345678901234567890"); },
      "found length 18446744073709551615");
  file.keys.back() = {"exact", kString, gguf_string("x")};
  std::string bytes = GgufBuilder{"GGUF", 3, 0, 1, {{"exact", kString, gguf_string("x")}}, {}}.build();
  bytes.resize(24 + 8 + 5 + 4 + 8);
  expect_refused(
      "H24 one byte past the end", [&] { open_gguf_bytes(bytes); }, "expected 1 more bytes");
}

TEST(Gguf, H25_H40_ArraysAreComparedWithTheBytesLeft) {
  key_refused("H25 wraps", "x", kArray, raw<uint32_t>(kUint64) + raw(UINT64_MAX / 8 + 1), "expected at most");
  key_refused("H25 count", "x", kArray, raw<uint32_t>(kUint8) + raw<uint64_t>(16u << 20), "do not fit");
  std::string nested;
  for (int i = 0; i < 10000; ++i) nested += raw<uint32_t>(kArray) + raw<uint64_t>(1);
  key_refused("H25 nested", "x", kArray, nested, "arrays of arrays");
  GgufBuilder file;  // a small file that claims gigabytes
  for (int i = 0; i < 20; ++i) {
    file.keys.push_back({"a" + std::to_string(i), kArray, raw<uint32_t>(kUint64) + raw<uint64_t>(1u << 24)});
  }
  refused("H40", file, "do not fit");
}

TEST(Gguf, H26_ValueTypesAndBoolsAreChecked) {
  for (const uint32_t type : {13u, 255u, 0xFFFFFFFFu})
    key_refused("H26", "x", type, raw<uint64_t>(0), "value type");
  key_refused("H26 element", "x", kArray, raw<uint32_t>(13) + raw<uint64_t>(1), "value type");
  key_refused("H26 bool", "x", kBool, raw<uint8_t>(2), "bool of 0 or 1, found 2");
  key_refused("H26 bools", "x", kArray, raw<uint32_t>(kBool) + raw<uint64_t>(2) + std::string("\1\2"),
              "found 2");
}

TEST(Gguf, H27_KeysAreUniquePrintableAndNotEmpty) {
  GgufBuilder file = small_gguf();
  file.keys.push_back(file.keys.front());
  refused("H27 twice", file, "general.architecture: the key stands twice");
  key_refused("H27 empty", "", kUint8, raw<uint8_t>(0), "empty");
  key_refused("H27 control", std::string("a\nb"), kUint8, raw<uint8_t>(0), "printable");
  key_refused("H27 NUL", std::string("a\0b", 3), kUint8, raw<uint8_t>(0), "printable");
  key_refused("H27 UTF-8", "a\xFF", kUint8, raw<uint8_t>(0), "printable");
  key_refused("H27 long", std::string(65536, 'k'), kUint8, raw<uint8_t>(0), "at most 65535");
}

TEST(Gguf, H28_AlignmentIsAPowerOfTwoOfTheRightType) {
  for (const uint32_t alignment : {0u, 3u, 1u << 31, 1u << 17}) {
    key_refused("H28", "general.alignment", kUint32, raw(alignment),
                "general.alignment: expected a power of two");
  }
  key_refused("H28 string", "general.alignment", kString, gguf_string("32"), "expected uint32, found string");
  key_refused("H28 int32", "general.alignment", kInt32, raw<int32_t>(32), "expected uint32, found int32");
}

TEST(Gguf, H29_TensorShapesAreChecked) {
  const auto shape_refused = [](const std::string& what, const std::vector<uint64_t>& dims,
                                const std::string& part, uint32_t type = 0) {
    GgufBuilder file = small_gguf();
    file.tensor("blk.0.ffn_up.weight").dims = dims;
    file.tensor("blk.0.ffn_up.weight").type = type;
    refused(what, file, part);
  };
  shape_refused("H29 rank 0", {}, "1 to 4 dimensions, found 0");
  shape_refused("H29 rank 5", {1, 1, 1, 1, 1}, "1 to 4 dimensions, found 5");
  shape_refused("H29 zero", {8, 0}, "expected 1 or more, found 0");
  shape_refused("H29 negative", {8, UINT64_MAX}, "found -1");
  shape_refused("H29 wraps", {uint64_t{1} << 32, uint64_t{1} << 32, 4}, "out of range");
  shape_refused("H29 bytes wrap", {uint64_t{1} << 61, 1}, "out of range");
  shape_refused("H29 within alignment of the maximum", {(uint64_t{1} << 61) - 1}, "out of range");
  shape_refused("part of a block", {8, 16}, "multiple of 32", 8);
  shape_refused("other shape", {8, 15}, "expected shape [16, 8] from the config, found [15, 8]");
}

TEST(Gguf, H30_H31_TensorsLieInsideTheFileAndApart) {
  const auto offset_refused = [](const std::string& what, uint64_t offset, const std::string& part) {
    GgufBuilder file = small_gguf();
    file.tensor("blk.0.ffn_up.weight").offset = offset;
    refused(what, file, part);
  };
  offset_refused("H31 not aligned", 33, "that 32 divides");
  offset_refused("H31 past the end", 1u << 20, "the file ends at");
  offset_refused("H31 wraps", UINT64_MAX - 31, "the file ends at");
  offset_refused("H31 overlap", 0, "overlap");
  GgufBuilder file = small_gguf();
  for (GgufBuilder::Tensor& tensor : file.tensors) tensor.dims = {uint64_t{1} << 59};
  refused("H30", file, "the file ends at");
  file = small_gguf();
  file.tensor("blk.0.ffn_up.weight").name = "blk.0.ffn_down.weight";
  refused("two of a name", file, "same name");
  std::string cut = small_gguf().build();
  cut.pop_back();
  expect_refused(
      "cut", [&] { open_gguf_bytes(cut); }, "the file ends at");
}

TEST(Gguf, H32_TensorTypesThatAreRemovedUnknownOrNotSupportedAreNamed) {
  for (const uint32_t type : {4u, 5u, 255u, 0xFFFFFFFFu}) {
    GgufBuilder file = small_gguf();
    file.tensor("output.weight").type = type;
    refused("H32", file, "output.weight: unknown tensor type " + std::to_string(static_cast<int32_t>(type)));
  }
  GgufBuilder file = small_gguf();
  file.tensor("output.weight").type = 19;
  refused(
      "IQ1_S", file,
      "output.weight is stored as IQ1_S, expected F32, F16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, Q2_K, Q3_K, Q4_K, "
      "Q5_K, Q6_K, IQ4_NL, IQ4_XS or BF16");
}

TEST(Gguf, H33_H34_TokenArraysHaveTheRightTypeAndLength) {
  const std::string bytes32(32, '\1');
  key_refused("H33 types", "tokenizer.ggml.token_type", kArray,
              raw<uint32_t>(kInt8) + raw<uint64_t>(32) + bytes32,
              "expected array of int32, found array of int8");
  key_refused("H33 scores", "tokenizer.ggml.scores", kArray,
              raw<uint32_t>(kUint8) + raw<uint64_t>(32) + bytes32,
              "expected array of float32, found array of uint8");
  for (const size_t n : {31u, 33u}) {
    GgufBuilder file = small_gguf();
    file.set_strings("tokenizer.ggml.tokens", std::vector<std::string>(n, "x"));
    refused("H34", file, "expected 32 elements, as many as embedding rows");
  }
  key_refused("H34 types", "tokenizer.ggml.token_type", kArray,
              raw<uint32_t>(kInt32) + raw<uint64_t>(8) + std::string(32, '\0'), "expected 32 elements");
  GgufBuilder file = small_gguf();
  std::vector<std::string> tokens(32, "x");
  tokens[5].assign(5000, 'y');
  file.set_strings("tokenizer.ggml.tokens", tokens);
  refused("a piece of 5000 bytes", file, "string 5: expected at most 4096 bytes, found 5000");
}

TEST(Gguf, H35_StrangeByteTokensArePlainText) {
  GgufBuilder file = small_gguf();
  std::vector<std::string> tokens(32, "x");
  tokens[0] = "<0x-1>";
  tokens[1] = "<0xZZ>";
  tokens[2] = "<0x100>";
  file.set_strings("tokenizer.ggml.tokens", tokens);
  EXPECT_EQ(open_gguf_bytes(file.build())->tokenizer().tokens[1], "<0xZZ>");
}

TEST(Gguf, H36_LayerCountsAreLimitedAndMustMatchTheTensors) {
  for (const uint32_t layers : {0u, 1025u, 1u << 31}) {
    key_refused("H36", "llama.block_count", kUint32, raw(layers),
                "llama.block_count: expected 1 to 1024, found " + std::to_string(layers));
  }
  key_refused("H36 more than there are", "llama.block_count", kUint32, raw(2u),
              "model.layers.1.input_layernorm.weight (blk.1.attn_norm.weight) is missing");
  GgufBuilder file = small_gguf();
  file.tensor("blk.0.ffn_up.weight").name = "blk.1.ffn_up.weight";
  refused("H36 fewer", file, "blk.1.ffn_up.weight is not part of");
  for (const char* name :
       {"blk.0.attn_q.bias", "blk.00.ffn_up.weight", "blk.-0.ffn_up.weight", "blk.0.ffn_gate_inp.weight",
        "blk.99999999999999999999.ffn_up.weight", "blk.", "blk.0"}) {
    file = small_gguf();
    file.tensors.push_back({name, {8}, 0, std::string(32, '\0'), {}});
    refused(name, file, "is not part of a Llama model");
  }
}

TEST(Gguf, H37_HeadCountsMustDivide) {
  key_refused("H37 heads 0", "llama.attention.head_count", kUint32, raw(0u), "llama.attention.head_count: ");
  key_refused("H37 kv 0", "llama.attention.head_count_kv", kUint32, raw(0u),
              "llama.attention.head_count_kv: ");
  key_refused("H37 kv 3", "llama.attention.head_count_kv", kUint32, raw(3u),
              "llama.attention.head_count_kv: ");
  GgufBuilder file = small_gguf();
  file.set_u32("llama.attention.key_length", 3);
  file.set_u32("llama.rope.dimension_count", 3);
  refused("H37 odd", file, "even number");
  file.set_u32("llama.attention.key_length", 0);
  file.set_u32("llama.rope.dimension_count", 0);
  refused("H37 zero", file, "llama.attention.key_length: ");
  key_refused("H37 other rope size", "llama.rope.dimension_count", kUint32, raw(2u), "expected 4, found 2");
}

TEST(Gguf, H38_SpecialIdsLieInTheVocabulary) {
  for (const char* key : {"tokenizer.ggml.bos_token_id", "tokenizer.ggml.eos_token_id",
                          "tokenizer.ggml.eot_token_id", "tokenizer.ggml.eom_token_id",
                          "tokenizer.ggml.padding_token_id", "tokenizer.ggml.unknown_token_id"}) {
    key_refused("H38 at the end", key, kUint32, raw(32u), "expected 0 to 31, found 32");
    key_refused("H38 -1", key, kInt32, raw(-1), "expected 0 to 31, found -1");
    key_refused("H38 -1 unsigned", key, kUint32, raw(0xFFFFFFFFu), "found 4294967295");
    key_refused("H38 string", key, kString, gguf_string("2"), "expected an integer, found string");
  }
}

TEST(Gguf, KeysThatAModelNeedsAreNamedWhereMissingOrOfAnotherType) {
  for (const char* key : {"general.architecture", "llama.block_count", "llama.context_length",
                          "llama.embedding_length", "llama.feed_forward_length", "llama.attention.head_count",
                          "llama.attention.layer_norm_rms_epsilon"}) {
    GgufBuilder file = small_gguf();
    file.erase(key);
    refused("missing", file, std::string(key) + " is missing");
    key_refused("bool", key, kBool, raw<uint8_t>(1), std::string(key) + ": expected");
  }
  key_refused("other architecture", "general.architecture", kString, gguf_string("qwen2"),
              "\"qwen2\", expected \"llama\"");
  key_refused("scaling", "llama.rope.scaling.type", kString, gguf_string("linear"), "\"linear\"");
  key_refused("factor", "llama.rope.scaling.factor", kFloat32, raw(2.0f), "linear scaling");
  key_refused("theta NaN", "llama.rope.freq_base", kFloat32, raw(__builtin_nanf("")),
              "llama.rope.freq_base: ");
  key_refused("vocab_size", "llama.vocab_size", kUint32, raw(33u), "expected 32, found 33");
  key_refused("huge", "llama.context_length", kUint64, raw(UINT64_MAX), "out of range");
}

TEST(Gguf, KeysThatAskForAnotherComputationAreRefusedByName) {
  key_refused("experts", "llama.expert_count", kUint32, raw(8u), "llama.expert_count 8");
  for (const char* key :
       {"llama.attention.scale", "llama.logit_scale", "llama.residual_scale", "llama.embedding_scale"}) {
    key_refused("scale", key, kFloat32, raw(3.0f), std::string(key) + " 3: expected");
    key_refused("NaN", key, kFloat32, raw(__builtin_nanf("")), key);
    GgufBuilder file = small_gguf();
    file.set_u32("llama.expert_count", 0);
    file.set_f32(key, key == std::string("llama.attention.scale") ? 0.5f : 1.0f);  // heads of 4
    EXPECT_EQ(open_gguf_bytes(file.build())->config().n_layers, 1) << key;
    file.set_f32(key, 0);
    EXPECT_EQ(open_gguf_bytes(file.build())->config().n_layers, 1) << key;
  }
}

TEST(Gguf, WeightErrorsNameTheTensorAsTheFileDoes) {
  for (const auto& [tensor, shown] :
       {std::pair("output_norm.weight", "weight model.norm.weight (output_norm.weight): expected shape [8]"),
        std::pair("blk.0.attn_norm.weight",
                  "weight model.layers.0.input_layernorm.weight (blk.0.attn_norm.weight): expected")}) {
    GgufBuilder file = small_gguf();
    file.tensor(tensor).dims = {7};
    refused(tensor, file, shown);
  }
}

TEST(Gguf, EveryPrefixOfAFileIsRefused) {
  const std::string file = small_gguf().build();
  for (size_t n = 0; n < file.size(); n += n < 2000 ? 1 : 97) {
    EXPECT_THROW(open_gguf_bytes(file.substr(0, n)), Error) << n;
  }
}

TEST(Gguf, H41_WhatIsNoRegularFileIsRefusedAtOnce) {
  const TemporaryFolder folder;
  const std::string fifo = folder.path() / "pipe.gguf";
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  expect_refused(
      "H41 pipe", [&] { Checkpoint::open(fifo); }, "expected a regular file");
  expect_refused(
      "H41 device", [] { Checkpoint::open("/dev/zero"); }, "expected a regular file");
  const TemporaryFolder empty;
  expect_refused(
      "H41 folder", [&] { Checkpoint::open(empty.path()); }, "config.json");
  expect_refused(
      "missing", [&] { Checkpoint::open(folder.path() / "none.gguf"); }, "none.gguf");
  const std::string locked = folder.path() / "locked.gguf";
  std::ofstream(locked) << "x";
  ASSERT_EQ(chmod(locked.c_str(), 0), 0);
  expect_refused(
      "H41 no permission", [&] { Checkpoint::open(locked); }, geteuid() == 0 ? "magic" : "denied");
}

}  // namespace
}  // namespace chaski::testing
