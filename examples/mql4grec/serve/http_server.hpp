#pragma once
// An HTTP/1.1 server for one host: many connections on a few threads that only read, write and wait. Requests are
// answered by a handler, which must not block such a thread; it may answer later, from any thread.
#include <atomic>
#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "mql4grec/core/error.hpp"

namespace mql4grec::program {

/// A request that the client must change: answered with 400 and this one line.
class bad_request : public error {
 public:
  using error::error;
};

/// Limits on what clients may ask for. A client that exceeds one is answered with one line, or disconnected.
struct http_limits {
  std::size_t connections = 1024;       ///< at a time; others are answered with 503, or closed
  std::size_t header_bytes = 16 << 10;  ///< of a request's first line and headers; more: 431
  std::size_t body_bytes = 1 << 20;     ///< of a request; more: 413
  std::chrono::milliseconds header_time{
      10'000};  ///< from the first byte of a request to the end of its headers; later: closed
  std::chrono::milliseconds body_time{10'000};   ///< then to the end of its body; later: closed
  std::chrono::milliseconds write_time{10'000};  ///< to take an answer; then the connection is closed
  std::chrono::milliseconds idle_time{60'000};   ///< between two requests; then the connection is closed
};

/// Options of a server.
struct http_server_options {
  std::string host = "127.0.0.1";  ///< an address; the server listens on nothing else
  unsigned short port = 8080;      ///< 0: a free one
  std::size_t threads = 1;         ///< that read and write; each has its own connections
  http_limits limits = {};
  std::chrono::milliseconds grace{10'000};  ///< how long stop() waits for requests in progress
};

/// A request whose header and body have been read.
struct http_request {
  std::string method = {};         ///< such as "GET"
  std::string path = {};           ///< of the target, decoded, without its query
  std::string query = {};          ///< of the target, as sent
  std::string body = {};           ///< at most http_limits::body_bytes
  std::string authorization = {};  ///< the header of that name; empty: none
  std::string content_type = {};   ///< the header of that name; empty: none
  std::stop_token gone = {};       ///< stop is requested when the client disconnects
};

/// An answer.
struct http_response {
  unsigned status = 200;
  std::string body = {};
  std::string content_type = "application/json";
  std::vector<std::pair<std::string, std::string>> headers = {};  ///< further ones
};

/// Sends the answer to a request. Copies answer the same request; the first answer counts. If all are destroyed without
/// one, the client gets a 500.
class responder {
 public:
  explicit responder(std::function<void(http_response)> send) : state_(std::make_shared<state>(std::move(send))) {}
  /// Thread-safe.
  void operator()(http_response response) const { state_->answer(std::move(response)); }

 private:
  class state {
   public:
    explicit state(std::function<void(http_response)> send) : send_(std::move(send)) {}
    state(state const&) = delete;
    state& operator=(state const&) = delete;
    ~state() { answer({.status = 500, .body = "{\"error\": \"the request was dropped\"}"}); }
    void answer(http_response response) {
      if (!answered_.exchange(true)) send_(std::move(response));
    }

   private:
    std::function<void(http_response)> send_;
    std::atomic<bool> answered_ = false;
  };
  std::shared_ptr<state> state_;
};

/// Called for every request that was read, on a thread of the server, on several at a time; must not block and must not
/// throw.
using http_handler = std::function<void(http_request, responder)>;

/// What a server counts.
struct http_counts {
  std::size_t connections = 0;  ///< open now
  std::size_t refused = 0;      ///< connections beyond the limit
  std::size_t malformed = 0;    ///< requests that weren't HTTP, too large or too slow
};

/// The server. It listens when it is constructed. Requests that it has handed out must have been answered, or dropped,
/// before it is destroyed.
class http_server {
 public:
  /// Binds and listens. Throws error that names the address and the reason.
  http_server(http_server_options const& options, http_handler handler);
  ~http_server();

  /// The port in use.
  unsigned short port() const;
  /// Serves until stop(), on the calling thread and the others of the options.
  void run();
  /// Ends run(): no new connection is accepted, idle ones are closed, and requests in progress are answered, for at
  /// most `grace`. Thread-safe.
  void stop();
  /// Thread-safe.
  http_counts counts() const;

 private:
  class server;
  std::unique_ptr<server> server_;
};

/// A path or a parameter with %XX decoded; "+" stays. Throws bad_request for a % that isn't followed by two hexadecimal
/// digits.
std::string decoded_percent(std::string_view text);

/// The text as a part of a path: other bytes than letters, digits, "-", "_" and "." as %XX.
std::string encoded_percent(std::string_view text);

/// The value of a parameter in a query "a=1&b=2", decoded; empty if it is missing.
std::string query_parameter(std::string_view query, std::string_view name);

}  // namespace mql4grec::program
