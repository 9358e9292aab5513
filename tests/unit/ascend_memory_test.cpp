// Device memory, the staging ring, the launch thread: order, waits, what is left after a fault at each call.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <numeric>
#include <thread>

#include "backend/ascend/ascend_memory.h"
#include "support/ascend_emulator.h"

namespace chaski {
namespace {

using ::testing::HasSubstr;
using tests::Emulator;
using tests::EmulatorSettings;
using Mode = LaunchQueue::Mode;

/// A device with its queue and memory; `segment_bytes` of the staging ring.
struct Opened {
  Opened(const Emulator& emulator, Mode mode, size_t segment_bytes = 1024, int device = 0)
      : context(std::make_shared<AscendContext>(emulator.api(), device)),
        queue(std::make_shared<LaunchQueue>(context, mode)),
        memory(queue, segment_bytes) {}
  int64_t host_waits() const { return context->counters().host_waits; }

  std::shared_ptr<AscendContext> context;
  std::shared_ptr<LaunchQueue> queue;
  AscendMemory memory;
};

std::vector<uint8_t> pattern(size_t size, uint8_t first = 1) {
  std::vector<uint8_t> bytes(size);
  std::iota(bytes.begin(), bytes.end(), first);
  return bytes;
}

std::vector<uint8_t> read(Opened& device, const Buffer& buffer, size_t size) {
  std::vector<uint8_t> bytes(size);
  device.memory.copy_out(bytes.data(), buffer.data(), size);
  return bytes;
}

class AscendMemoryIn : public ::testing::TestWithParam<Mode> {};
INSTANTIATE_TEST_SUITE_P(Modes, AscendMemoryIn, ::testing::Values(Mode::kDirect, Mode::kThread),
                         [](const auto& tested) {
                           return tested.param == Mode::kDirect ? "Direct" : "Thread";
                         });

TEST_P(AscendMemoryIn, BytesComeBackAsTheyWentIn) {
  const Emulator emulator;
  Opened device(emulator, GetParam());
  for (const size_t size : {size_t{1}, size_t{63}, size_t{1024}, size_t{4096}, size_t{10'001}}) {
    const Buffer buffer = device.memory.allocate(size, "test");
    const auto bytes = pattern(size);
    device.memory.copy_in(buffer.data(), bytes.data(), size);
    EXPECT_EQ(read(device, buffer, size), bytes);
  }
}

TEST_P(AscendMemoryIn, FreshMemoryIsZeroAndAligned) {
  const Emulator emulator;
  Opened device(emulator, GetParam());
  for (const size_t size : {size_t{0}, size_t{1}, size_t{100}, size_t{5000}}) {
    const Buffer buffer = device.memory.allocate(size, "test");
    EXPECT_EQ(reinterpret_cast<uintptr_t>(buffer.data()) % 64, 0u);
    EXPECT_GE(buffer.bytes(), size);
    EXPECT_EQ(read(device, buffer, size), std::vector<uint8_t>(size));
  }
}

TEST_P(AscendMemoryIn, TheSourceMayChangeOnceTheCopyReturns) {
  const Emulator emulator;
  Opened device(emulator, GetParam());
  const Buffer buffer = device.memory.allocate(700, "test");
  auto bytes = pattern(700);
  device.memory.copy_in(buffer.data(), bytes.data(), bytes.size());
  std::fill(bytes.begin(), bytes.end(), uint8_t{0});
  EXPECT_EQ(read(device, buffer, 700), pattern(700));
}

TEST_P(AscendMemoryIn, CopiesWaitOnlyWhereTheStagingRingIsFull) {
  const Emulator emulator;
  Opened device(emulator, GetParam(), 1024);
  const Buffer buffer = device.memory.allocate(1024, "test");
  const auto bytes = pattern(512);
  for (int i = 0; i < 8; ++i) device.memory.copy_in(buffer.data(), bytes.data(), bytes.size());  // 4 × 1024
  EXPECT_EQ(device.host_waits(), 0);
  for (int i = 0; i < 2; ++i) device.memory.copy_in(buffer.data(), bytes.data(), bytes.size());
  EXPECT_EQ(device.host_waits(), 1) << "one segment is waited for, not all";
  EXPECT_EQ(read(device, buffer, 512), bytes);
  EXPECT_EQ(device.host_waits(), emulator.count("host_waits"));
}

TEST_P(AscendMemoryIn, ARingThatGoesRoundKeepsEveryByte) {
  const Emulator emulator;
  Opened device(emulator, GetParam(), 256);
  std::vector<Buffer> buffers;
  std::vector<size_t> sizes;
  for (size_t i = 0; i < 60; ++i) {
    sizes.push_back(1 + i * 37 % 700);
    buffers.push_back(device.memory.allocate(sizes.back(), "test"));
    const auto bytes = pattern(sizes.back(), static_cast<uint8_t>(i));
    device.memory.copy_in(buffers.back().data(), bytes.data(), bytes.size());
    if (i % 17 == 0) device.memory.synchronize();
  }
  for (size_t i = 0; i < buffers.size(); ++i)
    EXPECT_EQ(read(device, buffers[i], sizes[i]), pattern(sizes[i], static_cast<uint8_t>(i))) << i;
}

TEST_P(AscendMemoryIn, AStepThatCopiesInAndOutWaitsOnce) {
  const Emulator emulator;
  Opened device(emulator, GetParam());
  const Buffer buffer = device.memory.allocate(600, "test");
  const auto bytes = pattern(600);
  for (int step = 0; step < 20; ++step) {
    device.memory.copy_in(buffer.data(), bytes.data(), bytes.size());
    read(device, buffer, 600);
  }
  EXPECT_EQ(device.host_waits(), 20);
  EXPECT_EQ(device.context->counters().copies_in, 20);
  EXPECT_EQ(device.context->counters().copies_out, 20);
  EXPECT_EQ(device.context->counters().bytes_in, 20 * 600);
  device.memory.synchronize();
  EXPECT_EQ(device.host_waits(), 20) << "there was nothing to wait for";
}

TEST_P(AscendMemoryIn, WhatWasPutOffIsSubmittedBeforeARead) {
  const Emulator emulator;
  Opened device(emulator, GetParam());
  const Buffer buffer = device.memory.allocate(100, "test");
  const auto bytes = pattern(100);
  int n_asked = 0;
  device.memory.set_before_read([&] {
    if (n_asked++ == 0) device.memory.copy_in(buffer.data(), bytes.data(), bytes.size());
  });
  EXPECT_EQ(read(device, buffer, 100), bytes);
  device.memory.synchronize();
  EXPECT_EQ(n_asked, 2);
  device.memory.set_before_read({});
}

TEST_P(AscendMemoryIn, OtherThreadsMayUseTheDevice) {
  const Emulator emulator;
  Opened device(emulator, GetParam());
  std::thread([&] {
    const Buffer buffer = device.memory.allocate(100, "test");
    device.memory.copy_in(buffer.data(), pattern(100).data(), 100);
    EXPECT_EQ(read(device, buffer, 100), pattern(100));
  }).join();
}

TEST_P(AscendMemoryIn, FullMemoryIsAnErrorThatNamesTheSizesAndPasses) {
  const EmulatorSettings settings{{"CHASKI_EMULATOR_HBM_MB", "64"}};
  const Emulator emulator;
  Opened device(emulator, GetParam());
  try {
    device.memory.allocate(size_t{100} << 20, "KV cache");
    FAIL();
  } catch (const AclError& error) {
    EXPECT_EQ(error.code(), ErrorCode::kOutOfMemory);
    EXPECT_THAT(error.what(), HasSubstr("KV cache needs 100.0 MiB, 64.0 of 64.0 MiB are free on device 0"));
    EXPECT_THAT(error.hint(), HasSubstr("shorter context"));
  }
  EXPECT_THROW(device.memory.allocate(~size_t{0} - 5, "too much"), AclError);
  EXPECT_FALSE(device.context->is_lost());
  const Buffer buffer = device.memory.allocate(size_t{1} << 20, "test");
  EXPECT_EQ(read(device, buffer, 10), std::vector<uint8_t>(10));
}

/// Opens a device, fills more memory than the ring takes, reads it back.
void use_device(const Emulator& emulator, Mode mode) {
  Opened device(emulator, mode, 256);
  const Buffer buffer = device.memory.allocate(4000, "test");
  const auto bytes = pattern(4000);
  device.memory.copy_in(buffer.data(), bytes.data(), bytes.size());
  if (read(device, buffer, 4000) != bytes) throw std::runtime_error("other bytes");
}

TEST_P(AscendMemoryIn, AFaultAtAnyCallIsThatErrorAndLeavesNothingBehind) {
  const std::pair<const char*, acl::Status> faults[] = {
      {"aclrtSetDevice", acl::kDeviceSetup},
      {"aclrtCreateContext", acl::kRuntimeInternal},
      {"aclrtCreateStreamWithConfig", acl::kNoStreamResource},
      {"aclrtMalloc", acl::kDeviceMemory},
      {"aclrtMallocHost", acl::kDeviceMemory},
      {"aclrtCreateEventExWithFlag", 207007},
      {"aclrtMemsetAsync", acl::kRuntimeParam},
      {"aclrtMemcpyAsync", acl::kRuntimeInternal},
      {"aclrtRecordEvent", acl::kRuntimeInternal},
      {"aclrtSynchronizeEvent", acl::kAicoreTimeout},
      {"aclrtSynchronizeStream", acl::kAicoreException}};
  Emulator emulator;
  emulator.api()->initialize();  // which forgets faults
  for (const auto& [site, status] : faults) {
    for (int nth = 1; nth <= 3; ++nth) {
      emulator.fail(fmt::format("{}:{}:{}", site, nth, status));
      bool has_failed = false;
      try {
        use_device(emulator, GetParam());
      } catch (const AclError& error) {
        has_failed = true;
        EXPECT_EQ(error.status(), status) << error.what();
        EXPECT_THAT(error.what(), HasSubstr(site));
      }
      EXPECT_TRUE(has_failed || nth > 1) << site << " is called at least once";
      const Json live = emulator.report().at("live");
      for (const auto& [what, n] : live.items()) EXPECT_EQ(n, 0) << what << " after " << site << " " << nth;
    }
  }
  emulator.fail("");
  use_device(emulator, GetParam());
}

TEST_P(AscendMemoryIn, ALostDeviceIsRemembered) {
  Emulator emulator;
  Opened device(emulator, GetParam());
  const Buffer buffer = device.memory.allocate(100, "test");
  device.memory.synchronize();
  EXPECT_FALSE(device.context->is_lost());
  emulator.fail("aclrtMemcpyAsync:1:107000");
  EXPECT_THROW(read(device, buffer, 100), AclError);
  EXPECT_FALSE(device.context->is_lost());
  EXPECT_EQ(read(device, buffer, 100), std::vector<uint8_t>(100)) << "the next request is served";
  emulator.fail("aclrtSynchronizeStream:1:507015");
  EXPECT_THROW(read(device, buffer, 100), AclError);
  EXPECT_TRUE(device.context->is_lost());
}

TEST(AscendQueue, KeepsTheFirstErrorForTheNextWaitAndDropsWhatFollows) {
  Emulator emulator;
  Opened device(emulator, Mode::kThread);
  int n_called = 0;
  device.queue->submit([&] { ++n_called; });
  device.queue->submit([] { throw Error(ErrorCode::kDevice, "test", "first"); });
  device.queue->submit([&] { ++n_called; });
  device.queue->submit([] { throw Error(ErrorCode::kDevice, "test", "second"); });
  try {
    device.queue->wait_drained();
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "[test] first");
  }
  EXPECT_EQ(n_called, 1);
  device.queue->submit([&] { ++n_called; });
  device.queue->synchronize();
  EXPECT_EQ(n_called, 2);
}

TEST(AscendQueue, AnErrorOutlivesTheFreeingOfMemory) {
  const Emulator emulator;
  Opened device(emulator, Mode::kThread);
  {
    const Buffer buffer = device.memory.allocate(100, "test");
    device.queue->submit([] { throw Error(ErrorCode::kDevice, "test", "launch"); });
  }
  EXPECT_THROW(device.queue->synchronize(), Error);
  device.queue->synchronize();
}

TEST(AscendQueue, IsBoundedAndKeepsItsOrder) {
  const Emulator emulator;
  const auto context = std::make_shared<AscendContext>(emulator.api(), 0);
  LaunchQueue queue(context, Mode::kThread, 4);
  std::vector<int> order;
  for (int i = 0; i < 500; ++i) queue.submit([&order, i] { order.push_back(i); });
  queue.wait_drained();
  std::vector<int> expected(500);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(order, expected);
}

TEST(AscendContexts, TwoDevicesDoNotMix) {
  const EmulatorSettings settings{{"CHASKI_EMULATOR_DEVICES", "2"}};
  const Emulator emulator;
  EXPECT_EQ(count_devices(*emulator.api()), 2);
  Opened first(emulator, Mode::kThread, 1024, 0), second(emulator, Mode::kDirect, 1024, 1);
  const Buffer a = first.memory.allocate(100, "test"), b = second.memory.allocate(100, "test");
  for (uint8_t round = 0; round < 5; ++round) {
    first.memory.copy_in(a.data(), pattern(100, round).data(), 100);
    second.memory.copy_in(b.data(), pattern(100, static_cast<uint8_t>(round + 100)).data(), 100);
    EXPECT_EQ(read(first, a, 100), pattern(100, round));
    EXPECT_EQ(read(second, b, 100), pattern(100, static_cast<uint8_t>(round + 100)));
  }
  EXPECT_EQ(first.context->soc_name(), "Ascend910B3");
  EXPECT_GT(second.context->room().free_bytes, 0u);
}

TEST(AscendContexts, TheDeviceStaysWhileAnotherUserHasIt) {
  const Emulator emulator;
  Opened first(emulator, Mode::kDirect);
  const Buffer buffer = first.memory.allocate(100, "test");
  first.memory.copy_in(buffer.data(), pattern(100).data(), 100);
  {
    Opened second(emulator, Mode::kDirect);
    second.memory.allocate(100, "test");
  }
  EXPECT_EQ(read(first, buffer, 100), pattern(100));
}

TEST(AscendContexts, ADeviceThatIsNotThereIsAnError) {
  const Emulator emulator;
  EXPECT_THROW(AscendContext(emulator.api(), 3), AclError);
  EXPECT_NO_THROW(AscendContext(emulator.api(), 0));
}

TEST(AscendContexts, AnInitialisationThatFailsMayBeTriedAgain) {
  Emulator emulator;
  {
    const EmulatorSettings settings{{"CHASKI_EMULATOR_FAULT", "aclInit:1:507000"}};
    EXPECT_THROW(emulator.api()->initialize(), AclError);
  }
  emulator.api()->initialize();
  EXPECT_EQ(count_devices(*emulator.api()), 1);
}

}  // namespace
}  // namespace chaski
