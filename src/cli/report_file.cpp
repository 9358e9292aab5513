#include "cli/report_file.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <span>

#include "base/error.h"
#include "base/files.h"

extern char** environ;

namespace chaski::cli {
namespace {

namespace fs = std::filesystem;

constexpr std::array<std::string_view, 6> kEndings{".html", ".md", ".json", ".csv", ".svg", ".png"};

/// A descriptor of a file in memory that holds `text`, to be read from its beginning.
class MemoryFile {
 public:
  explicit MemoryFile(std::string_view text) : fd_(::memfd_create("chart", MFD_CLOEXEC)) {
    if (fd_ < 0 || !write_all(fd_, std::as_bytes(std::span(text)), 0)) {
      const int fault = errno;
      if (fd_ >= 0) ::close(fd_);
      throw Error(ErrorCode::kIo, "draw picture", std::strerror(fault));
    }
  }
  ~MemoryFile() { ::close(fd_); }
  MemoryFile(const MemoryFile&) = delete;
  MemoryFile& operator=(const MemoryFile&) = delete;
  int fd() const { return fd_; }

 private:
  int fd_;
};

/// Exit status of rsvg-convert with `svg` as its input and `path` as its output.
int convert_to_png(const std::string& svg, const std::string& path) {
  const MemoryFile input(svg);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, input.fd(), STDIN_FILENO);
  std::string arguments[] = {"rsvg-convert", "--format=png", "--zoom=2", "--output=" + path};
  char* argv[] = {arguments[0].data(), arguments[1].data(), arguments[2].data(), arguments[3].data(),
                  nullptr};
  pid_t child = 0;
  const int fault = ::posix_spawnp(&child, argv[0], &actions, nullptr, argv, environ);
  posix_spawn_file_actions_destroy(&actions);
  if (fault != 0) {
    throw Error(ErrorCode::kUnsupported, "write png",
                fmt::format("rsvg-convert, which turns the drawing into a PNG: {}", std::strerror(fault)),
                "install it (Debian: apt-get install librsvg2-bin), or name a .svg file");
  }
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

void write_png(const fs::path& path, const std::string& svg) {
  // Absolute, so that no name is taken for an option.
  const fs::path part = fs::absolute(path).string() + fmt::format(".{}.part", ::getpid());
  std::error_code fault;
  const auto remove_part = [&] { fs::remove(part, fault); };
  int status = 0;
  try {
    status = convert_to_png(svg, part.string());
  } catch (...) {
    remove_part();
    throw;
  }
  if (status == 0) fs::rename(part, path, fault);
  if (status != 0 || fault) {
    const std::string why = fault ? fault.message() : fmt::format("rsvg-convert ended with {}", status);
    remove_part();
    throw Error(ErrorCode::kIo, "write png", fmt::format("{}: {}", path.string(), why));
  }
}

}  // namespace

void check_report_name(const fs::path& path) {
  const std::string ending = path.extension().string();
  for (const std::string_view known : kEndings) {
    if (ending == known) return;
  }
  throw Error(ErrorCode::kUsage, "write report",
              fmt::format("--out {}: expected a name that ends with .html, .md, .json, .csv, .svg or .png",
                          printable(path.string(), 400)));
}

void write_report(const fs::path& path, const ReportMakers& makers) {
  check_report_name(path);
  const std::string ending = path.extension().string();
  if (ending == ".png") return write_png(path, standalone_svg(makers.picture()));
  write_file_atomic(path, ending == ".html"   ? makers.html()
                          : ending == ".md"   ? makers.markdown()
                          : ending == ".json" ? makers.json()
                          : ending == ".csv"  ? makers.csv()
                                              : standalone_svg(makers.picture()));
}

}  // namespace chaski::cli
