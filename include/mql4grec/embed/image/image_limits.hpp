#pragma once
// The limits of untrusted image files.
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::embed {

/// What a file may cost. Both numbers are checked before anything is decoded. Decoding needs at most about 11 bytes of
/// memory per pixel (an animated WebP; others less), besides the file itself.
struct image_limits {
  index_t most_bytes = index_t{64} << 20;  ///< size of the file in bytes
  index_t most_pixels = 89'478'485;        ///< width · height; the number from which on Pillow warns of a bomb
  int most_scans = 100;                    ///< scans of a progressive JPEG; an encoder writes about 10
};

}  // namespace mql4grec::embed
