#include "report/svg_chart.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "report/html_page.h"
#include "report/text_safety.h"

namespace chaski {
namespace {

constexpr double kWidth = 360;   // of a chart; a phone shows it at about its own size
constexpr double kLeft = 10;     // where axes begin
constexpr double kRight = 64;    // room for printed values
constexpr double kColumn = 6.3;  // of a text column at 12 units
constexpr double kPi = 3.14159265358979323846;

/// A coordinate with one decimal, never "-0.0".
std::string at(double value) {
  const double rounded = std::round(value * 10) / 10;
  return fmt::format("{:.1f}", rounded == 0 ? 0.0 : rounded);
}

std::string text_element(double x, double y, std::string_view look, std::string_view text,
                         std::string_view anchor = "start") {
  return fmt::format("<text x=\"{}\" y=\"{}\" class=\"{}\" text-anchor=\"{}\">{}</text>\n", at(x), at(y),
                     look, anchor, html_text(text));
}

std::string line_element(double x1, double y1, double x2, double y2, std::string_view look) {
  return fmt::format("<line x1=\"{}\" y1=\"{}\" x2=\"{}\" y2=\"{}\" class=\"{}\"/>\n", at(x1), at(y1), at(x2),
                     at(y2), look);
}

/// A mark of a measurement; the shape tells series apart where colour does not.
std::string mark_element(double x, double y, double size, const std::string& look) {
  if (look == "a") {
    return fmt::format("<circle cx=\"{}\" cy=\"{}\" r=\"{}\" class=\"dot a\"/>\n", at(x), at(y), at(size));
  }
  const double reach = size * 1.25;
  return fmt::format("<path d=\"M{} {}L{} {}L{} {}L{} {}Z\" class=\"dot {}\"/>\n", at(x), at(y - reach),
                     at(x + reach), at(y), at(x), at(y + reach), at(x - reach), at(y), look);
}

std::string bar_element(double x, double y, double width, double height, const std::string& look) {
  return fmt::format("<rect x=\"{}\" y=\"{}\" width=\"{}\" height=\"{}\" rx=\"1.5\" class=\"bar {}\"/>\n",
                     at(x), at(y), at(std::max(width, 0.8)), at(height), look);
}

/// Where an axis from zero has its ticks: four to eight, at 1, 2 or 5 times a power of ten.
struct Axis {
  double most = 1, step = 1;
  double x(double value) const {
    return kLeft + std::clamp(value / most, 0.0, 1.0) * (kWidth - kLeft - kRight);
  }
};

Axis axis_to(double most, bool is_exact) {
  if (!(most > 0) || !std::isfinite(most)) most = 1;
  const double power = std::pow(10, std::floor(std::log10(most)));
  Axis axis;
  for (const double factor : {0.1, 0.2, 0.5, 1.0, 2.0}) {
    axis.step = factor * power;
    if (most / axis.step <= 6) break;
  }
  axis.most = is_exact ? most : std::ceil(most / axis.step - 1e-9) * axis.step;
  return axis;
}

std::string axis_elements(const Axis& axis, double top, double bottom, const std::string& label) {
  std::string out;
  const auto n = static_cast<int>(std::floor(axis.most / axis.step + 1e-9));
  for (int i = 0; i <= n; ++i) {
    const double x = axis.x(axis.step * i);
    out += line_element(x, top, x, bottom, i == 0 ? "axis" : "grid");
    out += text_element(x, bottom + 15, "muted", fmt::format("{:g}", std::round(axis.step * i * 1e6) / 1e6),
                        "middle");
  }
  return out + text_element(kLeft, bottom + 31, "muted", label);
}

/// Names and marks of the series, a line each where they are long; advances `y`.
std::string legend(const std::vector<Series>& series, double& y) {
  std::string out;
  double x = kLeft;
  for (const Series& one : series) {
    if (one.name.empty()) return "";
    const std::string name = short_name(one.name, 50);
    const double width = 18 + kColumn * display_width(name) + 16;
    if (x > kLeft && x + width > kWidth) {
      x = kLeft;
      y += 17;
    }
    out += one.look == "p" ? bar_element(x, y - 9, 10, 10, "p") : mark_element(x + 5, y - 4, 4.6, one.look);
    out += text_element(x + 16, y, "", name);
    x += width;
  }
  y += 12;
  return out;
}

double largest(const BarChart& chart) {
  double most = 0;
  for (const BarGroup& group : chart.groups) {
    for (const Bar& bar : group.bars) {
      if (bar.value) most = std::max({most, *bar.value, bar.ci95 ? bar.ci95->high : 0.0});
    }
  }
  return most;
}

std::string bar_row(const Bar& bar, const std::string& look, const Axis& axis, double y) {
  constexpr double kThick = 13;
  if (!bar.value)
    return text_element(kLeft + 5, y + kThick - 2.5, "muted", bar.text.empty() ? "–" : bar.text);
  std::string out = bar_element(kLeft, y, axis.x(*bar.value) - kLeft, kThick, look);
  double end = axis.x(*bar.value);
  if (bar.ci95) {
    const double low = axis.x(bar.ci95->low);
    const double high = axis.x(bar.ci95->high);
    const double middle = y + kThick / 2;
    out += line_element(low, middle, high, middle, "whisker");
    for (const double x : {low, high}) out += line_element(x, middle - 3.5, x, middle + 3.5, "whisker");
    end = std::max(end, high);
  }
  return out + text_element(end + 6, y + kThick - 2.5, "value", bar.text);
}

double median_of(std::vector<double> samples) {
  std::sort(samples.begin(), samples.end());
  return percentile(samples, 0.5);
}

/// Corner `i` of `n`, from the top clockwise.
struct Corner {
  double x, y, cosine, sine;
};
Corner corner(size_t i, size_t n, double radius, double middle_x, double middle_y) {
  const double angle = 2 * kPi * static_cast<double>(i) / static_cast<double>(n);
  const double sine = std::sin(angle);
  const double cosine = std::cos(angle);
  return {middle_x + radius * sine, middle_y - radius * cosine, cosine, sine};
}

std::string polygon(const std::vector<Corner>& corners, std::string_view look) {
  std::string points;
  for (const Corner& c : corners)
    points += fmt::format("{}{},{}", points.empty() ? "" : " ", at(c.x), at(c.y));
  return fmt::format("<polygon points=\"{}\" class=\"{}\"/>\n", points, look);
}

/// `text` in lines of at most `max_columns`, broken at spaces where there are any.
std::vector<std::string> broken(std::string_view text, int max_columns) {
  std::vector<std::string> lines;
  std::string line;
  const std::string clean = short_name(text, 2000);
  for (size_t i = 0; i < clean.size();) {
    size_t next = i + 1;  // a word with the spaces after it, or one character of a script that has none
    if (static_cast<unsigned char>(clean[i]) < 0x80) {
      while (next < clean.size() && clean[next - 1] != ' ' && static_cast<unsigned char>(clean[next]) < 0x80)
        ++next;
    } else {
      while (next < clean.size() && (static_cast<unsigned char>(clean[next]) & 0xC0) == 0x80) ++next;
    }
    const std::string piece = clean.substr(i, next - i);
    if (!line.empty() && display_width(line) + display_width(piece) > max_columns) {
      lines.push_back(std::exchange(line, {}));
    }
    line += piece;
    i = next;
  }
  if (!line.empty()) lines.push_back(line);
  return lines;
}

std::string svg_open(const Drawing& drawing, std::string_view attributes) {
  return fmt::format(
      "<svg{} viewBox=\"0 0 {} {}\" role=\"img\" class=\"chart\">\n<title>{}</title>\n<desc>{}</desc>\n",
      attributes, at(drawing.width), at(drawing.height), html_text(drawing.title),
      html_text(drawing.description));
}

}  // namespace

Drawing draw_bars(const BarChart& chart) {
  Drawing drawing{chart.title, chart.description, {}, kWidth, 0};
  if (chart.groups.empty()) return drawing;
  const Axis axis = axis_to(chart.most > 0 ? chart.most : largest(chart), chart.most > 0);
  double y = 12;
  drawing.body = legend(chart.series, y);
  const double top = y;
  std::string bars;
  for (const BarGroup& group : chart.groups) {
    CHECK(group.bars.size() == chart.series.size(), "{} bars for {} series", group.bars.size(),
          chart.series.size());
    if (!group.label.empty()) {
      y += 15;
      bars += text_element(kLeft + 4, y, "label", short_name(group.label, 46));
      y += 5;
    } else {
      y += 6;
    }
    for (size_t i = 0; i < group.bars.size(); ++i) {
      const Bar& bar = group.bars[i];
      bars += bar_row(bar, bar.look.empty() ? chart.series[i].look : bar.look, axis, y);
      y += 15.5;
    }
    y += 3;
  }
  drawing.body += axis_elements(axis, top, y, chart.axis) + bars;
  drawing.height = y + 38;
  return drawing;
}

Drawing draw_radar(const RadarChart& chart) {
  constexpr double kRadius = 95;
  constexpr double kRadarWidth = 400;  // names stand left and right of it
  Drawing drawing{chart.title, chart.description, {}, kRadarWidth, 0};
  const size_t n = chart.axes.size();
  CHECK(n >= 3, "a radar of {} axes", n);
  double y = 12;
  std::vector<Series> series;
  for (const RadarChart::Shape& shape : chart.shapes) series.push_back(shape.series);
  drawing.body = legend(series, y);
  const double middle_x = kRadarWidth / 2;
  const double middle_y = y + 44 + kRadius;
  const auto ring = [&](double radius) {
    std::vector<Corner> corners;
    for (size_t i = 0; i < n; ++i) corners.push_back(corner(i, n, radius, middle_x, middle_y));
    return corners;
  };
  const int n_rings = static_cast<int>(chart.most);
  for (int r = 1; r <= n_rings; ++r) drawing.body += polygon(ring(kRadius * r / chart.most), "ring");
  const std::vector<Corner> ends = ring(kRadius);
  for (const Corner& end : ends) drawing.body += line_element(middle_x, middle_y, end.x, end.y, "grid");
  for (const RadarChart::Shape& shape : chart.shapes) {
    std::vector<Corner> corners;
    std::string marks;
    for (size_t i = 0; i < n; ++i) {
      if (!shape.values[i]) continue;
      const double radius = kRadius * std::clamp(*shape.values[i] / chart.most, 0.0, 1.0);
      corners.push_back(corner(i, n, radius, middle_x, middle_y));
      marks += mark_element(corners.back().x, corners.back().y, 3.6, shape.series.look);
    }
    drawing.body += polygon(corners, "area " + shape.series.look) + marks;
  }
  for (int r = 1; r <= n_rings; ++r) {
    drawing.body +=
        text_element(middle_x + 4, middle_y - kRadius * r / chart.most + 4, "tiny", fmt::format("{}", r));
  }
  for (size_t i = 0; i < n; ++i) {
    const Corner& end = ends[i];
    const char* anchor = end.sine > 0.2 ? "start" : end.sine < -0.2 ? "end" : "middle";
    const double x = end.x + 10 * end.sine;
    const double line = end.y - 14 * end.cosine + (end.cosine > 0.9 ? -13 : end.cosine < -0.9 ? 6 : 0);
    drawing.body += text_element(x, line, "axis-name", short_name(chart.axes[i], 18), anchor);
    std::string values;
    for (const RadarChart::Shape& shape : chart.shapes) {
      values += fmt::format("{}<tspan class=\"value-{}\">{}</tspan>", values.empty() ? "" : " · ",
                            shape.series.look,
                            shape.values[i] ? fmt::format("{:.1f}", *shape.values[i]) : std::string("–"));
    }
    drawing.body += fmt::format("<text x=\"{}\" y=\"{}\" class=\"value\" text-anchor=\"{}\">{}</text>\n",
                                at(x), at(line + 14), anchor, values);
  }
  drawing.height = middle_y + kRadius + 46;
  return drawing;
}

Drawing draw_strips(const StripChart& chart) {
  Drawing drawing{chart.title, chart.description, {}, kWidth, 0};
  if (chart.rows.empty()) return drawing;
  double most = 0;
  for (const StripChart::Row& row : chart.rows) {
    for (const std::vector<double>& samples : row.samples) {
      for (const double sample : samples) most = std::max(most, sample);
    }
  }
  const Axis axis = axis_to(most, false);
  double y = 12;
  drawing.body = legend(chart.series, y);
  const double top = y;
  std::string marks;
  for (const StripChart::Row& row : chart.rows) {
    y += 16;
    marks += text_element(kLeft + 4, y, "label", short_name(row.label, 46));
    for (size_t i = 0; i < row.samples.size(); ++i) {
      y += 12;
      if (row.samples[i].empty()) continue;
      const double most_here = *std::max_element(row.samples[i].begin(), row.samples[i].end());
      marks += line_element(kLeft, y, axis.x(most_here), y, "lane " + chart.series[i].look);
      for (const double sample : row.samples[i])
        marks += mark_element(axis.x(sample), y, 4, chart.series[i].look);
      const double median = median_of(row.samples[i]);
      const double x = axis.x(median);
      if (row.samples[i].size() > 2) marks += line_element(x, y - 6, x, y + 6, "whisker");
      if (row.samples[i].size() != 2) {
        marks += text_element(axis.x(most_here) + 9, y + 4, "value", fmt::format("{:.3g}", median));
      }
    }
    y += 7;
  }
  drawing.body += axis_elements(axis, top, y, chart.axis) + marks;
  drawing.height = y + 38;
  return drawing;
}

Drawing draw_text(const std::vector<TextLine>& lines, double width) {
  Drawing drawing{{}, {}, {}, width, 0};
  double y = 0;
  for (const TextLine& line : lines) {
    const bool is_head = line.look == "head";
    y += is_head ? 10 : 2;
    for (const std::string& part : broken(line.text, static_cast<int>(width / (is_head ? 11.0 : 6.9)))) {
      y += is_head ? 24 : 17;
      drawing.body += text_element(kLeft, y, line.look, part);
    }
  }
  drawing.height = y + 12;
  return drawing;
}

Drawing arrange(const Drawing& top, const std::vector<Drawing>& drawings) {
  constexpr double kGap = 26;
  constexpr double kPlace = 400;  // of the widest
  Drawing all{top.title, top.description, {}, kPlace * 2 + kGap * 3, 0};
  all.body = fmt::format("<g transform=\"translate({} {})\">\n{}</g>\n", at(kGap), at(kGap / 2), top.body);
  double ends[2] = {top.height + kGap, top.height + kGap};
  for (const Drawing& drawing : drawings) {
    if (drawing.empty()) continue;
    const int column = ends[1] < ends[0] ? 1 : 0;
    const double x = kGap + column * (kPlace + kGap);
    all.body +=
        fmt::format("<g transform=\"translate({} {})\">\n{}<g transform=\"translate(0 14)\">\n{}</g></g>\n",
                    at(x), at(ends[column]), text_element(kLeft, 8, "head2", drawing.title), drawing.body);
    ends[column] += drawing.height + kGap + 14;
  }
  all.height = std::max(ends[0], ends[1]);
  return all;
}

std::string inline_svg(const Drawing& drawing) { return svg_open(drawing, "") + drawing.body + "</svg>\n"; }

std::string standalone_svg(const Drawing& drawing) {
  const std::string attributes =
      fmt::format(" xmlns=\"http://www.w3.org/2000/svg\" width=\"{}\" height=\"{}\"", at(drawing.width),
                  at(drawing.height));
  return "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n" + svg_open(drawing, attributes) + "<style>" +
         chart_css(false) + "</style>\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n" +
         drawing.body + "</svg>\n";
}

std::string chart_css(bool is_dark) {
  struct Colours {
    std::string_view ink, muted, grid, a, b, a_text, b_text, p, ground;
  };
  // Blue and orange of one lightness step apart: told apart by every kind of colour vision, and in grey.
  constexpr Colours kLight{"#1b2026", "#5d6773", "#dfe3e8", "#12589c", "#e08a12",
                           "#12589c", "#a15c00", "#9aa3ad", "#ffffff"};
  constexpr Colours kDark{"#e9edf1", "#9da8b4", "#323a43", "#5aaef2", "#f0ad3d",
                          "#7cc0f7", "#f4bd62", "#717c88", "#171b20"};
  const Colours& c = is_dark ? kDark : kLight;
  return fmt::format(
      ".chart text{{font:12px system-ui,-apple-system,\"Segoe UI\",Roboto,\"Noto Sans\",\"Noto Sans CJK SC\","
      "\"Microsoft YaHei\",\"PingFang SC\",\"WenQuanYi Micro Hei\",sans-serif;fill:{ink}}}\n"
      ".chart .muted{{fill:{muted};font-size:11px}}.chart .tiny{{fill:{muted};font-size:9px}}\n"
      ".chart .label{{font-weight:600}}.chart .axis-name{{font-weight:600;font-size:11px}}.chart "
      ".value{{font-variant-numeric:tabular-nums}}\n"
      ".chart .head{{font-size:19px;font-weight:700}}.chart .head2{{font-size:14px;font-weight:700}}\n"
      ".chart .grid,.chart .ring{{stroke:{grid};fill:none}}.chart .axis{{stroke:{muted}}}\n"
      ".chart .whisker{{stroke:{ink};stroke-width:1.3}}\n"
      ".chart .a{{fill:{a}}}.chart .b{{fill:{b}}}.chart .p{{fill:{p}}}\n"
      ".chart .value-a{{fill:{a_text}}}.chart .value-b{{fill:{b_text}}}\n"
      ".chart .dot{{fill-opacity:.85;stroke:{ground};stroke-width:.8}}\n"
      ".chart .area{{fill-opacity:.14;stroke-width:2;stroke-linejoin:round}}\n"
      ".chart .lane{{stroke-width:1.6;stroke-opacity:.35}}.chart .lane.a{{stroke:{a}}}.chart "
      ".lane.b{{stroke:{b}}}\n"
      ".chart .area.a{{stroke:{a}}}.chart .area.b{{stroke:{b}}}\n",
      fmt::arg("ink", c.ink), fmt::arg("muted", c.muted), fmt::arg("grid", c.grid), fmt::arg("a", c.a),
      fmt::arg("b", c.b), fmt::arg("a_text", c.a_text), fmt::arg("b_text", c.b_text), fmt::arg("p", c.p),
      fmt::arg("ground", c.ground));
}

}  // namespace chaski
