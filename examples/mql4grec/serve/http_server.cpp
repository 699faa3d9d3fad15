// The HTTP server, on Boost.Asio and Boost.Beast. A connection belongs to one of some loops, each with a thread of its
// own that alone uses the connection's members. The first loop, on the thread of run(), also accepts connections.
#include "http_server.hpp"

#include <algorithm>
#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/beast/core.hpp>
#include <boost/beast/http.hpp>
#include <charconv>
#include <optional>
#include <set>
#include <thread>
#include <vector>

namespace mql4grec::program {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using tcp = asio::ip::tcp;
using boost::system::error_code;

class http_server::server {
 public:
  server(http_server_options options, http_handler handler)
      : options_(std::move(options)), handler_(std::move(handler)) {
    expects(options_.threads >= 1, "serve: ", options_.threads, " threads for connections, expected at least 1");
    for (std::size_t i = 0; i < options_.threads; ++i) loops_.push_back(std::make_unique<loop>(*this));
    acceptor_.emplace(loops_.front()->context);
    timer_.emplace(loops_.front()->context);
    listen();
  }
  server(server const&) = delete;
  server& operator=(server const&) = delete;

  unsigned short port() const { return acceptor_->local_endpoint().port(); }
  void run() {
    accept();
    std::vector<std::jthread> others;
    try {
      for (std::size_t i = 1; i < loops_.size(); ++i) others.emplace_back([this, i] { loops_[i]->context.run(); });
    } catch (...) {
      for (auto const& each : loops_) each->context.stop();
      throw;
    }
    loops_.front()->context.run();
  }
  void stop() {
    asio::post(loops_.front()->context, [this] { begin_stop(); });
  }
  http_counts counts() const { return {open_, refused_, malformed_}; }

 private:
  class connection;

  /// Some of the connections, used on one thread.
  struct loop {
    explicit loop(server& of) : owner(of), work(context.get_executor()) {}
    ~loop() { has_ended = true; }
    loop(loop const&) = delete;
    loop& operator=(loop const&) = delete;

    void add(tcp::socket socket, bool is_full);
    void remove(connection* one);
    void close_idle();
    void give_up();

    server& owner;
    std::set<connection*> connections = {};
    bool has_ended = false;
    // From here on, members refer to the context. Its destruction destroys the connections that wait in it.
    asio::io_context context{1};
    asio::executor_work_guard<asio::io_context::executor_type> work;  // run() returns only after stop()
  };

  void listen();
  void accept();
  void begin_stop();
  void end();

  http_server_options options_;
  http_handler handler_;
  std::atomic<std::size_t> open_ = 0, refused_ = 0, malformed_ = 0;
  std::atomic<bool> stopping_ = false;
  std::vector<std::unique_ptr<loop>> loops_;
  std::size_t next_loop_ = 0;
  std::optional<tcp::acceptor> acceptor_;
  std::optional<asio::steady_timer> timer_;  // of the next try to accept, then of the grace
};

/// One connection. It is kept alive by the operation that it waits for: a read, a write, or the answer of the handler.
class http_server::server::connection : public std::enable_shared_from_this<connection> {
 public:
  connection(loop& home, tcp::socket socket)
      : loop_(home),
        owner_(home.owner),
        stream_(std::move(socket)),
        // Chunk extensions and trailers have no other limit.
        buffer_(owner_.options_.limits.header_bytes + (64 << 10)) {
    error_code ignored;
    stream_.socket().set_option(tcp::no_delay(true), ignored);
  }
  ~connection() { loop_.remove(this); }
  connection(connection const&) = delete;
  connection& operator=(connection const&) = delete;

  /// Waits for the first byte of the next request.
  void wait() {
    if (owner_.stopping_) return close();
    if (buffer_.size() > 0) return read_header();
    is_idle_ = true;
    stream_.expires_after(owner_.options_.limits.idle_time);
    stream_.async_read_some(buffer_.prepare(4096),
                            [self = this->shared_from_this()](error_code failed, std::size_t bytes) {
                              self->is_idle_ = false;
                              if (failed) return self->close();
                              self->buffer_.commit(bytes);
                              self->read_header();
                            });
  }

  /// Answers that there are too many connections.
  void refuse() {
    keep_alive_ = false;
    write({.status = 503, .body = "{\"error\": \"too many connections\"}", .headers = {{"Retry-After", "1"}}});
  }

  bool is_idle() const { return is_idle_; }
  /// The client won't get its answer.
  void give_up() { gone_.request_stop(); }

  void close() {
    error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_both, ignored);
    stream_.close();
  }

 private:
  void read_header() {
    auto const& limits = owner_.options_.limits;
    parser_.emplace();
    parser_->header_limit(static_cast<std::uint32_t>(limits.header_bytes));
    parser_->body_limit(limits.body_bytes);
    stream_.expires_after(limits.header_time);
    http::async_read_header(stream_, buffer_, *parser_,
                            [self = this->shared_from_this()](error_code failed, std::size_t) {
                              if (failed) return self->refuse_malformed(failed);
                              self->read_body();
                            });
  }

