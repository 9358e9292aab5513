// The CPU as a device: what it says of itself, what it refuses, that its fused ops equal their definitions
// bit by bit, and that a whole step of a small model does.
#include "backend/cpu/cpu_backend.h"

#include <map>
#include <utility>

#include "unit/cpu_fixture.h"

namespace chaski {
namespace {

using testing::HasSubstr;

ErrorCode code_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.code();
  }
  return ErrorCode::kInternal;
}

TEST(CpuBackend, SaysWhatItIs) {
  const std::vector<DeviceInfo> found = CpuBackend().probe();
  ASSERT_EQ(found.size(), 1u);
  EXPECT_EQ(found[0].id, "cpu");
  EXPECT_EQ(found[0].device_kind, "cpu");
  EXPECT_TRUE(found[0].is_available);
  EXPECT_FALSE(found[0].name.empty());
  EXPECT_EQ(found[0].path, cpu::available_kernels().front()->isa);
}

TEST(CpuBackend, OpensEveryPathThisMachineHasAndNamesThoseItHasNot) {
  const CpuBackend backend;
  for (const cpu::KernelTable* kernels : cpu::available_kernels()) {
    DeviceOptions options;
    options.isa = kernels->isa;
    EXPECT_EQ(backend.open(0, options)->info().path, kernels->isa);
  }
  DeviceOptions options;
  options.isa = "sse9\n";
  try {
    backend.open(0, options);
    FAIL();
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kUsage);
    EXPECT_THAT(error.what(), HasSubstr("scalar"));
  }
}

TEST(CpuBackend, RefusesOptionsItCannotMeet) {
  const CpuBackend backend;
  const auto open = [&](int index, int n_threads, const std::string& kv_dtype) {
    return code_of([&] { backend.open(index, {Precision::kFast, n_threads, "", kv_dtype}); });
  };
  EXPECT_EQ(open(1, 1, ""), ErrorCode::kUsage);
  EXPECT_EQ(open(0, -1, ""), ErrorCode::kUsage);
  EXPECT_EQ(open(0, 100000, ""), ErrorCode::kUsage);
  EXPECT_EQ(open(0, 1, "q4_0"), ErrorCode::kUsage);
  EXPECT_EQ(open(0, 1, "f8"), ErrorCode::kUsage);
}

TEST(CpuBackend, RefusesHeadsThatItsAttentionCannotHold) {
  const auto refusal = [](int64_t n_heads, int64_t head_dim, const std::string& kv_dtype) {
    ModelConfig config;
    config.n_heads = n_heads;
    config.n_kv_heads = 1;
    config.head_dim = head_dim;
    const auto device = CpuBackend().open(0, {Precision::kFast, 1, "", kv_dtype});
    return code_of([&] { device->kv_layout(config); });
  };
  EXPECT_EQ(refusal(1, 288, ""), ErrorCode::kUnsupported);
  EXPECT_EQ(refusal(65, 64, ""), ErrorCode::kUnsupported);
  EXPECT_EQ(refusal(1, 80, "q8_0"), ErrorCode::kUnsupported);
}

TEST(CpuBackend, ChoosesTheCacheTypeByPrecisionUnlessTold) {
  ModelConfig config;
  config.n_kv_heads = 2;
  config.head_dim = 64;
  const CpuBackend backend;
  const auto dtype = [&](Precision precision, const std::string& kv_dtype) {
    const KvLayout layout = backend.open(0, {precision, 1, "", kv_dtype})->kv_layout(config);
    EXPECT_EQ(layout.n_kv_heads, 2);
    EXPECT_EQ(layout.page_elements(), layout.k.page);
    return layout.dtype;
  };
  EXPECT_EQ(dtype(Precision::kExact, ""), DType::kF32);
  EXPECT_EQ(dtype(Precision::kFast, ""), DType::kBF16);
  EXPECT_EQ(dtype(Precision::kFast, "f16"), DType::kF16);
  config.head_dim = 512;
  EXPECT_EQ(code_of([&] { dtype(Precision::kFast, ""); }), ErrorCode::kUnsupported);
}

/// Weights are made once, and of few rows that come again and again: quantising takes longer than all steps.
WeightSourcePtr kept_weight(DType dtype, const Shape& shape, uint32_t seed) {
  constexpr int64_t kOwnRows = 37;  // no divisor of any size, so that neighbours differ everywhere
  static std::map<std::pair<DType, uint32_t>, WeightSourcePtr> kept;
  WeightSourcePtr& weight = kept[{dtype, seed}];
  if (weight) return weight;
  const WeightSourcePtr rows = random_weight(dtype, {kOwnRows, shape.last()}, seed, 0.06f);
  const auto stride = static_cast<size_t>(row_bytes(dtype, shape.last()));
  std::vector<std::byte> bytes(static_cast<size_t>(shape.n_rows()) * stride);
  for (int64_t r = 0; r < shape.n_rows(); ++r) {
    rows->read_rows(r % kOwnRows, 1, std::span(bytes).subspan(static_cast<size_t>(r) * stride, stride));
  }
  return weight = std::make_shared<HostWeight>("w", dtype, shape, std::move(bytes));
}

