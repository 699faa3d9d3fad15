// The first three epochs beside the authors' own log: the text task alone, their batch size, schedule and size of the
// vocabulary. Equal losses are not to be expected, since the codes and the order of examples differ; a gross
// fault in the model, the loss or the optimizer would be seen.
#include <cmath>
#include <memory>

#include "commands/signals.hpp"
#include "experiments.hpp"
#include "mql4grec/language/read.hpp"
#include "mql4grec/mql4grec.hpp"
#include "mql4grec/pipeline/dataset.hpp"

namespace mql4grec::experiments {

namespace {

constexpr index_t updates_between_logs = 20, logged_updates = 80, epochs = 3, batch_size = 1024;

/// Figure 3 of the authors' README: Instruments, text alone.
struct logged_value {
  char const* curve;
  index_t at;  ///< epoch, or update
  double authors;
};
constexpr std::array<logged_value, 11> log_of_the_authors = {{
    {"validation loss", 1, 7.485},
    {"validation loss", 2, 6.289},
    {"validation loss", 3, 5.363},
    {"training loss", 20, 10.106},
    {"training loss", 40, 8.870},
    {"training loss", 60, 8.431},
    {"training loss", 80, 7.988},
    {"gradient norm", 20, 1.362},
    {"gradient norm", 40, 0.505},
    {"gradient norm", 60, 0.681},
    {"gradient norm", 80, 1.043},
}};

/// The tokens of T5's own tokenizer come first, as in the released code; then the tokens that the text index uses. The
/// authors' vocabulary has 32,919 tokens.
constexpr index_t words_of_t5 = 32'100;

language::vocabulary vocabulary_after_t5(tasks::dataset const& data, language::vocabulary const& plain) {
  std::map<std::string, token_t> words;  // in alphabetical order, as the released code adds them
  for (auto const token : data.table(language::modality::text).tokens()) words.emplace(plain.text(token), token_t{});
  std::unordered_map<std::string, token_t> ids;
  index_t next = words_of_t5;
  for (auto const& [word, id] : words) ids.emplace(word, token_t(next++));
  return language::vocabulary(plain.options(), ids);
}

tasks::mixture text_without_prompt() {
  auto mix = tasks::released_next_only();
  mix.tasks.erase(mix.tasks.begin() + 1, mix.tasks.end());
  mix.queries.erase(mix.queries.begin() + 1, mix.queries.end());
  return mix;
}

/// curve and place → our value.
using curves = std::map<std::pair<std::string, index_t>, double>;

curves first_epochs(lab const& l, index_t seed) {
  auto const vocab = vocabulary_after_t5(l.target(), l.vocab());
  auto data = l.target();  // with text tokens alone, numbered by the other vocabulary
  data.tokens = {language::read_token_table(
      pipeline::index_path(catalog::dataset_paths(l.target_path()), language::modality::text), vocab,
      language::modality::text, data.interactions.item_count)};
  auto const mix = text_without_prompt();
  tasks::training_set const train_set(mix, {data}, vocab);
  tasks::validation_set const valid_set(mix, {data}, vocab);

  cpu::backend backend(l.options().common.threads);
  auto options = seq2seq::paper_recipe();
  options.batch_size = batch_size;
  options.seed = static_cast<std::uint64_t>(seed);
  t5<cpu::backend, float> model(backend, {.vocabulary = vocab.size()});
  seq2seq::initialize(model, options.seed);
  seq2seq::trainer<cpu::backend, float> trainer(backend, model, options);
  seq2seq::t5_learner learner(trainer, train_set, valid_set);

  curves out;
  double sum = 0;
  seq2seq::training_progress progress;
  auto const on_step = [&](auto const& p, double loss, std::int64_t) {
    sum += loss;
    if (p.step % updates_between_logs == 0 && p.step <= logged_updates) {
      out[{"training loss", p.step}] = sum / updates_between_logs;
      out[{"gradient norm", p.step}] = std::sqrt(sum_of_squares<float>(backend, trainer.gradient()));
    }
    if (p.step % updates_between_logs == 0) sum = 0;
    l.log().bar("epoch " + std::to_string(p.epoch + 1) + "/" + std::to_string(epochs),
                static_cast<double>(p.step) / static_cast<double>(epochs * learner.steps_per_epoch()), "");
  };
  auto const on_epoch = [&](auto const& p, bool) { out[{"validation loss", p.epoch}] = p.history.back().valid_loss; };
  auto const should_stop = [&](auto const& p) {
    program::leave_if_interrupted();
    return p.epoch == epochs;
  };
  train::run_epochs(learner, progress, {.on_step = on_step, .on_epoch = on_epoch, .should_stop = should_stop});
  out[{"words", 0}] = static_cast<double>(vocab.size());
  return out;
}

/// Throws error for data that the authors' figures aren't of, and for options that the training doesn't follow: it is
/// in fp32 on the CPU.
void check_comparable(lab const& l) {
  auto const name = catalog::dataset_paths(l.target_path()).name();
  expects(name == "Instruments" && !l.built_in(), "early: the authors' figures are of Instruments, not of ",
          l.built_in() ? "the built-in catalog" : name);
  expects(l.options().users == 0, "early: the authors' figures are of all users; leave --users out");
  auto const& common = l.options().common;
  expects(common.backend == "cpu", "early: --backend ", common.backend, ", but the training is on the CPU");
  expects(common.precision.empty() || common.precision == "fp32", "early: --precision ", common.precision,
          ", but the training is in fp32");
  expect_whole_models(l, "early");
}

std::vector<planned_row> plan(lab& l) {
  check_comparable(l);
  std::vector<planned_row> rows;
  for (auto const& seed : l.seeds()) {
    auto const found = std::make_shared<curves>();
    for (auto const& value : log_of_the_authors)
      rows.push_back({.key = {value.curve, std::to_string(value.at), seed},
                      .examples = value.curve == log_of_the_authors[0].curve ? 2.0 * 84 * batch_size : 0,
                      .measure = [&l, &value, seed, found] {
                        if (found->empty()) *found = first_epochs(l, std::stoi(seed));
                        double const ours = found->contains({value.curve, value.at})
                                                ? found->at({value.curve, value.at})
                                                : std::nan("");
                        return row_result{.values = {{"ours", ours},
                                                     {"authors", value.authors},
                                                     {"ratio", ours / value.authors},
                                                     {"words", found->at({"words", 0})}}};
                      }});
  }
  return rows;
}

}  // namespace

experiment early_check() {
  return {
      .about = {.name = "early",
                .title = "The first epochs beside the authors' log",
                .question = "Do losses and gradients of the first 249 updates on Instruments lie near those that the "
                            "authors have published?",
                .keys = {"curve", "at", "seed"},
                .measured = {"ours", "authors", "ratio", "words"},
                .plots = {{.kind = "scatter",
                           .title = "Ours and the authors'",
                           .x = "authors",
                           .y = "ours",
                           .series = "curve"}}},
      .plan = plan};
}

}  // namespace mql4grec::experiments
