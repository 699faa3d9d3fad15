// One-line summaries and the table of metrics.
#include "summaries.hpp"

#include <algorithm>

#include "text.hpp"

namespace mql4grec::program {

std::string summary(tasks::dataset const& data) {
  auto const& histories = data.interactions;
  return data.name + ": " + grouped(histories.users()) + " users, " + grouped(std::ssize(pipeline::catalog_of(data))) +
         " items, " + grouped(std::ssize(histories.items)) + " interactions";
}

namespace {
/// The rows of the metrics over some users; `prefix` precedes their names.
std::vector<metric_row> rows_of(std::string const& prefix, std::vector<metrics::list_metrics> const& by_modality,
                                metrics::list_metrics const& ensemble) {
  std::vector<metric_row> rows, item_rows;
  bool same = true;  // false: some items share a sequence, or have none
  auto const add = [&](std::string const& name, metrics::list_metrics const& metrics) {
    rows.push_back({prefix + name, metrics.sequence});
    item_rows.push_back({prefix + "item " + name, metrics.item});
    same = same && metrics.sequence == metrics.item;
  };
  for (std::size_t m = 0; m < by_modality.size(); ++m) add(language::name_of(language::modality(m)), by_modality[m]);
  add("ensemble", ensemble);
  if (!same) rows.insert(rows.end(), item_rows.begin(), item_rows.end());
  return rows;
}
}  // namespace

std::vector<metric_row> rows_of(metrics::report const& r) {
  auto rows = rows_of("", r.by_modality, r.ensemble);
  for (auto const& group : r.groups) {
    auto const more = rows_of(group.name + " ", group.by_modality, group.ensemble);
    rows.insert(rows.end(), more.begin(), more.end());
  }
  return rows;
}

std::string metric_table(std::vector<metric_row> const& rows) {
  auto const right = [](std::string text) {
    return std::string(9 - std::min<std::size_t>(9, text.size()), ' ') + text;
  };
  std::size_t width = 14;
  for (auto const& row : rows) width = std::max(width, row.name.size() + 1);
  std::string table(width, ' ');
  for (auto const* name : {"HR@1", "HR@5", "HR@10", "NDCG@5", "NDCG@10"}) table += right(name);
  for (auto const& [name, m] : rows) {
    table += "\n" + name + std::string(width - name.size(), ' ');
    for (index_t const k : {1, 5, 10}) table += right(m ? fixed(m->hit(k), 4) : "-");
    for (index_t const k : {5, 10}) table += right(m ? fixed(m->ndcg(k), 4) : "-");
  }
  return table + "\n";
}

std::string headline(metrics::report const& r) {
  std::string groups;
  for (auto const& group : r.groups)
    if (group.name != "drafted")  // the cold users again
      groups += (groups.empty() ? " (" : ", ") + grouped(group.users) + " with a " + group.name + " target";
  if (!groups.empty()) groups += ")";
  return r.dataset + " " + r.split + ": " + grouped(r.users) + " users" + groups + ", " + std::to_string(r.beams) +
         " beams, " + fixed(r.seconds, 1) + " s, " + fixed(r.users_per_second, 1) + " users/s\n";
}

}  // namespace mql4grec::program
