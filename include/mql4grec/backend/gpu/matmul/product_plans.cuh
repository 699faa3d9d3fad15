#pragma once
// Caches cuBLASLt's descriptors and its choice of kernel for each shape of matrix product, because the heuristic that
// chooses is slow.
#include <cublasLt.h>

#include <compare>
#include <cstdint>
#include <map>
#include <memory>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::gpu::detail {

inline void check(cublasStatus_t status, char const* call) {
  if (status != CUBLAS_STATUS_SUCCESS) raise<device_error>("cuBLASLt: ", call, ": ", cublasLtGetStatusString(status));
}

/// Everything that the choice of a kernel may depend on. Matrices are column-major, as cuBLASLt reads them; it computes
/// the transposed product.
struct product_shape {
  index_t m, n, k, stride_a, stride_b, stride_c;
  index_t batch;  ///< the number of products; their matrices are stacked without gaps
  bool transpose_a, transpose_b;
  int alignment;  ///< common alignment of the three matrices, in bytes
  cublasComputeType_t compute;
  cudaDataType_t type;
  cublasLtEpilogue_t epilogue;  ///< applied to the product before it is written

  auto operator<=>(product_shape const&) const = default;
};

/// The descriptors of a product, and the chosen kernel.
class product_plan {
 public:
  /// `bias`: that of the first call; null when the epilogue adds none.
  product_plan(cublasLtHandle_t handle, product_shape const& s, std::size_t workspace, void const* bias) {
    cublasLtMatmulDesc_t what = nullptr;
    cudaDataType_t const scale = s.type;
    check(cublasLtMatmulDescCreate(&what, s.compute, scale), "cublasLtMatmulDescCreate");
    what_.reset(what);
    auto const set = [&](cublasLtMatmulDescAttributes_t attribute, bool transpose) {
      cublasOperation_t const op = transpose ? CUBLAS_OP_T : CUBLAS_OP_N;
      check(cublasLtMatmulDescSetAttribute(what, attribute, &op, sizeof op), "cublasLtMatmulDescSetAttribute");
    };
    set(CUBLASLT_MATMUL_DESC_TRANSA, s.transpose_a);
    set(CUBLASLT_MATMUL_DESC_TRANSB, s.transpose_b);
    check(cublasLtMatmulDescSetAttribute(what, CUBLASLT_MATMUL_DESC_EPILOGUE, &s.epilogue, sizeof s.epilogue),
          "cublasLtMatmulDescSetAttribute");
    a_ = layout(s, s.transpose_a ? s.k : s.m, s.transpose_a ? s.m : s.k, s.stride_a);
    b_ = layout(s, s.transpose_b ? s.n : s.k, s.transpose_b ? s.k : s.n, s.stride_b);
    c_ = layout(s, s.m, s.n, s.stride_c);
    if (bias) set_bias(bias);
    choose(handle, s, workspace);
  }

  cublasLtMatmulDesc_t what() const { return what_.get(); }
  cublasLtMatrixLayout_t a() const { return a_.get(); }
  cublasLtMatrixLayout_t b() const { return b_.get(); }
  cublasLtMatrixLayout_t c() const { return c_.get(); }
  /// Whether cuBLASLt has a kernel. Only products with an epilogue may have none; otherwise construction throws error.
  bool has_kernel() const { return has_kernel_; }
  cublasLtMatmulAlgo_t const& algorithm() const { return algorithm_; }
  /// Sets the bias of the next call. Products of the same shape share a plan; cuBLASLt reads the pointer during the
  /// call.
  void set_bias(void const* bias) const {
    check(cublasLtMatmulDescSetAttribute(what(), CUBLASLT_MATMUL_DESC_BIAS_POINTER, &bias, sizeof bias),
          "cublasLtMatmulDescSetAttribute");
  }

 private:
  struct destroy {
    void operator()(cublasLtMatmulDesc_t p) const noexcept { cublasLtMatmulDescDestroy(p); }
    void operator()(cublasLtMatrixLayout_t p) const noexcept { cublasLtMatrixLayoutDestroy(p); }
    void operator()(cublasLtMatmulPreference_t p) const noexcept { cublasLtMatmulPreferenceDestroy(p); }
  };
  template <class Handle>
  using owned = std::unique_ptr<std::remove_pointer_t<Handle>, destroy>;

  static owned<cublasLtMatrixLayout_t> layout(product_shape const& s, index_t rows, index_t columns, index_t stride) {
    cublasLtMatrixLayout_t made = nullptr;
    check(cublasLtMatrixLayoutCreate(&made, s.type, static_cast<std::uint64_t>(rows),
                                     static_cast<std::uint64_t>(columns), stride),
          "cublasLtMatrixLayoutCreate");
    owned<cublasLtMatrixLayout_t> out(made);
    if (s.batch == 1) return out;
    auto const set = [&](cublasLtMatrixLayoutAttribute_t attribute, auto value) {
      check(cublasLtMatrixLayoutSetAttribute(made, attribute, &value, sizeof value),
            "cublasLtMatrixLayoutSetAttribute");
    };
    set(CUBLASLT_MATRIX_LAYOUT_BATCH_COUNT, static_cast<std::int32_t>(s.batch));
    set(CUBLASLT_MATRIX_LAYOUT_STRIDED_BATCH_OFFSET, static_cast<std::int64_t>(stride * columns));  // column-major
    return out;
  }
  void choose(cublasLtHandle_t handle, product_shape const& s, std::size_t workspace) {
    cublasLtMatmulPreference_t made = nullptr;
    check(cublasLtMatmulPreferenceCreate(&made), "cublasLtMatmulPreferenceCreate");
    owned<cublasLtMatmulPreference_t> const preference(made);
    auto const set = [&](cublasLtMatmulPreferenceAttributes_t attribute, auto value) {
      check(cublasLtMatmulPreferenceSetAttribute(made, attribute, &value, sizeof value),
            "cublasLtMatmulPreferenceSetAttribute");
    };
    set(CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, workspace);
    for (auto const attribute :
         {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES,
          CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES})
      set(attribute, static_cast<std::uint32_t>(s.alignment));
    cublasLtMatmulHeuristicResult_t best{};
    int found = 0;
    auto const status = cublasLtMatmulAlgoGetHeuristic(handle, what(), a(), b(), c(), c(), made, 1, &best, &found);
    has_kernel_ = status != CUBLAS_STATUS_NOT_SUPPORTED && found > 0;
    if (!has_kernel_ && s.epilogue != CUBLASLT_EPILOGUE_DEFAULT) return;
    check(status, "cublasLtMatmulAlgoGetHeuristic");
    expects(has_kernel_, "cuBLASLt: no kernel multiplies ", s.m, " × ", s.k, " by ", s.k, " × ", s.n);
    algorithm_ = best.algo;
  }

  owned<cublasLtMatmulDesc_t> what_;
  owned<cublasLtMatrixLayout_t> a_, b_, c_;
  cublasLtMatmulAlgo_t algorithm_{};
  bool has_kernel_ = false;
};

/// All plans of a backend. Not thread-safe.
class product_plans {
 public:
  product_plan const& of(cublasLtHandle_t handle, product_shape const& shape, std::size_t workspace, void const* bias) {
    auto found = plans_.find(shape);
    if (found == plans_.end()) found = plans_.try_emplace(shape, handle, shape, workspace, bias).first;
    return found->second;
  }

 private:
  std::map<product_shape, product_plan> plans_;
};

}  // namespace mql4grec::gpu::detail
