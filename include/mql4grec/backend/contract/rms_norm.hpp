#pragma once
// Operands of RMSNorm and of the residual connection before it.
#include "mql4grec/backend/contract/concepts.hpp"

namespace mql4grec {
inline namespace contract {

/// The inputs of RMSNorm.
template <MemorySpace S, class T>
struct rms_norm_inputs {
  view<T const, S, 2> x;     ///< (rows, d)
  view<T const, S, 1> gain;  ///< (d)
};

/// The gradients of RMSNorm's inputs. dx is overwritten, dgain is accumulated.
template <MemorySpace S, class T>
struct rms_norm_gradients {
  view<T, S, 2> dx;     ///< (rows, d)
  view<T, S, 1> dgain;  ///< (d)
};

/// The tensors of a residual connection and the norm after it: stream = from + dropout(stream), normed = RMSNorm of
/// stream.
template <MemorySpace S, class T>
struct residual_norm_tensors {
  view<T const, S, 2> from;  ///< (rows, d): the stream before the sublayer
  view<T const, S, 1> gain;  ///< (d)
  view<T, S, 2> stream;      ///< (rows, d): on entry the sublayer's result, then the sum
  view<T, S, 2> normed;      ///< (rows, d): overwritten
  view<T, S, 1> inv_rms;     ///< (rows): overwritten; the backward pass reads it
};

/// The gradients of a residual connection and the norm after it.
template <MemorySpace S, class T>
struct residual_norm_gradients {
  view<T, S, 2> dy;       ///< (rows, d): on entry the gradient of normed, then that of the sublayer's result
  view<T, S, 2> dstream;  ///< (rows, d): accumulated; on entry the stream's gradient from its other consumers
  view<T, S, 1> dgain;    ///< (d): accumulated
};

}  // namespace contract
}  // namespace mql4grec
