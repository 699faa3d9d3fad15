// Tables as CSV files (RFC 4180) and their descriptions.
#include "table.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"

namespace mql4grec::experiments {

namespace {

std::string quoted(std::string const& field) {
  if (field.find_first_of(",\"\r\n") == std::string::npos) return field;
  std::string out = "\"";
  for (char const c : field) out += c == '"' ? std::string("\"\"") : std::string(1, c);
  return out + "\"";
}

std::string text_of(double value) {
  if (!std::isfinite(value)) return "";
  char digits[32];
  auto const end = std::to_chars(digits, digits + sizeof digits, value, std::chars_format::general, 7).ptr;
  return {digits, end};
}

/// The fields of each line. Quoted fields may contain line breaks.
std::vector<std::vector<std::string>> parse(std::string const& text) {
  std::vector<std::vector<std::string>> lines;
  std::vector<std::string> line;
  std::string field;
  bool inside = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    char const c = text[i];
    if (inside && c == '"' && i + 1 < text.size() && text[i + 1] == '"') {
      field += text[++i];
    } else if (c == '"') {
      inside = !inside;
    } else if (!inside && c == ',') {
      line.push_back(std::move(field));
      field.clear();
    } else if (!inside && c == '\n') {
      line.push_back(std::move(field));
      field.clear();
      lines.push_back(std::move(line));
      line.clear();
    } else if (inside || c != '\r') {
      field += c;
    }
  }
  return lines;
}

double number_of(std::string const& field, std::filesystem::path const& path, std::size_t line) {
  if (field.empty()) return std::numeric_limits<double>::quiet_NaN();
  double value = 0;
  auto const [end, fault] = std::from_chars(field.data(), field.data() + field.size(), value);
  expects_file(fault == std::errc() && end == field.data() + field.size(), path, "line ", line, ": '", field,
               "', expected a number");
  return value;
}

std::vector<std::string> columns_of(table_description const& about) {
  auto columns = about.keys;
  columns.insert(columns.end(), about.measured.begin(), about.measured.end());
  return columns;
}

json json_of(plot const& p) {
  json out{{"kind", p.kind}, {"title", p.title}, {"x", p.x}, {"y", p.y}, {"series", p.series}, {"log_x", p.log_x}};
  if (!p.row.empty()) out["row"] = p.row;
  if (!p.value.empty()) out["value"] = p.value;
  return out;
}

}  // namespace

table::table(std::filesystem::path directory, table_description about)
    : directory_(std::move(directory)), about_(std::move(about)) {
  auto const path = directory_ / (about_.name + ".csv");
  if (!std::filesystem::exists(path)) return;
  auto const lines = parse(read_text(path));
  auto const columns = columns_of(about_);
  expects_file(!lines.empty() && lines.front() == columns, path,
               "line 1: has other columns than this version of the table; move it away");
  for (std::size_t i = 1; i < lines.size(); ++i) {
    expects_file(lines[i].size() == columns.size(), path, "line ", i + 1, ": ", lines[i].size(), " fields, expected ",
                 columns.size());
    table_row row;
    for (std::size_t c = 0; c < columns.size(); ++c) {
      if (c < about_.keys.size())
        row.key.push_back(lines[i][c]);
      else
        row.values[columns[c]] = number_of(lines[i][c], path, i + 1);
    }
    rows_.push_back(std::move(row));
  }
}

table_row const* table::find(std::vector<std::string> const& key) const {
  auto const found = std::ranges::find(rows_, key, &table_row::key);
  return found == rows_.end() ? nullptr : &*found;
}

double table::seconds() const {
  auto const path = directory_ / (about_.name + ".json");
  return std::filesystem::exists(path) ? member_or<double>(read_json(path), "seconds", 0, path) : 0;
}

bool table::described() const {
  auto const path = directory_ / (about_.name + ".json");
  return std::filesystem::exists(path) && member_or<std::size_t>(read_json(path), "rows", 0, path) == rows_.size();
}

void table::add(table_row row) {
  expects(row.key.size() == about_.keys.size(), about_.name, ": a row with ", row.key.size(), " keys, expected ",
          about_.keys.size());
  for (auto const& [name, value] : row.values)
    expects(std::ranges::find(about_.measured, name) != about_.measured.end(), about_.name, ": '", name,
            "' is no column of the table");
  rows_.push_back(std::move(row));
  write();
}

void table::write() const {
  std::string text;
  auto const end_line = [&] { text.back() = '\n'; };
  for (auto const& name : columns_of(about_)) text += quoted(name) + ",";
  end_line();
  for (auto const& row : rows_) {
    for (auto const& value : row.key) text += quoted(value) + ",";
    for (auto const& name : about_.measured) {
      auto const found = row.values.find(name);
      text += (found == row.values.end() ? "" : text_of(found->second)) + ",";
    }
    end_line();
  }
  write_file(directory_ / (about_.name + ".csv"), text);
}

void table::describe(json const& facts) const {
  json out{{"table", about_.name}, {"title", about_.title},           {"question", about_.question},
           {"keys", about_.keys},  {"measurements", about_.measured}, {"rows", rows_.size()}};
  out["reading"] = about_.reading ? about_.reading(rows_) : "";
  out["plots"] = json::array();
  for (auto const& p : about_.plots) out["plots"].push_back(json_of(p));
  out.update(facts);
  write_json(directory_ / (about_.name + ".json"), out);
}

}  // namespace mql4grec::experiments
