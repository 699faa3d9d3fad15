// Events as lines of JSON.
#include "service_log.hpp"

#include <spdlog/logger.h>
#include <spdlog/sinks/stdout_sinks.h>

#include "mql4grec/core/json.hpp"

namespace mql4grec::program {

namespace {

/// The members of {"event": …} and the facts, without the braces: spdlog's pattern adds time and level.
std::string members(char const* event, json const& facts) {
  auto text = json(event).dump();
  for (auto const& [name, value] : facts.items())
    text += ", " + json(name).dump() + ": " + value.dump(-1, ' ', false, json::error_handler_t::replace);
  return text;
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

void service_log::debug(char const* event, json const& facts) { logger_->debug(members(event, facts)); }
void service_log::info(char const* event, json const& facts) { logger_->info(members(event, facts)); }
void service_log::warn(char const* event, json const& facts) { logger_->warn(members(event, facts)); }
void service_log::fail(char const* event, json const& facts) { logger_->error(members(event, facts)); }

}  // namespace mql4grec::program
