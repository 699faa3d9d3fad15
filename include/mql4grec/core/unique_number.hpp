#pragma once
#include <atomic>
#include <cstdint>

namespace mql4grec {

/// Another number at every call, never 0: tells a thing from what lay at the same place before.
inline std::uint64_t unique_number() {
  static std::atomic<std::uint64_t> last{0};
  return ++last;
}

}  // namespace mql4grec
