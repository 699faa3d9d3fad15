#pragma once
// What cpu::backend computes faster than the reference's loops, declared; an operation's definition is in the file of
// its name, what it computes is documented with the concept that asks for it (docs/operations.md). With
// mql4grec::compiled these declarations are all that a source sees, and the definitions come from the library
// (src/cpu_operations.cpp).
#include <concepts>

#include "mql4grec/backend/cpu/matmul/frozen_weight.hpp"
#include "mql4grec/backend/cpu/runtime/backend.hpp"

namespace mql4grec::cpu {

// ---- matrix products
// ---------------------------------------------------------------------------------------------------
template <class T>
  requires(std::same_as<T, float> || std::same_as<T, double>)
void matmul(backend& where, in_matrix<backend, T> a, in_matrix<backend, T> b, out_matrix<backend, T> c, product how);

/// Name of the library that multiplies float matrices here and now, for reports.
char const* matmul_library();

template <std::same_as<float> T>
frozen_weight freeze_weight(backend& b, in_matrix<backend, T> weight, double alpha);
template <std::same_as<float> T>
void frozen_product(backend& b, in_matrix<backend, T> x, frozen_weight const& weight, out_matrix<backend, T> y);

// ---- layers
// ------------------------------------------------------------------------------------------------------------
template <std::same_as<float> T>
void bias_forward(backend&, in_vector<backend, T> bias, out_matrix<backend, T> y);
template <std::same_as<float> T>
void bias_relu_forward(backend&, in_vector<backend, T> bias, out_matrix<backend, T> y);
template <std::same_as<float> T>
void bias_backward(backend&, in_matrix<backend, T> dy, out_vector<backend, T> dbias);

template <std::same_as<float> T>
void relu_forward(backend&, dropout site, out_matrix<backend, T> h);
template <std::same_as<float> T>
void relu_backward(backend&, dropout site, in_matrix<backend, T> h, out_matrix<backend, T> dh);
template <std::same_as<float> T>
void gated_gelu_forward(backend& b, dropout site, in_matrix<backend, T> gates, out_matrix<backend, T> h);
template <std::same_as<float> T>
void gated_gelu_backward(backend& b, dropout site, in_matrix<backend, T> gates, out_matrix<backend, T> dh,
                         out_matrix<backend, T> dgates);

template <std::same_as<float> T>
void rms_norm_forward(backend&, in_matrix<backend, T> x, in_vector<backend, T> gain, double eps,
                      out_matrix<backend, T> y, out_vector<backend, T> inv_rms);
template <std::same_as<float> T>
void rms_norm_backward(backend&, in_matrix<backend, T> x, in_vector<backend, T> gain, in_vector<backend, T> inv_rms,
                       in_matrix<backend, T> dy, out_matrix<backend, T> dx, out_vector<backend, T> dgain);

template <std::same_as<float> T>
void dropout_apply(backend&, dropout site, out_matrix<backend, T> x);
template <std::same_as<float> T>
void dropout_add(backend&, dropout site, in_matrix<backend, T> x, out_matrix<backend, T> y);
template <std::same_as<float> T>
void dropout_copy(backend& b, dropout site, in_matrix<backend, T> x, out_matrix<backend, T> y);

// ---- attention
// ---------------------------------------------------------------------------------------------------------
/// The keys of every head in columns, in scratch memory: a search attends to the same keys at every step.
template <std::same_as<float> T>
in_vector<backend, T> pack_keys(backend& b, in_matrix<backend, T> k, in_vector<backend, index_t> key_offsets,
                                index_t heads);
template <std::same_as<float> T>
void attention_forward(backend& b, attention_inputs<host_space, T> const& in, out_vector<backend, T> weights,
                       out_matrix<backend, T> context);
template <std::same_as<float> T>
void attention_backward(backend& b, attention_inputs<host_space, T> const& in, out_vector<backend, T> weights,
                        in_matrix<backend, T> dcontext, attention_gradients<host_space, T> const& out);
template <std::same_as<float> T>
void cached_attention(backend& b, cached_attention_inputs<host_space, T> const& in, out_matrix<backend, T> context);

// ---- losses and updates
// ------------------------------------------------------------------------------------------------
template <std::same_as<float> T>
void log_sum_exp(backend&, in_matrix<backend, T> logits, out_vector<backend, T> out);
template <std::same_as<float> T>
void cross_entropy_forward(backend&, in_matrix<backend, T> logits, in_vector<backend, token_t> targets,
                           out_vector<backend, T> losses);
template <std::same_as<float> T>
void cross_entropy_backward(backend&, in_vector<backend, token_t> targets, double scale, out_matrix<backend, T> logits,
                            out_vector<backend, T> losses);

template <std::same_as<float> T>
T squared_error_forward(backend&, in_matrix<backend, T> x, in_matrix<backend, T> target);
template <std::same_as<float> T>
void squared_error_backward(backend&, in_matrix<backend, T> x, in_matrix<backend, T> target, double scale,
                            out_matrix<backend, T> dx, out_vector<backend, T> error);
template <std::same_as<float> T>
void add_scaled(backend&, double factor, in_matrix<backend, T> x, out_matrix<backend, T> y);

template <std::same_as<float> T>
void adamw_step(backend&, adamw_update how, in_vector<backend, T> gradient, out_vector<backend, T> parameter,
                out_vector<backend, T> first, out_vector<backend, T> second);
template <std::same_as<float> T>
double sum_of_squares(backend&, in_vector<backend, T> x);
template <std::same_as<float> T>
void accumulate(backend&, in_vector<backend, T> from, out_vector<backend, T> to);

// ---- codes
// -------------------------------------------------------------------------------------------------------------
template <std::same_as<float> T>
void nearest_code(backend& b, in_matrix<backend, T> x, in_matrix<backend, T> vectors, out_vector<backend, code_t> codes,
                  out_vector<backend, T> distances);
template <std::same_as<float> T>
void squared_distances(backend& b, in_matrix<backend, T> x, in_matrix<backend, T> vectors,
                       out_matrix<backend, T> distances);
template <std::same_as<float> T>
void argmin_rows(backend&, in_matrix<backend, T> distances, out_vector<backend, code_t> codes);
template <std::same_as<float> T>
void subtract_codes(backend&, in_matrix<backend, T> vectors, in_vector<backend, code_t> codes,
                    out_matrix<backend, T> x);
template <std::same_as<float> T>
void add_to_codes(backend&, in_matrix<backend, T> x, in_vector<backend, code_t> codes, out_matrix<backend, T> sums,
                  out_vector<backend, T> counts);

template <Real T>
  requires(std::same_as<T, float> || std::same_as<T, double>)
void sinkhorn_assign(backend& b, in_matrix<backend, T> distances, double epsilon, int iterations,
                     out_vector<backend, code_t> codes, sinkhorn_order order = sinkhorn_order::codes_last);

/// Eigen's divide and conquer; the reference's sweeps take seconds at the width of text embeddings.
template <Real T>
  requires(std::same_as<T, float> || std::same_as<T, double>)
void procrustes_rotation(backend&, in_matrix<backend, T> product, out_matrix<backend, T> rotation);

}  // namespace mql4grec::cpu
