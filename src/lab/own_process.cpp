#include "lab/own_process.h"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csignal>
#include <system_error>

#include "base/error.h"

extern char** environ;

namespace chaski {
namespace {

constexpr size_t kMostErrors = 4096;
constexpr size_t kMostLine = 1u << 20;
constexpr int kPollMs = 100;

Error process_error(int error_number) {
  return Error(ErrorCode::kIo, "start process", std::generic_category().message(error_number));
}

/// Both ends close with it.
struct Pipe {
  std::array<int, 2> ends{-1, -1};
  Pipe() {
    if (::pipe2(ends.data(), O_CLOEXEC) != 0) throw process_error(errno);
  }
  ~Pipe() {
    close(0);
    close(1);
  }
  Pipe(const Pipe&) = delete;
  Pipe& operator=(const Pipe&) = delete;
  void close(size_t end) {
    if (ends[end] >= 0) ::close(ends[end]);
    ends[end] = -1;
  }
};

/// A child that is killed and waited for unless its end was seen.
class Child {
 public:
  Child(const std::vector<std::string>& arguments, const Pipe& out, const Pipe& err) {
    std::vector<std::string> texts{"chaski"};
    texts.insert(texts.end(), arguments.begin(), arguments.end());
    std::vector<char*> argv;
    for (std::string& text : texts) argv.push_back(text.data());
    argv.push_back(nullptr);
    posix_spawn_file_actions_t actions;
    ::posix_spawn_file_actions_init(&actions);
    ::posix_spawn_file_actions_addopen(&actions, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    ::posix_spawn_file_actions_adddup2(&actions, out.ends[1], STDOUT_FILENO);
    ::posix_spawn_file_actions_adddup2(&actions, err.ends[1], STDERR_FILENO);
    const int fault = ::posix_spawn(&pid_, "/proc/self/exe", &actions, nullptr, argv.data(), environ);
    ::posix_spawn_file_actions_destroy(&actions);
    if (fault != 0) throw process_error(fault);
  }
  ~Child() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    wait();
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  ChildEnd wait() {
    int status = 0;
    while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
    }
    pid_ = -1;
    ChildEnd end;
    if (WIFEXITED(status)) end.exit_status = WEXITSTATUS(status);
    if (WIFSIGNALED(status)) end.signal = WTERMSIG(status);
    return end;
  }

 private:
  pid_t pid_ = -1;
};

/// What `fd` has; false at its end.
bool read_some(int fd, std::string& text) {
  std::array<char, 4096> bytes{};
  const ssize_t n = ::read(fd, bytes.data(), bytes.size());
  if (n < 0 && errno == EINTR) return true;
  if (n <= 0) return false;
  text.append(bytes.data(), static_cast<size_t>(n));
  return true;
}

void give_lines(std::string& text, const std::function<void(std::string_view)>& on_line) {
  size_t begin = 0;
  for (size_t end = text.find('\n'); end != std::string::npos; end = text.find('\n', begin)) {
    on_line(std::string_view(text).substr(begin, end - begin));
    begin = end + 1;
  }
  text.erase(0, begin);
  if (text.size() > kMostLine)
    throw Error(ErrorCode::kCorrupt, "read process", "a line of output has no end");
}

}  // namespace

ChildEnd run_own_process(const std::vector<std::string>& arguments,
                         const std::function<void(std::string_view)>& on_line, const CancelToken& cancel) {
  Pipe out, err;
  Child child(arguments, out, err);
  out.close(1);
  err.close(1);
  std::string output, errors;
  while (out.ends[0] >= 0 || err.ends[0] >= 0) {
    cancel.throw_if_cancelled("bench");
    std::array<pollfd, 2> waits{{{out.ends[0], POLLIN, 0}, {err.ends[0], POLLIN, 0}}};
    if (::poll(waits.data(), waits.size(), kPollMs) < 0 && errno != EINTR) throw process_error(errno);
    if (waits[0].revents != 0) {
      if (!read_some(out.ends[0], output)) out.close(0);
      give_lines(output, on_line);
    }
    if (waits[1].revents != 0 && !read_some(err.ends[0], errors)) err.close(0);
    if (errors.size() > kMostErrors) errors.erase(0, errors.size() - kMostErrors);
  }
  ChildEnd end = child.wait();
  end.errors = std::move(errors);
  cancel.throw_if_cancelled("bench");  // Ctrl-C ends the child as well
  return end;
}

void end_with_parent() { ::prctl(PR_SET_PDEATHSIG, SIGKILL); }

}  // namespace chaski
