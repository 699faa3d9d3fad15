#pragma once
// The definitions of rank/calibration_json.hpp.
#include <algorithm>
#include <cmath>
#include <functional>

#include "mql4grec/core/json.hpp"
#include "mql4grec/rank/calibration_json.hpp"

namespace mql4grec::rank {

MQL4GREC_DEFINITION score_calibration read_calibration(std::filesystem::path const& file) {
  auto const value = read_json(file);
  score_calibration read{.scores = member<std::vector<double>>(value, "scores", file),
                         .probabilities = member<std::vector<double>>(value, "probabilities", file)};
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
  write_json(file, {{"scores", calibration.scores}, {"probabilities", calibration.probabilities}});
}

MQL4GREC_DEFINITION void to_json(json& out, reliability const& measured) {
  out = {{"bins", json::array()}, {"expected_error", measured.expected_error}};
  for (auto const& bin : measured.bins)
    out["bins"].push_back({{"count", bin.count}, {"predicted", bin.predicted}, {"observed", bin.observed}});
}

}  // namespace mql4grec::rank
