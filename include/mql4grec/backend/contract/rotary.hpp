#pragma once
// The angles of rotary positions in a backend's memory.
#include "mql4grec/backend/contract/concepts.hpp"

namespace mql4grec {
inline namespace contract {

/// The cosine and the sine of every position's angles. The angle of column c belongs to the columns c and c + half of
/// each head, where half is the number of columns.
template <MemorySpace S, class T>
struct rotary_table {
  view<T const, S, 2> cosines, sines;  ///< (positions, width / 2)
};

}  // namespace contract
}  // namespace mql4grec
