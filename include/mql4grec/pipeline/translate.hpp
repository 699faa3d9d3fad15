#pragma once
// A catalog's features in a translator's codes: nearest ones first, then one sequence an item.
#include <string>
#include <variant>

#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/embed/views.hpp"
#include "mql4grec/language/read.hpp"
#include "mql4grec/language/translate.hpp"
#include "mql4grec/quantize/assign_codes.hpp"
#include "mql4grec/quantize/codebook/capacity.hpp"
#include "mql4grec/quantize/codebook/usage.hpp"
#include "mql4grec/quantize/collisions/match.hpp"
#include "mql4grec/quantize/collisions/reallocate.hpp"
#include "mql4grec/quantize/collisions/suffix.hpp"
#include "mql4grec/quantize/collisions/uniqueness_report.hpp"

namespace mql4grec {

/// The policies by the names that the program knows.
using any_collision_policy = std::variant<reallocate, match, suffix, keep_collisions>;

any_collision_policy collision_policy_named(std::string const& name);

/// One catalog, translated.
struct translated_catalog {
  code_table nearest;                            ///< before collisions are handled
  code_table codes;                              ///< after
  double reconstruction_error = 0;               ///< mean squared error an entry, of the nearest codes
  double collisions_before = 0, collisions = 0;  ///< collision_rate of `nearest` and of `codes`
  std::vector<level_usage> usage;                ///< of `nearest`, a level each
  collision_outcome outcome;
  uniqueness_report certified;  ///< of `codes`
  capacity_report room;         ///< of `codes`
};

namespace detail {
/// Codes of some items as a table of all.
code_table spread(code_table const& some, std::vector<index_t> const& rows, index_t items);

/// task(backend, codebooks) where handling collisions can run, which is the host's work: there they are, or there they
/// are copied.
template <Backend B, Translator<B> M, class Task>
void with_host_codebooks(B& backend, M const& model, Task&& task) {
  auto const levels = model.codebooks();
  if constexpr (std::same_as<typename B::memory_space, host_space>) {
    task(backend, std::span<codebook_view<B, float> const>(levels));
  } else {
    cpu::backend host;
    codebook_set<cpu::backend, float> copied(host, code_sizes<B>(model), model.latent_width());
    for (index_t l = 0; l < copied.levels(); ++l)
      copy(levels[static_cast<std::size_t>(l)].vectors().flat(), copied.vectors(l).flat());
    auto const views = copied.views();
    task(host, std::span<codebook_view<cpu::backend, float> const>(views));
  }
}

}  // namespace detail

/// `rows` are the items with features, as rows_with_features finds them; the others get no sequence. Throws error when
/// there are more items than sequences.
template <Backend B, Translator<B> M, FeatureSource F, class Progress>
translated_catalog translate_catalog(B& backend, M const& model, F const& features, std::vector<index_t> rows,
                                     any_collision_policy const& policy, Progress&& progress) {
  selected_features const present(features, std::move(rows));
  auto const found = translate_items(backend, model, present, reconstruction::wanted, progress);
  translated_catalog out{.nearest = detail::spread(found.codes, present.selection(), features.rows()),
                         .codes = {},
                         .reconstruction_error = found.reconstruction_error,
                         .usage = {},
                         .outcome = {},
                         .certified = {},
                         .room = {}};
  out.collisions_before = collision_rate(out.nearest);
  out.usage = code_usage(out.nearest);
  out.codes = out.nearest;
  encoded_latents const latents(backend, model, features);
  detail::with_host_codebooks(backend, model, [&]<Backend H>(H& host, std::span<codebook_view<H, float> const> levels) {
    out.outcome = std::visit([&](auto const& rule) { return rule.resolve(host, out.codes, levels, latents); }, policy);
  });
  out.collisions = collision_rate(out.codes);
  out.certified = check_uniqueness(out.codes);
  out.room = capacity_of(out.codes);
  return out;
}

/// The paper's words, with one modality's codes as a table has them.
vocabulary vocabulary_for(modality kind, std::vector<index_t> const& sizes);

/// Writes `D.index_*.json`. Throws file_error.
void write_index(std::filesystem::path const& path, code_table const& codes, modality kind);

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/pipeline/translate.inl.hpp"
#endif
