#include "mql4grec/quantize/rq_vae/fold_scaling.hpp"

#include "mql4grec/embed/views.hpp"
#include "mql4grec/quantize/assign_codes.hpp"
#include "mql4grec/quantize/rq_vae/pass.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE("fold_scaling: the folded model assigns the same codes to unscaled features, with the error in their units") {
  cpu::backend b;
  quantize::rq_vae<cpu::backend, float> model(b, {.input_width = 6, .hidden = {8}, .latent_width = 3, .codes = {5, 5}});
  quantize::initialize(model, 4);
  auto const x = random_normal<float>({50, 6}, 1);
  embed::matrix_features const plain(x);
  embed::feature_scaling const how{{1.f, -2.f, 0.5f, 0.f, 3.f, -1.f}, 4.f};
  auto const before = quantize::assign_codes(b, model, embed::scaled_features(plain, how));
  quantize::fold_scaling(model, how);
  auto const after = quantize::assign_codes(b, model, plain);
  CHECK(after.codes == before.codes);
  CHECK_CLOSE(after.quantization_error, before.quantization_error, 1e-5);
  CHECK_CLOSE(after.reconstruction_error, before.reconstruction_error / 16, 1e-5);
}

TEST_CASE("assign_codes: the codes of a row depend on neither other rows, workers nor blocks") {
  cpu::backend one, three(3);
  quantize::rq_vae<cpu::backend, float> model(one,
                                              {.input_width = 6, .hidden = {8}, .latent_width = 3, .codes = {5, 7}});
  quantize::initialize(model, 4);
  auto const x = random_normal<float>({2500, 6}, 1);
  embed::matrix_features const features(x);
  auto const all = quantize::assign_codes(one, model, features);
  auto const shared = quantize::assign_codes(three, model, features);
  CHECK(shared.codes == all.codes);
  CHECK(shared.reconstruction_error == all.reconstruction_error);
  for (index_t i : {0, 1023, 1024, 2499}) {
    host_matrix_view<float const> const row(x.values.data() + i * 6, 1, 6);
    auto const single =
        quantize::assign_codes(one, model, embed::matrix_features(row), {.reconstruction_error = false});
    CHECK(std::ranges::equal(single.codes.of(item_id{0}), all.codes.of(item_id(i))));
  }
  CHECK_THROWS_WITH_AS(quantize::assign_codes(one, model, embed::matrix_features(random_normal<float>({3, 5}, 1)),
                                              {.reconstruction_error = false}),
                       "quantize: features of width 5 for a quantizer of width 6", error);
}

TEST_CASE("encoded_latents: the requested items are encoded") {
  cpu::backend b;
  quantize::rq_vae<cpu::backend, float> model(b, {.input_width = 6, .hidden = {8}, .latent_width = 3, .codes = {5}});
  quantize::initialize(model, 4);
  auto const x = random_normal<float>({40, 6}, 1);
  embed::matrix_features const features(x);
  quantize::encoded_latents const latents(b, model, features);
  auto z = poisoned<float>(b, {2, 3}), expected = poisoned<float>(b, {40, 3});
  quantize::encode<float>(b, model, in_matrix<cpu::backend, float>(x), *expected);
  latents.gather(std::vector<index_t>{31, 2}, *z);
  CHECK_CLOSE((*z).row(0), (*expected).row(31), 1e-6);
  CHECK_CLOSE((*z).row(1), (*expected).row(2), 1e-6);
}
