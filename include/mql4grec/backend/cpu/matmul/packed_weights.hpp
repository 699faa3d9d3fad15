#pragma once
// The weights of a training step, packed once for all of its micro-batches.
#include <span>
#include <unordered_map>
#include <vector>

#include "mql4grec/backend/contract/weight.hpp"
#include "mql4grec/backend/cpu/matmul/weight_panels.hpp"

namespace mql4grec::cpu {

namespace detail {

/// Weights, each packed for products with it and with its transpose.
class packed_weights {
 public:
  /// Packs the weights on all workers of b. Memory of an earlier call with the same shapes is used again.
  void pack(backend& b, std::span<plain_weight<host_space, float> const> weights);
  /// What computes a · op(b), or null if it isn't packed.
  weight_panels const* find(in_matrix<backend, float> b, product const& how) const {
    if (how.transpose_a || how.accumulate) return nullptr;
    auto const found = places_.find(b.data);
    if (found == places_.end()) return nullptr;
    auto const& weight = weights_[found->second];
    auto const& w = weight.plain.values;
    if (w.rows() != b.rows() || w.columns() != b.columns() || weight.plain.alpha != how.alpha) return nullptr;
    return how.transpose_b ? &weight.transposed : &weight.straight;
  }

 private:
  struct packed_weight {
    plain_weight<host_space, float> plain;
    weight_panels straight, transposed;
  };
  std::vector<packed_weight> weights_;
  std::unordered_map<float const*, std::size_t> places_;  // by the first entry
};

}  // namespace detail

/// While it exists, products with its weights use packed copies, on every worker of the backend. The weights must not
/// change meanwhile, and the backend must not be moved.
class weight_packing {
 public:
  /// Packs the weights on all workers of b.
  weight_packing(backend& b, std::span<plain_weight<host_space, float> const> weights);
  weight_packing(weight_packing const&) = delete;
  weight_packing& operator=(weight_packing const&) = delete;
  ~weight_packing() { announce(nullptr); }

 private:
  void announce(detail::packed_weights const* active) {
    for (index_t i = 0; i < backend_.workers(); ++i) backend_.worker(i).active_ = active;
  }
  backend& backend_;
};

}  // namespace mql4grec::cpu
