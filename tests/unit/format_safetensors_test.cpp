// Hostile and unusual safetensors headers (H1 to H17 of the list of hostile inputs).
#include "format/safetensors.h"

#include <gtest/gtest.h>

#include <ctime>

#include "base/error.h"
#include "format_builders.h"

namespace chaski::testing {
namespace {

std::deque<SafetensorsEntry> parse(const std::string& bytes) {
  return read_safetensors_header(MemorySource("test.safetensors", bytes)).entries;
}

void refused(const std::string& what, const std::string& bytes, const std::string& part) {
  const MemorySource source("test.safetensors", bytes);
  expect_refused(
      what, [&] { read_safetensors_header(source); }, part);
}

std::string tensor(const std::string& shape, const std::string& offsets, const std::string& dtype = "F32") {
  return R"({"dtype":")" + dtype + R"(","shape":)" + shape + R"(,"data_offsets":)" + offsets + "}";
}

TEST(Safetensors, H01_EmptyAndShortFilesAreRefused) {
  refused("H1 empty", "", "expected at least 8 bytes");
  refused("H1 seven bytes", "1234567", "found 7");
}

TEST(Safetensors, H02_H03_H04_HeaderLengthsAreCheckedBeforeAnythingIsAllocated) {
  refused("H2", raw<uint64_t>(UINT64_MAX) + "{}", "expected at most 100000000");
  refused("H4", raw<uint64_t>(3) + "{}", "3 bytes, the file has 2");
  refused("H3", raw<uint64_t>(100000001) + std::string(100000001, ' '), "found 100000001");
}

TEST(Safetensors, H03_AHundredMillionSpacesAfterTheHeaderAreAccepted) {
  std::string header = "{}";
  header.resize(100000000, ' ');
  EXPECT_TRUE(parse(safetensors_file(header, "")).empty());
}

TEST(Safetensors, H05_HeadersThatAreNoObjectAreRefused) {
  refused("H5 UTF-8 in a key", safetensors_file("{\"\xFF\":1}", ""), "invalid UTF-8");
  refused("H5 mark", safetensors_file("\xEF\xBB\xBF{}", ""), "begin with '{'");
  refused("H5 array", safetensors_file("[]", ""), "begin with '{'");
  refused("H5 number", safetensors_file("17", ""), "begin with '{'");
  refused("H5 data without tensors", safetensors_file("{}", "1234"), "found 4");
  refused("H5 two documents", safetensors_file("{}{}", ""), "end of the JSON");
  refused("H5 empty header", safetensors_file("", ""), "begin with '{'");
  EXPECT_TRUE(parse(safetensors_file("{}", "")).empty());
}

TEST(Safetensors, H06_H07_SizesThatWrapAreRefused) {
  refused("H6", safetensors_file("{\"w\":" + tensor("[4294967296,4294967296,4]", "[0,0]") + "}", ""),
          "out of range");
  refused("H7", safetensors_file("{\"w\":" + tensor("[4611686018427387904]", "[0,0]") + "}", ""),
          "out of range");
  refused("H7 above 2^63", safetensors_file("{\"w\":" + tensor("[9223372036854775808]", "[0,0]") + "}", ""),
          "out of range");
  refused("H6 beside a zero",
          safetensors_file("{\"w\":" + tensor("[4611686018427387904,3,0]", "[0,0]") + "}", ""),
          "out of range");
}

TEST(Safetensors, H08_OffsetsMustBeWholeNumbersInOrder) {
  for (const char* offsets : {"[8,4]", "[-1,4]", "[0.0,4]", "[0,1e3]", "[0,\"4\"]", "[0]", "[0,4,8]", "{}",
                              "4", "null", "[0,18446744073709551616]", "[00,4]", "[+0,4]", "[0,4"}) {
    refused(std::string("H8 ") + offsets, safetensors_file("{\"w\":" + tensor("[1]", offsets) + "}", "1234"),
            "test.safetensors");
  }
}

TEST(Safetensors, H09_TheRangeMustBeAsLongAsTheShapeSays) {
  refused("H9 shorter", safetensors_file("{\"w\":" + tensor("[2]", "[0,7]") + "}", "1234567"),
          "span 7 bytes, expected 8");
  refused("H9 longer", safetensors_file("{\"w\":" + tensor("[2]", "[0,9]") + "}", "123456789"), "expected 8");
}

TEST(Safetensors, H10_H11_OverlapsHolesAndTrailingBytesAreRefused) {
  const auto two = [](const char* first, const char* second) {
    return "{\"a\":" + tensor("[4]", first, "U8") + ",\"b\":" + tensor("[4]", second, "U8") + "}";
  };
  refused("H10 one byte", safetensors_file(two("[0,4]", "[3,7]"), "1234567"), "an overlap");
  refused("H10 same range", safetensors_file(two("[0,4]", "[0,4]"), "1234"), "an overlap");
  refused("H11 hole", safetensors_file(two("[0,4]", "[5,9]"), "123456789"), "a hole");
  refused("H11 hole at the start", safetensors_file(two("[1,5]", "[5,9]"), "123456789"), "a hole");
  refused("H11 trailing", safetensors_file(two("[0,4]", "[4,8]"), "123456789"),
          "expected 8 bytes of tensors");
  refused("cut", safetensors_file(two("[0,4]", "[4,8]"), "1234567"), "found 7");
}

TEST(Safetensors, H12_TensorsInAnyOrderAreAccepted) {
  const auto entries = parse(safetensors_file(
      "{\"z\":" + tensor("[1]", "[4,8]") + ",\"a\":" + tensor("[1]", "[0,4]") + "}", "12345678"));
  ASSERT_EQ(entries.size(), 2u);
  EXPECT_EQ(entries[0].name, "a");
  EXPECT_EQ(entries[1].offset - entries[0].offset, 4u);
}

TEST(Safetensors, H13_EmptyTensorsAndScalarsAreAccepted) {
  const auto entries = parse(safetensors_file("{\"empty\":" + tensor("[0,5]", "[0,0]") +
                                                  ",\"scalar\":" + tensor("[]", "[0,4]") +
                                                  ",\"last\":" + tensor("[0]", "[4,4]") + "}",
                                              "1234"));
  ASSERT_EQ(entries.size(), 3u);
  EXPECT_EQ(entries[0].bytes, 0u);
  EXPECT_EQ(entries[2].shape.rank(), 0);
  EXPECT_EQ(entries[2].bytes, 4u);
}

TEST(Safetensors, H14_RepeatedKeysAreRefused) {
  const std::string one = tensor("[1]", "[0,4]");
  refused("H14 tensor",
          safetensors_file("{\"w\":" + one + ",\"w\":" + tensor("[1]", "[4,8]") + "}", "12345678"),
          "\"w\" stands twice");
  refused("H14 empty tensors",
          safetensors_file(
              "{\"w\":" + tensor("[0]", "[0,0]") + ",\"\\u0077\":" + tensor("[0]", "[0,0]") + "}", ""),
          "\"w\" stands twice");
  refused("H14 dtype",
          safetensors_file(R"({"w":{"dtype":"F32","dtype":"F32","shape":[1],"data_offsets":[0,4]}})", "1234"),
          "\"dtype\" stands twice");
  refused("H14 metadata", safetensors_file(R"({"__metadata__":{},"__metadata__":{}})", ""), "stands twice");
}

TEST(Safetensors, H15_UnknownTypesAndPartBytesAreRefused) {
  refused("H15 unknown", safetensors_file("{\"w\":" + tensor("[1]", "[0,4]", "F33") + "}", "1234"),
          "unknown dtype \"F33\"");
  refused("H15 odd", safetensors_file("{\"w\":" + tensor("[3]", "[0,2]", "F4") + "}", "12"),
          "no whole bytes");
  EXPECT_EQ(parse(safetensors_file("{\"w\":" + tensor("[4]", "[0,2]", "F4") + "}", "12")).size(), 1u);
}

TEST(Safetensors, H16_MetadataIsTextAndNeverCopiedIntoErrors) {
  refused("H16 nested", safetensors_file(R"({"__metadata__":{"a":{"b":"c"}}})", ""), "expected a string");
  refused("H16 number", safetensors_file(R"({"__metadata__":{"a":1}})", ""), "expected a string");
  const std::string large(10u << 20, 'x');
  EXPECT_TRUE(parse(safetensors_file("{\"__metadata__\":{\"a\":\"" + large + "\"}}", "")).empty());
  refused("H16 large, then wrong",
          safetensors_file("{\"__metadata__\":{\"a\":\"" + large + "\"},\"w\":0}", ""), "expected '{'");
  refused("a name of 10 MB", safetensors_file("{\"" + large + "\":{}}", ""), "at most 512 bytes");
}

TEST(Safetensors, FieldsAreAllNeededAndNoOtherIsAccepted) {
  refused("no dtype", safetensors_file(R"({"w":{"shape":[1],"data_offsets":[0,4]}})", "1234"),
          "\"dtype\" is missing");
  refused("other",
          safetensors_file(R"({"w":{"dtype":"F32","shape":[1],"data_offsets":[0,4],"x":1}})", "1234"),
          "unknown field \"x\"");
  refused("rank 9", safetensors_file("{\"w\":" + tensor("[1,1,1,1,1,1,1,1,1]", "[0,4]") + "}", "1234"),
          "at most 8");
  refused("rank 5", safetensors_file("{\"w\":" + tensor("[1,1,1,1,1]", "[0,4]") + "}", "1234"),
          "5 dimensions");
  refused("escape", safetensors_file("{\"\\ud800\":1}", ""), "lone surrogate");
  refused("deep", safetensors_file("{\"__metadata__\":" + std::string(100000, '['), ""), "expected '{'");
}

std::string header_of_tiny_tensors(size_t n) {
  std::string header = "{";
  header.reserve(n * 70);
  for (size_t i = 0; i < n; ++i) {
    const std::string at = std::to_string(i);
    header += (i == 0 ? "\"t" : ",\"t") + at + R"(":{"dtype":"U8","shape":[1],"data_offsets":[)" + at + "," +
              std::to_string(i + 1) + "]}";
  }
  return header + "}";
}

TEST(Safetensors, H17_AMillionTensorsAreRefusedByCountAndTwoHundredThousandAreReadSoon) {
  refused("H17", safetensors_file(header_of_tiny_tensors(1000000), std::string(1000000, 'x')),
          "at most 200000 tensors");
  const std::string file = safetensors_file(header_of_tiny_tensors(200000), std::string(200000, 'x'));
  const MemorySource source("test.safetensors", file);
  const std::clock_t start = std::clock();
  EXPECT_EQ(read_safetensors_header(source).n_tensors, 200000u);
  EXPECT_LT(static_cast<double>(std::clock() - start) / CLOCKS_PER_SEC, 2);
}

TEST(Safetensors, WhatIsNotWantedIsCheckedAndForgotten) {
  const auto only_b = [](const std::string& name) { return name == "b"; };
  const auto read = [&](const std::string& offsets_of_c, const char* last = "c") {
    const std::string header = "{\"a\":" + tensor("[1]", "[0,4]") + ",\"b\":" + tensor("[1]", "[4,8]") +
                               ",\"" + last + "\":" + tensor("[1]", offsets_of_c) + "}";
    return read_safetensors_header(
        MemorySource("test.safetensors", safetensors_file(header, std::string(12, 'x'))), only_b, 100);
  };
  const SafetensorsHeader header = read("[8,12]");
  EXPECT_EQ(header.n_tensors, 3u);
  ASSERT_EQ(header.entries.size(), 1u);
  EXPECT_EQ(header.entries[0].name, "b");
  expect_refused(
      "hole", [&] { read("[9,13]"); }, "the tensor before offset");
  expect_refused(
      "span", [&] { read("[8,13]"); }, "\"c\": data_offsets span 5 bytes");
  expect_refused(
      "twice", [&] { read("[8,12]", "a"); }, "\"a\" stands twice");
}

TEST(Safetensors, GitLfsPointersAreNamedAsSuch) {
  refused("pointer", "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 2471645608\n",
          "Git LFS pointer");
}

TEST(Safetensors, EveryPrefixOfAFileIsRefused) {
  const std::string file =
      safetensors_file("{\"__metadata__\":{\"a\":\"\\u00e9\"},\"w\":" + tensor("[1]", "[0,4]") + "}", "1234");
  for (size_t n = 0; n < file.size(); ++n) {
    EXPECT_THROW(parse(file.substr(0, n)), Error) << n;
  }
  EXPECT_EQ(parse(file).size(), 1u);
}

}  // namespace
}  // namespace chaski::testing
