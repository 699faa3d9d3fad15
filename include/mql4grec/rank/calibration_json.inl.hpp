#pragma once
// The definitions of rank/calibration_json.hpp.
#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/rank/calibration_json.hpp"

namespace mql4grec::rank {

namespace detail {

/// Throws file_error unless the member is a whole number of at least 1 and at most `most`.
inline index_t count_of(json const& value, std::string const& key, index_t most, std::filesystem::path const& file) {
  bool const fits = value.at(key).is_number_integer() && value.at(key) >= 1 && value.at(key) <= most;
  expects_file(fits, file, "key '", key, "': found ", core::detail::shown(value.at(key)), ", expected 1 to ", most);
  return value.at(key).get<index_t>();
}

MQL4GREC_DEFINITION list_conditions read_conditions(json const& value, std::filesystem::path const& file) {
  for (auto const* const key :
       {"beams", "length_penalty", "normalize", "score_eos", "fusion", "modalities", "max_history", "fill_in"})
    expects_file(value.is_object() && value.contains(key), file, "key '", key,
                 "' is missing: files of earlier versions don't state what they were fitted with; `mql4grec evaluate "
                 "--calibrate` writes it again");
  list_conditions read{.search = {.beams = count_of(value, "beams", search::max_beams, file),
                                  .length_penalty = member<double>(value, "length_penalty", file),
                                  .normalize = {},
                                  .score_eos = member<bool>(value, "score_eos", file)},
                       .fusion = member<std::string>(value, "fusion", file),
                       .modalities = member<std::vector<std::string>>(value, "modalities", file),
                       .max_history = count_of(value, "max_history", catalog::default_max_history, file),
                       .fill_in = member<bool>(value, "fill_in", file)};
  auto const normalize = member<std::string>(value, "normalize", file);
  expects_file(normalize == "vocabulary" || normalize == "children", file, "key 'normalize': found '",
               core::detail::printable(normalize), "', expected 'vocabulary' or 'children'");
  if (normalize == "children") read.search.normalize = search::normalization::children;
  expects_file(!read.fusion.empty(), file, "key 'fusion': expected the name of a rule");
  return read;
}

}  // namespace detail

MQL4GREC_DEFINITION score_calibration read_calibration(std::filesystem::path const& file) {
  auto const value = read_json(file);
  score_calibration read{.scores = member<std::vector<double>>(value, "scores", file),
                         .probabilities = member<std::vector<double>>(value, "probabilities", file),
                         .fitted_with = detail::read_conditions(value, file)};
  expects_file(!read.scores.empty() && read.scores.size() == read.probabilities.size(), file,
               "key 'scores': ", read.scores.size(), " scores and ", read.probabilities.size(),
               " probabilities, expected as many and at least one");
  expects_file(std::ranges::adjacent_find(read.scores, std::greater_equal<>()) == read.scores.end() &&
                   std::ranges::all_of(read.scores, [](double score) { return std::isfinite(score); }),
               file, "key 'scores': expected ascending numbers");
  expects_file(
      std::ranges::is_sorted(read.probabilities) && read.probabilities.front() >= 0 && read.probabilities.back() <= 1,
      file, "key 'probabilities': expected ascending numbers from 0 to 1");
  return read;
}

MQL4GREC_DEFINITION void write_calibration(std::filesystem::path const& file, score_calibration const& calibration) {
  auto const& with = calibration.fitted_with;
  expects(!with.fusion.empty(), "write_calibration: the rule of fusion has no name()");
  bool const children = with.search.normalize == search::normalization::children;
  write_json(file, {{"beams", with.search.beams},
                    {"length_penalty", with.search.length_penalty},
                    {"normalize", children ? "children" : "vocabulary"},
                    {"score_eos", with.search.score_eos},
                    {"fusion", with.fusion},
                    {"modalities", with.modalities},
                    {"max_history", with.max_history},
                    {"fill_in", with.fill_in},
                    {"scores", calibration.scores},
                    {"probabilities", calibration.probabilities}});
}

MQL4GREC_DEFINITION void to_json(json& out, reliability const& measured) {
  out = {{"bins", json::array()}, {"expected_error", measured.expected_error}};
  for (auto const& bin : measured.bins)
    out["bins"].push_back({{"count", bin.count}, {"predicted", bin.predicted}, {"observed", bin.observed}});
}

}  // namespace mql4grec::rank
