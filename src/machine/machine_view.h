// A computer as its files tell it: everything is read below a root folder and from an environment, so that a
// tree of files stands for another machine. Nothing is run, and nothing that is not a regular file is opened.
// What a tree cannot hold (modes of device nodes, free space, answers of drivers) lies in it as text: see
// docs/en/doctor.md.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "machine/elf_symbols.h"

namespace chaski {

/// Text from a file of the machine as a finding may show it: one line of valid UTF-8, no controls, capped.
std::string shown(std::string_view text, size_t limit = 120);

/// What a file holds, or why it cannot be read.
struct FileText {
  std::string text;
  std::string why_not;  ///< empty where it was read
  explicit operator bool() const { return why_not.empty(); }
};

/// Owner and permissions of a device node.
struct DeviceNode {
  bool is_known = false;  ///< false: it is there, but nothing says whose it is
  unsigned mode = 0;      ///< permission bits
  unsigned uid = 0, gid = 0;
};

/// Who runs the program, as proc/self/status says it.
struct Identity {
  bool is_known = false;
  unsigned uid = 0;
  std::set<unsigned> gids;
  std::string user;                            ///< by etc/passwd, or $USER
  bool may_use(const DeviceNode& node) const;  ///< read and write it
};

struct DiskSpace {
  uint64_t total_bytes = 0, free_bytes = 0;
};

/// Paths are the machine's own and absolute ("/etc/group"); links are followed inside the root alone, at most
/// 40 of them. No function throws for what the files hold.
class MachineView {
 public:
  static constexpr size_t kMostTextBytes = size_t{64} << 10;
  static constexpr size_t kMostEntries = 4096;

  /// This computer, with this process's environment.
  static MachineView live();
  /// The tree below `root`; its environment is the file `environment` there, NAME=VALUE lines.
  explicit MachineView(std::filesystem::path root);

  bool is_live() const { return is_live_; }
  const std::filesystem::path& root() const { return root_; }

  /// Empty where it is not set.
  std::string env(const std::string& name) const;
  /// The parts of a list like $PATH that are absolute paths, at most 256.
  std::vector<std::string> env_paths(const std::string& name) const;

  /// Where `path` leads when its links are followed, as a path of the machine; nothing where it leads
  /// nowhere.
  std::optional<std::string> resolve(std::string_view path) const;
  bool exists(std::string_view path) const { return resolve(path).has_value(); }
  bool is_folder(std::string_view path) const;
  /// A regular file of at most `limit` bytes.
  FileText text(std::string_view path, size_t limit = kMostTextBytes) const;
  /// The first line of a small file; empty where it cannot be read.
  std::string line(std::string_view path) const;
  /// The value after `key` and `separator` in the first line that begins so; empty where there is none.
  std::string value(std::string_view path, std::string_view key, char separator = '=') const;
  /// Names in a folder, sorted, at most kMostEntries; none where it cannot be read.
  std::vector<std::string> names(std::string_view folder) const;

  /// Nothing where there is no such node.
  std::optional<DeviceNode> device_node(std::string_view path) const;
  /// Which of `wanted` the library offers; below a root, a text file of symbols may stand for it.
  LibrarySymbols library(std::string_view path, const std::set<std::string>& wanted) const;
  /// Of the file system that holds `path` or its nearest folder that is there.
  std::optional<DiskSpace> disk_space(std::string_view path) const;
  /// Whether that file system is mounted read-only.
  bool is_read_only(std::string_view path) const;
  /// "x86_64", "aarch64"; empty where nothing says it.
  std::string architecture() const;
  const Identity& identity() const { return identity_; }
  /// A group's number and its name, by etc/group; where that has no name, the number.
  std::optional<unsigned> group_id(std::string_view name) const;
  std::string group_name(unsigned gid) const;
  /// The path below root() that `path` stands for, links followed; the root where it leads nowhere.
  std::filesystem::path below_root(std::string_view path) const;

 private:
  MachineView(std::filesystem::path root, bool is_live);
  void read_environment();
  void read_identity();
  std::string nearest_folder(std::string_view path) const;
  /// A file of many lines, of which the first megabyte will do.
  FileText read_table(std::string_view path) const;

  std::filesystem::path root_;
  bool is_live_ = false;
  std::map<std::string, std::string> environment_;
  Identity identity_;
};

}  // namespace chaski
