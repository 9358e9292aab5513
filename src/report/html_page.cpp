#include "report/html_page.h"

#include <array>

#include "base/files.h"
#include "report/page_style.h"
#include "report/text_safety.h"

namespace chaski {
namespace {

constexpr size_t kMaxRows = 1000;
constexpr size_t kMaxCell = 1500;

int nibble(char digit) { return digit <= '9' ? digit - '0' : digit - 'a' + 10; }

/// A hexadecimal SHA-256 in base64, as content security policies have it.
std::string base64_of_hex(const std::string& hex) {
  constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string out;
  uint32_t bits = 0;
  int n_bits = 0;
  for (const char digit : hex) {
    bits = bits << 4 | static_cast<uint32_t>(nibble(digit));
    for (n_bits += 4; n_bits >= 6; n_bits -= 6) out += kAlphabet[bits >> (n_bits - 6) & 63];
  }
  if (n_bits > 0) out += kAlphabet[bits << (6 - n_bits) & 63];
  while (out.size() % 4 != 0) out += '=';
  return out;
}

std::string cell_html(const Table& table, size_t column, const std::string& text, bool is_head) {
  const bool is_figure = table.align[column] == 'r';
  const std::string side = column < table.sides.size() ? table.sides[column] : "";
  std::string look = is_figure ? "r" : "";
  if (!side.empty()) look += (look.empty() ? "" : " ") + ("of-" + side);
  const ClippedHtml shown = html_text(text, kMaxCell);
  const bool is_label = column == 0 && !is_head;
  const std::string_view tag = is_head || is_label ? "th" : "td";
  return fmt::format("<{}{}{}>{}{}</{}>", tag,
                     is_head    ? " scope=\"col\""
                     : is_label ? " scope=\"row\""
                                : "",
                     look.empty() ? "" : fmt::format(" class=\"{}\"", look), shown.html,
                     shown.n_cut_bytes > 0 ? "…" : "", tag);
}

}  // namespace

std::string html_text(std::string_view text) {
  std::string out;
  for (const char c : visible_text(text)) {
    switch (c) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += c;
    }
  }
  return out;
}

ClippedHtml html_text(std::string_view text, size_t max_bytes) {
  ClippedHtml shown;
  size_t done = 0;
  while (done < text.size() && shown.html.size() < max_bytes) {
    const std::string_view piece =
        clip_utf8(text.substr(done), std::min<size_t>(max_bytes - shown.html.size(), 4096));
    if (piece.empty()) break;  // no room for one more character
    shown.html += html_text(piece);
    done += piece.size();
  }
  shown.n_cut_bytes = text.size() - done;
  return shown;
}

bool HtmlBody::add(std::string_view html) {
  if (n_left_out_ > 0 || html_.size() + html.size() > max_bytes_) {
    ++n_left_out_;
    return false;
  }
  html_ += html;
  return true;
}

void HtmlBody::add(const Table& table, Lang lang) {
  if (table.empty()) return;
  std::string html = "<div class=\"table\">";
  if (!table.title.empty()) html += fmt::format("<h3>{}</h3>", html_text(table.title));
  html += "<div class=\"scroll\"><table><thead><tr>";
  for (size_t i = 0; i < table.columns.size(); ++i) html += cell_html(table, i, table.columns[i], true);
  html += "</tr></thead>\n<tbody>\n";
  const size_t n_shown = std::min(table.rows.size(), kMaxRows);
  for (size_t r = 0; r < n_shown; ++r) {
    html += "<tr>";
    for (size_t i = 0; i < table.rows[r].size(); ++i) html += cell_html(table, i, table.rows[r][i], false);
    html += "</tr>\n";
  }
  html += "</tbody></table></div>\n";
  if (n_shown < table.rows.size()) {
    html += fmt::format(
        "<p class=\"note\">{}</p>\n",
        trf(lang, "{} more rows are in the record.", "其余 {} 行见运行记录。", table.rows.size() - n_shown));
  }
  for (const std::string& note : table.notes)
    html += fmt::format("<p class=\"note\">{}</p>\n", html_text(note));
  add(html + "</div>\n");
}

void HtmlBody::open_section(std::string_view id, std::string_view title) {
  html_ += fmt::format("<section id=\"{}\">\n<h2>{}</h2>\n", html_text(id), html_text(title));
}

std::string html_document(std::string_view title, const HtmlBody& body, Lang lang) {
  const std::string style = page_style();
  const std::string full =
      body.is_full() ? fmt::format("<p class=\"warn\">{}</p>\n",
                                   tr(lang, "The page is full: what does not fit is in the records.",
                                      "页面已满：放不下的内容请看运行记录。"))
                     : "";
  return fmt::format(
      "<!DOCTYPE html>\n<html lang=\"{}\">\n<head>\n<meta charset=\"utf-8\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'sha256-{}'; "
      "base-uri 'none'; form-action 'none'\">\n"
      "<meta name=\"referrer\" content=\"no-referrer\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta name=\"color-scheme\" content=\"light dark\">\n<title>{}</title>\n<style>{}</style>\n</head>\n"
      "<body>\n<main>\n{}{}</main>\n</body>\n</html>\n",
      lang == Lang::kZh ? "zh-CN" : "en", base64_of_hex(sha256_of(style)), html_text(short_name(title, 200)),
      style, body.html(), full);
}

}  // namespace chaski
