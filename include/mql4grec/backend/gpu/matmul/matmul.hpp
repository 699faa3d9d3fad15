#pragma once
// Matrix products of systems whose memory is the host's: CBLAS, through the CPU backend. For cuda see
// gpu/matmul/cublas.cuh.
#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/backend/gpu/runtime/backend.hpp"

namespace mql4grec::gpu {

namespace detail {
template <class T, class System>
view<T, host_space, 2> as_host(view<T, device_space<System>, 2> m) {
  static_assert(HostSystem<System>);
  return {m.data, m.rows(), m.columns(), m.stride};
}
}  // namespace detail

/// C (m,n) = [C +] alpha · op(A) (m,k) · op(B) (k,n); a batch of them, see product
template <Real T, HostSystem System>
void matmul(backend<System>& where, in_matrix<backend<System>, T> a, in_matrix<backend<System>, T> b,
            out_matrix<backend<System>, T> c, product how) {
  detail::submit(where, [a, b, c, how] {
    cpu::backend host;
    mql4grec::cpu::matmul<T>(host, detail::as_host(a), detail::as_host(b), detail::as_host(c), how);
  });
}

}  // namespace mql4grec::gpu
