// Wrong programs about start and end, contexts, streams and events; faults that are asked for.
#include <dlfcn.h>

#include <cstdlib>
#include <thread>

#include "emulator_program.h"

namespace chaski::acl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using StreamTest = EmulatorTest;
using FaultTest = EmulatorTest;

TEST_F(StreamTest, NothingWorksBeforeInitOrAfterFinalize) {
  EXPECT_EQ(aclInit(nullptr), kRepeatedInit);
  ASSERT_EQ(aclFinalize(), 0);
  EXPECT_EQ(aclrtSetDevice(0), kUninitialised);
  EXPECT_EQ(aclFinalize(), kUninitialised);
  void* data = nullptr;
  EXPECT_EQ(aclrtMalloc(&data, 64, MallocPolicy::kHugeFirst), kUninitialised);
  EXPECT_EQ(aclrtGetSocName(), nullptr);
}

TEST_F(StreamTest, DevicesAreAsManyAsTheVariableSays) {
  uint32_t count = 0;
  ASSERT_EQ(aclrtGetDeviceCount(&count), 0);
  EXPECT_EQ(count, 1u);
  EXPECT_EQ(aclrtSetDevice(1), kInvalidDevice);
  aclFinalize();
  ASSERT_EQ(::setenv("CHASKI_EMULATOR_DEVICES", "2", 1), 0);
  SetUp();
  ::unsetenv("CHASKI_EMULATOR_DEVICES");
  std::byte* first = device_bytes(64);
  ASSERT_EQ(aclrtSetDevice(1), 0);
  float host = 0;
  EXPECT_EQ(aclrtMemcpy(&host, 4, first, 4, CopyKind::kDeviceToHost), kRuntimeParam);
  EXPECT_THAT(problems(), HasSubstr("memory of device 0, used on device 1"));
}

TEST_F(StreamTest, AThreadNeedsItsOwnContext) {
  std::thread([&] {
    EXPECT_EQ(aclrtSynchronizeStream(stream_), kContextNull);
    void* data = nullptr;
    EXPECT_EQ(aclrtMalloc(&data, 64, MallocPolicy::kHugeFirst), kContextNull);
    EXPECT_EQ(aclrtSetDevice(0), 0);
    EXPECT_EQ(aclrtSynchronizeStream(stream_), 0);
  }).join();
  EXPECT_THAT(problems(), HasSubstr("never called aclrtSetDevice"));
}

TEST_F(StreamTest, AStreamBelongsToItsContext) {
  Context other = nullptr;
  ASSERT_EQ(aclrtCreateContext(&other, 0), 0);
  EXPECT_EQ(aclrtSynchronizeStream(stream_), kStreamContext);
  Stream own = nullptr;
  ASSERT_EQ(aclrtCreateStreamWithConfig(&own, 0, 0), 0);
  ASSERT_EQ(aclrtSetDevice(0), 0);
  EXPECT_EQ(aclrtSynchronizeStream(own), kStreamContext);
  ASSERT_EQ(aclrtDestroyContext(other), 0);
  EXPECT_EQ(aclrtSetCurrentContext(other), kContextNull);
}

TEST_F(StreamTest, AResetDeviceTakesWhatWasLeftOnItAndSaysSo) {
  std::byte* data = device_bytes(64);
  ASSERT_EQ(aclrtResetDevice(0), 0);
  EXPECT_THAT(problems(), HasSubstr("ended with 1 streams, 0 events, 0 graphs alive"));
  EXPECT_THAT(problems(), HasSubstr("reset with 96 bytes allocated"));
  EXPECT_EQ(aclrtSynchronizeStream(stream_), kContextNull);
  ASSERT_EQ(aclrtSetDevice(0), 0);
  EXPECT_EQ(aclrtFree(data), kRuntimeParam);
  EXPECT_EQ(aclrtResetDevice(1), kInvalidDevice);
}

