#pragma once
// The pictures of tests/golden/images and what Pillow makes of them.
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "mql4grec/core/files.hpp"
#include "mql4grec/core/safetensors.hpp"
#include "mql4grec/embed/image/rgb_image.hpp"

namespace mql4grec::test {

inline std::filesystem::path golden_images() { return std::filesystem::path(MQL4GREC_TEST_GOLDEN_DIR) / "images"; }

/// The names of the pictures, sorted, of those that begin with `prefix`.
inline std::vector<std::string> golden_image_names(std::string const& prefix = "") {
  std::vector<std::string> names;
  for (auto const& entry : std::filesystem::directory_iterator(golden_images())) {
    auto const name = entry.path().filename().string();
    auto const extension = entry.path().extension();
    if (name.starts_with(prefix) && extension != ".json" && extension != ".safetensors") names.push_back(name);
  }
  std::ranges::sort(names);
  return names;
}

/// A picture in golden.safetensors, (height, width, 3).
inline embed::rgb_image golden_image(safetensors const& file, std::string const& name) {
  auto const& shape = file.info(name).shape;
  return {{shape.at(1), shape.at(0)}, file.values<std::uint8_t>(name)};
}

/// Whether the format stores exact pixels, so that every decoder must return the same.
inline bool is_lossless(std::string const& name) {
  return (name.starts_with("png_") || name.starts_with("webp_lossless"));
}

/// FNV-1a of 64 bits, as make_golden_images.py writes it.
inline std::string hash_of(void const* data, std::size_t bytes) {
  std::uint64_t hash = 0xcbf29ce484222325;
  for (std::size_t i = 0; i < bytes; ++i) hash = (hash ^ static_cast<std::uint8_t const*>(data)[i]) * 0x100000001b3;
  std::string text(16, '0');
  for (std::size_t i = 16; i-- > 0; hash >>= 4) text[i] = "0123456789abcdef"[hash & 15];
  return text;
}

}  // namespace mql4grec::test
