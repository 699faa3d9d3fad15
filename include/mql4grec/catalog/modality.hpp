#pragma once
#include <cstdint>

namespace mql4grec {

/// A way of describing items that becomes a language of its own. The paper has two; a third is `modality{2}`, and so on:
/// everything that takes a modality takes a position in a list, never one of a pair.
enum class modality : std::int32_t { text = 0, image = 1 };

}  // namespace mql4grec
