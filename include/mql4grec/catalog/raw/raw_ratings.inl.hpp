#pragma once
// The definitions of catalog/raw/raw_ratings.hpp.
#include <array>
#include <charconv>
#include <cmath>
#include <utility>

#include "mql4grec/catalog/raw/detail/json_line.hpp"
#include "mql4grec/catalog/raw/detail/table_layout.hpp"
#include "mql4grec/catalog/raw/raw_ratings.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec::catalog {

namespace detail {

inline constexpr std::array<std::pair<raw_format, char const*>, 6> format_names = {
    {{raw_format::automatic, "auto"},
     {raw_format::amazon2018, "amazon2018"},
     {raw_format::amazon2023, "amazon2023"},
     {raw_format::movielens, "movielens"},
     {raw_format::recbole, "recbole"},
     {raw_format::csv, "csv"}}};

/// Where the three values of a rating are in the records of a file.
struct ratings_layout {
  raw_format format = raw_format::csv;
  bool json = false, header = true;
  record_format records = {};
  std::size_t user = 0, item = 1;
  std::optional<std::size_t> time = 2;
  std::string columns = {};  ///< in words
};

/// A decimal number without any other characters.
MQL4GREC_DEFINITION std::optional<double> parse_number(std::string_view text) {
  double value = 0;
  auto const [end, failure] = std::from_chars(text.data(), text.data() + text.size(), value);
  bool const whole = failure == std::errc{} && end == text.data() + text.size() && std::isfinite(value);
  return whole ? std::optional(value) : std::nullopt;
}

/// Reads a number of exactly `digits` digits at the beginning of a text, and removes it.
MQL4GREC_DEFINITION std::optional<int> take_digits(std::string_view& text, std::size_t digits) {
  if (text.size() < digits) return std::nullopt;
  int value = 0;
  for (char const c : text.substr(0, digits)) {
    if (c < '0' || c > '9') return std::nullopt;
    value = 10 * value + (c - '0');
  }
  text.remove_prefix(digits);
  return value;
}

/// Days from 1970-01-01 to a date of the Gregorian calendar, by Howard Hinnant's formula.
MQL4GREC_DEFINITION int days_from_civil(int year, int month, int day) {
  year -= month <= 2;
  int const era = year / 400, year_of_era = year - era * 400;
  int const day_of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
  return era * 146097 + year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year - 719468;
}

/// Removes "Z" or an offset "+02:00" from the end of a text, and returns its seconds.
MQL4GREC_DEFINITION double take_zone(std::string_view& text) {
  if (text.ends_with('Z')) return text.remove_suffix(1), 0;
  if (text.size() < 6) return 0;
  auto zone = text.substr(text.size() - 6);
  double const sign = zone[0] == '+' ? 1 : zone[0] == '-' ? -1 : 0;
  zone.remove_prefix(1);
  auto const hours = take_digits(zone, 2);
  if (sign == 0 || !hours || !zone.starts_with(':')) return 0;
  zone.remove_prefix(1);
  auto const minutes = take_digits(zone, 2);
  if (!minutes) return 0;
  text.remove_suffix(6);
  return sign * (*hours * 3600 + *minutes * 60);
}

MQL4GREC_DEFINITION std::optional<double> parse_iso_time(std::string_view text) {
  auto const part = [&](std::size_t digits, int least, int most, std::string_view after) -> std::optional<int> {
    auto const value = take_digits(text, digits);
    if (!value || *value < least || *value > most) return std::nullopt;
    if (after.empty()) return value;
    if (text.empty() || after.find(text[0]) == after.npos) return std::nullopt;
    text.remove_prefix(1);
    return value;
  };
  auto const year = part(4, 1, 9999, "-"), month = part(2, 1, 12, "-"), day = part(2, 1, 31, "");
  if (!year || !month || !day) return std::nullopt;
  double const days = days_from_civil(*year, *month, *day);
  if (text.empty()) return days * 86400;
  if (text[0] != 'T' && text[0] != ' ') return std::nullopt;
  text.remove_prefix(1);
  double const zone = take_zone(text);
  auto const hour = part(2, 0, 23, ":"), minute = part(2, 0, 59, "");
  if (!hour || !minute) return std::nullopt;
  double seconds = 0;
  if (!text.empty()) {
    bool const decimal = text[0] == ':' && text.size() > 2 && text.find_first_not_of("0123456789.", 1) == text.npos;
    auto const found = decimal ? parse_number(text.substr(1)) : std::nullopt;
    if (!found || *found >= 61) return std::nullopt;
    seconds = *found;
  }
  return days * 86400 + *hour * 3600 + *minute * 60 + seconds - zone;
}

/// Whether a record without a header has the user first, as Amazon's files of 2014 do: a reviewer is `A` and 11 or more
/// capital letters and digits, an item has 10 characters.
MQL4GREC_DEFINITION bool has_user_first(std::vector<std::string> const& fields) {
  auto const is_reviewer = [](std::string const& id) { return id.size() >= 12 && id[0] == 'A'; };
  return is_reviewer(fields[0]) && !is_reviewer(fields[1]) && fields[1].size() == 10;
}

/// The layout of a file with named columns.
MQL4GREC_DEFINITION ratings_layout named_layout(std::string_view line, std::filesystem::path const& path,
                                                column_names const& columns) {
  ratings_layout layout{.format = raw_format::csv, .records = csv_format(line)};
  if (is_recbole_header(line))
    layout = {.format = raw_format::recbole, .records = {.separator = "\t", .quotes = quoting::none}};
  auto const names = header_names(line, layout.records);
  auto const find = [&](char const* what, std::string const& wanted, std::initializer_list<std::string_view> usual) {
    auto const found = wanted.empty() ? find_column(names, usual) : find_column(names, {wanted});
    expects_file(found.has_value(), path, "line 1: no column ", wanted.empty() ? "" : "'" + wanted + "' ", "of ", what,
                 " among ", listed(names), "; --columns names those of users, items and times");
    return *found;
  };
  layout.user = find("users", columns.user,
                     {"user_id", "user", "userId", "userid", "UserID", "reviewerID", "customer_id", "customer"});
  layout.item = find(
      "items", columns.item,
      {"parent_asin", "item_id", "item", "itemId", "itemid", "ItemID", "movieId", "asin", "product_id", "product"});
  layout.time = std::nullopt;
  if (!columns.without_time)
    layout.time = find("times", columns.time, {"timestamp", "time", "unixReviewTime", "Timestamp", "date", "datetime"});
  layout.columns = "columns " + names[layout.user] + "," + names[layout.item] +
                   (layout.time ? "," + names[*layout.time] : ", in the order of time");
  if (layout.format == raw_format::csv && names[layout.item] == "movieId") layout.format = raw_format::movielens;
  if (layout.format == raw_format::csv && names[layout.item] == "parent_asin") layout.format = raw_format::amazon2023;
  return layout;
}

MQL4GREC_DEFINITION ratings_layout ratings_layout_of(std::filesystem::path const& path,
                                                     ratings_options const& options) {
  auto const line = first_line(path, options.reading);
  if (is_json_line(line)) {
    bool const of_2023 = line.find("parent_asin") != line.npos;
    return {
        .format = of_2023 ? raw_format::amazon2023 : raw_format::amazon2018,
        .json = true,
        .columns = of_2023 ? "JSON lines user_id,parent_asin,timestamp" : "JSON lines reviewerID,asin,unixReviewTime"};
  }
  if (line.find("::") != line.npos && options.format != raw_format::csv)
    return {.format = raw_format::movielens,
            .header = false,
            .records = {.separator = "::", .quotes = quoting::none},
            .time = 3,
            .columns = "user::item::rating::time"};
  auto const fields = header_names(line, {});
  bool const asked = !options.columns.user.empty() || options.format == raw_format::csv;
  if (!asked && fields.size() == 4 && parse_number(fields[2]) && parse_number(fields[3])) {
    bool const reversed = has_user_first(fields);
    return {.format = raw_format::amazon2018,
            .header = false,
            .user = reversed ? 0u : 1u,
            .item = reversed ? 1u : 0u,
            .time = 3,
            .columns = reversed ? "CSV user,item,rating,time" : "CSV item,user,rating,time"};
  }
  return named_layout(line, path, options.columns);
}

/// Checks what the files of a dataset directory can't represent.
MQL4GREC_DEFINITION void check_id(line_reader const& lines, std::string_view id, char const* what) {
  if (id.empty()) lines.fail(std::string("the ") + what + " is missing");
  if (id.size() > 1024) lines.fail(std::string("the ") + what + " has more than 1024 bytes");
  for (char const c : id)
    if (static_cast<unsigned char>(c) < 32 || c == 127)
      lines.fail(std::string("the ") + what + " '" + core::detail::printable(id) + "' contains a control character");
  if (!simdjson::validate_utf8(id.data(), id.size()))
    lines.fail(std::string("the ") + what + " '" + core::detail::printable(id) + "' is not encoded in UTF-8");
}

[[noreturn]] MQL4GREC_DEFINITION void fail_at_time(line_reader const& lines, std::string_view time) {
  lines.fail("'" + core::detail::printable(time) + "': expected a time, a number or a date as 2018-05-03T12:30:00");
}

/// Visits the ratings of a file of records, and returns how many there are.
MQL4GREC_DEFINITION index_t visit_records(line_reader& lines, ratings_layout const& layout,
                                          std::function<void(raw_rating const&)> const& visit) {
  record_reader records(lines, layout.records);
  auto const last = std::max({layout.user, layout.item, layout.time.value_or(0)});
  index_t count = 0;
  if (layout.header) (void)records.next();
  while (true) {
    auto const& fields = records.next();
    if (fields.empty()) return count;
    if (fields.size() <= last)
      lines.fail("has " + std::to_string(fields.size()) + " fields, expected at least " + std::to_string(last + 1) +
                 " (" + layout.columns + ")");
    raw_rating rating{.user = fields[layout.user], .item = fields[layout.item]};
    check_id(lines, rating.user, "user");
    check_id(lines, rating.item, "item");
    if (layout.time) {
      auto const time = parse_time(fields[*layout.time]);
      if (!time) fail_at_time(lines, fields[*layout.time]);
      rating.time = *time;
    }
    visit(rating);
    ++count;
  }
}

/// The same for JSON lines.
MQL4GREC_DEFINITION index_t visit_json_lines(line_reader& lines, std::function<void(raw_rating const&)> const& visit) {
  json_line_parser parser;
  std::string_view line;
  index_t count = 0;
  while (lines.next(line)) {
    if (line.empty()) continue;
    auto const object = parser.parse(lines, line);
    auto const either = [&](std::string_view key, std::string_view other) {
      auto const text = text_member(object, key);
      return text.empty() ? text_member(object, other) : text;
    };
    raw_rating rating{.user = either("user_id", "reviewerID"), .item = either("parent_asin", "asin")};
    check_id(lines, rating.user, "user");
    check_id(lines, rating.item, "item");
    auto time = object["timestamp"];
    if (time.error() != simdjson::SUCCESS) time = object["unixReviewTime"];
    if (time.get(rating.time) != simdjson::SUCCESS) {
      std::string_view text;
      auto const parsed = time.get(text) == simdjson::SUCCESS ? parse_time(text) : std::nullopt;
      if (!parsed) fail_at_time(lines, text);
      rating.time = *parsed;
    }
    visit(rating);
    ++count;
  }
  return count;
}

}  // namespace detail

