#pragma once
// Charts as inline SVG: no scripts, colours from the page's style sheet, a title on every mark for whoever points at it.
#include <string>
#include <vector>

namespace mql4grec::program {

/// For text and attribute values alike; what comes from a dataset is never trusted to be free of markup.
std::string escaped(std::string const& text);

/// A line of a line chart; `style` is a class of the style sheet: s0 … s3.
struct chart_line {
  std::string name, style;
  std::vector<double> values;  ///< at x = 1, 2, …
};

/// A coloured bar in every group of a bar chart.
struct chart_bars {
  std::string name, style;
  std::vector<double> values;  ///< by group
};

struct chart_labels {
  std::string title;  ///< what a screen reader says
  std::string x = {}, y = {};
  std::vector<std::string> groups = {};  ///< of a bar chart
  double marked_x = 0;                   ///< a vertical line there; 0: none
  std::string mark = {};
};

std::string line_chart(chart_labels const& labels, std::vector<chart_line> const& lines);
std::string bar_chart(chart_labels const& labels, std::vector<chart_bars> const& series);

}  // namespace mql4grec::program
