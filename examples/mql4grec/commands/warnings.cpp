// Warnings that several commands print.
#include "warnings.hpp"

#include <algorithm>

#include "report/text.hpp"

namespace mql4grec::program {

void warn_of_precision(compute const& compute, progress_log& log) {
  if (auto const warning = compute.precision_warning(); !warning.empty()) log.warn(warning);
}

void warn_of_changes(std::string const& changes, progress_log& log) {
  log.warn("--resume: " + changes + "; from here on bits may differ from those of a run that never stopped");
}

void warn_of_domain(pipeline::model_metadata const& metadata, std::string const& dataset, progress_log& log) {
  if (metadata.domains.empty() || pipeline::domain_token(metadata, dataset)) return;
  std::string known;
  for (auto const& name : metadata.domains) known += (known.empty() ? "" : ", ") + name;
  log.warn(dataset + ": is none of the model's domains (" + known + "), so its inputs begin without a domain's token");
}

void warn_of_items_without_tokens(tasks::dataset const& data, progress_log& log) {
  constexpr std::size_t named = 5;
  auto const items = pipeline::items_without_tokens(data);
  if (items.empty()) return;
  std::string names;
  for (std::size_t i = 0; i < std::min(named, items.size()); ++i)
    names += (i > 0 ? ", " : "") + std::to_string(index(items[i]));
  log.warn(data.name + ": " + counted(std::ssize(items), "item") +
           " without tokens in any index, which are never recommended: " + names +
           (items.size() > named ? ", ..." : ""));
}

void warn_of(tasks::dataset const& data, progress_log& log) {
  auto const all = data.interactions.users();
  if (data.interactions.time) {
    if (auto const users = catalog::short_users(data.interactions); users > 0)
      log.warn(data.name + ": " + grouped(users) + " of " + counted(all, "user") +
               " without an item before or after the time of the split, who aren't tested");
  } else if (auto const users = catalog::short_users(data.interactions); users == all)
    log.warn(
        data.name + ": none of " + counted(all, "user") +
        " has 3 items, the last two for validation and test: there is no validation loss and there are no metrics");
  else if (users > 0)
    log.warn(data.name + ": " + grouped(users) + " of " + counted(all, "user") +
             " with fewer than 3 items: trained on, but neither validated nor tested");
  auto const text = language::duplicate_items(data.table(language::modality::text)),
             image = language::duplicate_items(data.table(language::modality::image));
  if (text + image > 0)
    log.warn(data.name + ": " + counted(text, "item") + " in text and " + counted(image, "item") +
             " in images have the tokens of an item before them and can't be distinguished from it there");
  warn_of_items_without_tokens(data, log);
}

}  // namespace mql4grec::program
