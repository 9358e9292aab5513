// The files by which doctor knows a machine, of any bytes: parts of the input between NULs, in the order of
// kFiles. It always comes to findings, whose texts are one line of valid UTF-8 each.
#include <filesystem>
#include <fstream>
#include <string>

#include "base/error.h"
#include "base/utf8.h"
#include "fuzz/fuzz_input.h"
#include "machine/doctor.h"
#include "support/temporary_folder.h"

namespace {

constexpr const char* kFiles[] = {
    "environment",
    "proc/cpuinfo",
    "proc/meminfo",
    "proc/self/status",
    "proc/self/mounts",
    "etc/passwd",
    "etc/group",
    "etc/ld.so.conf",
    "disks",
    "dev/davinci0",
    "dev/davinci_manager",
    "dev/devmm_svm",
    "dev/hisi_hdc",
    "sys/bus/pci/devices/0/vendor",
    "sys/bus/pci/devices/0/device",
    "sys/bus/pci/devices/0/class",
    "sys/module/nvidia/version",
    "usr/local/Ascend/driver/version.info",
    "usr/local/Ascend/ascend-toolkit/latest/aarch64-linux/ascend_toolkit_install.info",
    "usr/local/Ascend/ascend-toolkit/latest/lib64/libascendcl.so",
    "usr/local/cuda/version.json",
    "nvml.json",
    "dcmi.json"};

/// Made once; each input writes its files anew.
const std::filesystem::path& root() {
  static const chaski::tests::TemporaryFolder folder;
  static const bool is_made = [] {
    for (const char* file : kFiles) std::filesystem::create_directories((folder / file).parent_path());
    return true;
  }();
  CHECK(is_made, "no folders");
  return folder.path();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  using namespace chaski;
  std::string input = fuzz::text_of(data, size);
  for (const char* file : kFiles) {
    const size_t end = std::min(input.find('\0'), input.size());
    std::ofstream(root() / file, std::ios::binary) << input.substr(0, end);
    input.erase(0, end + 1);
  }
  for (const Finding& finding : examine(MachineView(root()), {})) {
    for (const Words* words : {&finding.what, &finding.reason, &finding.fix}) {
      for (const std::string* text : {&words->en, &words->zh}) {
        CHECK(is_valid_utf8(*text) && text->find('\n') == std::string::npos && text->size() < 4000,
              "{}: a text of {} bytes", finding.id, text->size());
      }
    }
    CHECK(finding.status != FindingStatus::kFailure || !finding.fix.empty(), "{}: no way out", finding.id);
  }
  return 0;
}
