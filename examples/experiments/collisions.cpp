// A catalog that grows while its codes don't: two, five and ten times the items, with real features that are moved a
// little, or with exact copies. Only the original items have interactions; the others are candidates of every search.
#include <cmath>

#include "experiments.hpp"
#include "laws.hpp"
#include "mql4grec/core/random.hpp"
#include "mql4grec/embed/npy_features.hpp"
#include "mql4grec/embed/statistics.hpp"
#include "report/text.hpp"
#include "translations.hpp"

namespace mql4grec::experiments {

namespace {

/// How further items are made from the original ones.
struct addition {
  char const* name;
  double noise;  ///< standard deviation, in that of the features
};
constexpr std::array<addition, 3> additions = {{{"copies", 0}, {"noise .1", 0.1}, {"noise .3", 0.3}}};
constexpr std::array<index_t, 4> growth = {1, 2, 5, 10};

/// The original features, and (times − 1) noisy rows for each.
std::filesystem::path grown_features(lab const& l, addition const& more, index_t times) {
  auto const original = features_of(l);
  if (times == 1) return original;
  auto const path = l.run_path(file_name("features", {more.name, std::to_string(times)})) / "features.npy";
  if (std::filesystem::exists(path)) return path;
  embed::npy_features const from(original);
  double const deviation = more.noise * std::sqrt(embed::measure_features(from, original.string()).variance);
  std::vector<float> values(to_size(from.rows() * from.width()));
  host_matrix_view<float> const block{values.data(), from.rows(), from.width()};
  make_directory(path.parent_path());
  npy_writer to(path, times * from.rows(), from.width());
  for (index_t t = 0; t < times; ++t) {
    from.read(0, block);
    random_stream random(7, static_cast<std::uint64_t>(t));
    if (t > 0 && more.noise > 0)
      for (auto& value : values) value += static_cast<float>(deviation * random.normal());
    to.append(block);
  }
  to.commit();
  return path;
}

row_result measured(lab const& l, addition const& more, index_t times, std::string const& seed) {
  std::vector<std::string> const key = times == 1 ? std::vector<std::string>{"1"}  // the same for all additions
                                                  : std::vector<std::string>{more.name, std::to_string(times)};
  auto named = key;
  named.push_back(seed);
  auto const k = codes_of_level(l);
  auto const found = translate(l, {.name = file_name("grown", named),
                                   .features = grown_features(l, more, times),
                                   .codes = {k, k, k, k},
                                   .seed = std::stoi(seed)});
  auto const data = with_codes(l, found.catalog.codes);
  auto const model = l.train(file_name("collisions", named), l.run("next-text", std::stoi(seed)), data);
  auto out = l.judge(model, data.datasets.front());
  add_measurements(out, found);
  auto const& c = found.catalog;
  out.values["items"] = static_cast<double>(c.uniqueness.items);
  out.values["colliding"] = static_cast<double>(c.outcome.colliding);
  out.values["fullest_prefix"] = static_cast<double>(c.capacity.levels.back().fullest);
  out.values["items_until_full"] = c.capacity.items_until_full;
  out.values["translation_seconds"] = found.seconds;
  return out;
}

std::vector<planned_row> plan(lab& l) {
  std::vector<planned_row> rows;
  double const users = static_cast<double>(l.target().interactions.users());
  static_cast<void>(features_of(l));  // without them no row can be measured
  for (auto const& seed : l.seeds())
    for (auto const& more : additions)
      for (index_t const times : growth) {
        bool const shared = times == 1 && &more != additions.data();
        rows.push_back({.key = {more.name, std::to_string(times), seed},
                        .examples = shared ? 0 : static_cast<double>(l.budget()),
                        .searches = users,
                        .measure = [&l, &more, times, seed] { return measured(l, more, times, seed); },
                        .base = {more.name, "1", seed}});
      }
  return rows;
}

std::string reading(std::vector<table_row> const& rows) {
  std::string text;
  for (auto const& more : additions) {
    std::vector<std::pair<double, double>> points;
    for (auto const& row : rows)
      if (row.key[0] == more.name) points.emplace_back(row.values.at("items"), row.values.at("colliding"));
    if (auto const law = text_of(fit_power_law(points), "n"); !law.empty())
      text += (text.empty() ? "" : ", ") + law + " (" + more.name + ")";
  }
  return text.empty() ? ""
                      : "The number of items that share their nearest codes grows with the number of items n as " +
                            text + "; an exponent of 1 would be linear.";
}

}  // namespace

experiment collision_stress() {
  auto columns = recommender_columns();
  for (auto const& column : translation_columns()) columns.push_back(column);
  columns.insert(columns.end(), {"items", "colliding", "fullest_prefix", "items_until_full", "translation_seconds"});
  return {
      .about =
          {.name = "collisions",
           .title = "Collisions in a growing catalog",
           .question = "How do collisions, capacity and NDCG@10 change when the catalog has two, five and ten times "
                       "the items and the sizes of the codebooks stay as they are?",
           .keys = {"added", "times", "seed"},
           .measured = columns,
           .plots = {{.kind = "line",
                      .title = "Items that share their nearest codes",
                      .x = "items",
                      .y = "colliding",
                      .series = "added",
                      .log_x = true},
                     {.kind = "line",
                      .title = "Collision rate of the nearest codes",
                      .x = "times",
                      .y = "collision_rate_nearest",
                      .series = "added"},
                     {.kind = "line", .title = "NDCG@10 by item", .x = "times", .y = "ndcg@10", .series = "added"}},
           .reading = reading},
      .plan = plan};
}

}  // namespace mql4grec::experiments
