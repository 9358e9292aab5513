// How weights are held on an Ascend device: which are converted, what is said of it, what cannot be held.
#include <gmock/gmock.h>

#include "ascend_fixture.h"

namespace chaski {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using tests::EmulatedDevice;
using tests::RandomCheckpoint;
using tests::small_llama;

std::vector<std::string> notes_of(EmulatedDevice& card, const std::shared_ptr<const Checkpoint>& checkpoint) {
  card.device().begin_weights(checkpoint);
  load_llama(*checkpoint, card.ops(), 32);
  return card.device().finish_weights();
}

std::shared_ptr<RandomCheckpoint> model(DType matrices, DType vectors) {
  return std::make_shared<RandomCheckpoint>(small_llama(64), matrices, vectors);
}

TEST(AscendWeights, NothingIsSaidOfWeightsThatAreHeldAsTheyAre) {
  EmulatedDevice card("");
  EXPECT_THAT(notes_of(card, model(DType::kF16, DType::kF16)), ElementsAre());
  EXPECT_EQ(card.ops().activation_dtype(), DType::kF16);
}

TEST(AscendWeights, ActivationsAreBf16WhereTheModelIs) {
  EmulatedDevice card("");
  EXPECT_THAT(notes_of(card, model(DType::kBF16, DType::kBF16)), ElementsAre());
  EXPECT_EQ(card.ops().activation_dtype(), DType::kBF16);
}

TEST(AscendWeights, ConversionsAreSaidForEachTypeWithTheirNumber) {
  {
    EmulatedDevice card("f16");
    EXPECT_THAT(notes_of(card, model(DType::kQ4_K, DType::kF32)),
                ElementsAre("5 weights of f32 are held as f16", "15 weights of q4_K are held as f16"));
  }
  {
    EmulatedDevice card("f16");
    EXPECT_THAT(notes_of(card, model(DType::kBF16, DType::kF16)),
                ElementsAre("15 weights of bf16 are held as f16"));
  }
  {
    EmulatedDevice card("f16");
    EXPECT_THAT(notes_of(card, model(DType::kQ8_0, DType::kF16)),
                ElementsAre("1 weight of q8_0 is held as f16 for Embedding"));
  }
  {
    EmulatedDevice card("bf16");
    EXPECT_THAT(notes_of(card, model(DType::kQ4_0, DType::kBF16)),
                ElementsAre("1 weight of q4_0 is held as bf16 for Embedding",
                            "15 weights of q4_0 are held with their scales rounded to bf16"));
  }
}

TEST(AscendWeights, QuantisedWeightsTakeTheBytesOfTheirCodesAndScales) {
  EmulatedDevice card("f16");
  const auto checkpoint = model(DType::kQ4_0, DType::kF16);
  card.device().begin_weights(checkpoint);
  const LlamaModel loaded = load_llama(*checkpoint, card.ops(), 32);
  card.device().finish_weights();
  const HeldWeight q = card.device().held(loaded.layers[0].qkv.q);
  EXPECT_EQ(q.bytes, 256 * 256 / 2 + 256 * 256 / 32 * 2);
  EXPECT_EQ(q.arithmetic, "f16");
  EXPECT_EQ(card.device().bytes_to_hold(card.ops().weight(loaded.layers[0].qkv.q)), q.bytes);
  int64_t all = 2 * 300 * 256;  // the table of Embedding besides
  for (int32_t i = 0; i < static_cast<int32_t>(card.ops().weights().size()); ++i)
    all += card.device().held({i}).bytes;
  EXPECT_EQ(card.device().weight_bytes(), all);
}

TEST(AscendWeights, WithoutTheQuantisedProductWeightsAreHeldAsNumbersAndTheReasonIsSaid) {
  EmulatedDevice card("f16", "", {{"CHASKI_EMULATOR_HIDE", "WeightQuantBatchMatmulV2"}});
  const std::vector<std::string> notes = notes_of(card, model(DType::kQ8_0, DType::kF16));
  ASSERT_EQ(notes.size(), 1u);
  EXPECT_THAT(notes[0], HasSubstr("15 weights of q8_0 are held as f16: aclnnWeightQuantBatchMatmulV2"));
}

TEST(AscendWeights, ANumberThatF16CannotHoldIsAnErrorThatNamesTheWeight) {
  std::vector<float> values(256 * 256, 0.01f);
  values[5 * 256 + 3] = -70000;
  const std::string name = "model.layers.0.self_attn.o_proj.weight";
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kQ8_0}) {
    RandomCheckpoint checkpoint(small_llama(64), DType::kF16);
    checkpoint.replace(HostWeight::from_f32(name, {256, 256}, values, dtype));
    {
      EmulatedDevice card("bf16");  // which has the range
      load_llama(checkpoint, card.ops(), 32);
      card.device().finish_weights();
    }
    EmulatedDevice card("f16");
    try {
      load_llama(checkpoint, card.ops(), 32);
      card.device().finish_weights();
      ADD_FAILURE() << "it was held";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kUnsupported);
      EXPECT_THAT(error.what(), HasSubstr(name + ": row 5 holds "));
      EXPECT_THAT(error.hint(), HasSubstr("--activations bf16"));
    }
  }
}

