#include "machine/library_search.h"

#include <algorithm>
#include <set>

namespace chaski {
namespace {

/// Lines of a loader's configuration that are folders.
void add_folders(const FileText& file, std::vector<std::string>& folders) {
  std::string_view rest = file.text;
  while (file && !rest.empty()) {
    const std::string_view line = rest.substr(0, rest.find('\n'));
    rest.remove_prefix(std::min(rest.size(), line.size() + 1));
    if (line.substr(0, 1) == "/") folders.emplace_back(line.substr(0, line.find_first_of(" \t\r#")));
  }
}

}  // namespace

std::vector<std::string> library_folders(const MachineView& view) {
  std::vector<std::string> folders = view.env_paths("LD_LIBRARY_PATH");
  const std::string parts = "/etc/ld.so.conf.d";
  for (const std::string& name : view.names(parts)) {
    if (name.size() > 5 && name.substr(name.size() - 5) == ".conf")
      add_folders(view.text(parts + "/" + name), folders);
  }
  add_folders(view.text("/etc/ld.so.conf"), folders);
  const std::string triplet = view.architecture() + "-linux-gnu";
  for (const std::string& folder :
       {"/lib/" + triplet, "/usr/lib/" + triplet, std::string("/lib64"), std::string("/usr/lib64"),
        std::string("/lib"), std::string("/usr/lib")}) {
    folders.push_back(folder);
  }
  return folders;
}

std::vector<std::string> find_libraries(const MachineView& view, std::string_view name) {
  std::vector<std::string> found;
  std::set<std::string> files;
  for (const std::string& folder : library_folders(view)) {
    const std::string path = folder + (folder.back() == '/' ? "" : "/") + std::string(name);
    const auto file = view.resolve(path);
    if (file && files.insert(*file).second) found.push_back(path);
  }
  return found;
}

std::vector<PciDevice> pci_devices(const MachineView& view) {
  const std::string bus = "/sys/bus/pci/devices";
  std::vector<PciDevice> devices;
  for (const std::string& name : view.names(bus)) {
    const std::string folder = bus + "/" + name;
    devices.push_back(
        {view.line(folder + "/vendor"), view.line(folder + "/device"), view.line(folder + "/class")});
  }
  return devices;
}

bool is_container(const MachineView& view) {
  return view.exists("/.dockerenv") || view.exists("/run/.containerenv") || !view.env("container").empty();
}

}  // namespace chaski
