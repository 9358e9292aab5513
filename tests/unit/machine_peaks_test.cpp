// What the machine reaches, and what slows it: the probe gives rates, and the system's files are read.
#include "machine/peak_rates.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "machine/cpu_clock.h"
#include "support/temporary_folder.h"

namespace chaski {
namespace {

void write(const std::filesystem::path& file, const std::string& text) {
  std::filesystem::create_directories(file.parent_path());
  std::ofstream(file) << text;
}

TEST(PeakRates, EveryWayOfReadingGivesARateForEachNumberOfThreads) {
  const std::vector<PeakRate> rates = reading_rates({1, 2}, 1 << 20, 2);
  ASSERT_GE(rates.size(), 2u);
  EXPECT_EQ(rates.front().n_threads, 1);
  EXPECT_EQ(rates.back().n_threads, 2);
  for (const PeakRate& rate : rates) {
    EXPECT_EQ(rate.unit, "GB/s");
    ASSERT_EQ(rate.rates.size(), 2u);
    EXPECT_GT(rate.best(), 0);
  }
}

TEST(PeakRates, OnlyTheFormsAskedForAreMultiplied) {
  const std::vector<PeakRate> rates = multiplying_rates({1}, {"fma_f32"}, 1, 0.0001);
  ASSERT_FALSE(rates.empty());
  for (const PeakRate& rate : rates) EXPECT_EQ(rate.what, "fma_f32");
  EXPECT_GT(best_of(rates)->best(), 0);
  EXPECT_EQ(best_of(multiplying_rates({1}, {"no such form"}, 1, 0.0001)), nullptr);
}

TEST(PeakRates, TheBestIsTheOneWithTheHighestRateSeen) {
  const std::vector<PeakRate> rates{{"read", "a", 1, "GB/s", {5, 9, 5}}, {"read", "b", 1, "GB/s", {8, 8, 8}}};
  EXPECT_EQ(best_of(rates)->path, "a");
}

TEST(CpuClock, TheClockIsTheMeanOfTheCoresAndThrottlingTheirSum) {
  const tests::TemporaryFolder root;
  const std::filesystem::path cpus = root.path() / "sys/devices/system/cpu";
  write(cpus / "cpu0/cpufreq/scaling_cur_freq", "2000000\n");
  write(cpus / "cpu1/cpufreq/scaling_cur_freq", "3000000\n");
  write(cpus / "cpu0/thermal_throttle/core_throttle_count", "3\n");
  write(cpus / "cpu1/thermal_throttle/package_throttle_count", "4\n");
  const ClockState state = clock_state(root.path());
  EXPECT_DOUBLE_EQ(*state.mhz, 2500);
  EXPECT_EQ(*state.n_throttled, 7);
}

TEST(CpuClock, WhatTheSystemDoesNotSayStaysEmpty) {
  const tests::TemporaryFolder root;
  write(root.path() / "sys/devices/system/cpu/cpu0/cpufreq/scaling_cur_freq", "<unknown>\n");
  EXPECT_FALSE(clock_state(root.path()).mhz);
  EXPECT_FALSE(clock_state(root.path()).n_throttled);
  EXPECT_FALSE(available_memory_bytes(root.path()));
  write(root.path() / "proc/meminfo", "MemTotal: 8 kB\nMemAvailable:    4 kB\n");
  EXPECT_EQ(*available_memory_bytes(root.path()), 4096);
}

}  // namespace
}  // namespace chaski