  void read_body() {
    if (beast::iequals(parser_->get()[http::field::expect], "100-continue") && !parser_->is_done())
      return invite_body();
    stream_.expires_after(owner_.options_.limits.body_time);
    http::async_read(stream_, buffer_, *parser_, [self = this->shared_from_this()](error_code failed, std::size_t) {
      if (failed) return self->refuse_malformed(failed);
      self->handle();
    });
  }

  /// Tells a client that it may send the body.
  void invite_body() {
    parser_->get().erase(http::field::expect);
    auto const invitation = std::make_shared<http::response<http::empty_body>>(http::status::continue_, 11);
    stream_.expires_after(owner_.options_.limits.write_time);
    http::async_write(stream_, *invitation,
                      [self = this->shared_from_this(), invitation](error_code failed, std::size_t) {
                        if (failed) return self->close();
                        self->read_body();
                      });
  }

  void refuse_malformed(error_code failed) {
    if (failed == http::error::end_of_stream || failed == asio::error::operation_aborted ||
        failed == asio::error::connection_reset)
      return close();
    ++owner_.malformed_;
    unsigned status = 400;
    std::string reason = "not a valid HTTP request";
    if (failed == http::error::header_limit || failed == http::error::buffer_overflow)
      status = 431, reason = "the headers are too large";
    if (failed == http::error::body_limit) status = 413, reason = "the body is too large";
    if (failed == beast::error::timeout) return close();  // the timer has closed the stream: nothing can be sent
    keep_alive_ = false;
    write({.status = status, .body = "{\"error\": \"" + reason + "\"}"});
  }

  void handle() {
    auto message = parser_->release();
    keep_alive_ = message.keep_alive();
    without_body_ = message.method() == http::verb::head;
    std::string_view const target(message.target().data(), message.target().size());
    auto const question = target.find('?');
    http_request request{.method = without_body_ ? "GET" : std::string(message.method_string()),
                         .query = question == target.npos ? std::string() : std::string(target.substr(question + 1)),
                         .body = std::move(message.body()),
                         .authorization = std::string(message[http::field::authorization]),
                         .content_type = std::string(message[http::field::content_type])};
    gone_ = {};
    request.gone = gone_.get_token();
    try {
      request.path = decoded_percent(target.substr(0, question));
    } catch (bad_request const&) {
      return write({.status = 400, .body = "{\"error\": \"the path has a % without two hexadecimal digits\"}"});
    }
    stream_.expires_never();
    watch();
    // The last reference must go on the loop's thread: what the responder keeps is gone once it has answered.
    responder const answer([self = this->shared_from_this()](http_response response) mutable {
      auto& context = self->loop_.context;
      asio::post(context, [self = std::move(self), response = std::move(response)]() mutable {
        error_code ignored;
        self->stream_.socket().cancel(ignored);  // the watch
        self->write(std::move(response));
      });
    });
    owner_.handler_(std::move(request), answer);
  }

  /// Requests a stop if the client disconnects before it gets its answer.
  void watch() {
    stream_.socket().async_wait(tcp::socket::wait_read, [self = this->shared_from_this()](error_code failed) {
      if (failed) return;
      char byte = 0;
      error_code ended;
      auto const bytes = self->stream_.socket().receive(asio::buffer(&byte, 1), tcp::socket::message_peek, ended);
      if (ended || bytes == 0) self->gone_.request_stop();  // otherwise the next request has begun
    });
  }

  void write(http_response response) {
    keep_alive_ = keep_alive_ && !owner_.stopping_;
    auto const message = std::make_shared<http::response<http::string_body>>();
    message->version(11);
    message->result(response.status);
    message->set(http::field::content_type, response.content_type);
    message->set(http::field::server, "mql4grec");
    message->set("X-Content-Type-Options", "nosniff");
    for (auto const& [name, value] : response.headers) message->set(name, value);
    message->keep_alive(keep_alive_);
    message->body() = std::move(response.body);
    message->prepare_payload();
    if (without_body_) message->body().clear();  // Content-Length stays that of GET
    stream_.expires_after(owner_.options_.limits.write_time);
    auto const written = [self = this->shared_from_this(), message](error_code failed, std::size_t) {
      if (failed) return self->close();
      if (self->keep_alive_) return self->wait();
      self->drain();
    };
    if (without_body_) {
      auto const header = std::make_shared<http::response_serializer<http::string_body>>(*message);
      header->split(true);
      http::async_write_header(stream_, *header,
                               [written, header](error_code failed, std::size_t n) { written(failed, n); });
    } else {
      http::async_write(stream_, *message, written);
    }
  }

  /// Ends the connection after the client has had time to read the answer: closing a socket with unread bytes would
  /// discard it.
  void drain() {
    error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
    if (!drained_) stream_.expires_after(std::chrono::seconds(2));
    buffer_.clear();
    stream_.async_read_some(buffer_.prepare(4096),
                            [self = this->shared_from_this()](error_code failed, std::size_t bytes) {
                              self->drained_ += bytes;
                              if (failed || self->drained_ > most_drained) return self->close();
                              self->drain();
                            });
  }

