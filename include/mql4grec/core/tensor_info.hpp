#pragma once
// The description of a tensor in a file.
#include <vector>

#include "mql4grec/core/dtype.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec {
inline namespace core {

/// A tensor's type, shape and position in a file.
struct tensor_info {
  dtype type{};                  ///< of its entries
  std::vector<index_t> shape;    ///< empty for a scalar
  index_t begin = 0, bytes = 0;  ///< position of its entries in the file, and their size in bytes

  index_t size() const { return bytes / detail::entry_bytes(type); }  ///< number of entries
};

}  // namespace core
}  // namespace mql4grec
