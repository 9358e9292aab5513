#include "lab/sandbox_kernel.h"

#include <fcntl.h>
#include <linux/landlock.h>
#include <sched.h>
#include <seccomp.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <thread>

#include "base/error.h"

namespace chaski {
namespace {

// ---- seccomp
// ------------------------------------------------------------------------------------------------

constexpr const char* kRefused[] = {
    // the network; socketpair is limited below
    "socket", "connect", "bind", "listen", "accept", "accept4",
    // other processes
    "ptrace", "process_vm_readv", "process_vm_writev", "process_madvise", "process_mrelease", "kcmp", "kill",
    "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_open", "pidfd_getfd",
    "pidfd_send_signal", "setpriority", "ioprio_set", "sched_setaffinity", "sched_setscheduler",
    "sched_setparam", "sched_setattr", "move_pages", "migrate_pages",
    // namespaces and mounts
    "mount", "umount", "umount2", "pivot_root", "chroot", "unshare", "setns", "move_mount", "open_tree",
    "fsopen", "fsconfig", "fsmount", "fspick", "mount_setattr",
    // identity and modes
    "setuid", "setgid", "setreuid", "setregid", "setresuid", "setresgid", "setgroups", "setfsuid", "setfsgid",
    "capset", "personality", "chmod", "fchmod", "fchmodat", "chown", "fchown", "fchownat", "lchown",
    "setxattr", "lsetxattr", "fsetxattr", "removexattr", "lremovexattr", "fremovexattr", "utime", "utimes",
    "utimensat", "futimesat", "truncate",
    // names of other files
    "link", "linkat", "symlink", "symlinkat", "mknod", "mknodat", "name_to_handle_at", "open_by_handle_at",
    "memfd_create", "memfd_secret", "execveat",
    // the kernel itself
    "bpf", "perf_event_open", "keyctl", "add_key", "request_key", "io_uring_setup", "io_uring_enter",
    "io_uring_register", "userfaultfd", "init_module", "finit_module", "delete_module", "kexec_load",
    "kexec_file_load", "reboot", "swapon", "swapoff", "sethostname", "setdomainname", "settimeofday", "stime",
    "clock_settime", "clock_adjtime", "adjtimex", "quotactl", "acct", "syslog", "iopl", "ioperm",
    "modify_ldt", "fanotify_init", "lookup_dcookie", "vhangup", "nfsservctl", "uselib", "_sysctl",
    // memory and queues that outlive a process
    "shmget", "shmat", "shmctl", "semget", "semop", "semctl", "msgget", "msgsnd", "msgrcv", "msgctl",
    "mq_open", "mq_unlink"};

/// Younger than the library: quotactl_fd, fchmodat2, statmount, listmount, setxattrat, removexattrat,
/// open_tree_attr, file_setattr. From number 424 on, all architectures number alike.
constexpr int kRefusedByNumber[] = {443, 452, 457, 458, 463, 466, 467, 469};

constexpr uint64_t kNamespaceFlags =
    CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWCGROUP;

struct Filter {
  scmp_filter_ctx context = seccomp_init(SCMP_ACT_ALLOW);
  ~Filter() { seccomp_release(context); }

  void add(uint32_t action, int number, std::vector<scmp_arg_cmp> when = {}) {
    if (const int failed =
            seccomp_rule_add_array(context, action, number, static_cast<unsigned>(when.size()), when.data());
        failed != 0 && failed != -EDOM) {
      throw Error(ErrorCode::kUnsupported, "make seccomp filter", fmt::format("rule for call {}", number));
    }
  }
};

std::string exported(const Filter& filter) {
  const int fd = static_cast<int>(::syscall(SYS_memfd_create, "filter", MFD_CLOEXEC));
  std::string program;
  if (fd >= 0 && seccomp_export_bpf(filter.context, fd) == 0) {
    program.resize(static_cast<size_t>(::lseek(fd, 0, SEEK_END)));
    if (::pread(fd, program.data(), program.size(), 0) != static_cast<ssize_t>(program.size()))
      program.clear();
  }
  if (fd >= 0) ::close(fd);
  if (program.empty()) throw Error(ErrorCode::kUnsupported, "make seccomp filter", "it cannot be written");
  return program;
}

// ---- Landlock
// -----------------------------------------------------------------------------------------------

/// The kernel's, with the fields that came after the headers of Debian 12.
struct RulesetAttributes {
  uint64_t files, network, scoped;
};
constexpr uint64_t kTcp = 3;          // bind, connect: from ABI 4
constexpr uint64_t kOtherScopes = 3;  // abstract sockets, signals: from ABI 6
constexpr uint64_t kReadAndRun =
    LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR;

/// All accesses to files that an ABI knows: 13 bits, then refer, truncate, and device ioctl.
uint64_t accesses_of(long abi) {
  const int n_bits = abi >= 5 ? 16 : abi >= 3 ? 15 : abi == 2 ? 14 : 13;
  return (uint64_t{1} << n_bits) - 1;
}

bool allow(int ruleset, const std::string& path, uint64_t accesses) {
  const int fd = ::open(path.c_str(), O_PATH | O_CLOEXEC);
  if (fd < 0) return errno == ENOENT;
  struct stat found {};
  const bool is_folder = ::fstat(fd, &found) == 0 && S_ISDIR(found.st_mode);
  const landlock_path_beneath_attr rule{
      is_folder ? accesses : accesses & ~uint64_t{LANDLOCK_ACCESS_FS_READ_DIR}, fd};
  const bool is_added = ::syscall(SYS_landlock_add_rule, ruleset, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) == 0;
  ::close(fd);
  return is_added;
}

// ---- cgroups
// ------------------------------------------------------------------------------------------------

bool write_text(const std::string& path, const std::string& text) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CLOEXEC);
  if (fd < 0) return false;
  const bool is_written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
  ::close(fd);
  return is_written;
}

