// Starts Python where it can do no harm: in namespaces made by bubblewrap (tier A), or under Landlock and
// seccomp (tier B). Limits, ends and sweeps what it started. What runs inside, and what its verdict is worth:
// code_runner.h. What each tier keeps out: docs/en/sandbox.md.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace chaski {

/// What the sandbox is made of. Tests put other things here; users have what their machine has.
struct SandboxTools {
  std::string bwrap = "/usr/bin/bwrap";
  std::string python = "/usr/bin/python3";
  bool has_landlock = true;  ///< false: as on a kernel without it
  bool has_cgroups = true;   ///< false: as where no cgroup may be made
};

enum class SandboxTier { kNone, kUnsafe, kB, kA };
/// "none", "unsafe", "B", "A".
std::string name_of(SandboxTier tier);

struct ProcessLimits {
  double cpu_s = 10;  ///< of each process
  int64_t memory_bytes = int64_t{1} << 30;
  bool may_fork = true;  ///< tier B: whether it may start processes; tier A always lets it, and ends them all
};

/// Most processes and threads of one sandbox.
inline constexpr int64_t kMaxTasks = 32;

class RunCgroup;

/// A program in a sandbox, with pipes from and to us: the first of them are its descriptors 3 (it reads) and
/// 4 (it writes), the second 5 and 6. Ends, with all that it started, when this object goes.
class SandboxedProcess {
 public:
  struct Channel {
    int to = -1, from = -1;  ///< our ends: non-blocking
  };
  /// How it ended.
  struct End {
    bool had_exited = false;  ///< by itself, before it was stopped
    int signal = 0;           ///< that ended it, 0 where it called exit
    double cpu_s = 0;
    bool hit_memory_limit = false, hit_task_limit = false;  ///< where a cgroup tells
  };

  ~SandboxedProcess();
  SandboxedProcess(const SandboxedProcess&) = delete;
  SandboxedProcess& operator=(const SandboxedProcess&) = delete;

  const Channel& channel(size_t i) const { return channels_.at(i); }
  int output() const { return output_; }  ///< what it writes to stdout and stderr; -1 where nobody wants it
  int ended() const { return pid_fd_; }   ///< polls as readable once it has ended
  int64_t n_tasks() const;                ///< its processes and threads now
  /// Kill all that runs in it and wait until it is gone. Calls after the first give the same answer.
  const End& stop();

 private:
  friend class Sandbox;
  SandboxedProcess();
  void kill_namespace();

  SandboxTier tier_ = SandboxTier::kNone;
  pid_t pid_ = -1;
  int pid_fd_ = -1, output_ = -1;
  std::vector<Channel> channels_;
  std::unique_ptr<RunCgroup> cgroup_;
  bool is_stopped_ = false;
  End end_;
};

/// What to start.
struct SandboxedProgram {
  std::string name;    ///< by which it is known in a list of processes, with our number
  std::string script;  ///< Python
  ProcessLimits limits;
  size_t n_channels = 1;
  bool wants_output = true;
};

/// One way of isolating.
class Sandbox {
 public:
  /// Throws Error(kUnsupported) saying what is missing. That it holds must still be tried: see code_runner.h.
  Sandbox(SandboxTier tier, SandboxTools tools);
  ~Sandbox();
  SandboxTier tier() const { return tier_; }
  bool has_cgroup() const { return has_cgroup_; }
  /// Most processes and threads that the program should allow itself (RLIMIT_NPROC).
  int64_t task_limit() const;
  /// Start it. Does not copy this process, however large; ends at the latest with the thread that starts it.
  /// Throws Error(kIo).
  std::unique_ptr<SandboxedProcess> start(const SandboxedProgram& program) const;

 private:
  struct Launch;
  std::vector<std::string> command(const SandboxedProgram& program) const;

  SandboxTier tier_;
  SandboxTools tools_;
  bool has_cgroup_ = false;
  std::string filter_, filter_without_fork_;  ///< seccomp programs
  int ruleset_ = -1;                          ///< Landlock's
};

}  // namespace chaski
