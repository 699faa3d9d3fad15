#pragma once
// Declares the operations that cpu::backend computes faster than the reference's loops. Each is defined in the file of
// its name and computes the same as its counterpart in backend/reference/. With mql4grec::compiled a source sees only
// these declarations; the definitions are in the library (src/cpu_operations.cpp).
#include <concepts>

#include "mql4grec/backend/cpu/matmul/frozen_weight.hpp"
#include "mql4grec/backend/cpu/matmul/packed_weights.hpp"
#include "mql4grec/backend/cpu/runtime/backend.hpp"

namespace mql4grec::cpu {

// ---- matrix products ----
/// C (m,n) = [C +] alpha · op(A) (m,k) · op(B) (k,n); a batch of them, see product
template <class T>
  requires(std::same_as<T, float> || std::same_as<T, double>)
void matmul(backend& where, in_matrix<backend, T> a, in_matrix<backend, T> b, out_matrix<backend, T> c, product how);

/// The name of the library that multiplies float matrices on this machine, for reports.
char const* matmul_library();

/// Packs weight (out,in), scaled by alpha, for many products; see frozen_weight for its lifetime.
template <std::same_as<float> T>
frozen_weight freeze_weight(backend& b, in_matrix<backend, T> weight, double alpha);
/// y (rows,out) = alpha · x (rows,in) · weightᵀ
template <std::same_as<float> T>
void frozen_product(backend& b, in_matrix<backend, T> x, frozen_weight const& weight, out_matrix<backend, T> y);

/// Packs the weights for products with them and with their transposes, on all workers; see weight_packing.
template <std::same_as<float> T>
[[nodiscard]] weight_packing pack_weights(backend& b, std::span<plain_weight<host_space, T> const> weights);

// ---- layers ----
/// y (rows,d) += bias (d)
template <std::same_as<float> T>
void bias_forward(backend&, in_vector<backend, T> bias, out_matrix<backend, T> y);
/// y (rows,d) = max(0, y + bias (d)), in place
template <std::same_as<float> T>
void bias_relu_forward(backend&, in_vector<backend, T> bias, out_matrix<backend, T> y);
/// dbias (d) += the column sums of dy (rows,d)
template <std::same_as<float> T>
void bias_backward(backend&, in_matrix<backend, T> dy, out_vector<backend, T> dbias);

/// h (rows,f) = dropout(max(h, 0)), in place
template <std::same_as<float> T>
void relu_forward(backend&, dropout site, out_matrix<backend, T> h);
/// dh (rows,f) = dh ∘ [h > 0] / (1 − rate), in place; h is the forward pass' result
template <std::same_as<float> T>
void relu_backward(backend&, dropout site, in_matrix<backend, T> h, out_matrix<backend, T> dh);
/// h (rows,f) = dropout(gelu(gate) ∘ linear), where gates (rows,2f) contains gate values, then linear ones
template <std::same_as<float> T>
void gated_gelu_forward(backend& b, dropout site, in_matrix<backend, T> gates, out_matrix<backend, T> h);
/// dgates (rows,2f) = the gradient of gates, overwritten; dh (rows,f) is overwritten by dropout(dh)
template <std::same_as<float> T>
void gated_gelu_backward(backend& b, dropout site, in_matrix<backend, T> gates, out_matrix<backend, T> dh,
                         out_matrix<backend, T> dgates);
/// h (rows,f) = gelu(h) by the error function, in place
template <std::same_as<float> T>
void gelu_forward(backend&, out_matrix<backend, T> h);
/// h (rows,f) = h · sigmoid(1.702 h), in place
template <std::same_as<float> T>
void quick_gelu_forward(backend&, out_matrix<backend, T> h);
/// h (rows,f) = silu(gate) ∘ linear, where gates (rows,2f) contains gate values, then linear ones
template <std::same_as<float> T>
void swiglu_forward(backend&, in_matrix<backend, T> gates, out_matrix<backend, T> h);

/// y (rows,d) = LayerNorm of in.x with in.gain and in.bias; y may be in.x
template <std::same_as<float> T>
void layer_norm_forward(backend&, layer_norm_inputs<host_space, T> const& in, double eps, out_matrix<backend, T> y);
/// Rotates the pairs of columns of every head of x (rows,heads·width) by the angles of positions (rows), in place.
template <std::same_as<float> T>
void rotary_forward(backend&, rotary_table<host_space, T> const& table, in_vector<backend, index_t> positions,
                    out_matrix<backend, T> x);
/// patches (images·grid.rows(),channels·patch·patch) = the patches of images (images,channels·height·width)
template <std::same_as<float> T>
void extract_patches(backend&, patch_grid grid, in_matrix<backend, T> images, out_matrix<backend, T> patches);
/// y (sequences,d) = the mean of each packed sequence's rows of x (rows,d)
template <std::same_as<float> T>
void mean_pool(backend&, in_matrix<backend, T> x, in_vector<backend, index_t> offsets, out_matrix<backend, T> y);

/// y (rows,d) = RMSNorm of in.x with in.gain; inv_rms (rows) is kept for the backward pass
template <std::same_as<float> T>
void rms_norm_forward(backend&, rms_norm_inputs<host_space, T> const& in, double eps, out_matrix<backend, T> y,
                      out_vector<backend, T> inv_rms);
/// out.dx is overwritten, out.dgain is accumulated
template <std::same_as<float> T>
void rms_norm_backward(backend&, rms_norm_inputs<host_space, T> const& in, in_vector<backend, T> inv_rms,
                       in_matrix<backend, T> dy, rms_norm_gradients<host_space, T> const& out);

/// x (rows,d) = x ∘ mask / (1 − rate), in place
template <std::same_as<float> T>
void dropout_apply(backend&, dropout site, out_matrix<backend, T> x);
/// y (rows,d) = x (rows,d) + dropout(y)
template <std::same_as<float> T>
void dropout_add(backend&, dropout site, in_matrix<backend, T> x, out_matrix<backend, T> y);
/// y (rows,d) = dropout(x); y may be x
template <std::same_as<float> T>
void dropout_copy(backend& b, dropout site, in_matrix<backend, T> x, out_matrix<backend, T> y);

// ---- attention ----
/// The keys of every head of k, transposed, in the backend's scratch (valid until its scope ends), for searches that
/// attend to the same keys at each step. Empty when a head's width is not a multiple of `lanes`.
template <std::same_as<float> T>
in_vector<backend, T> pack_keys(backend& b, in_matrix<backend, T> k, in_vector<backend, index_t> key_offsets,
                                index_t heads);
/// Computes context (query tokens, heads·width) and weights (Σ heads·queries·keys).
template <std::same_as<float> T>
void attention_forward(backend& b, attention_inputs<host_space, T> const& in, out_vector<backend, T> weights,
                       out_matrix<backend, T> context);
/// Computes the gradients of the inputs from dcontext (query tokens, heads·width) and the weights.
template <std::same_as<float> T>
void attention_backward(backend& b, attention_inputs<host_space, T> const& in, out_vector<backend, T> weights,
                        in_matrix<backend, T> dcontext, attention_gradients<host_space, T> const& out);
/// Computes context (rows, heads·width) for one decoder step.
template <std::same_as<float> T>
void cached_attention(backend& b, cached_attention_inputs<host_space, T> const& in, out_matrix<backend, T> context);

// ---- losses and updates ----
/// out (rows) = log Σ exp of each row of logits (rows,V)
template <std::same_as<float> T>
void log_sum_exp(backend&, in_matrix<backend, T> logits, out_vector<backend, T> out);
/// losses (rows) = −log softmax(logits) at the target; 0 where it is no_target
template <std::same_as<float> T>
void cross_entropy_forward(backend&, in_matrix<backend, T> logits, in_vector<backend, token_t> targets,
                           out_vector<backend, T> losses);
/// Computes losses as above, and overwrites logits with their gradient, (softmax − one-hot) · scale.
template <std::same_as<float> T>
void cross_entropy_backward(backend&, in_vector<backend, token_t> targets, double scale, out_matrix<backend, T> logits,
                            out_vector<backend, T> losses);

/// Returns Σ (x − target)².
template <std::same_as<float> T>
T squared_error_forward(backend&, in_matrix<backend, T> x, in_matrix<backend, T> target);
/// out.error = Σ (x − target)², out.dx = scale · (x − target); dx may be x
template <std::same_as<float> T>
void squared_error_backward(backend&, in_matrix<backend, T> x, in_matrix<backend, T> target, double scale,
                            squared_error_results<host_space, T> const& out);
/// y (rows,d) += factor · x (rows,d)
template <std::same_as<float> T>
void add_scaled(backend&, double factor, in_matrix<backend, T> x, out_matrix<backend, T> y);

/// One AdamW update of the parameters and both moments.
template <std::same_as<float> T>
void adamw_step(backend&, adamw_update const& how, adamw_tensors<host_space, T> const& on);
/// Σ x², summed in double
template <std::same_as<float> T>
double sum_of_squares(backend&, in_vector<backend, T> x);
/// to (n) += from (n)
template <std::same_as<float> T>
void accumulate(backend&, in_vector<backend, T> from, out_vector<backend, T> to);

// ---- codes ----
/// codes (n) = the nearest of vectors (K,w) to each row of x (n,w), the first one among equals; distances (n) = its
/// squared distance
template <std::same_as<float> T>
void nearest_code(backend& b, in_matrix<backend, T> x, in_matrix<backend, T> vectors, out_vector<backend, code_t> codes,
                  out_vector<backend, T> distances);
/// distances (n,K) = ‖x − v‖²
template <std::same_as<float> T>
void squared_distances(backend& b, in_matrix<backend, T> x, in_matrix<backend, T> vectors,
                       out_matrix<backend, T> distances);
/// codes (n) = the position of the smallest entry of each row, the first one among equals
template <std::same_as<float> T>
void argmin_rows(backend&, in_matrix<backend, T> distances, out_vector<backend, code_t> codes);
/// x (n,w) −= the rows of vectors (K,w) given by codes (n)
template <std::same_as<float> T>
void subtract_codes(backend&, in_matrix<backend, T> vectors, in_vector<backend, code_t> codes,
                    out_matrix<backend, T> x);
/// Adds each row of x (n,w) to its code's row of sums (K,w), and 1 to its code's entry of counts (K).
template <std::same_as<float> T>
void add_to_codes(backend&, in_matrix<backend, T> x, in_vector<backend, code_t> codes, out_matrix<backend, T> sums,
                  out_vector<backend, T> counts);

/// codes (n) = an assignment of the rows of distances (n,K), spread evenly over the codes
template <Real T>
  requires(std::same_as<T, float> || std::same_as<T, double>)
void sinkhorn_assign(backend& b, in_matrix<backend, T> distances, sinkhorn_options const& options,
                     out_vector<backend, code_t> codes);

/// rotation (d,d) = the orthogonal matrix nearest to product (d,d). Uses Eigen's divide-and-conquer SVD; the
/// reference's sweeps take seconds at the width of text embeddings.
template <Real T>
  requires(std::same_as<T, float> || std::same_as<T, double>)
void procrustes_rotation(backend&, in_matrix<backend, T> product, out_matrix<backend, T> rotation);

}  // namespace mql4grec::cpu
