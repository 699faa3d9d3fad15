// The end points of a service.
#include "service.hpp"

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <optional>

#include "answer_json.hpp"
#include "compute/compute.hpp"
#include "mql4grec/catalog/dataset_paths.hpp"
#include "mql4grec/core/detail/whole_number.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/rank/calibration_json.hpp"
#include "page.hpp"
#include "request_json.hpp"

namespace mql4grec::program {

namespace {

using clock = std::chrono::steady_clock;

http_response too_many() { return failure(503, "too many requests at once", {{"Retry-After", "1"}}); }

double milliseconds(std::chrono::nanoseconds time) { return std::chrono::duration<double, std::milli>(time).count(); }

/// Whether two texts are equal, in a time that doesn't tell where they differ.
bool are_equal(std::string const& a, std::string const& b) {
  unsigned char difference = a.size() == b.size() ? 0 : 1;
  for (std::size_t i = 0; i < a.size(); ++i)
    difference = static_cast<unsigned char>(difference | (a[i] ^ b[b.empty() ? 0 : i % b.size()]));
  return difference == 0 && !b.empty();
}

std::string picture_type(std::filesystem::path const& file) {
  auto const name = file.extension().string();
  if (name == ".png" || name == ".PNG") return "image/png";
  if (name == ".webp" || name == ".WEBP") return "image/webp";
  return "image/jpeg";
}

}  // namespace

/// A model with its catalog. Requests share it, so that it lives until the last of them is answered.
struct service::loaded {
  served_paths paths;
  served_catalog catalog;
  std::optional<rank::score_calibration> calibration;  // of the model
  std::string no_calibration;                          // why there is none
  std::unique_ptr<serving_model> model;

  std::string model_name() const { return paths.model.filename().string(); }
};

/// A request, what it asks for, and where the answer goes.
struct service::exchange {
  std::string name;  ///< of the end point
  http_request request;
  std::string item;  ///< the part of the path that the end point leaves open
  std::shared_ptr<loaded const> with;
  responder answer;

