// One-line summaries and the table of metrics.
#include "summaries.hpp"

#include <algorithm>

#include "text.hpp"

namespace mql4grec::program {

std::string summary(dataset const& data) {
  auto const& histories = data.interactions;
  return data.name + ": " + grouped(histories.users()) + " users, " + grouped(std::ssize(catalog_of(data))) +
         " items, " + grouped(std::ssize(histories.items)) + " interactions";
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
