#pragma once
// Copies and fills in the order of the backend's work. The two-argument forms in backend/contract/transfer.hpp and
// gpu/runtime/buffer.hpp wait instead.
#include "mql4grec/backend/gpu/runtime/backend.hpp"

namespace mql4grec::gpu {

namespace detail {

template <class T>
struct copy_entry {
  T const* from;
  T* to;
  MQL4GREC_HD void operator()(index_t i) const { to[i] = from[i]; }
};

template <class T>
struct fill_entry {
  T value;
  T* to;
  MQL4GREC_HD void operator()(index_t i) const { to[i] = value; }
};

}  // namespace detail

/// to (n) = from (n)
template <class T, class System>
void copy(backend<System>& b, in_vector<backend<System>, T> from, out_vector<backend<System>, T> to) {
  detail::for_each_index(b, to.size(), detail::copy_entry<T>{from.data, to.data});
}

/// to (n) = from (n) of the host. `from` may change as soon as the call returns; `to` has the values for all later work
/// of the backend. Throws error when sizes differ, or while work is captured.
template <class T, class System>
void upload(backend<System>& b, host_vector_view<T const> from, out_vector<backend<System>, T> to) {
  expects(from.size() == to.size(), "upload: ", from.size(), " entries into a place for ", to.size());
  if (to.size() > 0) System::upload(b.context(), from.data, to.data, to_size(to.size()) * sizeof(T));
}

/// to (n) of the host = from (n). Waits for the backend's work. Throws error when sizes differ, or while work is
/// captured.
template <class T, class System>
void download(backend<System>& b, in_vector<backend<System>, T> from, host_vector_view<T> to) {
  expects(from.size() == to.size(), "download: ", from.size(), " entries into a place for ", to.size());
  if (to.size() > 0) System::download(b.context(), from.data, to.data, to_size(to.size()) * sizeof(T));
}

/// to (n) = value
template <class T, class System>
void fill(backend<System>& b, out_vector<backend<System>, T> to, std::type_identity_t<T> value) {
  detail::for_each_index(b, to.size(), detail::fill_entry<T>{value, to.data});
}

}  // namespace mql4grec::gpu
