#pragma once

namespace mql4grec {

/// How a call of a training ended.
enum class run_status { finished, out_of_time, interrupted };

}  // namespace mql4grec
