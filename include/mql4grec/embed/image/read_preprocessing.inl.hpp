#pragma once
// The definition of embed/image/read_preprocessing.hpp.
#include <cmath>
#include <string>
#include <vector>

#include "mql4grec/core/json.hpp"
#include "mql4grec/embed/image/read_preprocessing.hpp"

namespace mql4grec::embed {

namespace detail {

/// The configuration and its path for messages.
struct preprocessor_config {
  json values;
  std::filesystem::path const& path;

  bool flag(char const* key) const { return member_or<bool>(values, key, true, path); }
  bool has(char const* key) const { return values.contains(key) && !values.at(key).is_null(); }

  /// A number of pixels, at `object[key]`.
  index_t pixels(json const& object, char const* key) const {
    auto const& value = object.contains(key) ? object.at(key) : json();
    bool const valid = value.is_number_integer() && value >= 1 && value <= 16'384;
    expects_file(valid, path, "key '", key, "': expected a number of pixels from 1 to 16384");
    return value.get<index_t>();
  }
  /// `{"height", "width"}` or one number for both.
  image_size size(char const* key) const {
    auto const& value = values.at(key);
    if (!value.is_object()) return {pixels(values, key), pixels(values, key)};
    return {pixels(value, "width"), pixels(value, "height")};
  }
  /// Three finite numbers.
  std::array<float, 3> channels(char const* key) const {
    auto const all = member<std::vector<float>>(values, key, path);
    expects_file(all.size() == 3, path, "key '", key, "': has ", all.size(), " numbers, expected 3");
    for (float const x : all) expects_file(std::isfinite(x), path, "key '", key, "': expected finite numbers");
    return {all[0], all[1], all[2]};
  }

  void read_sizes(image_preprocessing& to) const {
    bool const resizes = flag("do_resize"), crops = flag("do_center_crop");
    if (!resizes) to.resize = image_resize::none;
    if (resizes && has("size")) {
      auto const& size = values.at("size");
      if (!size.is_object() || size.contains("shortest_edge")) {
        to.shortest_edge = size.is_object() ? pixels(size, "shortest_edge") : pixels(values, "size");
      } else {
        to.resize = image_resize::exact;
        to.exact_size = this->size("size");
      }
    }
    if (crops && has("crop_size")) to.crop = size("crop_size");
    expects_file(crops || to.resize == image_resize::exact, path,
                 "key 'do_center_crop' is false: expected true, or a 'size' with height and width, so that all images "
                 "have one size");
    if (!crops) to.crop = to.exact_size;
  }
  void read_values(image_preprocessing& to) const {
    to.rescale = flag("do_rescale") ? member_or<double>(values, "rescale_factor", to.rescale, path) : 1.0;
    expects_file(std::isfinite(to.rescale), path, "key 'rescale_factor': expected a finite number");
    if (!flag("do_normalize")) {
      to.mean = {0, 0, 0};
      to.deviation = {1, 1, 1};
      return;
    }
    if (has("image_mean")) to.mean = channels("image_mean");
    if (has("image_std")) to.deviation = channels("image_std");
    for (float const x : to.deviation) expects_file(x > 0, path, "key 'image_std': expected positive numbers");
  }
};

}  // namespace detail

MQL4GREC_DEFINITION image_preprocessing read_image_preprocessing(std::filesystem::path const& path) {
  detail::preprocessor_config const config{read_json(path), path};
  expects_file(config.values.is_object(), path, "expected a JSON object");
  int const resample = member_or<int>(config.values, "resample", 3, path);
  expects_file(resample == 3, path, "key 'resample' is ", resample, ", expected 3 (bicubic)");
  image_preprocessing read;
  config.read_sizes(read);
  config.read_values(read);
  return read;
}

}  // namespace mql4grec::embed
