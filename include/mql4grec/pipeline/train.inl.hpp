#pragma once
// Definitions of what pipeline/train.hpp declares and isn't a template.
#include "mql4grec/core/json.hpp"
#include "mql4grec/pipeline/train.hpp"

namespace mql4grec::pipeline::detail {

MQL4GREC_DEFINITION void check_example_tokens(tasks::example_set const& examples, std::filesystem::path const& model,
                                              std::string const& tasks) {
  tasks::batch scratch;
  auto const all = examples.examples();
  for (std::size_t i = 0; i < all.size(); ++i) {
    if (i > 0 && all[i].task == all[i - 1].task) continue;
    try {
      examples.write(static_cast<index_t>(i), 0, 0, scratch);
    } catch (error const& e) {
      raise<file_error>(model.string(), ": tasks '", tasks, "': ", e.what());
    }
  }
}

MQL4GREC_DEFINITION train::run_description describe(run_options const& options, seq2seq::t5_config const& model,
                                                    index_t examples, train::backend_settings const& backend) {
  json conditions = seq2seq::run_conditions(options.training, model, examples);
  conditions["tasks"] = options.tasks;
  return {std::make_shared<json const>(std::move(conditions)),
          std::make_shared<json const>(seq2seq::run_settings(backend, options.training))};
}

}  // namespace mql4grec::pipeline::detail
