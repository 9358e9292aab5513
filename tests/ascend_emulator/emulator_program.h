// What the emulator's own tests share: CANN's functions as a program links them, and the few calls that every
// small program makes. Not here: the emulator's inside.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstring>
#include <string>
#include <vector>

#include "backend/ascend/acl_types.h"

namespace chaski::acl {

extern "C" {
#define ACL_FUNCTION(library, since, need, type, name, parameters) type name parameters;
#include "backend/ascend/acl_functions.def"
#undef ACL_FUNCTION
#define UNWRAPPED(...) __VA_ARGS__
#define ACLNN_OP(since, need, name, parameters)                                                          \
  Status aclnn##name##GetWorkspaceSize(UNWRAPPED parameters, uint64_t* bytes, aclOpExecutor** executor); \
  Status aclnn##name(void* workspace, uint64_t bytes, aclOpExecutor* executor, Stream stream);
#include "backend/ascend/aclnn_ops.def"
#undef ACLNN_OP
Status aclrtStreamWaitEvent(Stream stream, Event event);
Status aclrtSynchronizeDevice();
Status chaski_emulator_fault(const char* specification);
size_t chaski_emulator_report(char* out, size_t room);
}

/// A process with a context and a stream. Each test says itself which calls must fail.
class EmulatorTest : public ::testing::Test {
 protected:
  void SetUp() override;
  void TearDown() override;

  static std::string report();
  /// The report's list of what no correct program does.
  static std::string problems();
  static std::string message();

  static std::byte* device_bytes(size_t bytes);
  template <class T>
  T* pinned(size_t n) {
    void* data = nullptr;
    EXPECT_EQ(aclrtMallocHost(&data, n * sizeof(T)), 0);
    return static_cast<T*>(data);
  }
  /// A float on the device, by a synchronous copy.
  static void put(std::byte* to, const std::vector<float>& values);
  static std::vector<float> get(const std::byte* from, size_t n);

  /// A dense float tensor [n].
  static aclTensor* tensor(std::byte* data, int64_t n);
  /// The first phase of out = x + factor · y, floats [n].
  aclOpExecutor* planned_add(std::byte* x, std::byte* y, std::byte* out, int64_t n, float factor = 1);
  /// Both phases on the stream.
  void add(std::byte* x, std::byte* y, std::byte* out, int64_t n, float factor = 1);
  Status launch(aclOpExecutor* executor) { return aclnnAdd(workspace_, workspace_bytes_, executor, stream_); }

  Stream stream_ = nullptr;
  std::byte* workspace_ = nullptr;
  uint64_t workspace_bytes_ = 0;
  std::vector<const aclTensor*> tensors_;  ///< of planned_add: those of the last call are its last three
};

}  // namespace chaski::acl
