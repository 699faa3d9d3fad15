#pragma once
// oneDNN's products, run on the calling thread only: sgemm, and those of bfloat16, which use AMX where the machine has
// it.
#if MQL4GREC_HAS_ONEDNN
#include <dnnl.h>
#include <signal.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <limits>
#include <memory>
#include <type_traits>

#include "mql4grec/backend/cpu/operations.hpp"
#include "mql4grec/backend/cpu/runtime/backend.hpp"
#include "mql4grec/backend/cpu/runtime/dispatch.hpp"

#if defined(_OPENMP)
#include <omp.h>
#else  // <omp.h> is part of the compiler; clang's is a separate package
extern "C" int omp_get_max_threads();
extern "C" void omp_set_num_threads(int);
#endif

namespace mql4grec::cpu::detail {

/// Sets OpenMP's thread count, which is a setting of the calling thread, to 1, and restores it at the end.
class single_omp_thread {
 public:
  single_omp_thread() : before_(omp_get_max_threads()) {
    if (before_ != 1) omp_set_num_threads(1);
  }
  single_omp_thread(single_omp_thread const&) = delete;
  single_omp_thread& operator=(single_omp_thread const&) = delete;
  ~single_omp_thread() {
    if (before_ != 1) omp_set_num_threads(before_);
  }

 private:
  int before_;
};

/// Blocks signals while it exists. oneDNN's generated kernels (seen in 2.6.3) move the stack pointer into a heap block:
/// a signal handler that runs there writes its frame, 3 kB with AVX-512, over the block's neighbours. Costs 0.4 µs.
class signals_held_back {
 public:
  signals_held_back() {
    ::sigset_t all;
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, &before_);
  }
  signals_held_back(signals_held_back const&) = delete;
  signals_held_back& operator=(signals_held_back const&) = delete;
  ~signals_held_back() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }

 private:
  ::sigset_t before_;
};

/// c = alpha · op(a) · op(b) + beta · c, row-major.
inline void onednn_product(in_matrix<backend, float> a, in_matrix<backend, float> b, out_matrix<backend, float> c,
                           product how) {
  single_omp_thread const alone;
  signals_held_back const undisturbed;
  auto const flag = [](bool transpose) { return transpose ? 'T' : 'N'; };
  auto const status = dnnl_sgemm(flag(how.transpose_a), flag(how.transpose_b), c.rows(), c.columns(),
                                 how.transpose_a ? a.rows() : a.columns(), static_cast<float>(how.alpha), a.data,
                                 a.stride, b.data, b.stride, how.accumulate ? 1.f : 0.f, c.data, c.stride);
  expects(status == dnnl_success, "oneDNN: a product of floats failed with status ", static_cast<int>(status));
}

/// Products of bfloat16 with at least so many multiply-adds are oneDNN's, which multiplies by AMX tiles. The initial
/// value corresponds to 10 µs of the kernels for AVX512_BF16: a call costs 1 to 2 µs, and oneDNN packs both factors
/// again. On machines without AMX it is the largest number, and so it is if the operating system or DNNL_MAX_CPU_ISA
/// forbids AMX. Tests lower it to run this code on any machine.
inline std::atomic<index_t>& smallest_amx_product() {
  static std::atomic<index_t> smallest{[] {
    bool const amx = (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_amx) == dnnl_cpu_isa_avx512_core_amx;
    return amx ? index_t{1} << 21 : std::numeric_limits<index_t>::max();
  }()};
  return smallest;
}

/// Whether the product (m, k) · (k, n) of bfloat16 is oneDNN's. MQL4GREC_MAX_INSTRUCTION_SET below amx excludes it.
inline bool prefers_amx(index_t m, index_t n, index_t k) {
  return allowed_instruction_set().load(std::memory_order_relaxed) == instruction_set::amx &&
         m * n * k >= smallest_amx_product().load(std::memory_order_relaxed);
}
/// Whether some products of bfloat16 are oneDNN's.
inline bool prefers_amx() {
  return allowed_instruction_set().load(std::memory_order_relaxed) == instruction_set::amx &&
         smallest_amx_product().load(std::memory_order_relaxed) < std::numeric_limits<index_t>::max();
}

