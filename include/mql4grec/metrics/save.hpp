#pragma once
// The file format in which the authors' released code saves search results (`save_seqrec_20.json`), so that its scripts
// can score ours. Lists are flat: outputs and scores i·beams … (i + 1)·beams − 1 belong to entry i of the users.
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "mql4grec/core/ids.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/language/vocabulary.hpp"

namespace mql4grec::metrics {

/// The search result of one user.
struct found_sequences {
  user_id user;                        ///< the user
  std::span<token_t const> sequences;  ///< (beams, L), back to back, best first
  std::span<double const> scores;      ///< (beams)
  std::span<token_t const> target;     ///< (L)
};

/// The contents of such a file. Member names are the keys of the file.
struct saved_search {
  std::vector<std::string> all_outputs;  ///< (users · beams): "<a_1><b_2><c_3><d_4>", best first
  std::vector<double> all_scores;        ///< (users · beams)
  std::vector<std::string> all_targets;  ///< (users)
  std::vector<index_t> all_users;        ///< (users): user numbers

  /// Appends one user's result. Throws error when the shapes don't match.
  void add(found_sequences const& found, language::vocabulary const& vocab);
  bool operator==(saved_search const&) const = default;
};

/// Writes the file. Throws file_error.
void write_saved_search(std::filesystem::path const& path, saved_search const& saved);

}  // namespace mql4grec::metrics

#if !MQL4GREC_COMPILED
#include "mql4grec/metrics/save.inl.hpp"
#endif
