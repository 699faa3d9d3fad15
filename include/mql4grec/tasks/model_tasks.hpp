#pragma once
// What has to be known of a trained model to query it: a model that is queried with other tokens or prompts than it was
// trained with gives worse results, without an error.
#include "mql4grec/language/vocabulary.hpp"
#include "mql4grec/tasks/mixture.hpp"

namespace mql4grec::tasks {

/// The tokens and the tasks of a model.
struct model_tasks {
  language::vocabulary vocab;  ///< the model's tokens
  mixture tasks;               ///< of these, the queries: one task per modality
};

}  // namespace mql4grec::tasks
