#pragma once
// The definitions of catalog/raw/prepare.hpp.
#include <algorithm>
#include <numeric>
#include <string_view>
#include <utility>

#include "mql4grec/catalog/dataset_paths.hpp"
#include "mql4grec/catalog/item_images.hpp"
#include "mql4grec/catalog/raw/clean_text.hpp"
#include "mql4grec/catalog/raw/prepare.hpp"
#include "mql4grec/catalog/read.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"

namespace mql4grec::catalog {

namespace detail {

/// Dense numbers by first appearance for the users or items that remain, and their raw ids.
struct renumbering {
  std::vector<std::uint32_t> number;  ///< by the number in the rating table; id_table::none for those removed
  std::vector<std::string> raw_ids;

  std::uint32_t operator()(id_table const& table, std::uint32_t old) {
    if (number.empty()) number.assign(table.size(), id_table::none);
    if (number[old] == id_table::none) {
      number[old] = static_cast<std::uint32_t>(raw_ids.size());
      raw_ids.emplace_back(table.key(old));
    }
    return number[old];
  }
};

/// The ratings of all users back to back, each user's sorted by time, ties in the order of the file.
MQL4GREC_DEFINITION std::vector<numbered_rating> chronological(std::vector<numbered_rating> const& ratings,
                                                               std::vector<index_t> const& offsets) {
  std::vector<numbered_rating> sorted(ratings.size());
  auto next = offsets;
  for (auto const& r : ratings) sorted[to_size(next[r.user]++)] = r;
  for (std::size_t u = 0; u + 1 < offsets.size(); ++u)
    std::stable_sort(sorted.begin() + offsets[u], sorted.begin() + offsets[u + 1],
                     [](auto const& a, auto const& b) { return a.time < b.time; });
  return sorted;
}

/// Numbers what remains of the table, and fills everything of a dataset that concerns interactions.
MQL4GREC_DEFINITION void add_interactions(rating_table const& table, prepared_dataset& made) {
  renumbering users, items;
  std::vector<numbered_rating> ratings;
  ratings.reserve(table.ratings().size());
  std::vector<index_t> offsets = {0};
  for (auto const& r : table.ratings()) {
    numbered_rating const dense{
        .user = users(table.users(), r.user), .item = items(table.items(), r.item), .time = r.time};
    offsets.resize(std::max(offsets.size(), std::size_t{dense.user} + 2));
    ++offsets[std::size_t{dense.user} + 1];
    ratings.push_back(dense);
  }
  expects(static_cast<index_t>(items.raw_ids.size()) < item_number_limit &&
              static_cast<index_t>(users.raw_ids.size()) < item_number_limit,
          "more than 2147483646 users or items remain");
  std::partial_sum(offsets.begin(), offsets.end(), offsets.begin());
  ratings = chronological(ratings, offsets);
  auto& data = made.data;
  data.item_count = static_cast<index_t>(items.raw_ids.size());
  auto& all = data.items.own();
  all.reserve(ratings.size());
  made.times.reserve(ratings.size());
  for (auto const& r : ratings) {
    all.push_back(static_cast<item_id>(r.item));
    made.times.push_back(r.time);
  }
  for (std::size_t u = 0; u < users.raw_ids.size(); ++u) data.user_keys.push_back(std::to_string(u));
  data.offsets = std::move(offsets);
  made.user_ids = std::move(users.raw_ids);
  made.item_ids = std::move(items.raw_ids);
}

MQL4GREC_DEFINITION void count_ties(prepared_dataset& made) {
  auto const& offsets = made.data.offsets;
  auto const& times = made.times;
  auto& s = made.statistics;
  for (std::size_t u = 0; u + 1 < offsets.size(); ++u) {
    auto const begin = to_size(offsets[u]), end = to_size(offsets[u + 1]);
    for (auto i = begin; i < end; ++i)
      s.tied_interactions +=
          (i > begin && times[i - 1] == times[i]) || (i + 1 < end && times[i + 1] == times[i]) ? 1 : 0;
    s.tied_test_targets += end - begin >= 3 && times[end - 1] == times[end - 2] ? 1 : 0;
  }
}

MQL4GREC_DEFINITION void add_texts(prepare_options const& options, prepared_dataset& made) {
  id_table ids;
  for (auto const& id : made.item_ids) ids.insert(id);
  auto& s = made.statistics;
  raw_items_options how{.item_column = options.columns.item,
                        .is_needed = [&](std::string_view id) { return ids.find(id) != id_table::none; },
                        .reading = options.reading};
  for (auto const& path : options.metadata) {
    if (options.stage) options.stage("reading " + path.filename().string());
    s.metadata.push_back(read_raw_items(path, how, [&](std::string_view id, item_description&& text) {
      bool const fresh = made.texts.emplace(static_cast<item_id>(ids.find(id)), std::move(text)).second;
      s.repeated_texts += fresh ? 0 : 1;
    }));
  }
  for (auto const& [item, text] : made.texts) {
    s.items_with_title += text.title.empty() ? 0 : 1;
    s.items_with_description += text.description.empty() ? 0 : 1;
  }
  if (options.metadata.empty()) return;
  expects_file(!made.texts.empty(), options.metadata.front(), "contains none of the ", made.item_ids.size(),
               " items of the ratings, the first of which is '", made.item_ids.front(), "'");
  for (std::size_t i = 0; i < made.item_ids.size(); ++i)
    if (!made.texts.contains(static_cast<item_id>(i)) && s.items_without_metadata++ == 0)
      s.first_item_without_metadata = made.item_ids[i];
}

MQL4GREC_DEFINITION void add_images(prepare_options const& options, prepared_dataset& made) {
  if (options.images.empty()) return;
  auto const images = match_images(options.images, {std::ssize(made.item_ids), made.item_ids});
  made.statistics.items_with_image = images.found;
  made.statistics.unmatched_images = images.unmatched;
  made.statistics.first_unmatched_image = images.first_unmatched;
}

MQL4GREC_DEFINITION json sources_json(std::vector<raw_source> const& sources) {
  json list = json::array();
  for (auto const& source : sources)
    list.push_back({{"file", valid_utf8(source.path.filename().string())},
                    {"layout", valid_utf8(source.layout)},
                    {"bytes", source.bytes},
                    {"lines", source.lines},
                    {"records", source.records},
                    {"sha256", source.sha256}});
  return list;
}

/// Writes a file in pieces of about a MiB.
class text_writer {
 public:
  explicit text_writer(std::filesystem::path path) : file_(std::move(path)) {}
  text_writer& operator<<(std::string_view text) {
    buffer_ += text;
    if (buffer_.size() > (1u << 20)) flush();
    return *this;
  }
  void commit() {
    flush();
    file_.commit();
  }

