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

/// A pre-training on the next items of datasets, at a constant rate after one epoch of warm-up.
struct pretraining {
  std::vector<std::filesystem::path> sources;
  index_t seed = 1;
  bool domain_tokens = false;  ///< inputs begin with a token of the dataset
};

/// The model after some epochs, one of kept_epochs. All of them are trained at the first request.
finished_model pretrained(lab const& l, pretraining const& how, index_t epochs);

/// The same, after the epoch with the lowest validation loss on the sources.
finished_model best_pretrained(lab const& l, pretraining const& how);

/// The lab's vocabulary with a token for each source and for one target.
language::vocabulary with_domain_tokens(lab const& l, pretraining const& how);
/// The names of the sources.
std::vector<std::string> domain_names(pretraining const& how);

/// Examples of the pre-trainings that a plan needs and that don't exist yet.
class pretraining_costs {
 public:
  explicit pretraining_costs(lab const& l) : lab_(l) {}
  /// The examples of a pre-training when it is asked for the first time; 0 later, and if it exists.
  double of_first_use(pretraining const& how);

 private:
  lab const& lab_;
  std::set<std::string> known_;
};

/// The names of datasets with " + " between them.
std::string names_of(std::vector<std::filesystem::path> const& datasets);

}  // namespace mql4grec::experiments
