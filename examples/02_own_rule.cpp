// A custom fusion rule: any type that satisfies FusionPolicy can replace the paper's rule. This one uses positions
// instead of scores (reciprocal rank fusion).
#include <cstdio>
#include <map>
#include <mql4grec/mql4grec.hpp>

using namespace mql4grec;

// example-begin own_rule
/// The score of an item is Σ 1 / (offset + position) over the lists that contain it; positions start at 1.
struct reciprocal_rank {
  double offset = 60;

  ranking fuse(std::span<ranking const> lists) const {
    std::map<item_id, double> sums;
    for (auto const& list : lists)
      for (std::size_t i = 0; i < list.items.size(); ++i)
        sums[list.items[i]] += 1 / (offset + static_cast<double>(i + 1));
    std::vector<std::pair<item_id, double>> order(sums.begin(), sums.end());
    std::ranges::stable_sort(order, std::ranges::greater{}, &std::pair<item_id, double>::second);
    ranking out;
    for (auto const& [item, score] : order) out.add(item, score);
    return out;
  }
  bool operator==(reciprocal_rank const&) const = default;
};
static_assert(FusionPolicy<reciprocal_rank>);
// example-end own_rule

int main() {
  ranking const text{.items = {item_id{3}, item_id{8}, item_id{5}}, .scores = {-0.2, -0.9, -1.1}};
  ranking const image{.items = {item_id{8}, item_id{4}, item_id{3}}, .scores = {-0.4, -0.5, -2.0}};
  ranking const lists[] = {text, image};
  auto const print = [](char const* rule, ranking const& best) {
    std::printf("%-18s", rule);
    for (std::size_t i = 0; i < best.items.size(); ++i)
      std::printf("  %d (%.3f)", static_cast<int>(best.items[i]), best.scores[i]);
    std::puts("");
  };
  print("the paper's", average_plus_one{}.fuse(lists));
  print("calibrated", calibrated{}.fuse(lists));
  print("reciprocal rank", reciprocal_rank{}.fuse(lists));

  // To use the rule: recommender<>::load(model, dataset, {.fusion = reciprocal_rank{}}), and likewise in the options of
  // evaluate().
  return reciprocal_rank{}.fuse(lists).items.front() == item_id{8} ? 0 : 1;
}