  static constexpr std::size_t most_drained = 4 << 20;  // bytes that are read and dropped

  loop& loop_;
  server& owner_;
  beast::tcp_stream stream_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  std::stop_source gone_;
  bool is_idle_ = false, keep_alive_ = true, without_body_ = false;
  std::size_t drained_ = 0;
};

void http_server::server::listen() {
  auto const where = options_.host + ":" + std::to_string(options_.port);
  error_code failed;
  auto const address = asio::ip::make_address(options_.host, failed);
  expects(!failed, "serve: '", options_.host, "' isn't an address, expected one such as 127.0.0.1 or ::1");
  tcp::endpoint const endpoint(address, options_.port);
  acceptor_->open(endpoint.protocol(), failed);
  if (!failed) acceptor_->set_option(tcp::acceptor::reuse_address(true), failed);
  if (!failed) acceptor_->bind(endpoint, failed);
  if (!failed) acceptor_->listen(tcp::acceptor::max_listen_connections, failed);
  expects(!failed, "serve: can't listen on ", where, ": ", failed.message());
}

void http_server::server::accept() {
  auto& to = *loops_[next_loop_++ % loops_.size()];
  acceptor_->async_accept(to.context, [this, &to](error_code failed, tcp::socket socket) {
    if (stopping_) return;
    if (failed) {  // for example no file descriptor is left: some are, soon
      timer_->expires_after(std::chrono::milliseconds(50));
      timer_->async_wait([this](error_code cancelled) {
        if (!cancelled && !stopping_) accept();
      });
      return;
    }
    auto const most = options_.limits.connections;
    constexpr std::size_t most_refused = 64;  // that are told why
    if (open_ >= most) ++refused_;
    if (open_ < most + most_refused) {  // otherwise the socket is closed
      bool const is_full = open_++ >= most;
      asio::post(to.context,
                 [&to, is_full, moved = std::move(socket)]() mutable { to.add(std::move(moved), is_full); });
    }
    accept();
  });
}

void http_server::server::loop::add(tcp::socket socket, bool is_full) {
  auto const one = std::make_shared<connection>(*this, std::move(socket));
  connections.insert(one.get());
  is_full ? one->refuse() : one->wait();
}

void http_server::server::loop::remove(connection* one) {
  connections.erase(one);
  // Either this sees that the server stops, or begin_stop() sees that no connection is left.
  if (--owner.open_ == 0 && owner.stopping_ && !has_ended) owner.end();
}

void http_server::server::loop::close_idle() {
  std::vector<connection*> const all(connections.begin(), connections.end());  // closing one may remove it
  for (auto* const one : all)
    if (one->is_idle()) one->close();
}

void http_server::server::loop::give_up() {
  for (auto* const one : connections) one->give_up();
  context.stop();
}

void http_server::server::begin_stop() {
  if (stopping_.exchange(true)) return;
  error_code ignored;
  acceptor_->close(ignored);
  timer_->expires_after(options_.grace);
  timer_->async_wait([this](error_code cancelled) {
    if (cancelled) return;
    for (auto const& each : loops_) asio::post(each->context, [one = each.get()] { one->give_up(); });
  });
  for (auto const& each : loops_) asio::post(each->context, [one = each.get()] { one->close_idle(); });
  if (open_ == 0) end();
}

/// Lets all loops end: no connection is left.
void http_server::server::end() {
  asio::post(loops_.front()->context, [this] {
    timer_->cancel();
    for (auto const& each : loops_) each->work.reset();
  });
}

http_server::http_server(http_server_options const& options, http_handler handler)
    : server_(std::make_unique<server>(options, std::move(handler))) {}
http_server::~http_server() = default;
unsigned short http_server::port() const { return server_->port(); }
void http_server::run() { server_->run(); }
void http_server::stop() { server_->stop(); }
http_counts http_server::counts() const { return server_->counts(); }

std::string decoded_percent(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    unsigned value = 0;
    auto const* const begin = text.data() + i + 1;
    auto const digits = std::min<std::size_t>(2, text.size() - i - 1);
    auto const [end, failed] = std::from_chars(begin, begin + digits, value, 16);
    if (failed != std::errc() || end != begin + 2) raise<bad_request>("a % without two hexadecimal digits");
    out += static_cast<char>(value);
    i += 2;
  }
  return out;
}

std::string encoded_percent(std::string_view text) {
  constexpr char const* digits = "0123456789ABCDEF";
  std::string out;
  for (char const c : text) {
    bool const stays =
        (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.';
    auto const byte = static_cast<unsigned char>(c);
    if (stays)
      out += c;
    else
      out += {'%', digits[byte >> 4], digits[byte & 15]};
  }
  return out;
}

std::string query_parameter(std::string_view query, std::string_view name) {
  while (!query.empty()) {
    auto const one = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(query.size(), one.size() + 1));
    if (auto const equals = one.find('='); equals != one.npos && one.substr(0, equals) == name) {
      std::string value(one.substr(equals + 1));
      std::ranges::replace(value, '+', ' ');
      return decoded_percent(value);
    }
  }
  return {};
}

}  // namespace mql4grec::program
