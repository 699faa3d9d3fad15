#pragma once
// A backend is an object, passed first and found by ADL: its type is the policy, its value owns threads and scratch.
// An operation on a backend runs on one worker, serially; `for_each_worker` is the only place where workers run side by
// side.
#include <concepts>

#include "mql4grec/backend/contract/buffer.hpp"
#include "mql4grec/core/view.hpp"

namespace mql4grec {

/// A place where tensors live and kernels run. Everything above `backend/` is written once, against this.
template <class B>
concept Backend = MemorySpace<typename B::memory_space> && std::movable<B> && requires(B& backend, index_t n) {
  { backend.template allocate<float>(n) } -> std::same_as<buffer<float, typename B::memory_space>>;  // n zeros
  {backend.scratch().template take<float>(n)};     // until its scope ends
  { backend.workers() } -> std::same_as<index_t>;  // how many run side by side
  { backend.worker(n) } -> std::same_as<B&>;       // each with its own scratch
  { backend.synchronize() } -> std::same_as<void>;
};

/// A backend that can be opened again elsewhere: worker_options() opens one with a single worker on the same device and
/// in the same precision, as another thread wants it. Asked for by whatever answers requests from many threads.
template <class B>
concept ReopenableBackend = Backend<B> && requires(B const& backend) {
  { backend.worker_options() } -> std::same_as<typename B::options>;
  { backend.worker_options() == backend.worker_options() } -> std::same_as<bool>;
  B(backend.worker_options());
};

template <class B, class T>
using in_vector = view<T const, typename B::memory_space, 1>;
template <class B, class T>
using out_vector = view<T, typename B::memory_space, 1>;
template <class B, class T>
using in_matrix = view<T const, typename B::memory_space, 2>;
template <class B, class T>
using out_matrix = view<T, typename B::memory_space, 2>;

/// Copies and fills inside a backend's memory, in the order of its work. Asked for wherever tensors are made.
template <class B, class T>
concept MemoryOps = Backend<B> && requires(B& b, in_vector<B, T> from, out_vector<B, T> to, T value) {
  copy<T>(b, from, to);
  fill<T>(b, to, value);
};

/// Values that cross to a backend's memory in the order of its work, and come back. The host's own memory has no use
/// for them.
template <class B, class T>
concept TransferOps = Backend<B> &&
    requires(B& b, host_vector_view<T const> from, out_vector<B, T> to, in_vector<B, T> of, host_vector_view<T> back) {
  upload<T>(b, from, to);
  download<T>(b, of, back);
};

template <Backend B>
using scratch_scope = typename std::remove_reference_t<decltype(std::declval<B&>().scratch())>::scope;

}  // namespace mql4grec
