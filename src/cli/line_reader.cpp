#include "cli/line_reader.h"

#include <histedit.h>
#include <langinfo.h>
#include <unistd.h>

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

/// libedit decodes what is typed by the locale; without a UTF-8 one, Chinese could not be edited.
void use_utf8_locale() {
  std::setlocale(LC_CTYPE, "");
  if (std::string_view(::nl_langinfo(CODESET)) != "UTF-8") std::setlocale(LC_CTYPE, "C.UTF-8");
}

}  // namespace

struct LineReader::Editor {
  explicit Editor(std::string text) : prompt(std::move(text)) {
    use_utf8_locale();
    edit = el_init("chaski", stdin, stdout, stderr);
    history_lines = history_init();
    if (edit == nullptr || history_lines == nullptr) return;
    HistEvent event;
    history(history_lines, &event, H_SETSIZE, kHistoryLines);
    el_set(edit, EL_CLIENTDATA, this);
    el_set(edit, EL_PROMPT, &Editor::prompt_of);
    el_set(edit, EL_EDITOR, "emacs");
    el_set(edit, EL_HIST, history, history_lines);
    el_set(edit, EL_SIGNAL, 0);  // Ctrl-C is ours
    el_set(edit, EL_BIND, "^R", "em-inc-search-prev", nullptr);
  }
  ~Editor() {
    if (history_lines != nullptr) history_end(history_lines);
    if (edit != nullptr) el_end(edit);
  }
  Editor(const Editor&) = delete;
  Editor& operator=(const Editor&) = delete;

  static char* prompt_of(EditLine* line) {
    Editor* self = nullptr;
    el_get(line, EL_CLIENTDATA, &self);
    return self->prompt.data();
  }

  std::string prompt;
  EditLine* edit = nullptr;
  History* history_lines = nullptr;
};

LineReader::LineReader(std::string prompt) {
  if (!stdin_is_terminal() || !stdout_is_terminal()) return;
  editor_ = std::make_unique<Editor>(std::move(prompt));
  if (editor_->edit == nullptr || editor_->history_lines == nullptr) editor_.reset();
}

LineReader::~LineReader() = default;

LineReader::Outcome LineReader::read(std::string& line, const CancelToken& cancel) {
  if (!editor_) return read_plain(line, cancel);
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
  if (!line.empty()) {
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
