#pragma once
// SHA-256 (FIPS 180-4) of data that arrives in pieces, so that a file is identified by what `sha256sum` prints.
#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "mql4grec/core/macros.hpp"

namespace mql4grec::catalog::detail {

/// The hash of all bytes given to update(). digest() ends the computation.
class sha256 {
 public:
  void update(void const* data, std::size_t bytes);
  /// 64 lower-case hexadecimal digits.
  [[nodiscard]] std::string digest();

 private:
  void compress(unsigned char const* block);

  std::array<std::uint32_t, 8> state_ = {0x6a09e667, 0xbb67ae85, 0x3c6ef372, 0xa54ff53a,
                                         0x510e527f, 0x9b05688c, 0x1f83d9ab, 0x5be0cd19};
  std::array<unsigned char, 64> block_ = {};
  std::uint64_t bytes_ = 0;
};

}  // namespace mql4grec::catalog::detail

#if !MQL4GREC_COMPILED
#include "mql4grec/catalog/raw/detail/sha256.inl.hpp"
#endif
