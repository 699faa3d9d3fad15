#pragma once
// The definition of recommender::load, which reads a model directory and a dataset directory. recommender.hpp includes
// this header unless mql4grec::compiled is used.
#include "mql4grec/pipeline/dataset.hpp"
#include "mql4grec/pipeline/model_metadata.hpp"
#include "mql4grec/recommender.hpp"
#include "mql4grec/seq2seq/checkpoint.hpp"

namespace mql4grec {

template <Backend B, Real T, FusionPolicy Fusion>
recommender<B, T, Fusion> recommender<B, T, Fusion>::load(std::filesystem::path const& model,
                                                          std::filesystem::path const& catalog,
                                                          recommender_options options, typename B::options const& how) {
  B backend(how);
  auto metadata = read_model_metadata(model);
  auto from = read_dataset(catalog, metadata.vocab);
  return {backend, read_model<T>(backend, model), metadata.vocab, mixture_named(metadata.tasks), std::move(from.tokens),
          options};
}

}  // namespace mql4grec
