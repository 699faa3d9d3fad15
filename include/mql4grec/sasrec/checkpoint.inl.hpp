#pragma once
// Definitions of what sasrec/checkpoint.hpp declares and isn't a template.
#include <algorithm>
#include <memory>
#include <utility>

#include "mql4grec/catalog/checksum.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/sasrec/checkpoint.hpp"

namespace mql4grec::sasrec {

MQL4GREC_DEFINITION void to_json(json& out, training_progress const& p) {
  auto history = json::array();
  for (auto const& r : p.history)
    history.push_back({{"train_loss", r.train_loss},
                       {"valid_ndcg", r.valid_ndcg},
                       {"learning_rate", r.learning_rate},
                       {"seconds", r.seconds}});
  out = json{{"epoch", p.epoch},
             {"epoch_step", p.epoch_step},
             {"step", p.step},
             {"epoch_loss", p.epoch_loss},
             {"epoch_targets", p.epoch_targets},
             {"best_ndcg", p.best_ndcg},
             {"best_epoch", p.best_epoch},
             {"seconds", p.seconds},
             {"finished", p.finished},
             {"history", std::move(history)}};
}

MQL4GREC_DEFINITION void from_json(json const& in, training_progress& p) {
  in.at("epoch").get_to(p.epoch);
  in.at("epoch_step").get_to(p.epoch_step);
  in.at("step").get_to(p.step);
  in.at("epoch_loss").get_to(p.epoch_loss);
  in.at("epoch_targets").get_to(p.epoch_targets);
  in.at("best_ndcg").get_to(p.best_ndcg);
  in.at("best_epoch").get_to(p.best_epoch);
  in.at("seconds").get_to(p.seconds);
  in.at("finished").get_to(p.finished);
  p.history.clear();
  for (auto const& r : in.at("history"))
    p.history.push_back({.train_loss = r.at("train_loss"),
                         .valid_ndcg = r.at("valid_ndcg"),
                         .learning_rate = r.at("learning_rate"),
                         .seconds = r.at("seconds")});
}

MQL4GREC_DEFINITION std::string text_of(training_progress const& p) { return json(p).dump(); }

/// The configuration by the keys of config.json.
MQL4GREC_DEFINITION json config_json(sasrec_config const& c) {
  return {{"model_type", "sasrec"},  {"items", c.items}, {"positions", c.positions},     {"width", c.width},
          {"layers", c.layers},      {"heads", c.heads}, {"inner_width", c.inner_width}, {"epsilon", c.epsilon},
          {"deviation", c.deviation}};
}

/// The condition of a run that is about its data.
inline constexpr char const* data_condition = "users_and_items";

MQL4GREC_DEFINITION std::map<std::string, std::string> resume_reasons() {
  return {{data_condition, "checksums of all histories, their split and the training users"}};
}

MQL4GREC_DEFINITION train::run_description describe(training_options const& o, sasrec_config const& c,
                                                    catalog::interactions const& data,
                                                    train::backend_settings const& backend, index_t threads) {
  json conditions{{"model", config_json(c)}, {"users", data.users()},      {"interactions", data.items.size()},
                  {"epochs", o.epochs},      {"batch_size", o.batch_size}, {"learning_rate", o.learning_rate},
                  {"warmup", o.warmup},      {"dropout", o.dropout},       {"patience", o.patience},
                  {"seed", o.seed}};
  train::add_conditions(conditions, o.optimizer, o.hidden_optimizer);
  if (data.time) conditions["until"] = data.time->until;
  if (!data.is_trained.empty()) conditions["training_users"] = std::ranges::count(data.is_trained, 1);
  conditions[data_condition] = catalog::checksum_of(data);
  json settings = backend;
  settings["block_items"] = o.block_items;
  settings["threads"] = threads;
  return {std::make_shared<json const>(std::move(conditions)), std::make_shared<json const>(std::move(settings))};
}

MQL4GREC_DEFINITION void write_config(std::filesystem::path const& path, sasrec_config const& c) {
  write_json(path, config_json(c));
}

MQL4GREC_DEFINITION sasrec_config read_config(std::filesystem::path const& path) {
  auto const read = read_json(path);
  sasrec_config c;
  try {
    expects_file(read.at("model_type") == "sasrec", path, "model_type is ", core::detail::shown(read.at("model_type")),
                 ", expected \"sasrec\"");
    c = {.items = read.at("items"),
         .positions = read.at("positions"),
         .width = read.at("width"),
         .layers = read.at("layers"),
         .heads = read.at("heads"),
         .inner_width = read.at("inner_width"),
         .epsilon = read.at("epsilon"),
         .deviation = read.at("deviation")};
  } catch (json::exception const& e) {
    raise<file_error>(path.string(), ": ", e.what());
  }
  try {
    validate(c);
  } catch (file_error const&) {
    throw;
  } catch (error const& e) {
    raise<file_error>(path.string(), ": ", e.what());
  }
  return c;
}

}  // namespace mql4grec::sasrec
