#pragma once
// A catalog whose items are inserted, removed and given other sequences while requests run.
//
//   a writer    apply(changes) → log, synced to the disk → next version → published
//   a reader    catalog_reader::read() → the newest version, unchanged until the read ends
//
// Readers never lock and never wait. Writers that call at the same time share one synchronization of the disk. A
// version's search results equal those of a catalog that is built anew from its items. A background thread merges the
// changes into compact arrays and shortens the log.
#include <array>
#include <atomic>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "mql4grec/language/vocabulary.hpp"
#include "mql4grec/search/catalog_log.hpp"
#include "mql4grec/search/item_sets.hpp"
#include "mql4grec/search/live_tokens.hpp"
#include "mql4grec/search/live_trie.hpp"
#include "mql4grec/search/packed_catalog.hpp"

namespace mql4grec::search {

/// The modalities whose sequences have the same number of tokens, which a request searches together: root i of the trie
/// is that of kinds[i]. The roots after those are the sets of the catalog.
struct trie_group {
  std::vector<language::modality> kinds;  ///< the modalities, by their number
  trie_version trie;                      ///< their sequences

  /// The position in the trie of the table of kinds[table] with the items of a set only; see catalog_version::set.
  index_t table_of(index_t set, index_t table) const { return std::ssize(kinds) * (1 + set) + table; }
};

namespace detail {

/// The sequences of all items, by modality.
struct catalog_tokens {
  std::vector<live_tokens> items;      // those that a search finds
  std::vector<live_tokens> histories;  // those that histories are written with; empty: the same
};

}  // namespace detail

/// One version of a live_catalog: immutable and cheap to copy; a copy keeps the version's memory. Const member
/// functions may be called from several threads at once.
class catalog_version {
 public:
  /// The number of the version: it grows with every change.
  std::uint64_t number() const { return number_; }
  /// One more than the largest item number that ever had a sequence or was in a table.
  index_t items() const { return items_; }
  /// The number of modalities.
  index_t modalities() const { return tokens_ ? std::ssize(tokens_->items) : 0; }
  /// The number of tokens of a modality's sequences.
  index_t levels(language::modality kind) const { return tokens_->items[to_size(kind)].levels(); }
  /// The item's sequence in a modality, or an empty span.
  std::span<token_t const> sequence(language::modality kind, item_id item) const {
    return tokens_->items[to_size(kind)].of(item, number_);
  }
  /// The tokens with which histories contain the item, or an empty span.
  std::span<token_t const> history_tokens(language::modality kind, item_id item) const {
    auto const& tables = tokens_->histories.empty() ? tokens_->items : tokens_->histories;
    return tables[to_size(kind)].of(item, number_);
  }
  /// The tries of all modalities that are searched.
  std::span<trie_group const> groups() const { return groups_; }
  /// The number of the set with this name; nothing if there is none. Sets keep their numbers in later versions.
  std::optional<index_t> set(std::string_view name) const {
    if (!sets_) return std::nullopt;
    auto const found = sets_->find(name);
    return found == sets_->end() ? std::nullopt : std::optional(found->second);
  }
  /// The names of all sets, in ascending order.
  [[nodiscard]] std::vector<std::string> set_names() const {
    std::vector<std::string> names;
    if (sets_)
      for (auto const& [name, number] : *sets_) names.push_back(name);
    return names;
  }
  /// Whether a set contains an item that has a sequence.
  bool contains(index_t set, item_id item) const {
    for (auto const& group : groups_)
      for (index_t t = 0; t < std::ssize(group.kinds); ++t) {
        auto const tokens = sequence(group.kinds[to_size(t)], item);
        if (tokens.empty()) continue;
        auto const leaf = group.trie.find(group.table_of(set, t), tokens);
        return leaf >= 0 && std::ranges::binary_search(group.trie.items(leaf), item);
      }
    return false;
  }
  /// The largest number of distinct sequences of a modality.
  index_t most_sequences() const {
    index_t most = 0;
    for (auto const& group : groups_)
      for (index_t t = 0; t < std::ssize(group.kinds); ++t) most = std::max(most, group.trie.leaves_of(t));
    return most;
  }
  /// All sequences of a modality.
  [[nodiscard]] language::token_table table(language::modality kind) const {
    language::token_table out(kind, items_, std::max<index_t>(1, levels(kind)));
    for (index_t i = 0; i < items_; ++i)
      if (auto const tokens = sequence(kind, item_id(static_cast<std::int32_t>(i))); !tokens.empty())
        out.set(item_id(static_cast<std::int32_t>(i)), tokens);
    return out;
  }

 private:
  friend class live_catalog;

