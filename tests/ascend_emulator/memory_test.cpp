// Wrong programs about memory, copies and lifetimes, each of which the emulator must catch.
#include "memory.h"

#include <cstdlib>

#include "emulator_program.h"
#include "runtime.h"

namespace chaski::acl {
namespace {

using ::testing::Each;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using MemoryTest = EmulatorTest;
using MemoryDeathTest = EmulatorTest;

TEST_F(MemoryDeathTest, TheHostCannotTouchMemoryOfTheDevice) {
  volatile std::byte* data = device_bytes(64);
  EXPECT_DEATH(data[0] = std::byte{1}, "");
  EXPECT_DEATH(static_cast<void>(data[0]), "");
}

TEST_F(MemoryTest, FreshMemoryIsPoisonedAndAligned) {
  for (const size_t bytes : {4, 100, 4096}) {
    std::byte* data = device_bytes(bytes);
    EXPECT_EQ(reinterpret_cast<uintptr_t>(data) % 64, 0u);
    std::vector<unsigned char> out(bytes);
    ASSERT_EQ(aclrtMemcpy(out.data(), bytes, data, bytes, CopyKind::kDeviceToHost), 0);
    EXPECT_THAT(out, Each(0xFF));
  }
}

TEST_F(MemoryTest, AnAllocationOfNothingIsRefused) {
  void* data = nullptr;
  EXPECT_EQ(aclrtMalloc(&data, 0, MallocPolicy::kHugeFirst), kRuntimeParam);
  EXPECT_THAT(problems(), HasSubstr("no bytes"));
}

TEST_F(MemoryTest, MemoryBeyondTheLimitIsRefusedAndFreedMemoryReturns) {
  aclFinalize();
  ASSERT_EQ(::setenv("CHASKI_EMULATOR_HBM_MB", "4", 1), 0);
  SetUp();
  ::unsetenv("CHASKI_EMULATOR_HBM_MB");
  std::byte* first = device_bytes(3 << 20);
  size_t free = 0, total = 0;
  ASSERT_EQ(aclrtGetMemInfo(MemoryAttribute::kHbm, &free, &total), 0);
  EXPECT_EQ(total, 4u << 20);
  EXPECT_EQ(free, (1u << 20) - 32);
  void* second = nullptr;
  EXPECT_EQ(aclrtMalloc(&second, 1 << 20, MallocPolicy::kHugeFirst), kDeviceMemory);
  EXPECT_EQ(problems(), "\"problems\": [], ") << "running out is no mistake of the program";
  ASSERT_EQ(aclrtFree(first), 0);
  EXPECT_EQ(aclrtMalloc(&second, 3 << 20, MallocPolicy::kHugeFirst), 0);
}

TEST_F(MemoryTest, MemoryIsFreedOnceByItsStart) {
  std::byte* data = device_bytes(256);
  EXPECT_EQ(aclrtFree(data + 64), kRuntimeParam);
  EXPECT_EQ(aclrtFree(data), 0);
  EXPECT_EQ(aclrtFree(data), kRuntimeParam);
  EXPECT_THAT(problems(), HasSubstr("freed twice"));
  float* host = pinned<float>(4);
  EXPECT_EQ(aclrtFree(host), kRuntimeParam);
  EXPECT_EQ(aclrtFreeHost(host), 0);
  EXPECT_EQ(aclrtFreeHost(host), kRuntimeParam);
}

TEST_F(MemoryTest, BytesWrittenBesideAnAllocationAreSeen) {
  std::byte* data = device_bytes(100);
  const auto& memory = ascend_emulator::runtime().memory;
  memory.host(data)[100] = std::byte{1};
  EXPECT_EQ(aclrtSynchronizeStream(stream_), kAicoreException);
  EXPECT_THAT(problems(), HasSubstr("bytes after the allocation of 100 bytes"));
  std::byte* other = device_bytes(100);
  memory.host(other)[-1] = std::byte{1};
  EXPECT_EQ(aclrtFree(other), kAicoreException);
  EXPECT_THAT(problems(), HasSubstr("bytes before the allocation"));
}

TEST_F(MemoryTest, ACopyStaysInItsAllocationAndItsRoom) {
  std::byte* data = device_bytes(64);
  float host[32] = {};
  EXPECT_EQ(aclrtMemcpy(data, 128, host, 128, CopyKind::kHostToDevice), kRuntimeParam);
  EXPECT_THAT(message(), HasSubstr("only 64 to the end"));
  EXPECT_EQ(aclrtMemcpy(data, 32, host, 64, CopyKind::kHostToDevice), kRuntimeParam);
  EXPECT_EQ(aclrtMemcpy(data, 64, host, 0, CopyKind::kHostToDevice), kRuntimeParam);
  EXPECT_EQ(aclrtMemcpy(host, 64, data, 64, CopyKind::kHostToDevice), kRuntimeParam);
  EXPECT_EQ(aclrtMemcpy(host, 64, data, 64, CopyKind::kHostToHost), kRuntimeParam);
  ASSERT_EQ(aclrtFree(data), 0);
  EXPECT_EQ(aclrtMemcpy(host, 64, data, 64, CopyKind::kDeviceToHost), kRuntimeParam);
  EXPECT_THAT(message(), HasSubstr("not allocated, or freed"));
}

TEST_F(MemoryTest, WorkRunsWhenTheHostWaits) {
  std::byte* data = device_bytes(8);
  float* host = pinned<float>(2);
  put(data, {1, 2});
  host[0] = host[1] = 7;
  ASSERT_EQ(aclrtMemcpyAsync(host, 8, data, 8, CopyKind::kDeviceToHost, stream_), 0);
  EXPECT_EQ(host[0], 7) << "read without a wait";
  ASSERT_EQ(aclrtSynchronizeStream(stream_), 0);
  EXPECT_EQ(host[0], 1);
}

TEST_F(MemoryTest, StagingThatIsWrittenAgainTooSoonShowsAsWrongData) {
  std::byte* data = device_bytes(4);
  float* host = pinned<float>(1);
  host[0] = 1;
  ASSERT_EQ(aclrtMemcpyAsync(data, 4, host, 4, CopyKind::kHostToDevice, stream_), 0);
  host[0] = 2;
  ASSERT_EQ(aclrtSynchronizeStream(stream_), 0);
  EXPECT_THAT(get(data, 1), ElementsAre(2));
}

TEST_F(MemoryTest, ACopyOfMemoryThatIsNotPinnedCountsAsAWait) {
  std::byte* data = device_bytes(4);
  float host = 3;
  ASSERT_EQ(aclrtMemcpyAsync(data, 4, &host, 4, CopyKind::kHostToDevice, stream_), 0);
  EXPECT_THAT(report(), HasSubstr("\"host_waits\": 1"));
  EXPECT_THAT(report(), HasSubstr("\"unpinned_copies\": 1"));
  host = 4;
  ASSERT_EQ(aclrtSynchronizeStream(stream_), 0);
  EXPECT_THAT(get(data, 1), ElementsAre(3));
}

TEST_F(MemoryTest, ASynchronousCopyDoesNotWaitForStreams) {
  std::byte *a = device_bytes(4), *b = device_bytes(4), *sum = device_bytes(4);
  put(a, {1});
  put(b, {2});
  add(a, b, sum, 1);
  float host = 0;
  EXPECT_EQ(aclrtMemcpy(&host, 4, sum, 4, CopyKind::kDeviceToHost), kRuntimeParam)
      << "of what is still computed";
  EXPECT_EQ(aclrtMemcpy(a, 4, &host, 4, CopyKind::kHostToDevice), kRuntimeParam) << "to what is still read";
  EXPECT_THAT(problems(), HasSubstr("does not wait for streams"));
  EXPECT_EQ(aclrtMemcpy(&host, 4, a, 4, CopyKind::kDeviceToHost), 0) << "both only read";
  ASSERT_EQ(aclrtSynchronizeStream(stream_), 0);
  EXPECT_THAT(get(sum, 1), ElementsAre(3));
}

TEST_F(MemoryTest, MemoryFreedBeforeTheWorkRanFailsTheStream) {
  std::byte *a = device_bytes(4), *sum = device_bytes(4);
  add(a, a, sum, 1);
  ASSERT_EQ(aclrtFree(sum), 0);
  sum = device_bytes(4);  // may lie at the same address: it is another allocation all the same
  EXPECT_EQ(aclrtSynchronizeStream(stream_), kAicoreException);
  EXPECT_THAT(problems(), HasSubstr("freed before the work that uses it ran"));
  EXPECT_EQ(aclrtMemsetAsync(a, 4, 0, 4, stream_), kAicoreException) << "a failed stream stays failed";
}

TEST_F(MemoryTest, TheWorkspaceMustLiveUntilTheWorkRan) {
  std::byte* a = device_bytes(4);
  add(a, a, device_bytes(4), 1);
  ASSERT_EQ(aclrtFree(workspace_), 0);
  EXPECT_EQ(aclrtSynchronizeStream(stream_), kAicoreException);
}

TEST_F(MemoryTest, PinnedMemoryFreedBeforeTheCopyRanFailsTheStream) {
  float* host = pinned<float>(1);
  ASSERT_EQ(aclrtMemcpyAsync(device_bytes(4), 4, host, 4, CopyKind::kHostToDevice, stream_), 0);
  ASSERT_EQ(aclrtFreeHost(host), 0);
  EXPECT_EQ(aclrtSynchronizeStream(stream_), kAicoreException);
  EXPECT_THAT(problems(), HasSubstr("pinned memory was freed"));
}

TEST_F(MemoryTest, ATensorLiesWithinOneLiveAllocation) {
  std::byte *small = device_bytes(60), *fits = device_bytes(64);
  EXPECT_EQ(launch(planned_add(fits, fits, small, 16)), kNnRuntime);
  EXPECT_THAT(message(), HasSubstr("only 60 to the end"));
  ASSERT_EQ(aclrtFree(small), 0);
  EXPECT_EQ(launch(planned_add(fits, fits, small, 1)), kNnRuntime);
  EXPECT_EQ(launch(planned_add(fits, fits, pinned<std::byte>(64), 16)), kNnRuntime) << "memory of the host";
}

TEST_F(MemoryTest, ATensorsDataIsAligned) {
  std::byte* data = device_bytes(256);
  EXPECT_EQ(launch(planned_add(data, data + 16, data + 128, 4)), kNnInvalidParam);
  EXPECT_THAT(problems(), HasSubstr("not 32-byte aligned"));
  EXPECT_EQ(launch(planned_add(data, data + 32, data + 128, 4)), 0);
}

TEST_F(MemoryTest, TheWorkspaceIsThereLargeEnoughAndApart) {
  std::byte* data = device_bytes(64);
  const auto launched_with = [&](void* workspace, uint64_t bytes, std::byte* out) {
    return aclnnAdd(workspace, bytes, planned_add(data, data, out, 4), stream_);
  };
  planned_add(data, data, data + 32, 4);
  ASSERT_GE(workspace_bytes_, 16u << 20) << "what kernels of the 910B reserve";
  EXPECT_EQ(launched_with(nullptr, workspace_bytes_, data + 32), kNnInvalidParam);
  EXPECT_EQ(launched_with(workspace_, workspace_bytes_ - 1, data + 32), kNnInvalidParam);
  EXPECT_EQ(launched_with(data, workspace_bytes_, data + 32), kRuntimeParam) << "smaller than was said";
  EXPECT_EQ(launched_with(workspace_, workspace_bytes_, workspace_ + 1024), kNnInvalidParam) << "shared";
  EXPECT_EQ(launched_with(workspace_ + 32, workspace_bytes_, data + 32), kNnInvalidParam) << "not aligned";
  EXPECT_EQ(launched_with(workspace_, workspace_bytes_, data + 32), 0);
}

TEST_F(MemoryTest, WhatIsKeptInTheWorkspaceIsLost) {
  std::byte *data = device_bytes(4), *sum = device_bytes(4);
  planned_add(data, data, sum, 1);
  put(data, {1});
  put(workspace_, {5});
  add(data, data, sum, 1);
  ASSERT_EQ(aclrtSynchronizeStream(stream_), 0);
  EXPECT_NE(get(workspace_, 1)[0], 5);
}

TEST_F(MemoryTest, LeaksStandInTheReportWhenTheLibraryIsFinalised) {
  // Handles of tests before this one, in the same process, live too.
  const auto alive = [](const std::string& text, const std::string& what) {
    const size_t at = text.rfind(what + "\\\": ");
    return at == std::string::npos ? -1 : std::stoi(text.substr(at + what.size() + 4));
  };
  ASSERT_EQ(aclFinalize(), 0);
  const std::string before = problems();  // of the stream
  SetUp();
  planned_add(device_bytes(32), device_bytes(32), device_bytes(32), 4);
  ASSERT_EQ(aclFinalize(), 0);
  EXPECT_THAT(problems(), HasSubstr("still alive"));
  EXPECT_EQ(alive(problems(), "executors"), alive(before, "executors") + 1);
  EXPECT_EQ(alive(problems(), "tensors"), alive(before, "tensors") + 3);
  EXPECT_EQ(alive(problems(), "{\\\"allocations"), 4);
}

}  // namespace
}  // namespace chaski::acl
