#include "cli/line_reader.h"

#include <fcntl.h>
#include <histedit.h>
#include <langinfo.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <clocale>
#include <string_view>

#include "base/utf8.h"
#include "cli/terminal.h"

namespace chaski::cli {
namespace {

constexpr size_t kMaxLineBytes = 1u << 20;
constexpr int kHistoryLines = 500;
constexpr size_t kMaxHistoryLineBytes = 4096;
constexpr uintmax_t kMaxHistoryBytes = 16u << 20;  // of the file, in which a byte may take four

/// libedit decodes what is typed by the locale; without a UTF-8 one, Chinese could not be edited.
void use_utf8_locale() {
  std::setlocale(LC_CTYPE, "");
  if (std::string_view(::nl_langinfo(CODESET)) != "UTF-8") std::setlocale(LC_CTYPE, "C.UTF-8");
}

}  // namespace

struct LineReader::Editor {
  Editor(std::filesystem::path file, std::vector<std::string> names)
      : history_file(std::move(file)), commands(std::move(names)) {
    use_utf8_locale();
    edit = el_init("chaski", stdin, stdout, stderr);
    history_lines = history_init();
    if (edit == nullptr || history_lines == nullptr) return;
    HistEvent event;
    history(history_lines, &event, H_SETSIZE, kHistoryLines);
    history(history_lines, &event, H_SETUNIQUE, 1);
    load_history();
    el_set(edit, EL_CLIENTDATA, this);
    el_set(edit, EL_PROMPT, &Editor::prompt_of);
    el_set(edit, EL_EDITOR, "emacs");
    el_set(edit, EL_HIST, history, history_lines);
    el_set(edit, EL_SIGNAL, 0);  // Ctrl-C is ours
    el_set(edit, EL_BIND, "^R", "em-inc-search-prev", nullptr);
    el_set(edit, EL_ADDFN, "complete-command", "complete a command", &Editor::complete);
    el_set(edit, EL_BIND, "^I", "complete-command", nullptr);
  }
  ~Editor() {
    if (history_lines != nullptr) {
      save_history();
      history_end(history_lines);
    }
    if (edit != nullptr) el_end(edit);
  }
  Editor(const Editor&) = delete;
  Editor& operator=(const Editor&) = delete;

  void load_history() {
    std::error_code fault;
    const auto bytes = std::filesystem::file_size(history_file, fault);
    if (fault || !std::filesystem::is_regular_file(history_file, fault) || bytes > kMaxHistoryBytes) return;
    HistEvent event;
    history(history_lines, &event, H_LOAD, history_file.c_str());
  }

  void save_history() noexcept {
    // Made before libedit opens it, so that there is no moment at which others may read it.
    const int fd =
        ::open(history_file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC | O_NOFOLLOW, S_IRUSR | S_IWUSR);
    if (fd < 0) return;
    ::fchmod(fd, S_IRUSR | S_IWUSR);
    ::close(fd);
    HistEvent event;
    history(history_lines, &event, H_SAVE, history_file.c_str());
  }

  static char* prompt_of(EditLine* line) {
    Editor* self = nullptr;
    el_get(line, EL_CLIENTDATA, &self);
    return self->prompt.data();
  }

  /// The part that all commands beginning like the line have in common; a space after the only one.
  static unsigned char complete(EditLine* line, int) {
    Editor* self = nullptr;
    el_get(line, EL_CLIENTDATA, &self);
    const LineInfo* info = el_line(line);
    const std::string begun(info->buffer, static_cast<size_t>(info->cursor - info->buffer));
    if (begun.empty() || begun[0] != '/') return CC_ERROR;
    std::string common;
    int n = 0;
    for (const std::string& command : self->commands) {
      if (command.compare(0, begun.size(), begun) != 0) continue;
      if (n++ == 0) common = command;
      const auto differ = std::mismatch(common.begin(), common.end(), command.begin(), command.end());
      common.erase(differ.first, common.end());
    }
    if (n == 1) common += ' ';
    if (common.size() <= begun.size()) return CC_ERROR;
    return el_insertstr(line, common.c_str() + begun.size()) == 0 ? CC_REFRESH : CC_ERROR;
  }

  std::filesystem::path history_file;
  std::vector<std::string> commands;
  std::string prompt;
  EditLine* edit = nullptr;
  History* history_lines = nullptr;
};

LineReader::LineReader(const std::filesystem::path& history_file, std::vector<std::string> commands) {
  if (!stdin_is_terminal() || !stdout_is_terminal()) return;
  editor_ = std::make_unique<Editor>(history_file, std::move(commands));
  if (editor_->edit == nullptr || editor_->history_lines == nullptr) editor_.reset();
}

LineReader::~LineReader() = default;

LineReader::Outcome LineReader::read(const std::string& prompt, std::string& line,
                                     const CancelToken& cancel) {
  if (!editor_) return read_plain(line, cancel);
  editor_->prompt = prompt;
  int n = 0;
  const char* text = el_gets(editor_->edit, &n);
  if (cancel.is_cancelled()) {
    el_reset(editor_->edit);
    print("\n");
    return Outcome::kInterrupted;
  }
  if (text == nullptr || n <= 0) return Outcome::kEnd;
  line.assign(text, static_cast<size_t>(n));
  while (!line.empty() && (line.back() == '\n' || line.back() == '\r')) line.pop_back();
  if (!line.empty() && line.size() <= kMaxHistoryLineBytes) {
    HistEvent event;
    history(editor_->history_lines, &event, H_ENTER, line.c_str());
  }
  line = replace_invalid_utf8(line);
  return Outcome::kLine;
}

LineReader::Outcome LineReader::read_plain(std::string& line, const CancelToken& cancel) {
  std::array<char, 4096> chunk;
  while (true) {
    const size_t end = pending_.find('\n');
    if (end != std::string::npos || (is_at_end_ && !pending_.empty()) || pending_.size() > kMaxLineBytes) {
      line = replace_invalid_utf8(pending_.substr(0, end));
      pending_.erase(0, end == std::string::npos ? end : end + 1);
      if (!line.empty() && line.back() == '\r') line.pop_back();
      return Outcome::kLine;
    }
    if (is_at_end_) return Outcome::kEnd;
    const ssize_t n = ::read(STDIN_FILENO, chunk.data(), chunk.size());
    if (cancel.is_cancelled()) return Outcome::kInterrupted;
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) {
      is_at_end_ = true;
    } else {
      pending_.append(chunk.data(), static_cast<size_t>(n));
    }
  }
}

}  // namespace chaski::cli
