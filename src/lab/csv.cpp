#include "lab/csv.h"

#include <algorithm>

#include "base/error.h"
#include "base/utf8.h"

namespace chaski {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

class CsvReader {
 public:
  CsvReader(std::string_view text, std::string_view where, const CsvLimits& limits)
      : text_(text), where_(where), limits_(limits) {}

  std::vector<CsvRow> read() {
    if (text_.substr(0, kByteOrderMark.size()) == kByteOrderMark) at_ = kByteOrderMark.size();
    while (at_ < text_.size()) {
      if (skip_line_end()) continue;
      if (rows_.size() == limits_.max_rows) fail(line_, fmt::format("more than {} rows", limits_.max_rows));
      rows_.push_back(row());
    }
    return std::move(rows_);
  }

 private:
  CsvRow row() {
    CsvRow row{line_, {}};
    while (true) {
      if (row.fields.size() == limits_.max_fields) {
        fail(row.line, fmt::format("more than {} fields", limits_.max_fields));
      }
      row.fields.push_back(field(row.line));
      if (at_ == text_.size() || skip_line_end()) return row;
      ++at_;  // the comma
    }
  }

  std::string field(size_t row_line) {
    std::string field;
    const auto add = [&](std::string_view piece) {
      if (piece.size() > limits_.max_field_bytes - field.size()) {
        fail(row_line, fmt::format("a field of more than {} bytes", limits_.max_field_bytes));
      }
      field += piece;
    };
    if (at_ < text_.size() && text_[at_] == '"') {
      const size_t open_line = line_;
      for (++at_;; ++at_) {
        const size_t quote = text_.find('"', at_);
        if (quote == std::string_view::npos) fail(open_line, "a quoted field is never closed");
        const std::string_view piece = text_.substr(at_, quote - at_);
        count_lines(piece);
        add(piece);
        at_ = quote + 1;
        if (at_ == text_.size() || text_[at_] != '"') break;
        add("\"");
      }
    }
    // Also what follows a closing quote, which then belongs to the field as it stands.
    const size_t end = std::min(text_.size(), text_.find_first_of(",\r\n", at_));
    add(text_.substr(at_, end - at_));
    at_ = end;
    return field;
  }

  /// LF, CR or both.
  bool skip_line_end() {
    const size_t begin = at_;
    if (at_ < text_.size() && text_[at_] == '\r') ++at_;
    if (at_ < text_.size() && text_[at_] == '\n') ++at_;
    line_ += at_ > begin ? 1 : 0;
    return at_ > begin;
  }

  void count_lines(std::string_view piece) {
    for (size_t i = 0; i < piece.size(); ++i) {
      if (piece[i] == '\n' || (piece[i] == '\r' && piece.substr(i + 1, 1) != "\n")) ++line_;
    }
  }

  [[noreturn]] void fail(size_t line, const std::string& what) const {
    throw Error(ErrorCode::kCorrupt, "read CSV", fmt::format("{} line {}: {}", where_, line, what));
  }

  std::string_view text_, where_;
  const CsvLimits& limits_;
  std::vector<CsvRow> rows_;
  size_t at_ = 0;
  size_t line_ = 1;
};

/// Where the first byte stands that is no text; the size of the text where all is well.
size_t first_bad_byte(std::string_view text) {
  size_t at = 0;
  while (at < text.size()) {
    const Utf8Char character = decode_utf8(text, at);
    if (!character.is_valid || character.code == 0) break;
    at += static_cast<size_t>(character.length);
  }
  return at;
}

}  // namespace

std::vector<CsvRow> parse_csv(std::string_view text, std::string_view where, const CsvLimits& limits) {
  if (const size_t bad = first_bad_byte(text); bad < text.size()) {
    const auto line = 1 + std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(bad), '\n');
    throw Error(ErrorCode::kCorrupt, "read CSV",
                fmt::format("{} line {}: expected UTF-8 text, found the byte 0x{:02X}", where, line,
                            static_cast<unsigned char>(text[bad])),
                "save the file as UTF-8");
  }
  return CsvReader(text, where, limits).read();
}

}  // namespace chaski
