#include "machine/machine_view.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>
#include <deque>
#include <memory>
#include <system_error>

#include "base/error.h"
#include "base/utf8.h"

extern char** environ;  // of this process

namespace chaski {
namespace {

namespace fs = std::filesystem;

constexpr int kMostLinks = 40;
constexpr size_t kMostParts = 512;
constexpr size_t kMostListed = 256;             // of a list of paths
constexpr size_t kMostTable = size_t{1} << 20;  // bytes of etc/group, of the mounts

std::string_view trimmed(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\"'";
  const size_t first = text.find_first_not_of(kBlanks);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlanks) - first + 1);
}

/// The next part of `rest` before `separator`, which is taken off.
std::string_view take(std::string_view& rest, char separator) {
  const std::string_view part = rest.substr(0, rest.find(separator));
  rest.remove_prefix(std::min(rest.size(), part.size() + 1));
  return part;
}

template <typename T>
std::optional<T> whole_number(std::string_view text, int base = 10) {
  T value{};
  const auto [end, fault] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (fault != std::errc() || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

/// The next run of `rest` without blanks.
std::string_view take_word(std::string_view& rest) {
  rest.remove_prefix(std::min(rest.size(), rest.find_first_not_of(" \t")));
  const std::string_view word = rest.substr(0, rest.find_first_of(" \t"));
  rest.remove_prefix(word.size());
  return word;
}

std::string reason(int error_number) { return std::generic_category().message(error_number); }

/// At most `limit` bytes of a regular file; one byte more where it has more.
FileText read_file(const fs::path& file, size_t limit) {
  FileText result;
  // Without blocking: opening a pipe would wait for its writer.
  const int fd = ::open(file.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY);
  if (fd < 0) {
    result.why_not = reason(errno);
    return result;
  }
  struct stat facts {};
  if (::fstat(fd, &facts) != 0 || !S_ISREG(facts.st_mode)) {
    result.why_not = "it is no regular file";
  } else {
    result.text.resize(limit + 1);
    size_t n = 0;
    while (n < result.text.size()) {
      const ssize_t got = ::read(fd, result.text.data() + n, result.text.size() - n);
      if (got < 0 && errno == EINTR) continue;
      if (got < 0) result.why_not = reason(errno);
      if (got <= 0) break;
      n += static_cast<size_t>(got);
    }
    result.text.resize(n);
  }
  ::close(fd);
  return result;
}

/// Whether `path` is `folder` or lies in it.
bool lies_in(std::string_view path, std::string_view folder) {
  if (folder == "/") return true;
  return path.substr(0, folder.size()) == folder &&
         (path.size() == folder.size() || path[folder.size()] == '/');
}

}  // namespace

std::string shown(std::string_view text, size_t limit) {
  return printable(replace_invalid_utf8(text.substr(0, limit * 4)), limit);
}

bool Identity::may_use(const DeviceNode& node) const {
  constexpr unsigned kReadWrite = 6;
  if (!is_known || !node.is_known || uid == 0) return true;
  const unsigned bits = uid == node.uid            ? node.mode >> 6
                        : gids.count(node.gid) > 0 ? node.mode >> 3
                                                   : node.mode;
  return (bits & kReadWrite) == kReadWrite;
}

MachineView::MachineView(fs::path root, bool is_live) : root_(std::move(root)), is_live_(is_live) {
  read_environment();
  read_identity();
}

MachineView::MachineView(fs::path root) : MachineView(std::move(root), false) {}

MachineView MachineView::live() { return {"/", true}; }

void MachineView::read_environment() {
  const auto add = [this](std::string_view line) {
    const size_t equals = line.find('=');
    if (equals == 0 || equals == std::string_view::npos) return;
    environment_[std::string(line.substr(0, equals))] = line.substr(equals + 1);
  };
  if (is_live_) {
    for (char** entry = environ; entry != nullptr && *entry != nullptr; ++entry) add(*entry);
    return;
  }
  const FileText file = text("/environment");
  std::string_view rest = file.text;
  while (file && !rest.empty()) add(take(rest, '\n'));
}

void MachineView::read_identity() {
  const FileText status = text("/proc/self/status");
  std::string_view rest = status.text;
  while (status && !rest.empty()) {
    std::string_view line = take(rest, '\n');
    const std::string_view key = take(line, ':');
    const auto next = [&line] { return whole_number<unsigned>(take_word(line)); };
    if (key == "Uid") {
      next();  // the real one; files are opened as the effective one
      if (const auto uid = next()) {
        identity_.is_known = true;
        identity_.uid = *uid;
      }
    } else if (key == "Gid" || key == "Groups") {
      for (auto gid = next(); gid && identity_.gids.size() < kMostListed; gid = next())
        identity_.gids.insert(*gid);
    }
  }
  const std::string uid = fmt::format("{}", identity_.uid);
  const FileText users = read_table("/etc/passwd");
  rest = users.text;
  while (identity_.is_known && users && !rest.empty()) {
    std::string_view line = take(rest, '\n');
    const std::string_view name = take(line, ':');
    take(line, ':');
    if (take(line, ':') == uid) {
      identity_.user = name;
      return;
    }
  }
  identity_.user = env("USER");
}

FileText MachineView::read_table(std::string_view path) const {
  FileText table = text(path, kMostTable);
  table.text.resize(std::min(table.text.size(), kMostTable));
  return table;
}

std::string MachineView::env(const std::string& name) const {
  const auto it = environment_.find(name);
  return it == environment_.end() ? std::string() : it->second;
}

std::vector<std::string> MachineView::env_paths(const std::string& name) const {
  const std::string list = env(name);
  std::vector<std::string> paths;
  std::string_view rest = list;
  while (!rest.empty() && paths.size() < kMostListed) {
    const std::string_view part = take(rest, ':');
    if (part.substr(0, 1) == "/") paths.emplace_back(part);
  }
  return paths;
}

std::optional<std::string> MachineView::resolve(std::string_view path) const {
  std::deque<std::string> to_go;
  const auto put_in_front = [&to_go](std::string_view names) {
    std::vector<std::string> parts;
    while (!names.empty() && parts.size() <= kMostParts) parts.emplace_back(take(names, '/'));
    to_go.insert(to_go.begin(), parts.begin(), parts.end());
  };
  if (path.find('\0') != std::string_view::npos) return std::nullopt;
  put_in_front(path);
  std::vector<std::string> done;
  const auto so_far = [&done](const std::string& last) {
    return fmt::format("{}{}{}", fmt::join(done, "/"), done.empty() || last.empty() ? "" : "/", last);
  };
  int n_links = 0;
  while (!to_go.empty()) {
    const std::string part = std::move(to_go.front());
    to_go.pop_front();
    if (part.empty() || part == ".") continue;
    if (part == "..") {
      if (!done.empty()) done.pop_back();
      continue;
    }
    const fs::path here = root_ / so_far(part);
    struct stat facts {};
    if (done.size() + to_go.size() > kMostParts || ::lstat(here.c_str(), &facts) != 0) return std::nullopt;
    if (!S_ISLNK(facts.st_mode)) {
      done.push_back(part);
      continue;
    }
    char target[4096];
    const ssize_t n = ::readlink(here.c_str(), target, sizeof(target));
    if (++n_links > kMostLinks || n <= 0 || n == static_cast<ssize_t>(sizeof(target))) return std::nullopt;
    if (target[0] == '/') done.clear();
    put_in_front({target, static_cast<size_t>(n)});
  }
  return "/" + so_far("");
}

fs::path MachineView::below_root(std::string_view path) const {
  const auto resolved = resolve(path);
  return resolved ? root_ / resolved->substr(1) : root_;
}

bool MachineView::is_folder(std::string_view path) const {
  std::error_code ignored;
  return exists(path) && fs::is_directory(below_root(path), ignored);
}

FileText MachineView::text(std::string_view path, size_t limit) const {
  FileText file;
  if (!exists(path)) {
    file.why_not = "there is no such file";
    return file;
  }
  file = read_file(below_root(path), limit);
  if (file && file.text.size() > limit) {
    file.why_not = fmt::format("it has more than {} bytes", limit);
    file.text.resize(limit);
  }
  return file;
}

std::string MachineView::line(std::string_view path) const {
  const FileText file = text(path);
  return file ? std::string(trimmed(file.text.substr(0, file.text.find('\n')))) : std::string();
}

std::string MachineView::value(std::string_view path, std::string_view key, char separator) const {
  // The first of many processors says what is asked of them all: the beginning of a long file will do.
  const FileText file = text(path);
  std::string_view rest = file.text;
  while (!rest.empty()) {
    std::string_view line = take(rest, '\n');
    if (line.substr(0, key.size()) != key) continue;
    line.remove_prefix(key.size());
    line.remove_prefix(std::min(line.size(), line.find_first_not_of(" \t")));
    if (line.substr(0, 1) == std::string_view(&separator, 1)) return std::string(trimmed(line.substr(1)));
  }
  return {};
}

std::vector<std::string> MachineView::names(std::string_view folder) const {
  std::vector<std::string> all;
  if (!is_folder(folder)) return all;
  const std::unique_ptr<DIR, int (*)(DIR*)> open(::opendir(below_root(folder).c_str()), ::closedir);
  while (open != nullptr && all.size() < kMostEntries) {
    const dirent* entry = ::readdir(open.get());
    if (entry == nullptr) break;
    const std::string_view name = entry->d_name;
    if (name != "." && name != "..") all.emplace_back(name);
  }
  std::sort(all.begin(), all.end());
  return all;
}

std::optional<DeviceNode> MachineView::device_node(std::string_view path) const {
  if (!exists(path)) return std::nullopt;
  struct stat facts {};
  if (::lstat(below_root(path).c_str(), &facts) != 0) return std::nullopt;
  if (S_ISCHR(facts.st_mode)) return DeviceNode{true, facts.st_mode & 0777u, facts.st_uid, facts.st_gid};
  if (is_live_ || !S_ISREG(facts.st_mode)) return std::nullopt;
  const std::string words = line(path);
  std::string_view rest = words;
  const auto mode = whole_number<unsigned>(take_word(rest), 8);
  const auto uid = whole_number<unsigned>(take_word(rest)), gid = whole_number<unsigned>(take_word(rest));
  if (!mode || !uid || !gid) return DeviceNode{};
  return DeviceNode{true, *mode & 0777u, *uid, *gid};
}

LibrarySymbols MachineView::library(std::string_view path, const std::set<std::string>& wanted) const {
  LibrarySymbols library;
  if (!exists(path)) {
    library.why_not = "there is no such file";
    return library;
  }
  library = read_elf_symbols(below_root(path), wanted);
  if (is_live_ || library.why_not.empty()) return library;
  const FileText listed = text(path);
  if (!listed) return library;
  const LibrarySymbols from_list = read_listed_symbols(listed.text, wanted);
  return from_list.why_not.empty() ? from_list : library;
}

std::string MachineView::nearest_folder(std::string_view path) const {
  std::string folder(path);
  while (folder.size() > 1 && !is_folder(folder)) folder.resize(std::max<size_t>(1, folder.rfind('/')));
  return resolve(folder).value_or("/");
}

std::optional<DiskSpace> MachineView::disk_space(std::string_view path) const {
  const std::string folder = nearest_folder(path);
  if (is_live_) {
    struct statvfs facts {};
    if (::statvfs(folder.c_str(), &facts) != 0) return std::nullopt;
    const uint64_t unit = facts.f_frsize;
    return DiskSpace{unit * facts.f_blocks, unit * facts.f_bavail};
  }
  std::optional<DiskSpace> best;
  size_t longest = 0;
  const FileText disks = text("/disks");
  std::string_view rest = disks.text;
  while (disks && !rest.empty()) {
    std::string_view line = take(rest, '\n');
    const std::string_view mount = take_word(line);
    const auto total = whole_number<uint64_t>(take_word(line)),
               free = whole_number<uint64_t>(take_word(line));
    if (!total || !free || mount.size() < longest || !lies_in(folder, mount)) continue;
    best = DiskSpace{*total, *free};
    longest = mount.size();
  }
  return best;
}

bool MachineView::is_read_only(std::string_view path) const {
  const std::string folder = nearest_folder(path);
  const FileText mounts = read_table("/proc/self/mounts");
  std::string_view rest = mounts.text;
  bool is_read_only = false;
  size_t longest = 0;
  while (!rest.empty()) {
    std::string_view line = take(rest, '\n');
    take_word(line);
    const std::string_view mount = take_word(line);
    take_word(line);
    if (mount.empty() || mount.size() < longest || !lies_in(folder, mount)) continue;
    longest = mount.size();
    is_read_only = false;
    std::string_view options = take_word(line);
    while (!options.empty()) is_read_only = take(options, ',') == "ro" || is_read_only;
  }
  return is_read_only;
}

std::string MachineView::architecture() const {
  if (is_live_) {
    utsname names{};
    return ::uname(&names) == 0 ? names.machine : "";
  }
  if (const std::string said = line("/proc/sys/kernel/arch"); !said.empty()) return said;
  if (!value("/proc/cpuinfo", "CPU implementer", ':').empty()) return "aarch64";
  return value("/proc/cpuinfo", "vendor_id", ':').empty() ? "" : "x86_64";
}

std::optional<unsigned> MachineView::group_id(std::string_view name) const {
  const FileText groups = read_table("/etc/group");
  std::string_view rest = groups.text;
  while (!rest.empty()) {
    std::string_view line = take(rest, '\n');
    if (take(line, ':') != name) continue;
    take(line, ':');
    return whole_number<unsigned>(take(line, ':'));
  }
  return std::nullopt;
}

std::string MachineView::group_name(unsigned gid) const {
  const FileText groups = read_table("/etc/group");
  const std::string number = fmt::format("{}", gid);
  std::string_view rest = groups.text;
  while (!rest.empty()) {
    std::string_view line = take(rest, '\n');
    const std::string_view name = take(line, ':');
    take(line, ':');
    if (take(line, ':') == number) return std::string(name);
  }
  return number;
}

}  // namespace chaski