TEST_F(StreamTest, AStreamIsDestroyedOnceAndAfterItsWork) {
  ASSERT_EQ(aclrtMemsetAsync(device_bytes(64), 64, 0, 64, stream_), 0);
  EXPECT_EQ(aclrtDestroyStream(stream_), 0);
  EXPECT_THAT(problems(), HasSubstr("1 queued tasks, the first memset, never ran"));
  EXPECT_EQ(aclrtDestroyStream(stream_), kInvalidHandle);
  EXPECT_EQ(aclrtMemsetAsync(device_bytes(64), 64, 0, 64, stream_), kInvalidHandle);
}

TEST_F(StreamTest, StreamsRunInAnyOrderUnlessAnEventOrdersThem) {
  std::byte *from = device_bytes(4), *to = device_bytes(4);
  float* host = pinned<float>(1);
  host[0] = 1;
  Stream second = nullptr;
  ASSERT_EQ(aclrtCreateStreamWithConfig(&second, 0, 0), 0);
  const auto copy_through = [&](Event event) {
    put(from, {0});
    EXPECT_EQ(aclrtMemcpyAsync(from, 4, host, 4, CopyKind::kHostToDevice, stream_), 0);
    if (event != nullptr) {
      EXPECT_EQ(aclrtRecordEvent(event, stream_), 0);
      EXPECT_EQ(aclrtStreamWaitEvent(second, event), 0);
    }
    EXPECT_EQ(aclrtMemcpyAsync(to, 4, from, 4, CopyKind::kDeviceToDevice, second), 0);
    EXPECT_EQ(aclrtSynchronizeStream(second), 0);
    const float got = get(to, 1)[0];
    EXPECT_EQ(aclrtSynchronizeDevice(), 0);
    return got;
  };
  EXPECT_EQ(copy_through(nullptr), 0) << "the first stream's copy had not run";
  Event event = nullptr;
  ASSERT_EQ(aclrtCreateEventExWithFlag(&event, kEventSync), 0);
  EXPECT_EQ(copy_through(event), 1);
}

TEST_F(StreamTest, WaitingForAnEventRunsTheWorkBeforeItAlone) {
  std::byte* data = device_bytes(8);
  float* host = pinned<float>(2);
  host[0] = host[1] = 0;
  put(data, {1, 2});
  Event event = nullptr;
  ASSERT_EQ(aclrtCreateEventExWithFlag(&event, kEventSync), 0);
  ASSERT_EQ(aclrtMemcpyAsync(&host[0], 4, data, 4, CopyKind::kDeviceToHost, stream_), 0);
  ASSERT_EQ(aclrtRecordEvent(event, stream_), 0);
  ASSERT_EQ(aclrtMemcpyAsync(&host[1], 4, data, 4, CopyKind::kDeviceToHost, stream_), 0);
  ASSERT_EQ(aclrtSynchronizeEvent(event), 0);
  EXPECT_EQ(host[0], 1);
  EXPECT_EQ(host[1], 0);
}

TEST_F(StreamTest, TimesNeedTheirFlagAndEventsThatHappened) {
  Event plain = nullptr, start = nullptr, end = nullptr;
  ASSERT_EQ(aclrtCreateEventExWithFlag(&plain, kEventSync), 0);
  ASSERT_EQ(aclrtCreateEventExWithFlag(&start, kEventTimeLine), 0);
  ASSERT_EQ(aclrtCreateEventExWithFlag(&end, kEventTimeLine), 0);
  for (Event event : {plain, start, end}) ASSERT_EQ(aclrtRecordEvent(event, stream_), 0);
  float ms = -1;
  EXPECT_EQ(aclrtEventElapsedTime(&ms, start, end), kRuntimeParam);
  EXPECT_THAT(message(), HasSubstr("has not happened"));
  ASSERT_EQ(aclrtSynchronizeStream(stream_), 0);
  EXPECT_EQ(aclrtEventElapsedTime(&ms, plain, end), kRuntimeParam);
  EXPECT_EQ(aclrtEventElapsedTime(&ms, start, end), 0);
  EXPECT_GE(ms, 0);
  ASSERT_EQ(aclrtDestroyEvent(end), 0);
  EXPECT_EQ(aclrtRecordEvent(end, stream_), kInvalidHandle);
}