 private:
  void flush() {
    file_.write(buffer_);
    buffer_.clear();
  }
  atomic_file file_;
  std::string buffer_;
};

MQL4GREC_DEFINITION void write_recbole(dataset_paths const& paths, prepared_dataset const& data) {
  auto const file = [&](char const* suffix) { return paths.directory() / (paths.name() + suffix); };
  text_writer ratings(file(".inter"));
  ratings << "user_id:token\titem_id:token\ttimestamp:float\n";
  for (std::size_t u = 0; u < data.user_ids.size(); ++u)
    for (auto i = to_size(data.data.offsets[u]); i < to_size(data.data.offsets[u + 1]); ++i)
      ratings << data.user_ids[u] << "\t" << data.item_ids[to_size(data.data.items[i])] << "\t"
              << time_text(data.times[i]) << "\n";
  ratings.commit();
  text_writer items(file(".item"));
  items << "item_id:token\ttitle:token_seq\tdescription:token_seq\tbrand:token\tcategories:token_seq\n";
  for (std::size_t i = 0; i < data.item_ids.size(); ++i) {
    auto const found = data.texts.find(static_cast<item_id>(i));
    auto const text = found == data.texts.end() ? item_description{} : found->second;
    items << data.item_ids[i] << "\t" << text.title << "\t" << text.description << "\t" << text.brand << "\t"
          << text.categories << "\n";
  }
  items.commit();
}

/// Whether the sets of a file name an item by its number. Those with raw ids alone stay right when numbers change.
MQL4GREC_DEFINITION bool has_item_numbers(std::filesystem::path const& sets) {
  auto const all = read_json(sets);
  return std::any_of(all.begin(), all.end(), [](json const& items) {
    return std::any_of(items.begin(), items.end(), [](json const& item) { return item.is_number(); });
  });
}

/// The first file of a dataset directory that names items by number and isn't written anew; empty if there is none.
MQL4GREC_DEFINITION std::filesystem::path find_file_of_numbers(dataset_paths const& paths,
                                                               prepared_dataset const& data) {
  if (!std::filesystem::is_directory(paths.directory())) return {};
  for (auto const& path : sorted_entries(paths.directory())) {
    auto const name = path.filename().string();
    if (!name.starts_with(paths.name() + ".")) continue;
    auto const kind = std::string_view(name).substr(paths.name().size());
    if ((kind.starts_with(".index_") && kind.ends_with(".json")) ||
        (kind.starts_with(".emb-") && kind.ends_with(".npy")) || kind == ".catalog.packed" ||
        (kind == ".item.json" && data.texts.empty()) || (kind == ".sets.json" && has_item_numbers(path)))
      return path;
  }
  return {};
}

/// Throws file_error when files of the directory would name other items than before.
MQL4GREC_DEFINITION void check_item_numbers(dataset_paths const& paths, prepared_dataset const& data) {
  auto const file = find_file_of_numbers(paths, data);
  if (file.empty()) return;
  auto const ids = paths.item_ids();
  expects_file(std::filesystem::exists(ids) && read_ids(ids) == data.item_ids, file,
               "is about items by number, and the new ", ids.filename().string(),
               " numbers items differently; remove it, or write to another directory");
}

/// A directory inside the one of a dataset, which is created as well. At the end it is removed, and the dataset's too
/// if that is empty. What an earlier process left is removed at the beginning.
class staging_directory {
 public:
  explicit staging_directory(std::filesystem::path const& dataset) : dataset_(dataset) {
    std::error_code ignored;
    make_directory(dataset_);
    std::filesystem::remove_all(root(), ignored);
  }
  staging_directory(staging_directory const&) = delete;
  staging_directory& operator=(staging_directory const&) = delete;
  ~staging_directory() {
    std::error_code ignored;
    std::filesystem::remove_all(root(), ignored);
    std::filesystem::remove(dataset_, ignored);  // fails if anything is in it
  }

