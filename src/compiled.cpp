// The library mql4grec::compiled: what services ask for, and what isn't a template, compiled once.
#define MQL4GREC_DEFINITION
#include "mql4grec/catalog/item_images.inl.hpp"
#include "mql4grec/catalog/packed_interactions.inl.hpp"
#include "mql4grec/core/detail/half.inl.hpp"
#include "mql4grec/core/gguf.inl.hpp"
#include "mql4grec/embed/image/decode.inl.hpp"
#include "mql4grec/quantize/collisions/sequence_key.inl.hpp"
#include "mql4grec/rank/calibration.inl.hpp"
#include "mql4grec/rank/fusion.inl.hpp"
#include "mql4grec/recommender.hpp"
#include "mql4grec/search/catalog_log.inl.hpp"
#include "mql4grec/search/live_catalog.inl.hpp"
#include "mql4grec/search/live_trie.inl.hpp"
#include "mql4grec/search/packed_catalog.inl.hpp"
#include "mql4grec/search/trie.inl.hpp"
#include "mql4grec/tasks/mixture.inl.hpp"

// Files: nlohmann/json is compiled here, and in no source that links this.
#if MQL4GREC_HAS_JSON
#include "mql4grec/catalog/interaction_files.inl.hpp"
#include "mql4grec/catalog/read.inl.hpp"
#include "mql4grec/core/detail/json_events.inl.hpp"
#include "mql4grec/core/json.inl.hpp"
#include "mql4grec/core/safetensors.inl.hpp"
#include "mql4grec/core/sharded_safetensors.inl.hpp"
#include "mql4grec/embed/encoder/checkpoint.inl.hpp"
#include "mql4grec/embed/encoder/config_json.inl.hpp"
#include "mql4grec/embed/encoder/random_checkpoint.inl.hpp"
#include "mql4grec/embed/feature_writer.inl.hpp"
#include "mql4grec/embed/image/read_preprocessing.inl.hpp"
#if MQL4GREC_HAS_UTF8PROC
#include "mql4grec/embed/tokenizer/byte_level_bpe.inl.hpp"
#include "mql4grec/embed/tokenizer/detail/unicode.inl.hpp"
#include "mql4grec/embed/tokenizer/gguf_tokenizer.inl.hpp"
#include "mql4grec/embed/tokenizer/pre_tokenizer.inl.hpp"
#include "mql4grec/embed/tokenizer/read_tokenizer.inl.hpp"
#include "mql4grec/embed/tokenizer/tokenizer_json.inl.hpp"
#include "mql4grec/embed/tokenizer/wordpiece.inl.hpp"
#if MQL4GREC_HAS_SENTENCEPIECE
#include "mql4grec/embed/tokenizer/detail/sentencepiece_model.inl.hpp"
#include "mql4grec/embed/tokenizer/sentencepiece.inl.hpp"
#endif
#endif
#include "mql4grec/language/detail/parse.inl.hpp"
#include "mql4grec/language/index_shape.inl.hpp"
#include "mql4grec/language/read_token_table.inl.hpp"
#include "mql4grec/language/read_vocabulary.inl.hpp"
#include "mql4grec/metrics/json.inl.hpp"
#include "mql4grec/metrics/save.inl.hpp"
#include "mql4grec/pipeline/dataset.inl.hpp"
#include "mql4grec/pipeline/embed.inl.hpp"
#include "mql4grec/pipeline/evaluate.inl.hpp"
#include "mql4grec/pipeline/item_placer.inl.hpp"
#include "mql4grec/pipeline/item_sets.inl.hpp"
#include "mql4grec/pipeline/model_metadata.inl.hpp"
#include "mql4grec/pipeline/packed_catalog.inl.hpp"
#include "mql4grec/pipeline/quantizer.inl.hpp"
#include "mql4grec/pipeline/train.inl.hpp"
#include "mql4grec/pipeline/translate.inl.hpp"
#include "mql4grec/quantize/model_tensors.inl.hpp"
#include "mql4grec/quantize/residual_kmeans/checkpoint.inl.hpp"
#include "mql4grec/quantize/rq_vae/checkpoint.inl.hpp"
#include "mql4grec/quantize/rq_vae/state.inl.hpp"
#include "mql4grec/rank/calibration_json.inl.hpp"
#include "mql4grec/recommender_load.hpp"
#include "mql4grec/sasrec/checkpoint.inl.hpp"
#include "mql4grec/seq2seq/checkpoint.inl.hpp"
#include "mql4grec/seq2seq/config_json.inl.hpp"
#include "mql4grec/seq2seq/training_state.inl.hpp"
#include "mql4grec/train/state_file.inl.hpp"
#endif

// Raw files: the only source that includes zlib, simdjson and gumbo.
#if MQL4GREC_HAS_RAW
#include "mql4grec/catalog/raw/clean_text.inl.hpp"
#include "mql4grec/catalog/raw/detail/sha256.inl.hpp"
#include "mql4grec/catalog/raw/line_reader.inl.hpp"
#include "mql4grec/catalog/raw/prepare.inl.hpp"
#include "mql4grec/catalog/raw/python_literal.inl.hpp"
#include "mql4grec/catalog/raw/rating_table.inl.hpp"
#include "mql4grec/catalog/raw/raw_items.inl.hpp"
#include "mql4grec/catalog/raw/raw_ratings.inl.hpp"
#include "mql4grec/catalog/raw/record_reader.inl.hpp"
#include "mql4grec/catalog/raw/synthetic_raw.inl.hpp"
#endif

template class mql4grec::recommender_session<>;
template class mql4grec::recommender<>;
