#pragma once
// Work that comes again and again in the same shape. A GPU is told it once, as a graph, and starts all of it with one
// call from then on.
#include <algorithm>
#include <bit>
#include <map>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "mql4grec/backend/contract/concepts.hpp"

namespace mql4grec {

/// What graph asks of a backend. It may have none: work is done as it comes then. capture(b, name, work) calls work(),
/// whose operations are written down instead of being done; launch(b) does them with the arguments they had, on
/// whatever their places in memory hold by then.
template <class B>
concept CaptureOps = Backend<B> && requires(B& b, void (*work)()) {
  capture(b, "work", work).launch(b);
};

/// What numbers of rows are rounded up to a multiple of, so that few shapes come up and graph_cache are used again:
/// `least`, and from 32 · least on a thirty-second of the power of two below. Rounded so, rows become 3 % more at most.
constexpr index_t shape_step(index_t rows, index_t least) {
  return std::max(least, static_cast<index_t>(std::bit_floor(static_cast<std::uint64_t>(rows)) / 32));
}
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

/// Graphs by key: the first run of a key is done as it comes, so that all memory and all plans that it needs are there;
/// the second is captured. All that the work reads and that isn't in the backend's memory must follow from the key; so
/// must the places it takes from the scratch, but for the place where that stands. What the work returns to the host
/// must follow from the key, too.
template <Backend B, class Key, std::copyable Result = std::monostate>
class graph_cache {
 public:
  /// `name` is for errors.
  explicit graph_cache(char const* name) : name_(name) {}

  template <class Work>
  Result run(B& b, Key const& key, Work&& work) {
    if constexpr (CaptureOps<B>) {
      std::pair const place{b.scratch().here(), key};
      if (!kept_.empty() && kept_.begin()->first.first.moves != place.first.moves) forget();
      auto found = kept_.find(place);
      if (found == kept_.end()) {
        Result result = result_of(work);
        if (kept_.size() >= most) forget();
        kept_.try_emplace(place);  // only now: work that failed has not made its memory
        return result;
      }
      entry& known = found->second;
      if (!known.work) {
        try {
          known.work.emplace(capture(b, name_, [&] { known.result = result_of(work); }));
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

  /// Places that the work had in its arguments are others now.
  void forget() { kept_.clear(); }

 private:
  static constexpr std::size_t most = 256;
  using mark = typename std::remove_reference_t<decltype(std::declval<B&>().scratch())>::mark;

  struct entry {
    Result result{};
    std::optional<typename detail::graph_of<B>::type> work;
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

  char const* name_;
  std::map<std::pair<mark, Key>, entry> kept_;
};

}  // namespace mql4grec
