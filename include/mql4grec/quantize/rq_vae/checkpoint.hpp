#pragma once
// An RQ-VAE as one safetensors file with the tensor names of the released code's state dict, so models can be exchanged
// with PyTorch in both directions. The configuration follows from the shapes of the tensors, so no other file is needed
// to encode items.
#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/safetensors.hpp"
#include "mql4grec/quantize/model_tensors.hpp"
#include "mql4grec/quantize/rq_vae/rq_vae.hpp"

namespace mql4grec::quantize {

namespace detail {

/// The configuration that follows from the tensors' shapes. The weights of the losses aren't in the file and have their
/// defaults.
rq_vae_config config_of(safetensors const& file);

/// Throws file_error unless every parameter has a tensor of its shape and there are no other tensors.
void check_tensors(safetensors const& file, nn::parameter_layout const& layout);

}  // namespace detail

/// Writes the model as one file, atomically: a failed write leaves no partial file. Throws file_error.
template <Backend B>
void write_rq_vae(std::filesystem::path const& path, rq_vae<B, float> const& model) {
  host_copy const values(model.parameters());
  std::vector<named_tensor> tensors;
  for (auto const& p : model.layout().entries())
    tensors.push_back({p.name, p.shape(), values.view_all().part(p.offset, p.size())});
  write_safetensors(path, tensors, {{"format", "pt"}});
}

/// Reads a file that was written by write_rq_vae() or by PyTorch (safetensors.torch.save_file of a state dict). Half
/// and double precision are converted to T. Throws file_error when a tensor is missing, unknown, not finite or of a
/// shape that doesn't fit the others.
template <Real T, Backend B>
[[nodiscard]] rq_vae<B, T> read_rq_vae(B& backend, std::filesystem::path const& path) {
  safetensors const file(path);
  auto const config = detail::config_of(file);
  try {
    validate(config);
  } catch (error const& e) {
    raise<file_error>(path.string(), ": ", e.what());
  }
  detail::check_tensors(file, rq_vae_layout(config));
  rq_vae<B, T> model(backend, config);
  fill(model.parameters(), [&](host_vector_view<T> values) {
    for (auto const& p : model.layout().entries())
      detail::read_finite<T>(file, p.name, p.shape(), values.part(p.offset, p.size()));
  });
  return model;
}

}  // namespace mql4grec::quantize

#if !MQL4GREC_COMPILED
#include "mql4grec/quantize/rq_vae/checkpoint.inl.hpp"
#endif