  std::uint64_t number_ = 0;
  index_t items_ = 0;
  std::shared_ptr<detail::catalog_tokens const> tokens_;
  std::vector<trie_group> groups_;
  std::shared_ptr<detail::item_sets::names const> sets_;
};

namespace detail {

/// The newest version, which readers find without a lock. A reader announces the version that it is about to read in
/// its slot and then checks that the version is still the newest; a writer replaces the newest version first and then
/// looks at the slots. All four are sequentially consistent, so either the reader sees the replacement or the writer
/// sees the announcement, and no version is destroyed while it is read.
class published_version {
 public:
  /// A reader's announcement; nothing while it does not read.
  struct alignas(64) slot {
    std::atomic<catalog_version const*> reading{nullptr};
    bool used = false;  // by a catalog_reader
  };

  explicit published_version(std::unique_ptr<catalog_version const> first) : newest_(first.release()) {}
  published_version(published_version const&) = delete;
  ~published_version() { delete newest_.load(); }

  /// Announces the newest version in a slot.
  catalog_version const& pin(slot& mine) const {
    auto const* version = newest_.load();
    for (;;) {
      mine.reading.store(version);
      auto const* const now = newest_.load();
      if (now == version) return *version;
      version = now;
    }
  }
  /// Replaces the newest version, and destroys older ones that nobody reads. Called by one thread at a time.
  void replace(std::unique_ptr<catalog_version const> next) {
    retired_.emplace_back(newest_.exchange(next.release()));
    std::lock_guard const lock(slots_mutex_);
    std::erase_if(retired_, [&](auto const& old) {
      return std::ranges::none_of(slots_, [&](auto const& each) { return each->reading.load() == old.get(); });
    });
  }
  /// A slot for a new reader.
  slot& open() {
    std::lock_guard const lock(slots_mutex_);
    for (auto const& each : slots_)
      if (!each->used) {
        each->used = true;
        return *each;
      }
    slots_.push_back(std::make_unique<slot>());
    slots_.back()->used = true;
    return *slots_.back();
  }
  void close(slot& mine) {
    std::lock_guard const lock(slots_mutex_);
    mine.used = false;
  }

 private:
  std::atomic<catalog_version const*> newest_;
  std::vector<std::unique_ptr<catalog_version const>> retired_;  // that somebody may still read
  std::mutex slots_mutex_;
  std::vector<std::unique_ptr<slot>> slots_;
};

}  // namespace detail

/// Reads the versions of a live_catalog, for one thread at a time. Reading neither locks nor waits. After the catalog
/// has been destroyed, there is only a version without modalities.
class catalog_reader {
 public:
  /// A version that is being read: it stays as it is until this object is destroyed.
  class pinned {
   public:
    pinned(pinned const&) = delete;
    pinned& operator=(pinned const&) = delete;
    ~pinned() { slot_.reading.store(nullptr, std::memory_order_release); }
    /// The version.
    catalog_version const& operator*() const { return version_; }
    /// The version.
    catalog_version const* operator->() const { return &version_; }

   private:
    friend class catalog_reader;
    pinned(catalog_version const& version, detail::published_version::slot& slot) : version_(version), slot_(slot) {}
    catalog_version const& version_;
    detail::published_version::slot& slot_;
  };

  /// Takes the place of another reader, which must not be used any more.
  catalog_reader(catalog_reader&& other) noexcept
      : published_(std::move(other.published_)), slot_(std::exchange(other.slot_, nullptr)) {}
  /// Exchanges the readers.
  catalog_reader& operator=(catalog_reader&& other) noexcept {
    published_.swap(other.published_);
    std::swap(slot_, other.slot_);
    return *this;
  }
  ~catalog_reader() {
    if (published_) published_->close(*slot_);
  }

  /// The newest version. The previous result of this reader must have been destroyed.
  [[nodiscard]] pinned read() const { return {published_->pin(*slot_), *slot_}; }

 private:
  friend class live_catalog;
  explicit catalog_reader(std::shared_ptr<detail::published_version> published)
      : published_(std::move(published)), slot_(&published_->open()) {}

