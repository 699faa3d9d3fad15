#pragma once
// What the commands translate and demo share: features in files, a translator in a directory, an index per file.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "compute/compute.hpp"
#include "progress.hpp"
#include "report/report.hpp"

namespace mql4grec::program {

struct translation_request {
  std::vector<std::filesystem::path> embeddings, indices;  ///< .npy and .json files, one of each per catalog
  pipeline::quantizer_run run;
  std::optional<quantize::residual_kmeans_options> kmeans = {};  ///< residual k-means instead of an RQ-VAE
  std::string collisions = "reallocate";
  /// The directory of a trained translator; run and kmeans then describe that one, and nothing is trained.
  std::filesystem::path model = {};
  train::host_communicator ranks = {};                    ///< share the work; rank 0 alone writes
  std::function<void(std::int64_t step)> on_update = {};  ///< called after every update of an RQ-VAE
};

struct finished_translation {
  pipeline::quantizer_run_result trained;  ///< empty if a trained translator was used
  double variance = 0;  ///< of the features, mean over all entries of the squared deviation from the column's mean
  std::vector<pipeline::translated_catalog> catalogs;  ///< empty when the training was stopped
};

/// Trains a translator or resumes its run, with progress; then translates every file and writes its index.
finished_translation run_translation(compute const& compute, translation_request const& request, progress_log& log);

/// Translates every file with the translator in request.model. Items that an existing index gives tokens keep them; the
/// others are added to it. Sets what the request says of the translator.
finished_translation run_addition(compute const& compute, translation_request& request, progress_log& log);

/// The section of a report on one modality. Titles come from the `…/Name/Name.item.json` beside an index, where there
/// is one.
shown_translation shown_of(translation_request const& request, finished_translation const& done);
report_page translation_report(translation_request const& request, finished_translation const& done);

}  // namespace mql4grec::program
