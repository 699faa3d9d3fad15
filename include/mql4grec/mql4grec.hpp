#pragma once
/// Everything for host compilers but the built-in catalog, catalog/synthetic.hpp. Files are read with nlohmann/json;
/// without it the rest works on values constructed in memory.
///
/// Namespaces follow folders: `mql4grec::quantize` is in quantize/. The public entry points are also
/// available in `mql4grec` itself; they are listed at the end of this header. `core` and `backend/contract` are inline
/// namespaces: `mql4grec::view` is `mql4grec::core::view`.
#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/backend/reference/reference.hpp"
#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/embed/npy_features.hpp"
#include "mql4grec/embed/statistics.hpp"
#include "mql4grec/embed/views.hpp"
#include "mql4grec/language/to_tokens.hpp"
#include "mql4grec/metrics/ranking_metrics.hpp"
#include "mql4grec/quantize/residual_kmeans/residual_kmeans.hpp"
#include "mql4grec/quantize/rq_vae/fold_scaling.hpp"
#include "mql4grec/quantize/rq_vae/learner.hpp"
#include "mql4grec/rank/popularity.hpp"
#include "mql4grec/recommender.hpp"
#include "mql4grec/seq2seq/initialize.hpp"
#include "mql4grec/seq2seq/learner.hpp"
#include "mql4grec/serve/micro_batcher.hpp"
#include "mql4grec/tasks/training_set.hpp"

#if MQL4GREC_HAS_JSON
#include "mql4grec/metrics/json.hpp"
#include "mql4grec/pipeline.hpp"
#include "mql4grec/quantize/residual_kmeans/checkpoint.hpp"
#include "mql4grec/recommender_load.hpp"
#endif

namespace mql4grec {

using catalog::interactions;
using catalog::split;
using language::modality;
using language::to_tokens;
using language::token_table;
using language::vocabulary;
using metrics::report;
using quantize::assign_codes;
using quantize::code_table;
using quantize::fit;
using quantize::initialize;
using quantize::rq_vae;
using quantize::rq_vae_config;
using quantize::rq_vae_training_options;
using rank::average_plus_one;
using rank::calibrated;
using rank::FusionPolicy;
using rank::popularity;
using rank::ranking;
using search::beam_options;
using search::item_filter;
using search::item_list;
using seq2seq::fit;
using seq2seq::frozen_t5;
using seq2seq::initialize;
using seq2seq::t5;
using seq2seq::t5_config;
using seq2seq::trainer;
using seq2seq::training_options;
using seq2seq::training_progress;
using tasks::all_tasks;
using tasks::dataset;
using tasks::mixture;
using tasks::next_only;
using tasks::training_set;
using tasks::validation_set;

#if MQL4GREC_HAS_JSON
using pipeline::evaluate;
using pipeline::evaluation;
using pipeline::evaluation_options;
using pipeline::read_dataset;
using pipeline::train_model;
using pipeline::vocabulary_of;
using seq2seq::read_model;
using seq2seq::write_model;
#endif

}  // namespace mql4grec
