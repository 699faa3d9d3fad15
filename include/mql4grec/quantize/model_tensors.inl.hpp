#pragma once
// The definitions of quantize/model_tensors.hpp.
#include <algorithm>

#include "mql4grec/quantize/model_tensors.hpp"

namespace mql4grec::quantize::detail {

MQL4GREC_DEFINITION std::pair<index_t, index_t> matrix_shape(safetensors const& file, std::string const& name) {
  auto const& shape = file.info(name).shape;
  expects_file(shape.size() == 2, file.path(), "tensor '", name, "': shape ", core::detail::shape_text(shape),
               ", expected a matrix");
  return {shape[0], shape[1]};
}

MQL4GREC_DEFINITION void check_names(safetensors const& file, std::vector<std::string> known, char const* model) {
  std::ranges::sort(known);
  for (auto const& name : file.names())
    expects_file(std::ranges::binary_search(known, name), file.path(), "tensor '", core::detail::printable(name),
                 "': no parameter of ", model);
}

}  // namespace mql4grec::quantize::detail
