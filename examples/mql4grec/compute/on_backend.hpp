#pragma once
// The interface `compute` for any backend of the library. Everything in which two backends differ is a value in
// backend_setup.
#include <algorithm>
#include <utility>

#include "compute/compute.hpp"
#include "compute/serving_on.hpp"
#include "mql4grec/embed/encoder/any_text_encoder.hpp"
#include "mql4grec/embed/image/read_preprocessing.hpp"
#if MQL4GREC_HAS_UTF8PROC
#include "mql4grec/embed/tokenizer/read_tokenizer.hpp"
#endif
#include "mql4grec/recommender.hpp"
#include "mql4grec/seq2seq/checkpoint.hpp"

namespace mql4grec::program {

/// How a backend is opened for each stage, and how much it computes at once.
template <Backend B>
struct backend_setup {
  typename B::options learning;      ///< for training and evaluation
  typename B::options translating;   ///< for residual k-means and finished translators: fp32
  typename B::options recommending;  ///< for a single history
  // Without a value, the defaults of the library apply.
  std::optional<index_t> block_tokens = {};   ///< tokens of a training step that a worker computes at once
  std::optional<index_t> block_queries = {};  ///< histories of a beam search that a worker computes at once …
  std::optional<index_t> block_rows = {};     ///< … and the limit on histories · beams
  std::string precision_warning = {};
};

template <Backend B>
class on_backend final : public compute {
 public:
  explicit on_backend(backend_setup<B> setup) : setup_(std::move(setup)) {}

  std::string precision_warning() const override { return setup_.precision_warning; }

  pipeline::embedding_result embed_texts(text_embedding_inputs const& inputs) const override {
#if MQL4GREC_HAS_UTF8PROC
    B backend(setup_.learning);
    auto const encoder = embed::read_text_encoder<float>(backend, inputs.encoder);
    auto const tokenizer = embed::read_tokenizer(inputs.encoder);
    embed::check_vocabulary(tokenizer, encoder.vocabulary(), inputs.encoder);
    auto options = inputs.options;
    options.batch_tokens = setup_.block_tokens.value_or(options.batch_tokens);
    return pipeline::embed_texts(backend, encoder, tokenizer, inputs.texts, options, inputs.run);
#else
    raise(inputs.encoder.string(), ": tokenizers need utf8proc, which this program was built without");
#endif
  }

  pipeline::embedding_result embed_images(image_embedding_inputs const& inputs) const override {
    B backend(setup_.learning);
    auto const encoder = embed::read_clip_vision<float>(backend, inputs.encoder);
    auto options = inputs.options;
    auto& how = options.reading.preprocessing;
    how = embed::read_image_preprocessing(inputs.encoder / "preprocessor_config.json");
    index_t const size = encoder.config().image_size;
    expects_file(how.crop == embed::image_size{size, size}, inputs.encoder / "preprocessor_config.json",
                 "crops images to ", how.crop.width, " x ", how.crop.height, ", but the encoder reads ", size, " x ",
                 size);
    return pipeline::embed_images(backend, encoder, inputs.images, options, inputs.run);
  }

  pipeline::run_result train_model(pipeline::run_options const& run, pipeline::training_data data,
                                   pipeline::run_observer const& observer,
                                   train::host_communicator const& ranks) const override {
    B backend(setup_.learning);
    auto adapted = run;
    adapted.training.block_tokens = setup_.block_tokens.value_or(run.training.block_tokens);
    return mql4grec::pipeline::train_model(backend, adapted, std::move(data), observer, ranks);
  }

  pipeline::evaluation evaluate(evaluation_inputs const& inputs) const override {
    B backend(setup_.learning);
    seq2seq::frozen_t5 const model(backend, seq2seq::read_model<float>(backend, inputs.model));
    auto options = inputs.options;
    if (setup_.block_queries) options.search.block_rows = *setup_.block_queries * options.search.beams;
    if (setup_.block_rows) options.search.block_rows = std::min(options.search.block_rows, *setup_.block_rows);
    return mql4grec::pipeline::evaluate(backend, model, pipeline::tasks_of(inputs.metadata, inputs.data.name),
                                        inputs.data, options);
  }

