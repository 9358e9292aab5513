// The meters against a made-up powercap tree that a thread advances, and against libraries that draw what a
// test says. What was drawn is known before and after each call, so that a busy machine makes no test fail.
#include "machine/meters.h"

#include <dlfcn.h>
#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>
#include <thread>

#include "machine/device_facts.h"
#include "machine/meters_parts.h"
#include "support/temporary_folder.h"

namespace chaski {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
namespace fs = std::filesystem;

constexpr int kAttempts = 20;  // a measurement that the system interrupted is taken again

void write_text(const fs::path& path, const std::string& text) {
  const fs::path part = path.string() + ".part";
  std::ofstream(part) << text << "\n";
  fs::rename(part, path);
}

/// A powercap tree with one processor, or more zones as they are added.
class FakePowercap {
 public:
  FakePowercap() { fs::permissions(root_.path(), fs::perms(0755)); }

  fs::path add(const std::string& zone, const std::string& name, uint64_t energy_uj, uint64_t range_uj,
               uint64_t limit_uw = 0) {
    const fs::path folder = root_.path() / "sys/class/powercap" / zone;
    fs::create_directories(folder);
    write_text(folder / "name", name);
    write_text(folder / "max_energy_range_uj", std::to_string(range_uj));
    if (limit_uw > 0) write_text(folder / "constraint_0_power_limit_uw", std::to_string(limit_uw));
    set(folder, energy_uj);
    return folder;
  }
  static void set(const fs::path& folder, uint64_t energy_uj) {
    write_text(folder / "energy_uj", std::to_string(energy_uj));
  }
  /// Only this tree; no library.
  MeterPlaces places() const { return {root_.path(), "libnot-there.so", "libnot-there.so"}; }

 private:
  tests::TemporaryFolder root_;
};

/// Draws from a zone, around its range, while a measurement runs and at no other time: starting and stopping
/// may take as long as they like.
class Consumer {
 public:
  Consumer(fs::path folder, uint64_t begin_uj, uint64_t range_uj)
      : folder_(std::move(folder)), value_uj_(begin_uj), range_uj_(range_uj) {}
  void draw() {
    for (int i = 0; i < 175; ++i) {
      value_uj_ = (value_uj_ + 20'000'000) % range_uj_;
      FakePowercap::set(folder_, value_uj_);
      joules_ += 20;
      std::this_thread::sleep_for(std::chrono::milliseconds(4));
    }
  }
  double joules() const { return joules_; }

 private:
  fs::path folder_;
  uint64_t value_uj_, range_uj_;
  double joules_ = 0;
};

void let_pass() { std::this_thread::sleep_for(std::chrono::milliseconds(700)); }

/// A fake library, kept open so that its settings last.
class FakeLibrary {
 public:
  explicit FakeLibrary(const char* path) : path_(path), handle_(::dlopen(path, RTLD_NOW | RTLD_LOCAL)) {
    EXPECT_NE(handle_, nullptr) << ::dlerror();
    init(0, 2);
    for (unsigned i = 0; i < 2; ++i) {
      power(i, 100, 0);
      codes(i, 0, 0);
    }
  }
  ~FakeLibrary() { ::dlclose(handle_); }

  void init(int code, unsigned count) { call<void(int, unsigned)>("fake_init")(code, count); }
  void power(unsigned i, double watts, double watts_per_s) {
    call<void(unsigned, double, double)>("fake_power")(i, watts, watts_per_s);
  }
  void codes(unsigned i, int energy, int power) {
    call<void(unsigned, int, int)>("fake_codes")(i, energy, power);
  }
  void refusal(unsigned i, int code) { call<void(unsigned, int)>("fake_refusal")(i, code); }
  void load(unsigned i, int busy_percent, int temperature_c) {
    call<void(unsigned, int, int)>("fake_load")(i, busy_percent, temperature_c);
  }
  void offset(double millijoules) { call<void(unsigned, double)>("fake_offset")(0, millijoules); }
  void process_bytes(unsigned i, unsigned long long bytes) {
    call<void(unsigned, unsigned long long)>("fake_process_bytes")(i, bytes);
  }
  double joules(unsigned i) { return call<double(unsigned)>("fake_joules")(i); }
  int faults() { return call<int()>("fake_faults")(); }

