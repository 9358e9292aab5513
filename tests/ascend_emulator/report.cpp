// See report.h.
#include "report.h"

#include <charconv>
#include <cstdio>

namespace ascend_emulator {

std::string json(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      out += '\\';
      out += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escaped[8];
      std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(c));
      out += escaped;
    } else {
      out += c;
    }
  }
  return out + '"';
}

std::string json(const Counts& counts) {
  std::string out = "{";
  for (const auto& [name, count] : counts) {
    if (out.size() > 1) out += ", ";
    out += text(json(name), ": ", count);
  }
  return out + "}";
}

std::vector<std::string> split(std::string_view list, char separator) {
  std::vector<std::string> items;
  while (!list.empty()) {
    const size_t end = std::min(list.find(separator), list.size());
    if (end > 0) items.emplace_back(list.substr(0, end));
    list.remove_prefix(std::min(end + 1, list.size()));
  }
  return items;
}

void Faults::set(std::string_view specification) {
  std::vector<Fault> faults;
  for (const std::string& item : split(specification, ',')) {
    const auto parts = split(item, ':');
    uint64_t numbers[3] = {0, 0, 1};
    bool holds = parts.size() == 3 || parts.size() == 4;
    for (size_t i = 1; holds && i < parts.size(); ++i) {
      const char* end = parts[i].data() + parts[i].size();
      const auto read = std::from_chars(parts[i].data(), end, numbers[i - 1]);
      holds = read.ec == std::errc() && read.ptr == end && numbers[i - 1] > 0;
    }
    if (!holds) throw OpError(kInvalidParam, "a fault is SITE:N:CODE[:times], not \"" + item + "\"");
    faults.push_back({parts[0], numbers[0], numbers[2], static_cast<Status>(numbers[1])});
  }
  faults_ = std::move(faults);
}

void Faults::hit(std::string_view site) {
  for (Fault& fault : faults_) {
    if (fault.site != site) continue;
    const uint64_t call = ++fault.calls;
    if (call >= fault.from && call - fault.from < fault.times)
      throw OpError(fault.code, text("injected fault ", fault.code, " at call ", call, " of ", site));
  }
}

}  // namespace ascend_emulator
