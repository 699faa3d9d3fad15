// expect: this backend has no adamw_step for this scalar
#include <complex>

#include "mql4grec/backend/reference/reference.hpp"
#include "mql4grec/optim/adamw.hpp"

using namespace mql4grec;

// Complex scalars are there to prove gradients, not to be trained.
#ifdef MQL4GREC_VALID
using scalar = double;
#else
using scalar = std::complex<double>;
#endif

void train(reference::backend& b, nn::parameter_layout const& layout, view<scalar, host_space, 1> x,
           optim::adamw_state<reference::backend, scalar>& state) {
  optim::update<scalar>(b, {}, {}, layout, {x, x, state});
}
