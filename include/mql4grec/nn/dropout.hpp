#pragma once
// Dropout sites of a model. Forward and backward pass must use the same site numbers.
#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/backend/contract/dropout.hpp"

namespace mql4grec::nn {

/// The operations that dropout and the residual connection require of a backend.
template <class B, class T>
concept DropoutOps = Backend<B> && requires(B& b, dropout site, in_matrix<B, T> x, out_matrix<B, T> y) {
  dropout_apply<T>(b, site, y);
  dropout_add<T>(b, site, x, y);
  dropout_copy<T>(b, site, x, y);
};

/// The dropout sites of one training step. Each place in the model has its own number; the forward and the backward
/// pass use the same one, so that they compute the same mask.
struct dropout_plan {
  double rate = 0;                           ///< fraction of entries set to zero; 0 for inference
  std::uint64_t seed = 0;                    ///< the run's seed
  std::uint32_t step = 0;                    ///< the training step
  std::int64_t const* step_place = nullptr;  ///< see dropout::step_place

  /// The site of a number; `first_row` is the number of the tensor's row 0 in the whole batch.
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
