// An evaluation with progress, the baselines, the report.
#include "evaluation.hpp"

#include <algorithm>
#include <chrono>

#include "mql4grec/catalog/item_images.hpp"
#include "mql4grec/rank/markov.hpp"
#include "mql4grec/rank/popularity.hpp"
#include "mql4grec/seq2seq/checkpoint.hpp"
#include "ranks.hpp"
#include "report/text.hpp"
#include "signals.hpp"
#include "training.hpp"
#include "training_bar.hpp"
#include "warnings.hpp"

namespace mql4grec::program {

pipeline::evaluation evaluate_with_progress(compute const& compute, evaluation_inputs const& inputs,
                                            progress_log& log) {
  auto const file = inputs.model / "config.json";
  auto const config = seq2seq::read_t5_config(file);
  auto const words = inputs.metadata.vocab.size();
  expects_file(config.vocabulary >= words, file, "vocab_size is ", config.vocabulary, ", expected at least the ", words,
               " tokens of the vocabulary");
  auto started = std::chrono::steady_clock::now();
  auto options = inputs.options;
  options.progress = [&](index_t users, index_t all) {
    if (users == 0) {  // everything has been read
      started = std::chrono::steady_clock::now();
      return log.begin();
    }
    leave_if_interrupted(options.ranks);
    double const seconds =
        std::max(1e-9, std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
    double const rate = static_cast<double>(users) / seconds,
                 left = static_cast<double>(all - users) / std::max(rate, 1e-9);
    log.bar("evaluating " + inputs.data.name,
            static_cast<double>(users) / static_cast<double>(std::max<index_t>(1, all)),
            fixed(rate, rate < 10 ? 1 : 0) + " users/s  " + clock_time(left) + " left");
  };
  return compute.evaluate(
      {.model = inputs.model, .metadata = inputs.metadata, .data = inputs.data, .options = options});
}

std::optional<metrics::metric_values> evaluate_ranker(tasks::dataset const& data,
                                                      pipeline::evaluation_options const& options,
                                                      user_ranker const& rank_for) {
  metrics::metric_accumulator metrics(options.at);
  for (auto const user : catalog::evaluated_users(data.interactions, options.part)) {
    if (metrics.users() >= options.users) break;
    metrics.add(metrics::place_of(rank_for(user), catalog::target(data.interactions, user, options.part)));
  }
  return metrics.users() > 0 ? std::optional(metrics.mean()) : std::nullopt;
}

std::optional<metrics::metric_values> evaluate_popularity(tasks::dataset const& data,
                                                          pipeline::evaluation_options const& options) {
  auto const list = rank::popularity(data.interactions, options.search.beams);
  return evaluate_ranker(data, options, [&](user_id) { return list; });
}

std::optional<metrics::metric_values> evaluate_markov(tasks::dataset const& data,
                                                      pipeline::evaluation_options const& options) {
  rank::markov_chain const chain(data.interactions, options.search.beams);
  return evaluate_ranker(data, options, [&](user_id user) {
    return chain.rank_after(catalog::history(data.interactions, user, options.part, 1).back());
  });
}

sasrec_metrics evaluate_sasrec(compute const& compute, evaluation_inputs const& inputs, sasrec::run_options run,
                               progress_log& log) {
  auto const& data = inputs.data.interactions;
  auto users = catalog::evaluated_users(data, inputs.options.part);
  users.resize(std::min(users.size(), to_size(inputs.options.users)));
  if (users.empty()) return {};
  run.resume = true;
  sasrec::history_list histories;
  for (auto const user : users)
    histories.push_back(catalog::history(data, user, inputs.options.part, run.model.positions));
  training_bar bar(log, "histories", run.training.epochs, run.limits.max_seconds);
  sasrec::run_observer const observer{
      .on_step =
          [&](auto const& p, double loss, std::int64_t steps) {
            bar.draw(p, {.seen = p.step * run.training.batch_size, .steps_per_epoch = steps, .loss = fixed(loss, 4)});
          },
      .on_epoch =
          [&](auto const& p, bool better) {
            auto const& last = p.history.back();
            log.milestone("SASRec " + bar.epoch_text(p.epoch) + ": train loss " + fixed(last.train_loss, 4) +
                          ", valid NDCG@10 " + fixed(last.valid_ndcg, 4) + (better ? " (best)" : "") + ", " +
                          clock_time(last.seconds) + " in all");
          },
      .interrupted = interrupted,
      .on_changed_settings =
          [&](auto const& changes) { log.warn(run.out.string() + ": trained with other settings: " + changes); }};
  auto const found = compute.rank_by_sasrec(
      {.run = run, .interactions = data, .histories = histories, .k = inputs.options.search.beams}, observer);
  leave_if_interrupted(inputs.options.ranks);
  std::size_t next = 0;
  return {.evaluated = evaluate_ranker(inputs.data, inputs.options, [&](user_id) { return found.lists.at(next++); }),
          .valid_ndcg = found.trained.progress.best_ndcg};
}

std::vector<std::filesystem::path> pictures_in(std::filesystem::path const& images,
                                               std::filesystem::path const& dataset) {
  auto const content = pipeline::read_item_content(dataset);
  return catalog::match_images(images, {content.items, content.raw_ids}).of_item;
}

report_page evaluation_report_of(evaluation_inputs const& inputs, pipeline::evaluation const& found,
                                 std::vector<metric_row> rows, std::vector<std::filesystem::path> pictures) {
  evaluation_report_inputs shown{.data = inputs.data,
                                 .model = inputs.model,
                                 .found = found,
                                 .options = inputs.options,
                                 .vocab = inputs.metadata.vocab,
                                 .rows = std::move(rows),
                                 .pictures = std::move(pictures)};
  try {
    shown.training = saved_progress(inputs.model);
  } catch (file_error const&) {  // a damaged state is no reason to lose the evaluation: the page has no curves then
  }
  return evaluation_report(std::move(shown));
}

}  // namespace mql4grec::program
