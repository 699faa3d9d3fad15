#pragma once
// The interactions of a dataset directory in any of their forms: packed, one JSON object, or JSON lines in one or many
// files. Texts are read one user at a time, in bounded memory, when they are packed.
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "mql4grec/catalog/dataset_paths.hpp"
#include "mql4grec/catalog/interactions.hpp"
#include "mql4grec/catalog/packed_interactions.hpp"
#include "mql4grec/core/macros.hpp"

namespace mql4grec::catalog {

/// How the interactions of a dataset are written.
enum class interaction_form {
  none,       ///< no file
  packed,     ///< `Name.inter.packed`
  json,       ///< `Name.inter.json`, with the times in `Name.times.json` if that exists
  json_lines  ///< `Name.inter.jsonl`, or the parts `Name.inter-00001-of-00008.jsonl` and so on
};

/// The files with the interactions of a dataset.
struct interaction_files {
  interaction_form form = interaction_form::none;  ///< of all `files`
  std::vector<std::filesystem::path> files = {};   ///< in their order; the first one holds the first users
  index_t bytes = 0;                               ///< of the files, and of those with times
  bool operator==(interaction_files const&) const = default;
};

/// The text files of a dataset, whether or not it also has a packed file. Throws file_error when there are several
/// forms of texts, and when a part is missing.
[[nodiscard]] interaction_files interaction_texts(dataset_paths const& paths);

/// The files that a dataset's interactions are read from: the packed one if it exists, otherwise the texts. Throws
/// file_error as interaction_texts(), and when the texts have another size than when they were packed.
[[nodiscard]] interaction_files find_interactions(dataset_paths const& paths);

/// Reads the interactions of a dataset. Packed ones are mapped; see read_packed_interactions(). Throws file_error when
/// there are none, when a file can't be read, and when it is invalid.
[[nodiscard]] interactions read_interactions(dataset_paths const& paths);

/// The time of each of data.items, where `data` are the interactions of the dataset. Throws file_error when the times
/// are missing or invalid.
[[nodiscard]] column<double> read_times(dataset_paths const& paths, interactions const& data);

/// How far packing has come.
struct pack_progress {
  index_t bytes = 0, size = 0;          ///< of the texts: read so far, and of all files together
  index_t users = 0, interactions = 0;  ///< written so far
};

/// Writes `Name.inter.packed` from the texts of a dataset directory, in a few MiB of memory and 8 bytes a user. It has
/// times if `Name.times.json` exists, with the users in the same order, or if every line has them. Calls `progress`
/// about every MiB and at the end. Throws file_error when there are no texts, when one is invalid, when two users have
/// the same key, and when the file can't be written.
packed_summary pack_interactions(dataset_paths const& paths,
                                 std::function<void(pack_progress const&)> const& progress = {});

}  // namespace mql4grec::catalog

#if !MQL4GREC_COMPILED
#include "mql4grec/catalog/interaction_files.inl.hpp"
#endif
