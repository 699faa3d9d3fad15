#pragma once
// The definitions of metrics/save.hpp.
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/metrics/save.hpp"

namespace mql4grec {

MQL4GREC_DEFINITION void saved_search::add(user_id user, std::span<token_t const> sequences,
                                           std::span<double const> scores, std::span<token_t const> target,
                                           vocabulary const& vocab) {
  auto const levels = target.size();
  expects(levels > 0 && sequences.size() == scores.size() * levels, "user ", index(user), ": ", sequences.size(),
          " tokens for ", scores.size(), " scores and sequences of ", levels);
  for (std::size_t i = 0; i < scores.size(); ++i)
    all_outputs.push_back(vocab.text(sequences.subspan(i * levels, levels)));
  all_scores.insert(all_scores.end(), scores.begin(), scores.end());
  all_targets.push_back(vocab.text(target));
  all_users.push_back(index(user));
}

MQL4GREC_DEFINITION void write_saved_search(std::filesystem::path const& path, saved_search const& saved) {
  json const content{{"all_outputs", saved.all_outputs},
                     {"all_scores", saved.all_scores},
                     {"all_targets", saved.all_targets},
                     {"all_users", saved.all_users}};
  write_file(path, content.dump());
}

MQL4GREC_DEFINITION saved_search read_saved_search(std::filesystem::path const& path) {
  auto const content = read_json(path);
  return {member<std::vector<std::string>>(content, "all_outputs", path),
          member<std::vector<double>>(content, "all_scores", path),
          member<std::vector<std::string>>(content, "all_targets", path),
          member<std::vector<index_t>>(content, "all_users", path)};
}

}  // namespace mql4grec
