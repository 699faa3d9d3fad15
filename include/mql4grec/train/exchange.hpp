#pragma once
// Values of any type on the host, which ranks bring together or send to each other. Every rank calls these functions in
// the same order.
#include <cstring>
#include <numeric>
#include <span>
#include <string>
#include <type_traits>
#include <vector>

#include "mql4grec/train/host_communicator.hpp"

namespace mql4grec::train {

namespace detail {

/// Offsets of parts of so many values in words of eight bytes, which are copied and never computed with. Each part has
/// words of its own.
template <class T>
std::vector<index_t> word_offsets(std::span<index_t const> counts) {
  constexpr index_t bytes = sizeof(T), word = sizeof(double);
  std::vector<index_t> offsets = {0};
  for (index_t const n : counts) offsets.push_back(offsets.back() + (n * bytes + word - 1) / word);
  return offsets;
}

template <class T>
void copy_to_words(std::span<T const> values, double* words) {
  if (!values.empty()) std::memcpy(words, values.data(), values.size_bytes());
}

/// The values of some parts, back to back.
template <class T>
std::vector<T> values_of(std::span<double const> words, std::span<index_t const> offsets,
                         std::span<index_t const> counts) {
  std::vector<T> values(to_size(std::reduce(counts.begin(), counts.end())));
  index_t done = 0;
  for (std::size_t r = 0; r < counts.size(); ++r) {
    if (counts[r] > 0) std::memcpy(values.data() + done, words.data() + offsets[r], to_size(counts[r]) * sizeof(T));
    done += counts[r];
  }
  return values;
}

}  // namespace detail

/// Throws error on every rank if a value differs between ranks. The message contains `what` and the first rank whose
/// value isn't rank 0's.
inline void expect_equal(host_communicator const& ranks, std::string const& what, std::uint64_t value) {
  detail::expect_equal(ranks.rank(), ranks.world_size(), what, value,
                       [&](std::span<double> numbers) { ranks.all_reduce(numbers); });
}

/// A value of rank 0, for all ranks.
[[nodiscard]] inline index_t of_first_rank(host_communicator const& ranks, index_t value) {
  double number = ranks.rank() == 0 ? static_cast<double>(value) : 0;  // exact below 2⁵³
  ranks.all_reduce(std::span(&number, 1));
  return static_cast<index_t>(number);
}

/// The sum of a value of each rank.
[[nodiscard]] inline index_t sum_of_ranks(host_communicator const& ranks, index_t value) {
  auto number = static_cast<double>(value);
  ranks.all_reduce(std::span(&number, 1));
  return static_cast<index_t>(number);
}

/// Returns when all ranks have called it.
inline void wait_for_all(host_communicator const& ranks) { static_cast<void>(sum_of_ranks(ranks, 0)); }

/// The values of all ranks, back to back in the order of the ranks.
template <class T>
  requires std::is_trivially_copyable_v<T>
[[nodiscard]] std::vector<T> gather(host_communicator const& ranks, std::span<T const> mine) {
  if (ranks.world_size() == 1) return {mine.begin(), mine.end()};
  std::vector<double> numbers(to_size(ranks.world_size()), 0);
  numbers[to_size(ranks.rank())] = static_cast<double>(mine.size());
  ranks.all_reduce(std::span(numbers));
  std::vector<index_t> const counts(numbers.begin(), numbers.end());
  auto const offsets = detail::word_offsets<T>(counts);
  std::vector<double> words(to_size(offsets.back()));
  detail::copy_to_words(mine, words.data() + offsets[to_size(ranks.rank())]);
  ranks.all_gather(std::span(words), offsets);
  return detail::values_of<T>(words, offsets, counts);
}

/// Sends part r of the values, offsets[r] … offsets[r + 1] − 1, to rank r. Returns what came from the ranks, back to
/// back in their order.
template <class T>
  requires std::is_trivially_copyable_v<T>
[[nodiscard]] std::vector<T> exchange(host_communicator const& ranks, std::span<T const> values,
                                      std::span<index_t const> offsets) {
  if (ranks.world_size() == 1) return {values.begin(), values.end()};
  auto const n = to_size(ranks.world_size()), rank = to_size(ranks.rank());
  std::vector<double> numbers(n * n, 0);
  std::vector<index_t> sizes, counts;
  for (std::size_t r = 0; r < n; ++r) {
    sizes.push_back(offsets[r + 1] - offsets[r]);
    numbers[rank * n + r] = static_cast<double>(sizes.back());
  }
  ranks.all_reduce(std::span(numbers));
  for (std::size_t r = 0; r < n; ++r) counts.push_back(static_cast<index_t>(numbers[r * n + rank]));
  auto const sent_at = detail::word_offsets<T>(sizes), received_at = detail::word_offsets<T>(counts);
  std::vector<double> sent(to_size(sent_at.back())), received(to_size(received_at.back()));
  for (std::size_t r = 0; r < n; ++r)
    detail::copy_to_words(values.subspan(to_size(offsets[r]), to_size(sizes[r])), sent.data() + sent_at[r]);
  ranks.all_to_all(std::span<double const>(sent), sent_at, std::span(received), received_at);
  return detail::values_of<T>(received, received_at, counts);
}

}  // namespace mql4grec::train
