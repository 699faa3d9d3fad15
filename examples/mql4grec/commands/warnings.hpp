#pragma once
// Warnings that several commands print.
#include <string>

#include "compute/compute.hpp"
#include "mql4grec/pipeline/dataset.hpp"
#include "progress.hpp"

namespace mql4grec::program {

/// Warns when the requested precision brings no speed on this machine.
void warn_of_precision(compute const& compute, progress_log& log);

/// Warns of settings in which a resumed run differs from the run before.
void warn_of_changes(std::string const& changes, progress_log& log);

/// Warns of users and items of a dataset that are used only in part.
void warn_of(tasks::dataset const& data, progress_log& log);

/// Warns when the inputs of a model begin with tokens of domains, and the dataset is none of these.
void warn_of_domain(pipeline::model_metadata const& metadata, std::string const& dataset, progress_log& log);

/// Counts and names the items that no index gives tokens.
void warn_of_items_without_tokens(tasks::dataset const& data, progress_log& log);

}  // namespace mql4grec::program
