// Events as lines of JSON.
#include "service_log.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "mql4grec/core/json.hpp"

namespace mql4grec::program {

namespace {

/// Writes the members of {"event": …} and the facts, without the braces: spdlog's pattern adds time and level.
void write(spdlog::logger& to, spdlog::level::level_enum level, char const* event, json const& facts) {
  if (!to.should_log(level)) return;
  auto text = json(event).dump();
  for (auto const& [name, value] : facts.items())
    text += ", " + json(name).dump() + ": " + value.dump(-1, ' ', false, json::error_handler_t::replace);
  to.log(level, spdlog::string_view_t(text));
}

}  // namespace

service_log::service_log(std::string const& level)
    : logger_(std::make_shared<spdlog::logger>("service", std::make_shared<spdlog::sinks::stderr_sink_mt>())) {
  logger_->set_level(spdlog::level::from_str(level));
  logger_->flush_on(spdlog::level::trace);
  logger_->set_pattern(R"({"time": "%Y-%m-%dT%H:%M:%S.%eZ", "level": "%l", "event": %v})",
                       spdlog::pattern_time_type::utc);
}
service_log::~service_log() = default;

bool service_log::writes_debug() const { return logger_->should_log(spdlog::level::debug); }

void service_log::debug(char const* event, json const& facts) { write(*logger_, spdlog::level::debug, event, facts); }
void service_log::info(char const* event, json const& facts) { write(*logger_, spdlog::level::info, event, facts); }
void service_log::warn(char const* event, json const& facts) { write(*logger_, spdlog::level::warn, event, facts); }
void service_log::fail(char const* event, json const& facts) { write(*logger_, spdlog::level::err, event, facts); }

}  // namespace mql4grec::program
