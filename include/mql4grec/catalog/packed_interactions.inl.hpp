#pragma once
// The definitions of catalog/packed_interactions.hpp.
#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "mql4grec/catalog/packed_interactions.hpp"
#include "mql4grec/core/detail/mapped_file.hpp"
#include "mql4grec/core/detail/section.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/files.hpp"

namespace mql4grec::catalog {

namespace detail {

/// The beginning of a packed file. The sections follow in the order of their checksums: items, times, offsets, offsets
/// of keys, keys; without gaps, except that the items are padded to 8 bytes.
using packed_sections = core::detail::section_header<6, 5>;
static_assert(sizeof(packed_sections) == 112);
inline constexpr std::array<char, 8> packed_magic = {'m', 'q', 'l', 'i', 'n', 't', 'e', 'r'};

/// The numbers in it.
struct packed_header {
  std::int64_t users = 0, interactions = 0, item_count = 0, key_bytes = 0, has_times = 0, source_bytes = 0;
  std::array<std::uint64_t, 5> sums = {};

  packed_header() = default;
  explicit packed_header(packed_sections const& h) : sums(h.sums) {
    std::tie(users, interactions, item_count, key_bytes, has_times, source_bytes) = std::tuple_cat(h.values);
  }
  packed_sections sections() const {
    packed_sections h{.magic = packed_magic,
                      .values = {users, interactions, item_count, key_bytes, has_times, source_bytes},
                      .sums = sums};
    h.header_sum = h.right_sum();
    return h;
  }
};
inline constexpr index_t most_interactions = index_t{1} << 48;   // sums of sizes don't overflow
inline constexpr index_t most_key_bytes = index_t{1} << 20;      // of one user
inline constexpr index_t most_items_of_user = index_t{1} << 31;  // positions in a history are 32-bit numbers

/// Where the sections of a file begin, and the file ends.
struct packed_layout {
  index_t items, times, offsets, key_offsets, keys, end;
  explicit packed_layout(packed_header const& h)
      : items(core::detail::section_begin),
        times(items + (h.interactions * 4 + 7) / 8 * 8),
        offsets(times + (h.has_times != 0 ? h.interactions * 8 : 0)),
        key_offsets(offsets + (h.users + 1) * 8),
        keys(key_offsets + (h.users + 1) * 8),
        end(keys + h.key_bytes) {}
};

MQL4GREC_DEFINITION packed_summary summary_of(packed_header const& h) {
  return {.users = h.users,
          .interactions = h.interactions,
          .item_count = h.item_count,
          .bytes = packed_layout(h).end,
          .source_bytes = h.source_bytes,
          .has_times = h.has_times != 0};
}

/// The header of a file with these bytes.
MQL4GREC_DEFINITION packed_header checked_header(std::filesystem::path const& path, std::span<std::byte const> bytes) {
  packed_header const h(
      core::detail::read_section_header(path, bytes, packed_sections{.magic = packed_magic}, "packed interactions"));
  auto const within = [&](char const* what, std::int64_t value, std::int64_t least, std::int64_t most) {
    expects_file(value >= least && value <= most, path, "header: ", value, " ", what, ", expected ", least, " to ",
                 most);
  };
  within("users", h.users, 1, item_number_limit);
  within("interactions", h.interactions, 1, most_interactions);
  within("items", h.item_count, 1, item_number_limit);
  within("bytes of keys", h.key_bytes, 0, most_interactions);
  within("as the mark of times", h.has_times, 0, 1);
  within("bytes of sources", h.source_bytes, 0, most_interactions * 64);
  index_t const end = packed_layout(h).end;
  expects_file(std::ssize(bytes) == end, path, "has ", bytes.size(), " bytes, expected ", end, " for ", h.users,
               " users and ", h.interactions, " interactions");
  return h;
}

/// A mapped packed file while it is checked.
class packed_reader {
 public:
  explicit packed_reader(std::filesystem::path const& path)
      : file_(std::make_shared<core::detail::mapped_file>(path)),
        header_(checked_header(path, file_->bytes())),
        at_(header_) {}

  timed_interactions checked() const {
    timed_interactions read;
    auto& data = read.data;
    data.items = section<item_id>(at_.items, header_.interactions);
    data.offsets = section<index_t>(at_.offsets, header_.users + 1);
    data.item_count = header_.item_count;
    auto const key_offsets = section<index_t>(at_.key_offsets, header_.users + 1);
    data.user_keys = string_column(section<char>(at_.keys, header_.key_bytes), key_offsets);
    if (header_.has_times != 0) read.times = section<double>(at_.times, header_.interactions);
    check_sum(2, "offsets of users", data.offsets);
    check_offsets("user", data.offsets, header_.interactions);
    for (std::size_t u = 1; u < data.offsets.size(); ++u)
      expects_file(data.offsets[u] - data.offsets[u - 1] < most_items_of_user, path(), "user ", u - 1, " has ",
                   data.offsets[u] - data.offsets[u - 1], " items, expected fewer than ", most_items_of_user);
    check_sum(3, "offsets of keys", key_offsets);
    check_offsets("key of user", key_offsets, header_.key_bytes);
    check_sum(4, "keys", section<char>(at_.keys, header_.key_bytes));
    check_items(data);
    if (header_.has_times != 0) check_times(read);
    return read;
  }

