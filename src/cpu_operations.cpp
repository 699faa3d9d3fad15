// The operations of cpu::backend, as backend/cpu/operations.hpp declares them, compiled once.
#define MQL4GREC_DEFINITION
#include "mql4grec/backend/cpu/definitions.hpp"

namespace mql4grec::cpu {

template void matmul<float>(backend& where, in_matrix<backend, float> a, in_matrix<backend, float> b,
                            out_matrix<backend, float> c, product how);
template void matmul<double>(backend& where, in_matrix<backend, double> a, in_matrix<backend, double> b,
                             out_matrix<backend, double> c, product how);
template frozen_weight freeze_weight<float>(backend& b, in_matrix<backend, float> weight, double alpha);
template void frozen_product<float>(backend& b, in_matrix<backend, float> x, frozen_weight const& weight,
                                    out_matrix<backend, float> y);
template weight_packing pack_weights<float>(backend& b, std::span<plain_weight<host_space, float> const> weights);
template void bias_forward<float>(backend&, in_vector<backend, float> bias, out_matrix<backend, float> y);
template void bias_relu_forward<float>(backend&, in_vector<backend, float> bias, out_matrix<backend, float> y);
template void bias_backward<float>(backend&, in_matrix<backend, float> dy, out_vector<backend, float> dbias);
template void relu_forward<float>(backend&, dropout site, out_matrix<backend, float> h);
template void relu_backward<float>(backend&, dropout site, in_matrix<backend, float> h, out_matrix<backend, float> dh);
template void gated_gelu_forward<float>(backend& b, dropout site, in_matrix<backend, float> gates,
                                        out_matrix<backend, float> h);
template void gated_gelu_backward<float>(backend& b, dropout site, in_matrix<backend, float> gates,
                                         out_matrix<backend, float> dh, out_matrix<backend, float> dgates);
template void gelu_forward<float>(backend&, out_matrix<backend, float> h);
template void quick_gelu_forward<float>(backend&, out_matrix<backend, float> h);
template void swiglu_forward<float>(backend&, in_matrix<backend, float> gates, out_matrix<backend, float> h);
template void layer_norm_forward<float>(backend&, layer_norm_inputs<host_space, float> const& in, double eps,
                                        out_matrix<backend, float> y);
template void rotary_forward<float>(backend&, rotary_table<host_space, float> const& table,
                                    in_vector<backend, index_t> positions, out_matrix<backend, float> x);
template void extract_patches<float>(backend&, patch_grid grid, in_matrix<backend, float> images,
                                     out_matrix<backend, float> patches);
template void mean_pool<float>(backend&, in_matrix<backend, float> x, in_vector<backend, index_t> offsets,
                               out_matrix<backend, float> y);
template void rms_norm_forward<float>(backend&, rms_norm_inputs<host_space, float> const& in, double eps,
                                      out_matrix<backend, float> y, out_vector<backend, float> inv_rms);
template void rms_norm_backward<float>(backend&, rms_norm_inputs<host_space, float> const& in,
                                       in_vector<backend, float> inv_rms, in_matrix<backend, float> dy,
                                       rms_norm_gradients<host_space, float> const& out);
template void dropout_apply<float>(backend&, dropout site, out_matrix<backend, float> x);
template void dropout_add<float>(backend&, dropout site, in_matrix<backend, float> x, out_matrix<backend, float> y);
template void dropout_copy<float>(backend& b, dropout site, in_matrix<backend, float> x, out_matrix<backend, float> y);
template in_vector<backend, float> pack_keys<float>(backend& b, in_matrix<backend, float> k,
                                                    in_vector<backend, index_t> key_offsets, index_t heads);
template void attention_forward<float>(backend& b, attention_inputs<host_space, float> const& in,
                                       out_vector<backend, float> weights, out_matrix<backend, float> context);
template void attention_backward<float>(backend& b, attention_inputs<host_space, float> const& in,
                                        out_vector<backend, float> weights, in_matrix<backend, float> dcontext,
                                        attention_gradients<host_space, float> const& out);
template void cached_attention<float>(backend& b, cached_attention_inputs<host_space, float> const& in,
                                      out_matrix<backend, float> context);
template void log_sum_exp<float>(backend&, in_matrix<backend, float> logits, out_vector<backend, float> out);
template void cross_entropy_forward<float>(backend&, in_matrix<backend, float> logits,
                                           in_vector<backend, token_t> targets, out_vector<backend, float> losses);
template void cross_entropy_backward<float>(backend&, in_vector<backend, token_t> targets, double scale,
                                            out_matrix<backend, float> logits, out_vector<backend, float> losses);
template float squared_error_forward<float>(backend&, in_matrix<backend, float> x, in_matrix<backend, float> target);
template void squared_error_backward<float>(backend&, in_matrix<backend, float> x, in_matrix<backend, float> target,
                                            double scale, squared_error_results<host_space, float> const& out);
template void add_scaled<float>(backend&, double factor, in_matrix<backend, float> x, out_matrix<backend, float> y);
template void adamw_step<float>(backend&, adamw_update const& how, adamw_tensors<host_space, float> const& on);
template double sum_of_squares<float>(backend&, in_vector<backend, float> x);
template void accumulate<float>(backend&, in_vector<backend, float> from, out_vector<backend, float> to);
template void nearest_code<float>(backend& b, in_matrix<backend, float> x, in_matrix<backend, float> vectors,
                                  out_vector<backend, code_t> codes, out_vector<backend, float> distances);
template void squared_distances<float>(backend& b, in_matrix<backend, float> x, in_matrix<backend, float> vectors,
                                       out_matrix<backend, float> distances);
template void argmin_rows<float>(backend&, in_matrix<backend, float> distances, out_vector<backend, code_t> codes);
template void subtract_codes<float>(backend&, in_matrix<backend, float> vectors, in_vector<backend, code_t> codes,
                                    out_matrix<backend, float> x);
template void add_to_codes<float>(backend&, in_matrix<backend, float> x, in_vector<backend, code_t> codes,
                                  out_matrix<backend, float> sums, out_vector<backend, float> counts);
template void sinkhorn_assign<float>(backend& b, in_matrix<backend, float> distances, sinkhorn_options const& options,
                                     out_vector<backend, code_t> codes);
template void sinkhorn_assign<double>(backend& b, in_matrix<backend, double> distances, sinkhorn_options const& options,
                                      out_vector<backend, code_t> codes);
template void procrustes_rotation<float>(backend&, in_matrix<backend, float> product,
                                         out_matrix<backend, float> rotation);
template void procrustes_rotation<double>(backend&, in_matrix<backend, double> product,
                                          out_matrix<backend, double> rotation);

}  // namespace mql4grec::cpu
