#pragma once
// Translates a catalog: encodes the features of every item as codes with a trained quantizer. The nearest codes come
// first; a collision policy then gives items with equal codes different ones.
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/embed/views.hpp"
#include "mql4grec/language/read.hpp"
#include "mql4grec/language/to_tokens.hpp"
#include "mql4grec/quantize/assign_codes.hpp"
#include "mql4grec/quantize/codebook/capacity.hpp"
#include "mql4grec/quantize/codebook/usage.hpp"
#include "mql4grec/quantize/collisions/match.hpp"
#include "mql4grec/quantize/collisions/reallocate.hpp"
#include "mql4grec/quantize/collisions/suffix.hpp"
#include "mql4grec/quantize/collisions/uniqueness_report.hpp"

namespace mql4grec::pipeline {

/// One of the collision policies.
using any_collision_policy =
    std::variant<quantize::reallocate, quantize::match, quantize::suffix, quantize::keep_collisions>;

/// The policy of a name: reallocate, match, suffix or none (keep_collisions). Throws error for any other name.
[[nodiscard]] any_collision_policy collision_policy_named(std::string const& name);

/// Options of translate_catalog().
struct translation_options {
  std::vector<index_t> rows = {};  ///< items that get a sequence, those with features; see rows_with_features
  any_collision_policy policy = quantize::reallocate{};  ///< gives items with equal codes different ones
  std::function<void(index_t)> progress = nullptr;       ///< receives the number of rows that are encoded
};

/// The codes of a catalog, and statistics about them.
struct translated_catalog {
  quantize::code_table nearest;                  ///< the nearest codes, before collisions are resolved
  quantize::code_table codes;                    ///< the final codes
  double reconstruction_error = 0;               ///< mean squared error per entry, of the nearest codes
  double collisions_before = 0, collisions = 0;  ///< collision_rate of `nearest` and of `codes`
  std::vector<quantize::level_usage> usage;      ///< of `nearest`, by level
  quantize::collision_outcome outcome;           ///< what the collision policy changed
  quantize::uniqueness_report uniqueness;        ///< which items of `codes` still share a sequence
  quantize::capacity_report capacity;            ///< how much of the code space `codes` occupies
};

namespace detail {
/// The codes of some items as a table of all items.
quantize::code_table spread(quantize::code_table const& some, std::vector<index_t> const& rows, index_t items);

/// Calls task(backend, codebooks) on the host, where collisions are resolved; copies the codebooks if they are in a
/// device's memory.
template <Backend B, quantize::Quantizer<B> M, class Task>
void with_host_codebooks(B& backend, M const& model, Task&& task) {
  auto const levels = model.codebooks();
  if constexpr (std::same_as<typename B::memory_space, host_space>) {
    task(backend, std::span<quantize::codebook_view<B, float> const>(levels));
  } else {
    cpu::backend host;
    quantize::codebook_set<cpu::backend, float> copied(host, quantize::code_sizes<B>(model), model.latent_width());
    for (index_t l = 0; l < copied.levels(); ++l) copy(levels[to_size(l)].vectors().flat(), copied.vectors(l).flat());
    auto const views = copied.views();
    task(host, std::span<quantize::codebook_view<cpu::backend, float> const>(views));
  }
}

}  // namespace detail

/// Encodes the items `options.rows`; the others get no sequence. Throws error if there are more items than sequences.
template <Backend B, quantize::Quantizer<B> M, embed::FeatureSource F>
[[nodiscard]] translated_catalog translate_catalog(B& backend, M const& model, F const& features,
                                                   translation_options options) {
  embed::selected_features const present(features, std::move(options.rows));
  auto const found = quantize::assign_codes(backend, model, present, {.progress = std::move(options.progress)});
  translated_catalog out{.nearest = detail::spread(found.codes, present.selection(), features.rows()),
                         .codes = {},
                         .reconstruction_error = found.reconstruction_error,
                         .usage = {},
                         .outcome = {},
                         .uniqueness = {},
                         .capacity = {}};
  out.collisions_before = quantize::collision_rate(out.nearest);
  out.usage = quantize::code_usage(out.nearest);
  out.codes = out.nearest;
  quantize::encoded_latents const latents(backend, model, features);
  detail::with_host_codebooks(
      backend, model, [&]<Backend H>(H& host, std::span<quantize::codebook_view<H, float> const> levels) {
        out.outcome = std::visit([&](auto const& rule) { return rule.resolve(host, out.codes, levels, latents); },
                                 options.policy);
      });
  out.collisions = quantize::collision_rate(out.codes);
  out.uniqueness = quantize::check_uniqueness(out.codes);
  out.capacity = quantize::capacity_of(out.codes);
  return out;
}

/// The paper's vocabulary, with the levels and codes of a table in one modality.
[[nodiscard]] language::vocabulary vocabulary_for(language::modality kind, std::vector<index_t> const& sizes);

/// Writes a token index, `D.index_*.json`. Throws file_error.
void write_index(std::filesystem::path const& path, quantize::code_table const& codes, language::modality kind);

}  // namespace mql4grec::pipeline

#if !MQL4GREC_COMPILED
#include "mql4grec/pipeline/translate.inl.hpp"
#endif
