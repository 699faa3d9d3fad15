#pragma once
// The definitions of search/live_catalog.hpp.
#include <sys/stat.h>

#include <map>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/search/live_catalog.hpp"

namespace mql4grec::search {

MQL4GREC_DEFINITION live_catalog::live_catalog(std::vector<language::token_table> const& tables,
                                               live_catalog_options options)
    : options_(std::move(options)) {
  expects(!tables.empty(), "live catalog: no token table");
  expects(options_.history_tokens.empty() || options_.history_tokens.size() == tables.size(),
          "live catalog: histories in ", options_.history_tokens.size(), " modalities, but the catalog has ",
          tables.size());
  auto& packed = options_.packed;
  expects(!packed || packed->has(tables), "live catalog: the tables aren't those of the packed catalog");
  expects(!options_.follow || (!options_.log.empty() && options_.history_tokens.empty()),
          "live catalog: to follow needs a log, and no tokens of histories");
  for (auto const& table : options_.history_tokens) history_levels_.push_back(table.levels());
  fingerprint_ = fingerprint(tables, options_.history_tokens);
  first_items_ = tables.front().items();
  auto all = tables;
  all.insert(all.end(), options_.history_tokens.begin(), options_.history_tokens.end());
  options_.history_tokens.clear();
  // Which modalities are searched doesn't depend on changes.
  std::map<index_t, std::vector<language::modality>> by_levels;
  for (std::size_t m = 0; m < tables.size(); ++m)
    if (!tables[m].present().empty()) by_levels[tables[m].levels()].push_back(language::modality(m));
  places_.resize(tables.size());
  for (auto const& [levels, kinds] : by_levels) {
    for (std::size_t t = 0; t < kinds.size(); ++t)
      places_[to_size(kinds[t])] = trie_place{content_.kinds.size(), static_cast<index_t>(t), levels};
    content_.kinds.push_back(kinds);
  }
  std::optional<catalog_snapshot> saved;
  if (!options_.log.empty()) snapshot_stamp_ = stamp_of(snapshot_path());
  if (!options_.log.empty()) saved = read_snapshot(snapshot_path(), fingerprint_);
  bool const saved_tables = saved && !saved->tables.empty();
  if (saved) number_ = saved->number;
  if (saved_tables) {
    expects_file(saved->tables.size() == all.size(), snapshot_path(), "byte 40: ", saved->tables.size(),
                 " tables, expected ", all.size());
    for (std::size_t i = 0; i < all.size() && !packed; ++i)
      if (saved->tables[i].levels() > 0) all[i] = std::move(saved->tables[i]);
  }
  auto const tokens = std::make_shared<detail::catalog_tokens>();
  for (std::size_t i = 0; i < all.size(); ++i) {
    (i < tables.size() ? tokens->items : tokens->histories).emplace_back(all[i], options_.tokens);
    content_.items = std::max(content_.items, all[i].items());
  }
  content_.tokens = tokens;
  content_.sets = detail::item_sets(options_.sets);
  if (saved_tables && !packed)
    for (auto const& [item, names] : saved->sets) content_.sets.put(item, names);
  auto const lists = content_.sets.lists(content_.items);
  std::vector<std::span<item_id const>> const subsets(lists.begin(), lists.end());
  for (std::size_t g = 0; g < content_.kinds.size(); ++g) {
    std::vector<language::token_table const*> together;
    for (auto const kind : content_.kinds[g]) together.push_back(&all[to_size(kind)]);
    if (!packed) {
      content_.tries.emplace_back(together, subsets, options_.tries);
      continue;
    }
    expects(g < packed->groups.size() && packed->groups[g].kinds == content_.kinds[g],
            "live catalog: the tries of the packed catalog have other modalities than its tables");
    content_.tries.emplace_back(packed->groups[g].trie, together, subsets, options_.tries);
  }
  options_.sets.clear();
  try {
    if (saved && (packed || !saved_tables)) make_all(number_, changes_to(*saved));
  } catch (error const& failure) {
    raise<file_error>(snapshot_path().string(), ": ", failure.what());
  }
  published_ = std::make_shared<detail::published_version>(
      std::make_unique<catalog_version const>(version_of(content_, number_)));
  if (!options_.log.empty()) begin_log();
  if (log_ && packed && saved_tables) {  // the next start needs the changes only
    try {
      write_snapshot(version_of(content_, number_), content_.sets);
    } catch (std::exception const& failure) {
      report(failure.what());
    }
  }
  merger_ = std::thread([this] { merge_in_background(); });
}

MQL4GREC_DEFINITION void live_catalog::begin_log() {
  if (options_.follow) {
    followed_.emplace(options_.log, fingerprint_);
    catch_up();
    return;
  }
  auto const replayed = [&](std::uint64_t number, std::span<catalog_change const> changes) {
    expects(number == number_ + 1, "record ", number, " follows ", number_,
            ": the snapshot beside the log is missing or another one");
    make_all(number, changes);
  };
  log_.emplace(options_.log,
               catalog_log::open_options{
                   .fingerprint = fingerprint_, .after = number_, .replay = replayed, .report = options_.report});
  published_->replace(std::make_unique<catalog_version const>(version_of(content_, number_)));
}

MQL4GREC_DEFINITION std::uint64_t live_catalog::fingerprint(
    std::vector<language::token_table> const& tables, std::vector<language::token_table> const& history_tokens) const {
  // That of a packed file is known, and stays when later interactions have larger item numbers.
  auto const& packed = options_.packed;
  return fingerprint_of(history_tokens, packed && packed->has(tables) ? packed->tokens : fingerprint_of(tables));
}

MQL4GREC_DEFINITION bool live_catalog::began_with(std::vector<language::token_table> const& tables,
                                                  std::vector<language::token_table> const& history_tokens) const {
  return !tables.empty() && tables.front().items() == first_items_ &&
         fingerprint_ == fingerprint(tables, history_tokens);
}

MQL4GREC_DEFINITION bool live_catalog::has_failed() const {
  std::lock_guard const lock(mutex_);
  return broken_ || (log_ && log_->has_failed());
}

MQL4GREC_DEFINITION auto live_catalog::stamp_of(std::filesystem::path const& path) -> file_stamp {
  struct ::stat found {};
  if (::stat(path.c_str(), &found) != 0) return {};
  return {static_cast<std::int64_t>(found.st_ino), found.st_size, found.st_mtim.tv_sec, found.st_mtim.tv_nsec};
}

MQL4GREC_DEFINITION std::uint64_t live_catalog::catch_up() {
  expects(followed_.has_value(), "catalog: catch_up() of one that doesn't follow");
  std::lock_guard const lock(mutex_);
  expects(!broken_, "catalog: can't follow since an earlier error; it has to be loaded again");
  auto const before = number_;
  std::exception_ptr failure;
  try {
    follow_log();
  } catch (...) {
    failure = std::current_exception();
  }
  broken_ = broken_ || followed_->has_lost_record();
  if (number_ != before && !broken_)
    published_->replace(std::make_unique<catalog_version const>(version_of(content_, number_)));
  if (pending_ >= options_.merge_after && !merging_) merge_wanted_.notify_all();
  if (failure) std::rethrow_exception(failure);
  return number_;
}

/// Makes the changes of the followed log, with the lock.
MQL4GREC_DEFINITION void live_catalog::follow_log() {
  // The snapshot is written before the log is shortened: a log that begins later has a newer snapshot.
  for (int tries = 0; tries < 3; ++tries) {
    if (auto const stamp = stamp_of(snapshot_path()); stamp != snapshot_stamp_) {
      if (snapshot_number(snapshot_path(), fingerprint_) > number_)
        if (auto const snapshot = read_snapshot(snapshot_path(), fingerprint_))
          make_all(snapshot->number, changes_to(*snapshot));
      snapshot_stamp_ = stamp;
    }
    bool const complete = followed_->read(
        number_, [&](std::uint64_t number, std::span<catalog_change const> changes) { make_all(number, changes); });
    if (complete) return;
  }
  raise<file_error>(options_.log.string(), ": has no record ", number_ + 1, ", and the snapshot beside it isn't newer");
}

/// Makes changes that are in the log already, as a version that isn't published yet.
MQL4GREC_DEFINITION void live_catalog::make_all(std::uint64_t number, std::span<catalog_change const> changes) {
  for (auto const& change : changes) check(change);
  broken_ = true;    // unless all are made
  number_ = number;  // a merge below is one of this version
  for (auto const& change : changes) {
    make_within_room(change, number);
    if (recording_) since_.emplace_back(number, change);
  }
  broken_ = false;
  pending_ += std::ssize(changes);
}

namespace detail {

/// An item with the tokens that tokens_of(modality) returns, as a change.
template <class TokensOf>
catalog_change change_to(item_id item, index_t modalities, TokensOf const& tokens_of) {
  catalog_change change{.item = item};
  for (index_t m = 0; m < modalities; ++m) {
    auto const tokens = tokens_of(to_size(m));
    change.sequences.emplace_back(tokens.begin(), tokens.end());
  }
  return change;
}

}  // namespace detail

/// The changes that make the newest version to the content of a snapshot.
MQL4GREC_DEFINITION std::vector<catalog_change> live_catalog::changes_to(catalog_snapshot const& snapshot) const {
  std::map<item_id, catalog_change> changes;
  auto const& items = content_.tokens->items;
  auto const modalities = std::ssize(items);
  if (snapshot.tables.empty()) {  // those that the snapshot lacks are as they were at the beginning
    for (auto const& table : items)
      table.each_changed(number_, [&](item_id item, auto) {
        changes[item] = detail::change_to(item, modalities, [&](std::size_t m) { return items[m].base_of(item); });
      });
    for (auto const& change : snapshot.changes) changes[change.item] = change;
  } else {
    auto const saved = [&](item_id item) {
      return detail::change_to(item, modalities, [&](std::size_t m) { return snapshot.tables[m].of(item); });
    };
    index_t const end = std::max(content_.items, snapshot.tables.front().items());
    for (index_t i = 0; i < end; ++i) {
      auto const item = item_id(static_cast<std::int32_t>(i));
      auto const differs = [&](auto const& tables, std::size_t from) {
        for (std::size_t m = 0; m < tables.size(); ++m)
          if (!std::ranges::equal(tables[m].of(item, number_), snapshot.tables[from + m].of(item))) return true;
        return false;
      };
      if (differs(items, 0) || differs(content_.tokens->histories, items.size()) ||
          (i + 1 == end && end > content_.items))
        changes[item] = saved(item);
    }
    for (auto const& [item, names] : snapshot.sets) {
      if (!changes.contains(item)) changes[item] = saved(item);
      changes[item].sets = names;
    }
  }
  std::vector<catalog_change> out;
  for (auto& [item, change] : changes) out.push_back(std::move(change));
  return out;
}

/// The newest change of each item that has changed.
MQL4GREC_DEFINITION std::vector<catalog_change> live_catalog::changes_since_the_beginning(
    catalog_version const& version, detail::item_sets const& sets) const {
  std::map<item_id, catalog_change> changes;
  index_t first_items = 0;
  for (auto const* tables : {&version.tokens_->items, &version.tokens_->histories})
    for (auto const& table : *tables) {
      table.each_changed(version.number(), [&](item_id item, auto) { changes[item].item = item; });
      first_items = std::max(first_items, table.base_items());
    }
  for (auto& [item, names] : sets.changed_names()) {
    changes[item].item = item;
    changes[item].sets = std::move(names);
  }
  // The largest number stays in use, also when its item has been removed. One of the tables isn't listed unless it has
  // changed: a change replaces the tokens of histories.
  if (auto const last = item_id(static_cast<std::int32_t>(version.items() - 1)); version.items() > first_items)
    changes[last].item = last;
  std::vector<catalog_change> out;
  for (auto& entry : changes) {
    auto const item = entry.first;
    auto& now = out.emplace_back(detail::change_to(
        item, version.modalities(), [&](std::size_t m) { return version.sequence(language::modality(m), item); }));
    now.sets = std::move(entry.second.sets);
  }
  return out;
}

MQL4GREC_DEFINITION live_catalog::~live_catalog() {
  {
    std::lock_guard const lock(mutex_);
    stopping_ = true;
  }
  merge_wanted_.notify_all();
  merger_.join();
  published_->replace(std::make_unique<catalog_version const>());
}

MQL4GREC_DEFINITION void live_catalog::check(catalog_change const& change) const {
  auto const item = index(change.item);
  expects(item >= 0 && item < item_number_limit, "catalog: item ", item, ", expected 0 to ", item_number_limit - 1);
  expects(change.sequences.size() <= places_.size(), "catalog: item ", item, " has sequences in ",
          change.sequences.size(), " modalities, but the catalog has ", places_.size());
  if (change.sets) {
    expects(std::ssize(*change.sets) <= max_sets_of_item, "catalog: item ", item, " is in ", change.sets->size(),
            " sets, expected at most ", max_sets_of_item);
    for (auto const& name : *change.sets) detail::check_set_name(name);
  }
  for (std::size_t m = 0; m < change.sequences.size(); ++m) {
    auto const& sequence = change.sequences[m];
    if (sequence.empty()) continue;
    expects(places_[m].has_value(), "catalog: item ", item, " has a sequence in modality ", m,
            ", in which the catalog has none");
    auto const levels = places_[m]->levels;
    expects(std::ssize(sequence) == levels, "catalog: item ", item, " has ", sequence.size(), " tokens in modality ", m,
            ", expected ", levels);
    expects(history_levels_.empty() || history_levels_[m] == levels, "catalog: item ", item,
            " has a sequence in modality ", m, ", whose histories have sequences of another length");
    for (index_t l = 0; l < levels; ++l) {
      auto const token = sequence[to_size(l)];
      expects(index(token) >= 0, "catalog: item ", item, " has the token ", index(token));
      if (!options_.vocab) continue;
      auto const place = options_.vocab->place(token);
      expects(place && place->kind == language::modality(m) && place->level == l, "catalog: item ", item, " has token ",
              index(token), " at level ", l, " of modality ", m, ", where it doesn't belong");
    }
  }
}

MQL4GREC_DEFINITION bool live_catalog::has_room(content const& in, catalog_change const& change) {
  auto const fits = [&](auto const& table) { return table.has_room(change.item); };
  // In a trie the item leaves its sets, and enters others; new sets have roots.
  auto const more = change.sets ? std::ssize(*change.sets) : 0;
  auto const places = 1 + std::ssize(in.sets.of(change.item)) + more;
  return std::ranges::all_of(in.tries, [&](auto const& trie) { return trie.has_room(places + more); }) &&
         std::ranges::all_of(in.tokens->items, fits) && std::ranges::all_of(in.tokens->histories, fits);
}

MQL4GREC_DEFINITION void live_catalog::make_within_room(catalog_change const& change, std::uint64_t version) {
  if (!has_room(content_, change)) merge_at_once(index(change.item) + 1);
  make(content_, change, version);
}

/// Gives the sets that are new their tables.
MQL4GREC_DEFINITION void live_catalog::add_tables(content& in, index_t sets_before) {
  for (std::size_t g = 0; g < in.tries.size(); ++g)
    for (auto n = (in.sets.size() - sets_before) * std::ssize(in.kinds[g]); n > 0; --n) in.tries[g].add_table();
}

MQL4GREC_DEFINITION void live_catalog::put_in_sets(content& in, catalog_change const& change) {
  if (!change.sets) return;
  auto const before = in.sets.size();
  in.sets.put(change.item, *change.sets);
  add_tables(in, before);
}

/// Gives an item other tokens and other sets in the trie of a modality.
MQL4GREC_DEFINITION void live_catalog::move_item(content& in, std::size_t modality, item_id item,
                                                 std::span<token_t const> before, std::span<token_t const> next,
                                                 set_list const& sets_before, set_list const& sets) const {
  auto const& place = *places_[modality];
  auto& trie = in.tries[place.group];
  auto const table_of = [&](std::int32_t set) {
    return std::ssize(in.kinds[place.group]) * (1 + index_t{set}) + place.table;
  };
  bool const moves = !std::ranges::equal(before, next);
  if (!before.empty()) {
    if (moves) trie.remove(place.table, before, item);
    for (auto const set : sets_before)
      if (moves || !std::ranges::binary_search(sets, set)) trie.remove(table_of(set), before, item);
  }
  if (!next.empty()) {
    if (moves) trie.insert(place.table, next, item);
    for (auto const set : sets)
      if (moves || !std::ranges::binary_search(sets_before, set)) trie.insert(table_of(set), next, item);
  }
}

MQL4GREC_DEFINITION void live_catalog::make(content& in, catalog_change const& change, std::uint64_t version) const {
  auto const sets_before = in.sets.of(change.item);
  put_in_sets(in, change);
  auto const sets = in.sets.of(change.item);
  for (std::size_t m = 0; m < places_.size(); ++m) {
    if (!places_[m]) continue;
    auto& tokens = in.tokens->items[m];
    std::span<token_t const> const next =
        m < change.sequences.size() ? std::span<token_t const>(change.sequences[m]) : std::span<token_t const>();
    auto const before = tokens.of(change.item, version);
    move_item(in, m, change.item, before, next, sets_before, sets);
    if (!std::ranges::equal(before, next)) tokens.set(change.item, next, version);
    if (!in.tokens->histories.empty()) in.tokens->histories[m].set(change.item, next, version);
  }
  in.items = std::max(in.items, index(change.item) + 1);
}

MQL4GREC_DEFINITION void live_catalog::replace_sets(named_sets const& sets) {
  std::unique_lock lock(mutex_);
  merged_.wait(lock, [&] { return !merging_; });  // a merge goes on from the sets that it began with
  expects(!broken_, "catalog: can't be changed since an earlier error; it has to be loaded again");
  auto const old = content_.sets;
  auto next = old.beginning_with(sets);
  auto const items = old.items_of_beginnings(next);
  auto const make_room = [&](index_t places) {
    if (!std::ranges::all_of(content_.tries, [&](auto const& trie) { return trie.has_room(places); })) merge_at_once(0);
  };
  make_room(next.size() - old.size());
  broken_ = true;  // unless all items are moved
  content_.sets = std::move(next);
  add_tables(content_, old.size());
  for (auto const item : items) {
    auto const before = old.of(item), after = content_.sets.of(item);
    if (before == after) continue;
    make_room(std::ssize(before) + std::ssize(after));
    for (std::size_t m = 0; m < places_.size(); ++m) {
      if (!places_[m]) continue;
      auto const tokens = content_.tokens->items[m].of(item, number_);
      move_item(content_, m, item, tokens, tokens, before, after);
    }
    ++pending_;
  }
  published_->replace(std::make_unique<catalog_version const>(version_of(content_, number_)));
  broken_ = false;
  bool const wanted = pending_ >= options_.merge_after;
  lock.unlock();
  if (wanted) merge_wanted_.notify_all();
}

MQL4GREC_DEFINITION std::vector<std::string> live_catalog::sets_of(item_id item) const {
  std::lock_guard const lock(mutex_);
  return content_.sets.names_of(item);
}

MQL4GREC_DEFINITION catalog_version live_catalog::version_of(content& from, std::uint64_t number) const {
  catalog_version out;
  out.number_ = number;
  out.items_ = from.items;
  out.tokens_ = from.tokens;
  out.sets_ = from.sets.numbers();
  for (std::size_t g = 0; g < from.kinds.size(); ++g) out.groups_.push_back({from.kinds[g], from.tries[g].publish()});
  return out;
}

MQL4GREC_DEFINITION std::uint64_t live_catalog::apply(std::span<catalog_change const> changes) {
  expects(!options_.follow, "catalog: follows the log of another process, which makes its changes");
  for (auto const& change : changes) check(change);
  request mine{.changes = changes};
  std::unique_lock lock(queue_mutex_);
  queue_.push_back(&mine);
  while (!mine.done) {
    if (committing_) {
      queue_changed_.wait(lock);
      continue;
    }
    // This thread commits what all waiting threads want.
    committing_ = true;
    auto const together = std::exchange(queue_, {});
    lock.unlock();
    commit(together);
    lock.lock();
    committing_ = false;
    for (auto* each : together) each->done = true;
    queue_changed_.notify_all();
  }
  lock.unlock();
  if (mine.failure) std::rethrow_exception(mine.failure);
  return mine.version;
}

MQL4GREC_DEFINITION void live_catalog::commit(std::span<request* const> requests) {
  std::unique_lock lock(mutex_);
  try {
    std::vector<catalog_change const*> changes;
    for (auto const* each : requests)
      for (auto const& change : each->changes) changes.push_back(&change);
    expects(!broken_, "catalog: can't be changed since an earlier error; it has to be loaded again");
    index_t new_sets = 0;  // at most
    for (auto const* change : changes)
      for (auto const& name : change->sets.value_or(std::vector<std::string>()))
        new_sets += content_.sets.numbers()->contains(name) ? 0 : 1;
    expects(content_.sets.size() + new_sets <= max_item_sets, "catalog: more than ", max_item_sets, " sets");
    auto const number = number_ + 1;
    if (log_ && !changes.empty()) log_->append(number, changes);
    broken_ = true;  // unless all changes of the record are made
    if (!changes.empty()) number_ = number;
    for (auto const* change : changes) {
      // The lock isn't released before all changes are made: a merge that ends would publish a part of them.
      make_within_room(*change, number);
      if (recording_) since_.emplace_back(number, *change);
    }
    pending_ += std::ssize(changes);
    if (!changes.empty()) published_->replace(std::make_unique<catalog_version const>(version_of(content_, number_)));
    broken_ = false;
    for (auto* each : requests) each->version = number_;
  } catch (...) {
    for (auto* each : requests) each->failure = std::current_exception();
  }
  bool const wanted = pending_ >= options_.merge_after && !merging_;
  lock.unlock();
  if (wanted) merge_wanted_.notify_all();
}

MQL4GREC_DEFINITION auto live_catalog::compacted(catalog_version const& from, detail::item_sets sets,
                                                 index_t items) const -> content {
  content out;
  out.sets = std::move(sets);
  out.items = from.items();
  for (auto const& group : from.groups()) {
    out.kinds.push_back(group.kinds);
    out.tries.push_back(live_trie::compact(group.trie, options_.tries));
  }
  auto const tokens = std::make_shared<detail::catalog_tokens>();
  for (auto const& [old, next] :
       {std::pair(&from.tokens_->items, &tokens->items), std::pair(&from.tokens_->histories, &tokens->histories)})
    for (auto const& each : *old) next->emplace_back(each, from.number(), items, options_.tokens);
  out.tokens = tokens;
  return out;
}

/// Merges while the caller holds the lock: when memory for changes is exhausted, and before readers exist.
MQL4GREC_DEFINITION void live_catalog::merge_at_once(index_t items) {
  content_ = compacted(version_of(content_, number_), content_.sets, items);
  pending_ = 0;
}

/// Merges without the lock; changes that are made meanwhile are repeated in the new arrays.
MQL4GREC_DEFINITION void live_catalog::merge_beside(std::unique_lock<std::mutex>& lock) {
  merged_.wait(lock, [&] { return !merging_; });
  expects(!broken_, "catalog: can't be merged since an earlier error; it has to be loaded again");
  merging_ = recording_ = true;
  auto const from = version_of(content_, number_);
  auto const sets = content_.sets;
  index_t const log_bytes = log_ ? log_->bytes() : 0, merged = pending_;
  lock.unlock();
  std::exception_ptr failure;
  try {
    auto next = compacted(from, sets, 0);
    // Most of the changes that were made meanwhile are repeated without the lock.
    std::vector<std::pair<std::uint64_t, catalog_change>> more;
    auto const repeat = [&] {
      for (auto const& [number, change] : more) {
        if (!has_room(next, change)) next = compacted(version_of(next, number), next.sets, index(change.item) + 1);
        make(next, change, number);
      }
    };
    lock.lock();
    while (since_.size() > 64) {
      more = std::exchange(since_, {});
      lock.unlock();
      repeat();
      lock.lock();
    }
    more = std::exchange(since_, {});
    repeat();
    expects(!broken_, "catalog: a change has failed during the merge; it has to be loaded again");
    content_ = std::move(next);
    recording_ = false;
    pending_ = std::max<index_t>(0, pending_ - merged);  // less if memory was exhausted meanwhile
    published_->replace(std::make_unique<catalog_version const>(version_of(content_, number_)));
    if (log_ && !log_->has_failed() && log_bytes >= options_.snapshot_after) {
      lock.unlock();
      write_snapshot(from, sets);
      lock.lock();
      log_->drop_before(log_bytes);
    }
  } catch (...) {
    failure = std::current_exception();
    if (!lock.owns_lock()) lock.lock();
  }
  merging_ = recording_ = false;
  since_.clear();
  merged_.notify_all();
  if (failure) std::rethrow_exception(failure);
}

MQL4GREC_DEFINITION void live_catalog::merge() {
  std::unique_lock lock(mutex_);
  merge_beside(lock);
}

MQL4GREC_DEFINITION void live_catalog::write_snapshot(catalog_version const& version, detail::item_sets const& sets) {
  if (options_.packed) {
    search::write_snapshot(
        snapshot_path(), fingerprint_,
        {.number = version.number(), .tables = {}, .changes = changes_since_the_beginning(version, sets)});
    return;
  }
  catalog_snapshot snapshot{.number = version.number(), .tables = {}, .sets = sets.changed_names()};
  for (auto const* tables : {&version.tokens_->items, &version.tokens_->histories})
    for (auto const& from : *tables) {
      auto& table = snapshot.tables.emplace_back();
      if (from.levels() == 0) continue;
      table = language::token_table(from.kind(), version.items(), from.levels());
      for (index_t i = 0; i < version.items(); ++i)
        if (auto const tokens = from.of(item_id(static_cast<std::int32_t>(i)), version.number()); !tokens.empty())
          table.set(item_id(static_cast<std::int32_t>(i)), tokens);
    }
  search::write_snapshot(snapshot_path(), fingerprint_, snapshot);
}

MQL4GREC_DEFINITION void live_catalog::merge_in_background() {
  std::unique_lock lock(mutex_);
  for (;;) {
    merge_wanted_.wait(lock, [&] { return stopping_ || pending_ >= options_.merge_after; });
    if (stopping_) return;
    try {
      merge_beside(lock);
    } catch (std::exception const& failure) {
      report(std::string("catalog: changes could not be merged: ") + failure.what());
      // tried again after as many further changes
      auto const later = pending_ + options_.merge_after;
      merge_wanted_.wait(lock, [&] { return stopping_ || pending_ >= later; });
    }
  }
}

}  // namespace mql4grec::search
