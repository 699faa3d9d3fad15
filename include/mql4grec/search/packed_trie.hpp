#pragma once
// Tries of very large catalogs: built from sequences in any order in bounded memory, on disk, and mapped read-only, so
// that a process starts at once and all processes of a machine share the pages.
#include <filesystem>
#include <limits>
#include <memory>
#include <span>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/search/trie.hpp"

namespace mql4grec::search {

/// Options of a packed_trie_writer.
struct packed_trie_options {
  index_t levels = 4;            ///< tokens of each sequence
  index_t vocabulary = 1 << 16;  ///< tokens are 0 … vocabulary − 1; levels · log₂ vocabulary must be ≤ 128
  index_t memory = index_t{256} << 20;  ///< bytes of sequences that are sorted at once, at least 1 MiB
};

/// What the file of a trie contains.
struct packed_trie_summary {
  index_t levels = 0, nodes = 0, leaves = 0, items = 0;  ///< see item_trie
  index_t bytes = 0;                                     ///< of the file
  bool operator==(packed_trie_summary const&) const = default;
};

/// Writes the file of a trie. Sequences may come in any order: those that exceed the memory are sorted in runs on the
/// disk, which are merged. Besides `memory` it needs some MiB and a bit an item. The file appears under its name with
/// commit(), complete; without it nothing remains. The trie equals an item_trie of the same sequences.
class packed_trie_writer {
 public:
  /// Creates the file under a temporary name. Throws error for options out of range, file_error when that fails.
  explicit packed_trie_writer(std::filesystem::path path, packed_trie_options options = {});
  packed_trie_writer(packed_trie_writer const&) = delete;
  packed_trie_writer& operator=(packed_trie_writer const&) = delete;
  ~packed_trie_writer();

  /// Adds an item with its sequence (levels). Throws error when the item is negative or has a sequence already, or when
  /// the sequence has another length or tokens out of range; file_error when a run can't be written.
  void add(item_id item, std::span<token_t const> sequence);
  /// Completes the file. Call it once, as the last member. Throws error when the nodes don't fit 32-bit numbers,
  /// file_error when the file can't be written.
  packed_trie_summary commit();

 private:
  struct state;
  std::unique_ptr<state> state_;
};

/// How much of a packed trie is checked when it is opened.
enum class trie_check {
  all,    ///< everything: checksums, the order of nodes, tokens and items; reads the file once
  header  ///< the header and the size, in microseconds; for a file that was checked before and is trusted since
};

/// Options of read_packed_trie().
struct packed_trie_reading {
  trie_check check = trie_check::all;  ///< how much is checked
  /// With trie_check::all: tokens must be less than this, the number of tokens of the model that searches the trie.
  /// Default: no limit, for files whose tokens are known.
  index_t vocabulary = std::numeric_limits<index_t>::max();
};

/// Maps the file of a trie. It must not be changed or shortened as long as it is in use; replacing it by another file
/// is fine. Throws file_error for a file that is damaged, incomplete, of another version or of a machine with another
/// byte order. After `trie_check::header` a search in a damaged file may read outside of it.
[[nodiscard]] item_trie read_packed_trie(std::filesystem::path const& path, packed_trie_reading const& how = {});

}  // namespace mql4grec::search

#if !MQL4GREC_COMPILED
#include "mql4grec/search/packed_trie.inl.hpp"
#endif