  void operator()(json const& body) const { answer({.body = text_of(body)}); }
};

/// What a path and a method lead to.
struct service::end_point {
  char const* method;
  char const* path;  ///< one that ends with / and is longer is followed by the id of an item
  void (service::*call)(exchange const&);
  /// What it needs before it is called.
  struct {
    bool model = true;    ///< otherwise exchange::with may be empty
    bool token = false;   ///< the administrator's
    bool thread = false;  ///< it waits for a disk, or reads the whole catalog
  } needs = {};
};

std::vector<service::end_point> const& service::end_points() {
  static std::vector<end_point> const all = {{"POST", "/recommend", &service::recommend},
                                             {"GET", "/items", &service::find_items, {.thread = true}},
                                             {"POST", "/items", &service::set_item, {.token = true}},
                                             {"GET", "/items/", &service::show_item, {.thread = true}},
                                             {"DELETE", "/items/", &service::remove_item, {.token = true}},
                                             {"GET", "/sets", &service::find_sets, {.thread = true}},
                                             {"GET", "/pictures/", &service::show_picture, {.thread = true}},
                                             {"GET", "/users", &service::show_users},
                                             {"GET", "/users/", &service::show_user},
                                             {"GET", "/model", &service::show_model},
                                             {"POST", "/reload", &service::reload, {.token = true}},
                                             {"GET", "/", &service::show_page, {.model = false}},
                                             {"GET", "/openapi.json", &service::show_description, {.model = false}},
                                             {"GET", "/healthz", &service::show_liveness, {.model = false}},
                                             {"GET", "/readyz", &service::show_readiness, {.model = false}},
                                             {"GET", "/metrics", &service::show_metrics, {.model = false}}};
  return all;
}

service::service(service_options options, compute const& on, service_log& log)
    : options_(std::move(options)), compute_(on), log_(log), writer_(placers_, [this](std::exception const& fault) {
        log_.fail("error", {{"end_point", "changes"}, {"what", fault.what()}});
      }) {}

service::~service() {
  follower_ = {};  // waits for its end
  {
    std::lock_guard const lock(mutex_);
    ending_ = true;
    current_.reset();
  }
  for (auto left = models_.load(); left > 0; left = models_.load()) models_.wait(left);
}

std::shared_ptr<service::loaded const> service::current() const {
  std::lock_guard const lock(mutex_);
  return current_;
}

/// Throws unless a model and a dataset have the tokens of those that are served: changes of the catalog are tokens.
void service::check_same_words(loaded const& now, loaded const& next) {
  auto const& live = now.catalog.live();
  auto const advice = "; start the service again to serve it, with another --state directory";
  if (live.vocab() != next.catalog.vocab())
    raise(next.paths.model.string(), ": the model has another vocabulary than the catalog that is served", advice);
  if (!live.began_with(next.catalog.data().tokens))
    raise(next.paths.catalog.dataset.string(),
          ": the token indices have changed, and changes of the catalog belong to the old ones", advice);
}

/// Reads the calibration of the model, if it has one that was fitted with the options of this service.
void service::find_calibration(loaded& of) const {
  auto const file = of.paths.model / "calibration.json";
  of.no_calibration = "the model has no calibration: `evaluate --calibrate` writes one";
  if (!std::filesystem::exists(file)) return;
  auto read = rank::read_calibration(file);
  auto const other = rank::difference(
      read.fitted_with, list_conditions_of({.search = options_.serving.search}, of.catalog.data().tokens));
  if (other.empty()) {
    of.calibration = std::move(read);
    return;
  }
  of.no_calibration = "the model's calibration was " + other;
  log_.warn("no probabilities", {{"what", file.string() + ": " + other +
                                              "; `evaluate --calibrate` with the options of "
                                              "the service writes another one"}});
}

std::shared_ptr<service::loaded const> service::read(served_paths const& paths) {
  auto const started = clock::now();
  auto const metadata = pipeline::read_model_metadata(paths.model);
  // A model that replaces another one for the same dataset goes on with its changes.
  auto const before = current();
  auto const place = [](std::filesystem::path const& path) { return std::filesystem::weakly_canonical(path); };
  bool const same = before && place(before->paths.catalog.dataset) == place(paths.catalog.dataset);
  // One that can't follow the changes any more is read anew. One that makes changes can't be: it owns their files.
  bool const shares = same && !cannot_follow_;
  if (shares && !options_.follow && before->catalog.has_failed())
    raise(paths.catalog.dataset.string(),
          ": items can't be changed since an earlier error, which a reload doesn't mend; start the service again");
  auto const state = options_.state.empty() ? std::filesystem::path()
                                            : options_.state / catalog::dataset_paths(paths.catalog.dataset).name();
  auto added = shares ? before->catalog.added()
                      : std::make_shared<added_items>(state.empty() ? state : state / "items.jsonl",
                                                      options_.follow ? file_use::follow : file_use::write);
  auto next = std::make_unique<loaded>(
      loaded{paths,
             served_catalog(paths.catalog, metadata.vocab, std::move(added), before ? &before->catalog : nullptr),
             {},
             {},
             nullptr});
  auto const& data = next->catalog.data();
  if (shares) check_same_words(*before, *next);
  search::live_catalog_options live{.log = state.empty() ? state : state / "catalog.log",
                                    .follow = options_.follow,
                                    .packed = next->catalog.packed(),
                                    .sets = next->catalog.sets(),
                                    .report = [this](std::string const& line) {
                                      log_.warn("catalog", {{"what", line}});
                                    }};
  find_calibration(*next);
  next->model = compute_.open_serving({.model = paths.model,
                                       .metadata = metadata,
                                       .dataset = data.name,
                                       .tokens = data.tokens,
                                       .calibration = next->calibration,
                                       .catalog = std::move(live),
                                       .shared_catalog = shares ? before->model->catalog() : nullptr},
                                      options_.serving);
  next->catalog.show(next->model->catalog());
  // The last step that may fail. The sets of descriptions and files are those of a new start from here on.
  if (shares && next->catalog.sets() != before->catalog.sets()) next->catalog.live().replace_sets(next->catalog.sets());
  log_.info("loaded", {{"model", paths.model.string()},
                       {"dataset", paths.catalog.dataset.string()},
                       {"dataset_was_read", !before || !next->catalog.shares_files_with(before->catalog)},
                       {"items", next->catalog.items()},
                       {"catalog_is_mapped", next->catalog.live().is_mapped()},
                       {"ms", milliseconds(clock::now() - started)}});
  // The last request of a model may end on one of its own threads, which cannot wait for itself to end.
  ++models_;
  return {next.release(), [this](loaded const* one) {
            background_.post([this, one] {
              delete one;
              --models_;
              models_.notify_all();
            });
          }};
}

void service::load() {
  for (auto const& path : options_.translators) placers_.push_back(pipeline::read_item_placer(path));
  auto next = read(options_.paths);
  if (auto const log = options_.state / catalog::dataset_paths(next->paths.catalog.dataset).name() / "catalog.log";
      options_.follow && !std::filesystem::exists(log))
    log_.warn("nothing to follow yet", {{"what", log.string() + " doesn't exist"}});
  followed_at_ = clock::now().time_since_epoch().count();
  std::lock_guard const lock(mutex_);
  current_.swap(next);
  if (options_.follow) follower_ = std::jthread([this](std::stop_token stop) { follow(std::move(stop)); });
}

/// Makes the changes of the process that is followed, until a stop is requested.
void service::follow(std::stop_token stop) {
  constexpr auto interval = std::chrono::milliseconds(100);
  std::string last_fault;
  std::mutex mutex;
  std::condition_variable_any wakes;
  std::unique_lock lock(mutex);
  while (!wakes.wait_for(lock, stop, interval, [&] { return stop.stop_requested(); })) {
    std::string fault;
    auto const attempt = [&](auto const& work) {
      try {
        work();
      } catch (std::exception const& caught) {
        fault = caught.what();
      }
    };
    auto const with = current();
    auto const read_names = [&] { with->catalog.added()->catch_up(); };
    attempt(read_names);  // before their codes, as they are written
    attempt([&] { with->catalog.live().catch_up(); });
    if (fault.empty()) attempt(read_names);  // of the items whose names and codes were written in between
    if (fault.empty()) followed_at_ = clock::now().time_since_epoch().count();
    cannot_follow_ = !fault.empty();
    if (fault != last_fault && !fault.empty()) log_.fail("can't follow", {{"what", fault}});
    last_fault = fault;
  }
}

/// The time since all changes of the process that is followed could be read; 0 if none is followed.
double service::followed_seconds() const {
  auto const now = clock::now().time_since_epoch().count();
  return options_.follow ? std::chrono::duration<double>(clock::duration(now - followed_at_)).count() : 0;
}

bool service::is_admin(http_request const& request) const {
  return !options_.admin_token.empty() && are_equal(request.authorization, "Bearer " + options_.admin_token);
}

template <class Work>
void service::guarded(std::string const& name, responder const& answer, Work const& work) {
  try {
    work();
  } catch (bad_request const& fault) {
    answer(failure(400, fault.what()));
  } catch (std::exception const& fault) {
    log_.fail("error", {{"end_point", name}, {"what", fault.what()}});
    answer(failure(500, "an internal error, which has been logged"));
  }
}

service::match service::find(http_request const& request) {
  match found;
  for (auto const& one : end_points()) {
    std::string_view const path = one.path;
    bool const has_item = path.size() > 1 && path.ends_with('/');
    bool const is_path =
        has_item ? request.path.starts_with(path) && request.path.size() > path.size() : request.path == path;
    if (!is_path) continue;
    found.allowed += (found.allowed.empty() ? "" : ", ") + std::string(one.method);
    if (request.method != one.method) continue;
    found.chosen = &one;
    if (has_item) found.item = request.path.substr(path.size());
  }
  return found;
}

void service::handle(http_request request, responder const& client) {
  auto const started = clock::now();
  auto found = find(request);
  // Clients can invent any number of methods and paths, so neither becomes a label.
  bool const is_method = request.method == "GET" || request.method == "POST" || request.method == "DELETE";
  auto const name = (is_method ? request.method : "other") + " " + (found.chosen ? found.chosen->path : "other");
  responder const answer([this, client, name, started](http_response response) {
    auto const time = clock::now() - started;
    metrics_.count_request(name, response.status, time);
    if (log_.writes_debug())
      log_.debug("request", {{"end_point", name}, {"status", response.status}, {"ms", milliseconds(time)}});
    client(std::move(response));
  });
  guarded(name, answer, [&] {
    if (found.allowed.empty()) return answer(failure(404, "there is no such path"));
    if (!found.chosen) return answer(failure(405, "expected the method " + found.allowed, {{"Allow", found.allowed}}));
    auto const& chosen = *found.chosen;
    if (chosen.needs.token && !is_admin(request))
      return answer(failure(401, "expected the administrator's token", {{"WWW-Authenticate", "Bearer"}}));
    bool const is_change = chosen.call == &service::set_item || chosen.call == &service::remove_item;
    if (is_change && options_.follow)
      return answer(failure(403, "this service follows another one, which makes changes of items"));
    auto const with = current();
    if (chosen.needs.model && !with) return answer(failure(503, "no model is loaded", {{"Retry-After", "1"}}));
    // What takes long is done elsewhere: the thread of all connections must not wait. Each has one request at a time.
    constexpr std::size_t long_body = 32 << 10;
    bool const is_slow = chosen.needs.thread || request.body.size() > long_body;
    auto const x =
        std::make_shared<exchange const>(exchange{name, std::move(request), std::move(found.item), with, answer});
    auto const work = [this, x, call = chosen.call] { guarded(x->name, x->answer, [&] { (this->*call)(*x); }); };
    is_slow ? slow_.post(work) : work();
  });
}

void service::show_page(exchange const& x) {
  x.answer({.body = std::string(page_document()),
            .content_type = "text/html; charset=utf-8",
            .headers = {
                {"Content-Security-Policy",
                 "default-src 'self'; img-src 'self' data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"}}});
}

void service::show_description(exchange const& x) { x.answer({.body = std::string(openapi_document())}); }

void service::show_liveness(exchange const& x) { x({{"status", "alive"}}); }

void service::show_readiness(exchange const& x) {
  if (!x.with) return x.answer(failure(503, "no model is loaded"));
  constexpr double longest = 10;
  if (followed_seconds() > longest) return x.answer(failure(503, "the changes of the other service can't be read"));
  x({{"status", "ready"}});
}

void service::show_metrics(exchange const& x) {
  service_gauges gauges{.ready = x.with != nullptr,
                        .http = http_counts_(),
                        .changes = writer_.counts(),
                        .followed_seconds = followed_seconds()};
  if (x.with) gauges.waiting = x.with->model->waiting(), gauges.items = x.with->catalog.items();
  x.answer({.body = metrics_.text(gauges), .content_type = "text/plain; version=0.0.4; charset=utf-8"});
}

void service::recommend(exchange const& x) {
  // Before anything is read, so that refusing costs little. The batcher refuses those that pass here at the same time.
  if (x.with->model->waiting() >= options_.serving.batching.max_queued) return x.answer(too_many());
  auto const asked = std::make_shared<recommend_body>(read_recommend(x.request.body, x.with->catalog, options_.limits));
  if (asked->calibrated && !x.with->calibration) raise<bad_request>("'scores': ", x.with->no_calibration);
  if (auto const beams = options_.serving.search.beams; asked->calibrated && asked->request.options.k > beams)
    raise<bad_request>("'k': found ", asked->request.options.k, " with calibrated scores, expected at most ", beams,
                       ", the beams that they were fitted with");
  asked->request.options.stop = x.request.gone;
  auto const show = [this, asked, with = x.with, answer = x.answer](serving_outcome const& outcome) {
    if (auto const* fault = std::get_if<std::exception_ptr>(&outcome)) {
      return guarded("POST /recommend", answer, [&] { std::rethrow_exception(*fault); });
    }
    auto const& found = std::get<serving_answer>(outcome);
    metrics_.count_recommendation(found.best);
    auto shown = shown_answer(with->catalog, *asked, found);
    shown["model"] = with->model_name();
    answer({.body = text_of(shown)});
  };
  try {
    x.with->model->recommend({asked, &asked->request}, show);
  } catch (serve::overloaded const&) {
    x.answer(too_many());
  }
}

void service::find_items(exchange const& x) {
  constexpr std::size_t most = 20, longest = 200;
  auto const query = query_parameter(x.request.query, "query");
  if (query.size() > longest) raise<bad_request>("'query': ", query.size(), " bytes, expected at most ", longest);
  x({{"items", shown_items(x.with->catalog, x.with->catalog.search(query, most))}});
}

void service::find_sets(exchange const& x) {
  constexpr std::size_t most = 100, longest = 300;
  auto const prefix = query_parameter(x.request.query, "prefix"), query = query_parameter(x.request.query, "query");
  for (auto const* text : {&prefix, &query})
    if (text->size() > longest)
      raise<bad_request>(text == &query ? "'query': " : "'prefix': ", text->size(), " bytes, expected at most ",
                         longest);
  title_query const wanted(query);
  json shown = json::array();
  std::size_t count = 0;
  for (auto const& name : x.with->catalog.live().version().set_names())
    if (name.starts_with(prefix) && wanted.matches(name) && count++ < most) shown.push_back(name);
  x({{"sets", std::move(shown)}, {"count", count}});
}

void service::show_item(exchange const& x) {
  auto const item = x.with->catalog.item_of_path(x.item);
  if (!item || x.with->catalog.is_removed(*item)) return x.answer(failure(404, "there is no item '" + x.item + "'"));
  x(shown_item_with_words(x.with->catalog, *item));
}

void service::show_picture(exchange const& x) {
  auto const item = x.with->catalog.item_of_path(x.item);
  auto const file = item ? x.with->catalog.picture_of(*item) : std::filesystem::path();
  constexpr std::uintmax_t largest = 16 << 20;
  if (file.empty() || std::filesystem::file_size(file) > largest)
    return x.answer(failure(404, "there is no picture of '" + x.item + "'"));
  x.answer(
      {.body = read_text(file), .content_type = picture_type(file), .headers = {{"Cache-Control", "max-age=3600"}}});
}

void service::show_users(exchange const& x) {
  if (!options_.show_users) return x.answer(failure(404, "histories of users are not shown"));
  constexpr index_t most = 100;
  auto const& data = x.with->catalog.data().interactions;
  json users = json::array();
  for (index_t u = 0; u < std::min(most, data.users()); ++u)
    users.push_back({{"user", u}, {"items", data.of(user_id(static_cast<std::int32_t>(u))).size()}});
  x({{"users", users}, {"count", data.users()}});
}

void service::show_user(exchange const& x) {
  if (!options_.show_users) return x.answer(failure(404, "histories of users are not shown"));
  auto const& data = x.with->catalog.data().interactions;
  auto const number = core::detail::whole_number(x.item, data.users());
  if (!number) return x.answer(failure(404, "there is no user '" + x.item + "'"));
  x({{"user", *number},
     {"history", shown_items(x.with->catalog, data.of(user_id(static_cast<std::int32_t>(*number))))}});
}

void service::show_model(exchange const& x) {
  json shown = {{"model", x.with->model_name()}};
  shown.update(shown_dataset(x.with->catalog));
  shown["can_change"] = !options_.admin_token.empty() && !options_.follow;
  shown["shows_users"] = options_.show_users;
  shown["calibrated"] = x.with->calibration.has_value();
  x(shown);
}

void service::change(exchange const& x, std::variant<item_body, item_id> what) {
  writer_.post({.catalog = {x.with, &x.with->catalog}, .what = std::move(what), .answer = x.answer});
}

void service::set_item(exchange const& x) { change(x, read_item(x.request.body, x.with->catalog, placers_)); }

void service::remove_item(exchange const& x) {
  auto const item = x.with->catalog.item_of_path(x.item);
  if (!item) return x.answer(failure(404, "there is no item '" + x.item + "'"));
  change(x, *item);
}

void service::reload(exchange const& x) {
  auto const next = read_reload(x.request.body, x.with->paths);
  if (reloading_.exchange(true)) return x.answer(failure(409, "another reload is in progress"));
  background_.post([this, next, answer = x.answer] {
    try {
      auto fresh = read(next);
      auto const name = fresh->model_name();
      {
        std::lock_guard const lock(mutex_);
        expects(!ending_, "the service ends");
        current_.swap(fresh);
      }
      reloading_ = false;
      answer({.body = text_of({{"model", name}})});
    } catch (std::exception const& fault) {
      reloading_ = false;
      log_.warn("reload failed", {{"what", fault.what()}});
      answer(failure(400, fault.what()));
    }
  });
}

}  // namespace mql4grec::program
