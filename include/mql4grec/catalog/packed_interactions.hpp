#pragma once
// Interactions in a binary file that is mapped read-only: it is read without parsing, shared by all processes of a
// machine, and may be larger than the memory. `prepare --pack` writes it once; docs/file-formats.md specifies it.
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string_view>

#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/core/column.hpp"
#include "mql4grec/core/macros.hpp"

namespace mql4grec::catalog {

/// Interactions with the time of each, where it is known.
struct timed_interactions {
  interactions data;     ///< of all users
  column<double> times;  ///< of data.items, in any unit; empty: unknown
  bool operator==(timed_interactions const&) const = default;
};

/// What a packed file contains.
struct packed_summary {
  index_t users = 0, interactions = 0;  ///< in the file
  index_t item_count = 0;               ///< one more than the largest item
  index_t bytes = 0;                    ///< of the file
  index_t source_bytes = 0;             ///< of the files that it was made of; 0: unknown
  bool has_times = false;               ///< whether the file has the time of each interaction
  bool operator==(packed_summary const&) const = default;
};

/// Whether a packed file has the time of each interaction.
enum class packed_times {
  absent,  ///< no times
  present  ///< a time for each interaction
};

/// Options of a packed_writer.
struct packed_options {
  packed_times times = packed_times::absent;  ///< whether every interaction has a time
  index_t item_count = 0;    ///< at least so many items, whether anybody has interacted with them or not
  index_t source_bytes = 0;  ///< see packed_summary
};

/// Writes a packed file, one user after another, in a few MiB of memory and 8 bytes a user. The file appears under its
/// name with commit(), complete; without it nothing remains. All errors but those of the arguments are file_error.
class packed_writer {
 public:
  /// Creates the file under a temporary name.
  explicit packed_writer(std::filesystem::path path, packed_options options = {});
  packed_writer(packed_writer const&) = delete;
  packed_writer& operator=(packed_writer const&) = delete;
  ~packed_writer();

  /// Appends a user with items from the oldest to the newest, and their times if the file has times. Throws error when
  /// an item is negative or too large, when times aren't finite, fall, or are as many as the items.
  void add_user(std::string_view key, std::span<item_id const> items, std::span<double const> times = {});
  /// Users and interactions so far.
  [[nodiscard]] packed_summary const& written() const;
  /// Completes the file. Call it once, as the last member. Throws error when two users have the same key, and when
  /// there are no users or no interactions.
  packed_summary commit();

 private:
  struct state;
  std::unique_ptr<state> state_;
};

/// Maps a packed file and checks all of it: sizes, checksums, the range of every item, the order of offsets and times.
/// It must not be changed or shortened as long as it is in use; replacing it by another file is fine. Throws file_error
/// for a file that is damaged, incomplete, of another version or of a machine with another byte order.
[[nodiscard]] timed_interactions read_packed_interactions(std::filesystem::path const& path);

/// The header of a packed file. Checks the header and the size of the file, and nothing else; throws file_error.
[[nodiscard]] packed_summary read_packed_summary(std::filesystem::path const& path);

}  // namespace mql4grec::catalog

#if !MQL4GREC_COMPILED
#include "mql4grec/catalog/packed_interactions.inl.hpp"
#endif
