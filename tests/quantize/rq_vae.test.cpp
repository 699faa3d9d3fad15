#include "mql4grec/quantize/rq_vae/rq_vae.hpp"

#include "mql4grec/quantize/rq_vae/pass.hpp"
#include "mql4grec/quantize/rq_vae/trainer.hpp"
#include "mql4grec/train/threads.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/gradient.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
quantize::rq_vae_config small() { return {.input_width = 7, .hidden = {6, 5}, .latent_width = 3, .codes = {4, 2, 5}}; }

template <class T, class B>
quantize::rq_vae<B, T> random_model(B& b, quantize::rq_vae_config const& c, std::uint64_t seed = 3) {
  quantize::rq_vae<B, T> model(b, c);
  random_stream random(seed, 0);
  fill(model.parameters(), [&](host_vector_view<T> values) {
    for (index_t i = 0; i < values.size(); ++i) values(i) = mql4grec::constant<T>(0.6 * random.normal());
  });
  return model;
}

/// Options for full-batch training without revival of codes.
quantize::rq_vae_trainer_options plain(index_t rows) {
  return {.learning_rate = 1e-2, .epsilons = {}, .batch_size = rows, .revive_after = 0};
}

/// The loss by its formulas, for any Field, with given codes and constants (sg).
template <class T>
T loss_by_formula(quantize::rq_vae_config const& c, vector<T> const& flat, matrix<double> const& x,
                  in_matrix<reference::backend, double> fixed_residuals, in_matrix<reference::backend, code_t> codes,
                  std::vector<double> const& fixed_parameters) {
  reference::backend b;
  auto const layout = quantize::rq_vae_layout(c);
  auto const w = quantize::rq_vae_windows(c, layout, view<T const, host_space, 1>(flat));
  auto const constants = quantize::rq_vae_windows(
      c, layout, view<double const, host_space, 1>(fixed_parameters.data(), std::ssize(fixed_parameters)));
  auto const wide = as<T>(x);
  index_t const n = x.rows(), width = c.latent_width;
  auto encoded = poisoned<T>(b, {n, width}), through = poisoned<T>(b, {n, width}),
       decoded = poisoned<T>(b, x.extents());
  scratch_scope<reference::backend> const scope(b.scratch());
  nn::mlp_forward<T, reference::backend>(b, w.encoder, wide, encoded);
  auto const z = *encoded;
  T quantization{};
  for (index_t i = 0; i < n; ++i)
    for (index_t j = 0; j < width; ++j) {
      T sum = z(i, j), rest = z(i, j);
      double chosen = 0;
      for (index_t l = 0; l < c.levels(); ++l) {
        auto const code = index(codes(l, i));
        auto const level = static_cast<std::size_t>(l);
        T const v = w.codebooks[level](code, j);
        double const r_fixed = fixed_residuals(l * n + i, j), v_fixed = constants.codebooks[level](code, j);
        quantization += (v - mql4grec::constant<T>(r_fixed)) * (v - mql4grec::constant<T>(r_fixed));
        T const distance = c.commit == quantize::commitment::all_levels || l == 0
                               ? rest - mql4grec::constant<T>(v_fixed)
                               : mql4grec::constant<T>(r_fixed - v_fixed);
        quantization += mql4grec::constant<T>(c.beta) * distance * distance;
        rest -= mql4grec::constant<T>(v_fixed);
        chosen += v_fixed;
      }
      double const z_fixed = fixed_residuals(i, j);
      (*through)(i, j) = sum + mql4grec::constant<T>(chosen - z_fixed);  // straight-through estimate
    }
  nn::mlp_forward<T, reference::backend>(b, w.decoder, through, decoded);
  T const error = squared_error_forward<T>(b, decoded, wide);
  double const rows = static_cast<double>(n);
  return error * mql4grec::constant<T>(1 / (rows * static_cast<double>(c.input_width))) +
         quantization * mql4grec::constant<T>(c.quant_weight / (rows * static_cast<double>(width * c.levels())));
}
}  // namespace

