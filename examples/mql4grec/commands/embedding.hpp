#pragma once
// What the commands embed and demo share: the features of a dataset's items by an encoder in files.
#include <filesystem>
#include <string>
#include <vector>

#include "compute/compute.hpp"
#include "mql4grec/language/vocabulary.hpp"
#include "progress.hpp"

namespace mql4grec::program {

struct embedding_request {
  std::filesystem::path dataset, encoder, images, out;  ///< images: of the modality image only
  language::modality kind = language::modality::text;
  pipeline::text_selection selection = {};
  pipeline::text_embedding_options text = {};
  pipeline::image_embedding_options image = {};
  embed::feature_run how = embed::feature_run::begin;
  train::host_communicator ranks = {};  ///< share the items out
};

/// Computes the features of all items of a dataset, with progress and warnings.
pipeline::embedding_result embed_with_progress(compute const& compute, embedding_request const& request,
                                               progress_log& log);

}  // namespace mql4grec::program
