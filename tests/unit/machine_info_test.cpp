// What this computer is: read where the system says it, empty where it does not.
#include "machine/machine_info.h"

#include <gtest/gtest.h>

#include <fstream>
#include <vector>

#include "support/temporary_folder.h"

namespace chaski {
namespace {

TEST(MachineInfo, SaysWhatThisComputerIs) {
  const MachineInfo info = machine_info();
  EXPECT_FALSE(info.cpu.empty());
  EXPECT_FALSE(info.kernel.empty());
  EXPECT_GE(info.n_cores, 1);
  EXPECT_GT(info.memory_bytes, 1 << 20);
}

TEST(MachineInfo, ReadsTheFilesBelowItsRootAndLeavesEmptyWhatIsNotThere) {
  const std::filesystem::path root = std::filesystem::path(testing::TempDir()) / "machine-root";
  std::filesystem::create_directories(root / "proc");
  std::filesystem::create_directories(root / "etc");
  std::ofstream(root / "proc/cpuinfo") << "processor\t: 0\nmodel name\t: Toy CPU @ 1 GHz\n";
  std::ofstream(root / "etc/os-release") << "ID=toy\nPRETTY_NAME=\"Toy OS 1\"\n";
  const MachineInfo info = machine_info(root);
  EXPECT_EQ(info.cpu, "Toy CPU @ 1 GHz");
  EXPECT_EQ(info.os, "Toy OS 1");
  EXPECT_EQ(info.memory_bytes, 0);
  EXPECT_EQ(info.governor, "");
  std::filesystem::remove_all(root);
}

TEST(MachineInfo, TheGovernorIsThatOfAllCoresAndBothWhereTheyDiffer) {
  const tests::TemporaryFolder root;
  const auto set_governor = [&](const std::string& cpu, const std::string& governor) {
    const std::filesystem::path folder = root.path() / "sys/devices/system/cpu" / cpu / "cpufreq";
    std::filesystem::create_directories(folder);
    std::ofstream(folder / "scaling_governor") << governor << "\n";
  };
  set_governor("cpu0", "powersave");
  set_governor("cpu1", "powersave");
  EXPECT_EQ(machine_info(root.path()).governor, "powersave");
  set_governor("cpu1", "performance");
  EXPECT_EQ(machine_info(root.path()).governor, "performance, powersave");
}

TEST(MachineInfo, PeakMemoryGrowsWithWhatIsTouchedUntilItIsRestarted) {
  restart_peak_rss();
  const int64_t before = peak_rss_bytes();
  constexpr int64_t kTouched = 64 << 20;
  { const std::vector<char> touched(kTouched, 1); }
  const int64_t with = peak_rss_bytes();
  EXPECT_GE(with, before + kTouched / 2);
  restart_peak_rss();
#if !defined(__SANITIZE_ADDRESS__)  // which keeps what was freed
  EXPECT_LE(peak_rss_bytes(), with - kTouched / 2);
#endif
}

}  // namespace
}  // namespace chaski