/// The number after `key` in a file of "key number" lines, or the number that stands alone; 0 without.
int64_t number_in(const std::string& path, const std::string& key) {
  std::ifstream file(path);
  for (std::string word; file >> word;) {
    int64_t number = 0;
    if (word == key && file >> number) return number;
  }
  return 0;
}

/// Folders in which a cgroup of `controller` ("" for version 2) may be made: our own, then the topmost.
std::vector<std::string> cgroup_parents(const std::string& controller) {
  const std::string top = controller.empty() ? "/sys/fs/cgroup" : "/sys/fs/cgroup/" + controller;
  std::ifstream file("/proc/self/cgroup");
  for (std::string line; std::getline(file, line);) {
    const size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos || line.substr(first + 1, second - first - 1) != controller) continue;
    const std::string own = line.substr(second + 1);
    if (own == "/") return {top};
    return {top + own, top};
  }
  return {};
}

}  // namespace

std::string seccomp_program(bool may_fork) {
  Filter filter;
  if (filter.context == nullptr) {
    throw Error(ErrorCode::kUnsupported, "make seccomp filter", "the library cannot be used");
  }
  const uint32_t refuse = SCMP_ACT_ERRNO(EPERM);
  for (const char* name : kRefused) {
    if (const int number = seccomp_syscall_resolve_name(name); number != __NR_SCMP_ERROR) {
      filter.add(refuse, number);
    }
  }
  for (const int number : kRefusedByNumber) filter.add(refuse, number);
  // A connected pair is harmless and asyncio needs it; one of datagrams could still send to an address.
  filter.add(refuse, SCMP_SYS(socketpair), {{0, SCMP_CMP_NE, AF_UNIX, 0}});
  filter.add(refuse, SCMP_SYS(socketpair), {{1, SCMP_CMP_MASKED_EQ, 0xf, SOCK_DGRAM}});
  filter.add(refuse, SCMP_SYS(socketpair), {{1, SCMP_CMP_MASKED_EQ, 0xf, SOCK_RAW}});
  filter.add(refuse, SCMP_SYS(socketpair), {{1, SCMP_CMP_MASKED_EQ, 0xf, SOCK_SEQPACKET}});
  // Keys typed into our terminal.
  for (const unsigned request : {0x5412u /* TIOCSTI */, 0x541Cu /* TIOCLINUX */}) {
    filter.add(refuse, SCMP_SYS(ioctl), {{1, SCMP_CMP_MASKED_EQ, 0xffffffff, request}});
  }
  filter.add(refuse, SCMP_SYS(prlimit64), {{0, SCMP_CMP_NE, 0, 0}});
  // The flags of clone3 lie in memory, which a filter cannot read: the C library then asks clone.
  filter.add(SCMP_ACT_ERRNO(ENOSYS), SCMP_SYS(clone3));
  for (uint64_t flag = 1; flag <= kNamespaceFlags; flag <<= 1) {
    if ((kNamespaceFlags & flag) == 0) continue;
    filter.add(refuse, SCMP_SYS(clone), {{0, SCMP_CMP_MASKED_EQ, flag, flag}});
  }
  if (!may_fork) {
    const uint32_t no_more = SCMP_ACT_ERRNO(EAGAIN);
    filter.add(no_more, SCMP_SYS(clone), {{0, SCMP_CMP_MASKED_EQ, CLONE_THREAD, 0}});
    filter.add(no_more, SCMP_SYS(fork));
    filter.add(no_more, SCMP_SYS(vfork));
  }
  return exported(filter);
}

