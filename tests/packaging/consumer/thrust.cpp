#include <mql4grec/backend/gpu/gpu.hpp>
#include <mql4grec/mql4grec.hpp>

// A model on Thrust's OpenMP system has the parameters that it was given.
int main() {
  using namespace mql4grec;
  gpu::backend<gpu::omp> backend;
  t5<gpu::backend<gpu::omp>, float> model(backend, {.vocabulary = 20});
  initialize(model, 1);
  return sum_of_squares<float>(backend, std::as_const(model).parameters()) > 0 ? 0 : 1;
}
