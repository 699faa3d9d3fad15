#pragma once
// The definitions of catalog/interaction_files.hpp.
#include <algorithm>
#include <optional>
#include <string>
#include <unordered_set>
#include <utility>

#include "mql4grec/catalog/detail/json_stream.hpp"
#include "mql4grec/catalog/interaction_files.hpp"
#include "mql4grec/catalog/read.hpp"
#include "mql4grec/core/detail/whole_number.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec::catalog {

namespace detail {

/// A part's number and the number of parts in `<prefix>00001-of-00008.jsonl`.
MQL4GREC_DEFINITION std::optional<std::pair<index_t, index_t>> part_of(std::string_view name, std::string_view prefix) {
  constexpr std::string_view ending = ".jsonl", between = "-of-";
  if (!name.starts_with(prefix) || !name.ends_with(ending)) return std::nullopt;
  name = name.substr(prefix.size(), name.size() - prefix.size() - std::min(name.size() - prefix.size(), ending.size()));
  auto const at = name.find(between);
  if (at == name.npos) return std::nullopt;
  auto const number = [](std::string_view text) {
    return text.size() < 10 ? core::detail::whole_number(text).value_or(-1) : -1;
  };
  std::pair const part(number(name.substr(0, at)), number(name.substr(at + between.size())));
  return part.first >= 0 && part.second >= 0 ? std::optional(part) : std::nullopt;
}

/// The parts in a directory, in their order. All of them must exist.
MQL4GREC_DEFINITION std::vector<std::filesystem::path> parts_of(dataset_paths const& paths) {
  std::vector<std::pair<std::pair<index_t, index_t>, std::filesystem::path>> parts;
  std::error_code code;
  auto const prefix = paths.name() + ".inter-";
  for (std::filesystem::directory_iterator entry(paths.directory(), code), end; !code && entry != end;
       entry.increment(code))
    if (auto const part = part_of(entry->path().filename().string(), prefix)) parts.emplace_back(*part, entry->path());
  std::ranges::sort(parts);
  std::vector<std::filesystem::path> files;
  for (auto const& [part, path] : parts) {
    auto const expected = std::pair(std::ssize(files) + 1, parts.front().first.second);
    expects_file(part == expected, path, "is part ", part.first, " of ", part.second, ", expected part ",
                 expected.first, " of ", expected.second, " next");
    files.push_back(path);
  }
  if (!parts.empty())
    expects_file(std::ssize(files) == parts.front().first.second, files.back(), "is the last part, expected ",
                 parts.front().first.second, " parts");
  return files;
}

/// A user of a text.
struct user_record {
  std::string key;
  std::vector<item_id> items;
  std::vector<double> times;
};

/// The users of `{"user": [item, …], …}`, and of the times beside it.
class object_users {
 public:
  object_users(std::filesystem::path const& items, std::optional<std::filesystem::path> const& times) : items_(items) {
    if (times) times_.emplace(*times);
  }
  bool has_times() const { return times_.has_value(); }
  index_t position() const { return items_.position() + (times_ ? times_->position() : 0); }

  bool next(user_record& user) {
    bool const more = next_key(items_, user.key, "an object {\"user\": [item, …], …}");
    if (times_ && next_key(*times_, key_, "an object {\"user\": [time, …], …}") != more)
      times_->fail(more ? "ends before user '" + core::detail::printable(user.key) + "' of the interactions"
                        : "user '" + core::detail::printable(key_) + "' has no interactions");
    first_ = false;
    if (!more) return false;
    if (times_ && key_ != user.key)
      times_->fail("user '" + core::detail::printable(key_) + "', expected '" + core::detail::printable(user.key) +
                   "' as in the interactions: to be packed, both must have the same order");
    read_items(items_, user.key, user.items);
    user.times.clear();
    if (!times_) return true;
    read_times(*times_, user.key, user.times);
    if (user.times.size() != user.items.size())
      times_->fail("user '" + core::detail::printable(user.key) + "': " + std::to_string(user.times.size()) +
                   " times, expected " + std::to_string(user.items.size()) + ", one for each item");
    return true;
  }

 private:
  bool next_key(json_stream& from, std::string& key, char const* whole) const {
    if (first_) {
      from.expect('{', whole);
      if (from.skip('}')) return end(from);
    } else if (!from.skip(',')) {
      from.expect('}', "',' or '}'");
      return end(from);
    }
    from.string(key, "the key of a user");
    from.expect(':', "':'");
    return true;
  }
  static bool end(json_stream& from) {
    if (!from.finished()) from.fail("expected the end of the text, found " + from.found());
    return false;
  }