TEST(AscendWeights, ABigModelIsUploadedInSmallPieces) {
  EmulatedDevice card("f16");
  struct Watched : WeightSource {
    std::string label = "wide";
    Shape dims{4096, 2048};
    mutable int64_t most_rows = 0;
    const std::string& name() const override { return label; }
    DType dtype() const override { return DType::kF32; }
    const Shape& shape() const override { return dims; }
    void read_rows(int64_t, int64_t count, std::span<std::byte> out) const override {
      most_rows = std::max(most_rows, count);
      std::fill(out.begin(), out.end(), std::byte{0});
    }
  };
  const auto source = std::make_shared<Watched>();
  card.ops().add_weight(source);
  card.ops().weights().finish();
  EXPECT_EQ(card.device().weight_bytes(), 4096 * 2048 * 2);
  EXPECT_LE(source->most_rows * 2048 * 4, int64_t{1} << 20);
}

TEST(AscendDevice, RefusesWhatItCannotDo) {
  const tests::Emulator emulator;
  const AscendBackend backend(emulator.api());
  const auto refusal = [&](int index, auto&& change) {
    DeviceOptions options;
    change(options);
    try {
      backend.open(index, options);
    } catch (const Error& error) {
      return std::string(error.what()) + " | " + error.hint();
    }
    return std::string("opened");
  };
  EXPECT_THAT(refusal(0, [](DeviceOptions& o) { o.precision = Precision::kExact; }),
              HasSubstr("f32 throughout"));
  EXPECT_THAT(refusal(0, [](DeviceOptions& o) { o.activations = "f32"; }),
              HasSubstr("there are f16 and bf16"));
  EXPECT_THAT(refusal(0, [](DeviceOptions& o) { o.isa = "avx2"; }), HasSubstr("captured and eager"));
  EXPECT_THAT(refusal(1, [](DeviceOptions&) {}), HasSubstr("no ascend:1; there is 1"));
  EXPECT_EQ(refusal(0, [](DeviceOptions&) {}), "opened");
  const std::vector<DeviceInfo> found = backend.probe();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_TRUE(found[0].is_available);
  EXPECT_EQ(found[0].device_kind, "emulated");
  EXPECT_EQ(found[0].name, "Ascend910B3");
}

TEST(AscendDevice, KnowsTheChipsItRunsOn) {
  for (const char* soc : {"Ascend910B1", "Ascend910B2C", "Ascend910B3", "Ascend910B4-1", "Ascend910_9392"})
    EXPECT_EQ(why_not_this_chip(soc), "") << soc;
  for (const char* soc : {"Ascend910", "Ascend910A", "Ascend910ProB", "Ascend910B", "Ascend310P3", ""})
    EXPECT_THAT(why_not_this_chip(soc), HasSubstr("expected Ascend910B1")) << soc;
}

TEST(AscendDevice, ACacheOfAnotherTypeIsRefused) {
  const tests::Emulator emulator;
  DeviceOptions options;
  options.kv_dtype = "q8_0";
  const std::unique_ptr<Device> device = AscendBackend(emulator.api()).open(0, options);
  EXPECT_THROW(device->kv_layout(small_llama(64)), Error);
}

}  // namespace
}  // namespace chaski
