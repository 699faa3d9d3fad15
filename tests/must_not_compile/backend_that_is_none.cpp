// expect: constraints? not satisfied
#include "mql4grec/backend/reference/reference.hpp"
#include "mql4grec/seq2seq/t5.hpp"

// A model lives on a backend, and a backend has workers, scratch and an allocator.
struct only_a_space {
  using memory_space = mql4grec::host_space;
};

#ifdef MQL4GREC_VALID
using model = mql4grec::seq2seq::t5<mql4grec::reference::backend, float>;
#else
using model = mql4grec::seq2seq::t5<only_a_space, float>;
#endif
model const* nowhere = nullptr;