  json_stream items_;
  std::optional<json_stream> times_;
  bool first_ = true;
  std::string key_;
};

/// The users of lines `{"user": …, "items": [item, …], "times": [time, …]}` in several files.
class line_users {
 public:
  explicit line_users(std::vector<std::filesystem::path> files) : files_(std::move(files)) {}
  /// Whether the lines have times; after the first call of next().
  bool has_times() const { return has_times_.value_or(false); }
  index_t position() const { return before_ + (file_ ? file_->position() : 0); }
  /// Throws file_error at the user that was read last.
  [[noreturn]] void fail(std::string const& what) const { file_->fail(what); }

  bool next(user_record& user) {
    while (!file_ || file_->finished()) {
      if (file_) before_ += file_->size();
      file_.reset();
      if (next_ == files_.size()) return false;
      file_.emplace(files_[next_++]);
    }
    read(*file_, user);
    return true;
  }

 private:
  void read(json_stream& from, user_record& user) {
    constexpr char const* whole = "a line {\"user\": …, \"items\": [item, …]}, with or without \"times\": [time, …]";
    bool has_key = false, has_items = false, has_times = false;
    from.expect('{', whole);
    do {
      from.string(member_, whole);
      from.expect(':', "':'");
      bool& seen = member_ == "user" ? has_key : member_ == "items" ? has_items : has_times;
      if (seen || (&seen == &has_times && member_ != "times"))
        from.fail("member '" + core::detail::printable(member_) + "', expected each of user, items and times once");
      seen = true;
      if (member_ == "user")
        read_key(from, user.key);
      else if (member_ == "items")
        read_items(from, has_key ? user.key : "", user.items);
      else
        read_times(from, has_key ? user.key : "", user.times);
    } while (from.skip(','));
    from.expect('}', "',' or '}'");
    auto const name = "user '" + core::detail::printable(has_key ? user.key : "") + "'";
    if (!has_key || !has_items) from.fail(name + ": expected the members user and items");
    if (!has_times) user.times.clear();
    if (has_times_.value_or(has_times) != has_times)
      from.fail(name +
                (has_times ? " has times, but earlier users have none" : " has no times, but earlier users have"));
    has_times_ = has_times;
    if (has_times && user.times.size() != user.items.size())
      from.fail(name + ": " + std::to_string(user.times.size()) + " times, expected " +
                std::to_string(user.items.size()) + ", one for each item");
  }
  /// A string, or an integer that isn't negative.
  static void read_key(json_stream& from, std::string& key) {
    if (from.next_is('"')) return from.string(key, "the key of a user");
    key = from.word();
    bool const digits = !key.empty() && key.find_first_not_of("0123456789") == key.npos;
    if (!digits)
      from.fail("expected the key of a user, a string or an integer, found " +
                (key.empty() ? from.found() : core::detail::printable(key)));
  }

  std::vector<std::filesystem::path> files_;
  std::size_t next_ = 0;
  std::optional<json_stream> file_;
  index_t before_ = 0;
  std::optional<bool> has_times_;
  std::string member_;
};

/// Calls visit(user) for each user of a source. `where` is for the error when there is none.
template <class Source, class Visit>
void each_user(Source& source, std::filesystem::path const& where, Visit&& visit) {
  user_record user;
  index_t users = 0, items = 0;
  for (; source.next(user); ++users) {
    visit(user);
    items += std::ssize(user.items);
  }
  expects_file(users > 0, where, "holds no users, expected at least one");
  expects_file(items > 0, where, "holds no items, expected at least one");
}

template <class Source>
packed_summary pack(Source& source, dataset_paths const& paths, interaction_files const& from,
                    std::function<void(pack_progress const&)> const& progress) {
  std::optional<packed_writer> to;
  index_t reported = -1;
  auto const report = [&](index_t users, index_t interactions) {
    if (!progress || source.position() == reported) return;
    reported = source.position();
    progress({.bytes = reported, .size = from.bytes, .users = users, .interactions = interactions});
  };
  each_user(source, from.files.front(), [&](user_record const& user) {
    if (!to)
      to.emplace(paths.packed(),
                 packed_options{.times = source.has_times() ? packed_times::present : packed_times::absent,
                                .source_bytes = from.bytes});
    to->add_user(user.key, user.items, user.times);
    if (source.position() - reported > (1 << 20)) report(to->written().users, to->written().interactions);
  });
  expects_file(source.position() == from.bytes, from.files.front(), "and what belongs to it had ", from.bytes,
               " bytes, and have changed while they were read");
  try {
    auto const made = to->commit();
    report(made.users, made.interactions);
    return made;
  } catch (file_error const&) {
    throw;
  } catch (error const& e) {  // two users with the same key
    raise<file_error>(from.files.front().string(), ": ", e.what());
  }
}

MQL4GREC_DEFINITION std::optional<std::filesystem::path> times_beside(dataset_paths const& paths) {
  return std::filesystem::exists(paths.times()) ? std::optional(paths.times()) : std::nullopt;
}

}  // namespace detail

