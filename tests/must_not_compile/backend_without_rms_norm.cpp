// expect: this backend has no rms_norm for this scalar; add it in backend/<name>/rms_norm.hpp
#include "mql4grec/backend/reference/backend.hpp"
#include "mql4grec/nn/rms_norm.hpp"

// For a backend that lacks one operation, the error message is a sentence that names it.
namespace bare {
struct backend {
  using memory_space = mql4grec::host_space;
  template <class T>
  mql4grec::buffer<T, memory_space> allocate(mql4grec::index_t n) {
    return mql4grec::buffer<T, memory_space>(n);
  }
  mql4grec::host_arena& scratch() { return memory; }
  mql4grec::index_t workers() const { return 1; }
  backend& worker(mql4grec::index_t) { return *this; }
  void synchronize() {}
  mql4grec::host_arena memory;
};
static_assert(mql4grec::Backend<backend>);

using vector = mql4grec::view<float, mql4grec::host_space, 1>;
using matrix = mql4grec::view<float, mql4grec::host_space, 2>;
using const_vector = mql4grec::view<float const, mql4grec::host_space, 1>;
using const_matrix = mql4grec::view<float const, mql4grec::host_space, 2>;

#ifdef MQL4GREC_VALID
template <std::same_as<float>>
void rms_norm_forward(backend&, mql4grec::rms_norm_inputs<mql4grec::host_space, float>, double, matrix, vector) {}
template <std::same_as<float>>
void rms_norm_backward(backend&, mql4grec::rms_norm_inputs<mql4grec::host_space, float>, const_vector, const_matrix,
                       mql4grec::rms_norm_gradients<mql4grec::host_space, float>) {}
#endif
}  // namespace bare

void normalise(bare::backend& b, bare::matrix x, bare::vector gain) {
  mql4grec::nn::rms_norm<float>(b, {x, gain}, 1e-6, x, gain);
}
