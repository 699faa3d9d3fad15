// Charts as inline SVG.
#include "svg.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "text.hpp"

namespace mql4grec::program {

std::string escaped(std::string const& text) {
  std::string out;
  for (char const c : one_line(text)) {
    switch (c) {
      case '&': out += "&amp;"; break;
      case '<': out += "&lt;"; break;
      case '>': out += "&gt;"; break;
      case '"': out += "&quot;"; break;
      case '\'': out += "&#39;"; break;
      default: out += c;
    }
  }
  return out;
}

namespace {

constexpr double width = 760, left = 68, right = 16, top = 16, inner_width = width - left - right;
constexpr double inner_height = 256, floor_y = top + inner_height;  // what stands below the floor is up to the chart

std::string number(double value) { return fixed(value, 1); }

/// Round numbers that cover [low, high] in about `count` steps.
struct axis {
  double first, last, step;
  int decimals;

  axis(double low, double high, int count) {
    double const range = std::max(high - low, 1e-9 * std::max(1.0, std::abs(high)));
    double const power = std::pow(10.0, std::floor(std::log10(range / count)));
    step = 10 * power;
    for (double const factor : {1.0, 2.0, 5.0})
      if (range / (factor * power) <= count) {
        step = factor * power;
        break;
      }
    first = std::floor(low / step + 1e-9) * step;
    last = std::ceil(high / step - 1e-9) * step;
    decimals = std::max(0, static_cast<int>(-std::floor(std::log10(step) + 1e-9)));
  }
  int ticks() const { return static_cast<int>(std::lround((last - first) / step)); }
  double tick(int i) const { return first + i * step; }
  double share(double value) const { return (value - first) / (last - first); }
};

double y_of(axis const& y, double value) { return top + inner_height * (1 - y.share(value)); }

std::string text_at(double x, double y, char const* style, std::string const& text) {
  return "<text class=\"" + std::string(style) + "\" x=\"" + number(x) + "\" y=\"" + number(y) + "\">" + escaped(text) +
         "</text>";
}
std::string line_between(double x1, double y1, double x2, double y2, char const* style) {
  return "<line class=\"" + std::string(style) + "\" x1=\"" + number(x1) + "\" y1=\"" + number(y1) + "\" x2=\"" +
         number(x2) + "\" y2=\"" + number(y2) + "\"/>";
}

std::string opened(chart_labels const& labels) {
  return "<svg viewBox=\"0 0 " + number(width) + " " + number(floor_y + (labels.x.empty() ? 28 : 48)) +
         "\" role=\"img\" aria-label=\"" + escaped(labels.title) + "\">";
}

/// The horizontal rules with their numbers, and what the axis counts.
std::string rules(axis const& y, std::string const& name) {
  std::string out;
  for (int i = 0; i <= y.ticks(); ++i) {
    double const at = y_of(y, y.tick(i));
    out += line_between(left, at, width - right, at, i == 0 ? "base" : "rule") +
           text_at(left - 8, at + 4, "end", fixed(y.tick(i), y.decimals));
  }
  if (!name.empty())
    out += "<text class=\"middle\" transform=\"translate(14 " + number(top + inner_height / 2) + ") rotate(-90)\">" +
           escaped(name) + "</text>";
  return out;
}

/// Above the chart, in HTML, where it wraps on narrow screens.
template <class Series>
std::string legend(std::vector<Series> const& series) {
  std::string out = "<p class=\"legend\">";
  for (auto const& one : series) out += "<span><i class=\"" + one.style + "\"></i>" + escaped(one.name) + "</span>";
  return out + "</p>";
}

std::pair<double, double> extent(std::vector<chart_line> const& lines) {
  double low = std::numeric_limits<double>::infinity(), high = -low;
  for (auto const& line : lines)
    for (double const value : line.values) {
      low = std::min(low, value);
      high = std::max(high, value);
    }
  return {low, high};
}

}  // namespace

std::string line_chart(chart_labels const& labels, std::vector<chart_line> const& lines) {
  std::size_t most = 0;
  double last = 0;
  for (auto const& line : lines) {
    most = std::max(most, line.values.size());
    if (!line.values.empty()) last = std::max(last, line.x(line.values.size() - 1));
  }
  if (most == 0) return "";
  auto const [low, high] = extent(lines);
  axis const y(low, high, 6), x(1, std::max(2.0, last), 12);
  auto const x_of = [&](double value) { return left + inner_width * (value - 1) / (std::max(2.0, last) - 1); };

  std::string out = legend(lines) + opened(labels) + rules(y, labels.y);
  for (int i = 0; i <= x.ticks(); ++i) {
    double const value = x.first == 0 && i == 0 ? 1 : x.tick(i);  // epochs are counted from 1
    if (value > last || value != std::round(value)) continue;
    out += text_at(x_of(value), floor_y + 20, "middle", fixed(value, 0));
  }
  out += text_at(left + inner_width / 2, floor_y + 40, "middle", labels.x);
  if (labels.marked_x >= 1) {
    double const at = x_of(labels.marked_x);
    bool const near_end = at > left + 0.8 * inner_width;
    out += line_between(at, top, at, floor_y, "mark") +
           text_at(at + (near_end ? -6 : 6), top + 12, near_end ? "end" : "start", labels.mark);
  }
  for (auto const& line : lines) {
    std::string points;
    for (std::size_t i = 0; i < line.values.size(); ++i)
      points += number(x_of(line.x(i))) + "," + number(y_of(y, line.values[i])) + " ";
    out += "<polyline class=\"line " + line.style + "\" points=\"" + points + "\"/>";
    for (std::size_t i = 0; i < line.values.size(); ++i)
      out += "<circle class=\"dot " + line.style + "\" cx=\"" + number(x_of(line.x(i))) + "\" cy=\"" +
             number(y_of(y, line.values[i])) + "\" r=\"" + (most <= 40 ? "3" : "1.5") + "\"><title>" +
             escaped(labels.x + " " + fixed(line.x(i), 0) + ", " + line.name + ": " + fixed(line.values[i], 4)) +
             "</title></circle>";
  }
  return out + "</svg>";
}

std::string heat_map(chart_labels const& labels, std::vector<heat_row> const& rows, std::string const& cell,
                     std::string const& unit) {
  constexpr double row_height = 34, gap = 6;
  double most = 0;
  std::size_t longest = 1;
  for (auto const& row : rows) {
    longest = std::max(longest, row.values.size());
    for (double const value : row.values) most = std::max(most, value);
  }
  double const cell_width = inner_width / static_cast<double>(longest),
               height = top + static_cast<double>(rows.size()) * (row_height + gap) + 20;
  std::string out = "<svg viewBox=\"0 0 " + number(width) + " " + number(height) + "\" role=\"img\" aria-label=\"" +
                    escaped(labels.title) + "\">";
  for (std::size_t r = 0; r < rows.size(); ++r) {
    double const y = top + static_cast<double>(r) * (row_height + gap);
    out += text_at(left - 8, y + row_height / 2 + 4, "end", rows[r].name);
    for (std::size_t i = 0; i < rows[r].values.size(); ++i) {
      double const value = rows[r].values[i], shade = most > 0 ? std::log1p(value) / std::log1p(most) : 0;
      out += "<rect class=\"" + std::string(value > 0 ? "s0" : "unused") + "\" x=\"" +
             fixed(left + static_cast<double>(i) * cell_width, 2) + "\" y=\"" + number(y) + "\" width=\"" +
             fixed(cell_width, 2) + "\" height=\"" + number(row_height) +
             (value > 0 ? "\" fill-opacity=\"" + fixed(0.15 + 0.85 * shade, 2) : "") + "\"><title>" +
             escaped(rows[r].name + ", " + cell + " " + std::to_string(i) + ": " + fixed(value, 0) + " " + unit) +
             "</title></rect>";
    }
  }
  return out + text_at(left, height - 6, "start", labels.x) + "</svg>";
}

std::string bar_chart(chart_labels const& labels, std::vector<chart_bars> const& series) {
  double high = 0;
  for (auto const& one : series)
    for (double const value : one.values) high = std::max(high, value);
  axis const y(0, high > 0 ? high : 1, 6);
  double const group_width = inner_width / static_cast<double>(std::max<std::size_t>(1, labels.groups.size()));
  double const bar_width = 0.8 * group_width / static_cast<double>(std::max<std::size_t>(1, series.size()));
  std::string out = legend(series) + opened(labels) + rules(y, labels.y);
  for (std::size_t g = 0; g < labels.groups.size(); ++g) {
    double const begin = left + (static_cast<double>(g) + 0.1) * group_width;
    out += text_at(begin + 0.4 * group_width, floor_y + 20, "middle", labels.groups[g]);
    for (std::size_t s = 0; s < series.size(); ++s) {
      double const value = series[s].values.at(g), at = y_of(y, value), x = begin + static_cast<double>(s) * bar_width;
      out += "<rect class=\"" + series[s].style + "\" x=\"" + number(x + 1) + "\" y=\"" + number(at) + "\" width=\"" +
             number(bar_width - 2) + "\" height=\"" + number(y_of(y, 0) - at) + "\" rx=\"2\"><title>" +
             escaped(series[s].name + ", " + labels.groups[g] + ": " + fixed(value, 4)) + "</title></rect>";
      out += text_at(x + bar_width / 2, at - 4, "value", value < 1 ? fixed(value, 3).substr(1) : fixed(value, 2));
    }
  }
  return out + "</svg>";
}

}  // namespace mql4grec::program
