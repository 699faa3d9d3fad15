#pragma once
// What the bodies of requests ask for. All functions throw bad_request, in one line that names the member, for what the
// client must change.
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "compute/serving.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/pipeline/item_placer.hpp"
#include "served_catalog.hpp"

namespace mql4grec::program {

/// Limits on one request.
struct request_limits {
  std::size_t history = 1000;     ///< items
  std::size_t filter = 100'000;   ///< items of a list that allows or denies
  index_t k = search::max_beams;  ///< items of an answer
  std::size_t sets = 100;         ///< names of sets in a list
  std::size_t quotas = 32;        ///< quotas of a request; each may need another search
};

/// The body of `POST /recommend`.
struct recommend_body {
  serving_request request;
  bool lists = false;       ///< also show the list of each modality
  bool calibrated = false;  ///< also show the probability of each item
};
recommend_body read_recommend(std::string const& body, served_catalog const& catalog, request_limits const& limits);

/// The body of `POST /items`. An item has either sequences or features, by the translators.
struct item_body {
  json id = {};            ///< a raw id or the number of a known item; null: a new item without a raw id
  std::string title = {};  ///< empty: none, or the one that it has
  std::vector<std::vector<token_t>> sequences = {};   ///< by modality; empty for one that the item lacks
  std::vector<std::vector<float>> features = {};      ///< by translator; empty for one that the item lacks
  std::optional<std::vector<std::string>> sets = {};  ///< names; none: those that it is in
};
item_body read_item(std::string const& body, served_catalog const& catalog,
                    std::span<pipeline::item_placer const> translators);

/// The body of `POST /reload`: `current` with the paths that it names.
served_paths read_reload(std::string const& body, served_paths const& current);

}  // namespace mql4grec::program
