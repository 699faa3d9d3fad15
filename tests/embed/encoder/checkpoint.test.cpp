#include "mql4grec/embed/encoder/checkpoint.hpp"

#include <doctest/doctest.h>

#include <string>

#include "core/temporary_directory.hpp"
#include "mql4grec/backend/reference/reference.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"

using namespace mql4grec;
using test::complaint;
using test::temporary_directory;

namespace {

std::filesystem::path golden(std::string const& name) {
  return std::filesystem::path(MQL4GREC_TEST_GOLDEN_DIR) / ("encoder_" + name);
}

/// The error of reading a copy of a golden checkpoint whose config.json has other values; without the directory.
template <class Read>
std::string refusal(std::string const& name, json const& changed, Read&& read) {
  temporary_directory const directory;
  std::filesystem::copy(golden(name), directory.path());
  json config = read_json(directory / "config.json");
  config.update(changed);
  write_json(directory / "config.json", config);
  auto const message = complaint<file_error>([&] { read(directory.path()); });
  auto const prefix = directory.path().string() + "/";
  return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
}
void read_bert(std::filesystem::path const& path) {
  reference::backend b;
  (void)embed::read_bert<float>(b, path);
}
void read_llama(std::filesystem::path const& path) {
  reference::backend b;
  (void)embed::read_llama<float>(b, path);
}
void read_clip(std::filesystem::path const& path) {
  reference::backend b;
  (void)embed::read_clip_vision<float>(b, path);
}

}  // namespace

TEST_CASE("encoder checkpoint: an unchanged copy is read") {
  CHECK(refusal("bert", json::object(), read_bert) == "");
  CHECK(refusal("llama_linear", json::object(), read_llama) == "");
  CHECK(refusal("clip", json::object(), read_clip) == "");
}

TEST_CASE("encoder checkpoint: another architecture or variant is refused in one line") {
  CHECK(refusal("bert", json::object(), read_llama) ==
        "config.json: key 'model_type': found \"bert\", expected \"llama\"; anything else isn't supported");
  CHECK(
      refusal("llama", json::object(), read_clip) ==
      "config.json: key 'model_type': found \"llama\", expected \"clip\" or \"clip_vision_model\"; anything else isn't "
      "supported");
  CHECK(
      refusal("bert", {{"position_embedding_type", "relative_key"}}, read_bert) ==
      "config.json: key 'position_embedding_type': found \"relative_key\", expected \"absolute\"; anything else isn't "
      "supported");
  CHECK(refusal("llama", {{"rope_scaling", {{"rope_type", "yarn"}, {"factor", 2}}}}, read_llama) ==
        "config.json: key 'rope_type': found \"yarn\", expected \"default\" or \"linear\" or \"llama3\"; anything else "
        "isn't supported");
  CHECK(refusal("llama", {{"num_key_value_heads", 4}}, read_llama) ==
        "config.json: num_attention_heads is 6, expected a multiple of num_key_value_heads 4");
}

TEST_CASE("encoder checkpoint: weights that don't fit the configuration are refused in one line") {
  CHECK(refusal("bert", {{"vocab_size", 60}}, read_bert) ==
        "model.safetensors: tensor 'embeddings.word_embeddings.weight': shape [61, 24], expected [60, 24] by the "
        "configuration");
  CHECK(refusal("bert", {{"num_hidden_layers", 3}}, read_bert) ==
        "model.safetensors: tensor 'encoder.layer.2.attention.self.query.weight' is missing");
  CHECK(refusal("bert", {{"num_hidden_layers", 1 << 24}}, read_bert)
            .ends_with(" tensors, but the configuration has 16777216 layers"));
  CHECK(refusal("llama", {{"attention_bias", true}}, read_llama) ==
        "model.safetensors: tensor 'layers.0.self_attn.q_proj.bias' is missing");
  CHECK(refusal("clip", {{"projection_dim", 13}}, read_clip) ==
        "model.safetensors: tensor 'visual_projection.weight': shape [12, 24], expected [13, 24] by the configuration");
  CHECK(complaint<file_error>([] { read_bert("/nowhere"); }) ==
        "/nowhere: isn't a directory, expected one with config.json and model.safetensors");
}

TEST_CASE("encoder checkpoint: tokens and texts that the model doesn't have are refused") {
  reference::backend b;
  auto const model = embed::read_bert<float>(b, golden("bert"));
  buffer<float, host_space> features(24);
  auto const message = [&](embed::token_batch const& batch) {
    return complaint<error>([&] { model.encode(b, batch, {features.view_all().data, batch.size(), 24}); });
  };
  embed::token_batch unknown, longer;
  unknown.add({token_t{61}});
  longer.add(std::vector<token_t>(17, token_t{1}));
  CHECK(message(unknown) == "encoder: token 61, expected below the vocabulary's 61");
  CHECK(message(longer) == "encoder: a text of 17 tokens, expected at most 16");
}

TEST_CASE("encoder checkpoint: a text without tokens has features of zeros") {
  reference::backend b;
  auto const model = embed::read_bert<float>(b, golden("bert"));
  embed::token_batch batch;
  batch.add({});
  batch.add({token_t{5}, token_t{9}});
  buffer<float, host_space> features(2 * 24);
  model.encode(b, batch, {features.view_all().data, 2, 24});
  auto const all = features.view_all();
  for (index_t j = 0; j < 24; ++j) CHECK(all(j) == 0);
  CHECK(all(24) != 0);
}
