// The features of a text don't depend on the other texts of its batch.
#include <doctest/doctest.h>

#include <vector>

#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/core/random.hpp"
#include "mql4grec/embed/encoder/llama.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;

namespace {

template <class B>
embed::llama<B, float> random_llama(B& b) {
  embed::llama<B, float> encoder(b, {.vocabulary = 11,
                                     .width = 16,
                                     .layers = 1,
                                     .heads = 2,
                                     .key_heads = 1,
                                     .inner_width = 8,
                                     .positions = 300,
                                     .rotary = {.width = 16},
                                     .rotary_divisors = {}});
  random_stream random(1, 0);
  fill(encoder.parameters(), [&](host_vector_view<float> values) {
    for (index_t i = 0; i < values.size(); ++i) values(i) = static_cast<float>(random.normal());
  });
  return encoder;
}

std::vector<token_t> text_of(index_t length) {
  std::vector<token_t> tokens;
  for (index_t i = 0; i < length; ++i) tokens.push_back(token_t{static_cast<std::int32_t>((i * i + length) % 11)});
  return tokens;
}

}  // namespace

TEST_CASE_TEMPLATE("encoders: a text's features are the same in any batch", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const encoder = random_llama(b);
  auto const encode = [&](embed::token_batch const& batch) {
    auto features = b.template allocate<float>(batch.size() * encoder.features());
    encoder.encode(b, batch, {features.view_all().data, batch.size(), encoder.features()});
    b.synchronize();
    return features;
  };
  std::vector<index_t> const lengths = {3, 0, 290, 256, 256, 300, 1, 0};
  embed::token_batch batch;
  for (int round = 0; round < 2; ++round)
    for (index_t const length : lengths) batch.add(text_of(length));
  auto const all = encode(batch);
  index_t const width = encoder.features();
  for (std::size_t t = 0; t < lengths.size(); ++t) {
    CAPTURE(lengths[t]);
    embed::token_batch alone;
    alone.add(text_of(lengths[t]));
    auto const expected = encode(alone);
    for (std::size_t round = 0; round < 2; ++round) {
      auto const row = static_cast<index_t>(round * lengths.size() + t);
      CHECK_CLOSE(all.view_all().part(row * width, width), expected.view_all(), 1e-5);
    }
  }
}
