// What npu-smi prints, and what is taken of it.
#include "machine/npu_smi.h"

#include <gtest/gtest.h>

#include <fstream>
#include <iterator>

#include "support/machine_tree.h"

namespace chaski {
namespace {

std::string corpus(const std::string& name) {
  std::ifstream in(std::string(CHASKI_TEST_DATA) + "/../fuzz/corpus/npu_smi/" + name, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), {}};
}

TEST(NpuSmi, TheTableOfDevicesIsReadColumnByColumn) {
  const std::vector<AcceleratorFacts> npus = parse_npu_smi(corpus("two-910b3"));
  ASSERT_EQ(npus.size(), 2u);
  EXPECT_EQ(npus[0].name, "910B3");
  EXPECT_EQ(npus[0].watts, 92.4);
  EXPECT_EQ(npus[0].temperature_c, 43);
  EXPECT_EQ(npus[0].busy_percent, 0);
  EXPECT_EQ(npus[0].used_bytes, int64_t{3401} << 20);
  EXPECT_EQ(npus[0].total_bytes, int64_t{65536} << 20);
  EXPECT_EQ(npus[1].busy_percent, 97);
  EXPECT_EQ(npus[1].used_bytes, int64_t{61440} << 20);  // its blanks are fewer
}

TEST(NpuSmi, WhatIsNotANumberOrCannotBeIsLeftOut) {
  const std::vector<AcceleratorFacts> npus = parse_npu_smi(corpus("not-available"));
  ASSERT_EQ(npus.size(), 2u);  // the third has no second line
  for (const AcceleratorFacts& npu : npus) {
    EXPECT_FALSE(npu.watts || npu.temperature_c || npu.busy_percent || npu.used_bytes || npu.total_bytes);
  }
  EXPECT_EQ(npus[1].name, "910B4");
  for (const char* text :
       {"", "|", "npu-smi: command not found\n", "dcmi module initialize failed. ret is -8005\n"})
    EXPECT_TRUE(parse_npu_smi(text).empty());
}

TEST(NpuSmi, ItIsAskedWhereTheLibraryShowsNoDevice) {
  const tests::MachineTree machine("npu-smi-only");
  const DriverAnswer answer = ask_dcmi(MachineView(machine.root()));
  EXPECT_EQ(answer.devices.size(), 2u);
  EXPECT_EQ(answer.why_not, "");
}

}  // namespace
}  // namespace chaski
