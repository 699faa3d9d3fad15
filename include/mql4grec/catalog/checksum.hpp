#pragma once
// A checksum of interactions, by which a resumed run and the ranks of a run recognize their data.
#include <cstdint>
#include <span>

#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/core/checksum.hpp"

namespace mql4grec::catalog {

/// A checksum of what a model may learn from interactions: histories, split and training users. The keys of users
/// aren't part of it. Reads all interactions once.
[[nodiscard]] inline std::uint64_t checksum_of(interactions const& data) {
  auto sum = static_cast<std::uint64_t>(data.item_count);
  auto const add = [&sum](auto const& values) {
    sum = checksum(std::as_bytes(std::span(values.data(), values.size())), sum);
  };
  add(data.items);
  add(data.offsets);
  add(data.is_trained);
  if (data.time) add(data.time->known);
  return sum;
}

}  // namespace mql4grec::catalog
