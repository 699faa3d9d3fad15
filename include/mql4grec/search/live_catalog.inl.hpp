#pragma once
// The definitions of search/live_catalog.hpp, without those of its files, which are in live_catalog_files.inl.hpp.
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

/// Those requests whose sets fit the catalog together; the others fail.
MQL4GREC_DEFINITION auto live_catalog::with_room_for_sets(std::span<request* const> requests) const
    -> std::vector<request*> {
  std::vector<request*> out;
  auto size = content_.sets.size();
  for (auto* each : requests) {
    auto more = size;  // at most
    for (auto const& change : each->changes)
      if (change.sets)
        more += std::ranges::count_if(*change.sets,
                                      [&](auto const& name) { return !content_.sets.numbers()->contains(name); });
    if (more > max_item_sets) {
      each->failure = std::make_exception_ptr(error("catalog: more than " + std::to_string(max_item_sets) + " sets"));
      continue;
    }
    size = more;
    out.push_back(each);
  }
  return out;
}

MQL4GREC_DEFINITION void live_catalog::commit(std::span<request* const> waiting) {
  std::unique_lock lock(mutex_);
  auto const requests = with_room_for_sets(waiting);
  try {
    std::vector<catalog_change const*> changes;
    for (auto const* each : requests)
      for (auto const& change : each->changes) changes.push_back(&change);
    expects(!broken_, "catalog: can't be changed since an earlier error; it has to be loaded again");
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
