#pragma once
// Definitions of what seq2seq/config_json.hpp declares and isn't a template.
#include <algorithm>
#include <iterator>
#include <string>
#include <string_view>
#include <utility>

#include "mql4grec/core/detail/config_reader.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/seq2seq/config_json.hpp"

namespace mql4grec::seq2seq {

namespace detail {

/// Reads the members of T5's config.json.
class t5_config_reader : public core::detail::config_reader {
 public:
  using config_reader::config_reader;

  token_t token(char const* key, token_t otherwise) const {
    index_t const id = integer(key, index(otherwise));
    expects_file(std::in_range<std::int32_t>(id), path_, "key '", key, "': found ", id, ", expected a token");
    return token_t{static_cast<std::int32_t>(id)};
  }
  /// Throws file_error for the first unknown key. A key whose value is null is ignored.
  void refuse_unknown_keys() const {
    for (auto const& [key, value] : object_.items())
      expects_file(value.is_null() || is_known(key), path_, "key '", core::detail::printable(key),
                   "' isn't known and may change what is computed; remove it if it doesn't");
  }
  nn::activation activation() const {
    json const proj = has("feed_forward_proj") ? at("feed_forward_proj") : json("relu");
    expects_file(proj == "relu" || proj == "gated-gelu", path_, "key 'feed_forward_proj': found ",
                 core::detail::shown(proj), ", expected \"relu\" or \"gated-gelu\"; anything else isn't supported");
    bool const gated = proj == "gated-gelu";
    must_be("is_gated_act", gated);
    must_be("dense_act_fn", gated ? "gelu_new" : "relu");
    return gated ? nn::activation::gated_gelu : nn::activation::relu;
  }

