#pragma once
// Ranks that are threads of one process: for tests, and for several devices of one machine.
//
//     train::run_on_threads(2, [&](train::host_communicator ranks) {
//       cpu::backend backend;  // one for each rank
//       …
//     });
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <thread>
#include <type_traits>

#include "mql4grec/backend/contract/row_blocks.hpp"
#include "mql4grec/train/host_communicator.hpp"

namespace mql4grec::train {

namespace detail {

/// Where the threads meet: each shows the others its values, and all wait for each other.
class meeting_point {
 public:
  meeting_point(index_t ranks, connection_limits const& limits)
      : shown_(to_size(ranks)), arrived_(to_size(ranks), 0), limits_(limits) {}

  struct shown_values {
    host_values values = {};
    std::span<index_t const> offsets = {};
  };

  index_t ranks() const { return std::ssize(shown_); }
  /// What this rank shows at the next meeting.
  void show(index_t rank, shown_values const& mine) { shown_[to_size(rank)] = mine; }
  shown_values const& of(index_t rank) const { return shown_[to_size(rank)]; }

  /// Waits for all ranks. Throws other_rank_failed if a rank has failed before all have come, and rank_missing on the
  /// first rank that has waited for too long.
  void meet(index_t rank) {
    std::unique_lock lock(mutex_);
    if (failure_) raise<other_rank_failed>(*failure_);
    arrived_[to_size(rank)] = meetings_ + 1;
    if (is_last()) return;
    auto const have_met = [this, now = meetings_] { return meetings_ != now; };
    auto const ended = [&] { return failure_ || have_met(); };
    if (limits_.wait_seconds == 0) {
      changed_.wait(lock, ended);
    } else if (!changed_.wait_for(lock, std::chrono::duration<double>(limits_.wait_seconds), ended)) {
      std::vector<index_t> missing;
      for (index_t r = 0; r < ranks(); ++r)
        if (arrived_[to_size(r)] != meetings_ + 1) missing.push_back(r);
      failure_ = text_of_missing(missing, limits_.wait_seconds);
      changed_.notify_all();
      raise<rank_missing>(*failure_);
    }
    if (!have_met()) raise<other_rank_failed>(*failure_);  // a rank may have failed since they met
  }
  /// Waits until all ranks have read what the others have shown, however long it takes: what this rank has shown must
  /// outlive their reading. All have come to a meeting before, and none fails in between.
  void part() {
    std::unique_lock lock(mutex_);
    if (is_last()) return;
    changed_.wait(lock, [this, now = meetings_] { return meetings_ != now; });
  }
  /// Ends the waiting of all ranks, now and later.
  void fail(std::string why) {
    std::scoped_lock const lock(mutex_);
    if (!failure_) failure_ = std::move(why);
    changed_.notify_all();
  }

 private:
  /// Counts a rank that comes; whether all have. Needs the lock.
  bool is_last() {
    if (++waiting_ < ranks()) return false;
    waiting_ = 0;
    ++meetings_;
    changed_.notify_all();
    return true;
  }

  std::vector<shown_values> shown_;
  std::vector<std::uint64_t> arrived_;  // the meeting, counted from 1, to which each rank came last
  connection_limits limits_;
  std::mutex mutex_;
  std::condition_variable changed_;
  index_t waiting_ = 0;
  std::uint64_t meetings_ = 0;
  std::optional<std::string> failure_;
};

/// A rank of a meeting point.
class thread_rank final : public rank_connection {
 public:
  thread_rank(meeting_point& where, index_t rank) : where_(where), rank_(rank) {}

  index_t rank() const override { return rank_; }
  index_t world_size() const override { return where_.ranks(); }

