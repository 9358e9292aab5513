// Kept executors: what is planned again and what is not, what is counted, what a refusal says, who frees
// what.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "backend/ascend/executor_cache.h"
#include "support/ascend_emulator.h"

namespace chaski {
namespace {

using ::testing::HasSubstr;
using tests::Emulator;
using tests::EmulatorSettings;
using Mode = LaunchQueue::Mode;
using acl::DataType;

constexpr AclnnOp kAdd = AclnnOp::kAdd;

struct Opened {
  explicit Opened(const Emulator& emulator, Mode mode = Mode::kThread, size_t most_kept = 100)
      : context(std::make_shared<AscendContext>(emulator.api(), 0)),
        queue(std::make_shared<LaunchQueue>(context, mode)),
        memory(queue),
        cache(memory, most_kept) {}

  /// f32 values on the device.
  Buffer values(const std::vector<float>& host) {
    Buffer buffer = memory.allocate(host.size() * sizeof(float), "test");
    memory.copy_in(buffer.data(), host.data(), host.size() * sizeof(float));
    return buffer;
  }
  std::vector<float> read(const Buffer& buffer, size_t n) {
    std::vector<float> host(n);
    memory.copy_out(host.data(), buffer.data(), n * sizeof(float));
    return host;
  }
  const AscendCounters& counters() const { return context->counters(); }

