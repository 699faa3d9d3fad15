#pragma once
// What the first line of a raw file says about its columns.
#include <algorithm>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "mql4grec/catalog/raw/record_reader.hpp"

namespace mql4grec::catalog::detail {

/// The first line of a file that isn't empty. Throws file_error when there is none.
inline std::string first_line(std::filesystem::path const& path, read_options options) {
  options.progress = {};
  line_reader lines(path, std::move(options));
  std::string_view line;
  while (lines.next(line))
    if (line.find_first_not_of(" \t") != line.npos) return std::string(line);
  raise<file_error>(path.string(), ": is empty, expected text");
}

inline bool is_json_line(std::string_view line) {
  auto const begin = line.find_first_not_of(" \t");
  return begin != line.npos && line[begin] == '{';
}
inline bool is_recbole_header(std::string_view line) {
  return line.find(":token") != line.npos && line.find(',') == line.npos;
}

/// The format of a CSV file with this header: the separator is the candidate that occurs most.
inline record_format csv_format(std::string_view header) {
  auto const count = [&](char c) { return std::count(header.begin(), header.end(), c); };
  char best = ',';
  for (char const c : {';', '\t'})
    if (count(c) > count(best)) best = c;
  return {.separator = std::string(1, best), .quotes = quoting::rfc_4180};
}

/// The names in a header, without RecBole's types. With quoting, they are without quotation marks if they span one
/// line.
inline std::vector<std::string> header_names(std::string_view header, record_format const& format) {
  std::vector<std::string> names;
  while (true) {
    auto const at = header.find(format.separator);
    auto name = header.substr(0, at);
    if (format.quotes == quoting::none) name = name.substr(0, name.find(':'));
    if (format.quotes == quoting::rfc_4180 && name.size() > 1 && name.front() == '"' && name.back() == '"')
      name = name.substr(1, name.size() - 2);
    names.emplace_back(name);
    if (at == header.npos) return names;
    header.remove_prefix(at + format.separator.size());
  }
}

/// The position of the first of these names that the header contains.
inline std::optional<std::size_t> find_column(std::vector<std::string> const& header,
                                              std::initializer_list<std::string_view> names) {
  for (auto const name : names)
    if (auto const found = std::find(header.begin(), header.end(), name); found != header.end())
      return static_cast<std::size_t>(found - header.begin());
  return std::nullopt;
}

/// "'a', 'b'", shortened.
inline std::string listed(std::vector<std::string> const& names) {
  std::string text;
  for (std::size_t i = 0; i < std::min<std::size_t>(names.size(), 12); ++i)
    text += (i > 0 ? ", '" : "'") + names[i].substr(0, 40) + "'";
  return text + (names.size() > 12 ? ", …" : "");
}

}  // namespace mql4grec::catalog::detail
