#pragma once
// What the program asks of a GPU: the same library calls as on the CPU. gpu.cu defines them where nvcc compiles the
// program too, no_gpu.cpp elsewhere, where each throws an error that says so.
#include <functional>
#include <memory>

#include "common.hpp"
#include "mql4grec/embed/npy_features.hpp"
#include "mql4grec/pipeline/evaluate.hpp"
#include "mql4grec/pipeline/train.hpp"
#include "mql4grec/pipeline/translate.hpp"
#include "mql4grec/pipeline/translator.hpp"
#include "mql4grec/recommender.hpp"

namespace mql4grec::program {

/// Throws error when this build has no GPU backend, or there is no GPU.
void check_gpu();

run_result train_on_gpu(run_options run, std::vector<dataset> datasets, vocabulary const& vocab,
                        run_observer const& observer, precision products);

/// Of the model in a directory.
evaluation evaluate_on_gpu(std::filesystem::path const& model, dataset const& data, model_metadata const& metadata,
                           evaluation_options options, std::function<void(index_t users, index_t all)> const& progress,
                           precision products);

using present_features = selected_features<joined_features<npy_features>>;
translator_result train_translator_on_gpu(translator_run const& run, present_features const& features,
                                          feature_statistics const& seen, translator_run_observer const& observer,
                                          precision products);
/// In fp32: which vector is nearest is not a matter of speed.
translator_result learn_residual_kmeans_on_gpu(translator_run const& run, residual_kmeans_options const& options,
                                               present_features const& features,
                                               std::function<bool()> const& interrupted);

/// A finished translator on one file after the other: features, the items that have some, what becomes of collisions,
/// rows done. In fp32, however it has learnt: an item's codes are not a matter of speed.
using file_translator =
    std::function<translated_catalog(npy_features const&, std::vector<index_t> rows, any_collision_policy const&,
                                     std::function<void(index_t)> const& progress)>;

/// read(backend) -> the model; both live as long as what is returned.
template <Backend B, class Read>
file_translator translator_on(B backend, Read&& read) {
  struct pair {
    B backend;
    std::invoke_result_t<Read&, B&> model;
  };
  auto model = read(backend);
  auto const owned = std::make_shared<pair>(pair{std::move(backend), std::move(model)});
  return [owned](npy_features const& features, std::vector<index_t> rows, any_collision_policy const& policy,
                 std::function<void(index_t)> const& progress) {
    return translate_catalog(owned->backend, owned->model, features, std::move(rows), policy, progress);
  };
}

/// Of the RQ-VAE in a file, and of the residual k-means.
file_translator translator_on_gpu(std::filesystem::path const& model);
file_translator residual_kmeans_on_gpu(std::filesystem::path const& model);

ranking recommend_on_gpu(std::filesystem::path const& model, model_metadata const& metadata,
                         std::vector<token_table> const& tables, std::vector<item_id> const& history, index_t k,
                         item_filter const& filter, precision products);

}  // namespace mql4grec::program