TEST_CASE("RQ-VAE: the gradient is the derivative of the loss with the stop-gradient terms constant") {
  for (auto const commit : {quantize::commitment::first_level, quantize::commitment::all_levels}) {
    auto c = small();
    c.commit = commit;
    c.quant_weight = 0.7;
    reference::backend b;
    auto model = random_model<double>(b, c);
    auto const x = random_normal({9, 7}, 5);
    quantize::rq_vae_trainer trainer(b, model, plain(9));
    auto const losses = trainer.losses_and_gradient(x);
    std::vector<double> residuals;
    for (index_t l = 0; l < c.levels(); ++l)
      residuals.insert(residuals.end(), trainer.residual(l).data, trainer.residual(l).data + 27);
    matrix<double> const fixed({9 * c.levels(), 3}, residuals);
    std::vector<double> const fixed_parameters(model.parameters().data,
                                               model.parameters().data + model.parameters().size());
    auto const f = [&](auto const& flat) {
      return loss_by_formula(c, flat, x, fixed, trainer.codes(), fixed_parameters);
    };
    CHECK_CLOSE(f(vector<double>(fixed_parameters)), losses.total, 1e-12);
    CHECK(gradient_error(f, vector<double>(fixed_parameters),
                         std::span(trainer.gradient().data, fixed_parameters.size())) < 1e-12);
  }
}

TEST_CASE("RQ-VAE: names and shapes are those of the released code's state dict") {
  auto const layout = quantize::rq_vae_layout(small());
  CHECK(layout.find("encoder.mlp_layers.1.weight").shape() == std::vector<index_t>{6, 7});
  CHECK(layout.find("encoder.mlp_layers.7.weight").shape() == std::vector<index_t>{3, 5});
  CHECK(layout.find("decoder.mlp_layers.1.bias").shape() == std::vector<index_t>{5});
  CHECK(layout.find("rq.vq_layers.2.embedding.weight").shape() == std::vector<index_t>{5, 3});
  CHECK(layout.entries().size() == 2 * 3 * 2 + 3);
  CHECK(layout.decayed() == layout.size());
}

TEST_CASE("RQ-VAE: weights start Xavier-normal, biases at zero, determined by the seed") {
  cpu::backend b;
  quantize::rq_vae<cpu::backend, float> one(b, {.input_width = 200, .hidden = {100}, .latent_width = 8, .codes = {16}});
  quantize::rq_vae<cpu::backend, float> other(b, one.config());
  quantize::initialize(one, 1);
  quantize::initialize(other, 1);
  CHECK(std::ranges::equal(as_span(one.parameters()), as_span(other.parameters())));
  auto const& w = one.weights().encoder.front();
  double squares = 0;
  for (index_t i = 0; i < w.weight.size(); ++i)
    squares += static_cast<double>(w.weight.data[i]) * static_cast<double>(w.weight.data[i]);
  CHECK_CLOSE(squares / static_cast<double>(w.weight.size()), 2. / 300, 2e-4);
  CHECK_CLOSE(w.bias, constant(100, 0.f), 0);
  quantize::initialize(other, 2);
  CHECK_FALSE(std::ranges::equal(as_span(one.parameters()), as_span(other.parameters())));
}

TEST_CASE("RQ-VAE: an invalid shape is refused with the number that is out of range") {
  CHECK_THROWS_WITH_AS(quantize::validate(quantize::rq_vae_config{}),
                       "RQ-VAE: a layer of width 0, expected 1 to 1048576", error);
  CHECK_THROWS_WITH_AS(quantize::validate(quantize::rq_vae_config{.input_width = 3, .codes = {}}),
                       "RQ-VAE: 0 levels, expected 1 to 26", error);
  CHECK_THROWS_WITH_AS(quantize::validate(quantize::rq_vae_config{.input_width = 3, .codes = {4, 0}}),
                       "RQ-VAE: a level of 0 codes, expected 1 to 1048576", error);
}

