#pragma once
#include <algorithm>
#include <compare>
#include <memory>
#include <new>
#include <type_traits>
#include <vector>

#if defined(__SANITIZE_ADDRESS__)  // g++; clang tells by a feature
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

namespace detail {
/// Under the address sanitizer: touching these bytes is an error from now on, or is none. Otherwise nothing.
inline void forbid([[maybe_unused]] void const* memory, [[maybe_unused]] std::size_t bytes) {
#if MQL4GREC_ASAN
  __asan_poison_memory_region(memory, bytes);
#endif
}
inline void permit([[maybe_unused]] void const* memory, [[maybe_unused]] std::size_t bytes) {
#if MQL4GREC_ASAN
  __asan_unpoison_memory_region(memory, bytes);
#endif
}
#if MQL4GREC_ASAN
inline constexpr std::size_t fence = 64;  ///< forbidden bytes behind everything that an arena hands out
#undef MQL4GREC_ASAN
#else
inline constexpr std::size_t fence = 0;
#endif
/// Whether the host may touch this memory at all. A Thrust system says it of its own.
template <class Space>
inline constexpr bool is_host_memory = std::is_same_v<Space, host_space>;
}  // namespace detail

/// Memory that a tensor owns. Movable, never copied by accident; copies are spelled `copy(from, to)`.
template <class T, MemorySpace Space>
class buffer;

template <class T>
class buffer<T, host_space> {
  static_assert(std::is_trivially_copyable_v<T>, "a buffer holds plain numbers");
  static constexpr std::align_val_t alignment{64};  // a cache line, and the widest vector register
  struct release {
    void operator()(T* memory) const { ::operator delete(memory, alignment); }
  };

 public:
  buffer() = default;
  /// n zeros.
  explicit buffer(index_t n)
      : memory_(static_cast<T*>(::operator new(static_cast<std::size_t>(n) * sizeof(T), alignment))), size_(n) {
    std::fill_n(memory_.get(), n, T{});
  }

  index_t size() const { return size_; }
  view<T, host_space, 1> view_all() { return {memory_.get(), size_}; }
  view<T const, host_space, 1> view_all() const { return {memory_.get(), size_}; }

 private:
  std::unique_ptr<T, release> memory_;
  index_t size_ = 0;
};

/// Scratch memory that is taken in order and given back all at once or down to a mark. A need beyond what is held adds
/// a chunk. Once everything has been given back, several chunks are freed, and the next need is met by one chunk with
/// room for the most that was ever in use at once: after that nothing is allocated. Giving back frees memory and never
/// allocates, so the end of a scope never throws. What is handed out is not initialised. Of memory that the host reads,
/// the address sanitizer sees where each piece ends and when it was given back, as if it came from the heap.
template <MemorySpace Space>
class arena {
 public:
  template <class T>
  view<T, Space, 1> take(index_t n) {
    return {static_cast<T*>(take_bytes(static_cast<std::size_t>(n) * sizeof(T))), n};
  }
  template <class T>
  view<T, Space, 2> take(index_t rows, index_t columns) {
    return {take<T>(rows * columns).data, rows, columns};
  }

  /// Gives back, at the end of its life, everything taken since it was made.
  class scope {
   public:
    explicit scope(arena& from) : arena_(from), chunk_(from.chunk_), used_(from.used_), in_use_(from.in_use_) {}
    scope(scope const&) = delete;
    scope& operator=(scope const&) = delete;
    ~scope() {
      arena_.give_back(arena_.chunk_, chunk_, used_);
      arena_.in_use_ = in_use_;
      if (in_use_ == 0) arena_.free_pieces();
    }

   private:
    arena& arena_;
    std::size_t chunk_, used_, in_use_;
  };

  /// Where the next piece will lie. Between two equal marks the same calls of take() get the same places.
  struct mark {
    std::size_t moves, chunk, used;
    auto operator<=>(mark const&) const = default;
  };
  mark here() const { return {moves_, chunk_, used_}; }

  /// Does work that was taken down before, with places behind this one that it doesn't ask for again.
  template <class Work>
  void lend_rest(Work&& work) {
    if constexpr (is_watched)
      for (std::size_t chunk = chunk_; chunk < chunks_.size(); ++chunk) {
        std::size_t const from = chunk == chunk_ ? used_ : 0;
        detail::permit(chunks_[chunk].view_all().data + from, size_of(chunk) - from);
      }
    work();
    give_back(chunks_.empty() ? 0 : chunks_.size() - 1, chunk_, used_);
  }

  /// Bytes held, for memory reports.
  std::size_t capacity() const {
    std::size_t sum = 0;
    for (auto const& chunk : chunks_) sum += static_cast<std::size_t>(chunk.size());
    return sum;
  }

 private:
  static constexpr std::size_t line = 64, least_chunk = std::size_t{1} << 20, most_ahead = std::size_t{256} << 20;
  static constexpr bool is_watched = detail::is_host_memory<Space>;
  static constexpr std::size_t fence = is_watched ? detail::fence : 0;

  void* take_bytes(std::size_t wanted) {
    std::size_t const bytes = (wanted + line - 1) / line * line + fence;
    while (chunk_ < chunks_.size() && used_ + bytes > size_of(chunk_)) {
      ++chunk_;
      used_ = 0;
    }
    if (chunk_ == chunks_.size()) {
      // the first has room for the largest need so far; further ones double what there is, within reason
      std::size_t const ahead =
          chunks_.empty() ? std::max(largest_, least_chunk) : std::clamp(capacity(), least_chunk, most_ahead);
      chunks_.emplace_back(static_cast<index_t>(std::max(bytes, ahead)));
      used_ = 0;
      forbid_from(chunk_, 0);
    }
    void* const place = chunks_[chunk_].view_all().data + used_;
    if constexpr (is_watched) detail::permit(place, wanted);
    used_ += bytes;
    in_use_ += bytes;
    largest_ = std::max(largest_, in_use_);
    return place;
  }
  /// Everything from a place on, up to the chunk that was reached.
  void give_back(std::size_t reached, std::size_t chunk, std::size_t used) {
    for (std::size_t later = chunk + 1; later <= reached && later < chunks_.size(); ++later) forbid_from(later, 0);
    if (chunk < chunks_.size()) forbid_from(chunk, used);
    chunk_ = chunk;
    used_ = used;
  }
  void forbid_from([[maybe_unused]] std::size_t chunk, [[maybe_unused]] std::size_t used) {
    if constexpr (is_watched) detail::forbid(chunks_[chunk].view_all().data + used, size_of(chunk) - used);
  }
  std::size_t size_of(std::size_t chunk) const { return static_cast<std::size_t>(chunks_[chunk].size()); }
  void
  free_pieces() {  // nothing is in use; the next need gets one chunk, so that the next round never crosses a border
    if (chunks_.size() <= 1) return;
    chunks_.clear();
    ++moves_;
  }

  std::vector<buffer<std::byte, Space>> chunks_;
  std::size_t chunk_ = 0, used_ = 0;
  std::size_t in_use_ = 0, largest_ = 0;  // bytes, of all chunks; and the most there ever were
  std::size_t moves_ = 0;                 // how often what it held was given back
};
using host_arena = arena<host_space>;

}  // namespace mql4grec
