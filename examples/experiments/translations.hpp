#pragma once
// Quantizers of the tables: the target's features become codes, and the codes a dataset.
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "lab.hpp"
#include "mql4grec/quantize/codebook/code_table.hpp"

namespace mql4grec::experiments {

/// A quantizer, and how items that share a sequence are separated.
struct translation {
  std::string name;                ///< of the quantizer's files; whatever else differs but `collisions` is in it
  std::filesystem::path features;  ///< a .npy file; see features_of
  std::string quantizer = "residual k-means";  ///< or "RQ-VAE"
  std::vector<index_t> codes = {};             ///< K of each level
  index_t seed = 1;                            ///< of the quantizer
  std::string collisions = "reallocate";       ///< see pipeline::collision_policy_named
};

/// The codes of a translation.
struct translated_target {
  pipeline::translated_catalog catalog;
  double variance = 0;  ///< of the features
  double seconds = 0;   ///< of the translation, without the training of the quantizer
};

/// The features of the target's items: text of the built-in catalog, or the first `Name.emb-<encoder>.npy` of a
/// dataset, if it has one.
std::optional<std::filesystem::path> find_features(lab const& l);
/// The same. Throws error if there are none.
std::filesystem::path features_of(lab const& l);

/// Trains the quantizer, unless it exists, and translates all items. Throws interruption.
translated_target translate(lab const& l, translation const& from);

/// The target with these codes as the texts of its items, and without images. Items beyond those of the target are
/// candidates that nobody has interacted with.
pipeline::training_data with_codes(lab const& l, quantize::code_table const& codes);

/// The codes of a level in these tables: so few on the built-in catalog that its 400 items collide there too.
index_t codes_of_level(lab const& l);

/// "4 × 256", or "64, 128, 256" of levels that differ.
std::string text_of(std::vector<index_t> const& codes);

/// Columns of add_measurements.
std::vector<std::string> translation_columns();

/// Adds the measurements of a translation to a row: error as a share of the features' variance, the share of the codes
/// in use, collision rates, and the share of the items that the policy has moved.
void add_measurements(row_result& row, translated_target const& from);

}  // namespace mql4grec::experiments
