// expect: deleted
#include <utility>

#include "mql4grec/backend/contract/buffer.hpp"

using namespace mql4grec;

// Memory is moved, or copied by a visible copy(from, to).
buffer<float, host_space> handed_on(buffer<float, host_space>& mine) {
#ifdef MQL4GREC_VALID
  return std::move(mine);
#else
  return mine;
#endif
}
