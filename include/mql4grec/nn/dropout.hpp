#pragma once
#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/backend/contract/dropout.hpp"

namespace mql4grec::nn {

/// What dropout and the residual connection ask of a backend.
template <class B, class T>
concept DropoutOps = Backend<B> && requires(B& b, dropout site, in_matrix<B, T> x, out_matrix<B, T> y) {
  dropout_apply<T>(b, site, y);
  dropout_add<T>(b, site, x, y);
  dropout_copy<T>(b, site, x, y);
};

/// The dropout sites of one training step: each place of the model takes the next number, so that the forward and the
/// backward pass, which name a place alike, draw the same mask.
struct dropout_plan {
  double rate = 0;  ///< 0: inference
  std::uint64_t seed = 0;
  std::uint32_t step = 0;
  std::int64_t const* step_place = nullptr;  ///< see dropout

  constexpr dropout at(index_t site, index_t first_row) const {
    return {.rate = rate,
            .seed = seed,
            .step = step,
            .site = static_cast<std::uint32_t>(site),
            .first_row = first_row,
            .step_place = step_place};
  }
};

}  // namespace mql4grec::nn
