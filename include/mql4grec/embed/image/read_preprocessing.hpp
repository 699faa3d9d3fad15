#pragma once
// Reads the `preprocessor_config.json` of a Hugging Face checkpoint.
#include <filesystem>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/embed/image/preprocess.hpp"

namespace mql4grec::embed {

/// Reads a `preprocessor_config.json` with the keys of CLIPImageProcessor; keys that are missing have its defaults.
/// `size` and `crop_size` are a number, `{"shortest_edge"}` (size only) or `{"height", "width"}`. Throws file_error for
/// another resampling than bicubic, for sizes outside 1 … 16,384, and when images would differ in size.
[[nodiscard]] image_preprocessing read_image_preprocessing(std::filesystem::path const& path);

}  // namespace mql4grec::embed

#if !MQL4GREC_COMPILED
#include "mql4grec/embed/image/read_preprocessing.inl.hpp"
#endif
