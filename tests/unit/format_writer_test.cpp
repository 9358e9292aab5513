// GGUF and safetensors as they are written: what is laid out is what the readers find.
#include <gtest/gtest.h>

#include "base/error.h"
#include "format/gguf.h"
#include "format/gguf_types.h"
#include "format/gguf_writer.h"
#include "format/safetensors.h"
#include "format/safetensors_writer.h"
#include "format_builders.h"

namespace chaski::testing {
namespace {

constexpr int64_t kHuge = INT64_MAX / 10;

/// The file of a layout, each tensor's bytes filled with its place in the plan.
template <typename Layout, typename Plan>
std::string file_of(const Layout& layout, const std::vector<Plan>& plan) {
  std::string file = layout.header;
  file.resize(static_cast<size_t>(layout.file_bytes));
  for (size_t i = 0; i < plan.size(); ++i) {
    const auto bytes = plan[i].shape.n_rows() * row_bytes(plan[i].dtype, plan[i].shape.last());
    const auto at = file.begin() + static_cast<int64_t>(layout.offsets[i]);
    std::fill(at, at + bytes, static_cast<char>(i + 1));
  }
  return file;
}

GgufHeader header_of(const std::string& file) {
  return GgufHeader(std::make_shared<MemorySource>("written.gguf", file));
}

GgufMetadata metadata_of_all_types() {
  GgufMetadata metadata;
  metadata.set_string("general.architecture", "llama");
  metadata.set_uint32("u32", 7);
  metadata.set_uint64("u64", uint64_t{1} << 40);
  metadata.set_int32("i32", -5);
  metadata.set_float32("f32", 1.5f);
  metadata.set_bool("yes", true);
  metadata.set_strings("strings", std::vector<std::string>{"", "甲", std::string("a\0b", 3)});
  metadata.set_int32s("int32s", std::vector<int32_t>{-1, 0, 1});
  metadata.set_float32s("float32s", std::vector<float>{0.5f, -2.0f});
  return metadata;
}

void expect_all_types(const GgufHeader& header) {
  EXPECT_EQ(header.get_string("general.architecture", 99), "llama");
  EXPECT_EQ(header.get_int("u32"), 7);
  EXPECT_EQ(header.get_int("u64"), int64_t{1} << 40);
  EXPECT_EQ(header.get_int("i32"), -5);
  EXPECT_EQ(header.get_number("f32"), 1.5);
  EXPECT_EQ(header.get_bool("yes"), true);
  EXPECT_EQ(header.get_strings("strings", 9, 9),
            (std::vector<std::string>{"", "甲", std::string("a\0b", 3)}));
  EXPECT_EQ(header.get_int32s("int32s", 9), (std::vector<int32_t>{-1, 0, 1}));
  EXPECT_EQ(header.get_float32s("float32s", 9), (std::vector<float>{0.5f, -2.0f}));
}

TEST(GgufWriter, EveryKindOfKeyIsReadBackAndCopiedByteForByte) {
  const std::string file = file_of(lay_out_gguf(metadata_of_all_types(), {}), std::vector<GgufTensorPlan>{});
  const GgufHeader header = header_of(file);
  expect_all_types(header);
  const GgufMetadata original = metadata_of_all_types();
  GgufMetadata copied;
  for (const auto& [key, encoded] : original.entries()) copied.copy(header, key);
  EXPECT_EQ(lay_out_gguf(copied, {}).header, file);
}

TEST(GgufWriter, ASecondValueReplacesTheFirstInItsPlaceAndAnErasedKeyIsGone) {
  GgufMetadata metadata = metadata_of_all_types();
  metadata.set_string("u32", "now a string");
  metadata.erase("yes");
  EXPECT_FALSE(metadata.has("yes"));
  EXPECT_EQ(metadata.entries()[1].first, "u32");
  const GgufHeader header = header_of(file_of(lay_out_gguf(metadata, {}), std::vector<GgufTensorPlan>{}));
  EXPECT_EQ(header.get_string("u32", 99), "now a string");
  EXPECT_EQ(header.get_bool("yes"), std::nullopt);
}

TEST(GgufWriter, TensorsOfEveryTypeAreFoundWhereTheyWereLaidOut) {
  std::vector<GgufTensorPlan> plan = {{"vector", DType::kF32, {3}}};
  for (const BlockFormat& format : all_formats()) {
    if (format.dtype == DType::kI32) continue;
    plan.push_back({std::string(format.name), format.dtype, {3, 2 * format.block_elements}});
  }
  GgufMetadata metadata = metadata_of_all_types();
  metadata.set_uint32("general.alignment", 4096);  // of the file that the keys came from
  const GgufLayout layout = lay_out_gguf(metadata, plan);
  const std::string file = file_of(layout, plan);
  const GgufHeader header = header_of(file);
  expect_all_types(header);
  ASSERT_EQ(header.tensors().size(), plan.size());
  for (size_t i = 0; i < plan.size(); ++i) {
    const GgufTensor& tensor = header.tensors()[i];
    EXPECT_EQ(tensor.name, plan[i].name);
    EXPECT_EQ(tensor.dtype, plan[i].dtype) << tensor.name;
    EXPECT_EQ(tensor.shape, plan[i].shape) << tensor.name;
    EXPECT_EQ(tensor.offset, layout.offsets[i]) << tensor.name;
    EXPECT_EQ(file.substr(tensor.offset, tensor.bytes), std::string(tensor.bytes, static_cast<char>(i + 1)));
  }
}

TEST(GgufWriter, PlansThatNoFileCanHoldAreRefused) {
  const auto refused = [](const std::vector<GgufTensorPlan>& plan, const std::string& part) {
    expect_refused(
        part, [&] { lay_out_gguf({}, plan); }, part);
  };
  refused({{std::string(64, 'n'), DType::kF32, {1}}}, "1 to 63 bytes, found 64");
  refused({{"", DType::kF32, {1}}}, "1 to 63 bytes, found 0");
  refused({{"w", DType::kQ8_0, {2, 33}}}, "32");
  refused({{"w", DType::kF32, {16, kHuge / 2}}}, "out of range");
  refused({{"v", DType::kF32, {kHuge}}, {"w", DType::kF32, {kHuge}}, {"x", DType::kF32, {kHuge}}},
          "tensor x: the size of all tensors is out of range");
}

TEST(SafetensorsWriter, WhatIsLaidOutIsFoundAndMetadataIsKept) {
  const std::vector<SafetensorsPlan> plan = {
      {"b \"quoted\"", DType::kBF16, {3, 5}}, {"a", DType::kF32, {2, 2}}, {"c", DType::kF16, {7}}};
  const SafetensorsLayout layout = lay_out_safetensors({{"format", "pt"}, {"名", "\n"}}, plan);
  EXPECT_EQ(layout.header.size() % 8, 0u);
  const std::string file = file_of(layout, plan);
  const auto header = read_safetensors_header(MemorySource("written.safetensors", file));
  ASSERT_EQ(header.entries.size(), 3u);
  for (const auto& [entry, place] : {std::pair<size_t, size_t>(0, 1), {1, 0}, {2, 2}}) {
    const SafetensorsEntry& found = header.entries[entry];
    EXPECT_EQ(found.name, plan[place].name);
    EXPECT_EQ(found.dtype, plan[place].dtype);
    EXPECT_EQ(found.shape, plan[place].shape);
    EXPECT_EQ(found.offset, layout.offsets[place]);
  }
  const Json json = parse_json(layout.header.substr(8), "header");
  EXPECT_EQ(json["__metadata__"], (Json{{"format", "pt"}, {"名", "\n"}}));
  EXPECT_FALSE(parse_json(lay_out_safetensors({}, plan).header.substr(8), "header").contains("__metadata__"));
  EXPECT_EQ(read_safetensors_header(MemorySource("empty", lay_out_safetensors({}, {}).header)).n_tensors, 0u);
}

TEST(SafetensorsWriter, BlocksAndSizesThatWrapAreRefused) {
  expect_refused(
      "blocks",
      [] {
        lay_out_safetensors({}, std::vector<SafetensorsPlan>{{"w", DType::kQ8_0, {32}}});
      },
      "expected f32, f16 or bf16, found q8_0");
  expect_refused(
      "wraps",
      [] {
        lay_out_safetensors({}, std::vector<SafetensorsPlan>{{"w", DType::kF32, {16, kHuge / 2}}});
      },
      "out of range");
}

}  // namespace
}  // namespace chaski::testing
