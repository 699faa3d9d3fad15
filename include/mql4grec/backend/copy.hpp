#pragma once
#include <algorithm>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/view.hpp"

namespace mql4grec {

/// Copies every entry; the shapes must agree. Crossing between host and device is an overload of the device's backend.
template <class T>
void copy(view<T const, host_space, 1> from, view<std::type_identity_t<T>, host_space, 1> to) {
  expects(from.size() == to.size(), "copy: ", from.size(), " entries into a place for ", to.size());
  std::copy_n(from.data, from.size(), to.data);
}

template <class T>
void fill(view<T, host_space, 1> to, std::type_identity_t<T> value) {
  std::fill_n(to.data, to.size(), value);
}

}  // namespace mql4grec