TEST_F(StreamTest, TheMessageIsClearedByReadingIt) {
  EXPECT_EQ(aclrtSetDevice(9), kInvalidDevice);
  EXPECT_THAT(message(), HasSubstr("there is no device 9"));
  EXPECT_EQ(message(), "");
}

TEST_F(FaultTest, TheNthCallOfASiteFailsAsOftenAsSaid) {
  ASSERT_EQ(chaski_emulator_fault("aclrtMalloc:2:207001:2"), 0);
  void* data = nullptr;
  const auto status = [&] { return aclrtMalloc(&data, 64, MallocPolicy::kHugeFirst); };
  EXPECT_EQ(status(), 0);
  EXPECT_EQ(status(), kDeviceMemory);
  EXPECT_EQ(status(), kDeviceMemory);
  EXPECT_EQ(status(), 0);
  EXPECT_EQ(chaski_emulator_fault("aclrtMalloc:x"), kInvalidParam);
}

TEST_F(FaultTest, AFaultOfALaunchQueuesNothing) {
  std::byte *x = device_bytes(4), *sum = device_bytes(4);
  put(x, {1});
  put(sum, {0});
  ASSERT_EQ(chaski_emulator_fault("launch:1:507015,aclnnAddGetWorkspaceSize:2:561003"), 0);
  EXPECT_EQ(launch(planned_add(x, x, sum, 1)), kAicoreException);
  ASSERT_EQ(aclrtSynchronizeStream(stream_), 0);
  EXPECT_THAT(get(sum, 1), ElementsAre(0));
  float one = 1;
  aclScalar* alpha = aclCreateScalar(&one, DataType::kFloat);
  uint64_t bytes = 0;
  aclOpExecutor* executor = nullptr;
  aclTensor *a = tensor(x, 1), *b = tensor(sum, 1);
  EXPECT_EQ(aclnnAddGetWorkspaceSize(a, a, alpha, b, &bytes, &executor), kNnNoKernel);
}

TEST_F(FaultTest, AFaultOfAWaitLosesTheWorkBeforeIt) {
  std::byte* data = device_bytes(4);
  put(data, {1});
  ASSERT_EQ(chaski_emulator_fault("sync:1:507014"), 0);
  ASSERT_EQ(aclrtMemsetAsync(data, 4, 0, 4, stream_), 0);
  EXPECT_EQ(aclrtSynchronizeStream(stream_), kAicoreTimeout);
  EXPECT_EQ(aclrtSynchronizeStream(stream_), 0);
  EXPECT_THAT(get(data, 1), ElementsAre(1));
}

TEST(ProfileTest, OlderProfilesLackWhatCameLater) {
  for (const std::string profile : {"8.0", "8.1", "8.3"}) {
    const auto open = [&](const char* name) {
      void* library = ::dlopen((CHASKI_EMULATOR "/" + profile + "/" + name).c_str(), RTLD_NOW | RTLD_LOCAL);
      EXPECT_NE(library, nullptr) << ::dlerror();
      return library;
    };
    void *acl = open("libascendcl.so"), *base = open("libnnopbase.so"), *ops = open("libopapi.so");
    using Marker = const char* (*)();
    const auto marker = reinterpret_cast<Marker>(::dlsym(acl, "chaski_ascend_emulator"));
    ASSERT_NE(marker, nullptr);
    EXPECT_EQ(marker(), profile);
    [[maybe_unused]] constexpr int kAscendCl = 0, kNnBase = 1;
    const auto check = [&](void* library, const std::string& since, const std::string& name) {
      EXPECT_EQ(::dlsym(library, name.c_str()) != nullptr, since <= profile) << name << " in " << profile;
    };
#define ACL_FUNCTION(library, since, need, type, name, parameters) \
  check(library == kAscendCl ? acl : base, since, #name);
#include "backend/ascend/acl_functions.def"
#undef ACL_FUNCTION
#define ACLNN_OP(since, need, name, parameters) \
  check(ops, since, "aclnn" #name);             \
  check(ops, since, "aclnn" #name "GetWorkspaceSize");
#include "backend/ascend/aclnn_ops.def"
#undef ACLNN_OP
  }
}

}  // namespace
}  // namespace chaski::acl
