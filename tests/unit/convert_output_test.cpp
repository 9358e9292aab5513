// Models written and read again: the same numbers, nothing half, nothing that was not in the input.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <limits>

#include "../support/cut_checkpoint.h"
#include "../support/temporary_folder.h"
#include "base/error.h"
#include "base/files.h"
#include "base/json.h"
#include "convert/gguf_output.h"
#include "convert/hf_output.h"
#include "format/gguf.h"
#include "format/hf_from_model.h"

namespace chaski {
namespace {

namespace fs = std::filesystem;

using tests::code_of;
using tests::cut_checkpoint;
using tests::kDamaged;
using tests::PatchedCheckpoint;
using tests::tiny;

/// The tiny model with one number of one weight replaced.
PatchedCheckpoint checkpoint_with(float number, int64_t element) {
  const WeightSourcePtr old = tiny()->find(kDamaged);
  std::vector<float> values(static_cast<size_t>(old->shape().n_elements()), 0.25f);
  values[static_cast<size_t>(element)] = number;
  return PatchedCheckpoint(tiny(), HostWeight::from_f32(kDamaged, old->shape(), values));
}

std::vector<std::byte> bytes_of(const WeightSource& weight) {
  std::vector<std::byte> bytes(
      static_cast<size_t>(weight.n_rows() * row_bytes(weight.dtype(), weight.n_cols())));
  weight.read_rows(0, weight.n_rows(), bytes);
  return bytes;
}

std::vector<float> numbers_of(const WeightSource& weight) {
  std::vector<float> numbers(static_cast<size_t>(weight.shape().n_elements()));
  format_of(weight.dtype())
      .dequantize_row(bytes_of(weight).data(), numbers.data(), weight.shape().n_elements());
  return numbers;
}

void expect_same_weights(const Checkpoint& a, const Checkpoint& b) {
  ASSERT_EQ(a.names(), b.names());
  for (const std::string& name : a.names()) {
    const auto left = a.find(name), right = b.find(name);
    EXPECT_EQ(numbers_of(*left), numbers_of(*right)) << name;
    // Norms become f32 in GGUF; all else keeps its type.
    EXPECT_TRUE(left->dtype() == right->dtype() || left->shape().rank() == 1) << name;
  }
}

class ConvertOutput : public testing::Test {
 protected:
  fs::path in(const std::string& name) const { return folder_.path() / name; }
  tests::TemporaryFolder folder_;
};

TEST_F(ConvertOutput, AGgufFileHoldsTheWeightsThatWentIn) {
  write_gguf(*tiny(), in("a.gguf"), nullptr, {});
  expect_same_weights(*tiny(), *Checkpoint::open(in("a.gguf").string()));
}

TEST_F(ConvertOutput, RowsOfAFormatAreThoseOfItsDefinitionWhateverTheThreads) {
  const ModelFormat& format = model_format_named("q4_K_M");
  write_gguf(*tiny(), in("one.gguf"), &format, {.n_threads = 1});
  write_gguf(*tiny(), in("three.gguf"), &format, {.n_threads = 3});
  EXPECT_EQ(read_text_file(in("one.gguf")), read_text_file(in("three.gguf")));
  const auto written = Checkpoint::open(in("one.gguf").string());
  const WeightSourcePtr source = tiny()->find("model.layers.0.self_attn.q_proj.weight");
  const WeightSourcePtr made = written->find(source->name());
  const int64_t n = source->shape().n_elements();
  const std::vector<float> values = numbers_of(*source);
  std::vector<std::byte> expected(bytes_of(*made).size());
  format_of(made->dtype()).quantize_row(values.data(), expected.data(), n);
  EXPECT_EQ(bytes_of(*made), expected);
}

TEST_F(ConvertOutput, AFolderAndBackIsTheSameModel) {
  write_gguf(*tiny(), in("a.gguf"), nullptr, {});
  const auto first = Checkpoint::open(in("a.gguf").string());
  write_hf_folder(*first, in("folder"), {}, {});
  const auto folder = Checkpoint::open(in("folder").string());
  expect_same_weights(*first, *folder);
  EXPECT_EQ(folder->config().eos, first->config().eos);
  write_gguf(*folder, in("b.gguf"), nullptr, {});
  const auto second = Checkpoint::open(in("b.gguf").string());
  expect_same_weights(*first, *second);
  EXPECT_EQ(first->tokenizer().tokens, second->tokenizer().tokens);
  EXPECT_EQ(first->tokenizer().token_types, second->tokenizer().token_types);
  EXPECT_EQ(first->tokenizer().merges, second->tokenizer().merges);
  EXPECT_EQ(first->chat_template(), second->chat_template());
  const GgufHeader a(std::make_shared<FileSource>(in("a.gguf"))),
      b(std::make_shared<FileSource>(in("b.gguf")));
  for (const auto& [key, value] : a.values()) {
    ASSERT_EQ(b.values().count(key), 1u) << key;
    EXPECT_EQ(b.values().at(key).type, value.type) << key;
    EXPECT_EQ(b.values().at(key).integer, value.integer) << key;
    EXPECT_EQ(b.values().at(key).number, value.number) << key;
    EXPECT_EQ(b.values().at(key).bytes, value.bytes) << key;
  }
}

TEST_F(ConvertOutput, ShardsAreAsLargeAsAskedAndListedInAnIndex) {
  write_hf_folder(*tiny(), in("folder"), {.dtype = DType::kF16, .max_shard_bytes = 300'000}, {});
  const Json index = parse_json(read_text_file(in("folder/model.safetensors.index.json")), "index");
  EXPECT_GT(index.at("weight_map").size(), 10u);
  EXPECT_FALSE(fs::exists(in("folder/model.safetensors")));
  const auto folder = Checkpoint::open(in("folder").string());
  EXPECT_EQ(folder->find("model.norm.weight")->dtype(), DType::kF16);
}

TEST_F(ConvertOutput, Llama3FactorsComeBackAsTheirRule) {
  ModelConfig config = tiny()->config();
  config.rope_scaling = RopeScaling{.factor = 32};
  const std::string text = hf_config_text(config, DType::kBF16);
  EXPECT_EQ(parse_json(text, "config").at("rope_scaling").at("factor"), 32.0);
  config.rope_scaling.reset();
  config.rope_factors.assign(static_cast<size_t>(config.head_dim / 2), 1.5f);
  config.rope_factors.back() = 7;
  EXPECT_EQ(code_of([&] { hf_config_text(config, DType::kBF16); }), ErrorCode::kUnsupported);
}

TEST_F(ConvertOutput, ANumberThatIsNotFiniteIsNamedAndNothingIsLeft) {
  const auto damaged = checkpoint_with(std::numeric_limits<float>::quiet_NaN(), 777);
  std::string message;
  EXPECT_EQ(code_of([&] { write_gguf(damaged, in("a.gguf"), &model_format_named("q8_0"), {}); }, &message),
            ErrorCode::kCorrupt);
  EXPECT_NE(message.find(kDamaged), std::string::npos) << message;
  EXPECT_NE(message.find("element 777"), std::string::npos) << message;
  EXPECT_TRUE(fs::is_empty(folder_.path()));
  write_gguf(damaged, in("a.gguf"), &model_format_named("q8_0"), {.allow_nonfinite = true});
  EXPECT_TRUE(fs::exists(in("a.gguf")));
}

TEST_F(ConvertOutput, ANumberTooLargeForTheTypeIsRefused) {
  const auto large = checkpoint_with(1e6f, 3);
  EXPECT_EQ(code_of([&] { write_gguf(large, in("a.gguf"), &model_format_named("f16"), {}); }),
            ErrorCode::kCorrupt);
  write_gguf(large, in("a.gguf"), &model_format_named("bf16"), {});
}

TEST_F(ConvertOutput, ANumberThatNoBlockHoldsIsRefusedAndNoneBecomesZeros) {
  for (const float number : {1e9f, -1e12f, 1e15f, -1e20f, 3e38f}) {
    const auto large = checkpoint_with(number, 777);
    for (const char* format :
         {"q2_K", "q3_K", "q4_K", "q5_K", "q6_K", "iq4_nl", "iq4_xs", "q4_0", "q5_1", "q8_0"}) {
      std::string message;
      const auto write = [&] { write_gguf(large, in("a.gguf"), &model_format_named(format), {}); };
      EXPECT_EQ(code_of(write, &message), ErrorCode::kCorrupt) << format << " " << number;
      EXPECT_NE(message.find("too large"), std::string::npos) << message;
      EXPECT_TRUE(fs::is_empty(folder_.path()));
    }
  }
}

TEST_F(ConvertOutput, AnInterruptedFileIsContinuedAndIsTheSameInTheEnd) {
  const ModelFormat& format = model_format_named("q8_0");
  write_gguf(*tiny(), in("whole.gguf"), &format, {});
  std::string message;
  const auto cut = cut_checkpoint(ErrorCode::kCancelled);
  EXPECT_EQ(code_of([&] { write_gguf(cut, in("a.gguf"), &format, {.n_threads = 1}); }, &message),
            ErrorCode::kCancelled);
  EXPECT_NE(message.find("a.gguf.partial"), std::string::npos) << message;
  EXPECT_FALSE(fs::exists(in("a.gguf")));
  EXPECT_TRUE(fs::exists(in("a.gguf.partial")));
  const OutputReport report = write_gguf(*tiny(), in("a.gguf"), &format, {});
  EXPECT_GT(report.n_continued, 5u);
  EXPECT_LT(report.n_continued, report.n_weights);
  EXPECT_EQ(read_text_file(in("a.gguf")), read_text_file(in("whole.gguf")));
  EXPECT_FALSE(fs::exists(in("a.gguf.partial")));
  EXPECT_FALSE(fs::exists(in("a.gguf.journal")));
}

TEST_F(ConvertOutput, APartialFileOfAnotherPlanIsNotContinued) {
  const auto cut = cut_checkpoint(ErrorCode::kIo);
  EXPECT_EQ(code_of([&] { write_gguf(cut, in("a.gguf"), &model_format_named("q8_0"), {.n_threads = 1}); }),
            ErrorCode::kIo);
  const OutputReport report = write_gguf(*tiny(), in("a.gguf"), &model_format_named("q4_0"), {});
  EXPECT_EQ(report.n_continued, 0u);
  write_gguf(*tiny(), in("b.gguf"), &model_format_named("q4_0"), {});
  EXPECT_EQ(read_text_file(in("a.gguf")), read_text_file(in("b.gguf")));
}

TEST_F(ConvertOutput, H39AnInputThatWasCutIsRefusedAndNothingIsLeft) {
  write_gguf(*tiny(), in("in.gguf"), nullptr, {});
  const auto model = Checkpoint::open(in("in.gguf").string());
  fs::resize_file(in("in.gguf"), fs::file_size(in("in.gguf")) - 4096);  // under the reader's hands
  EXPECT_EQ(code_of([&] { write_gguf(*model, in("out.gguf"), &model_format_named("q8_0"), {}); }),
            ErrorCode::kCorrupt);
  EXPECT_EQ(code_of([&] { Checkpoint::open(in("in.gguf").string()); }), ErrorCode::kCorrupt);
  EXPECT_FALSE(fs::exists(in("out.gguf")));
  EXPECT_FALSE(fs::exists(in("out.gguf.partial")));
}

TEST_F(ConvertOutput, TheModelItselfIsNeverWrittenOverAndOtherFilesOnlyWhenAsked) {
  write_gguf(*tiny(), in("a.gguf"), nullptr, {});
  const std::string before = read_text_file(in("a.gguf"));
  const auto model = Checkpoint::open(in("a.gguf").string());
  const ModelFormat& format = model_format_named("q8_0");
  fs::create_symlink(in("a.gguf"), in("link.gguf"));
  for (const char* name : {"a.gguf", "link.gguf"}) {
    EXPECT_EQ(code_of([&] { write_gguf(*model, in(name), &format, {.replaces = true}); }), ErrorCode::kUsage);
  }
  write_gguf(*model, in("b.gguf"), &format, {});
  EXPECT_EQ(code_of([&] { write_gguf(*model, in("b.gguf"), &format, {}); }), ErrorCode::kUsage);
  write_gguf(*model, in("b.gguf"), &format, {.replaces = true});
  EXPECT_EQ(code_of([&] { write_hf_folder(*model, folder_.path(), {}, {}); }), ErrorCode::kUsage);
  EXPECT_EQ(read_text_file(in("a.gguf")), before);
}

}  // namespace
}  // namespace chaski
