#pragma once
#include <cstdint>

namespace mql4grec {

/// One AdamW update (Loshchilov & Hutter, ICLR 2019; the order of operations is torch.optim.AdamW's).
struct adamw_update {
  double learning_rate = 1e-3;
  double beta1 = 0.9, beta2 = 0.999, epsilon = 1e-8;
  double weight_decay = 0;
  std::int64_t step = 1;      ///< 1 for the first update: the bias corrections need it
  double gradient_scale = 1;  ///< clipping's factor, applied while the gradient is read
};

}  // namespace mql4grec
