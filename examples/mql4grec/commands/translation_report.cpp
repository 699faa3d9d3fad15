// What a report shows of a translation: learning curves, codes, collisions.
#include <algorithm>

#include "mql4grec/catalog/read.hpp"
#include "report/text.hpp"
#include "translation.hpp"

namespace mql4grec::program {

namespace {

/// Titles for the items of an index `…/Name/Name.index_….json`; none when there is no such file, or it is damaged.
catalog::item_descriptions titles_beside(std::filesystem::path const& index) {
  auto const name = index.filename().string();
  auto const path = index.parent_path() / (name.substr(0, name.find('.')) + ".item.json");
  try {
    return std::filesystem::exists(path) ? catalog::read_items(path) : catalog::item_descriptions();
  } catch (file_error const&) {  // a page without titles is better than none
    return {};
  }
}

void add_groups(shown_translation& out, pipeline::translated_catalog const& one,
                std::filesystem::path const& index_path, language::modality kind) {
  constexpr std::size_t groups_shown = 6, titles_shown = 5;
  auto groups = quantize::collision_groups(one.nearest);
  std::ranges::stable_sort(groups, std::ranges::greater{}, [](auto const& group) { return group.size(); });
  auto const titles = titles_beside(index_path);
  auto const vocab = pipeline::vocabulary_for(kind, one.nearest.sizes());
  for (auto const& group : groups) {
    if (out.groups.size() == groups_shown) return;
    std::string text;
    auto const codes = one.nearest.of(group.front());
    for (std::size_t l = 0; l < codes.size(); ++l)
      text += vocab.text(vocab.token(kind, static_cast<index_t>(l), codes[l]));
    shown_translation::group shown{.codes = text, .items = std::ssize(group), .titles = {}};
    for (auto const item : group) {
      if (shown.titles.size() == titles_shown) break;
      shown.titles.push_back(title_of(titles, item));
    }
    out.groups.push_back(std::move(shown));
  }
}

}  // namespace

shown_translation shown_of(translation_request const& request, finished_translation const& done) {
  auto const& p = done.trained.progress;
  shown_translation out{
      .modality = language::name_of(request.run.kind),
      .epochs = p.history,
      .best_epoch = p.best_epoch,
      .error_unit = request.run.normalize == pipeline::normalization_of_features::standard ? 1 / done.variance : 1,
      .code_counts = {},
      .files = {},
      .groups = {}};
  for (std::size_t f = 0; f < done.catalogs.size(); ++f) {
    auto const& one = done.catalogs[f];
    out.files.push_back({request.embeddings[f].filename().string(), one.uniqueness.items, one.uniqueness.missing,
                         one.collisions_before, one.collisions, one.outcome.moved});
    auto const counts = quantize::code_counts(one.codes);
    if (out.code_counts.empty()) out.code_counts.resize(counts.size());
    for (std::size_t l = 0; l < counts.size(); ++l) {
      out.code_counts[l].resize(counts[l].size());
      for (std::size_t k = 0; k < counts[l].size(); ++k) out.code_counts[l][k] += counts[l][k];
    }
    add_groups(out, one, request.indices[f], request.run.kind);
  }
  return out;
}

report_page translation_report(translation_request const& request, finished_translation const& done) {
  auto const& p = done.trained.progress;
  index_t items = 0;
  for (auto const& one : done.catalogs) items += one.uniqueness.items;
  auto page = page_with("Translation of " + counted(items, "item"),
                        {{"Quantizer", request.run.out.string()},
                         {"Training", (request.kmeans ? "residual k-means, " : std::to_string(p.epoch) + " epochs, ") +
                                          grouped(p.items) + " items, " + clock_time(p.seconds)},
                         {"Collisions", request.collisions}});
  page.translations.push_back(shown_of(request, done));
  return page;
}

}  // namespace mql4grec::program
