#pragma once
// The form in which the authors' released code keeps what a search found (`save_seqrec_20.json`), so that its scripts
// can score ours. Lists are flat: user i owns outputs and scores i·beams … (i + 1)·beams.
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/language/vocabulary.hpp"

namespace mql4grec {

struct saved_search {
  std::vector<std::string> all_outputs;  // (users · beams): "<a_1><b_2><c_3><d_4>", best first
  std::vector<double> all_scores;        // (users · beams)
  std::vector<std::string> all_targets;  // (users)
  std::vector<index_t> all_users;        // (users): index of the user

  /// One user's result: sequences (beams, L) back to back, best first · scores (beams) · target (L).
  void add(user_id user, std::span<token_t const> sequences, std::span<double const> scores,
           std::span<token_t const> target, vocabulary const& words) {
    auto const levels = target.size();
    expects(levels > 0 && sequences.size() == scores.size() * levels, "user ", index(user), ": ", sequences.size(),
            " tokens for ", scores.size(), " scores and sequences of ", levels);
    for (std::size_t i = 0; i < scores.size(); ++i)
      all_outputs.push_back(words.text(sequences.subspan(i * levels, levels)));
    all_scores.insert(all_scores.end(), scores.begin(), scores.end());
    all_targets.push_back(words.text(target));
    all_users.push_back(index(user));
  }
  bool operator==(saved_search const&) const = default;
};

inline void write_saved_search(std::filesystem::path const& path, saved_search const& saved) {
  json const content{{"all_outputs", saved.all_outputs},
                     {"all_scores", saved.all_scores},
                     {"all_targets", saved.all_targets},
                     {"all_users", saved.all_users}};
  write_file(path, content.dump());
}

inline saved_search read_saved_search(std::filesystem::path const& path) {
  auto const content = read_json(path);
  return {member<std::vector<std::string>>(content, "all_outputs", path),
          member<std::vector<double>>(content, "all_scores", path),
          member<std::vector<std::string>>(content, "all_targets", path),
          member<std::vector<index_t>>(content, "all_users", path)};
}

}  // namespace mql4grec
