// Wrong programs about captured graphs, each of which the emulator must catch, and what a replay sees.
#include <thread>

#include "emulator_program.h"

namespace chaski::acl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class CaptureTest : public EmulatorTest {
 protected:
  void SetUp() override {
    EmulatorTest::SetUp();
    x_ = device_bytes(4);
    sum_ = device_bytes(4);
    host_ = pinned<float>(1);
    planned_add(x_, x_, sum_, 1);  // has made the workspace
  }
  void begin(CaptureMode mode = CaptureMode::kGlobal) { ASSERT_EQ(aclmdlRICaptureBegin(stream_, mode), 0); }
  CaptureStatus status() {
    CaptureStatus status = CaptureStatus::kNone;
    GraphHandle graph = nullptr;
    EXPECT_EQ(aclmdlRICaptureGetInfo(stream_, &status, &graph), 0);
    return status;
  }
  GraphHandle end() {
    GraphHandle graph = nullptr;
    EXPECT_EQ(aclmdlRICaptureEnd(stream_, &graph), 0);
    return graph;
  }
  /// The call must have been refused with the code, and the capture be lost.
  void expect_lost(Status got, Status expected) {
    EXPECT_EQ(got, expected) << message();
    EXPECT_EQ(status(), CaptureStatus::kInvalidated);
    GraphHandle graph = nullptr;
    EXPECT_EQ(aclmdlRICaptureEnd(stream_, &graph), kNotWhileCapturing);
    EXPECT_EQ(graph, nullptr);
    EXPECT_EQ(status(), CaptureStatus::kNone);
  }
  /// x + factor · x, captured.
  GraphHandle captured_add(float factor = 1) {
    begin();
    add(x_, x_, sum_, 1, factor);
    return end();
  }
  Status replay(GraphHandle graph) {
    const Status status = aclmdlRIExecuteAsync(graph, stream_);
    return status != 0 ? status : aclrtSynchronizeStream(stream_);
  }

  std::byte *x_ = nullptr, *sum_ = nullptr;
  float* host_ = nullptr;
};

TEST_F(CaptureTest, AReplayReadsTheDeviceAndKeepsWhatTheHostSaid) {
  put(sum_, {0});
  begin();
  EXPECT_EQ(status(), CaptureStatus::kActive);
  float factor = 2;
  aclOpExecutor* executor = planned_add(x_, x_, sum_, 1, factor);
  factor = 100;
  EXPECT_EQ(launch(executor), 0);
  const GraphHandle graph = end();
  EXPECT_THAT(get(sum_, 1), ElementsAre(0)) << "a capture runs nothing";
  for (const float value : {1.0f, 5.0f}) {
    put(x_, {value});
    ASSERT_EQ(replay(graph), 0);
    EXPECT_THAT(get(sum_, 1), ElementsAre(3 * value));
  }
  EXPECT_THAT(report(), HasSubstr("\"graph_replays\": 2"));
  EXPECT_THAT(report(), HasSubstr("\"replayed_launches\": 2"));
  EXPECT_EQ(aclmdlRIDestroy(graph), 0);
  EXPECT_EQ(aclmdlRIDestroy(graph), kInvalidHandle);
  EXPECT_EQ(aclmdlRIExecuteAsync(graph, stream_), kInvalidHandle);
}

TEST_F(CaptureTest, ACapturedStreamIsNotWaitedFor) {
  begin();
  expect_lost(aclrtSynchronizeStream(stream_), kStreamCaptured);
}

TEST_F(CaptureTest, NothingElseIsWaitedForEither) {
  Stream other = nullptr;
  ASSERT_EQ(aclrtCreateStreamWithConfig(&other, 0, 0), 0);
  begin();
  expect_lost(aclrtSynchronizeStream(other), kNotWhileCapturing);
  Event event = nullptr;
  ASSERT_EQ(aclrtCreateEventExWithFlag(&event, kEventSync), 0);
  begin();
  ASSERT_EQ(aclrtRecordEvent(event, stream_), 0);
  expect_lost(aclrtSynchronizeEvent(event), kNotWhileCapturing);
}

TEST_F(CaptureTest, SynchronousCopiesAreRefused) {
  begin();
  float host = 0;
  expect_lost(aclrtMemcpy(&host, 4, x_, 4, CopyKind::kDeviceToHost), kNotWhileCapturing);
}

TEST_F(CaptureTest, CopiesOfMemoryThatIsNotPinnedAreRefused) {
  begin();
  float host = 0;
  expect_lost(aclrtMemcpyAsync(x_, 4, &host, 4, CopyKind::kHostToDevice, stream_), kNotWhileCapturing);
}

TEST_F(CaptureTest, NothingIsAllocatedOrFreed) {
  void* data = nullptr;
  begin();
  expect_lost(aclrtMalloc(&data, 64, MallocPolicy::kHugeFirst), kNotWhileCapturing);
  begin();
  expect_lost(aclrtFree(sum_), kNotWhileCapturing);
  begin();
  expect_lost(aclrtMallocHost(&data, 64), kNotWhileCapturing);
}