 private:
  template <class T>
  column<T> section(index_t begin, index_t count) const {
    return {std::span(reinterpret_cast<T const*>(file_->bytes().data() + begin), to_size(count)), file_};
  }
  std::filesystem::path const& path() const { return file_->path(); }

  template <class T, class Done>
  void check_sum(std::size_t which, char const* what, column<T> const& entries, Done&& done) const {
    file_->expect_unchanged();
    auto const sum = core::detail::section_checksum(std::as_bytes(std::span(entries)), done);
    expects_file(sum == header_.sums[which], path(), "the ", what, " are damaged: their checksum differs");
  }
  template <class T>
  void check_sum(std::size_t which, char const* what, column<T> const& entries) const {
    check_sum(which, what, entries, [](auto) {});
  }
  void check_offsets(char const* what, column<index_t> const& offsets, index_t end) const {
    expects_file(offsets.front() == 0, path(), what, " 0 begins at ", offsets.front(), ", expected 0");
    for (std::size_t u = 1; u < offsets.size(); ++u)
      expects_file(offsets[u - 1] <= offsets[u], path(), what, " ", u - 1, " ends at ", offsets[u],
                   ", before it begins");
    expects_file(offsets.back() == end, path(), "the last ", what, " ends at ", offsets.back(), ", expected ", end);
  }
  void check_items(interactions const& data) const {
    std::uint32_t largest = 0;  // as unsigned numbers, negative ones are the largest
    check_sum(0, "items", data.items, [&](std::span<std::byte const> block) {
      std::span const items(reinterpret_cast<std::uint32_t const*>(block.data()), block.size() / 4);
      for (auto const item : items) largest = std::max(largest, item);
    });
    if (std::cmp_less(largest, data.item_count)) return;
    for (std::size_t i = 0; i < data.items.size(); ++i)
      expects_file(index(data.items[i]) >= 0 && index(data.items[i]) < data.item_count, path(), "interaction ", i,
                   ": item ", index(data.items[i]), ", expected 0 to ", data.item_count - 1);
  }
  void check_times(timed_interactions const& read) const {
    check_sum(1, "times", read.times);
    auto const& offsets = read.data.offsets;
    for (std::size_t u = 0; u + 1 < offsets.size(); ++u)
      for (auto i = to_size(offsets[u]); i < to_size(offsets[u + 1]); ++i) {
        expects_file(std::isfinite(read.times[i]), path(), "interaction ", i, ": the time isn't finite");
        expects_file(i == to_size(offsets[u]) || read.times[i - 1] <= read.times[i], path(), "interaction ", i,
                     ": its time is less than that of the one before it, of the same user");
      }
  }

  std::shared_ptr<core::detail::mapped_file> file_;
  packed_header header_;
  packed_layout at_;
};

}  // namespace detail

struct packed_writer::state {
  std::filesystem::path path;
  packed_options options;
  atomic_file file;
  core::detail::spool_file spooled_times, spooled_offsets, spooled_key_offsets, spooled_keys;
  using section = core::detail::block_writer<core::detail::spool_file>;
  core::detail::block_writer<atomic_file> items{file};
  section times{spooled_times}, offsets{spooled_offsets}, key_offsets{spooled_key_offsets}, keys{spooled_keys};
  std::vector<std::pair<std::uint32_t, std::uint32_t>> key_hashes;  // (hash, user)
  packed_summary written;
  index_t key_bytes = 0;

  state(std::filesystem::path p, packed_options o)
      : path(std::move(p)),
        options(o),
        file(path),
        spooled_times(path),
        spooled_offsets(path),
        spooled_key_offsets(path),
        spooled_keys(path) {
    std::array<std::byte, to_size(core::detail::section_begin)> const room = {};
    file.write(room.data(), room.size());
    offset(offsets, 0);
    offset(key_offsets, 0);
  }

  static void offset(section& to, index_t value) { to.append(std::span<index_t const>(&value, 1)); }

