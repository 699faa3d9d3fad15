#pragma once
// The definitions of search/catalog_log.hpp.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <utility>

#include "mql4grec/core/checksum.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/search/catalog_log.hpp"

namespace mql4grec::search {

namespace detail {

inline constexpr std::string_view log_magic("mql4grec log 1\n\0", 16), snapshot_magic("mql4grec items1\n", 16),
    snapshot_with_sets_magic("mql4grec items2\n", 16), snapshot_of_changes_magic("mql4grec items3\n", 16);
inline constexpr std::uint32_t record_magic = 0x676e6863;  // "chng"

/// Appends the bytes of a value or of an array.
template <class T>
void put(std::string& out, T const& value) {
  out.append(reinterpret_cast<char const*>(&value), sizeof value);
}
template <class T>
void put_all(std::string& out, std::span<T const> values) {
  if (!values.empty()) out.append(reinterpret_cast<char const*>(values.data()), values.size_bytes());
}
inline std::uint64_t checksum_of(std::string_view text, std::uint64_t seed = 0) {
  return checksum(std::as_bytes(std::span(text.data(), text.size())), seed);
}

/// Reads values from a text; fails where it ends.
class byte_reader {
 public:
  explicit byte_reader(std::string_view text) : rest_(text) {}
  template <class T>
  bool get(T& value) {
    if (rest_.size() < sizeof value) return false;
    std::memcpy(&value, rest_.data(), sizeof value);
    rest_.remove_prefix(sizeof value);
    return true;
  }
  template <class T>
  bool get_all(std::vector<T>& values, std::uint64_t count) {
    if (rest_.size() / sizeof(T) < count) return false;
    values.resize(count);
    if (count > 0) std::memcpy(values.data(), rest_.data(), count * sizeof(T));
    rest_.remove_prefix(count * sizeof(T));
    return true;
  }
  std::size_t left() const { return rest_.size(); }

