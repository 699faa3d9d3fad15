#pragma once
// Caches CUDA graphs of work that repeats with the same shapes. A captured graph repeats the addresses and sizes that
// it was captured with; only the contents of the backend's memory can differ between launches. See the preconditions at
// graph_cache.
#include <algorithm>
#include <bit>
#include <concepts>
#include <cstdint>
#include <map>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "mql4grec/backend/contract/concepts.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec {
inline namespace contract {

/// A backend that can capture work and launch it again. capture(b, name, work) calls work(), whose operations are
/// recorded in a graph and not executed. launch(b) executes them with the recorded arguments on the current contents of
/// memory. Backends need not provide this; graph_cache then executes the work each time.
template <class B>
concept CaptureOps = Backend<B> && requires(B& b, void (*work)()) {
  capture(b, "work", work).launch(b);
};

/// The multiple to which a number of rows is rounded up, so that few different shapes occur and graphs are reused:
/// `min_step`, or 1/32 of the largest power of two below `rows` where that is more. Rounding adds at most 3 % to the
/// rows from 32 · `min_step` on.
constexpr index_t shape_step(index_t rows, index_t min_step) {
  return std::max(min_step, static_cast<index_t>(std::bit_floor(static_cast<std::uint64_t>(rows)) / 32));
}
/// n rounded up to a multiple of `step`.
constexpr index_t round_up(index_t n, index_t step) { return (n + step - 1) / step * step; }

namespace detail {
struct no_graph {
  template <class B>
  void launch(B&) const {}
};
template <class B>
struct graph_of {
  using type = no_graph;
};
template <CaptureOps B>
struct graph_of<B> {
  using type = decltype(capture(std::declval<B&>(), "", std::declval<void (*)()>()));
};
}  // namespace detail

/// Graphs, looked up by key. Use: `cache.run(backend, key, [&] { return work(); })`.
///
///   1st run(key)   calls work(): it executes, and allocates the memory and plans that it needs
///   2nd run(key)   captures work(), then launches the graph
///   3rd run(key)   launches the graph; work() is not called
///   forget()       the next run of any key is a first one
///
/// Preconditions; breaking one that isn't marked [checked] gives wrong results without an error. Those marked [checked]
/// throw error in every build, those marked [debug] only in builds with assertions (without NDEBUG):
/// 1. Everything that `work` reads outside the backend's memory must be determined by the key: sizes, addresses,
///    options and every host value that a branch depends on.
/// 2. What changes between runs of one key is read by kernels from the backend's memory, at the same address each time.
///    Write it there before run(), e.g. with upload().
/// 3. The pieces that `work` takes from the scratch must be determined by the key. The scratch's position at the call
///    need not be: it is part of the lookup. `work` releases everything that it takes: at its end the scratch's
///    position is that of its beginning [debug].
/// 4. The returned value must be determined by the key: launches return the value of the captured call.
/// 5. When memory that a graph refers to has been freed or moved, call forget() before the next run(). Only scratch
///    memory is tracked automatically.
/// 6. `work` doesn't allocate memory, copy from or to the host, wait for the device, or capture or launch other work
///    [checked].
/// 7. A cache is used with a single backend object [debug], which isn't moved, and by one thread at a time.
///
/// At most 256 keys are kept; a further one takes the place of that whose last run is the longest ago. A run that
/// throws is not counted as a first run.
template <Backend B, class Key, std::semiregular Result = std::monostate>
  requires std::copyable<Key> && std::totally_ordered<Key>
class graph_cache {
 public:
  /// `name` appears in error messages; it must outlive the cache.
  explicit graph_cache(char const* name) : name_(name) {}

  /// Executes `work`, or launches its graph, and returns work's result; see the preconditions above. Without CaptureOps
  /// it always calls `work`.
  template <class Work>
  Result run(B& b, Key const& key, Work&& work) {
    if constexpr (CaptureOps<B>) {
      check_backend(b);
      std::pair const place{b.scratch().here(), key};
      if (!kept_.empty() && kept_.begin()->first.first.generation != place.first.generation) forget();
      auto found = kept_.find(place);
      if (found == kept_.end()) {
        Result result = result_of(work);
        check_scratch(b, place.first);
        if (kept_.size() >= max_keys)
          kept_.erase(std::ranges::min_element(kept_, {}, [](auto const& kept) { return kept.second.last_run; }));
        // not earlier: work that threw has not allocated all of its memory
        kept_.try_emplace(place).first->second.last_run = ++runs_;
        return result;
      }
      entry& known = found->second;
      known.last_run = ++runs_;
      if (!known.work) {
        try {
          known.work.emplace(capture(b, name_, [&] {
            known.result = result_of(work);
            check_scratch(b, place.first);
          }));
        } catch (...) {
          kept_.erase(found);
          throw;
        }
      }
      known.work->launch(b);
      return known.result;
    } else {
      return result_of(work);
    }
  }

  /// Drops all graphs. Required after memory that they refer to has been freed or moved.
  void forget() { kept_.clear(); }

 private:
  static constexpr std::size_t max_keys = 256;
  using mark = typename std::remove_reference_t<decltype(std::declval<B&>().scratch())>::mark;

  struct entry {
    Result result{};
    std::optional<typename detail::graph_of<B>::type> work;
    std::uint64_t last_run = 0;  // its number
  };

  template <class Work>
  static Result result_of(Work& work) {
    if constexpr (std::is_void_v<std::invoke_result_t<Work&>>) {
      work();
      return {};
    } else {
      return work();
    }
  }

  void check_backend([[maybe_unused]] B const& b) {
    if (!user_) user_ = &b;
#if !defined(NDEBUG)
    expects(user_ == &b, name_, ": a graph cache is used with two backends");
#endif
  }
  void check_scratch([[maybe_unused]] B& b, [[maybe_unused]] mark const& begin) const {
#if !defined(NDEBUG)
    if (begin.generation != b.scratch().here().generation) return;  // merged chunks: nothing is in use
    expects(b.scratch().here() == begin, name_, ": the work keeps scratch memory beyond its end");
#endif
  }

  char const* name_;
  B const* user_ = nullptr;  // the backend of the first run
  std::map<std::pair<mark, Key>, entry> kept_;
  std::uint64_t runs_ = 0;
};

}  // namespace contract
}  // namespace mql4grec
