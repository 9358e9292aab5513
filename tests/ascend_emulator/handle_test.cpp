// Wrong programs about aclnn's handles and executors, each of which the emulator must catch.
#include <cstdlib>

#include "emulator_program.h"

namespace chaski::acl {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using HandleTest = EmulatorTest;
using ExecutorTest = EmulatorTest;

TEST_F(HandleTest, ATensorIsDestroyedOnceAndNotUsedAfter) {
  std::byte* data = device_bytes(64);
  aclTensor *gone = tensor(data, 4), *out = tensor(data + 32, 4);
  EXPECT_EQ(aclDestroyTensor(gone), 0);
  EXPECT_EQ(aclDestroyTensor(gone), kNnInnerNull);
  float one = 1;
  aclScalar* alpha = aclCreateScalar(&one, DataType::kFloat);
  uint64_t bytes = 0;
  aclOpExecutor* executor = nullptr;
  EXPECT_EQ(aclnnAddGetWorkspaceSize(gone, out, alpha, out, &bytes, &executor), kNnInnerNull);
  EXPECT_THAT(problems(), HasSubstr("used after it was destroyed"));
  EXPECT_EQ(aclnnAddGetWorkspaceSize(nullptr, out, alpha, out, &bytes, &executor), kNnNullParam);
  EXPECT_EQ(aclDestroyScalar(alpha), 0);
  EXPECT_EQ(aclDestroyScalar(alpha), kNnInnerNull);
  EXPECT_EQ(aclnnAddGetWorkspaceSize(out, out, alpha, out, &bytes, &executor), kNnInnerNull);
}

TEST_F(HandleTest, ANewHandleIsNotTheOneJustDestroyed) {
  std::byte* data = device_bytes(64);
  aclTensor* first = tensor(data, 4);
  ASSERT_EQ(aclDestroyTensor(first), 0);
  EXPECT_NE(tensor(data, 4), first);
}

TEST_F(HandleTest, AListTakesItsTensorsWithIt) {
  std::byte* data = device_bytes(64);
  const aclTensor* items[] = {tensor(data, 4), tensor(data, 8)};
  const aclTensorList* list = aclCreateTensorList(items, 2);
  EXPECT_EQ(aclDestroyTensorList(list), 0);
  EXPECT_EQ(aclDestroyTensor(items[0]), kNnInnerNull);
  EXPECT_EQ(aclDestroyTensorList(list), kNnInnerNull);
  EXPECT_EQ(aclCreateTensorList(items, 1), nullptr) << "of a destroyed tensor";

  const aclTensor* item = tensor(data, 4);
  list = aclCreateTensorList(&item, 1);
  EXPECT_EQ(aclDestroyTensor(item), 0);
  EXPECT_EQ(aclDestroyTensorList(list), kNnInnerNull);
  EXPECT_THAT(problems(), HasSubstr("goes with the list"));
}

TEST_F(HandleTest, ATensorFitsItsStorage) {
  std::byte* data = device_bytes(64);
  const int64_t dims[] = {2, 4}, strides[] = {8, 1}, storage = 12, too_small = 11;
  EXPECT_NE(aclCreateTensor(dims, 2, DataType::kFloat, strides, 0, Format::kNd, &storage, 1, data), nullptr);
  EXPECT_EQ(aclCreateTensor(dims, 2, DataType::kFloat, strides, 1, Format::kNd, &storage, 1, data), nullptr);
  EXPECT_EQ(aclCreateTensor(dims, 2, DataType::kFloat, strides, 0, Format::kNd, &too_small, 1, data),
            nullptr);
  EXPECT_THAT(message(), HasSubstr("does not fit"));
  EXPECT_EQ(aclCreateTensor(dims, 2, DataType::kInt4, strides, 1, Format::kNd, dims, 2, data), nullptr);
}

TEST_F(ExecutorTest, AnExecutorIsUsedOnce) {
  std::byte* data = device_bytes(64);
  aclOpExecutor* executor = planned_add(data, data, data + 32, 4);
  EXPECT_EQ(launch(executor), 0);
  EXPECT_EQ(launch(executor), kNnExecutor);
  EXPECT_EQ(aclDestroyAclOpExecutor(executor), kNnExecutor) << "the launch took it";
  EXPECT_THAT(problems(), HasSubstr("is not repeatable"));
}

TEST_F(ExecutorTest, ARepeatableExecutorReadsItsTensorsDataEachTime) {
  std::byte *x = device_bytes(4), *sum = device_bytes(4);
  aclOpExecutor* executor = planned_add(x, x, sum, 1);
  ASSERT_EQ(aclSetAclOpExecutorRepeatable(executor), 0);
  for (const float value : {1.0f, 2.0f}) {
    put(x, {value});
    EXPECT_EQ(launch(executor), 0);
    ASSERT_EQ(aclrtSynchronizeStream(stream_), 0);
    EXPECT_THAT(get(sum, 1), ElementsAre(2 * value));
  }
  EXPECT_THAT(report(), HasSubstr("\"executors_reused\": 1"));
  EXPECT_EQ(aclDestroyAclOpExecutor(executor), 0);
  EXPECT_EQ(aclDestroyAclOpExecutor(executor), kNnExecutor);
  EXPECT_EQ(launch(executor), kNnExecutor);
}

TEST_F(ExecutorTest, RepeatableIsSetRightAfterTheFirstPhase) {
  std::byte* data = device_bytes(64);
  aclOpExecutor* first = planned_add(data, data, data + 32, 4);
  aclOpExecutor* second = planned_add(data, data, data + 32, 4);
  EXPECT_EQ(aclSetAclOpExecutorRepeatable(first), kNnExecutor) << "another first phase came between";
  EXPECT_EQ(launch(second), 0);
  EXPECT_EQ(aclSetAclOpExecutorRepeatable(second), kNnExecutor);
  EXPECT_THAT(problems(), HasSubstr("not called right after"));
}

TEST_F(ExecutorTest, AnOperatorThatCopiesOntoItselfRefusesRepeatable) {
  std::byte* data = device_bytes(256);
  const int64_t dims[] = {2, 4}, one = 1, row[] = {1, 4};
  aclTensor* self = aclCreateTensor(dims, 2, DataType::kFloat, nullptr, 0, Format::kNd, dims, 2, data);
  aclTensor* index = aclCreateTensor(&one, 1, DataType::kInt64, nullptr, 0, Format::kNd, &one, 1, data + 64);
  aclTensor* source = aclCreateTensor(row, 2, DataType::kFloat, nullptr, 0, Format::kNd, row, 2, data + 128);
  uint64_t bytes = 0;
  aclOpExecutor* executor = nullptr;
  ASSERT_EQ(aclnnInplaceIndexCopyGetWorkspaceSize(self, 0, index, source, &bytes, &executor), 0);
  EXPECT_EQ(aclSetAclOpExecutorRepeatable(executor), kNnExecutor);
  EXPECT_EQ(problems(), "\"problems\": [], ") << "a program may ask";
}

TEST_F(ExecutorTest, TensorsOutliveTheExecutor) {
  std::byte* data = device_bytes(64);
  aclOpExecutor* executor = planned_add(data, data, data + 32, 4);
  EXPECT_EQ(aclDestroyTensor(tensors_.back()), 0);
  EXPECT_EQ(launch(executor), kNnInnerNull);
  executor = planned_add(data, data, data + 32, 4);
  ASSERT_EQ(aclSetAclOpExecutorRepeatable(executor), 0);
  EXPECT_EQ(launch(executor), 0);
  EXPECT_EQ(aclDestroyTensor(tensors_.back()), 0);
  EXPECT_EQ(launch(executor), kNnInnerNull);
  EXPECT_THAT(problems(), HasSubstr("destroyed before the second"));
}

TEST_F(ExecutorTest, AnExecutorIsOfOneOperator) {
  std::byte* data = device_bytes(64);
  aclOpExecutor* executor = planned_add(data, data, data + 32, 4);
  EXPECT_EQ(aclnnMm(workspace_, workspace_bytes_, executor, stream_), kNnExecutor);
  EXPECT_EQ(aclnnAdd(workspace_, workspace_bytes_, nullptr, stream_), kNnNullParam);
}

TEST_F(ExecutorTest, OperatorsAndDtypesAreTakenAwayByName) {
  aclFinalize();
  ::setenv("CHASKI_EMULATOR_HIDE", "Mm,SwiGlu", 1);
  ::setenv("CHASKI_EMULATOR_REFUSE", "Add:f32", 1);
  SetUp();
  ::unsetenv("CHASKI_EMULATOR_HIDE");
  ::unsetenv("CHASKI_EMULATOR_REFUSE");
  std::byte* data = device_bytes(64);
  aclTensor* x = tensor(data, 4);
  aclTensor* out = tensor(data + 32, 2);
  uint64_t bytes = 0;
  aclOpExecutor* executor = nullptr;
  EXPECT_EQ(aclnnSwiGluGetWorkspaceSize(x, 0, out, &bytes, &executor), kNnNoKernel);
  float one = 1;
  aclScalar* alpha = aclCreateScalar(&one, DataType::kFloat);
  EXPECT_EQ(aclnnAddGetWorkspaceSize(x, x, alpha, tensor(data + 32, 4), &bytes, &executor), kNnInvalidParam);
  EXPECT_THAT(message(), HasSubstr("dtype f32"));
}

TEST_F(ExecutorTest, TheReportCountsPhasesByOperator) {
  std::byte* data = device_bytes(64);
  add(data, data, data + 32, 4);
  planned_add(data, data, data + 32, 4);
  EXPECT_THAT(report(), HasSubstr("\"launches\": {\"Add\": 1}"));
  EXPECT_THAT(report(), HasSubstr("\"phase1\": {\"Add\": 2}"));
}

}  // namespace
}  // namespace chaski::acl
