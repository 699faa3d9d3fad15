#pragma once
// Catalogs of many million items in one file: the token sequences of all items and their tries, written in bounded
// memory, and mapped read-only, so that a live_catalog begins at once and all processes of a machine share the pages.
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <vector>

#include "mql4grec/core/macros.hpp"
#include "mql4grec/language/token_table.hpp"
#include "mql4grec/language/vocabulary.hpp"
#include "mql4grec/search/live_trie.hpp"

namespace mql4grec::search {

/// A file that a packed catalog was made of, and what it was then.
struct packed_source {
  index_t bytes = -1;          ///< −1: there was no such file
  std::int64_t modified = 0;   ///< time of the last change, in nanoseconds
  std::uint64_t checksum = 0;  ///< of its content
  bool operator==(packed_source const&) const = default;
};

/// The state of a file, which is read for its checksum. Throws file_error if it exists and can't be read.
[[nodiscard]] packed_source source_state(std::filesystem::path const& path);
/// Whether a file has the content that it had then. It is read only if its time has changed but not its size.
[[nodiscard]] bool is_unchanged(packed_source const& then, std::filesystem::path const& path);

/// A number that identifies the tokens of a vocabulary and their ids.
[[nodiscard]] std::uint64_t fingerprint_of(language::vocabulary const& vocab);

/// Options of a packed_catalog_writer.
struct packed_catalog_options {
  index_t items = 0;  ///< items() of the tables; at least one more than the largest number that is added
  index_t memory = index_t{256} << 20;      ///< bytes of sequences that are sorted at once, at least 1 MiB
  std::vector<packed_source> sources = {};  ///< what the catalog is made of, for is_unchanged()
};

/// What the file of a catalog contains.
struct packed_catalog_summary {
  index_t items = 0, sequences = 0, nodes = 0, leaves = 0;  ///< sequences, nodes and leaves of all modalities
  index_t bytes = 0;                                        ///< of the file
  bool operator==(packed_catalog_summary const&) const = default;
};

/// Writes the file of a catalog. Sequences that exceed the memory are sorted in runs on the disk, which are merged.
/// Besides, it needs some MiB, and twice the size of the result on the disk. The file appears under its name with
/// commit(), complete; without it nothing remains.
class packed_catalog_writer {
 public:
  /// For the tokens of `vocab`, and one table for each of `modalities` modalities, at least those of the vocabulary.
  /// Throws error for options out of range and sequences of more than 128 bits, file_error when a file can't be made.
  packed_catalog_writer(std::filesystem::path path, language::vocabulary const& vocab, index_t modalities,
                        packed_catalog_options options = {});
  packed_catalog_writer(packed_catalog_writer const&) = delete;
  packed_catalog_writer& operator=(packed_catalog_writer const&) = delete;
  ~packed_catalog_writer();

  /// Gives an item its sequence in a modality. The items of a modality come in ascending order. Throws error when they
  /// don't, when the sequence has another length than those of the modality, or tokens that aren't its tokens;
  /// file_error when a run can't be written.
  void add(language::modality kind, item_id item, std::span<token_t const> sequence);
  /// Adds all sequences of a table.
  void add(language::token_table const& table) {
    for (auto const item : table.present()) add(table.kind(), item, table.of(item));
  }
  /// Completes the file. Call it once, as the last member. Throws error when the nodes don't fit 32-bit numbers,
  /// file_error when the file can't be written.
  packed_catalog_summary commit();

 private:
  struct state;
  std::unique_ptr<state> state_;
};

/// Modalities whose sequences have the same length, and their tries.
struct packed_group {
  std::vector<language::modality> kinds;  ///< by the table of the trie
  mapped_nodes trie;                      ///< of these
};

/// A catalog in a mapped file.
struct packed_catalog {
  std::vector<language::token_table> tables = {};  ///< by modality, all with the same items()
  std::vector<packed_group> groups = {};           ///< by the length of their sequences; without empty modalities
  std::vector<packed_source> sources = {};         ///< see packed_catalog_options
  std::uint64_t tokens = 0;                        ///< fingerprint_of() the tables
  std::uint64_t vocabulary = 0;                    ///< fingerprint_of() the vocabulary

  /// Whether these are the tables, as they are in the file. They may have more items that lack sequences.
  [[nodiscard]] bool has(std::span<language::token_table const> others) const {
    return std::ranges::equal(tables, others, [](auto const& a, auto const& b) {
      return a.tokens().data() == b.tokens().data() && a.present().data() == b.present().data() &&
             a.present().size() == b.present().size() && a.levels() == b.levels() && a.kind() == b.kind();
    });
  }
};

/// How much of a packed catalog is checked when it is opened.
enum class packed_check {
  all,    ///< everything: checksums, the order of nodes, tokens and items; reads the file once
  header  ///< the header and sizes, in microseconds; for a file that was checked before and is trusted since
};

/// Maps the file of a catalog. It must not be changed or shortened as long as it is in use; replacing it by another
/// file is fine. Throws file_error for a file that is damaged, incomplete, of another version or of another kind of
/// machine, and for one of another vocabulary. After `packed_check::header` a search in a damaged file may read outside
/// of it.
[[nodiscard]] std::shared_ptr<packed_catalog const> read_packed_catalog(std::filesystem::path const& path,
                                                                        language::vocabulary const& vocab,
                                                                        packed_check check = packed_check::all);

}  // namespace mql4grec::search

#if !MQL4GREC_COMPILED
#include "mql4grec/search/packed_catalog.inl.hpp"
#include "mql4grec/search/packed_catalog_reader.inl.hpp"
#endif
