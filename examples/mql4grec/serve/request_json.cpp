// Bodies of requests.
#include "request_json.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <optional>

#include "request_body.hpp"

namespace mql4grec::program {

namespace {

/// The items of a list in a body.
std::vector<item_id> items_of(request_body& body, char const* name, served_catalog const& catalog, std::size_t most) {
  std::vector<item_id> items;
  auto const count = catalog.items();
  for (auto const& value : body.list(name, most))
    items.push_back(catalog.item_of(value, {.name = name, .at = std::ssize(items), .items = count}));
  return items;
}

/// The names in a list, in a body.
std::vector<std::string> names_of(request_body& body, char const* name, std::size_t most) {
  std::vector<std::string> names;
  for (auto const& value : body.list(name, most)) {
    bool const fits = value.is_string() && !value.get_ref<std::string const&>().empty() &&
                      std::ssize(value.get_ref<std::string const&>()) <= search::max_set_name_bytes;
    if (!fits)
      raise<bad_request>("'", name, "'[", names.size(), "]: found ", core::detail::shown(value),
                         ", expected the name of a set, of 1 to ", search::max_set_name_bytes, " bytes");
    names.push_back(value.get<std::string>());
  }
  return names;
}

void check_set(std::string const& set, char const* member, served_catalog const& catalog) {
  if (!catalog.live().version().set(set))
    raise<bad_request>("'", member, "': there is no set ", core::detail::shown(set));
}

/// The sets of a filter.
std::vector<std::string> sets_of(request_body& body, char const* name, served_catalog const& catalog,
                                 std::size_t most) {
  auto const names = names_of(body, name, most);
  for (auto const& set : names) check_set(set, name, catalog);
  return names;
}

/// The quotas of {"set": n, …}.
std::vector<search::item_quota> quotas_of(request_body& body, served_catalog const& catalog,
                                          request_limits const& limits) {
  std::vector<search::item_quota> out;
  auto const& quotas = body.find("quotas");
  if (quotas.is_null()) return out;
  if (!quotas.is_object())
    raise<bad_request>("'quotas': found ", core::detail::shown(quotas), ", expected an object of numbers by set");
  if (quotas.size() > limits.quotas)
    raise<bad_request>("'quotas': ", quotas.size(), " sets, expected at most ", limits.quotas);
  for (auto const& [set, most] : quotas.items()) {
    check_set(set, "quotas", catalog);
    bool const fits = most.is_number_unsigned() && most.get<std::uint64_t>() <= static_cast<std::uint64_t>(limits.k);
    if (!fits)
      raise<bad_request>("'quotas'.", core::detail::shown(set), ": found ", core::detail::shown(most),
                         ", expected a whole number from 0 to ", limits.k);
    out.push_back({.set = set, .most = most.get<index_t>()});
  }
  return out;
}

/// The tokens of {"text": ["<a_1>", …] or [1, …], …}, by modality.
std::vector<std::vector<token_t>> sequences_of(json const& codes, language::vocabulary const& vocab) {
  if (!codes.is_object() || codes.empty())
    raise<bad_request>("'codes': found ", core::detail::shown(codes), ", expected a list of tokens by modality");
  std::vector<std::vector<token_t>> out(to_size(vocab.modalities()));
  for (auto const& [name, tokens] : codes.items()) {
    index_t m = 0;
    while (m < vocab.modalities() && language::name_of(language::modality(m)) != name) ++m;
    if (m == vocab.modalities()) raise<bad_request>("'codes': there is no modality ", core::detail::shown(name));
    auto const place = "'codes'." + name;
    auto const kind = language::modality(m);
    auto const levels = vocab.has(kind) ? vocab.levels(kind) : 0;
    if (!tokens.is_array() || std::ssize(tokens) != levels)
      raise<bad_request>(place, ": found ", core::detail::shown(tokens), ", expected a list of ", levels, " tokens");
    for (index_t level = 0; level < levels; ++level) {
      auto const& word = tokens[to_size(level)];
      std::optional<token_t> token;
      if (word.is_string()) token = vocab.find(word.get<std::string>());
      if (word.is_number_unsigned() && word.get<std::uint64_t>() < static_cast<std::uint64_t>(vocab.codes(kind, level)))
        token = vocab.token(kind, level, code_t(word.get<std::int32_t>()));
      auto const where = token ? vocab.place(*token) : std::nullopt;
      if (!where || where->kind != kind || where->level != level)
        raise<bad_request>(place, "[", level, "]: ", core::detail::shown(word), " is not a token of this level");
      out[to_size(m)].push_back(*token);
    }
  }
  return out;
}

/// The features in a body, by translator; no list at all if it has none.
std::vector<std::vector<float>> features_of(request_body& body, std::span<pipeline::item_placer const> translators) {
  std::vector<std::vector<float>> out;
  for (auto const& translator : translators) {
    auto const name = language::name_of(translator.kind);
    std::vector<float> features;
    for (auto const& value : body.list(name, to_size(translator.width))) {
      float const number = value.is_number() ? value.get<float>() : std::nanf("");
      if (!std::isfinite(number))
        raise<bad_request>("'", name, "'[", features.size(), "]: found ", core::detail::shown(value),
                           ", expected a finite number");
      features.push_back(number);
    }
    if (!features.empty() && std::ssize(features) != translator.width)
      raise<bad_request>("'", name, "': ", features.size(), " features, expected ", translator.width);
    out.push_back(std::move(features));
  }
  if (std::ranges::all_of(out, [](auto const& one) { return one.empty(); })) out.clear();
  return out;
}

bool is_number(std::string_view text) { return !text.empty() && text.find_first_not_of("0123456789") == text.npos; }

/// Throws for tokens or features of a modality in which no item of the dataset has tokens.
void check_modality(language::modality kind, served_catalog const& catalog) {
  auto const& tokens = catalog.data().tokens;  // a translator may have a modality that the model lacks
  if (to_size(kind) >= tokens.size() || tokens[to_size(kind)].present().empty())
    raise<bad_request>("'", language::name_of(kind), "': the dataset has no tokens of this modality");
}

/// Throws for an id that names no known item and can't become a new one.
void check_id(json const& id, served_catalog const& catalog) {
  bool const is_new = id.is_null() || (id.is_string() && !catalog.find(id.get<std::string>()));
  if (is_new && id.is_string() && !catalog.has_raw_ids() && is_number(id.get<std::string>()))
    raise<bad_request>("'item': a new raw id that is a number, where items are named by numbers");
  if (!is_new) static_cast<void>(catalog.item_of(id, {.name = "item", .items = catalog.items()}));
}

}  // namespace

recommend_body read_recommend(std::string const& text, served_catalog const& catalog, request_limits const& limits) {
  request_body body(text);
  recommend_body out;
  auto& request = out.request;
  auto& options = request.options;
  request.history = items_of(body, "history", catalog, limits.history);
  options.k = body.integer("k", 1, limits.k, 10);
  if (!body.find("allow").is_null()) options.filter.allow = items_of(body, "allow", catalog, limits.filter);
  options.filter.deny = items_of(body, "deny", catalog, limits.filter);
  options.filter.any_of = sets_of(body, "any_of", catalog, limits.sets);
  options.filter.all_of = sets_of(body, "all_of", catalog, limits.sets);
  options.filter.none_of = sets_of(body, "none_of", catalog, limits.sets);
  options.quotas = quotas_of(body, catalog, limits);
  options.exclude_seen = body.boolean("exclude_seen", false);
  auto const& scores = body.find("scores");
  if (scores == "renormalized" || scores == "renormalised")
    options.scores = score_kind::renormalized;
  else if (scores == "calibrated")
    out.calibrated = true;
  else if (!scores.is_null() && scores != "raw")
    raise<bad_request>("'scores': found ", core::detail::shown(scores),
                       R"(, expected "raw", "renormalized" or "calibrated")");
  if (!body.find("deadline_ms").is_null())
    options.deadline = std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double, std::milli>(body.number("deadline_ms", 0, 600'000, 0)));
  out.lists = body.boolean("lists", false);
  request.explain = body.boolean("explain", false);
  request.trace = body.boolean("trace", false);
  body.check_all_known();
  constexpr index_t most_examined = 100;
  if ((request.explain || request.trace) && options.k > most_examined)
    raise<bad_request>("'k': found ", options.k, " with 'explain' or 'trace', expected at most ", most_examined);
  return out;
}

item_body read_item(std::string const& text, served_catalog const& catalog,
                    std::span<pipeline::item_placer const> translators) {
  request_body body(text);
  item_body out{.id = body.find("item"), .title = body.text("title"), .features = features_of(body, translators)};
  if (!body.find("sets").is_null()) out.sets = names_of(body, "sets", to_size(search::max_sets_of_item));
  auto const& codes = body.find("codes");
  if (!out.features.empty() && !codes.is_null())
    raise<bad_request>("'codes': found with features, expected one of the two");
  if (out.features.empty())
    out.sequences = sequences_of(codes, catalog.vocab());
  else
    out.sequences.resize(to_size(catalog.vocab().modalities()));
  body.check_all_known();
  for (std::size_t m = 0; m < out.sequences.size(); ++m)
    if (!out.sequences[m].empty()) check_modality(language::modality(m), catalog);
  for (std::size_t p = 0; p < out.features.size(); ++p)
    if (!out.features[p].empty()) check_modality(translators[p].kind, catalog);
  constexpr std::size_t most = 1000;
  auto const id = out.id.is_string() ? out.id.get<std::string>() : std::string();
  if (out.title.size() > most || id.size() > most || (out.id.is_string() && id.empty()))
    raise<bad_request>("'item' and 'title': expected at most ", most, " bytes, and an id that isn't empty");
  check_id(out.id, catalog);
  return out;
}

served_paths read_reload(std::string const& text, served_paths const& current) {
  request_body body(text);
  auto next = current;
  // An administrator names files of the server: paths are taken as they are, and only directories of models are read.
  if (auto const model = body.text("model"); !model.empty()) next.model = model;
  if (auto const dataset = body.text("dataset"); !dataset.empty()) next.catalog.dataset = dataset;
  body.check_all_known();
  return next;
}

}  // namespace mql4grec::program
