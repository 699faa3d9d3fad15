#pragma once
// The definitions of search/live_catalog.hpp.
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
  for (auto const& table : options_.history_tokens) history_levels_.push_back(table.levels());
  auto all = tables;
  all.insert(all.end(), options_.history_tokens.begin(), options_.history_tokens.end());
  options_.history_tokens.clear();
  fingerprint_ = fingerprint_of(all);
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
  if (!options_.log.empty())
    if (auto snapshot = read_snapshot(options_.log.string() + ".snapshot", fingerprint_)) {
      expects_file(snapshot->tables.size() == all.size(), options_.log.string() + ".snapshot",
                   "byte 40: ", snapshot->tables.size(), " tables, expected ", all.size());
      for (std::size_t i = 0; i < all.size(); ++i)
        if (snapshot->tables[i].levels() > 0) all[i] = std::move(snapshot->tables[i]);
      number_ = snapshot->number;
    }
  auto const tokens = std::make_shared<detail::catalog_tokens>();
  for (std::size_t i = 0; i < all.size(); ++i) {
    (i < tables.size() ? tokens->items : tokens->histories).emplace_back(all[i], options_.tokens);
    content_.items = std::max(content_.items, all[i].items());
  }
  content_.tokens = tokens;
  for (auto const& kinds : content_.kinds) {
    std::vector<language::token_table const*> together;
    for (auto const kind : kinds) together.push_back(&all[to_size(kind)]);
    content_.tries.emplace_back(together, options_.tries);
  }
  if (!options_.log.empty())
    log_.emplace(options_.log,
                 catalog_log::open_options{.fingerprint = fingerprint_,
                                           .after = number_,
                                           .replay =
                                               [&](std::uint64_t number, std::span<catalog_change const> changes) {
                                                 expects(number == number_ + 1, "record ", number, " follows ", number_,
                                                         ": the snapshot beside the log is missing or another one");
                                                 number_ = number;  // a merge below is one of this version
                                                 for (auto const& change : changes) {
                                                   check(change);
                                                   if (!has_room(content_, change))
                                                     merge_at_once(index(change.item) + 1);
                                                   make(content_, change, number);
                                                   ++pending_;
                                                 }
                                               },
                                           .report = options_.report});
  published_ = std::make_shared<detail::published_version>(
      std::make_unique<catalog_version const>(version_of(content_, number_)));
  merger_ = std::thread([this] { merge_in_background(); });
}

MQL4GREC_DEFINITION bool live_catalog::began_with(std::vector<language::token_table> const& tables,
                                                  std::vector<language::token_table> const& history_tokens) const {
  auto all = tables;
  all.insert(all.end(), history_tokens.begin(), history_tokens.end());
  return fingerprint_ == fingerprint_of(all);
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
  return std::ranges::all_of(in.tries, &live_trie::has_room) && std::ranges::all_of(in.tokens->items, fits) &&
         std::ranges::all_of(in.tokens->histories, fits);
}

MQL4GREC_DEFINITION void live_catalog::make(content& in, catalog_change const& change, std::uint64_t version) const {
  for (std::size_t m = 0; m < places_.size(); ++m) {
    if (!places_[m]) continue;
    auto const& [group, table, levels] = *places_[m];
    auto& tokens = in.tokens->items[m];
    std::span<token_t const> const next =
        m < change.sequences.size() ? std::span<token_t const>(change.sequences[m]) : std::span<token_t const>();
    auto const before = tokens.of(change.item, version);
    if (!std::ranges::equal(before, next)) {
      if (!before.empty()) in.tries[group].remove(table, before, change.item);
      if (!next.empty()) in.tries[group].insert(table, next, change.item);
      tokens.set(change.item, next, version);
    }
    if (!in.tokens->histories.empty()) in.tokens->histories[m].set(change.item, next, version);
  }
  in.items = std::max(in.items, index(change.item) + 1);
}

MQL4GREC_DEFINITION catalog_version live_catalog::version_of(content& from, std::uint64_t number) const {
  catalog_version out;
  out.number_ = number;
  out.items_ = from.items;
  out.tokens_ = from.tokens;
  for (std::size_t g = 0; g < from.kinds.size(); ++g) out.groups_.push_back({from.kinds[g], from.tries[g].publish()});
  return out;
}

MQL4GREC_DEFINITION std::uint64_t live_catalog::apply(std::span<catalog_change const> changes) {
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
    auto const number = number_ + 1;
    if (log_ && !changes.empty()) log_->append(number, changes);
    broken_ = true;  // unless all changes of the record are made
    if (!changes.empty()) number_ = number;
    for (auto const* change : changes) {
      // The lock isn't released before all changes are made: a merge that ends would publish a part of them.
      if (!has_room(content_, *change)) merge_at_once(index(change->item) + 1);
      make(content_, *change, number);
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

MQL4GREC_DEFINITION auto live_catalog::compacted(catalog_version const& from, index_t items) const -> content {
  content out;
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
  content_ = compacted(version_of(content_, number_), items);
  pending_ = 0;
}

/// Merges without the lock; changes that are made meanwhile are repeated in the new arrays.
MQL4GREC_DEFINITION void live_catalog::merge_beside(std::unique_lock<std::mutex>& lock) {
  merged_.wait(lock, [&] { return !merging_; });
  expects(!broken_, "catalog: can't be merged since an earlier error; it has to be loaded again");
  merging_ = recording_ = true;
  auto const from = version_of(content_, number_);
  index_t const log_bytes = log_ ? log_->bytes() : 0, merged = pending_;
  lock.unlock();
  std::exception_ptr failure;
  try {
    auto next = compacted(from, 0);
    // Most of the changes that were made meanwhile are repeated without the lock.
    std::vector<std::pair<std::uint64_t, catalog_change>> more;
    auto const repeat = [&] {
      for (auto const& [number, change] : more) {
        if (!has_room(next, change)) next = compacted(version_of(next, number), index(change.item) + 1);
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
    if (log_ && log_bytes >= options_.snapshot_after) {
      lock.unlock();
      write_snapshot(from);
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

MQL4GREC_DEFINITION void live_catalog::write_snapshot(catalog_version const& version) {
  catalog_snapshot snapshot{.number = version.number(), .tables = {}};
  for (auto const* tables : {&version.tokens_->items, &version.tokens_->histories})
    for (auto const& from : *tables) {
      auto& table = snapshot.tables.emplace_back();
      if (from.levels() == 0) continue;
      table = language::token_table(from.kind(), version.items(), from.levels());
      for (index_t i = 0; i < version.items(); ++i)
        if (auto const tokens = from.of(item_id(static_cast<std::int32_t>(i)), version.number()); !tokens.empty())
          table.set(item_id(static_cast<std::int32_t>(i)), tokens);
    }
  search::write_snapshot(options_.log.string() + ".snapshot", fingerprint_, snapshot);
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
