// See emulator_program.h.
#include "emulator_program.h"

namespace chaski::acl {

void EmulatorTest::SetUp() {
  ASSERT_EQ(aclInit(nullptr), 0);
  ASSERT_EQ(aclrtSetDevice(0), 0);
  ASSERT_EQ(aclrtCreateStreamWithConfig(&stream_, 0, kStreamFastLaunch), 0);
}

void EmulatorTest::TearDown() {
  chaski_emulator_fault(nullptr);
  aclFinalize();
}

std::string EmulatorTest::report() {
  std::string out(chaski_emulator_report(nullptr, 0), ' ');
  chaski_emulator_report(out.data(), out.size() + 1);
  return out;
}

std::string EmulatorTest::problems() {
  const std::string whole = report();
  const size_t from = whole.find("\"problems\"");
  return whole.substr(from, whole.find("\"live\"") - from);
}

std::string EmulatorTest::message() {
  const char* text = aclGetRecentErrMsg();
  return text != nullptr ? text : "";
}

std::byte* EmulatorTest::device_bytes(size_t bytes) {
  void* data = nullptr;
  EXPECT_EQ(aclrtMalloc(&data, bytes, MallocPolicy::kHugeFirst), 0);
  return static_cast<std::byte*>(data);
}

void EmulatorTest::put(std::byte* to, const std::vector<float>& values) {
  const size_t bytes = values.size() * sizeof(float);
  EXPECT_EQ(aclrtMemcpy(to, bytes, values.data(), bytes, CopyKind::kHostToDevice), 0);
}

std::vector<float> EmulatorTest::get(const std::byte* from, size_t n) {
  std::vector<float> values(n);
  EXPECT_EQ(aclrtMemcpy(values.data(), 4 * n, from, 4 * n, CopyKind::kDeviceToHost), 0);
  return values;
}

aclTensor* EmulatorTest::tensor(std::byte* data, int64_t n) {
  return aclCreateTensor(&n, 1, DataType::kFloat, nullptr, 0, Format::kNd, &n, 1, data);
}

aclOpExecutor* EmulatorTest::planned_add(std::byte* x, std::byte* y, std::byte* out, int64_t n,
                                         float factor) {
  aclScalar* alpha = aclCreateScalar(&factor, DataType::kFloat);
  aclTensor* made[] = {tensor(x, n), tensor(y, n), tensor(out, n)};
  tensors_.insert(tensors_.end(), made, made + 3);
  uint64_t bytes = 0;
  aclOpExecutor* executor = nullptr;
  EXPECT_EQ(aclnnAddGetWorkspaceSize(made[0], made[1], alpha, made[2], &bytes, &executor), 0);
  EXPECT_EQ(aclDestroyScalar(alpha), 0);  // its value was taken in the first phase
  if (bytes > workspace_bytes_) {
    workspace_ = device_bytes(bytes);
    workspace_bytes_ = bytes;
  }
  return executor;
}

void EmulatorTest::add(std::byte* x, std::byte* y, std::byte* out, int64_t n, float factor) {
  EXPECT_EQ(launch(planned_add(x, y, out, n, factor)), 0);
}

}  // namespace chaski::acl
