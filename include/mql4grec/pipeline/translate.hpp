#pragma once
// Translates a catalog: encodes the features of every item as codes with a trained quantizer. The nearest codes come
// first; a collision policy then gives items with equal codes different ones. Items that already have codes keep them,
// so that a model that was trained on these codes remains valid when items are added.
#include <cstdint>
#include <functional>
#include <string>
#include <variant>
#include <vector>

#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/core/checksum.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/embed/statistics.hpp"
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
#include "mql4grec/train/exchange.hpp"

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
  /// The codes of items that have some already, for example from read_index(). These items keep their codes, whether or
  /// not they are in `rows`; the others get codes near their own that no item has.
  quantize::code_table kept = {};
  /// Share the encoding and the check of the result. All call with the same model, features and options, resolve the
  /// collisions alike, and get the result.
  train::host_communicator ranks = {};
};

/// The codes of a catalog, and statistics about them.
struct translated_catalog {
  quantize::code_table nearest;     ///< the nearest codes, before collisions are resolved; of kept items the kept codes
  quantize::code_table codes;       ///< the final codes
  index_t kept = 0;                 ///< items that had codes and keep them
  double reconstruction_error = 0;  ///< mean squared error per entry, of the nearest codes, without kept items
  double collisions_before = 0, collisions = 0;  ///< collision_rate of `nearest` and of `codes`
  std::vector<quantize::level_usage> usage;      ///< of `nearest`, by level
  quantize::collision_outcome outcome;           ///< what the collision policy changed
  quantize::uniqueness_report uniqueness;        ///< which items of `codes` still share a sequence
  quantize::capacity_report capacity;            ///< how much of the code space `codes` occupies
};

