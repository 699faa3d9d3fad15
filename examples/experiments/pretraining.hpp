#pragma once
// Pre-training, which several tables start from.
#include <array>
#include <filesystem>
#include <set>
#include <string>
#include <vector>

#include "lab.hpp"

namespace mql4grec::experiments {

/// The epochs of a pre-training after which its model is kept.
inline constexpr std::array<index_t, 3> kept_epochs = {1, 3, 10};

/// A model after some epochs of pre-training on the next items of the datasets, at a constant rate after one epoch of
/// warm-up. It is one of kept_epochs. All of them are trained at the first request.
finished_model pretrained(lab const& l, std::vector<std::filesystem::path> const& sources, index_t epochs,
                          index_t seed);

/// The same, after the epoch with the lowest validation loss on the sources.
finished_model best_pretrained(lab const& l, std::vector<std::filesystem::path> const& sources, index_t seed);

/// Examples of the pre-trainings that a plan needs and that don't exist yet.
class pretraining_costs {
 public:
  explicit pretraining_costs(lab const& l) : lab_(l) {}
  /// The examples of a pre-training when it is asked for the first time; 0 later, and if it exists.
  double of_first_use(std::vector<std::filesystem::path> const& sources, index_t seed);

 private:
  lab const& lab_;
  std::set<std::string> known_;
};

/// The names of datasets with " + " between them.
std::string names_of(std::vector<std::filesystem::path> const& datasets);

}  // namespace mql4grec::experiments
