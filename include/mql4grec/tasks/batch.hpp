#pragma once
// Batches of token sequences. Sequences are packed back to back: padding to the longest would cost 3.5 to 4.6 times the
// work on the real data. Every sequence ends with </s>, which only close_input() and close_target() write, so no input
// is ever empty.
#include <span>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"
#include "mql4grec/language/vocabulary.hpp"

namespace mql4grec::tasks {

/// The inputs of the encoder and the targets of the decoder. A batch of queries for a search has inputs and no targets.
struct batch {
  std::vector<token_t> inputs;                ///< Σ T_in
  std::vector<index_t> input_offsets = {0};   ///< (B + 1)
  std::vector<token_t> targets;               ///< Σ T_out
  std::vector<index_t> target_offsets = {0};  ///< (B + 1), or (1) without targets

  /// B, the number of inputs.
  index_t size() const { return static_cast<index_t>(input_offsets.size()) - 1; }
  /// Input i with its </s>. Throws error when i is out of range.
  std::span<token_t const> input(index_t i) const { return part(inputs, input_offsets, i); }
  /// Target i with its </s>. Throws error when i is out of range.
  std::span<token_t const> target(index_t i) const { return part(targets, target_offsets, i); }

  /// Removes all sequences and keeps the memory: refilling to the same size allocates nothing.
  void clear() {
    inputs.clear();
    targets.clear();
    input_offsets.resize(1);
    target_offsets.resize(1);
  }

  /// Appends tokens to the open input. To write a sequence pair in pieces, call add_input() as often as needed, then
  /// close_input(), and likewise for the target.
  void add_input(std::span<token_t const> tokens) { inputs.insert(inputs.end(), tokens.begin(), tokens.end()); }
  /// Appends one token to the open input.
  void add_input(token_t token) { inputs.push_back(token); }
  /// Appends tokens to the open target.
  void add_target(std::span<token_t const> tokens) { targets.insert(targets.end(), tokens.begin(), tokens.end()); }
  /// Ends the open input with </s>.
  void close_input() { close(inputs, input_offsets); }
  /// Ends the open target with </s>.
  void close_target() { close(targets, target_offsets); }

  /// Appends a sequence pair. Neither argument contains its </s>.
  void append(std::span<token_t const> input_tokens, std::span<token_t const> target_tokens) {
    add_input(input_tokens);
    close_input();
    add_target(target_tokens);
    close_target();
  }

  bool operator==(batch const&) const = default;

 private:
  static std::span<token_t const> part(std::vector<token_t> const& tokens, std::vector<index_t> const& offsets,
                                       index_t i) {
    expects(i >= 0 && i + 1 < std::ssize(offsets), "sequence ", i, " of a batch with ", offsets.size() - 1);
    auto const at = to_size(i);
    return {tokens.data() + offsets[at], to_size(offsets[at + 1] - offsets[at])};
  }
  static void close(std::vector<token_t>& tokens, std::vector<index_t>& offsets) {
    tokens.push_back(language::vocabulary::eos);
    offsets.push_back(static_cast<index_t>(tokens.size()));
  }
};

/// The sequences first … last − 1 of a batch.
struct micro_batch {
  index_t first = 0, last = 0;  ///< number of the first sequence, and one more than that of the last
  bool operator==(micro_batch const&) const = default;
};

}  // namespace mql4grec::tasks
