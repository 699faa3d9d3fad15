#pragma once
// A residual k-means model as one safetensors file: `mean` (width); `codebooks.0`, `codebooks.1`, … of (K, width);
// `rotation` (width, width) if there is one; `error`, one number. The configuration follows from the shapes of the
// tensors, so no other file is needed to encode items.
#include <cmath>

#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/safetensors.hpp"
#include "mql4grec/quantize/model_tensors.hpp"
#include "mql4grec/quantize/residual_kmeans/residual_kmeans.hpp"

namespace mql4grec::quantize {

namespace detail {

/// The tensor name of a level's codebook.
std::string kmeans_codebook_name(std::size_t level);

/// K of each level. Throws file_error when `mean` or the codebooks are missing or their widths differ.
std::vector<index_t> kmeans_sizes(safetensors const& file);

/// Throws file_error for a tensor that doesn't belong to the model.
void check_kmeans_names(safetensors const& file, std::size_t levels);

/// Throws file_error unless the columns of `rotation` are orthonormal. Otherwise decoding with its transpose would not
/// invert it.
template <Backend B>
void check_orthogonal(B& b, std::filesystem::path const& path, in_matrix<B, float> rotation) {
  constexpr float allowed = 1e-2f;  // for the products of columns; exceeds the rounding error of bf16 over a row
  index_t const n = rotation.rows();
  auto memory = b.template allocate<float>(n * n);
  out_matrix<B, float> const cross(memory.view_all().data, n, n);
  matmul<float>(b, rotation, rotation, cross, {.transpose_a = true});
  host_copy const products(std::as_const(memory).view_all());
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < n; ++j) {
      float const found = products.view_all()(i * n + j);
      expects_file(std::abs(found - (i == j ? 1.f : 0.f)) <= allowed, path, "tensor 'rotation': columns ", i, " and ",
                   j, " have the product ", found, ", expected ", i == j ? 1 : 0, " of a rotation");
    }
}

}  // namespace detail

/// Writes the model as one file, atomically: a failed write leaves no partial file. Throws file_error.
template <Backend B>
void write_residual_kmeans(std::filesystem::path const& path, residual_kmeans<B> const& model) {
  index_t const width = model.latent_width();
  host_copy const mean(model.mean.view_all()), rotation(model.rotation.view_all());
  std::vector<host_copy<float, typename B::memory_space>> levels;
  for (auto const& level : model.codebooks()) levels.emplace_back(level.vectors().flat());
  std::vector<named_tensor> tensors = {{"mean", {width}, mean.view_all()},
                                       {"error", {1}, host_vector_view<double const>(&model.error, 1)}};
  for (std::size_t l = 0; l < levels.size(); ++l)
    tensors.push_back(
        {detail::kmeans_codebook_name(l), {levels[l].view_all().size() / width, width}, levels[l].view_all()});
  if (model.rotated()) tensors.push_back({"rotation", {width, width}, rotation.view_all()});
  write_safetensors(path, tensors, {{"format", "pt"}});
}

/// Reads the format of write_residual_kmeans(). Half and double precision are converted to float. Throws file_error
/// when a tensor is missing, unknown, not finite or of a shape that doesn't fit the others, and when `rotation` isn't
/// orthogonal.
template <Backend B>
[[nodiscard]] residual_kmeans<B> read_residual_kmeans(B& backend, std::filesystem::path const& path) {
  safetensors const file(path);
  auto const sizes = detail::kmeans_sizes(file);
  detail::check_kmeans_names(file, sizes.size());
  index_t const width = file.info("mean").shape[0];
  auto const read_to = [&](out_vector<B, float> place, std::string const& name, std::vector<index_t> const& shape) {
    fill(place, [&](host_vector_view<float> values) { detail::read_finite(file, name, shape, values); });
  };
  residual_kmeans<B> model{.books = codebook_set<B, float>(backend, sizes, width),
                           .mean = backend.template allocate<float>(width),
                           .rotation = {}};
  read_to(model.mean.view_all(), "mean", {width});
  for (std::size_t l = 0; l < sizes.size(); ++l)
    read_to(model.books.vectors(static_cast<index_t>(l)).flat(), detail::kmeans_codebook_name(l), {sizes[l], width});
  detail::read_finite(file, "error", {1}, host_vector_view<double>(&model.error, 1));
  expects_file(model.error >= 0, path, "tensor 'error': found ", model.error, ", expected at least 0");
  if (file.contains("rotation")) {
    expects_file(file.info("rotation").shape == std::vector<index_t>{width, width}, path, "tensor 'rotation': shape ",
                 core::detail::shape_text(file.info("rotation").shape), ", expected ",
                 core::detail::shape_text({width, width}), " beside 'mean'");
    model.rotation = backend.template allocate<float>(width * width);
    read_to(model.rotation.view_all(), "rotation", {width, width});
    detail::check_orthogonal(backend, path, model.rotation_matrix());
  }
  return model;
}

}  // namespace mql4grec::quantize

#if !MQL4GREC_COMPILED
#include "mql4grec/quantize/residual_kmeans/checkpoint.inl.hpp"
#endif