  void all_reduce(host_values values) override {
    with_scalars(values, [&](auto mine) {  // each rank adds a part, in the order of ranks
      using scalar = typename decltype(mine)::value_type;
      std::vector<index_t> offsets;
      for (index_t r = 0; r <= world_size(); ++r) offsets.push_back(values.size * r / world_size());
      auto const first = to_size(offsets[to_size(rank_)]), last = to_size(offsets[to_size(rank_ + 1)]);
      std::vector<scalar> sums(last - first, scalar{});
      together({values, {}}, [&] {
        for (index_t r = 0; r < world_size(); ++r) {
          auto const* const other = static_cast<scalar const*>(same_size(r, values).values.data) + first;
          for (std::size_t i = 0; i < sums.size(); ++i) sums[i] = r == 0 ? other[i] : sums[i] + other[i];
        }
      });
      std::copy(sums.begin(), sums.end(), mine.begin() + static_cast<std::ptrdiff_t>(first));
      all_gather(values, offsets);
    });
  }
  void all_gather(host_values values, std::span<index_t const> offsets) override {
    together({values, offsets}, [&] {
      for (index_t r = 0; r < world_size(); ++r)
        if (r != rank_) copy_part(same_size(r, values).values, offsets[to_size(r)], values, offsets, r);
    });
  }
  void all_to_all(host_values sent, std::span<index_t const> offsets, host_values received,
                  std::span<index_t const> received_offsets) override {
    together({sent, offsets}, [&] {
      for (index_t r = 0; r < world_size(); ++r) {
        auto const& other = where_.of(r);
        auto const first = other.offsets[to_size(rank_)];
        index_t const size = other.offsets[to_size(rank_ + 1)] - first,
                      place = received_offsets[to_size(r + 1)] - received_offsets[to_size(r)];
        expects(size == place, "all_to_all: rank ", r, " sends ", size, " values to rank ", rank_, ", which expects ",
                place);
        copy_part(other.values, first, received, received_offsets, r);
      }
    });
  }

 private:
  /// Shows `mine`, calls read() when all ranks show theirs, and returns when all have read.
  template <class Read>
  void together(meeting_point::shown_values const& mine, Read const& read) {
    where_.show(rank_, mine);
    where_.meet(rank_);
    std::exception_ptr problem;
    try {
      read();
    } catch (...) {  // the others may still read what this rank shows
      problem = std::current_exception();
    }
    where_.part();
    if (problem) std::rethrow_exception(problem);
  }
  meeting_point::shown_values const& same_size(index_t r, host_values mine) const {
    auto const& other = where_.of(r);
    expects(other.values.size == mine.size && other.values.bytes_of_each == mine.bytes_of_each, "a collective: rank ",
            r, " has ", other.values.size, " values and rank ", rank_, " ", mine.size);
    return other;
  }
  static void copy_part(host_values from, index_t first, host_values to, std::span<index_t const> offsets, index_t r) {
    auto const begin = offsets[to_size(r)], count = offsets[to_size(r + 1)] - begin;
    if (count > 0)
      std::memcpy(static_cast<std::byte*>(to.data) + to_size(begin) * to.bytes_of_each,
                  static_cast<std::byte const*>(from.data) + to_size(first) * from.bytes_of_each,
                  to_size(count) * to.bytes_of_each);
  }

  meeting_point& where_;
  index_t rank_;
};

}  // namespace detail

/// Calls work(communicator) on so many threads at once, one for each rank, and returns when all have returned. An
/// exception on one rank ends the others at their next collective; it is thrown again here, that of the lowest rank if
/// several have failed by themselves. With limits.wait_seconds, so does a rank for which others have waited that long;
/// its thread can't be ended, and is waited for. Throws error for fewer than one rank.
inline void run_on_threads(index_t ranks, std::function<void(host_communicator)> const& work,
                           connection_limits const& limits = {}) {
  expects(ranks >= 1, "run_on_threads: ", ranks, " ranks, expected at least 1");
  validate(limits);
  detail::meeting_point where(ranks, limits);
  std::vector<std::exception_ptr> failures(to_size(ranks)), consequences(to_size(ranks));
  auto const run = [&](index_t rank) {
    try {
      work(host_communicator(std::make_shared<detail::thread_rank>(where, rank)));
      return;
    } catch (other_rank_failed const&) {
      consequences[to_size(rank)] = std::current_exception();
    } catch (...) {
      failures[to_size(rank)] = std::current_exception();
    }
    where.fail("rank " + std::to_string(rank) + " has failed");
  };
  {
    std::vector<std::jthread> threads;
    try {
      for (index_t rank = 1; rank < ranks; ++rank) threads.emplace_back(run, rank);
    } catch (...) {
      where.fail("a thread couldn't be started");  // the threads that were wait for it
      throw;
    }
    run(0);
  }
  for (auto const* all : {&failures, &consequences})
    for (auto const& one : *all)
      if (one) std::rethrow_exception(one);
}

}  // namespace mql4grec::train
