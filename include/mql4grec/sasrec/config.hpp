#pragma once
// The shape of a SASRec (Kang & McAuley, ICDM 2018), and in what this one differs from the paper's.
#include <cmath>

#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::sasrec {

/// The shape of a SASRec: a causal transformer over the items of a history, with learned positions counted from the
/// most recent item, and item embeddings that are also the output matrix.
///
/// Differences from the paper, chosen because the library's trained layers are T5's:
/// - RMSNorm instead of LayerNorm, whose gradient no backend has;
/// - no biases;
/// - q·k isn't divided by √(head width): the queries' weights start smaller by that factor instead, as in T5.
struct sasrec_config {
  index_t items = 0;                                 ///< items of the catalog, rows of the embedding
  index_t positions = catalog::default_max_history;  ///< the most recent items that are read
  index_t width = 128;                               ///< of the embeddings and of the residual stream
  index_t layers = 2;                                ///< of attention and feed-forward
  index_t heads = 2;                                 ///< of attention; a divisor of the width
  index_t inner_width = 256;                         ///< of feed-forward layers
  double epsilon = 1e-6;                             ///< added to the mean square before the root
  double deviation = 0.02;                           ///< standard deviation of the initial parameters

  bool operator==(sasrec_config const&) const = default;
};

/// Throws error if a member is out of range.
inline void validate(sasrec_config const& c) {
  auto const at_least_one = [](index_t value, char const* name) {
    expects(value >= 1 && value < item_number_limit, "sasrec: ", name, " is ", value, ", expected at least 1");
  };
  at_least_one(c.items, "items");
  at_least_one(c.positions, "positions");
  at_least_one(c.width, "width");
  at_least_one(c.layers, "layers");
  at_least_one(c.heads, "heads");
  at_least_one(c.inner_width, "inner_width");
  expects(c.width % c.heads == 0, "sasrec: a width of ", c.width, " for ", c.heads, " heads, expected a multiple");
  expects(c.epsilon > 0, "sasrec: epsilon is ", c.epsilon, ", expected more than 0");
  expects(c.deviation > 0 && std::isfinite(c.deviation), "sasrec: deviation is ", c.deviation,
          ", expected more than 0");
}

}  // namespace mql4grec::sasrec