  /// A key that has been written.
  std::string key_of(std::uint32_t user) const {
    std::array<index_t, 2> place = {};
    spooled_key_offsets.read(index_t{user} * 8, place.data(), sizeof place);
    std::string key(to_size(place[1] - place[0]), '\0');
    spooled_keys.read(place[0], key.data(), std::ssize(key));
    return key;
  }
  /// Throws when two users have the same key. Keys with equal hashes are compared.
  void check_keys() {
    std::ranges::sort(key_hashes);
    for (std::size_t begin = 0, end = 0; begin < key_hashes.size(); begin = end) {
      while (end < key_hashes.size() && key_hashes[end].first == key_hashes[begin].first) ++end;
      if (end - begin == 1) continue;
      std::vector<std::pair<std::string, std::uint32_t>> same;
      for (auto i = begin; i < end; ++i) same.emplace_back(key_of(key_hashes[i].second), key_hashes[i].second);
      std::ranges::sort(same);
      for (std::size_t i = 1; i < same.size(); ++i)
        expects(same[i - 1].first != same[i].first, "user '", core::detail::printable(same[i].first),
                "' appears twice, as users ", same[i - 1].second, " and ", same[i].second);
    }
  }
};

MQL4GREC_DEFINITION packed_writer::packed_writer(std::filesystem::path path, packed_options options)
    : state_(std::make_unique<state>(std::move(path), options)) {
  static_assert(sizeof(item_id) == 4 && sizeof(index_t) == 8);
  expects(options.item_count >= 0 && options.item_count <= item_number_limit, "packed interactions of ",
          options.item_count, " items, expected at most ", item_number_limit);
}
MQL4GREC_DEFINITION packed_writer::~packed_writer() = default;
MQL4GREC_DEFINITION packed_summary const& packed_writer::written() const { return state_->written; }

MQL4GREC_DEFINITION void packed_writer::add_user(std::string_view key, std::span<item_id const> items,
                                                 std::span<double const> times) {
  auto& s = *state_;
  auto const name = [&] { return "user '" + core::detail::printable(key) + "'"; };
  auto largest = s.written.item_count;
  for (auto const item : items) {
    if (index(item) < 0 || index(item) >= item_number_limit)
      raise(name(), ": item ", index(item), ", expected 0 to ", item_number_limit - 1);
    largest = std::max(largest, index(item) + 1);
  }
  auto const expected = s.options.times == packed_times::present ? items.size() : 0;
  if (times.size() != expected) raise(name(), ": ", times.size(), " times, expected ", expected);
  if (std::ssize(items) >= detail::most_items_of_user)
    raise(name(), ": ", items.size(), " items, expected fewer than ", detail::most_items_of_user);
  for (std::size_t i = 0; i < times.size(); ++i)
    if (!std::isfinite(times[i]) || (i > 0 && times[i - 1] > times[i]))
      raise(name(), ", place ", i, ": ", times[i], " isn't finite or less than the time before it");
  if (std::ssize(key) > detail::most_key_bytes)
    raise(name(), ": a key of ", key.size(), " bytes, expected at most ", detail::most_key_bytes);
  expects(s.written.users < item_number_limit - 1 && s.written.interactions < detail::most_interactions,
          "packed interactions: more than ", item_number_limit - 1, " users, or too many interactions");
  s.items.append(items);
  s.times.append(times);
  s.keys.append(std::span(key));
  auto const hash = checksum(std::as_bytes(std::span(key)));
  s.key_hashes.emplace_back(static_cast<std::uint32_t>(hash >> 32), static_cast<std::uint32_t>(s.written.users));
  s.written.interactions += std::ssize(items);
  s.written.item_count = largest;
  s.key_bytes += std::ssize(key);
  ++s.written.users;
  state::offset(s.offsets, s.written.interactions);
  state::offset(s.key_offsets, s.key_bytes);
}

MQL4GREC_DEFINITION packed_summary packed_writer::commit() {
  auto& s = *state_;
  expects(s.written.users > 0, "packed interactions: no users, expected at least one");
  expects(s.written.interactions > 0, "packed interactions: no items, expected at least one");
  for (auto* section : {&s.times, &s.offsets, &s.key_offsets, &s.keys}) section->finish();
  s.check_keys();
  s.items.finish();
  std::uint32_t const padding = 0;
  if (s.written.interactions % 2 == 1) s.file.write(&padding, sizeof padding);
  for (auto const* spooled : {&s.spooled_times, &s.spooled_offsets, &s.spooled_key_offsets, &s.spooled_keys})
    spooled->append_to(s.file);
  detail::packed_header header;
  header.users = s.written.users;
  header.interactions = s.written.interactions;
  header.item_count = std::max(s.written.item_count, s.options.item_count);
  header.key_bytes = s.key_bytes;
  header.has_times = s.options.times == packed_times::present ? 1 : 0;
  header.source_bytes = s.options.source_bytes;
  header.sums = {s.items.sum(), s.times.sum(), s.offsets.sum(), s.key_offsets.sum(), s.keys.sum()};
  auto const sections = header.sections();
  s.file.write_at(0, &sections, sizeof sections);
  s.file.commit();
  return detail::summary_of(header);
}

MQL4GREC_DEFINITION timed_interactions read_packed_interactions(std::filesystem::path const& path) {
  return detail::packed_reader(path).checked();
}

MQL4GREC_DEFINITION packed_summary read_packed_summary(std::filesystem::path const& path) {
  core::detail::mapped_file const file(path);
  return detail::summary_of(detail::checked_header(path, file.bytes()));
}

}  // namespace mql4grec::catalog
