#pragma once
// The rotation of an orthogonal Procrustes problem. Computed on the host, so it waits and cannot be captured.
#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/backend/gpu/runtime/backend.hpp"

namespace mql4grec::gpu {

/// product (d,d) -> rotation (d,d); see backend/reference/procrustes.hpp. It is computed once per iteration of a
/// rotation's fit, for a few hundred columns, so the host computes it.
template <Real T, class System>
void procrustes_rotation(backend<System>&, in_matrix<backend<System>, T> product,
                         out_matrix<backend<System>, T> rotation) {
  index_t const d = product.rows();
  buffer<T, host_space> in(d * d), out(d * d);
  for (index_t i = 0; i < d; ++i) copy(product.row(i), in.view_all().part(i * d, d));
  cpu::backend host;
  mql4grec::cpu::procrustes_rotation<T>(host, {in.view_all().data, d, d}, {out.view_all().data, d, d});
  for (index_t i = 0; i < d; ++i) copy(std::as_const(out).view_all().part(i * d, d), rotation.row(i));
}

}  // namespace mql4grec::gpu
