// This program started again as a process of its own: for loads that must be fresh, and for runs that may
// crash without taking the bench with them.
#pragma once

#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/cancel.h"

namespace chaski {

struct ChildEnd {
  int exit_status = 0;
  int signal = 0;      ///< that ended it; 0: it exited
  std::string errors;  ///< the end of what it wrote to standard error

  bool is_good() const { return exit_status == 0 && signal == 0; }
};

/// Start the program that this process runs with `arguments` and nothing to read, hear each line of its
/// output, and wait. When `cancel` is set the child is killed and Error(kCancelled) is thrown; so it is, with
/// what was thrown, where `on_line` throws. Throws Error(kIo) where no process can be started.
ChildEnd run_own_process(const std::vector<std::string>& arguments,
                         const std::function<void(std::string_view line)>& on_line,
                         const CancelToken& cancel);

/// In the child: end when the parent does.
void end_with_parent();

}  // namespace chaski
