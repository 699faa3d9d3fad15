#pragma once
// Raw ids and titles of items that were inserted while a service ran, in a file that is written before an insertion is
// acknowledged. The codes of these items are in the log of the live catalog.
#include <filesystem>
#include <map>
#include <mutex>
#include <optional>
#include <shared_mutex>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>

#include "mql4grec/core/append_file.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec::program {

/// What is known of an inserted item besides its codes.
struct added_item {
  std::string raw_id = {};  ///< empty: none
  std::string title = {};   ///< empty: none
  bool operator==(added_item const&) const = default;
};

/// Whether this process writes a file, or follows another one that does.
enum class file_use { write, follow };

/// Inserted items by number. Thread-safe.
class added_items {
 public:
  /// `file` is read if it exists, and grows with every item; empty: what is added is lost at the end. A last line that
  /// is incomplete was never acknowledged and is removed. Throws file_error for any other line that is damaged, and
  /// if another process uses the file.
  explicit added_items(std::filesystem::path file, file_use use = file_use::write);
  added_items(added_items const&) = delete;
  added_items& operator=(added_items const&) = delete;

  /// With file_use::follow: reads what the other process has added. Throws file_error for a line that is damaged, and
  /// at each further call if a line that was read has been removed or replaced.
  void catch_up();
  /// Adds or replaces items; they are on the disk when the function returns, by one synchronization. Throws file_error,
  /// and none is added then.
  void set(std::span<std::pair<item_id, added_item> const> items);
  /// Whether set() can't succeed any more.
  bool has_failed() const {
    std::lock_guard const lock(writing_);
    return file_ && file_->has_failed();
  }
  std::optional<added_item> find(item_id item) const;
  std::optional<item_id> find(std::string const& raw_id) const;
  /// One more than the largest number of an item; 0 if there is none.
  index_t items() const {
    std::shared_lock const lock(mutex_);
    return items_.empty() ? 0 : index(items_.rbegin()->first) + 1;
  }
  /// Calls visit(item, about) for each item. It must not call a member of this object.
  template <class Visit>
  void each(Visit const& visit) const {
    std::shared_lock const lock(mutex_);
    for (auto const& [item, about] : items_) visit(item, about);
  }

 private:
  std::size_t read();
  bool has_last_line() const;
  void keep(item_id item, added_item const& about);

  std::filesystem::path path_;
  std::size_t position_ = 0, lines_ = 0;  // that have been read; used by one thread at a time
  std::string last_line_;
  bool has_lost_line_ = false;
  std::optional<file_lock> lock_;
  std::optional<append_file> file_;
  mutable std::mutex writing_;  // locked before mutex_
  mutable std::shared_mutex mutex_;
  std::map<item_id, added_item> items_;
  std::unordered_map<std::string, item_id> number_of_;
};

}  // namespace mql4grec::program
