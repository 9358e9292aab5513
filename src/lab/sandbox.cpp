#include "lab/sandbox.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <map>
#include <mutex>
#include <optional>
#include <utility>

#include "base/clock.h"
#include "base/error.h"
#include "base/rng.h"
#include "lab/sandbox_kernel.h"

namespace chaski {
namespace {

constexpr int64_t kWorkFolderBytes = 64 << 20;
constexpr rlim_t kFileBytes = 16 << 20;
constexpr rlim_t kOpenFiles = 64;
/// Our descriptors for a child are above those that it gets, so that putting them there overwrites none.
constexpr int kFirstOwn = 20;
/// As root, each sandbox gets a user of its own from here on, whom nothing on the machine belongs to.
constexpr uint32_t kFirstUser = 1'500'000'000, kUsers = 500'000'000;

Error start_error(std::string_view what) {
  return Error(ErrorCode::kIo, "start sandbox", fmt::format("{}: errno {}", what, errno));
}

/// A pipe that no child inherits.
struct Pipe {
  int read_end = -1, write_end = -1;
  Pipe() {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw start_error("no pipe");
    read_end = ::fcntl(ends[0], F_DUPFD_CLOEXEC, kFirstOwn);
    write_end = ::fcntl(ends[1], F_DUPFD_CLOEXEC, kFirstOwn);
    ::close(ends[0]);
    ::close(ends[1]);
  }
  ~Pipe() {
    for (const int fd : {read_end, write_end}) {
      if (fd >= 0) ::close(fd);
    }
  }
  Pipe(Pipe&& other) noexcept
      : read_end(std::exchange(other.read_end, -1)), write_end(std::exchange(other.write_end, -1)) {}
  static int keep(int& end) {
    ::fcntl(end, F_SETFL, ::fcntl(end, F_GETFL) | O_NONBLOCK);
    return std::exchange(end, -1);
  }
};

/// All that the child does between clone and exec, made ready beforehand: it shares our memory and may
/// neither allocate nor lock.
struct ChildPlan {
  const char* program = nullptr;
  std::vector<char*> arguments, environment;
  std::vector<int> descriptors;  ///< what becomes 0, 1, 2, …
  std::array<std::pair<int, rlimit>, 7> limits;
  const int* cgroup_entries = nullptr;
  size_t n_cgroup_entries = 0;
  uint32_t user = 0;  ///< 0: stay who we are
  int ruleset = -1;
  sock_fprog filter{0, nullptr};  ///< of length 0: none
  int failed_step = 0, error_number = 0;
};

int fail(ChildPlan& plan, int step) {
  plan.error_number = errno;
  plan.failed_step = step;
  return 127;
}

/// The child, sharing our memory until exec. Identity is changed by bare system calls: the C library's would
/// tell our own threads of it.
#if defined(__has_attribute)
#if __has_attribute(no_sanitize)
__attribute__((no_sanitize("address", "undefined", "thread")))
#endif
#endif
int run_child(void* argument) {
  ChildPlan& plan = *static_cast<ChildPlan*>(argument);
  struct sigaction by_default {};
  by_default.sa_handler = SIG_DFL;
  for (int signal = 1; signal < 65; ++signal) ::sigaction(signal, &by_default, nullptr);
  ::setsid();
  for (size_t i = 0; i < plan.n_cgroup_entries; ++i) {
    if (::write(plan.cgroup_entries[i], "0", 1) != 1) return fail(plan, 1);
  }
  if (const int oom = ::open("/proc/self/oom_score_adj", O_WRONLY); oom >= 0) {
    [[maybe_unused]] const ssize_t ignored = ::write(oom, "1000", 4);  // where memory ends, we are not it
    ::close(oom);
  }
  for (size_t i = 0; i < plan.descriptors.size(); ++i) {
    if (::dup2(plan.descriptors[i], static_cast<int>(i)) < 0) return fail(plan, 2);
  }
  for (const auto& [resource, limit] : plan.limits) {
    if (::syscall(SYS_prlimit64, 0, resource, &limit, nullptr) != 0) return fail(plan, 3);
  }
  if (plan.user != 0) {
    if (::syscall(SYS_setgroups, 0, nullptr) != 0 ||
        ::syscall(SYS_setresgid, plan.user, plan.user, plan.user) != 0 ||
        ::syscall(SYS_setresuid, plan.user, plan.user, plan.user) != 0) {
      return fail(plan, 4);
    }
  }
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return fail(plan, 5);
  if (::chdir("/") != 0) return fail(plan, 6);
  if (plan.filter.len > 0 && ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return fail(plan, 7);
  if (plan.ruleset >= 0 && ::syscall(SYS_landlock_restrict_self, plan.ruleset, 0) != 0) return fail(plan, 8);
  const auto n_kept = static_cast<unsigned>(plan.descriptors.size());
  if (::syscall(SYS_close_range, n_kept, ~0u, 0) != 0) {
    for (int fd = static_cast<int>(n_kept); fd < 65536; ++fd) ::close(fd);
  }
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
  if (plan.filter.len > 0 && ::syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &plan.filter) != 0) {
    return fail(plan, 9);
  }
  ::execve(plan.program, plan.arguments.data(), plan.environment.data());
  return fail(plan, 10);
}

/// Run the plan's child as vfork does: without a copy of our memory or of its page tables.
pid_t spawn(ChildPlan& plan) {
  constexpr size_t kStackBytes = 64 << 10;
  void* const stack =
      ::mmap(nullptr, kStackBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK, -1, 0);
  if (stack == MAP_FAILED) throw start_error("no stack");
  static std::mutex mutex;  // whether we can be dumped is one for all threads
  const std::lock_guard<std::mutex> lock(mutex);
  sigset_t all, before;
  ::sigfillset(&all);
  ::pthread_sigmask(SIG_SETMASK, &all, &before);
  // A process that changes its user loses the right to be dumped, and the child's memory is ours.
  const int is_dumpable = ::prctl(PR_GET_DUMPABLE);
  const pid_t pid =
      ::clone(run_child, static_cast<char*>(stack) + kStackBytes, CLONE_VM | CLONE_VFORK | SIGCHLD, &plan);
  const int error_number = errno;
  if (is_dumpable == 1) ::prctl(PR_SET_DUMPABLE, 1);
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  ::munmap(stack, kStackBytes);
  if (pid < 0) {
    errno = error_number;
    throw start_error("no process");
  }
  if (plan.failed_step != 0) {
    ::waitpid(pid, nullptr, 0);
    throw Error(
        ErrorCode::kIo, "start sandbox",
        fmt::format("{}: step {} failed with errno {}", plan.program, plan.failed_step, plan.error_number));
  }
  return pid;
}

bool wait_readable(int fd, int milliseconds) {
  pollfd one{fd, POLLIN, 0};
  int n = 0;
  while ((n = ::poll(&one, 1, milliseconds)) < 0 && errno == EINTR) {
  }
  return n > 0;
}

bool is_program(const std::string& path) { return ::access(path.c_str(), X_OK) == 0; }

/// Of a process: its parent, user, and number of threads; zeros where it is gone.
struct ProcessFacts {
  pid_t parent = 0;
  uid_t user = 0;
  int64_t n_threads = 0;
};
ProcessFacts facts_of(pid_t pid) {
  std::ifstream status(fmt::format("/proc/{}/status", pid));
  ProcessFacts facts;
  for (std::string line; std::getline(status, line);) {
    const auto number = [&line] { return std::strtoll(line.c_str() + line.find(':') + 1, nullptr, 10); };
    if (line.rfind("PPid:", 0) == 0) facts.parent = static_cast<pid_t>(number());
    if (line.rfind("Uid:", 0) == 0) facts.user = static_cast<uid_t>(number());
    if (line.rfind("Threads:", 0) == 0) facts.n_threads = number();
  }
  return facts;
}

std::map<pid_t, ProcessFacts> all_processes() {
  std::map<pid_t, ProcessFacts> all;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.find_first_not_of("0123456789") != std::string::npos) continue;
    const auto pid = static_cast<pid_t>(std::strtol(name.c_str(), nullptr, 10));
    all[pid] = facts_of(pid);
  }
  return all;
}

