#pragma once
// Definitions of what pipeline/train.hpp declares and isn't a template.
#include "mql4grec/core/checksum.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/pipeline/train.hpp"

namespace mql4grec::pipeline::detail {

MQL4GREC_DEFINITION void check_example_tokens(tasks::example_set const& examples, std::filesystem::path const& model,
                                              std::string const& tasks) {
  tasks::batch scratch;
  for (auto const& group : examples.groups()) {
    if (group.count == 0) continue;
    try {
      examples.write(group.first, 0, 0, scratch);
    } catch (error const& e) {
      raise<file_error>(model.string(), ": tasks '", tasks, "': ", e.what());
    }
  }
}

MQL4GREC_DEFINITION std::optional<double> time_of(tasks::replayed_set const& examples) {
  std::optional<double> until;
  bool first = true;
  for (auto const* set : {&examples.target(), &examples.source()})
    for (auto const& data : set->datasets()) {
      auto const& time = data.interactions.time;
      auto const mine = time ? std::optional(time->until) : std::nullopt;
      if (std::exchange(first, false)) until = mine;
      expects(mine == until, "train_model: the datasets are split at different times");
    }
  return until;
}

MQL4GREC_DEFINITION std::filesystem::path epoch_directory(std::filesystem::path const& run, std::int64_t epoch) {
  return run / ("epoch-" + std::to_string(epoch));
}

MQL4GREC_DEFINITION void check_kept_epochs(run_options const& options, train::run_directory const& directory) {
  for (auto const epoch : options.keep_epochs) {
    expects(epoch >= 1 && epoch <= options.training.epochs, "keep_epochs: epoch ", epoch, " of a run with ",
            options.training.epochs, ", expected 1 to ", options.training.epochs);
    if (!directory.resumed()) train::run_directory::expect_empty(epoch_directory(options.out, epoch));
  }
}

MQL4GREC_DEFINITION json json_of(catalog::user_selection const& which) {
  if (auto const* first = std::get_if<catalog::first_users>(&which)) return {{"first", first->count}};
  auto const& random = std::get<catalog::random_users>(which);
  return {{"share", random.share}, {"seed", random.seed}};
}

MQL4GREC_DEFINITION void set_prefixes(training_data& data) {
  if (data.domains.empty()) return;
  model_metadata const domains{.vocab = data.vocab, .domains = data.domains};
  for (auto* some : {&data.datasets, &data.replayed})
    for (auto& one : *some) {
      one.prefix = domain_token(domains, one.name);
      expects(one.prefix.has_value(), "train_model: '", one.name, "' is none of the domains");
    }
}

/// The conditions of a run that are about its data. check_conditions() reports the first key that differs, so these are
/// after the ones that tell more.
inline constexpr char const *data_condition = "users_and_tokens",
                            *replayed_data_condition = "users_and_tokens_replayed";

/// The name and the checksum of each dataset.
MQL4GREC_DEFINITION json checksums_of(tasks::training_set const& set) {
  json all = json::array();
  for (auto const& data : set.datasets()) all.push_back({data.name, checksum_of(data)});
  return all;
}

MQL4GREC_DEFINITION std::map<std::string, std::string> training_resume_reasons() {
  auto reasons = seq2seq::resume_reasons();
  for (auto const* key : {data_condition, replayed_data_condition})
    reasons[key] = "each dataset with a checksum of its histories, split and token sequences";
  return reasons;
}

MQL4GREC_DEFINITION void check_ranks(train::run_ranks const& ranks, run_options const& options,
                                     train::run_description const& about) {
  if (!ranks.all_reduce) return;
  auto const text = about.conditions->dump() + about.settings->dump() + std::to_string(options.training.epochs) +
                    (options.training.sharded_moments ? "sharded" : "");
  for (auto const* key : {data_condition, replayed_data_condition})
    if (about.conditions->contains(key))
      for (auto const& one : about.conditions->at(key))
        ranks.expect_equal("the dataset " + one.at(0).get<std::string>(), one.at(1).get<std::uint64_t>());
  ranks.expect_equal("the set of options", checksum(std::as_bytes(std::span(text))));
}

MQL4GREC_DEFINITION train::run_description describe(run_options const& options, run_subject const& subject,
                                                    train::backend_settings const& backend, index_t threads) {
  auto const& examples = subject.examples;
  json conditions = seq2seq::run_conditions(options.training, subject.model, examples.target().size());
  conditions["tasks"] = options.tasks;
  if (options.modality_dropout > 0) conditions["modality_dropout"] = options.modality_dropout;
  if (options.training_users) conditions["training_users"] = json_of(*options.training_users);
  conditions[data_condition] = checksums_of(examples.target());
  if (examples.replayed() > 0) {
    conditions["replay"] = {{"share", options.replay_share}, {"examples", examples.source().size()}};
    conditions[replayed_data_condition] = checksums_of(examples.source());
  }
  if (!subject.domains.empty()) conditions["domains"] = subject.domains;
  if (auto const until = time_of(examples)) conditions["until"] = *until;
  return {std::make_shared<json const>(std::move(conditions)),
          std::make_shared<json const>(seq2seq::run_settings(backend, options.training, threads))};
}

}  // namespace mql4grec::pipeline::detail
