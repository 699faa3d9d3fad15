#include "evaluation.hpp"

#include <chrono>

#include "gpu.hpp"
#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/rank/popularity.hpp"
#include "mql4grec/seq2seq/checkpoint.hpp"
#include "signals.hpp"

namespace mql4grec::program {

evaluation evaluate_with_progress(std::filesystem::path const& directory, dataset const& data,
                                  model_metadata const& metadata, evaluation_options const& options,
                                  common_options const& common, progress_log& log) {
  auto const config = read_t5_config(directory / "config.json");
  expects_file(config.vocabulary >= metadata.vocab.size(), directory / "config.json", "vocab_size is ",
               config.vocabulary, ", expected at least the ", metadata.vocab.size(), " words of the vocabulary");
  auto started = std::chrono::steady_clock::now();
  auto const show = [&](index_t users, index_t all) {
    if (users == 0) {  // everything has been read
      started = std::chrono::steady_clock::now();
      return log.begin();
    }
    leave_if_interrupted();
    double const seconds =
        std::max(1e-9, std::chrono::duration<double>(std::chrono::steady_clock::now() - started).count());
    double const rate = static_cast<double>(users) / seconds,
                 left = static_cast<double>(all - users) / std::max(rate, 1e-9);
    log.bar("evaluating " + data.name, static_cast<double>(users) / static_cast<double>(std::max<index_t>(1, all)),
            fixed(rate, rate < 10 ? 1 : 0) + " users/s  " + clock_time(left) + " left");
  };
  if (on_gpu(common)) return evaluate_on_gpu(directory, data, metadata, options, show, precision_of(common));
  cpu::backend backend(common.threads, precision_of(common));
  frozen_t5 const model(backend, read_model<float>(backend, directory));
  return evaluate(backend, model, metadata, data, options, show);
}

std::optional<metric_values> evaluate_popularity(dataset const& data, evaluation_options const& options) {
  auto const list = popularity(data.interactions, options.search.beams);
  metric_accumulator metrics;
  for (auto const user : evaluated_users(data.interactions)) {
    if (metrics.users() >= options.users) break;
    metrics.add(place_of(list, target(data.interactions, user, options.part)));
  }
  return metrics.users() > 0 ? std::optional(metrics.mean()) : std::nullopt;
}

std::vector<metric_row> rows_of(report const& r) {
  std::vector<metric_row> rows = {{"text", r.text}, {"image", r.image}, {"ensemble", r.ensemble}};
  bool const same = r.text == r.item_text && r.image == r.item_image && r.ensemble == r.item_ensemble;
  if (!same)  // some items share a sequence, or have none
    for (auto const& row :
         {metric_row{"item text", r.item_text}, {"item image", r.item_image}, {"item ensemble", r.item_ensemble}})
      rows.push_back(row);
  return rows;
}

std::string metric_table(std::vector<metric_row> const& rows) {
  auto const right = [](std::string text) {
    return std::string(9 - std::min<std::size_t>(9, text.size()), ' ') + text;
  };
  std::string table(14, ' ');
  for (auto const* name : {"HR@1", "HR@5", "HR@10", "NDCG@5", "NDCG@10"}) table += right(name);
  for (auto const& [name, m] : rows) {
    table += "\n" + name + std::string(14 - std::min<std::size_t>(14, name.size()), ' ');
    for (auto const value : {&metric_values::hit1, &metric_values::hit5, &metric_values::hit10, &metric_values::ndcg5,
                             &metric_values::ndcg10})
      table += right(m ? fixed((*m).*value, 4) : "-");
  }
  return table + "\n";
}

std::string headline(report const& r) {
  return r.dataset + " " + r.split + ": " + grouped(r.users) + " users, " + std::to_string(r.beams) + " beams, " +
         fixed(r.seconds, 1) + " s, " + fixed(r.users_per_second, 1) + " users/s\n";
}

}  // namespace mql4grec::program