TEST_F(CaptureTest, TheDefaultStreamStaysOut) {
  EXPECT_EQ(aclmdlRICaptureBegin(nullptr, CaptureMode::kGlobal), kNotWhileCapturing);
  begin();
  expect_lost(aclrtMemsetAsync(x_, 4, 0, 4, nullptr), kNotWhileCapturing);
}

TEST_F(CaptureTest, ACaptureIsBegunOnceAndEndedByTheThreadThatBeganIt) {
  begin();
  expect_lost(aclmdlRICaptureBegin(stream_, CaptureMode::kGlobal), kStreamCaptured);
  GraphHandle graph = nullptr;
  EXPECT_EQ(aclmdlRICaptureEnd(stream_, &graph), kNotWhileCapturing);
  begin();
  std::thread([&] {
    EXPECT_EQ(aclrtSetDevice(0), 0);
    EXPECT_EQ(aclmdlRICaptureEnd(stream_, &graph), kNotWhileCapturing);
  }).join();
  EXPECT_EQ(status(), CaptureStatus::kInvalidated);
}

TEST_F(CaptureTest, TheModeSaysWhomACaptureRestricts) {
  const auto allocated_elsewhere = [&](CaptureMode mode) {
    begin(mode);
    Status status = 0;
    std::thread([&] {
      EXPECT_EQ(aclrtSetDevice(0), 0);
      void* data = nullptr;
      status = aclrtMalloc(&data, 64, MallocPolicy::kHugeFirst);
    }).join();
    GraphHandle graph = nullptr;
    EXPECT_EQ(aclmdlRICaptureEnd(stream_, &graph), status);
    return status;
  };
  EXPECT_EQ(allocated_elsewhere(CaptureMode::kGlobal), kNotWhileCapturing);
  EXPECT_EQ(allocated_elsewhere(CaptureMode::kThreadLocal), 0);
  begin(CaptureMode::kRelaxed);
  device_bytes(64);
  EXPECT_NE(end(), nullptr);
}

TEST_F(CaptureTest, MemoryFreedWhileAGraphLivesIsSeenAtTheReplay) {
  const GraphHandle graph = captured_add();
  ASSERT_EQ(aclrtFree(sum_), 0);
  device_bytes(4);
  EXPECT_EQ(replay(graph), kAicoreException);
  EXPECT_THAT(problems(), HasSubstr("freed before the work that uses it ran"));
}

TEST_F(CaptureTest, PinnedMemoryOfAGraphMustLiveToo) {
  begin();
  ASSERT_EQ(aclrtMemcpyAsync(x_, 4, host_, 4, CopyKind::kHostToDevice, stream_), 0);
  const GraphHandle graph = end();
  host_[0] = 4;
  ASSERT_EQ(replay(graph), 0);
  EXPECT_THAT(get(x_, 1), ElementsAre(4)) << "read when the graph runs";
  ASSERT_EQ(aclrtFreeHost(host_), 0);
  EXPECT_EQ(replay(graph), kAicoreException);
}

TEST_F(CaptureTest, AGraphOutlivesItsReplays) {
  const GraphHandle graph = captured_add();
  ASSERT_EQ(aclmdlRIExecuteAsync(graph, stream_), 0);
  ASSERT_EQ(aclmdlRIDestroy(graph), 0);
  EXPECT_EQ(aclrtSynchronizeStream(stream_), kModelExecute);
  EXPECT_THAT(problems(), HasSubstr("destroyed before its replay ran"));
}

TEST_F(CaptureTest, ASynchronousCopyMustNotTouchWhatAReplayUses) {
  const GraphHandle graph = captured_add();
  ASSERT_EQ(aclmdlRIExecuteAsync(graph, stream_), 0);
  float host = 1;
  EXPECT_EQ(aclrtMemcpy(x_, 4, &host, 4, CopyKind::kHostToDevice), kRuntimeParam);
  EXPECT_THAT(problems(), HasSubstr("is still queued"));
}

TEST_F(CaptureTest, AStreamThatJoinedIsWaitedForBeforeTheEnd) {
  Stream other = nullptr;
  Event fork = nullptr, join = nullptr;
  ASSERT_EQ(aclrtCreateStreamWithConfig(&other, 0, 0), 0);
  ASSERT_EQ(aclrtCreateEventExWithFlag(&fork, kEventSync), 0);
  ASSERT_EQ(aclrtCreateEventExWithFlag(&join, kEventSync), 0);
  const auto forked = [&](bool is_joined) {
    begin();
    EXPECT_EQ(aclrtRecordEvent(fork, stream_), 0);
    EXPECT_EQ(aclrtStreamWaitEvent(other, fork), 0);
    EXPECT_EQ(aclrtMemsetAsync(x_, 4, 0, 4, other), 0);
    EXPECT_EQ(aclrtRecordEvent(join, other), 0);
    if (is_joined) {
      EXPECT_EQ(aclrtStreamWaitEvent(stream_, join), 0);
    }
    GraphHandle graph = nullptr;
    return aclmdlRICaptureEnd(stream_, &graph);
  };
  EXPECT_EQ(forked(true), 0);
  EXPECT_EQ(forked(false), kNotWhileCapturing);
  EXPECT_THAT(problems(), HasSubstr("was not waited for"));
}

}  // namespace
}  // namespace chaski::acl