MQL4GREC_DEFINITION interaction_files interaction_texts(dataset_paths const& paths) {
  interaction_files found;
  auto const add = [&](std::vector<std::filesystem::path> files, interaction_form form) {
    if (files.empty()) return;
    if (!found.files.empty())
      raise<file_error>(files.front().string(), ": and ", found.files.front().filename().string(),
                        " both hold interactions, expected one of them");
    found.files = std::move(files);
    found.form = form;
  };
  auto const one = [](std::filesystem::path const& path) {
    return std::filesystem::exists(path) ? std::vector{path} : std::vector<std::filesystem::path>();
  };
  add(one(paths.interactions()), interaction_form::json);
  add(one(paths.interaction_lines()), interaction_form::json_lines);
  add(detail::parts_of(paths), interaction_form::json_lines);
  auto const size = [](std::filesystem::path const& path) {
    std::error_code code;
    auto const bytes = std::filesystem::file_size(path, code);
    return code ? 0 : static_cast<index_t>(bytes);
  };
  for (auto const& path : found.files) found.bytes += size(path);
  if (found.form == interaction_form::json) found.bytes += size(paths.times());
  return found;
}

MQL4GREC_DEFINITION interaction_files find_interactions(dataset_paths const& paths) {
  auto texts = interaction_texts(paths);
  if (!std::filesystem::exists(paths.packed())) return texts;
  auto const packed = read_packed_summary(paths.packed());
  if (texts.form != interaction_form::none && packed.source_bytes > 0)
    expects_file(texts.bytes == packed.source_bytes, paths.packed(), "was made of ", packed.source_bytes,
                 " bytes of interactions, but ", texts.files.front().filename().string(),
                 " and what belongs to it have ", texts.bytes, "; pack them again or remove one of the two");
  return {.form = interaction_form::packed, .files = {paths.packed()}, .bytes = packed.bytes};
}

MQL4GREC_DEFINITION interactions read_interactions(dataset_paths const& paths) {
  auto const found = find_interactions(paths);
  if (found.form == interaction_form::packed) return read_packed_interactions(paths.packed()).data;
  if (found.form != interaction_form::json_lines) return read_interactions(paths.interactions());
  interactions data;
  detail::line_users users(found.files);
  std::unordered_set<std::string> keys;
  detail::each_user(users, found.files.front(), [&](detail::user_record const& user) {
    if (!keys.insert(user.key).second) users.fail("user '" + core::detail::printable(user.key) + "' appears twice");
    data.add_user(user.key, user.items);
  });
  return data;
}

MQL4GREC_DEFINITION column<double> read_times(dataset_paths const& paths, interactions const& data) {
  auto const found = find_interactions(paths);
  if (found.form == interaction_form::packed) {
    auto read = read_packed_interactions(paths.packed());
    expects_file(!read.times.empty(), paths.packed(), "has no times; pack the interactions with times");
    expects_file(read.data.offsets == data.offsets, paths.packed(), "has other users than the dataset");
    return std::move(read.times);
  }
  if (found.form != interaction_form::json_lines) {
    expects_file(std::filesystem::exists(paths.times()), paths.times(),
                 "is missing; a split by time needs the times of all interactions, which prepare writes");
    return read_times(paths.times(), data);
  }
  std::vector<double> times;
  detail::line_users users(found.files);
  detail::each_user(users, found.files.front(), [&](detail::user_record const& user) {
    times.insert(times.end(), user.times.begin(), user.times.end());
  });
  expects_file(users.has_times(), found.files.front(),
               "has no times; a split by time needs \"times\": [time, …] in every line");
  expects_file(times.size() == data.items.size(), found.files.front(), "has other users than the dataset");
  return times;
}

MQL4GREC_DEFINITION packed_summary pack_interactions(dataset_paths const& paths,
                                                     std::function<void(pack_progress const&)> const& progress) {
  auto const texts = interaction_texts(paths);
  expects_file(texts.form != interaction_form::none, paths.interactions(), "is missing, and so are ",
               paths.interaction_lines().filename().string(), " and its parts");
  if (texts.form == interaction_form::json) {
    detail::object_users users(texts.files.front(), detail::times_beside(paths));
    return detail::pack(users, paths, texts, progress);
  }
  detail::line_users users(texts.files);
  return detail::pack(users, paths, texts, progress);
}

}  // namespace mql4grec::catalog
