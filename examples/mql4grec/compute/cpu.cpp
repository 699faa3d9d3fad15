// The interface `compute` on the CPU.
#include "mql4grec/backend/cpu/cpu.hpp"

#include "compute/on_backend.hpp"

namespace mql4grec::program {

std::unique_ptr<compute> open_cpu_compute(compute_options const& options) {
  expects(options.products != precision::tf32,
          "--precision tf32: only GPUs have it; expected fp32, bf16 or int8, or --backend gpu");
  backend_setup<cpu::backend> setup{.learning = {.threads = options.threads, .products = options.products},
                                    .translating = {.threads = options.threads, .products = precision::fp32},
                                    .recommending = {.threads = 1, .products = options.products}};
  if (options.products == precision::bf16 && !cpu::has_fast_bf16())
    setup.precision_warning =
        "--precision bf16: this CPU has no instructions for it (AVX512_BF16), or MQL4GREC_MAX_INSTRUCTION_SET excludes "
        "them; factors are rounded and multiplied in fp32, which is no faster";
  if (options.products == precision::int8 && cpu::chosen_int8_instructions() == cpu::int8_instructions::none)
    setup.precision_warning =
        "--precision int8: this CPU has no instructions for it (AVX2), or MQL4GREC_MAX_INSTRUCTION_SET excludes them; "
        "products are computed in fp32";
  return std::make_unique<on_backend<cpu::backend>>(std::move(setup));
}

}  // namespace mql4grec::program
