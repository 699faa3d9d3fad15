#pragma once
// Calibrations as JSON files: the knots, and what they were fitted with. `evaluate --calibrate` writes calibration.json
// into the model directory; docs/file-formats.md describes it.
#include <filesystem>

#include "mql4grec/core/json_fwd.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/rank/calibration.hpp"

namespace mql4grec::rank {

/// Reads a calibration; other keys are ignored. Throws file_error if the file can't be read, if it doesn't state what
/// it was fitted with, and unless there are as many scores, ascending, as probabilities, ascending or equal and in [0,
/// 1], and at least one.
[[nodiscard]] score_calibration read_calibration(std::filesystem::path const& file);

/// Writes a calibration, atomically. Throws file_error, and error if the rule of fusion has no name.
void write_calibration(std::filesystem::path const& file, score_calibration const& calibration);

/// An object with "bins", each with "count", "predicted" and "observed", and "expected_error".
void to_json(json& out, reliability const& measured);

}  // namespace mql4grec::rank

#if !MQL4GREC_COMPILED
#include "mql4grec/rank/calibration_json.inl.hpp"
#endif
