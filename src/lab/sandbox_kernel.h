// The kernel's own means of confinement, as the sandbox uses them: seccomp filters, Landlock rules, cgroups.
// Starting and ending processes is sandbox.h.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace chaski {

/// A seccomp program (an array of sock_filter, as bytes) that refuses sockets, tracing and signalling others,
/// mounts, namespaces, keys, io_uring, links, changes of mode or owner, and what else generated code has no
/// use for; with `may_fork` false new processes too (EAGAIN). Throws Error(kUnsupported).
std::string seccomp_program(bool may_fork);

/// A Landlock ruleset that lets files below `folders` be read and run, the null device be written, and no
/// more: no writing anywhere, no TCP, no signals out. The descriptor, or -1 with `why_not` set.
int landlock_ruleset(const std::vector<std::string>& folders, std::string& why_not);

/// A cgroup for one run, gone with this object. Versions 1 and 2.
class RunCgroup {
 public:
  /// Nothing where no cgroup that limits memory may be made here.
  static std::unique_ptr<RunCgroup> make(int64_t memory_bytes, int64_t max_tasks);
  /// Remove those that chaskis left which were killed, and end what is still in them.
  static void sweep();
  ~RunCgroup();
  RunCgroup(const RunCgroup&) = delete;
  RunCgroup& operator=(const RunCgroup&) = delete;
  /// Write "0" to each, and the writer is in.
  const std::vector<int>& entries() const { return entries_; }
  bool hit_memory_limit() const;  ///< something was killed for it
  bool hit_task_limit() const;
  void close_entries();

 private:
  RunCgroup() = default;
  bool add(const std::string& folder, const std::vector<std::pair<std::string, std::string>>& limits);

  std::vector<std::string> folders_;
  std::vector<int> entries_;
};

}  // namespace chaski
