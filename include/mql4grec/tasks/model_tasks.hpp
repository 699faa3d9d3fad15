#pragma once
// What has to be known of a trained model to query it: a model that is queried with other tokens or prompts than it was
// trained with gives worse results, without an error.
#include <optional>

#include "mql4grec/language/vocabulary.hpp"
#include "mql4grec/tasks/mixture.hpp"

namespace mql4grec::tasks {

/// The tokens and the tasks of a model.
struct model_tasks {
  language::vocabulary vocab;  ///< the model's tokens
  mixture tasks;               ///< of these, the queries: one task per modality
  /// The token that begins every query, before the prompt: that of the dataset's domain, if the model has such tokens.
  std::optional<token_t> prefix = {};

  /// Begins the input of a query; a task of the mixture writes the rest.
  void begin_query(batch& out) const {
    if (prefix) out.add_input(*prefix);
  }
};

}  // namespace mql4grec::tasks
