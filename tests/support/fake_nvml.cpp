// A library with NVML's functions, whose devices draw what a test says. With a FAKE_WITHOUT_… it is a driver
// that lacks them. Calls with a null device are counted as faults of the caller.
#include <unistd.h>

#include <atomic>
#include <chrono>

namespace {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Device {
  std::atomic<int> energy_code{0}, power_code{0};
  std::atomic<unsigned> limit_mw{350'000};
  /// Power at `since_s` and what it gains each second; the energy is its integral, plus `offset_mj`.
  std::atomic<double> since_s{now_s()}, watts{100}, watts_per_s{0}, offset_mj{5'000};
  std::atomic<unsigned long long> process_bytes{0};
};
Device g_devices[2];
std::atomic<unsigned> g_count{2};
std::atomic<int> g_init_code{0}, g_n_faults{0};

Device* checked(void* device) {
  if (device == nullptr) ++g_n_faults;
  return static_cast<Device*>(device);
}

}  // namespace

extern "C" {

// What tests set.
int fake_faults() { return g_n_faults; }
void fake_init(int code, unsigned count) {
  g_init_code = code;
  g_count = count;
}
void fake_power(unsigned index, double watts, double watts_per_s) {
  Device& device = g_devices[index];
  device.since_s = now_s();
  device.watts = watts;
  device.watts_per_s = watts_per_s;
}
/// Drawn since fake_power.
double fake_joules(unsigned index) {
  const Device& device = g_devices[index];
  const double t = now_s() - device.since_s;
  return device.watts * t + device.watts_per_s * t * t / 2;
}
void fake_offset(unsigned index, double millijoules) { g_devices[index].offset_mj = millijoules; }
void fake_codes(unsigned index, int energy, int power) {
  g_devices[index].energy_code = energy;
  g_devices[index].power_code = power;
}
void fake_process_bytes(unsigned index, unsigned long long bytes) { g_devices[index].process_bytes = bytes; }

#ifndef FAKE_WITHOUT_INIT
int nvmlInit_v2() { return g_init_code; }
#endif
int nvmlShutdown() { return 0; }
const char* nvmlErrorString(int code) { return code == 3 ? "Not Supported" : "Unknown Error"; }
int nvmlDeviceGetCount_v2(unsigned* count) {
  *count = g_count;
  return 0;
}
int nvmlDeviceGetHandleByIndex_v2(unsigned index, void** device) {
  if (index >= 2) return 2;
  *device = &g_devices[index];
  return 0;
}

#ifndef FAKE_WITHOUT_ENERGY
int nvmlDeviceGetTotalEnergyConsumption(void* handle, unsigned long long* millijoules) {
  Device* device = checked(handle);
  if (device == nullptr || device->energy_code != 0)
    return device == nullptr ? 2 : device->energy_code.load();
  *millijoules = static_cast<unsigned long long>(
      fake_joules(static_cast<unsigned>(device - g_devices)) * 1000 + device->offset_mj);
  return 0;
}
#endif

#ifndef FAKE_WITHOUT_POWER
int nvmlDeviceGetPowerUsage(void* handle, unsigned* milliwatts) {
  Device* device = checked(handle);
  if (device == nullptr || device->power_code != 0) return device == nullptr ? 2 : device->power_code.load();
  const double t = now_s() - device->since_s;
  *milliwatts = static_cast<unsigned>((device->watts + device->watts_per_s * t) * 1000);
  return 0;
}
int nvmlDeviceGetEnforcedPowerLimit(void* handle, unsigned* milliwatts) {
  Device* device = checked(handle);
  if (device == nullptr) return 2;
  *milliwatts = device->limit_mw;
  return 0;
}
#endif

struct FakeMemory {
  unsigned long long total, free, used;
};
int nvmlDeviceGetMemoryInfo(void* handle, FakeMemory* memory) {
  if (checked(handle) == nullptr) return 2;
  *memory = {80ull << 30, 77ull << 30, 3ull << 30};
  return 0;
}

#ifdef FAKE_WITHOUT_ENERGY  // the older driver's list, whose entries are shorter
struct FakeProcess {
  unsigned pid;
  unsigned long long bytes;
};
int nvmlDeviceGetComputeRunningProcesses(void* handle, unsigned* count, FakeProcess* list) {
#else
struct FakeProcess {
  unsigned pid;
  unsigned long long bytes;
  unsigned gpu_instance, compute_instance;
};
int nvmlDeviceGetComputeRunningProcesses_v3(void* handle, unsigned* count, FakeProcess* list) {
#endif
  const Device* device = checked(handle);
  if (device == nullptr || *count < 2) return 7;
  list[0] = {};
  list[0].pid = 1;
  list[0].bytes = 1;
  list[1] = {};
  list[1].pid = static_cast<unsigned>(::getpid());
  list[1].bytes = device->process_bytes;
  *count = device->process_bytes == 0 ? 1 : 2;
  return 0;
}

}  // extern "C"
