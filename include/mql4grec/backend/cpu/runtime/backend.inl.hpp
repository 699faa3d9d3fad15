#pragma once
// The definitions of backend.hpp.
#include <algorithm>
#include <thread>

#include "mql4grec/backend/cpu/runtime/backend.hpp"
#include "mql4grec/backend/cpu/runtime/dispatch.hpp"
#include "mql4grec/core/macros.hpp"

namespace mql4grec::cpu {

MQL4GREC_DEFINITION backend::backend(index_t threads, precision products) : products_(products) {
  expects(products != precision::tf32, "CPU: products in tf32 are a GPU's; expected fp32, bf16 or int8");
  (void)chosen_instruction_set();  // an invalid environment variable is reported here, not by the first kernel
  if (threads <= 0) threads = static_cast<index_t>(std::max(1u, std::thread::hardware_concurrency()));
  if (threads == 1) return;
  pool_ = std::make_unique<thread_pool>(threads);
  for (index_t number = 1; number < threads; ++number) others_.push_back(std::make_unique<backend>(1, products));
}

}  // namespace mql4grec::cpu
