// A custom backend: the CPU's, with a counter of the operations of its matrix products. It is a type of its own, so
// overloads for it are found by argument-dependent lookup, and all other operations are those of the base.
#include <cstdio>
#include <mql4grec/mql4grec.hpp>

namespace counting {

// example-begin own_backend
class backend : public mql4grec::cpu::backend {
 public:
  backend& worker(mql4grec::index_t) { return *this; }  // one worker: the calling thread
  double floating_point_operations = 0;
};
static_assert(mql4grec::Backend<backend>);

template <class Task>
void for_each_worker(backend& b, Task&& task) {
  task(b, mql4grec::index_t{0});
}

// Overload resolution prefers this to the CPU's matmul, which it calls.
template <mql4grec::Real T>
void matmul(backend& b, mql4grec::in_matrix<backend, T> x, mql4grec::in_matrix<backend, T> y,
            mql4grec::out_matrix<backend, T> z, mql4grec::product how) {
  auto const inner = how.transpose_a ? x.rows() : x.columns();
  b.floating_point_operations += 2.0 * static_cast<double>(z.size()) * static_cast<double>(inner);
  mql4grec::cpu::matmul<T>(b, x, y, z, how);
}
// example-end own_backend

}  // namespace counting

using namespace mql4grec;

int main() {
  vocabulary const vocab({.modalities = {{"a", {8, 8, 8, 8}}}});
  tasks::batch training_batch;
  training_batch.append(std::vector<token_t>{token_t{3}, token_t{12}, token_t{20}, token_t{30}},
                        std::vector<token_t>{token_t{4}, token_t{13}, token_t{21}, token_t{31}});
  counting::backend backend;
  t5<counting::backend, float> model(backend, {.vocabulary = vocab.size()});
  initialize(model, 1);
  trainer<counting::backend, float> t5_trainer(backend, model, {});
  double const loss = t5_trainer.step(training_batch, 1e-3);
  std::printf("loss %.3f; the step's products took %.1f million floating-point operations\n", loss,
              backend.floating_point_operations / 1e6);
  return std::isfinite(loss) && backend.floating_point_operations > 0 ? 0 : 1;
}