static_assert(sizeof(rlimit) == 16, "the system call takes 64 bits a limit");

}  // namespace

std::string name_of(SandboxTier tier) {
  switch (tier) {
    case SandboxTier::kA:
      return "A";
    case SandboxTier::kB:
      return "B";
    case SandboxTier::kUnsafe:
      return "unsafe";
    case SandboxTier::kNone:
      break;
  }
  return "none";
}

// ---- one process
// --------------------------------------------------------------------------------------------

SandboxedProcess::SandboxedProcess() = default;

SandboxedProcess::~SandboxedProcess() {
  stop();
  for (const Channel& channel : channels_) {
    ::close(channel.to);
    ::close(channel.from);
  }
  for (const int fd : {output_, pid_fd_}) {
    if (fd >= 0) ::close(fd);
  }
}

int64_t SandboxedProcess::n_tasks() const {
  const std::map<pid_t, ProcessFacts> all = all_processes();
  int64_t n = 0;
  for (const auto& [pid, facts] : all) {
    pid_t ancestor = pid;
    for (int depth = 0; depth < 64 && ancestor > 1 && ancestor != pid_; ++depth) {
      const auto found = all.find(ancestor);
      ancestor = found == all.end() ? 0 : found->second.parent;
    }
    if (ancestor == pid_) n += facts.n_threads;
  }
  return n;
}

