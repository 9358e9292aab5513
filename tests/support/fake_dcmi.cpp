// A library with DCMI's functions: one card (number 3) with two NPUs, and a controller that is none, whose
// power a test sets. With FAKE_WITHOUT_POWER it is a driver that lacks it, with FAKE_EMULATED it is one that
// stands for a driver.
#include <unistd.h>

#include <atomic>
#include <chrono>
#include <cmath>

namespace {

double now_s() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

struct Npu {
  std::atomic<int> power_code{0}, refusal{0};
  std::atomic<int> busy_percent{30}, temperature_c{50};
  std::atomic<double> since_s{now_s()}, watts{90}, watts_per_s{0};
};
Npu g_npus[2];
std::atomic<int> g_init_code{0};

bool is_npu(int card, int device) { return card == 3 && (device == 0 || device == 1); }

}  // namespace

extern "C" {

void fake_init(int code, unsigned) { g_init_code = code; }
void fake_power(unsigned index, double watts, double watts_per_s) {
  g_npus[index].since_s = now_s();
  g_npus[index].watts = watts;
  g_npus[index].watts_per_s = watts_per_s;
}
/// Drawn since fake_power.
double fake_joules(unsigned index) {
  const Npu& npu = g_npus[index];
  const double t = now_s() - npu.since_s;
  return npu.watts * t + npu.watts_per_s * t * t / 2;
}
void fake_codes(unsigned index, int, int power) { g_npus[index].power_code = power; }

/// What all but its power is answered with; 0: the values below.
void fake_refusal(unsigned index, int code) { g_npus[index].refusal = code; }
void fake_load(unsigned index, int busy_percent, int temperature_c) {
  g_npus[index].busy_percent = busy_percent;
  g_npus[index].temperature_c = temperature_c;
}

#ifdef FAKE_EMULATED
const char* chaski_ascend_emulator() { return "8.0"; }
#endif

int dcmi_init() { return g_init_code; }
int dcmi_get_card_list(int* n, int* list, int length) {
  if (length < 1) return -8001;
  *n = 1;
  list[0] = 3;
  return 0;
}
int dcmi_get_device_id_in_card(int card, int* n_npus, int* controller, int* cpu) {
  if (card != 3) return -8001;
  *n_npus = 2;
  *controller = 2;
  *cpu = -1;
  return 0;
}

#ifndef FAKE_WITHOUT_POWER
int dcmi_get_device_power_info(int card, int device, int* tenths_of_a_watt) {
  if (!is_npu(card, device)) return -8001;
  const Npu& npu = g_npus[device];
  if (npu.power_code != 0) return npu.power_code;
  *tenths_of_a_watt =
      static_cast<int>(std::lround((npu.watts + npu.watts_per_s * (now_s() - npu.since_s)) * 10));
  return 0;
}
#endif

struct FakeHbm {
  unsigned long long size_mb;
  unsigned frequency_mhz;
  unsigned long long used_mb;
  int temperature_c;
  unsigned bandwidth_percent;
};
int dcmi_get_device_hbm_info(int card, int device, FakeHbm* hbm) {
  if (!is_npu(card, device)) return -8001;
  *hbm = {65'536, 1'600, 4'096, 45, 0};
  return g_npus[device].refusal;
}
int dcmi_get_device_utilization_rate(int card, int device, int type, unsigned* percent) {
  if (!is_npu(card, device) || type != 2) return -8001;
  *percent = static_cast<unsigned>(g_npus[device].busy_percent.load());
  return g_npus[device].refusal;
}
int dcmi_get_device_temperature(int card, int device, int* degrees) {
  if (!is_npu(card, device)) return -8001;
  *degrees = g_npus[device].temperature_c;
  return g_npus[device].refusal;
}

struct FakeProcess {
  int pid;
  unsigned long bytes;
};
int dcmi_get_device_resource_info(int card, int device, FakeProcess* list, int* n) {
  if (!is_npu(card, device)) return -8001;
  list[0] = {::getpid(), 7ul << 20};
  *n = 1;
  return 0;
}

}  // extern "C"
