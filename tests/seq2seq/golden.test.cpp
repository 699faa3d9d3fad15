// Comparison with transformers. tests/golden/README.md documents how the numbers were made: in float64, stored as
// float32.
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <string>
#include <utility>
#include <vector>

#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/backend/reference/reference.hpp"
#include "mql4grec/optim/adamw.hpp"
#include "mql4grec/seq2seq/checkpoint.hpp"
#include "mql4grec/seq2seq/pass.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;

namespace {

/// How far each number may be off, relative to max(1, its size). Double: the rounding of the kept numbers, 6e-8.
/// Float: some times what it and transformers lose in float32 (measured: 5e-6 in logits and steps, 3e-6 in gradients).
struct precise {
  using backend = reference::backend;
  using scalar = double;
  static constexpr double logits = 1e-7, loss = 1e-7, gradient = 1e-7, steps = 1e-7;
};
struct fast {
  using backend = cpu::backend;
  using scalar = float;
  static constexpr double logits = 2e-5, loss = 2e-6, gradient = 2e-5, steps = 5e-5;
};

template <class Setting>
class golden_case {
 public:
  using B = typename Setting::backend;
  using T = typename Setting::scalar;

  explicit golden_case(std::filesystem::path const& directory)
      : model(seq2seq::read_model<T>(backend, directory)),
        file(directory / "golden.safetensors"),
        gradients(model.layout().size()),
        pass(backend, model) {
    take_sequences("encoder", questions.inputs, questions.input_offsets);
    take_sequences("target", questions.targets, questions.target_offsets);
  }

  std::vector<T> logits() {
    std::vector<T> out(questions.targets.size() * static_cast<std::size_t>(model.config().vocabulary));
    pass.logits(questions, everything(),
                host_matrix_view<T>(out.data(), std::ssize(questions.targets), model.config().vocabulary));
    return out;
  }
  double mean_loss() { return static_cast<double>(pass.loss(questions, everything())) * weight(); }
  double mean_loss_and_gradient() {
    fill(gradients.view_all(), T(0));
    auto const windows = seq2seq::t5_windows(model.config(), model.layout(), gradients.view_all());
    return static_cast<double>(
               pass.loss_and_gradient(questions, everything(), {}, {.sum = windows, .scale = weight()})) *
           weight();
  }
  host_vector_view<T const> gradient(nn::parameter const& p) const {
    return gradients.view_all().part(p.offset, p.size());
  }
  double norm() {
    return std::sqrt(static_cast<double>(sum_of_squares<T>(backend, std::as_const(gradients).view_all())));
  }

  B backend;
  seq2seq::t5<B, T> model;
  safetensors file;
  tasks::batch questions;
  buffer<T, host_space> gradients;
  seq2seq::t5_pass<B, T> pass;

 private:
  tasks::micro_batch everything() const { return {0, questions.size()}; }
  double weight() const { return 1.0 / static_cast<double>(questions.targets.size()); }
  void take_sequences(std::string const& name, std::vector<token_t>& tokens, std::vector<index_t>& offsets) const {
    for (auto const id : file.values<std::int32_t>(name + "_tokens")) tokens.push_back(token_t{id});
    offsets = file.values<index_t>(name + "_offsets");
  }
};

template <class Visit>
void for_each_golden_case(Visit&& visit) {
  int found = 0;
  for (auto const& entry : std::filesystem::directory_iterator(MQL4GREC_TEST_GOLDEN_DIR)) {
    if (!entry.path().filename().string().starts_with("t5_")) continue;
    CAPTURE(entry.path().filename().string());
    ++found;
    visit(entry.path());
  }
  CHECK(found == 5);
}

}  // namespace

TEST_CASE_TEMPLATE("golden: logits equal transformers'", Setting, precise, fast) {
  for_each_golden_case([](auto const& directory) {
    golden_case<Setting> mine(directory);
    CHECK_CLOSE(mine.logits(), mine.file.template values<float>("logits"), Setting::logits);
  });
}

TEST_CASE_TEMPLATE("golden: the loss equals transformers', with and without a gradient", Setting, precise, fast) {
  for_each_golden_case([](auto const& directory) {
    golden_case<Setting> mine(directory);
    double const expected = mine.file.template values<double>("loss").at(0);
    CHECK_CLOSE(mine.mean_loss(), expected, Setting::loss);
    CHECK_CLOSE(mine.mean_loss_and_gradient(), expected, Setting::loss);
  });
}

TEST_CASE_TEMPLATE("golden: the gradient of every parameter and the total norm equal transformers'", Setting, precise,
                   fast) {
  for_each_golden_case([](auto const& directory) {
    golden_case<Setting> mine(directory);
    mine.mean_loss_and_gradient();
    auto const& parameters = mine.model.layout().entries();
    for (auto const& p : parameters) {
      CAPTURE(p.name);
      auto const expected = mine.file.template values<double>("grad." + p.name);
      CHECK_CLOSE(mine.gradient(p), expected, Setting::gradient);
    }
    auto const names = mine.file.names();
    CHECK(std::ranges::count_if(names, [](auto const& name) { return name.starts_with("grad."); }) ==
          std::ssize(parameters));
    CHECK_CLOSE(mine.norm(), mine.file.template values<double>("grad_norm").at(0), Setting::gradient);
  });
}

TEST_CASE_TEMPLATE("golden: the losses of ten clipped AdamW steps equal transformers'", Setting, precise, fast) {
  for_each_golden_case([](auto const& directory) {
    golden_case<Setting> mine(directory);
    using T = typename Setting::scalar;
    optim::adamw const how{.weight_decay = 0.01, .clip_norm = 1};
    optim::adamw_state<typename Setting::backend, T> state(mine.backend, mine.model.layout().size());
    std::vector<double> losses;
    for (int step = 0; step < 10; ++step) {
      losses.push_back(mine.mean_loss_and_gradient());
      optim::update<T>(mine.backend, how, {1e-2, mine.norm()}, mine.model.layout(),
                       {std::as_const(mine.gradients).view_all(), mine.model.parameters(), state});
    }
    CHECK_CLOSE(losses, mine.file.template values<double>("adamw_losses"), Setting::steps);
  });
}
