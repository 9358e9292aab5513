// Charts as SVG: grouped bars with intervals, a radar, a strip plot of single measurements. The same bytes
// for the same figures; text stays text; axes begin at zero. Which figures are drawn is decided in
// run_charts.h.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "report/statistics.h"

namespace chaski {

/// A finished drawing: SVG elements without the <svg> around them, in user units.
struct Drawing {
  std::string title, description;  ///< text, for readers who do not see it
  std::string body;
  double width = 0, height = 0;
  bool empty() const { return body.empty(); }
};

/// A series' name and look: "a", "b", or "p" for published figures. One without a name has no legend.
struct Series {
  std::string name, look;
};

struct Bar {
  std::optional<double> value;   ///< at least 0; nothing: drawn as not measured
  std::optional<Interval> ci95;  ///< its whisker
  std::string text;              ///< printed beside it
  std::string look = {};         ///< empty: the series'
};

struct BarGroup {
  std::string label;
  std::vector<Bar> bars;  ///< one per series
};

struct BarChart {
  std::string title, description;
  std::string axis;  ///< what is counted, with its unit
  double most = 0;   ///< end of the axis; 0: from the figures
  std::vector<Series> series;
  std::vector<BarGroup> groups;
};
Drawing draw_bars(const BarChart& chart);

/// One axis per label from 0 in the middle to `most`; a series without a value on one axis is drawn open.
struct RadarChart {
  std::string title, description;
  double most = 5;
  std::vector<std::string> axes;  ///< at least three
  struct Shape {
    Series series;
    std::vector<std::optional<double>> values;  ///< one per axis
  };
  std::vector<Shape> shapes;
};
Drawing draw_radar(const RadarChart& chart);

/// A row per label, in it a lane per series with a mark per measurement and a tick at their median.
struct StripChart {
  std::string title, description;
  std::string axis;
  std::vector<Series> series;
  struct Row {
    std::string label;
    std::vector<std::vector<double>> samples;  ///< one list per series
  };
  std::vector<Row> rows;
};
Drawing draw_strips(const StripChart& chart);

/// Lines of text, each in a look: "head", "" or "muted"; broken where they are wider than `width`.
struct TextLine {
  std::string text, look;
};
Drawing draw_text(const std::vector<TextLine>& lines, double width);

/// Drawings below each other in two columns, each to the shorter one; `top` above both.
Drawing arrange(const Drawing& top, const std::vector<Drawing>& drawings);

/// The element as it stands in a page that has chart_css().
std::string inline_svg(const Drawing& drawing);
/// A file of its own.
std::string standalone_svg(const Drawing& drawing);

/// The charts' style on a light or a dark ground.
std::string chart_css(bool is_dark);

}  // namespace chaski