int landlock_ruleset(const std::vector<std::string>& folders, std::string& why_not) {
  const long abi = ::syscall(SYS_landlock_create_ruleset, nullptr, 0, LANDLOCK_CREATE_RULESET_VERSION);
  if (abi < 1) {
    why_not = "the kernel has no Landlock";
    return -1;
  }
  const RulesetAttributes attributes{accesses_of(abi), abi >= 4 ? kTcp : 0, abi >= 6 ? kOtherScopes : 0};
  const size_t size = abi >= 6 ? 24 : abi >= 4 ? 16 : 8;
  const int ruleset = static_cast<int>(::syscall(SYS_landlock_create_ruleset, &attributes, size, 0));
  if (ruleset < 0) {
    why_not = fmt::format("Landlock refuses rules (errno {})", errno);
    return -1;
  }
  bool is_complete = true;
  for (const std::string& folder : folders) is_complete = allow(ruleset, folder, kReadAndRun) && is_complete;
  is_complete = allow(ruleset, "/dev/null", LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE) &&
                allow(ruleset, "/dev/urandom", LANDLOCK_ACCESS_FS_READ_FILE) && is_complete;
  if (!is_complete) {
    why_not = "Landlock refuses a rule";
    ::close(ruleset);
    return -1;
  }
  return ruleset;
}

std::unique_ptr<RunCgroup> RunCgroup::make(int64_t memory_bytes, int64_t max_tasks) {
  static std::atomic<int64_t> n_made{0};
  const std::string name = fmt::format("/chaski-{}-{}", ::getpid(), n_made++);
  const std::string memory = std::to_string(memory_bytes), tasks = std::to_string(max_tasks);
  std::unique_ptr<RunCgroup> cgroup(new RunCgroup);
  for (const std::string& parent : cgroup_parents("")) {
    if (cgroup->add(parent + name, {{"memory.max", memory}, {"pids.max", tasks}})) {
      write_text(parent + name + "/memory.swap.max", "0");
      return cgroup;
    }
  }
  for (const std::string& parent : cgroup_parents("memory")) {
    if (cgroup->add(parent + name, {{"memory.limit_in_bytes", memory}})) break;
  }
  if (cgroup->folders_.empty()) return nullptr;
  for (const std::string& parent : cgroup_parents("pids")) {
    if (cgroup->add(parent + name, {{"pids.max", tasks}})) break;
  }
  return cgroup;
}

void RunCgroup::sweep() {
  constexpr std::string_view kPrefix = "chaski-";
  constexpr time_t kYoungS = 60;  // one just made may be of a process that we do not see
  for (const char* controller : {"", "memory", "pids"}) {
    for (const std::string& parent : cgroup_parents(controller)) {
      std::error_code ignored;
      for (const auto& entry : std::filesystem::directory_iterator(parent, ignored)) {
        const std::string name = entry.path().filename().string();
        struct stat found {};
        if (name.rfind(kPrefix, 0) != 0 || ::stat(entry.path().c_str(), &found) != 0) continue;
        const auto maker = static_cast<pid_t>(std::strtol(name.c_str() + kPrefix.size(), nullptr, 10));
        if (maker <= 0 || ::time(nullptr) - found.st_mtime < kYoungS) continue;
        if (::kill(maker, 0) == 0 || errno != ESRCH) continue;
        std::ifstream members(entry.path() / "cgroup.procs");
        for (pid_t member = 0; members >> member;) {
          if (member > 0) ::kill(member, SIGKILL);
        }
        ::rmdir(entry.path().c_str());  // where something is still ending, the next start does it
      }
    }
  }
}

bool RunCgroup::add(const std::string& folder,
                    const std::vector<std::pair<std::string, std::string>>& limits) {
  if (::mkdir(folder.c_str(), 0700) != 0) return false;
  int entry = -1;
  bool is_limited = true;
  for (const auto& [file, value] : limits) is_limited = is_limited && write_text(folder + "/" + file, value);
  if (is_limited) entry = ::open((folder + "/cgroup.procs").c_str(), O_WRONLY | O_CLOEXEC);
  if (entry < 0) {
    ::rmdir(folder.c_str());
    return false;
  }
  folders_.push_back(folder);
  entries_.push_back(entry);
  return true;
}

void RunCgroup::close_entries() {
  for (const int fd : entries_) ::close(fd);
  entries_.clear();
}

RunCgroup::~RunCgroup() {
  close_entries();
  for (const std::string& folder : folders_) {
    // What was killed leaves its cgroup a moment later.
    for (int i = 0; i < 100 && ::rmdir(folder.c_str()) != 0 && errno == EBUSY; ++i) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
  }
}

bool RunCgroup::hit_memory_limit() const {
  for (const std::string& folder : folders_) {
    if (number_in(folder + "/memory.events", "oom_kill") > 0) return true;
    if (number_in(folder + "/memory.oom_control", "oom_kill") > 0) return true;
  }
  return false;
}

bool RunCgroup::hit_task_limit() const {
  for (const std::string& folder : folders_) {
    if (number_in(folder + "/pids.events", "max") > 0) return true;
  }
  return false;
}

}  // namespace chaski
