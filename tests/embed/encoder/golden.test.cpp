// Comparison with transformers. tests/golden/README.md documents how the numbers were made: in float64, stored as
// float32.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>
#include <vector>

#include "mql4grec/core/files.hpp"
#include "mql4grec/embed/encoder/checkpoint.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;

namespace {

std::filesystem::path golden(std::string const& name) {
  return std::filesystem::path(MQL4GREC_TEST_GOLDEN_DIR) / ("encoder_" + name);
}

/// transformers' rotary angles are float32, so more digits than these can't be expected of a double either.
constexpr double hidden_tolerance = 1e-4;

embed::token_batch texts_of(safetensors const& file) {
  embed::token_batch batch{.tokens = {}, .offsets = file.values<index_t>("offsets")};
  for (auto const id : file.values<std::int32_t>("tokens")) batch.tokens.push_back(token_t{id});
  return batch;
}

/// The hidden states and the features of a batch equal the stored ones.
template <class T, class B, class Encoder, class Batch>
void check_encoder(B& backend, Encoder const& encoder, Batch const& batch, safetensors const& file) {
  static_assert(embed::ItemEncoder<Encoder, B, T>);
  auto const shape = file.info("hidden").shape;
  auto hidden = backend.template allocate<T>(shape[0] * shape[1]);
  auto features = backend.template allocate<T>(batch.size() * encoder.features());
  encoder.hidden_states(backend, batch, {hidden.view_all().data, shape[0], shape[1]});
  encoder.encode(backend, batch, {features.view_all().data, batch.size(), encoder.features()});
  backend.synchronize();
  CHECK_CLOSE(hidden.view_all(), file.values<float>("hidden"), hidden_tolerance);
  CHECK_CLOSE(features.view_all(), file.values<float>("features"), hidden_tolerance);
}

}  // namespace

TEST_CASE_TEMPLATE("encoders: BERT's hidden states equal transformers'", B, MQL4GREC_TEST_BACKENDS) {
  for (auto const* name : {"bert", "bert_head"}) {
    CAPTURE(name);
    B backend;
    safetensors const file(golden(name) / "golden.safetensors");
    check_encoder<float>(backend, embed::read_bert<float>(backend, golden(name)), texts_of(file), file);
    check_encoder<double>(backend, embed::read_bert<double>(backend, golden(name)), texts_of(file), file);
  }
}

TEST_CASE_TEMPLATE("encoders: LLaMA's hidden states equal transformers'", B, MQL4GREC_TEST_BACKENDS) {
  for (auto const* name : {"llama", "llama_linear", "llama_sharded"}) {
    CAPTURE(name);
    B backend;
    safetensors const file(golden(name) / "golden.safetensors");
    check_encoder<float>(backend, embed::read_llama<float>(backend, golden(name)), texts_of(file), file);
  }
}

TEST_CASE_TEMPLATE("encoders: a GGUF file's hidden states equal transformers' of the dequantized weights", B,
                   MQL4GREC_TEST_BACKENDS) {
  B backend;
  safetensors const file(golden("llama_gguf") / "golden.safetensors");
  auto const path = golden("llama_gguf") / "model.gguf";
  check_encoder<float>(backend, embed::read_llama<float>(backend, path), texts_of(file), file);
}

TEST_CASE("encoders: a GGUF file's tensors are dequantized to the same bits as by the package gguf") {
  safetensors const file(golden("llama_gguf") / "golden.safetensors");
  gguf const weights(golden("llama_gguf") / "model.gguf");
  CHECK(weights.value<std::vector<std::string>>("test.texts") == std::vector<std::string>{"a", "", "cæsar"});
  CHECK(weights.value<std::vector<index_t>>("test.numbers") == std::vector<index_t>{-3, 0, 7});
  CHECK(weights.value<bool>("test.flag"));
  int compared = 0;
  for (auto const& name : file.names()) {
    if (!name.starts_with("tensor.")) continue;
    CAPTURE(name);
    CHECK(weights.values(name.substr(7)) == file.values<float>(name));
    CHECK(weights.info(name.substr(7)).shape == file.info(name).shape);
    ++compared;
  }
  CHECK(compared == 3);
}

TEST_CASE_TEMPLATE("encoders: CLIP's hidden states and image_embeds equal transformers'", B, MQL4GREC_TEST_BACKENDS) {
  for (auto const* name : {"clip", "clip_vision"}) {
    CAPTURE(name);
    B backend;
    safetensors const file(golden(name) / "golden.safetensors");
    auto const pixels = file.values<float>("pixels");
    auto const shape = file.info("pixels").shape;
    embed::image_batch const batch{{pixels.data(), shape[0], shape[1]}};
    check_encoder<float>(backend, embed::read_clip_vision<float>(backend, golden(name)), batch, file);
  }
}
