#pragma once
// What a model directory says beside transformers' files: the words it speaks and the tasks it was taught, in mql4grec.json.
#include <filesystem>
#include <string>

#include "mql4grec/core/json.hpp"
#include "mql4grec/language/read.hpp"
#include "mql4grec/language/vocabulary.hpp"
#include "mql4grec/tasks/mixture.hpp"

namespace mql4grec {

/// The mixtures by the names that the program knows.
inline mixture mixture_named(std::string const& name, mixture_options const& options = {}) {
  if (name == "all") return all_tasks(options);
  if (name == "next") return next_only(options);
  if (name == "released") return released_mixture(options);
  detail::raise("tasks '", name, "': expected all, next or released");
}

struct model_card {
  vocabulary words = vocabulary();
  std::string tasks = "all";  ///< all, next or released: decides the prompts that the model is asked with
};

inline void write_model_card(std::filesystem::path const& directory, model_card const& card) {
  json families = json::array();
  for (auto const& family : card.words.options().modalities) families.push_back({{"prefix", family.prefix}, {"codes", family.codes}});
  write_json(directory / "mql4grec.json", {{"tasks", card.tasks}, {"modalities", families}, {"prompts", card.words.options().prompts}});
}

namespace detail {

inline model_card parse_model_card(std::filesystem::path const& path) {
  json const content = read_json(path);
  vocabulary_options options{.modalities = {}, .prompts = member<index_t>(content, "prompts", path)};
  for (auto const& family : member<json>(content, "modalities", path))
    options.modalities.push_back({member<std::string>(family, "prefix", path), member<std::vector<index_t>>(family, "codes", path)});
  auto const tasks = member<std::string>(content, "tasks", path);
  try {
    mixture_named(tasks);
    return {vocabulary(options), tasks};
  } catch (error const& e) {
    raise<file_error>(path.string(), ": ", e.what());
  }
}

}  // namespace detail

/// The card of a model directory. Without one, as in checkpoints of the released code: the words of its tokenizer and the
/// released tasks; without that too, the paper's vocabulary and all tasks.
inline model_card read_model_card(std::filesystem::path const& directory) {
  if (std::filesystem::exists(directory / "mql4grec.json")) return detail::parse_model_card(directory / "mql4grec.json");
  if (std::filesystem::exists(directory / "added_tokens.json") || std::filesystem::exists(directory / "tokenizer.json"))
    return {read_vocabulary(directory), "released"};
  return {};
}

}  // namespace mql4grec
