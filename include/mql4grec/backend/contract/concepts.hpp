#pragma once
// What every backend provides. A backend is an object; operations are free functions that receive it first and are
// found by ADL. Its type selects the implementations; its value owns threads and scratch.
//
// Rules for all operations; breaking 2 or 3 gives wrong results without an error:
// 1. Callers (nn/ and the stages) check shapes and throw error. Operations only assert.
// 2. An output must not overlap an input or another output, unless the operation's documentation allows it ("y may be
//    x", "in place").
// 3. An operation may return before it has been executed, on a GPU. Later operations on the same backend see its
//    results; the host calls synchronize(), or downloads them, before it reads them.
// 4. An operation runs serially on the worker that is passed to it. Workers run in parallel inside `for_each_worker`
//    only.
#include <concepts>

#include "mql4grec/backend/contract/buffer.hpp"
#include "mql4grec/core/view.hpp"

namespace mql4grec {
inline namespace contract {

/// A place where tensors are stored and operations run. All code outside `backend/` is written against this concept.
template <class B>
concept Backend = MemorySpace<typename B::memory_space> && std::movable<B> && requires(B& backend, index_t n) {
  { backend.template allocate<float>(n) } -> std::same_as<buffer<float, typename B::memory_space>>;  // n zeros
  {backend.scratch().template take<float>(n)};     // valid until its scope ends; see arena
  { backend.workers() } -> std::same_as<index_t>;  // the number of workers that run in parallel
  { backend.worker(n) } -> std::same_as<B&>;       // each worker has its own scratch
  { backend.synchronize() } -> std::same_as<void>;
};

/// A backend of which further instances can be constructed for other threads: worker_options() describes a backend with
/// a single worker on the same device and with the same precision. Required by code that answers requests from many
/// threads.
template <class B>
concept ReopenableBackend = Backend<B> && requires(B const& backend) {
  { backend.worker_options() } -> std::same_as<typename B::options>;
  { backend.worker_options() == backend.worker_options() } -> std::same_as<bool>;
  B(backend.worker_options());
};

/// A vector in a backend's memory that an operation reads.
template <class B, class T>
using in_vector = view<T const, typename B::memory_space, 1>;
/// A vector in a backend's memory that an operation writes, or reads and writes.
template <class B, class T>
using out_vector = view<T, typename B::memory_space, 1>;
/// A matrix in a backend's memory that an operation reads.
template <class B, class T>
using in_matrix = view<T const, typename B::memory_space, 2>;
/// A matrix in a backend's memory that an operation writes, or reads and writes.
template <class B, class T>
using out_matrix = view<T, typename B::memory_space, 2>;

/// Copies and fills inside a backend's memory, in the order of its work. Required wherever tensors are created.
template <class B, class T>
concept MemoryOps = Backend<B> && requires(B& b, in_vector<B, T> from, out_vector<B, T> to, T value) {
  copy<T>(b, from, to);
  fill<T>(b, to, value);
};

/// Copies between the host's and a backend's memory, in the order of its work. Backends whose memory is the host's
/// don't provide them.
template <class B, class T>
concept TransferOps = Backend<B> &&
    requires(B& b, host_vector_view<T const> from, out_vector<B, T> to, in_vector<B, T> of, host_vector_view<T> back) {
  upload<T>(b, from, to);
  download<T>(b, of, back);
};

/// The scope type of a backend's scratch arena; see arena::scope.
template <Backend B>
using scratch_scope = typename std::remove_reference_t<decltype(std::declval<B&>().scratch())>::scope;

/// n uninitialized entries of the backend's scratch, valid until the innermost scratch_scope ends; see arena.
template <class T, Backend B>
out_vector<B, T> take(B& b, index_t n) {
  return b.scratch().template take<T>(n);
}
/// The same as a (rows, columns) matrix.
template <class T, Backend B>
out_matrix<B, T> take(B& b, index_t rows, index_t columns) {
  return b.scratch().template take<T>(rows, columns);
}

}  // namespace contract
}  // namespace mql4grec
