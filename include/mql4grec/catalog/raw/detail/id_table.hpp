#pragma once
// Numbers for strings, in the order of their first appearance.
#include <chrono>
#include <cstdint>
#include <cstring>
#include <limits>
#include <string>
#include <string_view>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec::catalog::detail {

/// A hash table of strings. A string costs its bytes and about 20 more: hundreds of millions of ratings name tens of
/// millions of users, for which the nodes of std::unordered_map would take a hundred.
class id_table {
 public:
  static constexpr std::uint32_t none = std::numeric_limits<std::uint32_t>::max();

  /// The number of a string; a new one gets the next number.
  std::uint32_t insert(std::string_view key) {
    if (2 * (size() + 1) > slots_.size()) grow();
    auto& slot = slots_[find_slot(key)];
    if (slot == none) {
      expects(size() < none - 1, "more than 4294967294 different users or items");
      slot = static_cast<std::uint32_t>(size());
      text_.insert(text_.end(), key.begin(), key.end());
      ends_.push_back(text_.size());
    }
    return slot;
  }
  /// The number of a string, or none.
  std::uint32_t find(std::string_view key) const { return slots_.empty() ? none : slots_[find_slot(key)]; }
  /// The string of a number. Valid until the next insert().
  std::string_view key(std::size_t id) const {
    auto const begin = id == 0 ? 0 : ends_[id - 1];
    return {text_.data() + begin, ends_[id] - begin};
  }
  std::size_t size() const { return ends_.size(); }

 private:
  /// A different seed in each table, so that no file can be made whose strings all collide.
  static std::uint64_t fresh_seed() {
    static std::uint64_t calls = 0;
    return static_cast<std::uint64_t>(std::chrono::steady_clock::now().time_since_epoch().count()) ^
           reinterpret_cast<std::uintptr_t>(&calls) << 20;
  }
  static std::uint64_t mix(std::uint64_t a, std::uint64_t b) {
    __extension__ using wide = unsigned __int128;
    auto const product = static_cast<wide>(a) * b;
    return static_cast<std::uint64_t>(product) ^ static_cast<std::uint64_t>(product >> 64);
  }
  std::uint64_t hash(std::string_view key) const {
    auto h = seed_ ^ key.size();
    for (; key.size() >= 8; key.remove_prefix(8)) {
      std::uint64_t word;
      std::memcpy(&word, key.data(), 8);
      h = mix(h ^ word, 0x9e3779b97f4a7c15) + seed_;
    }
    std::uint64_t word = 0;
    if (!key.empty()) std::memcpy(&word, key.data(), key.size());
    return mix(h ^ word, 0xd6e8feb86659fd93 ^ seed_);
  }
  std::size_t find_slot(std::string_view key) const {
    auto const mask = slots_.size() - 1;
    auto at = static_cast<std::size_t>(hash(key)) & mask;
    while (slots_[at] != none && this->key(slots_[at]) != key) at = (at + 1) & mask;
    return at;
  }
  void grow() {
    slots_.assign(slots_.empty() ? 1024 : 2 * slots_.size(), none);
    for (std::size_t id = 0; id < size(); ++id) slots_[find_slot(key(id))] = static_cast<std::uint32_t>(id);
  }

  std::uint64_t seed_ = fresh_seed();
  std::vector<char> text_;
  std::vector<std::size_t> ends_;
  std::vector<std::uint32_t> slots_;  ///< a power of two, at most half full
};

}  // namespace mql4grec::catalog::detail