/// op(x), a factor in bfloat16.
struct bf16_matrix {
  in_matrix<backend, std::uint16_t> x;
  bool transposed;
};

inline void expect_success(dnnl_status_t status) {
  expects(status == dnnl_success, "oneDNN: a product of bfloat16 failed with status ", static_cast<int>(status),
          "; MQL4GREC_MAX_INSTRUCTION_SET=avx512 excludes it");
}

/// An object of oneDNN, created by a function of its C interface and destroyed by Destroy.
template <class Handle, auto Destroy>
class onednn_object {
 public:
  template <class Create>
  explicit onednn_object(Create create) {
    Handle made{};
    expect_success(create(&made));
    handle_.reset(made);
  }
  Handle get() const { return handle_.get(); }

 private:
  struct destroyer {
    void operator()(Handle handle) const { Destroy(handle); }
  };
  std::unique_ptr<std::remove_pointer_t<Handle>, destroyer> handle_;
};

/// A description of a (rows, columns) matrix; sizes and strides may be DNNL_RUNTIME_DIM_VAL.
class onednn_layout {
 public:
  struct sizes {
    dnnl_dim_t rows, columns, row_stride, column_stride;
  };
  onednn_layout(dnnl_data_type_t type, sizes const& of) {
    dnnl_dims_t const dims{of.rows, of.columns}, strides{of.row_stride, of.column_stride};
#if DNNL_VERSION_MAJOR >= 3
    expect_success(dnnl_memory_desc_create_with_strides(&description_, 2, dims, type, strides));
#else
    expect_success(dnnl_memory_desc_init_by_strides(&description_, 2, dims, type, strides));
#endif
  }
  onednn_layout(onednn_layout const&) = delete;
  onednn_layout& operator=(onednn_layout const&) = delete;
#if DNNL_VERSION_MAJOR >= 3
  ~onednn_layout() { dnnl_memory_desc_destroy(description_); }
  const_dnnl_memory_desc_t get() const { return description_; }
#else
  dnnl_memory_desc_t const* get() const { return &description_; }
#endif

 private:
  dnnl_memory_desc_t description_;
};

/// oneDNN's products of bfloat16 on one thread. Sizes and strides are arguments of a call: each of the eight kinds,
/// by transposition and accumulation, is generated once. A product with fixed sizes would be generated again for every
/// number of tokens.
class onednn_bf16 {
 public:
  /// Those of the calling thread.
  static onednn_bf16& here() {
    thread_local onednn_bf16 products;
    return products;
  }

  /// c (m, n) = op(a) · op(b) [+ c]
  void product(bf16_matrix const& a, bf16_matrix const& b, out_matrix<backend, float> c, bool accumulate) {
    single_omp_thread const alone;
    signals_held_back const undisturbed;
    auto& slot = kinds_[(a.transposed ? 1u : 0u) + (b.transposed ? 2u : 0u) + (accumulate ? 4u : 0u)];
    if (!slot) slot = std::make_unique<primitive>(made(a.transposed, b.transposed, accumulate));
    memory const x = memory_of(a), y = memory_of(b),
                 z = memory_at({dnnl_f32, {c.rows(), c.columns(), c.stride, 1}}, c.data);
    dnnl_exec_arg_t const arguments[] = {{DNNL_ARG_SRC, x.get()}, {DNNL_ARG_WEIGHTS, y.get()}, {DNNL_ARG_DST, z.get()}};
    expect_success(dnnl_primitive_execute(slot->get(), stream_.get(), 3, arguments));
    expect_success(dnnl_stream_wait(stream_.get()));
  }

 private:
  using memory = onednn_object<dnnl_memory_t, dnnl_memory_destroy>;
  using primitive = onednn_object<dnnl_primitive_t, dnnl_primitive_destroy>;

