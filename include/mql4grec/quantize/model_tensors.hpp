#pragma once
// Checks on the tensors in a quantizer's file. Files may come from untrusted sources, so nothing about them is assumed.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/safetensors.hpp"

namespace mql4grec::quantize::detail {

/// The shape (rows, columns) of a tensor. Throws file_error when it isn't a matrix.
std::pair<index_t, index_t> matrix_shape(safetensors const& file, std::string const& name);

/// Throws file_error for the first tensor that isn't in `known`. `model` is the expected kind of model for the message:
/// "an RQ-VAE".
void check_names(safetensors const& file, std::vector<std::string> known, char const* model);

/// Reads all entries of a tensor. Throws file_error when it is missing, has another shape than `shape`, or contains an
/// entry that isn't finite.
template <Real T>
void read_finite(safetensors const& file, std::string const& name, std::vector<index_t> const& shape,
                 host_vector_view<T> out) {
  file.read(name, shape, out);
  auto const* const bad = std::find_if_not(out.data, out.data + out.size(), [](T x) { return std::isfinite(x); });
  expects_file(bad == out.data + out.size(), file.path(), "tensor '", name, "': entry ", bad - out.data,
               " isn't a finite number");
}

}  // namespace mql4grec::quantize::detail

#if !MQL4GREC_COMPILED
#include "mql4grec/quantize/model_tensors.inl.hpp"
#endif
