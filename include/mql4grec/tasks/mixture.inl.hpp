#pragma once
// The definitions of what tasks/mixture.hpp declares.
#include <algorithm>
#include <array>
#include <string_view>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/tasks/mixture.hpp"

namespace mql4grec::tasks {

MQL4GREC_DEFINITION mixture listed_tasks(std::vector<std::string> const& names, mixture_options options) {
  static constexpr std::array<std::string_view, 6> known = {"next-text",     "next-image",       "text-to-image",
                                                            "image-to-text", "align-text-image", "align-image-text"};
  expects(!names.empty(), "tasks: the list is empty");
  auto const all = all_tasks(options);  // in the order of `known`
  mixture mix{.tasks = {}, .queries = all.queries};
  for (auto const& name : names) {
    auto const found = to_size(std::ranges::find(known, name) - known.begin());
    expects(found < known.size(), "tasks: '", name,
            "' is unknown, expected next-text, next-image, text-to-image, image-to-text, align-text-image or "
            "align-image-text");
    mix.tasks.push_back(all.tasks[found]);
    if (found < all.queries.size()) mix.validated.push_back(all.queries[found]);
    auto const first_alignment = known.size() - all.alignments.size();
    if (found >= first_alignment) mix.alignments.push_back(all.alignments[found - first_alignment]);
  }
  return mix;
}

}  // namespace mql4grec::tasks
