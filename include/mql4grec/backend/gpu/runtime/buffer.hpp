#pragma once
// Memory of a Thrust system, and copies between it and the host's memory. These copies wait: they are complete when the
// call returns.
#include <utility>

#include "mql4grec/backend/gpu/runtime/system.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec {

/// Device memory that a tensor owns. Movable and not copyable.
template <class T, class System>
class buffer<T, device_space<System>> {
  static_assert(std::is_trivially_copyable_v<T>, "a buffer holds plain numbers");
  struct release {
    void operator()(T* memory) const noexcept { System::deallocate(memory); }
  };

 public:
  buffer() = default;
  /// n zeros. Throws error when the device has too little memory.
  explicit buffer(index_t n) : memory_(n > 0 ? static_cast<T*>(System::allocate(bytes_of(n))) : nullptr), size_(n) {
    if (n > 0) System::clear(memory_.get(), bytes_of(n));
  }
  /// Leaves `other` empty.
  buffer(buffer&& other) noexcept : memory_(std::move(other.memory_)), size_(std::exchange(other.size_, 0)) {}
  /// The same.
  buffer& operator=(buffer&& other) noexcept {
    memory_ = std::move(other.memory_);
    size_ = std::exchange(other.size_, 0);
    return *this;
  }

  /// The number of entries.
  index_t size() const { return size_; }
  /// A view of all entries, valid as long as the buffer.
  view<T, device_space<System>, 1> view_all() { return {memory_.get(), size_}; }
  /// The same, const.
  view<T const, device_space<System>, 1> view_all() const { return {memory_.get(), size_}; }

 private:
  static std::size_t bytes_of(index_t n) { return to_size(n) * sizeof(T); }

  std::unique_ptr<T, release> memory_;
  index_t size_ = 0;
};

namespace gpu::detail {
template <class T, class Space>
std::size_t bytes_to_copy(view<T, Space, 1> from, index_t room) {
  expects(from.size() == room, "copy: ", from.size(), " entries into a place for ", room);
  return to_size(room) * sizeof(T);
}
}  // namespace gpu::detail

/// Host to device; waits. Throws error when sizes differ. The copies are in this namespace and not in gpu because ADL
/// must find them for any system, and views belong to this namespace.
template <class T, class System>
void copy(view<T const, host_space, 1> from, view<T, device_space<System>, 1> to) {
  auto const bytes = gpu::detail::bytes_to_copy(from, to.size());
  if (bytes > 0) System::copy_from_host(from.data, to.data, bytes);
}
/// Device to host; waits.
template <class T, class System>
void copy(view<T const, device_space<System>, 1> from, view<std::type_identity_t<T>, host_space, 1> to) {
  auto const bytes = gpu::detail::bytes_to_copy(from, to.size());
  if (bytes > 0) System::copy_to_host(from.data, to.data, bytes);
}
/// Within a device; waits.
template <class T, class System>
void copy(view<T const, device_space<System>, 1> from, view<std::type_identity_t<T>, device_space<System>, 1> to) {
  auto const bytes = gpu::detail::bytes_to_copy(from, to.size());
  if (bytes > 0) System::copy_within(from.data, to.data, bytes);
}

}  // namespace mql4grec
