#pragma once
// Memory that a tensor owns (`buffer`), and scratch memory for temporaries (`arena`). Scratch memory is uninitialized,
// and its pieces become invalid when the enclosing scope ends.
#include <algorithm>
#include <compare>
#include <memory>
#include <new>
#include <type_traits>
#include <utility>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)  // g++; clang has a feature test instead
#define MQL4GREC_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MQL4GREC_ASAN 1
#endif
#endif
#if MQL4GREC_ASAN
#include <sanitizer/asan_interface.h>
#endif

#include "mql4grec/core/view.hpp"

namespace mql4grec {
inline namespace contract {

namespace detail {
/// Marks these bytes as inaccessible (`poison`) or accessible (`unpoison`) for the address sanitizer. Does nothing in
/// other builds.
inline void poison([[maybe_unused]] void const* memory, [[maybe_unused]] std::size_t bytes) {
#if MQL4GREC_ASAN
  __asan_poison_memory_region(memory, bytes);
#endif
}
inline void unpoison([[maybe_unused]] void const* memory, [[maybe_unused]] std::size_t bytes) {
#if MQL4GREC_ASAN
  __asan_unpoison_memory_region(memory, bytes);
#endif
}
#if MQL4GREC_ASAN
inline constexpr std::size_t redzone = 64;  ///< inaccessible bytes after every piece of an arena
#undef MQL4GREC_ASAN
#else
inline constexpr std::size_t redzone = 0;
#endif
/// Whether the host can read and write this memory. A Thrust system whose memory is the host's specializes this.
template <class Space>
inline constexpr bool is_host_memory = std::is_same_v<Space, host_space>;
}  // namespace detail

/// Memory that a tensor owns. Movable and not copyable; a copy is written `copy(from, to)`.
template <class T, MemorySpace Space>
class buffer;

/// Host memory that a tensor owns, aligned to 64 bytes.
template <class T>
class buffer<T, host_space> {
  static_assert(std::is_trivially_copyable_v<T>, "a buffer holds plain numbers");
  static constexpr std::align_val_t alignment{64};  // a cache line, and the widest vector register
  struct release {
    void operator()(T* memory) const { ::operator delete(memory, alignment); }
  };

 public:
  buffer() = default;
  /// Allocates n entries, all zero. Throws std::bad_alloc.
  explicit buffer(index_t n) : memory_(static_cast<T*>(::operator new(to_size(n) * sizeof(T), alignment))), size_(n) {
    std::fill_n(memory_.get(), n, T{});
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
  view<T, host_space, 1> view_all() { return {memory_.get(), size_}; }
  /// The same, const.
  view<T const, host_space, 1> view_all() const { return {memory_.get(), size_}; }

 private:
  std::unique_ptr<T, release> memory_;
  index_t size_ = 0;
};

/// Scratch memory with stack discipline: `take` returns the next piece, and the end of a `scope` releases all pieces
/// taken since the scope began.
///
/// Preconditions; breaking one corrupts results without an error in builds without the address sanitizer:
/// 1. A piece is used only until the innermost scope around its `take` ends. No view of it outlives that scope.
/// 2. Scopes end in the reverse order of their construction.
/// 3. A piece is written before it is read: memory is not initialized.
/// 4. One thread uses an arena at a time; every worker of a backend has its own.
/// 5. Only the backend that owns the arena works on its pieces. A release doesn't wait for device work that still uses
///    the piece: the next user of the memory is ordered after that work on the same stream.
///
///   scope a         take x        x is valid
///     scope b       take y        x and y are valid
///     end of b                    x is valid; the next take may reuse y's memory
///   end of a                      nothing is valid; chunks may be freed
///
/// When the chunks held are too small, a further one is allocated. When nothing is in use any more, several chunks are
/// freed, and the next `take` allocates a single chunk with room for the largest amount that was ever in use
/// simultaneously; after that nothing is allocated. The end of a scope may free memory and never allocates, so it never
/// throws. For memory that the host can read, the address sanitizer detects accesses beyond the end of a piece and
/// after its release, as for heap memory.
template <MemorySpace Space>
class arena {
 public:
  /// n uninitialized entries, 64-byte aligned, valid until the innermost scope ends.
  template <class T>
  view<T, Space, 1> take(index_t n) {
    return {static_cast<T*>(take_bytes(to_size(n) * sizeof(T))), n};
  }
  /// A (rows, columns) matrix, row by row; else as above.
  template <class T>
  view<T, Space, 2> take(index_t rows, index_t columns) {
    return {take<T>(rows * columns).data, rows, columns};
  }

  /// Releases, when it is destroyed, every piece that was taken since it was constructed.
  class scope {
   public:
    /// Begins a scope of the arena, which must outlive it.
    explicit scope(arena& from) : arena_(from), chunk_(from.chunk_), used_(from.used_), in_use_(from.in_use_) {}
    scope(scope const&) = delete;
    scope& operator=(scope const&) = delete;
    ~scope() {
      arena_.release(arena_.chunk_, chunk_, used_);
      arena_.in_use_ = in_use_;
      if (in_use_ == 0) arena_.free_chunks();
    }

   private:
    arena& arena_;
    std::size_t chunk_, used_, in_use_;
  };

  /// The position of the next piece. When two marks are equal, the same sequence of `take` calls returns the same
  /// addresses.
  struct mark {
    std::size_t generation, chunk, used;  ///< how often chunks were freed; the current chunk; bytes of it in use
    auto operator<=>(mark const&) const = default;
  };
  /// The current position.
  mark here() const { return {generation_, chunk_, used_}; }

  /// Runs captured work, which uses addresses after the current position without calling `take` for them again. Only
  /// the address sanitizer needs this: the memory is accessible while `work` runs.
  template <class Work>
  void with_rest_accessible(Work&& work) {
    if constexpr (is_poisonable)
      for (std::size_t chunk = chunk_; chunk < chunks_.size(); ++chunk) {
        std::size_t const from = chunk == chunk_ ? used_ : 0;
        detail::unpoison(chunks_[chunk].view_all().data + from, size_of(chunk) - from);
      }
    work();
    release(chunks_.empty() ? 0 : chunks_.size() - 1, chunk_, used_);
  }

  /// Bytes allocated, for memory reports.
  std::size_t capacity() const {
    std::size_t sum = 0;
    for (auto const& chunk : chunks_) sum += to_size(chunk.size());
    return sum;
  }

 private:
  static constexpr std::size_t alignment = 64, smallest_chunk = std::size_t{1} << 20,
                               largest_growth = std::size_t{256} << 20;
  static constexpr bool is_poisonable = detail::is_host_memory<Space>;
  static constexpr std::size_t redzone = is_poisonable ? detail::redzone : 0;

  void* take_bytes(std::size_t wanted) {
    std::size_t const bytes = (wanted + alignment - 1) / alignment * alignment + redzone;
    while (chunk_ < chunks_.size() && used_ + bytes > size_of(chunk_)) {
      ++chunk_;
      used_ = 0;
    }
    if (chunk_ == chunks_.size()) {
      // the first chunk has room for the largest need so far; further chunks double the capacity, within limits
      std::size_t const growth =
          chunks_.empty() ? std::max(largest_, smallest_chunk) : std::clamp(capacity(), smallest_chunk, largest_growth);
      chunks_.emplace_back(static_cast<index_t>(std::max(bytes, growth)));
      used_ = 0;
      poison_from(chunk_, 0);
    }
    void* const place = chunks_[chunk_].view_all().data + used_;
    if constexpr (is_poisonable) detail::unpoison(place, wanted);
    used_ += bytes;
    in_use_ += bytes;
    largest_ = std::max(largest_, in_use_);
    return place;
  }
  /// Releases everything from the position (chunk, used) to the last chunk in use, `reached`.
  void release(std::size_t reached, std::size_t chunk, std::size_t used) {
    for (std::size_t later = chunk + 1; later <= reached && later < chunks_.size(); ++later) poison_from(later, 0);
    if (chunk < chunks_.size()) poison_from(chunk, used);
    chunk_ = chunk;
    used_ = used;
  }
  void poison_from([[maybe_unused]] std::size_t chunk, [[maybe_unused]] std::size_t used) {
    if constexpr (is_poisonable) detail::poison(chunks_[chunk].view_all().data + used, size_of(chunk) - used);
  }
  std::size_t size_of(std::size_t chunk) const { return to_size(chunks_[chunk].size()); }
  void free_chunks() {
    if (chunks_.size() <= 1) return;
    chunks_.clear();
    ++generation_;
  }

  std::vector<buffer<std::byte, Space>> chunks_;
  std::size_t chunk_ = 0, used_ = 0;
  std::size_t in_use_ = 0, largest_ = 0;  // bytes in use in all chunks, and their maximum so far
  std::size_t generation_ = 0;            // how often chunks were freed, which changes later addresses
};
/// Scratch memory of the host.
using host_arena = arena<host_space>;

}  // namespace contract
}  // namespace mql4grec