  std::shared_ptr<detail::published_version> published_;
  detail::published_version::slot* slot_;
};

/// Options of a live_catalog.
struct live_catalog_options {
  /// The file of the log of changes; empty: changes are lost when the catalog is destroyed. The snapshot is beside it,
  /// `<log>.snapshot`. Both are bound to the tables that the catalog starts with.
  std::filesystem::path log = {};
  /// Whether the log is that of another process, whose changes catch_up() makes here, too. The log is only read then,
  /// and apply() throws error.
  bool follow = false;
  /// The file that the tables are mapped from, with their tries: the catalog begins without reading them, and keeps
  /// only changes in memory, also after merges. A snapshot then consists of the items that have changed. None: the
  /// tries are built in memory.
  std::shared_ptr<packed_catalog const> packed = nullptr;
  /// Changes that are merged in the background. Until then each takes memory for the children of all nodes on its
  /// paths.
  index_t merge_after = 20000;
  /// The log is replaced by a snapshot after a merge if it has at least so many bytes.
  index_t snapshot_after = index_t{16} << 20;
  /// Tokens that don't belong to their modality and level here are refused; none: all tokens are accepted.
  std::optional<language::vocabulary> vocab = std::nullopt;
  /// The tokens that histories are written with, if they aren't those of the catalog: one table per modality. A changed
  /// item has its new tokens in histories, too.
  std::vector<language::token_table> history_tokens = {};
  /// Sets of items that filters and quotas name, such as categories: prepared once, for all requests. Changes of items
  /// may change them, and they follow the items' sequences. Each membership takes about as much memory as the item's
  /// sequences. The log contains what changes did to them, so the same sets should be given at every start.
  named_sets sets = {};
  /// Receives one line for each event that an operator should know: a torn end of the log, a failed merge. Called on
  /// any thread, one call at a time; nothing: the lines are dropped.
  std::function<void(std::string const&)> report = nullptr;
  live_trie_capacity tries = {};     ///< memory for changes; see live_trie_capacity
  live_tokens_capacity tokens = {};  ///< memory for changes; see live_tokens_capacity
};

/// A catalog that changes while it is read. All member functions may be called from several threads at once.
class live_catalog {
 public:
  /// Starts with the tables, one per modality, and the changes of the log. Modalities without sequences are never
  /// searched. Throws error when the tables don't fit together, and file_error when the log or its snapshot is damaged,
  /// belongs to other tables or is used by another catalog. A last record that is incomplete, because the process
  /// ended while it was written, was never acknowledged: it is removed, and reported.
  explicit live_catalog(std::vector<language::token_table> const& tables, live_catalog_options options = {});
  live_catalog(live_catalog const&) = delete;
  live_catalog& operator=(live_catalog const&) = delete;
  /// Waits for a merge that runs. Its memory is kept as long as somebody reads it.
  ~live_catalog();

  /// Whether the catalog started with these tables, and with these tokens of histories.
  [[nodiscard]] bool began_with(std::vector<language::token_table> const& tables,
                                std::vector<language::token_table> const& history_tokens = {}) const;

  /// The tokens that changes may have; none: all.
  [[nodiscard]] std::optional<language::vocabulary> const& vocab() const { return options_.vocab; }

  /// Makes changes, which become visible together, and returns the number of the first version that contains them. They
  /// are in the log, on the disk, when the function returns. Of several changes of an item the last one counts. Throws
  /// error if a change doesn't fit the catalog, and file_error if the log can't be written; then none of this call is
  /// made. A change of another thread that doesn't fit fails that thread's call only.
  std::uint64_t apply(std::span<catalog_change const> changes);
  /// Gives an item its sequences, by modality, whether or not it has others; see catalog_change.
  std::uint64_t set(item_id item, std::vector<std::vector<token_t>> sequences) {
    catalog_change const change{item, std::move(sequences)};
    return apply({&change, 1});
  }
  /// Removes an item. An item that doesn't exist is removed without an error.
  std::uint64_t remove(item_id item) { return set(item, {}); }

  /// With live_catalog_options::follow: makes the changes that the log has got since the last call. Returns the number
  /// of the newest version. Throws file_error if the log can't be followed any more; has_failed() then tells whether
  /// another call can succeed.
  std::uint64_t catch_up();
  /// Whether the catalog can neither change nor follow any more, and has to be loaded again: a change of the log could
  /// not be made, one that was followed has been removed from it, or what the disk has of the log is unknown. Requests
  /// go on.
  [[nodiscard]] bool has_failed() const;
  /// Whether the tables and tries are those of live_catalog_options::packed.
  [[nodiscard]] bool is_mapped() const { return options_.packed != nullptr; }
  /// Replaces the sets of live_catalog_options::sets: the catalog is then as if it had begun with these. Items to which
  /// changes have given sets keep those. A set that is missing here stays, as an empty one. The log doesn't contain
  /// this: give the same sets at the next start. All sets are replaced at once; the number of the version stays,
  /// changes wait meanwhile, requests don't. Throws error for names or numbers that aren't allowed, and nothing is
  /// replaced.
  void replace_sets(named_sets const& sets);
  /// The names of an item's sets, in ascending order, those of an item without a sequence included. Takes a lock that
  /// changes hold while they are written to the disk.
  [[nodiscard]] std::vector<std::string> sets_of(item_id item) const;

