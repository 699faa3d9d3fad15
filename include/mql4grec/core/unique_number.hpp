#pragma once
// Process-wide unique numbers.
#include <atomic>
#include <cstdint>

namespace mql4grec {
inline namespace core {

/// Returns a different number at each call, never 0. It distinguishes an object from an earlier one at the same
/// address. Thread-safe.
inline std::uint64_t unique_number() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

}  // namespace core
}  // namespace mql4grec
