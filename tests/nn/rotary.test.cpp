#include "mql4grec/nn/rotary.hpp"

#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

// the expected numbers are those of LlamaRotaryEmbedding in transformers 4.45.2

TEST_CASE("rotary: frequencies without scaling, and with a linear and a llama3 scaling, equal those of transformers") {
  CHECK_CLOSE(nn::rotary_frequencies({.width = 16}),
              std::vector{1., 0.316227764, 0.1, 0.0316227786, 0.01, 0.00316227786, 0.001, 0.000316227786}, 5e-8);
  CHECK_CLOSE(nn::rotary_frequencies({.width = 16, .scaling = nn::linear_rotary_scaling{4}}),
              std::vector{0.25, 0.079056941, 0.025, 0.00790569466, 0.0025, 0.000790569466, 0.00025, 7.90569466e-05},
              5e-8);
  CHECK_CLOSE(
      nn::rotary_frequencies(
          {.width = 16, .base = 500000, .scaling = nn::llama3_rotary_scaling{.factor = 8, .original_positions = 64}}),
      std::vector{1., 0.079403013, 0.00470075384, 0.000911583134, 0.000176776681, 3.42810235e-05, 6.64786967e-06,
                  1.28917316e-06},
      5e-8);
}

TEST_CASE("rotary: options without meaning are refused") {
  CHECK_THROWS_WITH_AS((void)nn::rotary_frequencies({.width = 15}),
                       "rotary: a head is 15 wide, expected a positive even number", error);
  CHECK_THROWS_WITH_AS((void)nn::rotary_frequencies({.base = 0}), "rotary: the base is 0, expected a positive number",
                       error);
  CHECK_THROWS_WITH_AS((void)nn::rotary_frequencies({.scaling = nn::linear_rotary_scaling{-1}}),
                       "rotary: the factor is -1, expected a positive number", error);
  CHECK_THROWS_AS((void)nn::rotary_frequencies({.scaling = nn::llama3_rotary_scaling{.high_freq_factor = 1}}), error);
}

TEST_CASE_TEMPLATE("rotary: the table of positions equals that of transformers", B, MQL4GREC_TEST_BACKENDS) {
  B b;
  auto const frequencies = nn::rotary_frequencies({.width = 16});
  nn::rotary_positions<float, typename B::memory_space> const positions(b, frequencies, 101);
  CHECK(positions.size() == 101);
  CHECK_CLOSE(positions.table().cosines.row(0), constant(8, 1.f), 0);
  CHECK_CLOSE(positions.table().sines.row(0), constant(8, 0.f), 0);
  CHECK_CLOSE(positions.table().cosines.row(100),
              vector{0.862318873f, 0.978682816f, -0.839071512f, -0.999786079f, 0.540302336f, 0.950415254f, 0.995004177f,
                     0.999500036f},
              5e-6);
  CHECK_CLOSE(positions.table().sines.row(100),
              vector{-0.506365657f, 0.205377579f, -0.54402113f, -0.0206838083f, 0.841470957f, 0.310983628f,
                     0.0998334214f, 0.0316175073f},
              5e-6);
  auto x = on(b, constant({2, 32}, 1.f));
  nn::rotary<float>(b, positions.table(), on(b, vector<index_t>{0, 100}), x);
  CHECK_CLOSE((*x).row(0), constant(32, 1.f), 0);
  auto const turned = fetched((*x).row(1));
  CHECK_CLOSE(turned(0), 0.862318873 + 0.506365657, 1e-6);
  CHECK_CLOSE(turned(8), 0.862318873 - 0.506365657, 1e-6);
  CHECK_CLOSE(turned(16), turned(0), 0);
}
