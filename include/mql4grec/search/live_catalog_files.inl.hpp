#pragma once
// How a live_catalog goes on from its log and its snapshot, follows those of another process, and writes snapshots.
#include <sys/stat.h>

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/search/live_catalog.hpp"

namespace mql4grec::search {

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

}  // namespace mql4grec::search