/// bubblewrap's child is the first process of the namespace: with it all others are killed, and it is gone
/// when they are. bubblewrap is held meanwhile: ended while it makes the namespace, it would leave that child
/// behind.
void SandboxedProcess::kill_namespace() {
  siginfo_t ignored{};
  ::kill(pid_, SIGSTOP);
  while (::waitid(P_PID, static_cast<id_t>(pid_), &ignored, WSTOPPED | WEXITED | WNOWAIT) < 0 &&
         errno == EINTR) {
  }
  std::ifstream children(fmt::format("/proc/{0}/task/{0}/children", pid_));
  std::vector<int> fds;
  for (pid_t child = 0; children >> child;) {
    const int fd = static_cast<int>(::syscall(SYS_pidfd_open, child, 0));
    if (fd < 0) continue;
    ::syscall(SYS_pidfd_send_signal, fd, SIGKILL, nullptr, 0);
    fds.push_back(fd);
  }
  for (const int fd : fds) {
    wait_readable(fd, 2000);
    ::close(fd);
  }
}

const SandboxedProcess::End& SandboxedProcess::stop() {
  if (is_stopped_ || pid_ <= 0) return end_;
  is_stopped_ = true;
  end_.had_exited = wait_readable(pid_fd_, 0);
  if (tier_ == SandboxTier::kA) kill_namespace();
  ::kill(-pid_, SIGKILL);
  ::kill(pid_, SIGKILL);
  int status = 0;
  rusage used{};
  while (::wait4(pid_, &status, 0, &used) < 0 && errno == EINTR) {
  }
  const auto seconds = [](const timeval& time) {
    return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) * 1e-6;
  };
  end_.cpu_s = seconds(used.ru_utime) + seconds(used.ru_stime);
  if (WIFSIGNALED(status)) end_.signal = WTERMSIG(status);
  // bubblewrap ends as shells do where a signal ended what it ran.
  if (tier_ == SandboxTier::kA && WIFEXITED(status) && WEXITSTATUS(status) > 128) {
    end_.signal = WEXITSTATUS(status) - 128;
  }
  if (cgroup_) {
    end_.hit_memory_limit = cgroup_->hit_memory_limit();
    end_.hit_task_limit = cgroup_->hit_task_limit();
    cgroup_.reset();
  }
  return end_;
}

// ---- the sandbox
// --------------------------------------------------------------------------------------------

