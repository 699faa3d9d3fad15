#pragma once
// What every communicator must do, checked with the communicator itself: one function for each collective. Every rank
// calls them in the same order. They throw error with the collective, the rank, the place and the value.
#include <concepts>
#include <future>
#include <span>
#include <vector>

#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/core/checksum.hpp"
#include "mql4grec/train/communicator.hpp"

namespace mql4grec::train {

namespace detail {

/// A number for an entry of a rank: a small whole one, so that sums are exact in any order.
inline double number_of(index_t rank, index_t i) { return static_cast<double>((rank + 1) * 100 + i % 97); }

template <class T, Backend B>
void check_values(B& b, in_vector<B, T> values, char const* collective, index_t rank, auto const& expected) {
  host_copy<T, typename B::memory_space> const copied(b, values);
  auto const found = copied.view_all();
  for (index_t i = 0; i < found.size(); ++i)
    expects(static_cast<double>(found(i)) == expected(i), collective, ": rank ", rank, " has ", found(i), " at ", i,
            ", expected ", expected(i));
}

template <class T, Backend B>
buffer<T, typename B::memory_space> values_of(B& b, index_t n, auto const& number) {
  auto made = b.template allocate<T>(n);
  fill(made.view_all(), [&](host_vector_view<T> to) {
    for (index_t i = 0; i < n; ++i) to(i) = static_cast<T>(number(i));
  });
  return made;
}

/// Parts of different sizes, some of them empty.
inline std::vector<index_t> uneven_offsets(index_t ranks, index_t unit, index_t shift) {
  std::vector<index_t> offsets = {0};
  for (index_t r = 0; r < ranks; ++r) offsets.push_back(offsets.back() + (r + shift) % 3 * unit);
  return offsets;
}

}  // namespace detail

/// all_reduce of n values in the backend's memory.
template <class T, class Comm, Backend B>
void check_all_reduce(B& b, Comm& communicator, index_t n) {
  static_assert(Communicator<Comm, B, T>);
  auto const rank = communicator.rank(), ranks = communicator.world_size();
  auto values = detail::values_of<T>(b, n, [&](index_t i) { return detail::number_of(rank, i); });
  communicator.all_reduce(b, values.view_all());
  detail::check_values<T>(b, std::as_const(values).view_all(), "all_reduce", rank, [&](index_t i) {
    double sum = 0;
    for (index_t r = 0; r < ranks; ++r) sum += detail::number_of(r, i);
    return sum;
  });
}

/// all_reduce of n numbers on the host: fractions, whose sum is the same bits on all ranks, and is exact where all
/// ranks but one have zeros.
template <class T, class Comm, Backend B>
void check_all_reduce_of_numbers(B& b, Comm& communicator, index_t n) {
  auto const rank = communicator.rank(), ranks = communicator.world_size();
  auto const fraction = [](index_t r, index_t i) { return 1 / detail::number_of(r, i); };
  std::vector<double> sums, lonely;
  for (index_t i = 0; i < n; ++i) {
    sums.push_back(fraction(rank, i));
    lonely.push_back(i % ranks == rank ? fraction(rank, i) : 0);
  }
  communicator.all_reduce(b, std::span(sums));
  communicator.all_reduce(b, std::span(lonely));
  std::uint64_t bits = 0;
  for (index_t i = 0; i < n; ++i) {
    double expected = 0;
    for (index_t r = 0; r < ranks; ++r) expected += fraction(r, i);
    double const found = sums[to_size(i)], exact = fraction(i % ranks, i);
    expects(found > expected * (1 - 1e-12) && found < expected * (1 + 1e-12), "all_reduce of numbers: rank ", rank,
            " has ", found, " at ", i, ", expected ", expected);
    expects(lonely[to_size(i)] == exact, "all_reduce of numbers and zeros: rank ", rank, " has ", lonely[to_size(i)],
            " at ", i, ", expected ", exact);
    bits = checksum(std::as_bytes(std::span(&found, 1)), bits);
  }
  expect_equal(communicator, b, "all_reduce of numbers", bits);
}

/// all_gather of parts of different sizes.
template <class T, class Comm, Backend B>
void check_all_gather(B& b, Comm& communicator, index_t unit) {
  auto const rank = communicator.rank(), ranks = communicator.world_size();
  auto const offsets = detail::uneven_offsets(ranks, unit, 1);
  auto const first = offsets[to_size(rank)], last = offsets[to_size(rank + 1)];
  auto values = detail::values_of<T>(b, offsets.back(), [&](index_t i) {
    return i >= first && i < last ? detail::number_of(rank, i) : -1;  // what isn't its own is overwritten
  });
  communicator.all_gather(b, values.view_all(), std::span<index_t const>(offsets));
  index_t owner = 0;
  detail::check_values<T>(b, std::as_const(values).view_all(), "all_gather", rank, [&](index_t i) {
    while (i >= offsets[to_size(owner + 1)]) ++owner;
    return detail::number_of(owner, i);
  });
}

/// all_to_all of parts whose size depends on the sender, with a sender of nothing, and what surrounds the parts.
template <class T, class Comm, Backend B>
void check_all_to_all(B& b, Comm& communicator, index_t unit) {
  auto const rank = communicator.rank(), ranks = communicator.world_size();
  auto const size_of = [&](index_t sender, index_t receiver) { return (sender + 2 * receiver) % 3 * unit; };
  std::vector<index_t> offsets = {1}, places = {2};  // what is before the first part stays
  for (index_t r = 0; r < ranks; ++r) {
    offsets.push_back(offsets.back() + size_of(rank, r));
    places.push_back(places.back() + size_of(r, rank));
  }
  auto const sent =
      detail::values_of<T>(b, offsets.back(), [&](index_t i) { return detail::number_of(rank, i) * 100; });
  auto received = detail::values_of<T>(b, places.back() + 1, [&](index_t) { return -1.0; });
  communicator.all_to_all(b, sent.view_all(), std::span<index_t const>(offsets), received.view_all(),
                          std::span<index_t const>(places));
  auto const expected = [&](index_t i) {
    for (index_t r = 0; r < ranks; ++r) {
      index_t place = 1;  // of the part in the sender's values
      for (index_t other = 0; other < rank; ++other) place += size_of(r, other);
      if (i >= places[to_size(r)] && i < places[to_size(r + 1)])
        return detail::number_of(r, place + i - places[to_size(r)]) * 100;
    }
    return -1.0;
  };
  detail::check_values<T>(b, std::as_const(received).view_all(), "all_to_all", rank, expected);
  detail::check_values<T>(b, sent.view_all(), "all_to_all, which changed what was sent", rank,
                          [&](index_t i) { return detail::number_of(rank, i) * 100; });
}

/// all_reduce, all_gather and all_to_all by another thread of every rank than the caller: trainers sum gradients so. Of
/// communicators in host memory; those of devices follow the order of the device's work.
template <class T, class Comm, Backend B>
void check_other_thread(B& b, Comm& communicator, index_t n) {
  if constexpr (std::same_as<typename B::memory_space, host_space>) {
    auto beside = std::async(std::launch::async, [&] {
      for (int again = 0; again < 3; ++again) {
        check_all_reduce<T>(b, communicator, n);
        check_all_gather<T>(b, communicator, n);
        check_all_to_all<T>(b, communicator, n);
      }
    });
    beside.get();
    check_all_reduce<T>(b, communicator, n);  // and by this one again
  }
}

/// All collectives with values of type T, with few values and with many.
template <class T, class Comm, Backend B>
void check_communicator(B& b, Comm& communicator) {
  index_t const ranks = communicator.world_size();
  expects(ranks >= 1 && communicator.rank() >= 0 && communicator.rank() < ranks, "communicator: rank ",
          communicator.rank(), " of ", ranks);
  for (index_t const n : {index_t{0}, index_t{1}, index_t{3}, index_t{1000}, index_t{100'003}}) {
    check_all_reduce<T>(b, communicator, n);
    check_all_reduce_of_numbers<T>(b, communicator, n);
    check_all_gather<T>(b, communicator, n);
    check_all_to_all<T>(b, communicator, n);
  }
  check_other_thread<T>(b, communicator, 5000);
  bool equal = false;  // a value that differs is reported on every rank
  try {
    expect_equal(communicator, b, "a value", communicator.rank() == ranks - 1 ? ~std::uint64_t{0} : 1);
    equal = true;
  } catch (error const&) {
  }
  expects(equal == (ranks == 1), "expect_equal: rank ", communicator.rank(), " was told that unequal values are equal");
}

}  // namespace mql4grec::train