TEST_CASE("RQ-VAE training: the same seed and number of workers give the same bits") {
  auto const run = [] {
    cpu::backend b(2);
    auto model = random_model<float>(b, small());
    quantize::rq_vae_trainer trainer(
        b, model, {.learning_rate = 1e-2, .epsilons = {0, 0, 0.05}, .batch_size = 40, .revive_after = 2});
    auto const x = random_normal<float>({40, 7}, 5);
    for (int i = 0; i < 12; ++i) trainer.step(x);
    return std::vector<float>(model.parameters().data, model.parameters().data + model.parameters().size());
  };
  CHECK(run() == run());
}

TEST_CASE_TEMPLATE("RQ-VAE training: shards have the losses and the gradient of a batch as a whole", B,
                   MQL4GREC_TEST_BACKENDS) {
  for (auto const mode : {quantize::quantize_mode::quantize, quantize::quantize_mode::bypass})
    for (index_t const shards : {1, 3, 12}) {  // some of twelve have no rows
      B b;
      auto model = random_model<double>(b, small());
      auto options = plain(9);
      options.epsilons = {0, 0, 0.05};
      quantize::rq_vae_trainer whole(b, model, options);
      options.gradient_shards = shards;
      quantize::rq_vae_trainer shared(b, model, options);
      auto const x = on(b, random_normal({9, 7}, 5));
      auto const expected = whole.losses_and_gradient(x, mode), actual = shared.losses_and_gradient(x, mode);
      CHECK_CLOSE(actual.reconstruction, expected.reconstruction, 1e-12);
      CHECK_CLOSE(actual.quantization, expected.quantization, 1e-12);
      CHECK_CLOSE(shared.gradient(), whole.gradient(), 1e-12);
    }
}

namespace {
struct shared_result {
  std::vector<float> parameters;
  std::vector<double> losses;
  std::vector<std::int32_t> idle;
  bool operator==(shared_result const&) const = default;
};
}  // namespace

TEST_CASE("RQ-VAE training: with shards, any number of ranks and of workers gives the same bits") {
  auto const trained_on = [](auto& b, train::host_communicator const& ranks, bool own_rows_only) {
    using B = std::remove_reference_t<decltype(b)>;
    auto model = random_model<float>(b, small());
    quantize::rq_vae_trainer trainer(
        b, model,
        {.learning_rate = 1e-2, .epsilons = {0, 0, 0.05}, .batch_size = 40, .revive_after = 2, .gradient_shards = 6},
        ranks);
    shared_result out;
    index_t revived = 0;
    for (index_t i = 0; i < 12; ++i) {
      auto const x = random_normal<float>({i % 3 == 2 ? 5 : 40, 7}, 5 + static_cast<std::uint64_t>(i));
      auto const on_device = on(b, x);
      in_matrix<B, float> const all = on_device;
      auto const own = trainer.own_rows(x.rows());
      auto const mode = i < 2 ? quantize::quantize_mode::bypass : quantize::quantize_mode::quantize;
      auto const losses =
          own_rows_only ? trainer.step(all.row_block(own.first, own.count), mode, x.rows()) : trainer.step(all, mode);
      out.losses.insert(out.losses.end(), {losses.reconstruction, losses.quantization, losses.total});
      revived += losses.revived;
    }
    CHECK(revived > 0);
    out.parameters = fetched(std::as_const(model).parameters()).values;
    out.idle = fetched(std::as_const(trainer).idle()).values;
    return out;
  };
  auto const trained = [&](index_t workers, train::host_communicator const& ranks, bool own_rows_only) {
    cpu::backend b(workers);
    return trained_on(b, ranks, own_rows_only);
  };
  auto const alone = trained(1, {}, false);
  CHECK(trained(3, {}, false) == alone);
  for (index_t const ranks : {1, 2, 3, 4, 6})
    train::run_on_threads(ranks, [&](train::host_communicator communicator) {
      CHECK(trained(1 + communicator.rank() % 2, communicator, ranks % 2 == 0) == alone);
    });
  CHECK_THROWS_WITH_AS(train::run_on_threads(7, [&](auto const& ranks) { (void)trained(1, ranks, true); }),
                       "training: 6 gradient_shards for 7 ranks, expected at least one for each", error);
#if MQL4GREC_HAS_THRUST && !defined(__CUDACC__)
  auto const on_gpus = [&](train::host_communicator const& ranks) {
    gpu::backend<gpu::omp> b;
    return trained_on(b, ranks, true);
  };
  auto const on_one_gpu = on_gpus({});
  train::run_on_threads(2, [&](train::host_communicator const& ranks) { CHECK(on_gpus(ranks) == on_one_gpu); });
#endif
}

