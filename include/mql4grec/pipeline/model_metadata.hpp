#pragma once
// What a model directory says beside transformers' files: the words it speaks and the tasks it was taught, in
// mql4grec.json.
#include <filesystem>
#include <string>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/language/vocabulary.hpp"
#include "mql4grec/tasks/mixture.hpp"

namespace mql4grec {

/// The mixture of a name: all (all_tasks), next (next_only), released (released_mixture), released-next
/// (released_next_only), or a comma-separated list for listed_tasks. Throws error for any other name.
mixture mixture_named(std::string const& name, mixture_options const& options = {});

/// The prompts that a model of these tasks is asked for the next item with, a modality after the other:
/// "<*_0><*_1><*_2>, <*_3><*_4><*_5>". A model that is asked with others than it has learnt with answers worse.
std::string query_prompts(std::string const& tasks);

struct model_metadata {
  vocabulary vocab = vocabulary();
  std::string tasks = "all";  ///< see mixture_named: decides the prompts that the model is asked with
};

/// Words that aren't numbered in order (a released checkpoint's) are written with their ids.
void write_model_metadata(std::filesystem::path const& directory, model_metadata const& metadata);

/// The card of a model directory. Without one, as in checkpoints of the released code: the words of its tokenizer and
/// the released tasks; without that too, the paper's vocabulary and all tasks.
model_metadata read_model_metadata(std::filesystem::path const& directory);

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/pipeline/model_metadata.inl.hpp"
#endif