/// A model of random weights, small and with every matrix in a type of its own, over any Ops.
struct SmallModel {
  LlamaModel model;

  SmallModel(Ops& ops, DType first, DType second) {
    ModelConfig& c = model.config;
    c.n_layers = 2;
    c.hidden = 256;
    c.n_heads = 4;
    c.n_kv_heads = 2;
    c.head_dim = 64;
    c.ffn = 512;
    c.vocab = 300;
    c.rms_eps = 1e-5;
    c.rope_theta = 10000;
    uint32_t seed = 100;
    const auto matrix = [&](DType dtype, int64_t n_out, int64_t n_in) {
      return ops.add_weight(kept_weight(dtype, {n_out, n_in}, seed++));
    };
    const auto gain = [&] { return ops.add_weight(random_weight(DType::kF32, {c.hidden}, seed++)); };
    model.embed = matrix(first, c.vocab, c.hidden);
    for (int i = 0; i < 2; ++i) {
      LlamaLayer l;
      l.qkv = {gain(), matrix(first, 256, 256), matrix(first, 128, 256), matrix(second, 128, 256)};
      l.attn_out = matrix(second, 256, 256);
      l.ffn_in = {gain(), matrix(first, 512, 256), matrix(second, 512, 256)};
      l.ffn_out = matrix(first, 256, 512);
      model.layers.push_back(l);
    }
    model.final_norm = gain();
    model.head = model.embed;
    const std::vector<float> table = rope_table(c, 64);
    model.rope_buffer = ops.memory().allocate(table.size() * 4, "rope");
    ops.memory().copy_in(model.rope_buffer.data(), table.data(), table.size() * 4);
    model.rope = {model.rope_buffer.data(), DType::kF32, {64, c.head_dim}};
    model.context = 64;
  }
};

/// `n_rows` tokens of one sequence from `first`, logits of the last `n_outputs`.
Batch batch_of(int32_t first, int32_t n_rows, int32_t n_outputs) {
  Batch batch;
  batch.n_sequences = 1;
  batch.pages_per_sequence = 2;
  batch.page_table = {1, 0};
  for (int32_t i = first; i < first + n_rows; ++i) {
    batch.token_ids.push_back(i * 37 % 300);
    batch.positions.push_back(i);
    batch.sequence_of_row.push_back(0);
    batch.slots.push_back(i < 32 ? 32 + i : i - 32);
  }
  for (int32_t i = n_rows - n_outputs; i < n_rows; ++i) batch.outputs.push_back({i, true});
  return batch;
}

/// Logits of tokens 0 to 39, taken in steps of the given sizes; one output per row.
std::vector<float> logits_in_steps(Device& device, Ops& ops, DType first, DType second,
                                   const std::vector<int32_t>& steps) {
  const SmallModel small(ops, first, second);
  const KvStorage kv(ops.memory(), device.kv_layout(small.model.config), 2, 2);
  const auto runner = device.make_runner(ops, small.model, kv, {64, 1, 64, 2});
  std::vector<float> all;
  StepOutput output;
  int32_t done = 0;
  for (const int32_t n : steps) {
    runner->run(batch_of(done, n, n), output);
    all.insert(all.end(), output.logits.begin(), output.logits.end());
    done += n;
  }
  return all;
}

std::unique_ptr<Device> open_cpu(Precision precision, int n_threads, const std::string& isa) {
  return CpuBackend().open(0, {precision, n_threads, isa, ""});
}

class CpuDeviceTest : public CpuPath {};
CHASKI_ON_EVERY_PATH(CpuDeviceTest);

TEST_P(CpuDeviceTest, AModelsLogitsHaveTheSameBitsHoweverTheStepsAreCutAndOnAnyNumberOfThreads) {
  for (const Precision precision : {Precision::kExact, Precision::kFast}) {
    const auto one = open_cpu(precision, 1, GetParam()->isa);
    const auto two = open_cpu(precision, 2, GetParam()->isa);
    const auto three = open_cpu(precision, 1, GetParam()->isa);
    const auto whole = logits_in_steps(*one, one->ops(), DType::kQ4_1, DType::kBF16, {40});
    EXPECT_EQ(whole, logits_in_steps(*two, two->ops(), DType::kQ4_1, DType::kBF16, {40}));
    EXPECT_EQ(whole,
              logits_in_steps(*three, three->ops(), DType::kQ4_1, DType::kBF16, {1, 1, 7, 3, 20, 1, 5, 2}));
  }
}

