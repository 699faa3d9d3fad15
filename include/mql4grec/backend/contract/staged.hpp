#pragma once
// What the host writes and a backend's kernels then read: offsets, tokens, buckets.
#include <span>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/backend/contract/copy.hpp"

namespace mql4grec {

/// n entries that the host fills through values(), and that kernels read as what publish() returns. Where the backend's
/// memory is the host's, both are the same scratch; elsewhere publishing copies. What is published lives as long as the
/// scratch.
template <class T, Backend B>
class staged {
 public:
  staged(B& b, index_t n) : published_(b.scratch().template take<T>(n)) {
    if constexpr (!on_host) memory_ = buffer<T, host_space>(n);
  }

  host_vector_view<T> values() {
    if constexpr (on_host)
      return published_;
    else
      return memory_.view_all();
  }
  in_vector<B, T> publish(B& b) const {
    if constexpr (!on_host) upload<T>(b, memory_.view_all(), published_);
    return published_;
  }

 private:
  static constexpr bool on_host = std::same_as<typename B::memory_space, host_space>;

  out_vector<B, T> published_;
  buffer<T, host_space> memory_;  // elsewhere only
};

/// Values of the host where a backend's kernels can read them: themselves, or a copy in its scratch.
template <class T, Backend B>
in_vector<B, T> on_backend(B& b, std::span<T const> values) {
  if constexpr (std::same_as<typename B::memory_space, host_space>) {
    return view_of(values);
  } else {
    auto const place = b.scratch().template take<T>(std::ssize(values));
    upload<T>(b, view_of(values), place);
    return place;
  }
}

/// A tensor of the host where a backend's kernels read it: itself, or a copy that lives as long as this.
template <class T, Backend B>
class kept_on {
 public:
  kept_on(B& b, view<T const, host_space, 1> values) : values_(values) {
    if constexpr (!on_host) {
      copy_ = b.template allocate<T>(values.size());
      copy(values, copy_.view_all());
    }
  }
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
