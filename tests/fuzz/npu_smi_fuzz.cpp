// Any text in the place of what npu-smi prints: at most 64 NPUs, each with values that can be.
#include "base/error.h"
#include "base/utf8.h"
#include "fuzz/fuzz_input.h"
#include "machine/npu_smi.h"

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace chaski;
  const std::vector<AcceleratorFacts> devices = parse_npu_smi(fuzz::text_of(data, size));
  CHECK(devices.size() <= 64, "{} NPUs", devices.size());
  for (const AcceleratorFacts& npu : devices) {
    CHECK(is_valid_utf8(npu.name), "a name that is no text");
    CHECK(npu.total_bytes.has_value() == npu.used_bytes.has_value(), "a use without its whole");
    CHECK(!npu.total_bytes || (*npu.used_bytes >= 0 && *npu.used_bytes <= *npu.total_bytes),
          "too much in use");
    CHECK(!npu.busy_percent || (*npu.busy_percent >= 0 && *npu.busy_percent <= 100), "busier than it can be");
    CHECK(!npu.watts || (*npu.watts >= 0 && *npu.watts <= 1e5), "a power that cannot be");
  }
  return 0;
}
