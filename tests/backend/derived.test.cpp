// Backends derived from another, as recommended in docs/howto-add-a-backend.md: operations without an overload are
// those of the base.
#include <doctest/doctest.h>

#include "mql4grec/seq2seq/trainer.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/small_t5.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace ours {
template <class Base>
class derived : public Base {
 public:
  derived& worker(index_t) { return *this; }
  index_t workers() const { return 1; }
};
template <class Base, class Task>
void for_each_worker(derived<Base>& b, Task&& task) {
  task(b, index_t{0});
}

template <class B>
std::vector<double> losses_on() {
  B b;
  auto model = random_t5<double>(b, tiny_t5());
  mql4grec::seq2seq::trainer<B, double> trainer(b, model, {.dropout = 0.1});
  std::vector<double> losses;
  for (int step = 0; step < 3; ++step) losses.push_back(trainer.step(small_batch(), 1e-2));
  return losses;
}
}  // namespace ours

TEST_CASE("derived backend: trains as its base does") {
  CHECK(ours::losses_on<ours::derived<cpu::backend>>() == ours::losses_on<cpu::backend>());
#if MQL4GREC_HAS_THRUST
  CHECK(ours::losses_on<ours::derived<gpu::backend<gpu::cpp>>>() == ours::losses_on<gpu::backend<gpu::cpp>>());
#endif
}
