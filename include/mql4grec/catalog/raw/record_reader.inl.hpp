#pragma once
// The definitions of catalog/raw/record_reader.hpp.
#include <algorithm>
#include <cstring>
#include <utility>

#include "mql4grec/catalog/raw/record_reader.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec::catalog {

MQL4GREC_DEFINITION record_reader::record_reader(line_reader& lines, record_format format)
    : lines_(lines), format_(std::move(format)) {
  expects(!format_.separator.empty(), "record_format: the separator is empty");
}

MQL4GREC_DEFINITION std::vector<std::string_view> const& record_reader::next() {
  fields_.clear();
  std::string_view line;
  while (lines_.next(line)) {
    if (line.empty()) continue;
    bool const quoted = format_.quotes == quoting::rfc_4180 && std::memchr(line.data(), '"', line.size()) != nullptr;
    quoted ? split_quoted(line) : split_plain(line);
    break;
  }
  return fields_;
}

MQL4GREC_DEFINITION void record_reader::split_plain(std::string_view line) {
  constexpr std::size_t most = 10'000;
  auto const& separator = format_.separator;
  while (true) {
    auto const at = separator.size() == 1 ? line.find(separator[0]) : line.find(separator);
    fields_.push_back(line.substr(0, at));
    if (at == line.npos) return;
    if (fields_.size() > most) lines_.fail("has more than 10000 fields");
    line.remove_prefix(at + separator.size());
  }
}

MQL4GREC_DEFINITION void record_reader::split_quoted(std::string_view line) {
  record_.assign(line);
  auto const first = lines_.line();
  auto const fail = [&](char const* what) { raise<file_error>(lines_.path().string(), ", line ", first, ": ", what); };
  unquoted_.clear();
  std::vector<std::pair<std::size_t, std::size_t>> ranges;  // of unquoted_, which moves while it grows
  for (std::size_t at = 0;;) {
    auto const begin = unquoted_.size();
    if (at < record_.size() && record_[at] == '"') {
      for (++at;;) {
        auto const mark = record_.find('"', at);
        unquoted_.append(record_, at, mark == record_.npos ? mark : mark - at);
        if (mark == record_.npos) {  // the field goes on in the next line
          if (!lines_.next(line)) fail("a quotation mark is never closed");
          if (static_cast<index_t>(unquoted_.size() + line.size()) > lines_.options().max_line)
            fail("a record is longer than the limit of a line; is a quotation mark not closed?");
          unquoted_ += '\n';
          record_.assign(line);
          at = 0;
        } else if (mark + 1 < record_.size() && record_[mark + 1] == '"') {
          unquoted_ += '"';
          at = mark + 2;
        } else {
          at = mark + 1;
          break;
        }
      }
    } else {
      auto const end = std::min(record_.find(format_.separator, at), record_.size());
      unquoted_.append(record_, at, end - at);
      at = end;
    }
    ranges.emplace_back(begin, unquoted_.size() - begin);
    if (at == record_.size()) break;
    if (record_.compare(at, format_.separator.size(), format_.separator) != 0)
      fail("text between a closing quotation mark and the next separator");
    at += format_.separator.size();
    if (ranges.size() > 10'000) fail("has more than 10000 fields");
  }
  for (auto const& [begin, length] : ranges) fields_.push_back(std::string_view(unquoted_).substr(begin, length));
}

}  // namespace mql4grec::catalog
