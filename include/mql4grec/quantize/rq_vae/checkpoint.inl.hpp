#pragma once
// The definitions of quantize/rq_vae/checkpoint.hpp.
#include "mql4grec/quantize/model_tensors.hpp"
#include "mql4grec/quantize/rq_vae/checkpoint.hpp"

namespace mql4grec::quantize::detail {

MQL4GREC_DEFINITION rq_vae_config config_of(safetensors const& file) {
  rq_vae_config c{.input_width = 0, .hidden = {}, .latent_width = 0, .codes = {}};
  for (std::size_t l = 0; file.contains(layer_name("encoder", l) + ".weight"); ++l) {
    auto const [out, in] = matrix_shape(file, layer_name("encoder", l) + ".weight");
    if (l == 0) c.input_width = in;
    c.hidden.push_back(out);
  }
  expects_file(!c.hidden.empty(), file.path(), "tensor '", layer_name("encoder", 0),
               ".weight' is missing, expected an RQ-VAE");
  c.latent_width = c.hidden.back();
  c.hidden.pop_back();
  for (std::size_t l = 0; file.contains(codebook_name(l)); ++l)
    c.codes.push_back(matrix_shape(file, codebook_name(l)).first);
  expects_file(!c.codes.empty(), file.path(), "tensor '", codebook_name(0), "' is missing, expected an RQ-VAE");
  return c;
}

MQL4GREC_DEFINITION void check_tensors(safetensors const& file, nn::parameter_layout const& layout) {
  std::vector<std::string> known;
  for (auto const& p : layout.entries()) {
    expects_file(file.info(p.name).shape == p.shape(), file.path(), "tensor '", p.name, "': shape ",
                 core::detail::shape_text(file.info(p.name).shape), ", expected ", core::detail::shape_text(p.shape()),
                 " beside the others");
    known.push_back(p.name);
  }
  check_names(file, std::move(known), "an RQ-VAE");
}

}  // namespace mql4grec::quantize::detail