namespace detail {
/// The codes of some items as a table of all items.
quantize::code_table spread(quantize::code_table const& some, std::vector<index_t> const& rows, index_t items);

/// Throws error unless kept codes fit a catalog of `items` items with codes of these sizes and this policy.
void check_kept(translation_options const& options, index_t items, std::vector<index_t> const& sizes);

/// Adds the kept codes to a table, without a level that it doesn't have. Returns the number of kept items.
index_t add_kept(quantize::code_table const& kept, quantize::code_table& table);

/// A checksum of the policy and the sizes of the sequences that it makes of a catalog of so many items.
std::uint64_t checksum_of(any_collision_policy const& policy, index_t items, std::vector<index_t> const& sizes);

/// A checksum of everything that the codes of a row depend on.
template <Backend B, quantize::Quantizer<B> M>
std::uint64_t checksum_of_quantizer(B& backend, M const& model) {
  std::uint64_t sum = 0;
  auto const add = [&](in_vector<B, float> values) {
    if (values.size() == 0) return;
    host_copy<float, typename B::memory_space> const copied(backend, values);
    sum = checksum(std::as_bytes(as_span(copied.view_all())), sum);
  };
  for (auto const& level : model.codebooks()) add(level.vectors().flat());
  if constexpr (requires { model.parameters(); }) add(model.parameters());  // of the RQ-VAE
  if constexpr (requires { model.rotation_matrix(); }) {                    // of residual k-means
    add(model.mean.view_all());
    add(model.rotation.view_all());
  }
  return sum;
}

/// A checksum of all codes.
std::uint64_t checksum_of(quantize::code_table const& codes);

/// The sequences of a rank's part of the items.
quantize::code_table part_of(quantize::code_table const& codes, train::host_communicator const& ranks);

/// Throws error on every rank if they don't translate the same rows with the same model and options. `present`: the
/// rows that are encoded.
template <Backend B, quantize::Quantizer<B> M, embed::FeatureSource F>
void check_ranks(B& backend, M const& model, embed::selected_features<F> const& present, index_t items,
                 translation_options const& options) {
  auto const& ranks = options.ranks;
  if (ranks.world_size() == 1) return;
  train::expect_equal(ranks, "the set of features",
                      checksum(std::as_bytes(std::span(present.selection())), embed::checksum_of_rows(present)));
  train::expect_equal(ranks, "the set of kept codes", checksum_of(options.kept));
  train::expect_equal(ranks, "the set of options", checksum_of(options.policy, items, quantize::code_sizes<B>(model)));
  train::expect_equal(ranks, "the model", checksum_of_quantizer(backend, model));
}

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

/// Encodes the items `options.rows`; the others get no sequence unless they are kept. Throws error if there are more
/// items than sequences, if the kept codes don't fit the features and the quantizer, and on all ranks if their
/// arguments or their results differ.
template <Backend B, quantize::Quantizer<B> M, embed::FeatureSource F>
[[nodiscard]] translated_catalog translate_catalog(B& backend, M const& model, F const& features,
                                                   translation_options options) {
  auto& rows = options.rows;
  auto const& kept = options.kept;
  detail::check_kept(options, features.rows(), quantize::code_sizes<B>(model));
  std::erase_if(rows, [&](index_t row) { return kept.has(item_id(static_cast<std::int32_t>(row))); });
  embed::selected_features const present(features, std::move(rows));
  auto const& ranks = options.ranks;
  detail::check_ranks(backend, model, present, features.rows(), options);
  auto found =
      quantize::assign_codes(backend, model, present, {.progress = std::move(options.progress), .ranks = ranks});
  quantize::gather_codes(ranks, found.codes);
  translated_catalog out{.nearest = detail::spread(found.codes, present.selection(), features.rows()),
                         .codes = {},
                         .reconstruction_error = found.reconstruction_error,
                         .usage = {},
                         .outcome = {},
                         .uniqueness = {},
                         .capacity = {}};
  out.kept = detail::add_kept(kept, out.nearest);
  out.collisions_before = quantize::collision_rate(out.nearest);
  out.usage = quantize::code_usage(out.nearest);
  out.codes = out.nearest;
  quantize::encoded_latents const latents(backend, model, features);
  detail::with_host_codebooks(
      backend, model, [&]<Backend H>(H& host, std::span<quantize::codebook_view<H, float> const> levels) {
        out.outcome = std::visit([&](auto const& rule) { return rule.resolve(host, out.codes, levels, latents, kept); },
                                 options.policy);
      });
  out.collisions = quantize::collision_rate(out.codes);
  if (ranks.world_size() > 1) train::expect_equal(ranks, "the translated catalog", detail::checksum_of(out.codes));
  out.uniqueness = ranks.world_size() == 1 ? quantize::check_uniqueness(out.codes)
                                           : quantize::check_uniqueness(detail::part_of(out.codes, ranks), ranks);
  out.capacity = quantize::capacity_of(out.codes);
  return out;
}

/// The paper's vocabulary, with the levels and codes of a table in one modality.
[[nodiscard]] language::vocabulary vocabulary_for(language::modality kind, std::vector<index_t> const& sizes);

/// Writes a token index, `D.index_*.json`. Throws file_error.
void write_index(std::filesystem::path const& path, quantize::code_table const& codes, language::modality kind);

/// The codes that a token index may contain.
struct index_codes {
  language::modality kind = language::modality::text;  ///< the modality of the tokens
  std::vector<index_t> sizes = {};                     ///< K of each level
  index_t items = 0;                                   ///< the number of items of the catalog
};

/// Reads a token index as codes. Throws file_error for tokens of another modality, level or size, and for an item that
/// isn't in the catalog.
[[nodiscard]] quantize::code_table read_index(std::filesystem::path const& path, index_codes const& expected);

/// K of each level of the sequences of a policy: those of the codebooks, and that of the level that the policy adds.
[[nodiscard]] std::vector<index_t> sequence_sizes(std::vector<index_t> codebooks, any_collision_policy const& policy);

}  // namespace mql4grec::pipeline

#if !MQL4GREC_COMPILED
#include "mql4grec/pipeline/translate.inl.hpp"
#endif
