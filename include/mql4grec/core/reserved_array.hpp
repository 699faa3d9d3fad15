#pragma once
// An array that grows without moving its entries: readers of earlier entries are undisturbed while a writer appends.
// Address space is reserved at once; the system provides memory for a page when it is first written.
#include <sys/mman.h>

#include <cerrno>
#include <cstring>
#include <type_traits>
#include <utility>

#include "mql4grec/core/detail/mapped_file.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec {
inline namespace core {

/// `capacity` entries, all zero at first. Memory is used only for the pages that have been written. An entry may be
/// read by any thread after it has been written and published, for example by an atomic store.
template <class T>
  requires std::is_trivially_destructible_v<T>
class reserved_array {
 public:
  /// An array without entries.
  reserved_array() = default;
  /// Reserves address space. Throws error when the system refuses it.
  explicit reserved_array(index_t capacity) : capacity_(capacity) {
    if (capacity == 0) return;
    void* const memory =
        ::mmap(nullptr, bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    expects(memory != MAP_FAILED, "can't reserve ", bytes(), " bytes of address space: ", std::strerror(errno));
    data_ = static_cast<T*>(memory);
  }
  /// The same, but the first entries are those of a file from byte `begin` on, which must exist. Pages of the file are
  /// shared by all processes until they are written; the file itself never changes. `begin` is a multiple of the size
  /// of a page. Throws file_error when the file can't be mapped.
  reserved_array(index_t capacity, detail::mapped_file const& file, index_t begin, index_t entries)
      : reserved_array(capacity) {
    file.map_over(data_, begin, entries * index_t{sizeof(T)});
  }
  /// Takes the memory of another array.
  reserved_array(reserved_array&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)) {}
  /// Exchanges the arrays.
  reserved_array& operator=(reserved_array&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~reserved_array() {
    if (data_) ::munmap(data_, bytes());
  }

  /// The first entry. Never changes.
  T* data() const { return data_; }
  /// The number of entries that may be written.
  index_t capacity() const { return capacity_; }
  /// Entry i.
  T& operator[](index_t i) const { return data_[i]; }

 private:
  std::size_t bytes() const { return to_size(capacity_) * sizeof(T); }

  T* data_ = nullptr;
  index_t capacity_ = 0;
};

}  // namespace core
}  // namespace mql4grec
