#pragma once
// Definitions of what pipeline/model_metadata.hpp declares and isn't a template.
#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/language/read.hpp"
#include "mql4grec/language/token_table.hpp"
#include "mql4grec/pipeline/model_metadata.hpp"
#include "mql4grec/tasks/batch.hpp"

namespace mql4grec::pipeline {

MQL4GREC_DEFINITION tasks::mixture mixture_named(std::string const& name, tasks::mixture_options const& options) {
  if (name == "all") return tasks::all_tasks(options);
  if (name == "next") return tasks::next_only(options);
  if (name == "released") return tasks::released_mixture(options);
  if (name == "released-next") return tasks::released_next_only(options);
  if (name.find('-') == name.npos)
    raise("tasks '", name,
          "': expected all, next, released, released-next or a list of next-text, next-image, text-to-image, "
          "image-to-text, align-text-image, align-image-text");
  return tasks::listed_tasks(core::detail::split_at_commas(name), options);
}

MQL4GREC_DEFINITION std::string query_prompts(std::string const& tasks) {
  language::vocabulary const vocab;
  std::vector<language::token_table> tables;  // without items
  for (index_t m = 0; m < vocab.modalities(); ++m) tables.emplace_back(language::modality(m), 0, 1);
  tasks::batch written;
  std::string text;
  bool any = false;
  for (auto const& query : mixture_named(tasks).queries) {
    query.write_query({}, {.tables = tables, .vocab = vocab}, written);
    auto const input = written.input(written.size() - 1);
    auto const prompt = input.first(input.size() - 1);  // without </s>
    if (!text.empty()) text += ", ";
    text += vocab.text(prompt);
    any = any || !prompt.empty();
  }
  return any ? text : "no prompts";
}

MQL4GREC_DEFINITION std::optional<token_t> domain_token(model_metadata const& metadata, std::string const& dataset) {
  auto const found = std::ranges::find(metadata.domains, dataset);
  if (found == metadata.domains.end()) return std::nullopt;
  return metadata.vocab.prompt(language::paper_prompts + (found - metadata.domains.begin()));
}

MQL4GREC_DEFINITION std::vector<std::string> extended_domains(model_metadata const& metadata,
                                                              std::vector<std::string> const& datasets) {
  auto domains = metadata.domains;
  for (auto const& name : datasets)
    if (std::ranges::find(domains, name) == domains.end()) domains.push_back(name);
  auto const room = std::max<index_t>(0, metadata.vocab.prompts() - language::paper_prompts);
  expects(std::ssize(domains) <= room, "the vocabulary has ", room, " tokens for domains, but there are ",
          domains.size(), ", the last one ", domains.empty() ? "" : domains.back());
  return domains;
}

MQL4GREC_DEFINITION tasks::model_tasks tasks_of(model_metadata const& metadata, std::string const& dataset) {
  return {.vocab = metadata.vocab,
          .tasks = mixture_named(metadata.tasks, {.modality_dropout = metadata.modality_dropout}),
          .prefix = domain_token(metadata, dataset)};
}

MQL4GREC_DEFINITION void write_model_metadata(std::filesystem::path const& directory, model_metadata const& metadata) {
  json families = json::array();
  for (auto const& family : metadata.vocab.options().modalities)
    families.push_back({{"prefix", family.prefix}, {"codes", family.codes}});
  json content = {{"tasks", metadata.tasks}, {"modalities", families}, {"prompts", metadata.vocab.options().prompts}};
  if (metadata.until) content["until"] = *metadata.until;
  if (metadata.modality_dropout > 0) content["modality_dropout"] = metadata.modality_dropout;
  if (!metadata.domains.empty()) content["domains"] = metadata.domains;
  if (!(metadata.vocab == language::vocabulary(metadata.vocab.options()))) {
    json ids = json::object();
    for (index_t i = 0; i < metadata.vocab.size(); ++i)
      if (metadata.vocab.has_text(token_t(i))) ids[metadata.vocab.text(token_t(i))] = i;
    content["ids"] = std::move(ids);
  }
  write_json(directory / "mql4grec.json", content);
}

namespace detail {

/// Checks a number of tokens or an id against an upper bound, so that a damaged file can't request an arbitrary amount
/// of memory.
MQL4GREC_DEFINITION index_t checked_word_count(index_t n, char const* key, std::filesystem::path const& path) {
  expects_file(n >= 0 && n < language::detail::token_limit, path, "key '", key, "': found ", n,
               ", expected 0 or more and less than ", language::detail::token_limit);
  return n;
}

MQL4GREC_DEFINITION language::vocabulary vocabulary_of_metadata(json const& content,
                                                                std::filesystem::path const& path) {
  language::vocabulary_options options{
      .modalities = {}, .prompts = checked_word_count(member<index_t>(content, "prompts", path), "prompts", path)};
  index_t sum = 0;  // of all K
  for (auto const& family : member<json>(content, "modalities", path)) {
    options.modalities.push_back(
        {member<std::string>(family, "prefix", path), member<std::vector<index_t>>(family, "codes", path)});
    for (auto const codes : options.modalities.back().codes)
      sum = checked_word_count(sum + checked_word_count(codes, "codes", path), "codes", path);
  }
  if (!content.contains("ids")) return language::vocabulary(options);
  language::detail::word_ids ids;
  for (auto const& [word, id] : member<std::map<std::string, index_t>>(content, "ids", path))
    ids.emplace(word, token_t(checked_word_count(id, "ids", path)));
  return language::vocabulary(options, ids);
}

MQL4GREC_DEFINITION model_metadata parse_model_metadata(std::filesystem::path const& path) {
  json const content = read_json(path);
  auto const tasks = member<std::string>(content, "tasks", path);
  try {
    static_cast<void>(mixture_named(tasks));  // throws for an unknown name
    model_metadata found{vocabulary_of_metadata(content, path), tasks};
    if (content.contains("until")) found.until = member<double>(content, "until", path);
    found.modality_dropout = member_or<double>(content, "modality_dropout", 0, path);
    expects_file(found.modality_dropout >= 0 && found.modality_dropout <= 1, path, "key 'modality_dropout': found ",
                 found.modality_dropout, ", expected 0 to 1");
    found.domains = member_or<std::vector<std::string>>(content, "domains", {}, path);
    static_cast<void>(extended_domains(found, {}));  // throws if there are too many
    return found;
  } catch (file_error const&) {
    throw;
  } catch (error const& e) {
    raise<file_error>(path.string(), ": ", e.what());
  }
}

}  // namespace detail

MQL4GREC_DEFINITION model_metadata read_model_metadata(std::filesystem::path const& directory) {
  if (std::filesystem::exists(directory / "mql4grec.json"))
    return detail::parse_model_metadata(directory / "mql4grec.json");
  if (std::filesystem::exists(directory / "added_tokens.json") || std::filesystem::exists(directory / "tokenizer.json"))
    return {language::read_vocabulary(directory), "released"};
  return {};
}

}  // namespace mql4grec::pipeline
