#pragma once
// The examples of an epoch in a backend's memory, so that batches are built there. An example needs 4 bytes per token
// and 16 bytes for its offsets.
#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "mql4grec/backend/contract/graph_cache.hpp"
#include "mql4grec/backend/contract/packed_tokens.hpp"
#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/core/unique_number.hpp"
#include "mql4grec/tasks/batch.hpp"

namespace mql4grec::seq2seq {

/// The shape of a batch built from a device_dataset. Rows are rounded up, so that few shapes occur. The surplus rows
/// belong to `fillers` sequences after the examples; they contain pad tokens and have no targets.
struct captured_shape {
  index_t examples = 0, fillers = 0;              ///< sequences that are examples, and sequences that fill up the rows
  index_t input_rows = 0, target_rows = 0;        ///< token rows, fillers included
  index_t longest_input = 0, longest_target = 0;  ///< tokens of the longest sequence of the whole set
  std::uint64_t memory = 0;                       ///< differs between sets whose tokens are at different addresses

  /// All sequences, fillers included.
  index_t sequences() const { return examples + fillers; }
  auto operator<=>(captured_shape const&) const = default;
};

/// The examples of an epoch, or of a part of it, in a backend's memory.
template <Backend B>
class device_dataset {
  using space = typename B::memory_space;

 public:
  /// An empty dataset.
  device_dataset() = default;

  /// Replaces the examples by those of `all`, each of which needs targets. The memory is reused if it is large enough;
  /// otherwise it is allocated anew, and graphs captured with the old memory are no longer used. Throws error if inputs
  /// and targets differ in number.
  void assign(B& b, tasks::batch const& all) {
    expects(all.target_offsets.size() == all.input_offsets.size(), "device dataset: ", all.size(), " inputs, but ",
            all.target_offsets.size() - 1, " targets");
    size_ = all.size();
    if (!inputs_.holds(all.inputs, all.input_offsets) || !targets_.holds(all.targets, all.target_offsets)) {
      inputs_.reserve(b, all.inputs, all.input_offsets);
      targets_.reserve(b, all.targets, all.target_offsets);
      memory_ = unique_number();
    }
    inputs_.assign(all.inputs, all.input_offsets);
    targets_.assign(all.targets, all.target_offsets);
  }

  /// The number of examples.
  index_t size() const { return size_; }
  /// The whole memory of the inputs, including what the examples don't fill: captured work that reads it is launched
  /// again on later examples, which may be more.
  packed_tokens<space, token_t const> inputs() const { return {inputs_.tokens.view_all(), inputs_.offsets.view_all()}; }
  /// The whole memory of the targets; see inputs().
  packed_tokens<space, token_t const> targets() const {
    return {targets_.tokens.view_all(), targets_.offsets.view_all()};
  }

  /// The number of target tokens of the examples `which`. Throws error for an example that doesn't exist.
  index_t target_tokens(std::span<index_t const> which) const { return targets_.rows(which); }

  /// The shape of the batch of the examples `which`.
  captured_shape shape_of(std::span<index_t const> which) const {
    index_t const inputs = inputs_.rows(which), targets = targets_.rows(which);
    index_t const input_step = shape_step(inputs, 256), target_step = shape_step(targets, 64);
    auto const sequences_for = [](index_t rows, index_t longest) { return (rows + longest - 2) / (longest - 1); };
    // enough that no filler is longer than the longest example, and few enough that each has a row on both sides
    index_t const fillers =
        std::max(sequences_for(input_step, inputs_.longest), sequences_for(target_step, targets_.longest));
    return {.examples = std::ssize(which),
            .fillers = fillers,
            .input_rows = round_up(inputs + fillers, input_step),
            .target_rows = round_up(targets + fillers, target_step),
            .longest_input = inputs_.longest,
            .longest_target = targets_.longest,
            .memory = memory_};
  }

 private:
  /// The tokens and offsets of one side (inputs or targets); the lengths are also on the host.
  struct side {
    buffer<token_t, space> tokens;
    buffer<index_t, space> offsets;
    std::vector<std::int32_t> lengths;
    index_t longest = 2;

    bool holds(std::vector<token_t> const& t, std::vector<index_t> const& o) const {
      return std::ssize(t) <= tokens.size() && std::ssize(o) <= offsets.size();
    }
    void reserve(B& b, std::vector<token_t> const& t, std::vector<index_t> const& o) {
      auto const ample = [](auto n) { return static_cast<index_t>(n + n / 16); };  // another epoch may have more tokens
      tokens = {}, offsets = {};                                                   // freed before more is allocated
      tokens = b.template allocate<token_t>(ample(std::ssize(t)));
      offsets = b.template allocate<index_t>(ample(std::ssize(o)));
    }
    void assign(std::vector<token_t> const& t, std::vector<index_t> const& o) {
      copy(view_of(std::span(t)), tokens.view_all().part(0, std::ssize(t)));
      copy(view_of(std::span(o)), offsets.view_all().part(0, std::ssize(o)));
      lengths.clear();
      for (std::size_t s = 1; s < o.size(); ++s) lengths.push_back(static_cast<std::int32_t>(o[s] - o[s - 1]));
      longest = 2;  // of these alone: a resumed run has seen no others
      for (auto const length : lengths) longest = std::max<index_t>(longest, length);
    }
    index_t rows(std::span<index_t const> which) const {
      index_t sum = 0;
      for (index_t const s : which) {
        expects(s >= 0 && s < std::ssize(lengths), "device dataset: example ", s, " of ", lengths.size());
        sum += lengths[static_cast<std::size_t>(s)];
      }
      return sum;
    }
  };

  side inputs_, targets_;
  index_t size_ = 0;
  std::uint64_t memory_ = 0;
};

}  // namespace mql4grec::seq2seq
