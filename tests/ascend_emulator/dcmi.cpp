// DCMI of the emulated card: one card with as many NPUs as CHASKI_EMULATOR_DEVICES says and a controller. Its
// figures are those of a 910B3 at rest, the power that of this process's share of the CPU: plausible,
// measured on nothing.
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <mutex>

#include "core.h"

namespace {

constexpr int kInvalid = -8001, kUnsupported = -8255;
constexpr double kIdleWatts = 90, kBusyWatts = 220;

int n_npus() {
  const char* value = std::getenv("CHASKI_EMULATOR_DEVICES");
  return value != nullptr && *value != 0 ? std::atoi(value) : 1;
}
bool is_npu(int card, int device) { return card == 0 && device >= 0 && device < n_npus(); }

/// Of one CPU, since the last call: 0 to 1.
double busy() {
  static std::mutex mutex;
  static auto last = std::chrono::steady_clock::now();
  static std::clock_t last_cpu = std::clock();
  static double share = 0;
  const std::lock_guard lock(mutex);
  const auto now = std::chrono::steady_clock::now();
  const double seconds = std::chrono::duration<double>(now - last).count();
  if (seconds < 0.01) return share;
  const std::clock_t cpu = std::clock();
  share = std::clamp(static_cast<double>(cpu - last_cpu) / CLOCKS_PER_SEC / seconds, 0.0, 1.0);
  last = now;
  last_cpu = cpu;
  return share;
}

struct Hbm {
  unsigned long long size_mb;
  unsigned frequency_mhz;
  unsigned long long used_mb;
  int temperature_c;
  unsigned bandwidth_percent;
};
struct Process {
  int pid;
  unsigned long bytes;
};
struct Chip {
  unsigned char type[32], name[32], version[32];
  unsigned n_cores;
};

}  // namespace

extern "C" {

EMULATOR_API int dcmi_init() { return 0; }

EMULATOR_API int dcmi_get_card_list(int* n, int* list, int length) {
  if (length < 1) return kInvalid;
  *n = 1;
  list[0] = 0;
  return 0;
}

/// Its older name.
EMULATOR_API int dcmi_get_card_num_list(int* n, int* list, int length) {
  return dcmi_get_card_list(n, list, length);
}

EMULATOR_API int dcmi_get_device_num_in_card(int card, int* n) {
  if (card != 0) return kInvalid;
  *n = n_npus();
  return 0;
}

EMULATOR_API int dcmi_get_device_id_in_card(int card, int* n, int* controller, int* cpu) {
  if (card != 0) return kInvalid;
  *n = n_npus();
  *controller = n_npus();
  *cpu = -1;
  return 0;
}

EMULATOR_API int dcmi_get_device_logic_id(int* logic, int card, int device) {
  if (!is_npu(card, device)) return kInvalid;
  *logic = device;
  return 0;
}

EMULATOR_API int dcmi_get_device_power_info(int card, int device, int* tenths_of_a_watt) {
  if (!is_npu(card, device)) return kInvalid;
  *tenths_of_a_watt = static_cast<int>(10 * (kIdleWatts + (kBusyWatts - kIdleWatts) * busy()));
  return 0;
}

EMULATOR_API int dcmi_get_device_hbm_info(int card, int device, Hbm* hbm) {
  if (!is_npu(card, device)) return kInvalid;
  *hbm = {65'536, 1'600, 4'096, 45, static_cast<unsigned>(50 * busy())};
  return 0;
}

EMULATOR_API int dcmi_get_device_utilization_rate(int card, int device, int type, unsigned* percent) {
  if (!is_npu(card, device)) return kInvalid;
  switch (type) {
    case 2:  // AI Core
    case 12:
    case 13:
    case 14:
      *percent = static_cast<unsigned>(100 * busy());
      return 0;
    case 3:  // AI CPU
    case 4:
      *percent = 0;
      return 0;
    case 6:  // HBM
      *percent = 6;
      return 0;
    case 10:
      *percent = static_cast<unsigned>(50 * busy());
      return 0;
    default:
      return kUnsupported;
  }
}

EMULATOR_API int dcmi_get_device_temperature(int card, int device, int* celsius) {
  if (!is_npu(card, device)) return kInvalid;
  *celsius = 42 + static_cast<int>(15 * busy());
  return 0;
}

EMULATOR_API int dcmi_get_device_health(int card, int device, unsigned* health) {
  if (!is_npu(card, device)) return kInvalid;
  *health = 0;
  return 0;
}

EMULATOR_API int dcmi_get_device_chip_info(int card, int device, Chip* chip) {
  if (!is_npu(card, device)) return kInvalid;
  *chip = {"Ascend", "910B3 (emulated)", "V1", 20};
  return 0;
}

EMULATOR_API int dcmi_get_device_resource_info(int card, int device, Process* list, int* n) {
  if (!is_npu(card, device)) return kInvalid;
  list[0] = {::getpid(), 0};
  *n = 1;
  return 0;
}

EMULATOR_API int dcmi_get_driver_version(char* version, unsigned room) {
  std::snprintf(version, room, "emulated");
  return 0;
}

EMULATOR_API int dcmi_get_dcmi_version(char* version, unsigned room) {
  std::snprintf(version, room, "emulated");
  return 0;
}

}  // extern "C"
