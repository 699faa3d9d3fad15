#pragma once
// The codes of an item that is added to a catalog: those that resolving collisions gives it when all other items keep
// theirs. The cost doesn't depend on the number of items.
#include <concepts>
#include <span>
#include <vector>

#include "mql4grec/quantize/assign_codes.hpp"
#include "mql4grec/quantize/collisions/sequence_placer.hpp"

namespace mql4grec::quantize {

namespace detail {

/// The sequences in use, by a function that knows whether a sequence is. The functions are those of `occupancy`.
template <std::predicate<std::span<code_t const>> Taken>
class queried_occupancy {
 public:
  queried_occupancy(std::vector<index_t> const& sizes, Taken const& taken) : packing_(sizes), taken_(taken) {}

  key_packing const& packing() const { return packing_; }
  index_t free_codes(sequence_key prefix) const {
    index_t free = 0;
    for (index_t k = 0; k < packing_.size(packing_.levels() - 1); ++k) free += is_free(prefix, k) ? 1 : 0;
    return free;
  }
  bool is_free(sequence_key prefix, index_t code) const {
    auto codes = packing_.prefix_codes(prefix);
    codes.push_back(code_t(static_cast<std::int32_t>(code)));
    return !taken_(std::span<code_t const>(codes));
  }
  void take(sequence_key, index_t) const {}

 private:
  key_packing packing_;
  Taken const& taken_;
};

}  // namespace detail

/// The codes of an item with these features: the nearest ones or, if taken(codes) is true for them, the nearest free
/// ones by the rule of `reallocate`. So a catalog to which items are added one by one with their codes kept has the
/// codes that pipeline::translate_catalog() gives them one by one. Throws error when the features don't have the
/// model's input width, or when no sequence is free.
template <Backend B, Quantizer<B> M, std::predicate<std::span<code_t const>> Taken>
  requires std::same_as<typename B::memory_space, host_space>
[[nodiscard]] std::vector<code_t> place_item(B& worker, M const& model, host_vector_view<float const> features,
                                             Taken const& taken) {
  expects(features.size() == model.input_width(), "place_item: features of width ", features.size(),
          " for a quantizer of width ", model.input_width());
  host_matrix_view<float const> const x(features.data, 1, features.size());
  auto const sizes = code_sizes<B>(model);
  code_table table(1, sizes);
  detail::assign_block(worker, model, x, {.reconstruction_error = false}, table.all());
  item_id const only{0};
  auto const nearest = table.of(only);
  std::vector<code_t> codes(nearest.begin(), nearest.end());
  if (!taken(std::span<code_t const>(codes))) return codes;
  std::vector<float> latent(to_size(model.latent_width()));
  host_matrix_view<float> const z(latent.data(), 1, model.latent_width());
  encode(worker, model, x, z);
  auto const levels = model.codebooks();
  detail::queried_occupancy<Taken> occupied(sizes, taken);
  detail::sequence_placer<B, detail::queried_occupancy<Taken>> placer(worker, table, levels, occupied);
  placer.place({&only, 1}, z, codes);
  auto const placed = table.of(only);
  return {placed.begin(), placed.end()};
}

}  // namespace mql4grec::quantize
