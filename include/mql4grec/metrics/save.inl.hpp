#pragma once
// The definitions of metrics/save.hpp.
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/metrics/save.hpp"

namespace mql4grec::metrics {

MQL4GREC_DEFINITION void saved_search::add(found_sequences const& found, language::vocabulary const& vocab) {
  auto const levels = found.target.size();
  expects(levels > 0 && found.sequences.size() == found.scores.size() * levels, "user ", index(found.user), ": ",
          found.sequences.size(), " tokens for ", found.scores.size(), " scores and sequences of ", levels);
  for (std::size_t i = 0; i < found.scores.size(); ++i)
    all_outputs.push_back(vocab.text(found.sequences.subspan(i * levels, levels)));
  all_scores.insert(all_scores.end(), found.scores.begin(), found.scores.end());
  all_targets.push_back(vocab.text(found.target));
  all_users.push_back(index(found.user));
}

MQL4GREC_DEFINITION void write_saved_search(std::filesystem::path const& path, saved_search const& saved) {
  json const content{{"all_outputs", saved.all_outputs},
                     {"all_scores", saved.all_scores},
                     {"all_targets", saved.all_targets},
                     {"all_users", saved.all_users}};
  write_file(path, content.dump());
}

}  // namespace mql4grec::metrics
