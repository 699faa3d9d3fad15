#pragma once
// What the host writes once and a device then fetches by itself: two of them, and a file is read while the device
// computes. For what is small and written again at once, upload() is simpler, which copies on the way.
#include "mql4grec/backend/gpu/runtime/backend.hpp"

namespace mql4grec::gpu {

/// Host memory for n entries, pinned where the system asks for that.
template <class T, class System>
class upload_buffer {
 public:
  upload_buffer(backend<System>& b, index_t n) : memory_(b.context(), bytes_of(n)), size_(n) {}

  /// To be written, by any thread, until they are uploaded. Returns when the device has read what they were before.
  host_vector_view<T> values() {
    memory_.wait();
    return {reinterpret_cast<T*>(memory_.data()), size_};
  }
  /// to (m) = the first m values, in the order of the backend's work; returns at once.
  void upload(backend<System>& b, out_vector<backend<System>, T> to) {
    expects(to.size() <= size_, "upload: ", size_, " entries into a place for ", to.size());
    if (to.size() > 0) memory_.upload(b.context(), to.data, bytes_of(to.size()));
  }

 private:
  static std::size_t bytes_of(index_t n) { return static_cast<std::size_t>(n) * sizeof(T); }

  typename System::upload_memory memory_;
  index_t size_;
};

template <class T, class System>
upload_buffer<T, System> make_upload_buffer(backend<System>& b, index_t n) {
  return {b, n};
}

}  // namespace mql4grec::gpu