  memory memory_at(onednn_layout const& layout, void* data) const {
    return memory([&](dnnl_memory_t* out) { return dnnl_memory_create(out, layout.get(), engine_.get(), data); });
  }
  memory memory_of(bf16_matrix const& of) const {
    auto const& x = of.x;
    auto* const data = const_cast<std::uint16_t*>(x.data);  // oneDNN's memory is never const
    return of.transposed ? memory_at({dnnl_bf16, {x.columns(), x.rows(), 1, x.stride}}, data)
                         : memory_at({dnnl_bf16, {x.rows(), x.columns(), x.stride, 1}}, data);
  }
  /// One stride is 1 at all times: with two unknown strides oneDNN uses plain loops.
  static onednn_layout::sizes unknown(bool transposed) {
    constexpr dnnl_dim_t any = DNNL_RUNTIME_DIM_VAL;
    return {any, any, transposed ? 1 : any, transposed ? any : 1};
  }
  primitive made(bool transposed_a, bool transposed_b, bool accumulate) const {
    onednn_layout const a(dnnl_bf16, unknown(transposed_a)), b(dnnl_bf16, unknown(transposed_b)),
        c(dnnl_f32, unknown(false));
    onednn_object<dnnl_post_ops_t, dnnl_post_ops_destroy> const sum(dnnl_post_ops_create);
    onednn_object<dnnl_primitive_attr_t, dnnl_primitive_attr_destroy> const attributes(dnnl_primitive_attr_create);
    if (accumulate) {
#if DNNL_VERSION_MAJOR >= 3
      expect_success(dnnl_post_ops_append_sum(sum.get(), 1, 0, dnnl_f32));
#else
      expect_success(dnnl_post_ops_append_sum(sum.get(), 1));
#endif
      expect_success(dnnl_primitive_attr_set_post_ops(attributes.get(), sum.get()));
    }
    onednn_object<dnnl_primitive_desc_t, dnnl_primitive_desc_destroy> const kind([&](dnnl_primitive_desc_t* out) {
#if DNNL_VERSION_MAJOR >= 3
      return dnnl_matmul_primitive_desc_create(out, engine_.get(), a.get(), b.get(), nullptr, c.get(),
                                               attributes.get());
#else
      dnnl_matmul_desc_t operation;
      auto const status = dnnl_matmul_desc_init(&operation, a.get(), b.get(), nullptr, c.get());
      if (status != dnnl_success) return status;
      return dnnl_primitive_desc_create(out, &operation, attributes.get(), engine_.get(), nullptr);
#endif
    });
    return primitive([&](dnnl_primitive_t* out) { return dnnl_primitive_create(out, kind.get()); });
  }

  onednn_object<dnnl_engine_t, dnnl_engine_destroy> engine_{
      [](dnnl_engine_t* out) { return dnnl_engine_create(out, dnnl_cpu, 0); }};
  onednn_object<dnnl_stream_t, dnnl_stream_destroy> stream_{
      [this](dnnl_stream_t* out) { return dnnl_stream_create(out, engine_.get(), dnnl_stream_default_flags); }};
  std::array<std::unique_ptr<primitive>, 8> kinds_;
};

/// c = alpha · op(a) · op(b) [+ c]
inline void amx_product(backend& where, bf16_matrix const& a, bf16_matrix const& b, out_matrix<backend, float> c,
                        product how) {
  auto& library = onednn_bf16::here();
  if (how.alpha == 1) return library.product(a, b, c, how.accumulate);
  if (!how.accumulate) {
    library.product(a, b, c, false);
    for (index_t i = 0; i < c.rows(); ++i)
      for (index_t j = 0; j < c.columns(); ++j) c(i, j) *= static_cast<float>(how.alpha);
    return;
  }
  scratch_scope<backend> const scope(where.scratch());
  auto const sum = take<float>(where, c.rows(), c.columns());
  library.product(a, b, sum, false);
  add_scaled<float>(where, how.alpha, sum, c);
}

}  // namespace mql4grec::cpu::detail
#endif
