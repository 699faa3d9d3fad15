#pragma once
// mql4grec.json, the file that a model directory contains in addition to transformers' files: the vocabulary, and the
// tasks that the model was trained on. The tasks decide the prompts: a model that is queried with other prompts than it
// was trained with gives worse results, without an error.
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/language/vocabulary.hpp"
#include "mql4grec/tasks/mixture.hpp"
#include "mql4grec/tasks/model_tasks.hpp"

namespace mql4grec::pipeline {

/// The mixture of a name: all (all_tasks), next (next_only), released (released_mixture), released-next
/// (released_next_only), or a comma-separated list for listed_tasks. Throws error for any other name.
[[nodiscard]] tasks::mixture mixture_named(std::string const& name, tasks::mixture_options const& options = {});

/// The prompts with which a model of these tasks is queried for the next item, one per modality, e.g. "<*_0><*_1><*_2>,
/// <*_3><*_4><*_5>". Throws error for an unknown name.
[[nodiscard]] std::string query_prompts(std::string const& tasks);

/// The content of mql4grec.json.
struct model_metadata {
  language::vocabulary vocab = language::vocabulary();  ///< the model's tokens; default: those of the paper
  std::string tasks = "all";  ///< name of the mixture, see mixture_named; decides the prompts of queries
  /// The model has been trained on interactions before this time only; without a value on all that leave-one-out
  /// allows.
  std::optional<double> until = {};
  /// The probability of the training, see tasks::next_item. If it is more than 0, the model reads histories in mixed
  /// modalities.
  double modality_dropout = 0;
  /// Names of datasets with a token of their own, which begins every encoder input of the dataset, in training and in
  /// queries: that of domain i is <*_{18 + i}>, after the paper's prompts. Empty: no dataset has one.
  std::vector<std::string> domains = {};
};

/// The token that begins every encoder input of a dataset of this name; none if the model doesn't know the domain.
/// Throws error if the vocabulary lacks the token.
[[nodiscard]] std::optional<token_t> domain_token(model_metadata const& metadata, std::string const& dataset);

/// The domains of a model that is trained on these datasets: those that it has already, then the new names. Throws
/// error if the vocabulary has no prompt token left for one.
[[nodiscard]] std::vector<std::string> extended_domains(model_metadata const& metadata,
                                                        std::vector<std::string> const& datasets);

/// The tokens and the tasks of a model with this metadata, for queries on a dataset of this name. Throws error for an
/// unknown name of a mixture.
[[nodiscard]] tasks::model_tasks tasks_of(model_metadata const& metadata, std::string const& dataset);

/// Writes mql4grec.json to a model directory. Tokens that aren't numbered consecutively, as in a released checkpoint,
/// are written with their ids. Throws file_error.
void write_model_metadata(std::filesystem::path const& directory, model_metadata const& metadata);

/// Reads the metadata of a model directory. Without mql4grec.json, as in checkpoints of the released code: the
/// vocabulary of its tokenizer and the released tasks. Without a tokenizer too: the paper's vocabulary and all tasks.
/// Throws file_error if a file is damaged.
[[nodiscard]] model_metadata read_model_metadata(std::filesystem::path const& directory);

}  // namespace mql4grec::pipeline

#if !MQL4GREC_COMPILED
#include "mql4grec/pipeline/model_metadata.inl.hpp"
#endif