MQL4GREC_DEFINITION std::string name_of(raw_format format) {
  for (auto const& [known, name] : detail::format_names)
    if (known == format) return name;
  raise("raw_format ", static_cast<int>(format), " has no name");
}

MQL4GREC_DEFINITION raw_format raw_format_of(std::string_view name) {
  for (auto const& [format, known] : detail::format_names)
    if (known == name) return format;
  raise("'", core::detail::printable(name), "': expected auto, amazon2018, amazon2023, movielens, recbole or csv");
}

MQL4GREC_DEFINITION std::optional<double> parse_time(std::string_view text) {
  auto const number = detail::parse_number(text);
  return number ? number : detail::parse_iso_time(text);
}

MQL4GREC_DEFINITION raw_source read_raw_ratings(std::filesystem::path const& path, ratings_options const& options,
                                                std::function<void(raw_rating const&)> const& visit) {
  auto const layout = detail::ratings_layout_of(path, options);
  bool const any = options.format == raw_format::automatic || options.format == raw_format::csv;
  expects_file(any || layout.format == options.format, path, "has the format ", name_of(layout.format), " (",
               layout.columns, "), expected ", name_of(options.format));
  line_reader lines(path, options.reading);
  auto const count = layout.json ? detail::visit_json_lines(lines, visit) : detail::visit_records(lines, layout, visit);
  expects_file(count > 0, path, "contains no ratings");
  return {.path = path,
          .layout = name_of(layout.format) + ", " + layout.columns,
          .bytes = lines.size(),
          .lines = lines.line(),
          .records = count,
          .sha256 = lines.hash()};
}

}  // namespace mql4grec::catalog