  /// A new directory with this name.
  std::filesystem::path make(std::string const& name) const {
    make_directory(root() / name);
    return root() / name;
  }

 private:
  std::filesystem::path root() const { return dataset_ / ".prepare.partial"; }
  std::filesystem::path dataset_;
};

}  // namespace detail

MQL4GREC_DEFINITION prepared_dataset prepare_dataset(prepare_options const& options) {
  expects(!options.ratings.empty(), "prepare_options: no file of ratings");
  auto const stage = [&](std::string const& name) {
    if (options.stage) options.stage(name);
  };
  prepared_dataset made;
  auto& s = made.statistics;
  rating_table table;
  for (auto const& path : options.ratings) {
    stage("reading " + path.filename().string());
    ratings_options const how{.format = options.format, .columns = options.columns, .reading = options.reading};
    s.ratings.push_back(read_raw_ratings(path, how, [&](raw_rating const& rating) { table.add(rating); }));
  }
  s.raw_ratings = table.added();
  s.raw_users = static_cast<index_t>(table.users().size());
  s.raw_items = static_cast<index_t>(table.items().size());
  s.duplicates = table.added() - std::ssize(table.ratings());
  s.core = options.core;
  stage("keeping users with " + std::to_string(options.core.user) + " and items with " +
        std::to_string(options.core.item) + " ratings");
  table.filter(k_core(table.ratings(), options.core));
  expects_file(!table.ratings().empty(), options.ratings.front(), "no rating of ", s.raw_users, " users and ",
               s.raw_items, " items remains when every user must have ", options.core.user, " ratings and every item ",
               options.core.item);
  detail::add_interactions(table, made);
  table = {};
  s.users = made.data.users();
  s.items = made.data.item_count;
  s.interactions = std::ssize(made.data.items);
  detail::count_ties(made);
  detail::add_texts(options, made);
  detail::add_images(options, made);
  return made;
}

MQL4GREC_DEFINITION void write_dataset(std::filesystem::path const& directory, prepared_dataset const& data,
                                       export_format extra) {
  dataset_paths const final_paths(directory);
  detail::check_item_numbers(final_paths, data);
  detail::staging_directory const partial(directory);
  auto const staging = partial.make(final_paths.name());
  dataset_paths const paths(staging);
  auto const file = [&](char const* suffix) { return staging / (paths.name() + suffix); };
  write_ids(paths.user_ids(), data.user_ids);
  write_ids(paths.item_ids(), data.item_ids);
  if (!data.texts.empty()) write_items(paths.items(), data.texts);
  if (extra == export_format::recbole) detail::write_recbole(paths, data);
  write_json(file(".statistics.json"), statistics_json(data.statistics));
  write_times(paths.times(), data.data, data.times);
  write_interactions(paths.interactions(), data.data);
  std::error_code code;
  std::filesystem::remove(final_paths.packed(), code);  // of other interactions
  for (auto const& complete : detail::sorted_entries(staging)) {
    std::filesystem::rename(complete, directory / complete.filename(), code);
    expects_file(!code, directory / complete.filename(), "can't be put in place: ", code.message());
  }
}

MQL4GREC_DEFINITION json statistics_json(dataset_statistics const& s) {
  return {{"users", s.users},
          {"items", s.items},
          {"interactions", s.interactions},
          {"sparsity", s.sparsity()},
          {"mean_length", s.mean_length()},
          {"user_core", s.core.user},
          {"item_core", s.core.item},
          {"raw", {{"users", s.raw_users}, {"items", s.raw_items}, {"ratings", s.raw_ratings}}},
          {"duplicates", s.duplicates},
          {"order", "by time; ties in time by the order of the file; duplicates: the first in the file"},
          {"tied_interactions", s.tied_interactions},
          {"tied_test_targets", s.tied_test_targets},
          {"items_with_title", s.items_with_title},
          {"items_with_description", s.items_with_description},
          {"items_with_image", s.items_with_image},
          {"items_without_metadata", s.items_without_metadata},
          {"first_item_without_metadata", s.first_item_without_metadata},
          {"unmatched_images", s.unmatched_images},
          {"first_unmatched_image", detail::valid_utf8(s.first_unmatched_image)},
          {"repeated_texts", s.repeated_texts},
          {"ratings", detail::sources_json(s.ratings)},
          {"metadata", detail::sources_json(s.metadata)}};
}

}  // namespace mql4grec::catalog
