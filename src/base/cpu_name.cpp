#include "base/cpu_name.h"

#include <fstream>

#include "base/error.h"

namespace chaski {

std::string system_value(const std::filesystem::path& file, std::initializer_list<std::string_view> keys,
                         char separator) {
  std::ifstream in(file);
  std::string line;
  for (int n = 0; n < 4096 && std::getline(in, line); ++n) {
    const size_t at = line.find(separator);
    if (at == std::string::npos) continue;
    for (const std::string_view key : keys) {
      if (line.compare(0, key.size(), key) != 0) continue;
      const size_t first = line.find_first_not_of(" \t\"", at + 1);
      const size_t last = line.find_last_not_of(" \t\"");
      if (first != std::string::npos && last >= first) return line.substr(first, last - first + 1);
    }
  }
  return {};
}

std::string cpu_name(const std::filesystem::path& root) {
  // Arm kernels give no model name; "Hardware" and "CPU part" are what there is.
  return printable(system_value(root / "proc/cpuinfo", {"model name", "Model", "Hardware", "CPU part"}, ':'));
}

}  // namespace chaski
