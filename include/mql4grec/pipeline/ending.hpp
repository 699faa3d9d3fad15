#pragma once

namespace mql4grec {

/// How a call of a training ended.
enum class ending { finished, out_of_time, interrupted };

}  // namespace mql4grec
