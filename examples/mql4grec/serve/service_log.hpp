#pragma once
// One line of JSON for each event, on standard error, by spdlog.
#include <memory>
#include <string>

#include "mql4grec/core/json_fwd.hpp"

namespace spdlog {
class logger;
}

namespace mql4grec::program {

/// Writes events with their time and level. Thread-safe. Bodies, tokens and histories are never passed to it.
class service_log {
 public:
  /// `level`: "debug" (requests too), "info", "warning" or "error"; what is less important isn't written.
  explicit service_log(std::string const& level);
  ~service_log();

  /// Whether events of the level "debug" are written. Others needn't be made.
  bool writes_debug() const;
  /// `event` is a word; `facts` an object.
  void debug(char const* event, json const& facts);
  void info(char const* event, json const& facts);
  void warn(char const* event, json const& facts);
  void fail(char const* event, json const& facts);

 private:
  std::shared_ptr<spdlog::logger> logger_;
};

}  // namespace mql4grec::program