  std::shared_ptr<AscendContext> context;
  std::shared_ptr<LaunchQueue> queue;
  AscendMemory memory;
  ExecutorCache cache;
};

TensorArg f32(const Buffer& buffer, std::initializer_list<int64_t> dims) {
  return TensorArg(buffer.data(), DataType::kFloat, dims);
}

class AscendExecutorsIn : public ::testing::TestWithParam<Mode> {};
INSTANTIATE_TEST_SUITE_P(Modes, AscendExecutorsIn, ::testing::Values(Mode::kDirect, Mode::kThread),
                         [](const auto& tested) {
                           return tested.param == Mode::kDirect ? "Direct" : "Thread";
                         });

TEST_P(AscendExecutorsIn, ACallThatRecursIsPlannedOnce) {
  const Emulator emulator;
  Opened device(emulator, GetParam());
  const Buffer x = device.values({1, 2, 3, 4}), y = device.values({10, 20, 30, 40});
  const Buffer sum = device.memory.allocate(16, "test");
  for (int i = 0; i < 3; ++i) device.cache.call<kAdd>(f32(x, {4}), f32(y, {4}), ScalarArg{1}, f32(sum, {4}));
  EXPECT_EQ(device.read(sum, 4), (std::vector<float>{11, 22, 33, 44}));
  EXPECT_EQ(device.counters().plans, 1);
  EXPECT_EQ(device.counters().launches, 3);
  EXPECT_EQ(device.counters().executor_hits, 2);
  EXPECT_EQ(device.counters().launches_of[static_cast<size_t>(kAdd)], 3);
  EXPECT_EQ(emulator.count("phase1", "Add"), 1);
  EXPECT_EQ(emulator.count("launches", "Add"), 3);
  EXPECT_EQ(emulator.count("executors_reused"), 2);
}

TEST_P(AscendExecutorsIn, WhatDiffersInAnyArgumentIsPlannedApart) {
  const Emulator emulator;
  Opened device(emulator, GetParam());
  const Buffer x = device.values({1, 2, 3, 4}), y = device.values({10, 20, 30, 40});
  const Buffer sum = device.memory.allocate(16, "test");
  device.cache.call<kAdd>(f32(x, {4}), f32(y, {4}), ScalarArg{1}, f32(sum, {4}));
  device.cache.call<kAdd>(f32(x, {4}), f32(y, {4}), ScalarArg{2}, f32(sum, {4}));
  EXPECT_EQ(device.read(sum, 4), (std::vector<float>{21, 42, 63, 84}));
  device.cache.call<kAdd>(f32(y, {4}), f32(x, {4}), ScalarArg{1}, f32(sum, {4}));
  device.cache.call<kAdd>(f32(x, {2, 2}), f32(y, {2, 2}), ScalarArg{1}, f32(sum, {2, 2}));
  device.cache.call<kAdd>(f32(x, {2, 2}), f32(y, {2, 2}).transposed(), ScalarArg{1}, f32(sum, {2, 2}));
  EXPECT_EQ(device.read(sum, 4), (std::vector<float>{11, 32, 23, 44}));
  EXPECT_EQ(device.counters().plans, 5);
  EXPECT_EQ(device.counters().executor_hits, 0);
  EXPECT_EQ(device.cache.n_kept(), 5u);
}

TEST_P(AscendExecutorsIn, TheOnesUsedLeastRecentlyGoFirst) {
  const Emulator emulator;
  Opened device(emulator, GetParam(), 2);
  const Buffer x = device.values(std::vector<float>(64, 1)), sum = device.values(std::vector<float>(64));
  const auto add = [&](int64_t n) {
    device.cache.call<kAdd>(f32(x, {n}), f32(x, {n}), ScalarArg{1}, f32(sum, {n}));
  };
  add(1), add(2), add(1);  // 2 was used before 1
  EXPECT_EQ(device.counters().plans, 2);
  add(3);
  EXPECT_EQ(device.cache.n_kept(), 2u);
  add(1);
  EXPECT_EQ(device.counters().plans, 3) << "1 was kept";
  add(2);
  EXPECT_EQ(device.counters().plans, 4) << "2 was not";
  for (int64_t n = 4; n <= 60; ++n) add(n);
  device.memory.synchronize();
  EXPECT_EQ(emulator.count("live", "executors"), 2);
  EXPECT_EQ(emulator.count("live", "tensors"), 6);
  EXPECT_EQ(emulator.count("live", "scalars"), 2);
  device.cache.clear();
  EXPECT_EQ(emulator.count("live", "executors"), 0);
  EXPECT_EQ(emulator.count("live", "tensors"), 0);
}

TEST_P(AscendExecutorsIn, AnOperatorThatCannotBeKeptIsPlannedEachTime) {
  const Emulator emulator;
  Opened device(emulator, GetParam());
  const Buffer cache = device.values(std::vector<float>(8)), row = device.values({5, 6});
  const Buffer index = device.memory.allocate(4, "test");
  const int32_t second = 2;
  device.memory.copy_in(index.data(), &second, sizeof second);
  for (int i = 0; i < 3; ++i) {
    device.cache.call<AclnnOp::kInplaceIndexCopy>(
        f32(cache, {4, 2}), 0, TensorArg(index.data(), DataType::kInt32, {1}), f32(row, {1, 2}));
  }
  EXPECT_EQ(device.read(cache, 8), (std::vector<float>{0, 0, 0, 0, 5, 6, 0, 0}));
  EXPECT_EQ(device.counters().launches, 3);
  EXPECT_EQ(device.counters().plans, emulator.count("phase1", "InplaceIndexCopy"));
  EXPECT_EQ(device.counters().plans + device.counters().executor_hits, 3);
  EXPECT_EQ(emulator.count("live", "executors"), static_cast<int64_t>(device.cache.n_kept()));
}

TEST_P(AscendExecutorsIn, ARefusedCallSaysItsTensorsAndLeavesNothing) {
  const EmulatorSettings settings{{"CHASKI_EMULATOR_HIDE", "Add"}};
  const Emulator emulator;
  Opened device(emulator, GetParam());
  const Buffer x = device.values({1, 2, 3, 4});
  try {
    device.cache.call<kAdd>(f32(x, {2, 2}), f32(x, {2, 2}).transposed(), ScalarArg{1}, f32(x, {2, 2}));
    FAIL();
  } catch (const AclError& error) {
    EXPECT_TRUE(is_refusal(error.status()));
    EXPECT_EQ(error.status(), acl::kNnNoKernel);
    EXPECT_THAT(
        error.what(),
        HasSubstr("[aclnnAddGetWorkspaceSize] aclnnAdd(self f32 [2, 2], other f32 [2, 2] strides [1, 2], "
                  "alpha 1, out f32 [2, 2]): returned 561003 (ACLNN_ERR_INNER_FIND_KERNEL_ERROR)"));
    EXPECT_THAT(error.hint(), HasSubstr("kernels package"));
  }
  EXPECT_EQ(device.counters().launches, 0);
  EXPECT_EQ(emulator.count("live", "tensors"), 0);
  EXPECT_EQ(emulator.count("live", "scalars"), 0);
  EXPECT_EQ(emulator.count("live", "executors"), 0);
  EXPECT_EQ(device.read(x, 1), (std::vector<float>{1})) << "the device goes on";
}

TEST_P(AscendExecutorsIn, ALaunchThatFailsSaysWhichAndTheNextOneRuns) {
  Emulator emulator;
  Opened device(emulator, GetParam());
  const Buffer x = device.values({1, 2}), sum = device.values({0, 0});
  const auto add = [&] { device.cache.call<kAdd>(f32(x, {2}), f32(x, {2}), ScalarArg{1}, f32(sum, {2})); };
  emulator.fail("aclnnAdd:2:561000");
  add();
  try {
    add();
    device.memory.synchronize();
    FAIL();
  } catch (const AclError& error) {
    EXPECT_THAT(error.what(), HasSubstr("[aclnnAdd] aclnnAdd(self f32 [2], other f32 [2]"));
    EXPECT_THAT(error.what(), HasSubstr("561000"));
  }
  add();
  EXPECT_EQ(device.read(sum, 2), (std::vector<float>{2, 4}));
}

TEST_P(AscendExecutorsIn, FaultsWhileHandlesAreMadeOrKeptLeaveNothing) {
  Emulator emulator;
  for (const char* site :
       {"aclnnAddGetWorkspaceSize", "aclSetAclOpExecutorRepeatable", "aclrtMalloc", "launch"}) {
    for (int nth = 1; nth <= 3; ++nth) {
      Opened device(emulator, GetParam());
      const Buffer x = device.values({1, 2}), sum = device.values({0, 0});
      device.memory.synchronize();
      emulator.fail(fmt::format("{}:{}:{}", site, nth, acl::kDeviceMemory));
      try {
        for (int64_t n = 1; n <= 2; ++n)
          for (int repeat = 0; repeat < 2; ++repeat)
            device.cache.call<kAdd>(f32(x, {n}), f32(x, {n}), ScalarArg{1}, f32(sum, {n}));
        device.memory.synchronize();
      } catch (const AclError& error) {
        EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory) << error.what();
      }
      emulator.fail("");
      device.cache.call<kAdd>(f32(x, {2}), f32(x, {2}), ScalarArg{1}, f32(sum, {2}));
      EXPECT_EQ(device.read(sum, 2), (std::vector<float>{2, 4})) << site << " " << nth;
    }
    const Json live = emulator.report().at("live");
    for (const auto& [what, n] : live.items()) EXPECT_EQ(n, 0) << what << " after " << site;
  }
}

TEST_P(AscendExecutorsIn, AMatrixAsItLiesIsNoHiddenCopyAndOthersAreCounted) {
  const Emulator emulator;
  Opened device(emulator, GetParam());
  const Buffer x = device.memory.allocate(1024, "test"), w = device.memory.allocate(4096, "test");
  const Buffer out = device.memory.allocate(1024, "test");
  const auto f16 = [](const Buffer& buffer, std::initializer_list<int64_t> dims) {
    return TensorArg(buffer.data(), DataType::kFloat16, dims);
  };
  device.cache.call<AclnnOp::kMm>(f16(x, {2, 32}), f16(w, {16, 32}).transposed(), f16(out, {2, 16}),
                                  int8_t{0});
  EXPECT_EQ(device.counters().hidden_copies, 0);
  device.cache.call<kAdd>(f16(x, {4, 8}), f16(w, {8, 4}).transposed(), ScalarArg{1}, f16(out, {4, 8}));
  device.memory.synchronize();
  EXPECT_EQ(device.counters().hidden_copies, emulator.count("hidden_copies"));
  EXPECT_EQ(device.counters().ai_cpu_launches, emulator.count("ai_cpu_launches"));
}

TEST(AscendExecutors, TheWorkspaceGrowsBeforeACaptureAndNotInIt) {
  const Emulator emulator;
  Opened device(emulator);
  const Buffer x = device.values({1, 2}), sum = device.values({0, 0});
  const auto add = [&] { device.cache.call<kAdd>(f32(x, {2}), f32(x, {2}), ScalarArg{1}, f32(sum, {2})); };
  device.cache.set_capturing(true);
  EXPECT_THROW(add(), Error);
  device.cache.set_capturing(false);
  device.cache.reserve_workspace(size_t{32} << 20);
  const auto kept = device.cache.workspace();
  EXPECT_GE(kept->bytes(), size_t{32} << 20);
  device.cache.set_capturing(true);
  add();
  device.cache.set_capturing(false);
  EXPECT_EQ(device.cache.workspace(), kept);
  device.cache.reserve_workspace(size_t{40} << 20);
  EXPECT_NE(device.cache.workspace(), kept) << "who captured keeps what was captured";
  EXPECT_EQ(device.read(sum, 2), (std::vector<float>{2, 4}));
}

TEST(AscendSignature, IsTheSameForTheSameCallAndReadsBack) {
  int numbers[8] = {};
  const TensorArg x(numbers, DataType::kFloat16, {1, 2, 4});
  const int64_t lengths[] = {3, 5};
  const auto signature = [&](const TensorArg& tensor, const IntsArg& ints, double real, const char* text) {
    CallSignature made;
    made.begin(AclnnOp::kMm);
    made.add(tensor), made.add(ints), made.add(real), made.add(text);
    return made;
  };
  const CallSignature one = signature(x, IntsArg(lengths), 0.125, "BSH");
  const CallSignature same = signature(x, IntsArg(lengths), 0.125, "BSH");
  EXPECT_TRUE(CallSignature::Same()(&one, &same));
  EXPECT_EQ(CallSignature::Hash()(&one), CallSignature::Hash()(&same));
  EXPECT_EQ(one.to_string(), "aclnnMm(self f16 [1, 2, 4], mat2 [3, 5], out 0.125, cube_math_type BSH)");
  const int64_t others[] = {3, 6};
  TensorArg moved = x;
  moved.data = numbers + 1;
  for (const CallSignature& other :
       {signature(moved, IntsArg(lengths), 0.125, "BSH"), signature(x, IntsArg(others), 0.125, "BSH"),
        signature(x, nullptr, 0.125, "BSH"), signature(x, IntsArg(lengths), 0.25, "BSH"),
        signature(x, IntsArg(lengths), 0.125, "BNSD_BSND"),
        signature(x.transposed(), IntsArg(lengths), 0.125, "BSH"),
        signature(TensorArg(numbers, DataType::kBFloat16, {1, 2, 4}), IntsArg(lengths), 0.125, "BSH")}) {
    EXPECT_FALSE(CallSignature::Same()(&one, &other)) << other.to_string();
  }
  const std::vector<TensorArg> tensors = signature(x.transposed(), IntsArg(lengths), 1, "").tensors();
  ASSERT_EQ(tensors.size(), 4u);
  EXPECT_EQ(tensors[0].to_string(), "f16 [1, 4, 2] strides [8, 1, 4]");
  EXPECT_TRUE(tensors[1].is_null() && tensors[2].is_null() && tensors[3].is_null());
}

TEST(AscendTensors, KnowHowTheyLie) {
  int numbers[64] = {};
  TensorView view{numbers, DType::kF32, Shape{2, 3}};
  const TensorArg x = view;
  EXPECT_EQ(x.to_string(), "f32 [2, 3]");
  EXPECT_TRUE(x.is_contiguous());
  EXPECT_EQ(x.extent(), 6);
  EXPECT_EQ(x.transposed().extent(), 6);
  EXPECT_FALSE(x.transposed().is_contiguous());
  EXPECT_TRUE(x.reshaped({1, 6}).transposed().is_contiguous()) << "one row is one column";
  EXPECT_EQ(x.reshaped({3, 1, 2}).to_string(), "f32 [3, 1, 2]");
  EXPECT_THROW(x.reshaped({4, 2}), Error);
  EXPECT_TRUE(TensorArg(nullptr).is_null());
  EXPECT_EQ(bits_of(DataType::kInt4), 4);
}

}  // namespace
}  // namespace chaski
