// Encoders with pretrained weights equal PyTorch. tests/golden/make_golden_pretrained.py documents where the weights
// come from; without them the tests are skipped.
#include <doctest/doctest.h>

#include <filesystem>
#include <vector>

#include "mql4grec/core/files.hpp"
#include "mql4grec/embed/encoder/checkpoint.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/data.hpp"

using namespace mql4grec;

namespace {

/// The features of each of the stored texts, all in one batch, equal the stored ones.
template <class Encoder>
void check_features(cpu::backend& backend, Encoder const& encoder, char const* name, double tolerance) {
  safetensors const file(std::filesystem::path(MQL4GREC_TEST_GOLDEN_DIR) / "encoder_pretrained" / name);
  embed::token_batch batch{.tokens = {}, .offsets = file.values<index_t>("offsets")};
  for (auto const id : file.values<std::int32_t>("tokens")) batch.tokens.push_back(token_t{id});
  std::vector<float> features(static_cast<std::size_t>(batch.size() * encoder.features()));
  encoder.encode(backend, batch, {features.data(), batch.size(), encoder.features()});
  CHECK_CLOSE(features, file.values<float>("features"), tolerance);
}

}  // namespace

TEST_CASE("pretrained: MiniLM's features equal PyTorch's" * doctest::test_suite("slow")) {
  auto const directory = test::pretrained("minilm");
  if (!directory) return;
  cpu::backend backend;
  check_features(backend, embed::read_bert<float>(backend, *directory), "minilm.safetensors", 1e-4);
}

TEST_CASE("pretrained: SmolLM2's features equal PyTorch's of the dequantized weights" * doctest::test_suite("slow")) {
  auto const file = test::pretrained("smollm2/SmolLM2-135M-Instruct.Q4_1.gguf");
  if (!file) return;
  cpu::backend backend;
  check_features(backend, embed::read_llama<float>(backend, *file), "smollm2.safetensors", 1e-3);
}
