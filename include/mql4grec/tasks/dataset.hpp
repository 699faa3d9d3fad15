#pragma once
// One dataset in memory, as tasks, training and evaluation read it.
#include <optional>
#include <string>
#include <vector>

#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/catalog/items.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/language/token_table.hpp"

namespace mql4grec::tasks {

/// Who interacted with what, and each item's token sequence in every modality.
struct dataset {
  mql4grec::catalog::interactions interactions = {};  ///< of every user, oldest first
  std::vector<language::token_table> tokens = {};     ///< by modality, each with items() = interactions.item_count
  catalog::item_descriptions items = {};              ///< titles and the like; may be empty
  std::string name = {};                              ///< for messages
  /// The token that begins every encoder input of this dataset, before the prompt; see model_metadata::domains.
  std::optional<token_t> prefix = {};

  /// The tokens of a modality. Throws error when the dataset has no such modality.
  language::token_table const& table(language::modality kind) const {
    expects(index(kind) >= 0 && index(kind) < std::ssize(tokens), "modality ", index(kind), " of a dataset with ",
            tokens.size(), " modalities");
    return tokens[to_size(kind)];
  }
};

}  // namespace mql4grec::tasks
