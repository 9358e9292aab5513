// A self-contained HTML page: escaping, tables, the frame with its style and content security policy. It has
// no script and asks for nothing from outside. What pages say is in compare_html.h and report_html.h.
#pragma once

#include <string>
#include <string_view>

#include "report/lang.h"
#include "report/table.h"

namespace chaski {

/// Untrusted text as it may stand between tags and in double quotes: markup escaped, invisible characters as
/// visible marks.
std::string html_text(std::string_view text);

/// The same of the first characters alone, so that at most about `max_bytes` come out; `n_cut_bytes` then
/// says how much of `text` is missing.
struct ClippedHtml {
  std::string html;
  size_t n_cut_bytes = 0;
};
ClippedHtml html_text(std::string_view text, size_t max_bytes);

/// The body of a page, up to a limit in bytes: what comes after is left out and counted, so that no record
/// can make a page that a browser cannot open.
class HtmlBody {
 public:
  explicit HtmlBody(size_t max_bytes = 14u << 20) : max_bytes_(max_bytes) {}
  /// Markup of ours, whole or, where the page is full, not at all.
  bool add(std::string_view html);
  /// The same, also where the page is full: for what little must stand.
  void add_always(std::string_view html) { html_ += html; }
  /// A table with its title and notes, rows up to a limit of their own.
  void add(const Table& table, Lang lang);
  void open_section(std::string_view id, std::string_view title);
  void close_section() { html_ += "</section>\n"; }
  bool is_full() const { return n_left_out_ > 0; }
  const std::string& html() const { return html_; }

 private:
  size_t max_bytes_;
  size_t n_left_out_ = 0;
  std::string html_;
};

/// The whole document; `title` is text, `body` markup.
std::string html_document(std::string_view title, const HtmlBody& body, Lang lang);

}  // namespace chaski
