// expect: device_space.* to .*host_space|no known conversion from 'view<
#include "mql4grec/backend/cpu/cpu.hpp"

using namespace mql4grec;

// A kernel of the host may not be handed memory of the device.
#ifdef MQL4GREC_VALID
using space = host_space;
#else
using space = device_space<struct some_gpu>;
#endif

void add(cpu::backend& b, view<float const, space, 2> x, view<float, host_space, 2> y) {
  add_scaled<float>(b, 2, x, y);
}
