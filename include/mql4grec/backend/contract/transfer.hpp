#pragma once
// Transfers between the host's memory and a backend's memory. Where both are the same memory, nothing is copied.
//
//   upload(b, from, to)      host → backend, in the order of b's work   TransferOps; backends with memory of their own
//   download(b, from, to)    backend → host; waits for b's work         the same
//   device_copy              host values that kernels can read: in b's scratch, or owned
//   host_copy                a backend's tensor that the host can read
//   copy(from, to)           any direction, without a backend; complete when the call returns
//   fill(to, write)          a tensor whose values the host computes; complete when the call returns
//
// Preconditions; breaking 1 to 3 gives wrong results without an error:
// 1. A device_copy or host_copy of memory that needs no copy is a view of the original. The original must outlive it
//    and keep its values.
// 2. The view of a device_copy in the scratch is valid until the innermost scratch_scope around its construction ends,
//    whether or not the object still exists. The view of an owned one is valid as long as the object.
// 3. `from` of an upload may change as soon as the call returns. What an upload_buffer holds may not: see there.
// 4. None of them is used while work is captured; backends with memory of their own throw error. Captured work reads
//    values that were uploaded to the same address before its launch.
//
//   host       write x     upload(b, x, y)   write x again            download(b, z, x)   read x
//   backend                ······ y = x ─────── kernels: y → z ─────── x = z ┘
//   waits                  no                                         yes
//   copies     where the memory is the host's: none; otherwise one in each direction
#include <algorithm>
#include <concepts>
#include <span>
#include <utility>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec {
inline namespace contract {

/// Copies every entry. Throws error when the sizes differ. Copies between host and device are overloads in the device's
/// backend, and wait until they are complete.
template <class T>
void copy(view<T const, host_space, 1> from, view<std::type_identity_t<T>, host_space, 1> to) {
  expects(from.size() == to.size(), "copy: ", from.size(), " entries into a place for ", to.size());
  std::copy_n(from.data, from.size(), to.data);
}

/// Sets every entry to `value`.
template <class T>
void fill(view<T, host_space, 1> to, std::type_identity_t<T> value) {
  std::fill_n(to.data, to.size(), value);
}

/// Fills a tensor in any memory space by calling write(host view): directly when it is in host memory, otherwise
/// through a temporary buffer. Waits for work that uses the tensor, and until the copy is complete.
template <class T, MemorySpace S, std::invocable<host_vector_view<T>> Write>
void fill(view<T, S, 1> to, Write&& write) {
  if constexpr (std::same_as<S, host_space>) {
    write(to);
  } else {
    buffer<T, host_space> values(to.size());
    write(values.view_all());
    copy(std::as_const(values).view_all(), to);
  }
}

/// Where a device_copy stores what it has to copy.
enum class copy_storage {
  scratch,  ///< in the backend's scratch, in the order of its work; the view is valid until the scratch's scope ends
  owned,    ///< in memory of its own; the constructor waits, and the view is valid as long as the object
};

/// Host values in a backend's memory: the values themselves where that is the host's, otherwise a copy.
///
///   device_copy(b, values)                         in the scratch
///   device_copy(b, values, copy_storage::owned)    in memory of its own
///   device_copy<T, B>(b, n, write)                 in the scratch; the values are what write(host view) writes
template <class T, Backend B>
class device_copy {
 public:
  /// A copy of `values`, or the values themselves. See copy_storage.
  device_copy(B& b, host_vector_view<T const> values, copy_storage where = copy_storage::scratch) {
    if constexpr (on_host) {
      values_ = values;
    } else if (where == copy_storage::owned) {
      memory_ = b.template allocate<T>(values.size());
      copy(values, memory_.view_all());
      values_ = std::as_const(memory_).view_all();
    } else {
      auto const place = take<T>(b, values.size());
      upload<T>(b, values, place);
      values_ = place;
    }
  }
  /// n entries of the scratch, which write(host view) computes.
  template <std::invocable<host_vector_view<T>> Write>
  device_copy(B& b, index_t n, Write&& write) {
    auto const place = take<T>(b, n);
    if constexpr (on_host) {
      write(place);
    } else {
      buffer<T, host_space> values(n);
      write(values.view_all());
      upload<T>(b, values.view_all(), place);
    }
    values_ = place;
  }

  /// The values in the backend's memory.
  in_vector<B, T> view_all() const { return values_; }

 private:
  static constexpr bool on_host = std::same_as<typename B::memory_space, host_space>;

  in_vector<B, T> values_;
  buffer<T, typename B::memory_space> memory_;  // of an owned copy
};

/// A host view of a tensor, e.g. for writing it to a file: the tensor itself when it is in host memory, otherwise a
/// copy.
template <class T, MemorySpace S>
class host_copy {
 public:
  /// Copies after waiting for all work that may write to `values`.
  explicit host_copy(view<T const, S, 1> values) : values_(values) {
    if constexpr (!std::same_as<S, host_space>) {
      copy_ = buffer<T, host_space>(values.size());
      copy(values, copy_.view_all());
    }
  }
  /// Copies after waiting for the work of `b` only.
  template <class B>
  host_copy(B& b, view<T const, S, 1> values) : values_(values) {
    if constexpr (!std::same_as<S, host_space>) {
      copy_ = buffer<T, host_space>(values.size());
      download<T>(b, values, copy_.view_all());
    }
  }
  /// Valid as long as this object and, when the tensor is in host memory, the tensor.
  host_vector_view<T const> view_all() const {
    if constexpr (std::same_as<S, host_space>)
      return values_;
    else
      return copy_.view_all();
  }

 private:
  view<T const, S, 1> values_;
  buffer<T, host_space> copy_;
};

/// Host memory from which a backend's device copies asynchronously; backends with memory of their own specialize it.
/// See backend/gpu/runtime/upload_buffer.hpp.
template <Backend B, class T>
class upload_buffer;

}  // namespace contract
}  // namespace mql4grec
