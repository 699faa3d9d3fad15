#pragma once
// The definitions of quantize/residual_kmeans/checkpoint.hpp.
#include "mql4grec/quantize/model_tensors.hpp"
#include "mql4grec/quantize/residual_kmeans/checkpoint.hpp"

namespace mql4grec::quantize::detail {

MQL4GREC_DEFINITION std::string kmeans_codebook_name(std::size_t level) { return "codebooks." + std::to_string(level); }

MQL4GREC_DEFINITION std::vector<index_t> kmeans_sizes(safetensors const& file) {
  constexpr index_t most = index_t{1} << 20, most_levels = 26;  // as for an RQ-VAE: one letter per level
  expects_file(file.contains("mean"), file.path(), "tensor 'mean' is missing, expected residual k-means");
  auto const& mean = file.info("mean").shape;
  expects_file(mean.size() == 1 && mean[0] >= 1 && mean[0] <= most, file.path(), "tensor 'mean': shape ",
               core::detail::shape_text(mean), ", expected 1 to ", most, " numbers");
  std::vector<index_t> sizes;
  for (std::string name; file.contains(name = kmeans_codebook_name(sizes.size()));) {
    auto const [codes, width] = matrix_shape(file, name);
    expects_file(codes >= 1 && codes <= most && width == mean[0], file.path(), "tensor '", name, "': shape ",
                 core::detail::shape_text(file.info(name).shape), ", expected 1 to ", most, " vectors of width ",
                 mean[0], ", that of 'mean'");
    sizes.push_back(codes);
  }
  expects_file(!sizes.empty(), file.path(), "tensor '", kmeans_codebook_name(0),
               "' is missing, expected residual k-means");
  expects_file(std::ssize(sizes) <= most_levels, file.path(), "codebooks of ", sizes.size(),
               " levels, expected at most ", most_levels);
  return sizes;
}

MQL4GREC_DEFINITION void check_kmeans_names(safetensors const& file, std::size_t levels) {
  std::vector<std::string> known = {"mean", "rotation", "error"};
  for (std::size_t l = 0; l < levels; ++l) known.push_back(kmeans_codebook_name(l));
  check_names(file, std::move(known), "residual k-means");
}

}  // namespace mql4grec::quantize::detail