  MeterPlaces as_nvml() const { return {"/no/such/root", path_, "libnot-there.so"}; }
  MeterPlaces as_dcmi() const { return {"/no/such/root", "libnot-there.so", path_}; }

 private:
  template <typename Function>
  Function* call(const char* name) {
    return reinterpret_cast<Function*>(::dlsym(handle_, name));
  }
  std::string path_;
  void* handle_;
};

/// Whether `meter` measures to 1 % what `joules` says, in one of several attempts that nothing disturbed.
void expect_right_to_one_percent(EnergyMeter& meter, const std::function<double()>& joules,
                                 bool is_integrated, const std::function<void()>& meanwhile = let_pass) {
  EnergyReading reading;
  for (int attempt = 0; attempt < kAttempts; ++attempt) {
    const double before_start = joules();
    meter.start();
    const double after_start = joules();
    meanwhile();
    const double before_stop = joules();
    reading = meter.stop();
    const double least = before_stop - after_start;
    const double most = joules() - before_start;
    if (!reading.joules || most > least * 1.02) continue;
    EXPECT_NEAR(*reading.joules, least, 0.02 * least);
    EXPECT_NEAR(*reading.joules, (least + most) / 2, 0.01 * least);
    EXPECT_EQ(reading.is_integrated, is_integrated);
    EXPECT_EQ(reading.source, meter.source());
    EXPECT_GT(reading.seconds, 0.6);
    return;
  }
  FAIL() << "no undisturbed measurement of " << meter.source() << ": " << reading.why_not;
}

std::vector<std::string> sources_of(const FoundMeters& found) {
  std::vector<std::string> sources;
  for (const auto& meter : found.meters) sources.emplace_back(meter->source());
  return sources;
}

TEST(Rapl, JoulesAreRightToOnePercentThroughAWrap) {
  FakePowercap tree;
  constexpr uint64_t kRange = 36'000'000'000;  // 36 kJ, 3 s at the most that the limit allows
  const fs::path zone = tree.add("intel-rapl:0", "package-0", kRange - 30'000'000, kRange, 10'000'000'000);
  FoundMeters found = find_energy_meters(tree.places());
  ASSERT_THAT(sources_of(found), ElementsAre("rapl package-0"));
  Consumer consumer(zone, kRange - 30'000'000, kRange);
  expect_right_to_one_percent(
      *found.meters[0], [&] { return consumer.joules(); }, false, [&] { consumer.draw(); });
}

TEST(Rapl, SeveralWrapsAreCountedAndOneThatMayBeMissedIsSaid) {
  WrappingCounter counter(1'000'000, 1);  // 1 J at 1 W: once around in a second
  counter.start(900'000, 0);
  for (int i = 1; i <= 40; ++i)
    counter.add(static_cast<uint64_t>(900'000 + i * 250'000) % 1'000'000, i * 0.25);
  EXPECT_NEAR(counter.joules(), 10, 1e-9);
  EXPECT_FALSE(counter.may_have_missed_a_wrap());
  EXPECT_EQ(counter.period().count(), 250);
  counter.add(0, 11.5);
  EXPECT_TRUE(counter.may_have_missed_a_wrap());
  counter.start(0, 20);
  EXPECT_FALSE(counter.may_have_missed_a_wrap());
  WrappingCounter unknown(0, 1);  // without a range nothing can be trusted
  unknown.start(5, 0);
  unknown.add(3, 0.001);
  EXPECT_TRUE(unknown.may_have_missed_a_wrap());
}

TEST(Rapl, PackagesAreSummedAndNothingIsCountedTwice) {
  FakePowercap tree;
  constexpr uint64_t kRange = 262'143'000'000;
  std::vector<fs::path> zones;
  zones.push_back(tree.add("intel-rapl:0", "package-0", 1'000'000, kRange, 200'000'000));
  zones.push_back(tree.add("intel-rapl:0:0", "core", 0, kRange));
  zones.push_back(tree.add("intel-rapl:0:1", "dram", 0, kRange));
  zones.push_back(tree.add("intel-rapl:1", "package-1", 2'000'000, kRange, 200'000'000));
  zones.push_back(tree.add("intel-rapl:1:0", "dram", 0, kRange));
  zones.push_back(tree.add("intel-rapl:2", "psys", 0, kRange));
  zones.push_back(tree.add("intel-rapl-mmio:0", "package-0", 0, kRange));
  FoundMeters found = find_energy_meters(tree.places());
  ASSERT_THAT(sources_of(found), ElementsAre("rapl package-0+package-1", "rapl dram", "rapl psys"));
  for (const auto& meter : found.meters) meter->start();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  uint64_t joule = 1;
  for (const fs::path& zone : zones) {  // 1, 2, 4 … J
    const uint64_t begin = joule == 1 ? 1 : joule == 8 ? 2 : 0;
    FakePowercap::set(zone, (begin + joule) * 1'000'000);
    joule *= 2;
  }
  EXPECT_NEAR(found.meters[0]->stop().joules.value_or(0), 1 + 8, 1e-9);
  EXPECT_NEAR(found.meters[1]->stop().joules.value_or(0), 4 + 16, 1e-9);
  EXPECT_NEAR(found.meters[2]->stop().joules.value_or(0), 32, 1e-9);
}

TEST(Rapl, ACounterThatMayNotBeReadSaysHowToAllowIt) {
  FakePowercap tree;
  const fs::path zone = tree.add("intel-rapl:0", "package-0", 0, 1'000'000);
  fs::permissions(zone / "energy_uj", fs::perms(0));
  const uid_t user = ::geteuid();
  ASSERT_TRUE(user != 0 || ::seteuid(65534) == 0);  // root may read everything
  const FoundMeters found = find_energy_meters(tree.places());
  ASSERT_TRUE(user != 0 || ::seteuid(0) == 0);
  EXPECT_TRUE(found.meters.empty());
  ASSERT_FALSE(found.why_not.empty());
  EXPECT_THAT(found.why_not[0], HasSubstr("Permission denied"));
  EXPECT_THAT(found.why_not[0], HasSubstr("chmod a+r"));
}

TEST(Rapl, ImpossiblePowerAndACounterThatStandsStillAreRefused) {
  FakePowercap tree;
  const fs::path zone = tree.add("intel-rapl:0", "package-0", 0, 262'143'000'000, 50'000'000);
  FoundMeters found = find_energy_meters(tree.places());
  ASSERT_EQ(found.meters.size(), 1u);
  EnergyMeter& meter = *found.meters[0];
  meter.start();
  FakePowercap::set(zone, 100'000'000'000);
  EnergyReading reading = meter.stop();
  EXPECT_FALSE(reading.joules.has_value());
  EXPECT_THAT(reading.why_not, HasSubstr("more than 1.2 × the 50 W"));
  meter.start();
  reading = meter.stop();
  EXPECT_FALSE(reading.joules.has_value());
  EXPECT_THAT(reading.why_not, HasSubstr("no energy"));
}

TEST(Rapl, ACounterThatGoesAwayOrTurnsToNonsenseIsAReadingWithoutJoules) {
  for (const char* content : {"", "nonsense", "-5", "99999999999999999999999"}) {
    FakePowercap tree;
    const fs::path zone = tree.add("intel-rapl:0", "package-0", 0, 262'143'000'000);
    FoundMeters found = find_energy_meters(tree.places());
    ASSERT_EQ(found.meters.size(), 1u);
    found.meters[0]->start();
    if (*content == '\0') {
      fs::remove(zone / "energy_uj");
    } else {
      write_text(zone / "energy_uj", content);
    }
    const EnergyReading reading = found.meters[0]->stop();
    EXPECT_FALSE(reading.joules.has_value()) << content;
    EXPECT_THAT(reading.why_not, HasSubstr("could not be read")) << content;
  }
}

TEST(EnergyMeters, AMachineWithoutAnySaysWhyForEachKind) {
  const FakePowercap empty;
  const FoundMeters found = find_energy_meters(empty.places());
  EXPECT_TRUE(found.meters.empty());
  EXPECT_THAT(found.why_not,
              ElementsAre(HasSubstr("rapl: no energy counters"), HasSubstr("nvml: no NVIDIA driver here"),
                          HasSubstr("dcmi: no Ascend driver here")));
  EXPECT_FALSE(device_memory_bytes(empty.places()).has_value());
  EXPECT_FALSE(device_memory_in_use_bytes(empty.places()).has_value());
}

TEST(EnergyMeters, AStopWithoutAStartIsNoMeasurement) {
  FakePowercap tree;
  tree.add("intel-rapl:0", "package-0", 0, 262'143'000'000);
  FoundMeters found = find_energy_meters(tree.places());
  EXPECT_THAT(found.meters.at(0)->stop().why_not, HasSubstr("not started"));
}

TEST(Nvml, TheCounterIsRightToOnePercent) {
  FakeLibrary library(fake_nvml_path);
  library.power(0, 180, 40);
  FoundMeters found = find_energy_meters(library.as_nvml());
  ASSERT_THAT(sources_of(found), ElementsAre("nvml 0", "nvml 1"));
  expect_right_to_one_percent(
      *found.meters[0], [&] { return library.joules(0); }, false);
  EXPECT_EQ(library.faults(), 0);
}

TEST(Nvml, WithoutACounterPowerIsIntegratedToOnePercent) {
  FakeLibrary library(fake_nvml_power_only_path);
  library.power(1, 100, 60);
  FoundMeters found = find_energy_meters(library.as_nvml());
  ASSERT_EQ(found.meters.size(), 2u);
  expect_right_to_one_percent(
      *found.meters[1], [&] { return library.joules(1); }, true);
}

TEST(Nvml, ADeviceThatRefusesItsCounterIsMeasuredByItsPower) {
  FakeLibrary library(fake_nvml_path);
  library.codes(0, 3, 0);
  FoundMeters found = find_energy_meters(library.as_nvml());
  ASSERT_EQ(found.meters.size(), 2u);
  expect_right_to_one_percent(
      *found.meters[0], [&] { return library.joules(0); }, true);
}

TEST(Nvml, PowerAboveTheBoardsLimitIsRefused) {
  FakeLibrary library(fake_nvml_path);  // its limit is 350 W
  FoundMeters found = find_energy_meters(library.as_nvml());
  ASSERT_EQ(found.meters.size(), 2u);
  library.power(0, 430, 0);
  found.meters[0]->start();
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  const EnergyReading reading = found.meters[0]->stop();
  EXPECT_FALSE(reading.joules.has_value());
  EXPECT_THAT(reading.why_not, HasSubstr("more than 1.2 × the 350 W"));
}

TEST(Nvml, ACounterThatBeginsAnewOrFailsMeanwhileIsSaid) {
  FakeLibrary library(fake_nvml_path);
  FoundMeters found = find_energy_meters(library.as_nvml());
  ASSERT_EQ(found.meters.size(), 2u);
  library.offset(1e9);
  found.meters[0]->start();
  library.offset(0);
  EXPECT_THAT(found.meters[0]->stop().why_not, HasSubstr("began anew"));
  found.meters[0]->start();
  library.codes(0, 15, 0);
  EXPECT_THAT(found.meters[0]->stop().why_not, HasSubstr("could not be read"));
}

TEST(Nvml, DriversThatLackFunctionsAreToldApartAndNeverCrash) {
  const auto reasons = [](const MeterPlaces& places) {
    const FoundMeters found = find_energy_meters(places);
    EXPECT_TRUE(found.meters.empty());
    return found.why_not;
  };
  FakeLibrary bare(fake_nvml_bare_path);
  EXPECT_THAT(reasons(bare.as_nvml()).at(1), HasSubstr("neither energy nor power"));
  FakeLibrary without_init(fake_nvml_no_init_path);
  EXPECT_THAT(reasons(without_init.as_nvml()).at(1), HasSubstr("nvmlInit_v2"));
  FakeLibrary library(fake_nvml_path);
  library.init(3, 2);
  EXPECT_THAT(reasons(library.as_nvml()).at(1), HasSubstr("Not Supported (error 3)"));
  library.init(0, 0);
  EXPECT_THAT(reasons(library.as_nvml()).at(1), HasSubstr("no device"));
  EXPECT_THAT(reasons(FakeLibrary(fake_dcmi_path).as_nvml()).at(1), HasSubstr("nvmlInit_v2"));
  library.init(0, 3);  // one more than answer
  EXPECT_THAT(find_energy_meters(library.as_nvml()).why_not.at(1),
              HasSubstr("nvml 2: the device does not answer"));
}

TEST(Nvml, MemoryOfThisProcessIsFoundInBothFormsOfTheList) {
  for (const char* path : {fake_nvml_path, fake_nvml_power_only_path}) {
    FakeLibrary library(path);
    library.process_bytes(0, 5ull << 30);
    library.process_bytes(1, 1ull << 30);
    EXPECT_EQ(device_memory_bytes(library.as_nvml()), int64_t{6} << 30);
    EXPECT_EQ(device_memory_in_use_bytes(library.as_nvml()), int64_t{6} << 30);
    library.process_bytes(0, 0);      // not listed
    library.process_bytes(1, ~0ull);  // listed without a number
    EXPECT_FALSE(device_memory_bytes(library.as_nvml()).has_value());
  }
}

TEST(Dcmi, PowerInTenthsOfAWattIsIntegratedToOnePercent) {
  FakeLibrary library(fake_dcmi_path);
  library.power(1, 90, 150);
  FoundMeters found = find_energy_meters(library.as_dcmi());
  ASSERT_THAT(sources_of(found), ElementsAre("dcmi 3/0", "dcmi 3/1"));
  expect_right_to_one_percent(
      *found.meters[1], [&] { return library.joules(1); }, true);
}

TEST(Dcmi, WhatIsRefusedIsSaidWithItsMeaning) {
  FakeLibrary library(fake_dcmi_path);
  library.codes(1, 0, -8013);
  FoundMeters found = find_energy_meters(library.as_dcmi());
  EXPECT_THAT(sources_of(found), ElementsAre("dcmi 3/0"));
  EXPECT_THAT(found.why_not.back(), HasSubstr("not supported in a container"));
  found.meters.at(0)->start();
  library.codes(0, 0, -8002);
  library.power(0, 5000, 0);
  const EnergyReading reading = found.meters.at(0)->stop();
  EXPECT_TRUE(reading.joules.has_value() != !reading.why_not.empty());
  FakeLibrary without_power(fake_dcmi_no_power_path);
  EXPECT_THAT(find_energy_meters(without_power.as_dcmi()).why_not.back(), HasSubstr("lacks it"));
  EXPECT_THAT(find_energy_meters(FakeLibrary(fake_nvml_path).as_dcmi()).why_not.back(),
              HasSubstr("dcmi_init"));
}

TEST(Dcmi, ImpossiblePowerIsRefused) {
  FakeLibrary library(fake_dcmi_path);
  library.power(0, 20'000, 0);
  FoundMeters found = find_energy_meters(library.as_dcmi());
  ASSERT_FALSE(found.meters.empty());
  found.meters[0]->start();
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  EXPECT_THAT(found.meters[0]->stop().why_not, HasSubstr("more than 1.2 × the 1000 W"));
}

TEST(Dcmi, HowBusyAndHowHotItWasGoesWithTheEnergy) {
  FakeLibrary library(fake_dcmi_path);
  FoundMeters found = find_energy_meters(library.as_dcmi());
  ASSERT_FALSE(found.meters.empty());
  library.load(0, 40, 61);
  found.meters[0]->start();
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  EnergyReading reading = found.meters[0]->stop();
  EXPECT_EQ(reading.busy_percent, 40);
  EXPECT_EQ(reading.temperature_c, 61);
  library.refusal(0, -8255);  // then there are joules alone
  found.meters[0]->start();
  std::this_thread::sleep_for(std::chrono::milliseconds(60));
  reading = found.meters[0]->stop();
  EXPECT_TRUE(reading.joules.has_value());
  EXPECT_FALSE(reading.busy_percent || reading.temperature_c);
  library.refusal(0, 0);
}

TEST(Dcmi, WhatAContainerMayNotReadIsNamedAndTheRestStays) {
  FakeLibrary library(fake_dcmi_path);
  for (const auto& [code, meaning] :
       {std::pair(-8013, "not supported in a container"), std::pair(-8255, "not supported by this device"),
        std::pair(-8002, "not permitted")}) {
    library.refusal(0, code);
    const DriverAnswer answer = ask_dcmi(MachineView::live(), fake_dcmi_path);
    ASSERT_EQ(answer.devices.size(), 2u);
    const AcceleratorFacts& npu = answer.devices[0];
    EXPECT_FALSE(npu.total_bytes || npu.used_bytes || npu.busy_percent || npu.temperature_c);
    EXPECT_TRUE(npu.watts.has_value());
    ASSERT_EQ(npu.not_readable.size(), 3u);
    EXPECT_THAT(npu.not_readable[0], HasSubstr(std::string("dcmi_get_device_hbm_info: ") + meaning));
    EXPECT_EQ(answer.devices[1].temperature_c, 50);
  }
  library.refusal(0, 0);
}

TEST(Dcmi, AnEmulatorsMeterSaysSo) {
  FakeLibrary library(fake_dcmi_emulated_path);
  EXPECT_THAT(sources_of(find_energy_meters(library.as_dcmi())),
              ElementsAre("dcmi 3/0 (emulated)", "dcmi 3/1 (emulated)"));
  EXPECT_TRUE(ask_dcmi(MachineView::live(), fake_dcmi_emulated_path).is_emulated);
  EXPECT_FALSE(ask_dcmi(MachineView::live(), fake_dcmi_path).is_emulated);
}

TEST(Dcmi, TheLibraryOfAnEmulatorIsKnownByItsAscendCl) {
  const tests::TemporaryFolder folder;
  fs::copy_file(fake_dcmi_path, folder / "libdcmi.so");
  const std::string path = (folder / "libdcmi.so").string();
  EXPECT_FALSE(ask_dcmi(MachineView::live(), path).is_emulated);
  fs::copy_file(fake_dcmi_emulated_path, folder / "libascendcl.so");
  EXPECT_TRUE(ask_dcmi(MachineView::live(), path).is_emulated);
}

TEST(Dcmi, MemoryOfThisProcessAndInUse) {
  FakeLibrary library(fake_dcmi_path);
  EXPECT_EQ(device_memory_bytes(library.as_dcmi()), int64_t{14} << 20);
  EXPECT_EQ(device_memory_in_use_bytes(library.as_dcmi()), int64_t{8} << 30);
}

TEST(PowerIntegral, AGapInTheSamplesIsNoMeasurement) {
  PowerIntegral power;
  power.start(0);
  power.add(100, 0);
  power.add(200, 0.5);
  EXPECT_NEAR(power.reading(1, "").joules.value_or(0), 75 + 100, 1e-9);
  power.start(10);
  power.add(100, 10);
  const EnergyReading reading = power.reading(12.5, "no answer");
  EXPECT_FALSE(reading.joules.has_value());
  EXPECT_THAT(reading.why_not, HasSubstr("2.5 s: no answer"));
  power.start(0);
  EXPECT_FALSE(power.reading(0.5, "").joules.has_value());
}

}  // namespace
}  // namespace chaski