Sandbox::Sandbox(SandboxTier tier, SandboxTools tools) : tier_(tier), tools_(std::move(tools)) {
  const auto unsupported = [](std::string why) {
    return Error(ErrorCode::kUnsupported, "make sandbox", std::move(why));
  };
  if (!is_program(tools_.python)) throw unsupported(tools_.python + " is not there");
  if (tier == SandboxTier::kUnsafe) return;
  if (tier == SandboxTier::kA && !is_program(tools_.bwrap)) throw unsupported(tools_.bwrap + " is not there");
  if (tier == SandboxTier::kB) {
    std::string why = "the kernel has no Landlock";
    if (tools_.has_landlock) {
      ruleset_ = landlock_ruleset({"/usr", "/lib", "/lib64", "/etc/ld.so.cache", tools_.python}, why);
    }
    if (ruleset_ < 0) throw unsupported(why);
    const int low = ruleset_;  // to be above the descriptors that children get
    ruleset_ = ::fcntl(low, F_DUPFD_CLOEXEC, kFirstOwn);
    ::close(low);
  }
  filter_ = seccomp_program(true);
  filter_without_fork_ = seccomp_program(false);
  if (tools_.has_cgroups) RunCgroup::sweep();
  has_cgroup_ = tools_.has_cgroups && RunCgroup::make(1 << 30, kMaxTasks) != nullptr;
}

Sandbox::~Sandbox() {
  if (ruleset_ >= 0) ::close(ruleset_);
}

int64_t Sandbox::task_limit() const {
  // Tier A counts from zero in its own user namespace, and as root each sandbox is a user of its own.
  if (tier_ == SandboxTier::kA || ::geteuid() == 0) return kMaxTasks;
  int64_t n = kMaxTasks;
  for (const auto& [pid, facts] : all_processes()) n += facts.user == ::getuid() ? facts.n_threads : 0;
  return n;
}

std::vector<std::string> Sandbox::command(const SandboxedProgram& program) const {
  const std::vector<std::string> python{tools_.python,
                                        "-I",
                                        "-S",
                                        "-B",
                                        "-c",
                                        program.script,
                                        fmt::format("chaski-{}-{}", program.name, ::getpid())};
  if (tier_ != SandboxTier::kA) return python;
  const int next = static_cast<int>(3 + 2 * program.n_channels);  // the descriptors after the channels'
  std::vector<std::string> words{tools_.bwrap,
                                 "--unshare-user",
                                 "--unshare-pid",
                                 "--unshare-net",
                                 "--unshare-ipc",
                                 "--unshare-uts",
                                 "--unshare-cgroup-try",
                                 "--uid",
                                 "1000",
                                 "--gid",
                                 "1000",
                                 "--hostname",
                                 "sandbox",
                                 "--new-session",
                                 "--die-with-parent",
                                 "--clearenv",
                                 "--ro-bind",
                                 "/usr",
                                 "/usr",
                                 "--dir",
                                 "/dev",
                                 "--dev-bind",
                                 "/dev/null",
                                 "/dev/null",
                                 "--dev-bind",
                                 "/dev/urandom",
                                 "/dev/urandom",
                                 "--size",
                                 std::to_string(kWorkFolderBytes),
                                 "--tmpfs",
                                 "/work",
                                 "--symlink",
                                 "work",
                                 "/tmp",
                                 "--setenv",
                                 "HOME",
                                 "/work",
                                 "--chdir",
                                 "/work",
                                 "--seccomp",
                                 std::to_string(next)};
  for (const char* folder : {"/lib", "/lib64", "/bin"}) {  // links into /usr on Debian, folders elsewhere
    std::error_code ignored;
    const std::filesystem::path target = std::filesystem::read_symlink(folder, ignored);
    if (!target.empty()) {
      words.insert(words.end(), {"--symlink", target.string(), folder});
    } else {
      words.insert(words.end(), {"--ro-bind-try", folder, folder});
    }
  }
  words.insert(words.end(), {"--remount-ro", "/", "--"});
  words.insert(words.end(), python.begin(), python.end());
  return words;
}

