#pragma once
#include <vector>

#include "mql4grec/core/dtype.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec {

/// What a file says of a tensor.
struct tensor_info {
  dtype type{};
  std::vector<index_t> shape;
  index_t begin = 0, bytes = 0;  ///< where its entries lie in the file

  index_t size() const { return bytes / detail::entry_bytes(type); }  ///< entries
};

}  // namespace mql4grec
