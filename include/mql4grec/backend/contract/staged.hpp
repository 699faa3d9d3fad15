#pragma once
// Small arrays that the host computes and kernels read: offsets, tokens, buckets. All three have a short lifetime; see
// each.
#include <span>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/backend/contract/copy.hpp"

namespace mql4grec {

/// n entries that the host writes through values() and that kernels read from the view that publish() returns. Where
/// the backend's memory is the host's, both are the same scratch memory; elsewhere publish() copies.
///
///   staged x(b, n)       takes n entries of b's scratch
///   x.values()           the host writes them
///   x.publish(b)         kernels may read them
///   end of the scratch's scope: the published view is invalid
template <class T, Backend B>
class staged {
 public:
  /// Takes n uninitialized entries from the scratch of `b`.
  staged(B& b, index_t n) : published_(take<T>(b, n)) {
    if constexpr (!on_host) memory_ = buffer<T, host_space>(n);
  }

  /// The entries, for the host to write. Writes after publish() reach the kernels only where the memory is shared.
  host_vector_view<T> values() {
    if constexpr (on_host)
      return published_;
    else
      return memory_.view_all();
  }
  /// The entries in the backend's memory. Valid until the scratch's scope ends.
  in_vector<B, T> publish(B& b) const {
    if constexpr (!on_host) upload<T>(b, memory_.view_all(), published_);
    return published_;
  }

 private:
  static constexpr bool on_host = std::same_as<typename B::memory_space, host_space>;

  out_vector<B, T> published_;
  buffer<T, host_space> memory_;  // elsewhere only
};

/// A view of host values in the backend's memory: `values` themselves where that is the host's, otherwise a copy in the
/// backend's scratch, valid until its scope ends.
template <class T, Backend B>
in_vector<B, T> on_backend(B& b, std::span<T const> values) {
  if constexpr (std::same_as<typename B::memory_space, host_space>) {
    return view_of(values);
  } else {
    auto const place = take<T>(b, std::ssize(values));
    upload<T>(b, view_of(values), place);
    return place;
  }
}

/// A host tensor in a backend's memory: the tensor itself where that is the host's (it must then outlive this object),
/// otherwise a copy that this object owns.
template <class T, Backend B>
class kept_on {
 public:
  /// Copies the tensor if the backend's memory isn't the host's.
  kept_on(B& b, view<T const, host_space, 1> values) : values_(values) {
    if constexpr (!on_host) {
      copy_ = b.template allocate<T>(values.size());
      copy(values, copy_.view_all());
    }
  }
  /// The tensor in the backend's memory. Valid as long as this object.
  in_vector<B, T> view_all() const {
    if constexpr (on_host)
      return values_;
    else
      return copy_.view_all();
  }

 private:
  static constexpr bool on_host = std::same_as<typename B::memory_space, host_space>;
  view<T const, host_space, 1> values_;
  buffer<T, typename B::memory_space> copy_;
};

}  // namespace mql4grec
