#pragma once
// Data parallelism: several ranks (processes, or threads of one) train one model. Each computes some shards of every
// batch, and the collectives here bring the results together. Every rank must make the same calls in the same order,
// otherwise the ranks wait forever.
//
//                        rank 0      rank 1             rank 0      rank 1
//   all_reduce           a           b             →    a + b       a + b
//   all_gather           a ·         · b           →    a b         a b
//   all_to_all           a b         c d           →    a c         b d
#include <concepts>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec::train {

/// The connection between the ranks that train one model, with the terms of MPI. Vectors are in the backend's memory,
/// and the calls are in the order of the backend's work; `numbers` are on the host. Offsets are those of the ranks'
/// parts: part r of a vector has the entries offsets[r] … offsets[r + 1] − 1.
///
/// Trainers in host memory call from more than one thread, one at a time.
///
/// - all_reduce replaces the values by their sum over all ranks. The order of the additions is the communicator's, but
///   equal on all ranks: all get the same bits. A sum in which all ranks but one have zeros is exact.
/// - all_gather: rank r has set part r; afterwards every rank has all parts.
/// - all_to_all: part r of `sent` goes to rank r; part r of `received` is what came from rank r.
template <class C, class B, class T>
concept Communicator = Backend<B> &&
    requires(C& communicator, B& b, in_vector<B, T> sent, out_vector<B, T> values, out_vector<B, double> sums,
             std::span<double> numbers, std::span<index_t const> offsets) {
  { communicator.rank() } -> std::same_as<index_t>;        // this rank's number, from 0
  { communicator.world_size() } -> std::same_as<index_t>;  // number of ranks
  communicator.all_reduce(b, values);
  communicator.all_reduce(b, sums);
  communicator.all_reduce(b, numbers);
  communicator.all_gather(b, values, offsets);
  communicator.all_to_all(b, sent, offsets, values, offsets);
};

/// A single process: every sum is its own value.
struct single_process {
  /// 0.
  index_t rank() const { return 0; }
  /// 1.
  index_t world_size() const { return 1; }
  /// Does nothing.
  template <class B, class Values>
  void all_reduce(B&, Values) const {}
  /// Does nothing.
  template <class B, class Values>
  void all_gather(B&, Values, std::span<index_t const>) const {}
  /// Copies the only part.
  template <class B, class T>
  void all_to_all(B& b, view<T const, typename B::memory_space, 1> sent, std::span<index_t const> offsets,
                  view<T, typename B::memory_space, 1> received, std::span<index_t const> received_offsets) const {
    copy<T>(b, sent.part(offsets[0], offsets[1] - offsets[0]),
            received.part(received_offsets[0], received_offsets[1] - received_offsets[0]));
  }
};

namespace detail {
template <class AllReduce>
void expect_equal(index_t rank, index_t ranks, std::string const& what, std::uint64_t value,
                  AllReduce const& all_reduce) {
  if (ranks == 1) return;
  std::vector<double> halves(to_size(2 * ranks), 0);  // a double has room for 53 bits
  halves[to_size(2 * rank)] = static_cast<double>(value >> 32);
  halves[to_size(2 * rank + 1)] = static_cast<double>(value & 0xffffffffu);
  all_reduce(std::span<double>(halves));
  for (index_t r = 1; r < ranks; ++r)
    expects(halves[to_size(2 * r)] == halves[0] && halves[to_size(2 * r + 1)] == halves[1], "rank ", r, ": ", what,
            " is not the same as on rank 0");
}
}  // namespace detail

/// Throws error on every rank if a value differs between ranks. The message contains `what` and the first rank whose
/// value isn't rank 0's. For checksums of what must be equal, such as files.
template <class Comm, Backend B>
void expect_equal(Comm& communicator, B& b, std::string const& what, std::uint64_t value) {
  detail::expect_equal(communicator.rank(), communicator.world_size(), what, value,
                       [&](std::span<double> numbers) { communicator.all_reduce(b, numbers); });
}

}  // namespace mql4grec::train
