#pragma once
// The durable log of a live_catalog's changes, and the snapshot that replaces an old log.
//
// docs/file-formats.md specifies both files. A record is written and synced before its changes are acknowledged, and
// only then the next record is written. So only the last record can be incomplete after a crash; any other record that
// doesn't match its checksum is damage.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "mql4grec/core/append_file.hpp"
#include "mql4grec/language/token_table.hpp"

namespace mql4grec::search {

/// A change of an item: its sequences from now on.
struct catalog_change {
  item_id item;  ///< may be larger than all existing ones
  /// The tokens by modality. A modality beyond the end, or with an empty sequence, has none: a change without sequences
  /// removes the item.
  std::vector<std::vector<token_t>> sequences = {};
  /// The names of the sets that the item is in from now on, at most 64; a name that no set has makes a new one. None:
  /// its sets stay as they are, also when it is removed.
  std::optional<std::vector<std::string>> sets = std::nullopt;

  bool operator==(catalog_change const&) const = default;
};

/// A number that identifies the tables of a catalog, to recognize files that belong to others. `before`: that of tables
/// before these.
[[nodiscard]] std::uint64_t fingerprint_of(std::span<language::token_table const> tables, std::uint64_t before = 0);

/// A file of changes that grows. One thread uses it at a time.
class catalog_log {
 public:
  /// The expectations on an existing log, and what is done with its content.
  struct open_options {
    std::uint64_t fingerprint = 0;  ///< of the tables that the changes refer to
    std::uint64_t after = 0;        ///< only records with larger numbers are replayed
    /// Receives the changes of a record and its number, in ascending order.
    std::function<void(std::uint64_t, std::span<catalog_change const>)> replay = nullptr;
    std::function<void(std::string const&)> report = nullptr;  ///< receives one line if the end is cut
  };

  /// Opens a log, or creates an empty one, and replays its records. Throws file_error for a damaged log, one that
  /// belongs to other tables, and one that another catalog_log has open.
  catalog_log(std::filesystem::path path, open_options const& options);
  catalog_log(catalog_log const&) = delete;
  catalog_log& operator=(catalog_log const&) = delete;

  /// Appends a record and syncs the file to the disk. Numbers must ascend. Throws file_error when that fails; the
  /// record is removed then.
  void append(std::uint64_t number, std::span<catalog_change const* const> changes);
  /// The size of the file in bytes, which is the position of the next record.
  index_t bytes() const { return file_ ? file_->bytes() : 0; }
  /// Whether append() can't succeed any more, until the log is opened again.
  [[nodiscard]] bool has_failed() const { return !file_ || file_->has_failed(); }
  /// Removes all records before this position, which bytes() returned earlier. Atomic: after a crash the file is either
  /// the old one or the new one.
  void drop_before(index_t position);

 private:
  std::filesystem::path path_;
  std::uint64_t fingerprint_;
  file_lock lock_;  // not of the log itself, which drop_before() replaces
  std::optional<append_file> file_;
};

/// Reads the records of a log that another process writes. One thread uses it at a time.
class catalog_log_reader {
 public:
  /// Nothing is opened yet; the log need not exist.
  catalog_log_reader(std::filesystem::path path, std::uint64_t fingerprint)
      : path_(std::move(path)), fingerprint_(fingerprint) {}
  catalog_log_reader(catalog_log_reader const&) = delete;
  catalog_log_reader& operator=(catalog_log_reader const&) = delete;
  ~catalog_log_reader();

  /// Calls replay(number, changes) for the complete records that are new since the last call and have larger numbers
  /// than `after`. Returns false, before any call, if records after that number are missing, because the log has been
  /// replaced by a snapshot. Throws file_error for a log that is damaged or belongs to other tables, and if a record
  /// that was read is there no more; see has_lost_record().
  bool read(std::uint64_t after, std::function<void(std::uint64_t, std::span<catalog_change const>)> const& replay);
  /// Whether a record that was read has been removed or replaced since: the writer could not bring it to the disk, so
  /// the change was refused there. What has been replayed is wrong then, and each further read() throws.
  bool has_lost_record() const { return has_lost_record_; }

 private:
  void check_last_record();

  std::filesystem::path path_;
  std::uint64_t fingerprint_;
  int descriptor_ = -1;       // of the file that has been read; kept open, so that no other file gets its inode
  std::size_t position_ = 0;  // of the next record in that file
  std::size_t last_ = 0;      // that of the record before it
  std::string last_head_;     // the first bytes of that record, its number and its checksum among them
  bool has_lost_record_ = false;
};

/// What changes have made of a catalog: all tables, or the changes themselves.
struct catalog_snapshot {
  std::uint64_t number = 0;                   ///< of the last change that is contained
  std::vector<language::token_table> tables;  ///< by modality, and then those of histories if they are others
  std::map<item_id, std::vector<std::string>> sets = {};  ///< of the items to which changes have given others
  /// Without tables: the newest change of each item that has changed since the catalog began.
  std::vector<catalog_change> changes = {};
};

/// Writes a snapshot: under another name first, then synced and renamed. Throws file_error.
void write_snapshot(std::filesystem::path const& path, std::uint64_t fingerprint, catalog_snapshot const& snapshot);
/// Reads a snapshot; nothing if the file doesn't exist. Throws file_error for a damaged file, or one with another
/// fingerprint.
[[nodiscard]] std::optional<catalog_snapshot> read_snapshot(std::filesystem::path const& path,
                                                            std::uint64_t fingerprint);
/// The number of a snapshot, from its first bytes only; 0 if the file doesn't exist or is too short. Throws file_error
/// for another fingerprint.
[[nodiscard]] std::uint64_t snapshot_number(std::filesystem::path const& path, std::uint64_t fingerprint);

}  // namespace mql4grec::search

#if !MQL4GREC_COMPILED
#include "mql4grec/search/catalog_log.inl.hpp"
#endif
