#pragma once
// Gradient surgery, PCGrad (Yu et al., "Gradient Surgery for Multi-Task Learning", NeurIPS 2020): where the gradients
// of two groups of examples conflict, each loses its component along the other. A projected gradient is a linear
// combination of the groups' gradients, so it is computed on their inner products: the only memory is one flat gradient
// for each group.
#include <algorithm>
#include <cmath>
#include <concepts>
#include <cstddef>
#include <numeric>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/backend/contract/row_blocks.hpp"
#include "mql4grec/core/random.hpp"
#include "mql4grec/optim/adamw.hpp"

namespace mql4grec::optim {

/// The operations that gradient surgery requires of a backend.
template <class B, class T>
concept SurgeryOps = OptimizerOps<B, T> && MemoryOps<B, T> && requires(B& b, in_matrix<B, T> x, out_matrix<B, T> y) {
  add_scaled<T>(b, 1.0, x, y);
};

/// The weights w of the sum Σ w_j · g_j that equals the sum of all projected gradients, for the inner products
/// (groups · groups) of the gradients g. Each gradient is projected onto the normal plane of every other one that it
/// conflicts with, in random order (Algorithm 1 of the paper). Without conflicts all weights are 1.
[[nodiscard]] inline std::vector<double> surgery_weights(std::span<double const> products, random_stream random) {
  std::size_t groups = 0;
  while (groups * groups < products.size()) ++groups;
  std::vector<double> weights(groups, 0);
  for (std::size_t i = 0; i < groups; ++i) {
    std::vector<std::size_t> others(groups);
    std::iota(others.begin(), others.end(), std::size_t{0});
    others.erase(others.begin() + static_cast<std::ptrdiff_t>(i));
    for (std::size_t n = others.size(); n > 1; --n)
      std::swap(others[n - 1], others[to_size(random.below(static_cast<index_t>(n)))]);
    std::vector<double> projected(groups, 0);  // the coefficients of the gradients in the projected one
    projected[i] = 1;
    for (auto const j : others) {
      double dot = 0;
      for (std::size_t m = 0; m < groups; ++m) dot += projected[m] * products[m * groups + j];
      if (double const square = products[j * groups + j]; dot < 0 && square > 0) projected[j] -= dot / square;
    }
    for (std::size_t m = 0; m < groups; ++m) weights[m] += projected[m];
  }
  return weights;
}

namespace detail {
/// A vector as a matrix of one row.
template <class T, MemorySpace S>
view<T, S, 2> one_row(view<T, S, 1> v) {
  return {v.data, 1, v.size()};
}

/// Entries that are computed at once. On the host their sums and differences stay in a cache; a device has no use for
/// pieces, and would be waited for after each.
template <class B>
index_t surgery_piece(index_t entries) {
  return std::same_as<typename B::memory_space, host_space> ? index_t{1} << 14 : std::max<index_t>(1, entries);
}
}  // namespace detail

/// The inner products (groups · groups) of flat gradients of one size. Those of different groups are
/// (‖a + b‖² − ‖a − b‖²) / 4; sums are in double precision, over pieces whose size doesn't depend on the number of
/// workers.
template <class T, class B>
[[nodiscard]] std::vector<double> inner_products(B& b, std::span<out_vector<B, T> const> gradients) {
  static_assert(SurgeryOps<B, T>, "this backend has no add_scaled for this scalar; add it in squared_error.hpp");
  std::size_t const groups = gradients.size();
  index_t const n = gradients.front().size(), piece = detail::surgery_piece<B>(n), pieces = (n + piece - 1) / piece;
  std::vector<double> partial(to_size(pieces) * groups * groups, 0);
  for_each_worker(b, [&](B& worker, index_t number) {
    scratch_scope<B> const scope(worker.scratch());
    auto const scratch = take<T>(worker, piece);
    auto const share = worker_share{number, b.workers()}.of(pieces);
    for (index_t at = share.first; at < share.first + share.count; ++at) {
      auto const mine = std::span(partial).subspan(to_size(at) * groups * groups, groups * groups);
      index_t const first = at * piece, count = std::min(piece, n - first);
      auto const part = [&](std::size_t g) { return in_vector<B, T>(gradients[g].part(first, count)); };
      auto const square_of_sum = [&](std::size_t i, std::size_t j, double sign) {
        auto const sum = scratch.part(0, count);
        copy<T>(worker, part(i), sum);
        add_scaled<T>(worker, sign, detail::one_row(part(j)), detail::one_row(sum));
        return static_cast<double>(sum_of_squares<T>(worker, in_vector<B, T>(sum)));
      };
      for (std::size_t i = 0; i < groups; ++i) {
        mine[i * groups + i] = static_cast<double>(sum_of_squares<T>(worker, part(i)));
        for (std::size_t j = 0; j < i; ++j)
          mine[i * groups + j] = (square_of_sum(i, j, 1) - square_of_sum(i, j, -1)) / 4;
      }
    }
  });
  std::vector<double> products(groups * groups, 0);
  for (std::size_t i = 0; i < groups; ++i)
    for (std::size_t j = 0; j <= i; ++j) {
      for (std::size_t at = i * groups + j; at < partial.size(); at += groups * groups)
        products[i * groups + j] += partial[at];
      products[j * groups + i] = products[i * groups + j];
    }
  return products;
}

/// out = the sum of the projected gradients; `random` decides the order of the projections. All vectors have the same
/// size, out is none of the gradients, and there is at least one gradient. Returns the norm of the sum. Has the same
/// bits for any number of workers.
template <class T, class B>
double combine_gradients(B& b, std::span<out_vector<B, T> const> gradients, random_stream random,
                         std::type_identity_t<out_vector<B, T>> out) {
  auto const weights = surgery_weights(inner_products<T>(b, gradients), random);
  index_t const n = out.size(), piece = detail::surgery_piece<B>(n), pieces = (n + piece - 1) / piece;
  std::vector<double> squares(to_size(pieces), 0);
  for_each_worker(b, [&](B& worker, index_t number) {
    auto const share = worker_share{number, b.workers()}.of(pieces);
    for (index_t at = share.first; at < share.first + share.count; ++at) {
      index_t const begin = at * piece, count = std::min(piece, n - begin);
      auto const mine = out.part(begin, count);
      fill<T>(worker, mine, T{});
      for (std::size_t g = 0; g < gradients.size(); ++g) {
        in_vector<B, T> const part = gradients[g].part(begin, count);
        add_scaled<T>(worker, weights[g], detail::one_row(part), detail::one_row(mine));
      }
      squares[to_size(at)] = static_cast<double>(sum_of_squares<T>(worker, in_vector<B, T>(mine)));
    }
  });
  return std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0));
}

}  // namespace mql4grec::optim
