#pragma once
/// Everything for host compilers but the built-in catalog, catalog/synthetic.hpp. Files are read with nlohmann/json;
/// without it the rest works on values built by hand.
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
#include "mql4grec/tasks/training_set.hpp"

#if MQL4GREC_HAS_JSON
#include "mql4grec/metrics/json.hpp"
#include "mql4grec/pipeline.hpp"
#include "mql4grec/quantize/residual_kmeans/checkpoint.hpp"
#include "mql4grec/recommender_load.hpp"
#endif
