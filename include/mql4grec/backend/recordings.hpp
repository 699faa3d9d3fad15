#pragma once
// Work that comes again and again in the same shape. A GPU is told it once, as a graph, and starts all of it with one call from then on.
#include <algorithm>
#include <bit>
#include <map>
#include <optional>
#include <type_traits>
#include <utility>
#include <variant>

#include "mql4grec/backend/concepts.hpp"

namespace mql4grec {

/// What recording asks of a backend. It may have none: work is done as it comes then. record(b, name, work) calls work(), whose operations are
/// written down instead of being done; replay(b) does them with the arguments they had, on whatever their places in memory hold by then.
template <class B>
concept RecordingOps = Backend<B> && requires(B& b, void (*work)()) {
  record(b, "work", work).replay(b);
};

/// What numbers of rows are rounded up to a multiple of, so that few shapes come up and recordings are used again: `least`, and from 32 · least on a
/// thirty-second of the power of two below. Rounded so, rows become 3 % more at most.
constexpr index_t shape_step(index_t rows, index_t least) {
  return std::max(least, static_cast<index_t>(std::bit_floor(static_cast<std::uint64_t>(rows)) / 32));
}
constexpr index_t round_up(index_t n, index_t step) { return (n + step - 1) / step * step; }

namespace detail {
struct no_recording {
  template <class B>
  void replay(B&) const {}
};
template <class B>
struct recording_on {
  using type = no_recording;
};
template <RecordingOps B>
struct recording_on<B> {
  using type = decltype(record(std::declval<B&>(), "", std::declval<void (*)()>()));
};
}  // namespace detail

/// Recordings by key: the first run of a key is done as it comes, so that all memory and all plans that it needs are there; the second is recorded.
/// All that the work reads and that isn't in the backend's memory must follow from the key; so must the places it takes from the scratch, but
/// for the place where that stands.
/// What the work returns to the host must follow from the key, too.
template <Backend B, class Key, std::copyable Result = std::monostate>
class recordings {
 public:
  /// `name` is for errors.
  explicit recordings(char const* name) : name_(name) {}

  template <class Work>
  Result run(B& b, Key const& key, Work&& work) {
    if constexpr (RecordingOps<B>) {
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
          known.work.emplace(record(b, name_, [&] { known.result = result_of(work); }));
        } catch (...) {
          kept_.erase(found);
          throw;
        }
      }
      known.work->replay(b);
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
    std::optional<typename detail::recording_on<B>::type> work;
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
