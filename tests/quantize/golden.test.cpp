// The RQ-VAE equals the one of PyTorch. tests/golden/README.md describes how the numbers were computed: in float64,
// stored as float32.
#include <doctest/doctest.h>

#include <filesystem>
#include <string>

#include "mql4grec/quantize/rq_vae/checkpoint.hpp"
#include "mql4grec/quantize/rq_vae/trainer.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {

/// The tolerance relative to max(1, magnitude): for double, the rounding of the stored numbers; for float, its own
/// rounding.
struct precise {
  using backend = reference::backend;
  using scalar = double;
  static constexpr double tolerance = 1e-6, steps = 1e-6;
};
struct fast {
  using backend = cpu::backend;
  using scalar = float;
  static constexpr double tolerance = 5e-6, steps = 5e-5;
};

std::filesystem::path golden(std::string const& name) {
  return std::filesystem::path(MQL4GREC_TEST_GOLDEN_DIR) / ("rqvae_" + name);
}

template <class Setting>
class golden_case {
 public:
  using B = typename Setting::backend;
  using T = typename Setting::scalar;

  explicit golden_case(std::string const& name, quantize::commitment commit = quantize::commitment::first_level)
      : file(golden(name) / "golden.safetensors"),
        from_file(quantize::read_rq_vae<T>(backend, golden(name) / "model.safetensors")),
        model(backend, configured(from_file.config(), commit)) {
    copy(std::as_const(from_file).parameters(), model.parameters());
    x = file.template values<T>("x");
  }

  in_matrix<B, T> batch() const { return {x.data(), file.info("x").shape[0], file.info("x").shape[1]}; }
  quantize::rq_vae_trainer_options options() const {
    return {.learning_rate = 1e-2,
            .optimizer = {.weight_decay = 1e-4, .clip_norm = 0},
            .epsilons = {},
            .batch_size = batch().rows(),
            .revive_after = 0};
  }
  double number(char const* name) const { return file.template values<double>(name).front(); }

  B backend;
  safetensors file;
  quantize::rq_vae<B, T> from_file, model;
  std::vector<T> x;

 private:
  quantize::rq_vae_config configured(quantize::rq_vae_config c, quantize::commitment commit) const {
    c.quant_weight = number("quant_weight");
    c.beta = number("beta");
    c.commit = commit;
    return c;
  }
};

constexpr char const* names[] = {"equal_levels", "different_levels"};

}  // namespace

TEST_CASE_TEMPLATE("RQ-VAE golden: codes, residuals and losses are PyTorch's", S, precise, fast) {
  for (std::string const name : names) {
    CAPTURE(name);
    golden_case<S> given(name);
    quantize::rq_vae_trainer trainer(given.backend, given.model, given.options());
    auto const losses = trainer.losses_and_gradient(given.batch());
    CHECK_CLOSE(losses.reconstruction, given.number("reconstruction_loss"), S::tolerance);
    CHECK_CLOSE(losses.quantization, given.number("quantization_loss"), S::tolerance);
    CHECK_CLOSE(losses.total, given.number("loss"), S::tolerance);
    CHECK_CLOSE(std::span(trainer.residual(0).data, static_cast<std::size_t>(trainer.residual(0).size())),
                given.file.template values<typename S::scalar>("z"), S::tolerance);
    auto const codes = given.file.template values<std::int32_t>("codes");  // (n, L)
    auto const found = trainer.codes();                                    // (L, n)
    for (index_t i = 0; i < found.columns(); ++i)
      for (index_t l = 0; l < found.rows(); ++l)
        CHECK(index(found(l, i)) == codes[static_cast<std::size_t>(i * found.rows() + l)]);
  }
}

TEST_CASE_TEMPLATE("RQ-VAE golden: every parameter's gradient is PyTorch's, by either rule of commitment", S, precise,
                   fast) {
  for (std::string const name : names)
    for (auto const& [commit, prefix] : {std::pair(quantize::commitment::first_level, "grad."),
                                         std::pair(quantize::commitment::all_levels, "grad_all_levels.")}) {
      golden_case<S> given(name, commit);
      quantize::rq_vae_trainer trainer(given.backend, given.model, given.options());
      trainer.losses_and_gradient(given.batch());
      for (auto const& p : given.model.layout().entries()) {
        CAPTURE(p.name);
        CHECK_CLOSE(trainer.gradient().part(p.offset, p.size()),
                    given.file.template values<typename S::scalar>(prefix + p.name), S::tolerance);
      }
    }
}

TEST_CASE_TEMPLATE("RQ-VAE golden: the losses of ten AdamW steps are PyTorch's", S, precise, fast) {
  for (std::string const name : names) {
    golden_case<S> given(name);
    quantize::rq_vae_trainer trainer(given.backend, given.model, given.options());
    std::vector<double> losses;
    for (int i = 0; i < 10; ++i) losses.push_back(trainer.step(given.batch()).total);
    CHECK_CLOSE(losses, given.file.template values<double>("adamw_losses"), S::steps);
  }
}

TEST_CASE("RQ-VAE golden: the division of a batch among workers doesn't change the results") {
  golden_case<fast> given("equal_levels");
  quantize::rq_vae_trainer single(given.backend, given.model, given.options());
  auto const expected = single.losses_and_gradient(given.batch());
  cpu::backend three(3);
  quantize::rq_vae_trainer shared(three, given.model, given.options());
  CHECK_CLOSE(shared.losses_and_gradient(given.batch()).total, expected.total, 1e-6);
  CHECK_CLOSE(shared.gradient(), single.gradient(), 1e-5);
}
