#include "mql4grec/embed/encoder/random_checkpoint.hpp"

#include <doctest/doctest.h>

#include <cmath>

#include "catalog/scratch.hpp"
#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/embed/encoder/any_text_encoder.hpp"
#include "mql4grec/embed/image/read_preprocessing.hpp"
#if MQL4GREC_HAS_UTF8PROC
#include "mql4grec/embed/tokenizer/read_tokenizer.hpp"
#endif

using namespace mql4grec;
using test::scratch;

namespace {

double cosine(std::vector<float> const& rows, index_t width, index_t a, index_t b, std::vector<float> const& mean) {
  double ab = 0, aa = 0, bb = 0;
  for (index_t j = 0; j < width; ++j) {
    double const x = rows[to_size(a * width + j)] - mean[to_size(j)],
                 y = rows[to_size(b * width + j)] - mean[to_size(j)];
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return ab / std::sqrt(aa * bb);
}

std::vector<float> mean_of(std::vector<float> const& rows, index_t width) {
  std::vector<float> mean(to_size(width));
  auto const n = static_cast<float>(std::ssize(rows) / width);
  for (std::size_t i = 0; i < rows.size(); ++i) mean[i % to_size(width)] += rows[i] / n;
  return mean;
}

}  // namespace

#if MQL4GREC_HAS_UTF8PROC
TEST_CASE("write_random_bert: texts that share words have similar features") {
  scratch const here;
  std::vector<std::string> const texts = {"Walnut cutting board", "A cutting board made of walnut.", "Brass tea kettle",
                                          "A kettle made of brass, for tea!"};
  embed::write_random_bert(here / "bert", texts);
  cpu::backend backend;
  auto const encoder = embed::read_text_encoder<float>(backend, here / "bert");
  auto const tokenizer = embed::read_tokenizer(here / "bert");
  CHECK(tokenizer.vocab_size() == encoder.vocabulary());
  embed::token_batch batch;
  for (auto const& text : texts) {
    batch.add(tokenizer.encode(text));
  }
  CHECK(std::ranges::count(batch.tokens, token_t{1}) == 0);  // [UNK]
  std::vector<float> rows(to_size(4 * encoder.features()));
  encoder.encode(backend, batch, host_matrix_view<float>(rows.data(), 4, encoder.features()));
  auto const mean = mean_of(rows, encoder.features());
  auto const alike = [&](index_t a, index_t b) { return cosine(rows, encoder.features(), a, b, mean); };
  CHECK(alike(0, 1) > alike(0, 2));
  CHECK(alike(2, 3) > alike(2, 1));
}
#endif

TEST_CASE("write_random_clip: pictures of like colors have similar features") {
  scratch const here;
  embed::write_random_clip(here / "clip");
  cpu::backend backend;
  auto const encoder = embed::read_clip_vision<float>(backend, here / "clip");
  auto const how = embed::read_image_preprocessing(here / "clip" / "preprocessor_config.json");
  CHECK(how.crop == embed::image_size{32, 32});
  auto const picture = [&](std::array<int, 3> color, int stripe) {
    embed::rgb_image image{.size = {32, 32}, .pixels = std::vector<std::uint8_t>(3 * 32 * 32)};
    for (std::size_t i = 0; i < image.pixels.size(); ++i)
      image.pixels[i] = static_cast<std::uint8_t>(color[i % 3] / (static_cast<int>(i / 3) % stripe == 0 ? 2 : 1));
    return image;
  };
  std::vector<float> pixels(to_size(4 * how.values()));
  std::array const images = {picture({200, 30, 30}, 3), picture({210, 40, 30}, 5), picture({20, 180, 60}, 3),
                             picture({30, 190, 50}, 5)};
  for (index_t i = 0; i < 4; ++i)
    embed::preprocess_image(images[to_size(i)], how, {pixels.data() + i * how.values(), how.values()});
  std::vector<float> rows(to_size(4 * encoder.features()));
  encoder.encode(backend, embed::image_batch{{pixels.data(), 4, how.values()}},
                 host_matrix_view<float>(rows.data(), 4, encoder.features()));
  auto const mean = mean_of(rows, encoder.features());
  auto const alike = [&](index_t a, index_t b) { return cosine(rows, encoder.features(), a, b, mean); };
  CHECK(alike(0, 1) > alike(0, 2));
  CHECK(alike(2, 3) > alike(2, 1));
}

TEST_CASE("write_random_bert: equal arguments give equal bytes, other seeds others") {
  scratch const here;
  std::vector<std::string> const texts = {"one two"};
  embed::write_random_bert(here / "a", texts);
  embed::write_random_bert(here / "b", texts);
  embed::write_random_bert(here / "c", texts, {.seed = 7});
  safetensors const file(here / "a" / "model.safetensors");
  std::vector<float> gain(64), bias(64, 1.f);
  file.read("embeddings.LayerNorm.weight", {64}, view_of(std::span(gain)));
  file.read("embeddings.LayerNorm.bias", {64}, view_of(std::span(bias)));
  CHECK(gain == std::vector<float>(64, 1.f));
  CHECK(bias == std::vector<float>(64));
  auto const weights = [&](char const* name) { return read_file(here / name / "model.safetensors"); };
  CHECK(weights("a") == weights("b"));
  CHECK(weights("a") != weights("c"));
}
