#pragma once
// Charts as inline SVG: no scripts, colours from the page's style sheet, a title on every mark for readers who
// points at it.
#include <string>
#include <vector>

namespace mql4grec::program {

/// For text and attribute values alike; what comes from a dataset is never trusted to be free of markup.
std::string escaped(std::string const& text);

/// A line of a line chart; `style` is a class of the style sheet: s0 … s3.
struct chart_line {
  std::string name, style;
  std::vector<double> values;
  std::vector<double> at = {};  ///< x of each, rising; empty: 1, 2, …

  double x(std::size_t i) const { return at.empty() ? static_cast<double>(i + 1) : at[i]; }
};

/// A row of a heat map.
struct heat_row {
  std::string name;
  std::vector<double> values;  ///< a cell each, at least 0; rows may differ in length
};

/// A coloured bar in every group of a bar chart.
struct chart_bars {
  std::string name, style;
  std::vector<double> values;  ///< by group
};

struct chart_labels {
  std::string title;  ///< for screen readers
  std::string x = {}, y = {};
  std::vector<std::string> groups = {};  ///< of a bar chart
  double marked_x = 0;                   ///< a vertical line there; 0: none
  std::string mark = {};
};

std::string line_chart(chart_labels const& labels, std::vector<chart_line> const& lines);
/// A cell is darker for a larger log(1 + value). `cell` and `unit` are parts of its title, "code 17: 3 items".
std::string heat_map(chart_labels const& labels, std::vector<heat_row> const& rows, std::string const& cell,
                     std::string const& unit);
std::string bar_chart(chart_labels const& labels, std::vector<chart_bars> const& series);

}  // namespace mql4grec::program
