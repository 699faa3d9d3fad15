#pragma once
// Copies that need no backend. Those that involve device memory wait until the copy is complete.
#include <algorithm>
#include <concepts>
#include <utility>

#include "mql4grec/backend/contract/buffer.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/view.hpp"

namespace mql4grec {

/// Copies every entry. Throws error when the sizes differ. Copies between host and device are overloads in the device's
/// backend.
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

/// Fills a tensor in any memory space by calling write(host view): directly when it is in host memory, otherwise
/// through a temporary buffer.
template <class T, MemorySpace S, class Write>
void write_from_host(view<T, S, 1> to, Write&& write) {
  if constexpr (std::same_as<S, host_space>) {
    write(to);
  } else {
    buffer<T, host_space> values(to.size());
    write(values.view_all());
    copy(std::as_const(values).view_all(), to);
  }
}

}  // namespace mql4grec
