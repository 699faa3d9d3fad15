// The command serve: a model and a catalog answer requests by HTTP.
#include <memory>
#include <thread>

#include "commands.hpp"
#include "compute/compute.hpp"
#include "memory.hpp"
#include "mql4grec/core/files.hpp"
#include "options.hpp"
#include "progress.hpp"
#include "signals.hpp"
#include "warnings.hpp"

#if MQL4GREC_HAS_SERVICE
#include "serve/service.hpp"
#endif

namespace mql4grec::program {

#if MQL4GREC_HAS_SERVICE

namespace {

struct serve_options {
  service_options service;
  http_server_options server;
  std::filesystem::path admin_token_file;
  std::string log_level = "info";
  index_t header_ms = 10'000, body_ms = 10'000, idle_ms = 60'000, grace_ms = 10'000;
  common_options common;
};

/// The token in a file: its first line.
std::string read_token(std::filesystem::path const& path) {
  auto token = read_text(path);
  token.resize(std::min(token.size(), token.find_first_of("\r\n")));
  expects_file(token.size() >= 16, path, "line 1: a token of ", token.size(), " characters, expected at least 16");
  return token;
}

int serve_command(serve_options& options) {
  share_heaps();
  if (!options.admin_token_file.empty()) options.service.admin_token = read_token(options.admin_token_file);
  using ms = std::chrono::milliseconds;
  auto& limits = options.server.limits;
  limits.header_time = ms(options.header_ms);
  limits.body_time = limits.write_time = ms(options.body_ms);
  limits.idle_time = ms(options.idle_ms);
  options.server.grace = ms(options.grace_ms);
  auto const compute = open_compute(options.common);
  progress_log progress({.quiet = options.common.quiet});
  warn_of_precision(*compute, progress);
  service_log log(options.log_level);
  auto serving = std::make_unique<service>(options.service, *compute, log);
  http_server server(options.server, [&serving = *serving](http_request request, responder const& answer) {
    serving.handle(std::move(request), answer);
  });
  serving->set_http_counts([&] { return server.counts(); });
  // Liveness is answered while the model is read. Signals are polled: a handler must not do what stopping takes.
  std::exception_ptr fault;
  std::jthread loading([&](std::stop_token ended) {
    try {
      serving->load();
      log.info("ready", {{"address", options.server.host}, {"port", server.port()}});
    } catch (...) {
      fault = std::current_exception();
      return server.stop();
    }
    while (!ended.stop_requested() && !interrupted()) std::this_thread::sleep_for(ms(20));
    if (interrupted()) log.info("stopping", {{"grace_ms", options.grace_ms}});
    server.stop();
  });
  log.info("listening", {{"address", options.server.host}, {"port", server.port()}});
  server.run();
  loading = {};     // waits for it
  serving.reset();  // answers what is left, before the server ends that these answers go to
  if (fault) std::rethrow_exception(fault);
  log.info("stopped", json::object());
  return done;
}

}  // namespace

void add_serve(CLI::App& program, int& status) {
  auto const options = std::make_shared<serve_options>();
  auto& command = *program.add_subcommand("serve", "answer requests by HTTP, and show a page");
  auto& service = options->service;
  auto& server = options->server;
  command.add_option("--dataset", service.paths.catalog.dataset, "dataset directory .../Name")->required();
  command.add_option("--model", service.paths.model, "model directory")->required();
  command.add_option("--images", service.paths.catalog.images, "directory of the items' pictures, for the page");
  command.add_option("--host", server.host, "the address to listen on")->capture_default_str();
  command.add_option("--port", server.port, "the port to listen on; 0: a free one")->capture_default_str();
  command.add_option("--admin-token-file", options->admin_token_file,
                     "a file with the token for end points that change something; without it there are none");
  command.add_option("--state", service.state,
                     "directory that keeps inserted and removed items; without it they are lost at the end");
  command
      .add_flag("--follow", service.follow, "follow the changes that another process writes to --state, and make none")
      ->needs("--state");
  command
      .add_option("--translators", service.translators,
                  "directories of translators, with commas between them: items can be inserted by their features")
      ->delimiter(',');
  command.add_flag("--show-users", service.show_users, "let clients, such as the page, read the histories of users");
  auto& batching = service.serving.batching;
  command.add_option("--workers", batching.workers, "threads that compute")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command.add_option("--max-batch", batching.max_batch, "requests that a worker computes together at most")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command.add_option("--max-queued", batching.max_queued, "requests that wait at most; others get 503")
      ->check(CLI::Range(1, 100'000))
      ->capture_default_str();
  command
      .add_option_function<index_t>(
          "--max-wait-us", [&batching](index_t us) { batching.max_wait = std::chrono::microseconds(us); },
          "microseconds that an idle worker waits for further requests")
      ->check(CLI::Range(0, 1'000'000))
      ->default_str("0");
  command.add_option("--io-threads", server.threads, "threads that read requests and write answers")
      ->check(CLI::Range(1, 256))
      ->capture_default_str();
  command.add_option("--beams", service.serving.search.beams, "beams of each search")
      ->check(CLI::Range(1, 4096))
      ->capture_default_str();
  command.add_option("--max-connections", server.limits.connections, "connections at a time; others get 503")
      ->check(CLI::Range(1, 1'000'000))
      ->capture_default_str();
  command.add_option("--max-body", server.limits.body_bytes, "bytes of a body")
      ->check(CLI::Range(1, 1 << 30))
      ->capture_default_str();
  command.add_option("--max-history", service.limits.history, "items of a history")
      ->check(CLI::Range(1, 1 << 20))
      ->capture_default_str();
  auto const add_milliseconds = [&](char const* name, index_t& value, char const* meaning) {
    command.add_option(name, value, meaning)->check(CLI::Range(1, 3'600'000))->capture_default_str();
  };
  add_milliseconds("--header-ms", options->header_ms, "milliseconds for a request's headers");
  add_milliseconds("--body-ms", options->body_ms, "milliseconds for a request's body, and for taking an answer");
  add_milliseconds("--idle-ms", options->idle_ms, "milliseconds between two requests of a connection");
  add_milliseconds("--grace-ms", options->grace_ms, "milliseconds for requests in progress after SIGTERM");
  command.add_option("--log-level", options->log_level, "debug (every request), info, warning or error")
      ->check(CLI::IsMember({"debug", "info", "warning", "error"}))
      ->capture_default_str();
  add_common_options(command, options->common);
  command.remove_option(command.get_option("--json"));
  command.callback([options, &status] { status = serve_command(*options); });
}

#else

void add_serve(CLI::App& program, int&) {
  auto& command = *program.add_subcommand("serve", "answer requests by HTTP (this program was built without it)");
  command.allow_extras();
  command.callback([] { raise("serve: this program was built without Boost, prometheus-cpp or spdlog"); });
}

#endif

}  // namespace mql4grec::program
