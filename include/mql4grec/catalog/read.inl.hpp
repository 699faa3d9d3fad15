#pragma once
// The definitions of catalog/read.hpp.
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>
#include <vector>

#include "mql4grec/catalog/read.hpp"
#include "mql4grec/core/detail/plain_json.hpp"
#include "mql4grec/core/detail/whole_number.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"

namespace mql4grec::catalog {

namespace detail {

/// The item number in a JSON value. `at` is the position in the user's list, for the error message.
MQL4GREC_DEFINITION item_id item_of(json const& value, std::filesystem::path const& path, std::string const& user,
                                    std::size_t at) {
  bool const fits = value.is_number_unsigned() && value.get<std::uint64_t>() < std::uint64_t{item_number_limit};
  if (!fits)
    raise<file_error>(path.string(), ": user '", core::detail::printable(user), "', place ", at,
                      ": expected an item number from 0 to ", item_number_limit - 1, ", found ",
                      core::detail::shown(value));
  return static_cast<item_id>(value.get<std::int32_t>());
}

/// The text of a description's field: a string, an empty text for null, or a list of such values joined by `between`.
/// Lists may be nested up to three deep, as some categories are. Returns nothing for any other value.
MQL4GREC_DEFINITION std::optional<std::string> text_of(json const& value, char const* between, int depth = 0) {
  if (value.is_null()) return "";
  if (value.is_string()) return value.get<std::string>();
  if (!value.is_array() || depth > 2) return std::nullopt;
  std::string text;
  for (auto const& entry : value) {
    auto const part = text_of(entry, between, depth + 1);
    if (!part) return std::nullopt;
    if (!text.empty() && !part->empty()) text += between;
    text += *part;
  }
  return text;
}

/// The four fields of one item; all are empty for null.
MQL4GREC_DEFINITION item_description description_of(json const& value, std::filesystem::path const& path,
                                                    std::string const& item) {
  if (value.is_null()) return {};
  expects_file(value.is_object(), path, "item ", item, ": expected an object, found a ", value.type_name());
  auto const field = [&](char const* name, char const* between) {
    auto const found = value.find(name);
    auto const text = found == value.end() ? "" : text_of(*found, between);
    expects_file(text.has_value(), path, "item ", item, ": expected a text '", name, "', a list of texts or null");
    return *text;
  };
  return {field("title", " "), field("description", " "), field("brand", ","), field("categories", ",")};
}

/// The interactions in a text that plain_json can read and in which no user appears twice.
MQL4GREC_DEFINITION std::optional<interactions> plain_interactions(std::string_view text) {
  interactions data;
  std::unordered_set<std::string_view> users;
  std::vector<item_id> items;
  core::detail::plain_json from(text);
  auto const item = [&] {
    auto const number = from.number(item_number_limit);
    if (number) items.push_back(static_cast<item_id>(*number));
    return number.has_value();
  };
  bool const read = from.object([&](std::string_view user) {
    items.clear();
    if (!users.insert(user).second || !from.list(item)) return false;
    data.add_user(user, items);
    return true;
  });
  return read ? std::optional(std::move(data)) : std::nullopt;
}

/// The interactions in any valid text.
MQL4GREC_DEFINITION interactions parse_interactions(std::string text, std::filesystem::path const& path) {
  interactions data;
  std::vector<item_id> items;
  auto const add = [&](std::string const& user, json const& value) {
    if (!value.is_array())
      raise<file_error>(path.string(), ": user '", core::detail::printable(user),
                        "': expected a list of items, found a ", value.type_name());
    items.clear();
    for (auto const& item : value) items.push_back(item_of(item, path, user, items.size()));
    data.add_user(user, items);
  };
  core::detail::for_each_member(std::move(text), path, "an object {\"user\": [item, …], …}", add);
  return data;
}

/// Writes `{"user": [entry, …], …}`, one user per line; text_of(i) is the text of interaction i.
template <class TextOf>
void write_lists(std::filesystem::path const& path, interactions const& data, TextOf const& text_of) {
  std::string text = "{";
  for (std::size_t u = 0; u + 1 < data.offsets.size(); ++u) {
    text += (u == 0 ? "\n" : ",\n") + json(data.user_keys.at(u)).dump() + ": [";
    for (auto i = data.offsets[u]; i < data.offsets[u + 1]; ++i)
      text += (i == data.offsets[u] ? "" : ", ") + text_of(to_size(i));
    text += "]";
  }
  write_file(path, text + "\n}\n");
}

}  // namespace detail

MQL4GREC_DEFINITION interactions read_interactions(std::filesystem::path const& path) {
  auto text = read_file(path);
  auto plain = detail::plain_interactions(text);
  auto data = plain ? *std::move(plain) : detail::parse_interactions(std::move(text), path);
  expects_file(data.users() > 0, path, "holds no users, expected at least one");
  expects_file(data.item_count > 0, path, "holds no items, expected at least one");
  return data;
}

MQL4GREC_DEFINITION void write_interactions(std::filesystem::path const& path, interactions const& data) {
  detail::write_lists(path, data, [&](std::size_t i) { return std::to_string(index(data.items[i])); });
}

MQL4GREC_DEFINITION std::vector<double> read_times(std::filesystem::path const& path, interactions const& data) {
  std::unordered_map<std::string_view, index_t> users;
  for (index_t u = 0; u < data.users(); ++u) users.emplace(data.user_keys.at(to_size(u)), u);
  std::vector<double> times(data.items.size());
  std::vector<bool> seen(to_size(data.users()), false);
  auto const add = [&](std::string const& user, json const& value) {
    auto const found = users.find(user);
    if (found == users.end())
      raise<file_error>(path.string(), ": user '", core::detail::printable(user), "' has no interactions");
    auto const n = data.of(user_id(found->second)).size();
    if (!value.is_array() || value.size() != n)
      raise<file_error>(path.string(), ": user '", core::detail::printable(user), "': expected a list of ", n,
                        " times, one for each item, found ",
                        value.is_array() ? std::to_string(value.size()) : "a " + std::string(value.type_name()));
    double* at = times.data() + data.offsets[to_size(found->second)];
    for (std::size_t i = 0; i < n; ++i, ++at) {
      *at = value[i].is_number() ? value[i].get<double>() : std::nan("");
      if (!std::isfinite(*at))
        raise<file_error>(path.string(), ": user '", core::detail::printable(user), "', place ", i,
                          ": expected a time, found ", core::detail::shown(value[i]));
      if (i > 0 && at[-1] > *at)
        raise<file_error>(path.string(), ": user '", core::detail::printable(user), "', place ", i, ": ", *at,
                          " is less than the time of the item before it");
    }
    seen[to_size(found->second)] = true;
  };
  core::detail::for_each_member(read_file(path), path, "an object {\"user\": [time, …], …}", add);
  auto const missing = std::ranges::find(seen, false) - seen.begin();
  if (missing < std::ssize(seen))
    raise<file_error>(path.string(), ": user '", core::detail::printable(data.user_keys[to_size(missing)]),
                      "' of the interactions is missing");
  return times;
}

MQL4GREC_DEFINITION std::string time_text(double time) {
  char text[400];  // the longest value has 309 digits before the point, the smallest ones have as many after it
  auto const end = std::to_chars(text, text + sizeof text, time, std::chars_format::fixed).ptr;
  return {text, end};
}

MQL4GREC_DEFINITION void write_times(std::filesystem::path const& path, interactions const& data,
                                     std::span<double const> times) {
  expects(times.size() == data.items.size(), "times of ", times.size(), " interactions, but there are ",
          data.items.size());
  detail::write_lists(path, data, [&](std::size_t i) {
    expects(std::isfinite(times[i]), "the time of interaction ", i, " isn't finite");
    return time_text(times[i]);
  });
}

MQL4GREC_DEFINITION item_descriptions read_items(std::filesystem::path const& path) {
  item_descriptions items;
  auto const add = [&](std::string const& key, json const& value) {
    auto const id = core::detail::whole_number(key);
    expects_file(id.has_value(), path, "key '", core::detail::printable(key), "': expected an item number");
    bool const fresh = items.emplace(item_id(*id), detail::description_of(value, path, key)).second;
    expects_file(fresh, path, "item ", *id, " appears twice");
  };
  core::detail::for_each_member(read_file(path), path, "an object {\"item\": {\"title\", …}, …}", add);
  return items;
}

MQL4GREC_DEFINITION void write_items(std::filesystem::path const& path, item_descriptions const& items) {
  std::string text = "{";
  char const* separator = "\n";
  for (auto const& [item, description] : items) {
    json const entry = {{"title", description.title},
                        {"description", description.description},
                        {"brand", description.brand},
                        {"categories", description.categories}};
    text += separator + ("\"" + std::to_string(index(item)) + "\": ") + entry.dump();
    separator = ",\n";
  }
  write_file(path, text + "\n}\n");
}

MQL4GREC_DEFINITION std::vector<std::string> read_ids(std::filesystem::path const& path) {
  std::string const text = read_text(path);
  std::map<index_t, std::string> ids;
  index_t line_number = 0;
  for (std::size_t begin = 0; begin < text.size();) {
    auto const end = std::min(text.find('\n', begin), text.size());
    std::string_view line(text.data() + begin, end - begin);
    begin = end + 1;
    ++line_number;
    if (line.ends_with('\r')) line.remove_suffix(1);
    auto const tab = line.rfind('\t');
    auto const number = tab == line.npos ? std::nullopt : core::detail::whole_number(line.substr(tab + 1));
    expects_file(number.has_value(), path, "line ", line_number, ": expected 'raw id<TAB>number', found '",
                 core::detail::printable(line), "'");
    auto const [at, fresh] = ids.emplace(*number, line.substr(0, tab));
    expects_file(fresh, path, "line ", line_number, ": number ", *number, " was given to '",
                 core::detail::printable(at->second), "' before");
  }
  std::vector<std::string> out;
  for (auto& [number, id] : ids) {
    expects_file(number == std::ssize(out), path, "no line has the number ", out.size(), ", expected all up to ",
                 ids.rbegin()->first);
    out.push_back(std::move(id));
  }
  return out;
}

MQL4GREC_DEFINITION void write_ids(std::filesystem::path const& path, std::vector<std::string> const& raw_ids) {
  std::string text;
  for (std::size_t i = 0; i < raw_ids.size(); ++i) text += raw_ids[i] + "\t" + std::to_string(i) + "\n";
  write_file(path, text);
}

}  // namespace mql4grec::catalog