  pipeline::quantizer_run_result train_quantizer(pipeline::quantizer_run const& run, present_features const& features,
                                                 embed::feature_statistics const& seen,
                                                 pipeline::quantizer_run_observer const& observer) const override {
    B backend(setup_.learning);
    return mql4grec::pipeline::train_quantizer(backend, run, features, seen, observer);
  }

  pipeline::quantizer_run_result learn_residual_kmeans(pipeline::quantizer_run const& run,
                                                       quantize::residual_kmeans_options const& options,
                                                       present_features const& features,
                                                       std::function<bool()> const& interrupted) const override {
    B backend(setup_.translating);
    return mql4grec::pipeline::learn_residual_kmeans(backend, run, options, features, interrupted);
  }

  file_quantizer load_quantizer(pipeline::quantizer_kind kind, std::filesystem::path const& model) const override {
    if (kind == pipeline::quantizer_kind::residual_kmeans)
      return quantizer_of([&](B& backend) { return quantize::read_residual_kmeans(backend, model); });
    return quantizer_of([&](B& backend) { return quantize::read_rq_vae<float>(backend, model); });
  }

  recommended_items recommend(recommendation_inputs const& inputs) const override {
    B backend(setup_.recommending);
    seq2seq::frozen_t5 model(backend, seq2seq::read_model<float>(backend, inputs.model));
    auto const tasks = pipeline::tasks_of(inputs.metadata, inputs.dataset);
    recommender_options options{.search = inputs.search,
                                .calibration = inputs.calibration,
                                .catalog = {.packed = inputs.packed, .sets = inputs.sets}};
    if (inputs.fill_in)
      options.history_tokens =
          pipeline::fill_in_language(backend, model, tasks, inputs.tokens, {.items = inputs.history});
    recommender<B> const service(std::move(model), tasks, inputs.tokens, std::move(options));
    recommended_items found{.best = service.recommend(inputs.history, inputs.request)};
    if (inputs.explain) found.reasons = service.explain(inputs.history, found.best.items);
    if (inputs.new_k > 0) {
      auto among_new = inputs.request;
      among_new.k = inputs.new_k;
      among_new.filter.allow = inputs.new_items;
      found.best_new = service.recommend_new(inputs.history, among_new);
    }
    return found;
  }

  std::unique_ptr<serving_model> open_serving(serving_inputs const& inputs,
                                              serving_options const& options) const override {
    auto how = setup_.recommending;
    if constexpr (requires { how.threads = index_t{1}; }) how.threads = 1;  // each worker searches on one
    B backend(how);
    seq2seq::frozen_t5 model(backend, seq2seq::read_model<float>(backend, inputs.model));
    recommender<B> service(std::move(model), pipeline::tasks_of(inputs.metadata, inputs.dataset), inputs.tokens,
                           {.search = options.search,
                            .calibration = inputs.calibration,
                            .catalog = inputs.catalog,
                            .shared_catalog = inputs.shared_catalog});
    return std::make_unique<serving_on<B>>(std::move(service), options.batching);
  }

  sasrec_result rank_by_sasrec(sasrec_inputs const& inputs, sasrec::run_observer const& observer) const override {
    auto how = setup_.learning;  // of an evaluation, whose int8 products are for frozen weights
    if (how.products == precision::int8) how.products = precision::fp32;
    B backend(how);
    auto run = inputs.run;
    run.training.block_items = setup_.block_tokens.value_or(run.training.block_items);
    sasrec_result result{.trained = sasrec::train_model(backend, run, inputs.interactions, observer)};
    if (result.trained.status != train::run_status::finished) return result;
    auto const model = sasrec::read_model<float>(backend, run.out);
    result.lists = sasrec::rank_items(backend, model, inputs.histories, inputs.k);
    return result;
  }

 private:
  /// `read(backend)` returns the model. The result owns the backend and the model.
  template <class Read>
  file_quantizer quantizer_of(Read const& read) const {
    struct pair {
      B backend;
      std::invoke_result_t<Read const&, B&> model;
    };
    B backend(setup_.translating);
    auto model = read(backend);
    auto const owned = std::make_shared<pair>(pair{std::move(backend), std::move(model)});
    return [owned](embed::npy_features const& features, pipeline::translation_options options) {
      return pipeline::translate_catalog(owned->backend, owned->model, features, std::move(options));
    };
  }

  backend_setup<B> setup_;
};

}  // namespace mql4grec::program