 private:
  static bool is_known(std::string_view key) {
    // keys that from_config_json reads
    constexpr std::string_view read[] = {"model_type",
                                         "vocab_size",
                                         "d_model",
                                         "d_kv",
                                         "d_ff",
                                         "num_heads",
                                         "num_layers",
                                         "num_decoder_layers",
                                         "relative_attention_num_buckets",
                                         "relative_attention_max_distance",
                                         "feed_forward_proj",
                                         "is_gated_act",
                                         "dense_act_fn",
                                         "tie_word_embeddings",
                                         "scale_decoder_outputs",
                                         "dropout_rate",
                                         "layer_norm_epsilon",
                                         "initializer_factor",
                                         "pad_token_id",
                                         "eos_token_id",
                                         "decoder_start_token_id",
                                         "is_encoder_decoder",
                                         "is_decoder",
                                         "add_cross_attention",
                                         "tie_encoder_decoder",
                                         "pruned_heads"};
    // keys about the file's origin, storage and execution, and about other heads and tokenizers
    constexpr std::string_view harmless[] = {"architectures",
                                             "transformers_version",
                                             "_name_or_path",
                                             "name_or_path",
                                             "_commit_hash",
                                             "torch_dtype",
                                             "dtype",
                                             "use_bfloat16",
                                             "torchscript",
                                             "tf_legacy_loss",
                                             "xla_device",
                                             "use_cache",
                                             "gradient_checkpointing",
                                             "_attn_implementation",
                                             "_attn_implementation_autoset",
                                             "attn_implementation",
                                             "chunk_size_feed_forward",
                                             "output_attentions",
                                             "output_hidden_states",
                                             "output_past",
                                             "return_dict",
                                             "n_positions",
                                             "classifier_dropout",
                                             "finetuning_task",
                                             "task_specific_params",
                                             "problem_type",
                                             "num_labels",
                                             "id2label",
                                             "label2id",
                                             "tokenizer_class",
                                             "vocab_file",
                                             "prefix",
                                             "bos_token_id",
                                             "sep_token_id"};
    // options of transformers' generate(); the search here has its own options
    constexpr std::string_view of_generation[] = {"max_length",
                                                  "min_length",
                                                  "do_sample",
                                                  "early_stopping",
                                                  "num_beams",
                                                  "num_beam_groups",
                                                  "diversity_penalty",
                                                  "temperature",
                                                  "top_k",
                                                  "top_p",
                                                  "typical_p",
                                                  "repetition_penalty",
                                                  "length_penalty",
                                                  "no_repeat_ngram_size",
                                                  "encoder_no_repeat_ngram_size",
                                                  "bad_words_ids",
                                                  "num_return_sequences",
                                                  "output_scores",
                                                  "return_dict_in_generate",
                                                  "forced_bos_token_id",
                                                  "forced_eos_token_id",
                                                  "remove_invalid_values",
                                                  "exponential_decay_length_penalty",
                                                  "suppress_tokens",
                                                  "begin_suppress_tokens"};
    auto const has = [key](auto const& keys) { return std::ranges::find(keys, key) != std::end(keys); };
    return has(read) || has(harmless) || has(of_generation);
  }
};

}  // namespace detail

MQL4GREC_DEFINITION json to_config_json(t5_config const& c) {
  bool const gated = c.activation == nn::activation::gated_gelu;
  json out = {{"architectures", json::array({"T5ForConditionalGeneration"})},
              {"classifier_dropout", 0.0},
              {"d_ff", c.inner_width},
              {"d_kv", c.head_width},
              {"d_model", c.model_width},
              {"decoder_start_token_id", index(c.pad)},
              {"dense_act_fn", gated ? "gelu_new" : "relu"},
              {"dropout_rate", c.dropout},
              {"eos_token_id", index(c.end)},
              {"feed_forward_proj", gated ? "gated-gelu" : "relu"},
              {"initializer_factor", c.initializer_factor},
              {"is_encoder_decoder", true},
              {"is_gated_act", gated},
              {"layer_norm_epsilon", c.epsilon},
              {"model_type", "t5"},
              {"num_decoder_layers", c.decoder_layers},
              {"num_heads", c.heads},
              {"num_layers", c.encoder_layers},
              {"pad_token_id", index(c.pad)},
              {"relative_attention_max_distance", c.max_distance},
              {"relative_attention_num_buckets", c.buckets},
              {"tie_word_embeddings", c.tied},
              {"torch_dtype", "float32"},
              {"use_cache", true},
              {"vocab_size", c.vocabulary}};
  return out;
}

MQL4GREC_DEFINITION t5_config from_config_json(json const& object, std::filesystem::path const& path) {
  detail::t5_config_reader const file(object, path);
  file.at("model_type");
  file.must_be("model_type", "t5");
  file.must_be("is_encoder_decoder", true);
  for (auto const* key : {"is_decoder", "add_cross_attention", "tie_encoder_decoder"}) file.must_be(key, false);
  file.must_be("pruned_heads", json::object());
  t5_config c;
  c.vocabulary = file.integer("vocab_size");
  c.model_width = file.integer("d_model");
  c.head_width = file.integer("d_kv");
  c.heads = file.integer("num_heads");
  c.inner_width = file.integer("d_ff");
  c.encoder_layers = file.integer("num_layers");
  c.decoder_layers = file.integer("num_decoder_layers", c.encoder_layers);
  c.buckets = file.integer("relative_attention_num_buckets", 32);
  c.max_distance = file.integer("relative_attention_max_distance", 128);
  c.activation = file.activation();
  bool const shared = file.boolean("tie_word_embeddings", true);
  c.tied = shared && file.boolean("scale_decoder_outputs", true);
  c.dropout = file.number("dropout_rate", 0.1);
  c.epsilon = file.number("layer_norm_epsilon", 1e-6);
  c.initializer_factor = file.number("initializer_factor", 1.0);
  c.pad = file.token("pad_token_id", token_t{0});
  c.end = file.token("eos_token_id", token_t{1});
  file.must_be("decoder_start_token_id", index(c.pad));
  if (!shared) file.must_be("scale_decoder_outputs", false);
  file.refuse_unknown_keys();
  try {
    validate(c);
  } catch (error const& e) {
    raise<file_error>(path.string(), ": ", e.what());
  }
  return c;
}

MQL4GREC_DEFINITION t5_config read_t5_config(std::filesystem::path const& path) {
  return from_config_json(read_json(path), path);
}

}  // namespace mql4grec::seq2seq
