// A machine of tests/data/machines, unpacked: a text of lines "@base NAME", "@file PATH" with the lines that
// follow as its content, "@link PATH TARGET", "@remove PATH", "@set NAME=VALUE" and "@unset NAME" of its
// environment. A later line wins.
#pragma once

#include <filesystem>
#include <fstream>
#include <map>
#include <sstream>
#include <string>

#include "support/temporary_folder.h"

namespace chaski::tests {

class MachineTree {
 public:
  explicit MachineTree(const std::string& name) {
    apply(name);
    std::ofstream environment(folder_ / "environment");
    for (const auto& [variable, value] : environment_) environment << variable << '=' << value << '\n';
  }

  const std::filesystem::path& root() const { return folder_.path(); }
  std::filesystem::path operator/(const std::string& path) const { return folder_ / path; }
  static std::filesystem::path folder_of(const std::string& name) {
    return std::filesystem::path(CHASKI_TEST_DATA) / "machines" / name;
  }

 private:
  void apply(const std::string& name) {
    std::ifstream in(folder_of(name) / "machine.txt");
    if (!in) throw std::runtime_error("no machine " + name);
    std::ofstream file;
    for (std::string line; std::getline(in, line);) {
      if (line.empty() || line.front() != '@') {
        if (file.is_open()) file << line << '\n';
        continue;
      }
      file.close();
      std::istringstream words(line);
      std::string directive, path, rest;
      words >> directive >> path;
      std::getline(words >> std::ws, rest);
      if (directive == "@base") {
        apply(path);
      } else if (directive == "@remove") {
        std::filesystem::remove_all(folder_ / path);
      } else if (directive == "@set") {
        const std::string setting = line.substr(5);
        environment_[setting.substr(0, setting.find('='))] = setting.substr(setting.find('=') + 1);
      } else if (directive == "@unset") {
        environment_.erase(path);
      } else {
        std::filesystem::create_directories((folder_ / path).parent_path());
        std::filesystem::remove_all(folder_ / path);
        if (directive == "@link") std::filesystem::create_symlink(rest, folder_ / path);
        if (directive == "@file") file.open(folder_ / path);
      }
    }
  }

  TemporaryFolder folder_;
  std::map<std::string, std::string> environment_;
};

}  // namespace chaski::tests