 private:
  std::string_view rest_;
};

/// The first bytes of both files.
inline std::string file_head(std::string_view magic, std::uint64_t fingerprint) {
  std::string head(magic);
  put(head, fingerprint);
  put(head, checksum_of(head));
  return head;
}
inline constexpr std::size_t file_head_bytes = 32;

/// Throws file_error unless a file starts with the head.
inline void check_head(std::filesystem::path const& path, std::string_view content, std::string_view magic,
                       std::uint64_t fingerprint) {
  expects_file(content.size() >= file_head_bytes && content.starts_with(magic), path, "byte 0: expected '",
               magic.substr(0, 14), "'");
  std::uint64_t found = 0, sum = 0;
  std::memcpy(&found, content.data() + 16, 8);
  std::memcpy(&sum, content.data() + 24, 8);
  expects_file(sum == checksum_of(content.substr(0, 24)), path, "byte 0: the file is damaged");
  expects_file(found == fingerprint, path,
               "byte 16: the file belongs to another catalog or to other codes of its items");
}

/// A record of the log: 4 bytes of record_magic, 4 bytes of 0, the length of the payload, the record's number, a
/// checksum of the three and the payload (8 bytes each), and the payload.
struct log_record {
  std::uint64_t number;
  std::string_view payload;
  std::size_t bytes;  // with the 32 bytes before the payload
};
inline constexpr std::size_t record_head_bytes = 32;

inline std::string record_of(std::uint64_t number, std::string_view payload) {
  std::string out;
  put(out, record_magic);
  put(out, std::uint32_t{0});
  put(out, static_cast<std::uint64_t>(payload.size()));
  put(out, number);
  put(out, checksum_of(payload, checksum_of(out)));
  return out.append(payload);
}

/// The record at the beginning of a text; nothing if there is no complete and undamaged one.
inline std::optional<log_record> parse_record(std::string_view text) {
  std::uint32_t magic = 0, zero = 0;
  std::uint64_t length = 0, number = 0, sum = 0;
  byte_reader head(text);
  if (!head.get(magic) || magic != record_magic || !head.get(zero) || !head.get(length) || !head.get(number) ||
      !head.get(sum) || length > head.left())
    return std::nullopt;
  auto const payload = text.substr(record_head_bytes, length);
  if (sum != checksum_of(payload, checksum_of(text.substr(0, 24)))) return std::nullopt;
  return log_record{number, payload, record_head_bytes + length};
}

/// The sets of an item: 0 if they stay as they are, otherwise one more than their number, and their names.
inline void put_sets(std::string& out, std::optional<std::vector<std::string>> const& sets) {
  put(out, static_cast<std::uint32_t>(sets ? sets->size() + 1 : 0));
  if (!sets) return;
  for (auto const& name : *sets) {
    put(out, static_cast<std::uint32_t>(name.size()));
    out.append(name);
  }
}
inline bool get_sets(byte_reader& in, std::optional<std::vector<std::string>>& sets) {
  std::uint32_t count = 0, length = 0;
  if (!in.get(count)) return false;
  if (count == 0) return true;
  sets.emplace();
  std::vector<char> name;
  for (std::uint32_t i = 1; i < count; ++i) {
    if (!in.get(length) || !in.get_all(name, length)) return false;
    sets->emplace_back(name.begin(), name.end());
  }
  return true;
}

/// The payload of changes.
inline std::string payload_of(std::span<catalog_change const* const> changes) {
  std::string payload;
  put(payload, static_cast<std::uint32_t>(changes.size()));
  for (auto const* change : changes) {
    put(payload, change->item);
    put(payload, static_cast<std::uint32_t>(change->sequences.size()));
    for (auto const& tokens : change->sequences) {
      put(payload, static_cast<std::uint32_t>(tokens.size()));
      put_all(payload, std::span<token_t const>(tokens));
    }
  }
  if (std::ranges::any_of(changes, [](auto const* change) { return change->sets.has_value(); }))
    for (auto const* change : changes) put_sets(payload, change->sets);
  return payload;
}

/// The changes of a payload; nothing if it isn't one.
inline std::optional<std::vector<catalog_change>> parse_changes(std::string_view payload) {
  byte_reader in(payload);
  std::uint32_t count = 0;
  if (!in.get(count)) return std::nullopt;
  std::vector<catalog_change> changes;
  for (std::uint32_t i = 0; i < count; ++i) {
    auto& change = changes.emplace_back();
    std::uint32_t modalities = 0, tokens = 0;
    if (!in.get(change.item) || !in.get(modalities)) return std::nullopt;
    for (std::uint32_t m = 0; m < modalities; ++m)
      if (!in.get(tokens) || !in.get_all(change.sequences.emplace_back(), tokens)) return std::nullopt;
  }
  if (in.left() > 0)  // only where a change has sets
    for (auto& change : changes)
      if (!get_sets(in, change.sets)) return std::nullopt;
  return in.left() == 0 ? std::optional(std::move(changes)) : std::nullopt;
}

/// The position of the next undamaged record after `position`; nothing if there is none.
inline std::optional<std::size_t> next_record(std::string_view content, std::size_t position) {
  std::string magic;
  put(magic, record_magic);
  while ((position = content.find(magic, position + 1)) != std::string_view::npos)
    if (parse_record(content.substr(position))) return position;
  return std::nullopt;
}

}  // namespace detail

MQL4GREC_DEFINITION std::uint64_t fingerprint_of(std::span<language::token_table const> tables, std::uint64_t before) {
  auto sum = before;
  for (auto const& table : tables) {
    index_t const shape[] = {static_cast<index_t>(index(table.kind())), table.items(), table.levels()};
    sum = checksum(std::as_bytes(std::span(shape)), sum);
    sum = checksum(std::as_bytes(table.present()), sum);
    sum = checksum(std::as_bytes(table.tokens()), sum);
  }
  return sum;
}

MQL4GREC_DEFINITION catalog_log::catalog_log(std::filesystem::path path, open_options const& options)
    : path_(std::move(path)), fingerprint_(options.fingerprint), lock_(path_) {
  if (!std::filesystem::exists(path_)) write_file(path_, detail::file_head(detail::log_magic, fingerprint_));
  auto const file = read_file(path_);
  std::string_view const content = file;
  detail::check_head(path_, content, detail::log_magic, fingerprint_);
  std::size_t at = detail::file_head_bytes;
  for (std::uint64_t last = 0; at < content.size();) {
    auto const record = detail::parse_record(content.substr(at));
    if (!record) {
      expects_file(!detail::next_record(content, at), path_, "byte ", at, ": the record is damaged");
      break;
    }
    expects_file(record->number > last, path_, "byte ", at, ": record ", record->number, " after record ", last);
    last = record->number;
    auto const changes = detail::parse_changes(record->payload);
    expects_file(changes.has_value(), path_, "byte ", at, ": the record doesn't contain changes");
    if (last > options.after && options.replay) {
      try {
        options.replay(last, *changes);
      } catch (error const& failure) {
        raise<file_error>(path_.string(), ": byte ", at, ": ", failure.what());
      }
    }
    at += record->bytes;
  }
  file_.emplace(path_);
  if (at == content.size()) return;
  file_->cut(static_cast<index_t>(at));
  if (options.report)
    options.report(path_.string() + ": byte " + std::to_string(at) + ": an incomplete record of " +
                   std::to_string(content.size() - at) + " bytes was removed; it is incomplete or damaged");
}

MQL4GREC_DEFINITION void catalog_log::append(std::uint64_t number, std::span<catalog_change const* const> changes) {
  expects_file(file_.has_value(), path_, "can't be written since an earlier error; it has to be read again");
  file_->append(detail::record_of(number, detail::payload_of(changes)));
}

MQL4GREC_DEFINITION void catalog_log::drop_before(index_t position) {
  auto const content = read_file(path_);
  atomic_file next(path_);
  next.write(detail::file_head(detail::log_magic, fingerprint_));
  next.write(std::string_view(content).substr(to_size(position)));
  next.commit();
  file_.reset();  // the old one is no longer under this name
  file_.emplace(path_);
}

namespace detail {

/// The bytes of a file from a position on, fewer if it ends before.
inline std::string bytes_at(int descriptor, std::filesystem::path const& path, std::size_t position, std::size_t size) {
  std::string bytes(size, '\0');
  std::size_t got = 0;
  while (got < size) {
    auto const n = ::pread(descriptor, bytes.data() + got, size - got, static_cast<::off_t>(position + got));
    if (n < 0 && errno == EINTR) continue;
    expects_file(n >= 0, path, "can't be read: ", std::strerror(errno));
    if (n == 0) break;  // it is being cut
    got += static_cast<std::size_t>(n);
  }
  bytes.resize(got);
  return bytes;
}

inline struct ::stat status_of(int descriptor, std::filesystem::path const& path) {
  struct ::stat status {};
  bool const is_known = ::fstat(descriptor, &status) == 0;
  expects_file(is_known, path, "can't be read: ", std::strerror(errno));
  return status;
}

}  // namespace detail

MQL4GREC_DEFINITION catalog_log_reader::~catalog_log_reader() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

/// Throws file_error unless the file that has been read still has the last record.
MQL4GREC_DEFINITION void catalog_log_reader::check_last_record() {
  if (descriptor_ < 0 || position_ == 0) return;
  auto const size = static_cast<std::size_t>(detail::status_of(descriptor_, path_).st_size);
  has_lost_record_ = has_lost_record_ || size < position_ ||
                     detail::bytes_at(descriptor_, path_, last_, last_head_.size()) != last_head_;
  expects_file(!has_lost_record_, path_, "byte ", last_, ": a record that was read has been removed or replaced");
}

MQL4GREC_DEFINITION bool catalog_log_reader::read(
    std::uint64_t after, std::function<void(std::uint64_t, std::span<catalog_change const>)> const& replay) {
  check_last_record();  // also before another file takes the place of this one
  int const opened = ::open(path_.c_str(), O_RDONLY | O_CLOEXEC);
  if (opened < 0 && errno == ENOENT) return true;
  expects_file(opened >= 0, path_, "can't be opened for reading: ", std::strerror(errno));
  int const before = std::exchange(descriptor_, opened);
  if (before >= 0) {
    struct ::stat old {
    }, now{};
    bool const known = ::fstat(before, &old) == 0 && ::fstat(opened, &now) == 0;
    ::close(before);
    if (!known || old.st_ino != now.st_ino || old.st_dev != now.st_dev) {  // it has been replaced
      position_ = last_ = 0;
      last_head_.clear();
    }
  }
  auto const size = static_cast<std::size_t>(detail::status_of(descriptor_, path_).st_size);
  if (size <= position_) return true;
  auto const bytes = detail::bytes_at(descriptor_, path_, position_, size - position_);
  std::string_view rest(bytes);
  if (position_ == 0) {
    detail::check_head(path_, rest, detail::log_magic, fingerprint_);
    last_head_ = rest.substr(0, detail::file_head_bytes);  // until there is a record
    rest.remove_prefix(detail::file_head_bytes);
    position_ = detail::file_head_bytes;
  }
  while (!rest.empty()) {
    auto const record = detail::parse_record(rest);
    if (!record) {  // it may still be written, unless another one follows
      expects_file(!detail::next_record(rest, 0), path_, "byte ", position_, ": the record is damaged");
      break;
    }
    if (record->number > after) {
      if (record->number != after + 1) return false;
      auto const changes = detail::parse_changes(record->payload);
      expects_file(changes.has_value(), path_, "byte ", position_, ": the record doesn't contain changes");
      replay(record->number, *changes);
      after = record->number;
    }
    last_ = position_;
    last_head_ = rest.substr(0, detail::record_head_bytes);
    position_ += record->bytes;
    rest.remove_prefix(record->bytes);
  }
  return true;
}

MQL4GREC_DEFINITION void write_snapshot(std::filesystem::path const& path, std::uint64_t fingerprint,
                                        catalog_snapshot const& snapshot) {
  atomic_file file(path);
  if (snapshot.tables.empty()) {
    std::vector<catalog_change const*> changes;
    for (auto const& change : snapshot.changes) changes.push_back(&change);
    file.write(detail::file_head(detail::snapshot_of_changes_magic, fingerprint));
    file.write(detail::record_of(snapshot.number, detail::payload_of(changes)));
    file.commit();
    return;
  }
  std::uint64_t sum = 0;
  auto const write = [&](std::span<std::byte const> bytes) {
    sum = checksum(bytes, sum);
    file.write(bytes.data(), bytes.size());
  };
  auto const write_text = [&](std::string const& text) { write(std::as_bytes(std::span(text.data(), text.size()))); };
  bool const has_sets = !snapshot.sets.empty();
  write_text(detail::file_head(has_sets ? detail::snapshot_with_sets_magic : detail::snapshot_magic, fingerprint));
  std::string head;
  detail::put(head, snapshot.number);
  detail::put(head, static_cast<std::uint64_t>(snapshot.tables.size()));
  write_text(head);
  for (auto const& table : snapshot.tables) {
    std::uint64_t const shape[] = {static_cast<std::uint64_t>(index(table.kind())),
                                   static_cast<std::uint64_t>(table.items()),
                                   static_cast<std::uint64_t>(table.levels()), table.present().size()};
    write(std::as_bytes(std::span(shape)));
    write(std::as_bytes(table.present()));
    write(std::as_bytes(table.tokens()));
  }
  if (has_sets) {
    std::string text;
    detail::put(text, static_cast<std::uint64_t>(snapshot.sets.size()));
    for (auto const& [item, names] : snapshot.sets) {
      detail::put(text, item);
      detail::put_sets(text, names);
    }
    write_text(text);
  }
  file.write(&sum, sizeof sum);
  file.commit();
}

MQL4GREC_DEFINITION std::optional<catalog_snapshot> read_snapshot(std::filesystem::path const& path,
                                                                  std::uint64_t fingerprint) {
  if (!std::filesystem::exists(path)) return std::nullopt;
  auto const file = read_file(path);
  if (file.starts_with(detail::snapshot_of_changes_magic)) {
    detail::check_head(path, file, detail::snapshot_of_changes_magic, fingerprint);
    auto const rest = std::string_view(file).substr(detail::file_head_bytes);
    auto const record = detail::parse_record(rest);
    auto changes = record ? detail::parse_changes(record->payload) : std::nullopt;
    expects_file(changes && record->bytes == rest.size(), path, "byte ", detail::file_head_bytes,
                 ": the record is damaged");
    return catalog_snapshot{.number = record->number, .tables = {}, .changes = std::move(*changes)};
  }
  bool const has_sets = file.starts_with(detail::snapshot_with_sets_magic);
  detail::check_head(path, file, has_sets ? detail::snapshot_with_sets_magic : detail::snapshot_magic, fingerprint);
  auto const content = std::string_view(file).substr(detail::file_head_bytes);
  std::uint64_t sum = detail::checksum_of(std::string_view(file).substr(0, detail::file_head_bytes));
  detail::byte_reader in(content);
  auto const position = [&] { return file.size() - in.left(); };
  auto const complete = [&](bool read) { expects_file(read, path, "byte ", position(), ": the file is incomplete"); };
  catalog_snapshot out;
  std::uint64_t tables = 0;
  complete(in.get(out.number) && in.get(tables));
  sum = detail::checksum_of(content.substr(0, 16), sum);
  for (std::uint64_t t = 0; t < tables; ++t) {
    std::uint64_t kind = 0, items = 0, levels = 0, present = 0;
    std::vector<item_id> with_tokens;
    std::vector<token_t> tokens;
    auto const begin = position();
    complete(in.get(kind) && in.get(items) && in.get(levels) && in.get(present));
    expects_file(items <= static_cast<std::uint64_t>(item_number_limit) && levels <= 1 << 16 && present <= items, path,
                 "byte ", begin, ": the table is damaged");
    complete(in.get_all(with_tokens, present) && in.get_all(tokens, present * levels));
    std::uint64_t const shape[] = {kind, items, levels, present};
    sum = checksum(std::as_bytes(std::span(shape)), sum);
    sum = checksum(std::as_bytes(std::span(with_tokens)), sum);
    sum = checksum(std::as_bytes(std::span(tokens)), sum);
    auto& table = out.tables.emplace_back();
    if (levels == 0) continue;
    table = language::token_table(language::modality(static_cast<std::int32_t>(kind)), static_cast<index_t>(items),
                                  static_cast<index_t>(levels));
    for (std::size_t i = 0; i < with_tokens.size(); ++i) {
      expects_file(index(with_tokens[i]) >= 0 && index(with_tokens[i]) < table.items() &&
                       (i == 0 || with_tokens[i - 1] < with_tokens[i]),
                   path, "byte ", begin, ": the table is damaged");
      table.set(with_tokens[i], std::span(tokens).subspan(i * levels, levels));
    }
  }
  if (has_sets) {
    auto const begin = position();
    std::uint64_t count = 0;
    complete(in.get(count));
    for (std::uint64_t i = 0; i < count; ++i) {
      item_id item{};
      std::optional<std::vector<std::string>> names;
      complete(in.get(item) && detail::get_sets(in, names));
      expects_file(index(item) >= 0 && names.has_value(), path, "byte ", begin, ": the sets are damaged");
      out.sets[item] = std::move(*names);
    }
    sum = detail::checksum_of(std::string_view(file).substr(begin, position() - begin), sum);
  }
  std::uint64_t expected = 0;
  complete(in.get(expected));
  expects_file(expected == sum && in.left() == 0, path, "byte ", position() - 8, ": the file is damaged");
  return out;
}

MQL4GREC_DEFINITION std::uint64_t snapshot_number(std::filesystem::path const& path, std::uint64_t fingerprint) {
  std::ifstream in(path, std::ios::binary);
  std::string begin(detail::file_head_bytes + detail::record_head_bytes, '\0');
  in.read(begin.data(), std::ssize(begin));
  if (in.gcount() < std::ssize(begin)) return 0;
  auto const magic = std::string_view(begin).substr(0, detail::snapshot_magic.size());
  auto const known = {detail::snapshot_magic, detail::snapshot_with_sets_magic, detail::snapshot_of_changes_magic};
  expects_file(std::ranges::find(known, magic) != known.end(), path, "byte 0: is not a snapshot");
  detail::check_head(path, begin, magic, fingerprint);
  std::uint64_t number = 0;
  auto const at = detail::file_head_bytes + (magic == detail::snapshot_of_changes_magic ? 16 : 0);
  std::memcpy(&number, begin.data() + at, sizeof number);
  return number;
}

}  // namespace mql4grec::search