/// An Ops whose fused calls are the default bodies over another's primitives.
class Unfused : public ScalarOps {
 public:
  explicit Unfused(Ops& inner) : inner_(inner) {}
  Memory& memory() override { return inner_.memory(); }
  WeightId add_weight(WeightSourcePtr source) override { return inner_.add_weight(source); }
  const WeightSource& weight(WeightId id) const override { return inner_.weight(id); }
  void embed(WeightId t, const TensorView& i, const TensorView& o) override { inner_.embed(t, i, o); }
  void rms_norm(const TensorView& x, WeightId g, float eps, const TensorView& o) override {
    inner_.rms_norm(x, g, eps, o);
  }
  void linear(const TensorView& x, WeightId w, const TensorView& o) override { inner_.linear(x, w, o); }
  void rope_append(const TensorView& q, const TensorView& k, const TensorView& v, const StepInputs& in,
                   const KvLayer& kv) override {
    inner_.rope_append(q, k, v, in, kv);
  }
  void attention(const TensorView& q, const StepInputs& in, const KvLayer& kv, const TensorView& o) override {
    inner_.attention(q, in, kv, o);
  }
  void swiglu(const TensorView& g, const TensorView& u, const TensorView& o) override {
    inner_.swiglu(g, u, o);
  }
  void add(const TensorView& x, const TensorView& y, const TensorView& o) override { inner_.add(x, y, o); }
  void gather_rows(const TensorView& x, const TensorView& r, const TensorView& o) override {
    inner_.gather_rows(x, r, o);
  }
  void argmax_rows(const TensorView& l, const TensorView& b, const TensorView& v) override {
    inner_.argmax_rows(l, b, v);
  }

 private:
  Ops& inner_;
};

TEST_P(CpuDeviceTest, FusedOpsEqualTheirDefinitionsBitByBit) {
  for (const Precision precision : {Precision::kExact, Precision::kFast}) {
    for (const DType dtype : kMatrixTypes) {
      const auto device = open_cpu(precision, 2, GetParam()->isa);
      const auto plain = open_cpu(precision, 2, GetParam()->isa);
      Unfused unfused(plain->ops());
      EXPECT_EQ(logits_in_steps(*device, device->ops(), dtype, DType::kQ8_0, {39, 1}),
                logits_in_steps(*plain, unfused, dtype, DType::kQ8_0, {39, 1}))
          << name_of(dtype);
    }
  }
}

TEST_P(CpuDeviceTest, ExactLogitsEqualTheOraclesAndFastOnesAreNear) {
  for (const DType dtype : kMatrixTypes) {
    const auto exact = open_cpu(Precision::kExact, 2, GetParam()->isa);
    const auto fast = open_cpu(Precision::kFast, 2, GetParam()->isa);
    static std::map<DType, std::vector<float>> kept;  // the oracle is slow, and says the same for every path
    std::vector<float>& expected = kept[dtype];
    if (expected.empty()) {
      ScalarOps scalar;
      expected = logits_in_steps(*exact, scalar, dtype, DType::kF16, {40});
    }
    const auto got = logits_in_steps(*exact, exact->ops(), dtype, DType::kF16, {40});
    const auto near = logits_in_steps(*fast, fast->ops(), dtype, DType::kF16, {40});
    double square = 0, square_off = 0, worst = 0;
    for (size_t i = 0; i < expected.size(); ++i) {
      worst = std::max(worst, double{std::fabs(got[i] - expected[i])});
      square += double{expected[i]} * expected[i];
      square_off += std::pow(double{near[i]} - expected[i], 2);
    }
    const double size = std::sqrt(square / static_cast<double>(expected.size()));
    EXPECT_LT(worst, 5e-5 * size) << name_of(dtype);
    EXPECT_LT(std::sqrt(square_off / square), 0.03) << name_of(dtype);
  }
}

TEST(CpuDevice, CountsItsWeights) {
  const auto device = open_cpu(Precision::kFast, 1, "");
  EXPECT_EQ(device->weight_bytes(), 0);
  device->ops().add_weight(random_weight(DType::kQ8_0, {64, 256}, 1));
  EXPECT_EQ(device->weight_bytes(), 64 * 256 / 32 * 34);
}

TEST(CpuDevice, SaysWhatAProductReadsOfAWeightAndHowItIsComputed) {
  for (const Precision precision : {Precision::kExact, Precision::kFast}) {
    const auto device = open_cpu(precision, 1, "scalar");
    const HeldWeight matrix =
        device->held(device->ops().add_weight(random_weight(DType::kQ8_0, {64, 256}, 1)));
    EXPECT_EQ(matrix.bytes, 64 * 256 / 32 * 34);
    EXPECT_EQ(matrix.arithmetic, precision == Precision::kExact ? "f32" : "int8");
    const HeldWeight gain = device->held(device->ops().add_weight(random_weight(DType::kF32, {1, 256}, 2)));
    EXPECT_EQ(gain.bytes, 256 * 4) << "not the panel of 16 rows around it";
  }
}

}  // namespace
}  // namespace chaski