TEST_CASE_TEMPLATE("RQ-VAE training: a code that is no row's nearest moves to the row with the highest error", B,
                   MQL4GREC_TEST_BACKENDS) {
  B b;
  quantize::rq_vae_config const c{.input_width = 2, .hidden = {}, .latent_width = 2, .codes = {3}};
  quantize::rq_vae<B, double> model(b, c);
  fill(model.parameters(), [&](host_vector_view<double> values) {
    auto const w = quantize::rq_vae_windows(c, model.layout(), values);
    for (index_t i = 0; i < 2; ++i)
      w.encoder[0].weight(i, i) = w.decoder[0].weight(i, i) = 1;  // encoder and decoder are the identity
    w.codebooks[0](1, 0) = w.codebooks[0](1, 1) = w.codebooks[0](2, 0) = w.codebooks[0](2, 1) =
        1000;  // far from all rows
  });
  auto const codebook = model.codebook(0);
  quantize::rq_vae_trainer trainer(b, model,
                                   {.learning_rate = 1e-9,
                                    .optimizer = {.weight_decay = 0, .clip_norm = 0},
                                    .epsilons = {},
                                    .batch_size = 4,
                                    .revive_after = 3});
  auto const x = on(b, matrix<double>{{0, 0}, {5, 0}, {0, 7}, {1, 1}});
  CHECK(trainer.step(x).revived == 0);
  CHECK(trainer.step(x).revived == 0);
  CHECK(trainer.step(x).revived == 2);
  CHECK_CLOSE(codebook.row(1), vector{0., 7.}, 1e-6);  // the worst row, then the second worst
  CHECK_CLOSE(codebook.row(2), vector{5., 0.}, 1e-6);
  CHECK(trainer.step(x).revived == 0);
}

namespace {
struct training_trace {
  std::vector<double> losses;
  numbers parameters, codes;
};

template <class B>
training_trace learn(B b) {
  auto model = random_model<double>(b, small());
  quantize::rq_vae_trainer trainer(
      b, model, {.learning_rate = 1e-2, .epsilons = {0, 0, 0.05}, .batch_size = 40, .revive_after = 2});
  auto const x = on(b, random_normal({40, 7}, 5));
  training_trace out;
  for (int i = 0; i < 8; ++i)
    out.losses.push_back(
        trainer.step(x, i < 2 ? quantize::quantize_mode::bypass : quantize::quantize_mode::quantize).total);
  out.parameters = numbers_of(model.parameters());
  out.codes = numbers_of(trainer.codes());
  return out;
}
}  // namespace

TEST_CASE_TEMPLATE("RQ-VAE training: every backend has the losses, codes and parameters of the reference", B,
                   MQL4GREC_TEST_BACKENDS) {
  auto const expected = learn(reference::backend()), actual = learn(B());
  CHECK_CLOSE(actual.losses, expected.losses, 1e-10);
  CHECK_CLOSE(actual.codes, expected.codes, 0);
  CHECK_CLOSE(actual.parameters, expected.parameters, 1e-8);
}

TEST_CASE("RQ-VAE training: a loss that isn't finite is a training_error and changes nothing") {
  cpu::backend b;
  auto model = random_model<float>(b, small());
  quantize::rq_vae_trainer trainer(b, model, plain(3));
  auto x = random_normal<float>({3, 7}, 1);
  x.values[4] = NAN;
  std::vector<float> const before(model.parameters().data, model.parameters().data + model.parameters().size());
  CHECK_THROWS_AS(trainer.step(x), training_error);
  CHECK(std::ranges::equal(before, as_span(model.parameters())));
}
