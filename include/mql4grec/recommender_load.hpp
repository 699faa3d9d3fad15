#pragma once
// The definition of recommender::load, which reads a model directory and a dataset directory. recommender.hpp includes
// this header unless mql4grec::compiled is used.
#include "mql4grec/pipeline/dataset.hpp"
#include "mql4grec/pipeline/model_metadata.hpp"
#include "mql4grec/pipeline/packed_catalog.hpp"
#include "mql4grec/recommender.hpp"
#include "mql4grec/seq2seq/checkpoint.hpp"

namespace mql4grec {

template <Backend B, Real T>
recommender<B, T> recommender<B, T>::load(std::filesystem::path const& model, std::filesystem::path const& catalog,
                                          load_options<B> const& options) {
  B backend(options.backend);
  auto const metadata = pipeline::read_model_metadata(model);
  auto live = options.catalog;
  if (!live.packed) live.packed = pipeline::find_packed_catalog(catalog, metadata.vocab);
  auto data = live.packed ? pipeline::read_dataset(catalog, live.packed->tables)
                          : pipeline::read_dataset(catalog, metadata.vocab);
  return {backend,
          seq2seq::read_model<T>(backend, model),
          pipeline::tasks_of(metadata, data.name),
          std::move(data.tokens),
          {.search = options.search,
           .fusion = options.fusion,
           .calibration = options.calibration,
           .catalog = std::move(live)}};
}

}  // namespace mql4grec
