#pragma once
// Host memory from which a device copies asynchronously. With two of them, the host reads a file into one while the
// device computes on the other. For small arrays that are rewritten immediately, use upload(), which copies them first.
#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/backend/gpu/runtime/backend.hpp"

namespace mql4grec {

/// Host memory for n entries, pinned where the system supports that.
///
///   values()     waits until the previous upload has been read; any thread may write
///   upload(b)    enqueues the copy and returns; don't write from here on
///   b computes   in the order of its work, after the copy
///   values()     waits for the copy; writing is allowed again
///
/// Precondition: between upload() and the next values(), nothing writes to the entries. Views from an earlier values()
/// count as writers too; breaking this corrupts the copy without an error.
template <class T, class System>
class upload_buffer<gpu::backend<System>, T> {
 public:
  /// Allocates n entries.
  upload_buffer(gpu::backend<System>& b, index_t n) : memory_(b.context(), bytes_of(n)), size_(n) {}

  /// The entries, for any thread to write until the next upload(). Waits until the device has read the previous ones.
  host_vector_view<T> values() {
    memory_.wait();
    return {reinterpret_cast<T*>(memory_.data()), size_};
  }
  /// to (m) = the first m values, in the order of the backend's work; returns without waiting. Throws error when `to`
  /// is larger than this buffer.
  void upload(gpu::backend<System>& b, out_vector<gpu::backend<System>, T> to) {
    expects(to.size() <= size_, "upload: ", size_, " entries into a place for ", to.size());
    if (to.size() > 0) memory_.upload(b.context(), to.data, bytes_of(to.size()));
  }

 private:
  static std::size_t bytes_of(index_t n) { return to_size(n) * sizeof(T); }

  typename System::upload_memory memory_;
  index_t size_;
};

}  // namespace mql4grec