std::unique_ptr<SandboxedProcess> Sandbox::start(const SandboxedProgram& program) const {
  CHECK(tier_ != SandboxTier::kNone, "there is no sandbox to start anything in");
  std::unique_ptr<SandboxedProcess> process(new SandboxedProcess);
  process->tier_ = tier_;
  std::vector<std::string> words = command(program);
  std::vector<std::string> environment;
  ChildPlan plan;
  plan.program = words[0].c_str();
  for (std::string& word : words) plan.arguments.push_back(word.data());
  plan.arguments.push_back(nullptr);
  plan.environment.push_back(nullptr);

  // Descriptors: nothing to read, one pipe for all that is printed, the channels; for bubblewrap its filter.
  std::optional<Pipe> output;
  const int null = ::open("/dev/null", O_RDWR | O_CLOEXEC);
  if (null < 0) throw start_error("/dev/null");
  const int high_null = ::fcntl(null, F_DUPFD_CLOEXEC, kFirstOwn);
  ::close(null);
  const std::unique_ptr<const int, void (*)(const int*)> close_null(&high_null,
                                                                    [](const int* fd) { ::close(*fd); });
  if (program.wants_output) output.emplace();
  const int printed = output ? output->write_end : high_null;
  plan.descriptors = {high_null, printed, printed};
  std::vector<Pipe> pipes(2 * program.n_channels + (tier_ == SandboxTier::kA ? 1 : 0));
  for (size_t i = 0; i < pipes.size(); ++i) {
    const bool child_reads = i % 2 == 0;  // of a channel the first; the filter
    plan.descriptors.push_back(child_reads ? pipes[i].read_end : pipes[i].write_end);
  }
  const std::string& filter =
      tier_ == SandboxTier::kB && !program.limits.may_fork ? filter_without_fork_ : filter_;
  if (tier_ == SandboxTier::kA) {
    Pipe& to = pipes[2 * program.n_channels];
    if (::write(to.write_end, filter.data(), filter.size()) != static_cast<ssize_t>(filter.size())) {
      throw start_error("filter");
    }
    ::close(std::exchange(to.write_end, -1));
  } else if (tier_ == SandboxTier::kB) {
    plan.ruleset = ruleset_;
    plan.filter.len = static_cast<unsigned short>(filter.size() / sizeof(sock_filter));
    plan.filter.filter = reinterpret_cast<sock_filter*>(const_cast<char*>(filter.data()));
  }

  const auto cpu = static_cast<rlim_t>(std::max(1.0, std::ceil(program.limits.cpu_s)));
  const auto memory = static_cast<rlim_t>(program.limits.memory_bytes);
  // After the soft limit of processor time comes a signal that can be ignored; after the hard one it ends.
  plan.limits = {{{RLIMIT_AS, {memory, memory}},
                  {RLIMIT_CPU, {cpu, cpu + 1}},
                  {RLIMIT_FSIZE, {kFileBytes, kFileBytes}},
                  {RLIMIT_NOFILE, {kOpenFiles, kOpenFiles}},
                  {RLIMIT_CORE, {0, 0}},
                  {RLIMIT_MEMLOCK, {0, 0}},
                  {RLIMIT_MSGQUEUE, {0, 0}}}};
  if (::geteuid() == 0) plan.user = kFirstUser + static_cast<uint32_t>(draw_seed() % kUsers);
  if (has_cgroup_) process->cgroup_ = RunCgroup::make(program.limits.memory_bytes, kMaxTasks + 8);
  if (process->cgroup_) {
    plan.cgroup_entries = process->cgroup_->entries().data();
    plan.n_cgroup_entries = process->cgroup_->entries().size();
  }
  const pid_t pid = spawn(plan);
  if (process->cgroup_) process->cgroup_->close_entries();
  process->pid_ = pid;
  process->pid_fd_ = static_cast<int>(::syscall(SYS_pidfd_open, pid, 0));
  if (process->pid_fd_ < 0) throw start_error("no descriptor of the process");
  for (size_t i = 0; i < program.n_channels; ++i) {
    process->channels_.push_back({Pipe::keep(pipes[2 * i].write_end), Pipe::keep(pipes[2 * i + 1].read_end)});
  }
  if (output) process->output_ = Pipe::keep(output->read_end);
  return process;
}

}  // namespace chaski