  /// A reader for one thread at a time. Takes a lock; reading doesn't.
  [[nodiscard]] catalog_reader reader() const { return catalog_reader(published_); }
  /// The newest version. Takes a lock, and memory while it is kept; requests use a reader().
  [[nodiscard]] catalog_version version() const { return *reader().read(); }

  /// Changes since the last merge.
  index_t pending() const { return pending_.load(std::memory_order_relaxed); }
  /// Merges all changes now, and waits until that is done; requests and changes continue meanwhile. Throws what the
  /// merge throws.
  void merge();

 private:
  /// A call of apply() that waits.
  struct request {
    std::span<catalog_change const> changes;
    std::uint64_t version = 0;
    std::exception_ptr failure = nullptr;
    bool done = false;
  };
  /// The newest content, which the next version will be made of.
  struct content {
    std::vector<std::vector<language::modality>> kinds;  // by group
    std::vector<live_trie> tries;                        // by group
    std::shared_ptr<detail::catalog_tokens> tokens;
    detail::item_sets sets;
    index_t items = 0;
  };
  /// The sets of an item, by their numbers, ascending.
  using set_list = std::vector<std::int32_t>;
  /// The group and the table of a modality.
  struct trie_place {
    std::size_t group;
    index_t table, levels;
  };

  /// A state of a file; other than any before when the file has been replaced.
  using file_stamp = std::array<std::int64_t, 4>;
  static file_stamp stamp_of(std::filesystem::path const& path);
  std::filesystem::path snapshot_path() const { return options_.log.string() + ".snapshot"; }
  std::uint64_t fingerprint(std::vector<language::token_table> const& tables,
                            std::vector<language::token_table> const& history_tokens) const;
  void begin_log();
  void follow_log();
  void make_all(std::uint64_t number, std::span<catalog_change const> changes);
  std::vector<catalog_change> changes_since_the_beginning(catalog_version const& version,
                                                          detail::item_sets const& sets) const;
  std::vector<catalog_change> changes_to(catalog_snapshot const& snapshot) const;
  void check(catalog_change const& change) const;
  std::vector<request*> with_room_for_sets(std::span<request* const> requests) const;
  void commit(std::span<request* const> waiting);
  static bool has_room(content const& in, catalog_change const& change);
  void make_within_room(catalog_change const& change, std::uint64_t version);
  static void put_in_sets(content& in, catalog_change const& change);
  static void add_tables(content& in, index_t sets_before);
  void move_item(content& in, std::size_t modality, item_id item, std::span<token_t const> before,
                 std::span<token_t const> next, set_list const& sets_before, set_list const& sets) const;
  void make(content& in, catalog_change const& change, std::uint64_t version) const;
  catalog_version version_of(content& from, std::uint64_t number) const;
  content compacted(catalog_version const& from, detail::item_sets sets, index_t items) const;
  void merge_beside(std::unique_lock<std::mutex>& lock);
  void merge_at_once(index_t items);
  void write_snapshot(catalog_version const& version, detail::item_sets const& sets);
  void merge_in_background();
  void report(std::string const& line) const {
    if (options_.report) options_.report(line);
  }

  live_catalog_options options_;
  std::vector<std::optional<trie_place>> places_;  // by modality
  index_t first_items_ = 0;                        // of the tables that the catalog began with
  std::vector<index_t> history_levels_;            // by modality; empty: those of the items
  std::shared_ptr<detail::published_version> published_;
  std::atomic<index_t> pending_{0};

  std::mutex queue_mutex_;
  std::condition_variable queue_changed_;
  std::vector<request*> queue_;
  bool committing_ = false;

  // Guarded by mutex_, which writers hold while they commit.
  mutable std::mutex mutex_;
  std::condition_variable merged_, merge_wanted_;
  content content_;
  std::uint64_t number_ = 0, fingerprint_ = 0;
  std::optional<catalog_log> log_;
  std::optional<catalog_log_reader> followed_;
  file_stamp snapshot_stamp_ = {};  // of the snapshot that has been read
  bool merging_ = false, recording_ = false, stopping_ = false;
  bool broken_ = false;                                          // changes that are in the log have not all been made
  std::vector<std::pair<std::uint64_t, catalog_change>> since_;  // changes that were made since a merge began
  std::thread merger_;
};

}  // namespace mql4grec::search

#if !MQL4GREC_COMPILED
#include "mql4grec/search/live_catalog.inl.hpp"
#include "mql4grec/search/live_catalog_files.inl.hpp"
#endif
