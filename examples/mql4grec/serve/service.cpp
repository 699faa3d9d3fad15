// The end points of a service.
#include "service.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>

#include "compute/compute.hpp"
#include "mql4grec/catalog/dataset_paths.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "page.hpp"
#include "report/text.hpp"
#include "request_body.hpp"

namespace mql4grec::program {

namespace {

using clock = std::chrono::steady_clock;

std::string text_of(json const& value) { return value.dump(-1, ' ', false, json::error_handler_t::replace); }

http_response failure(unsigned status, std::string const& why,
                      std::vector<std::pair<std::string, std::string>> headers = {}) {
  return {.status = status, .body = text_of({{"error", one_line(why)}}), .headers = std::move(headers)};
}

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
  char const* path;  ///< one that ends with / is followed by the id of an item
  void (service::*call)(exchange const&);
  bool is_admin = false, is_slow = false;  ///< slow: reads a disk, or the whole catalog
};

std::vector<service::end_point> const& service::end_points() {
  static std::vector<end_point> const all = {{"POST", "/recommend", &service::recommend},
                                             {"GET", "/items", &service::find_items, false, true},
                                             {"POST", "/items", &service::set_item, true, true},
                                             {"GET", "/items/", &service::show_item},
                                             {"DELETE", "/items/", &service::remove_item, true, true},
                                             {"GET", "/pictures/", &service::show_picture, false, true},
                                             {"GET", "/users", &service::show_users},
                                             {"GET", "/users/", &service::show_user},
                                             {"GET", "/model", &service::show_model},
                                             {"POST", "/reload", &service::reload, true}};
  return all;
}

service::service(service_options options, compute const& on, service_log& log)
    : options_(std::move(options)), compute_(on), log_(log) {}

service::~service() {
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

std::shared_ptr<service::loaded const> service::read(served_paths const& paths) {
  auto const started = clock::now();
  auto const metadata = pipeline::read_model_metadata(paths.model);
  // A model that replaces another one for the same dataset goes on with its changes.
  auto const before = current();
  auto const place = [](std::filesystem::path const& path) { return std::filesystem::weakly_canonical(path); };
  bool const same = before && place(before->paths.catalog.dataset) == place(paths.catalog.dataset);
  auto const state = options_.state.empty() ? std::filesystem::path()
                                            : options_.state / catalog::dataset_paths(paths.catalog.dataset).name();
  auto added =
      same ? before->catalog.added() : std::make_shared<added_items>(state.empty() ? state : state / "items.jsonl");
  auto next =
      std::make_unique<loaded>(loaded{paths, served_catalog(paths.catalog, metadata.vocab, std::move(added)), nullptr});
  auto const& data = next->catalog.data();
  search::live_catalog_options live{.log = state.empty() ? state : state / "catalog.log",
                                    .report = [this](std::string const& line) {
                                      log_.warn("catalog", {{"what", line}});
                                    }};
  next->model = compute_.open_serving({.model = paths.model,
                                       .metadata = metadata,
                                       .dataset = data.name,
                                       .tokens = data.tokens,
                                       .catalog = std::move(live),
                                       .shared_catalog = same ? before->model->catalog() : nullptr},
                                      options_.serving);
  next->catalog.show(next->model->catalog());
  log_.info("loaded", {{"model", paths.model.string()},
                       {"dataset", paths.catalog.dataset.string()},
                       {"items", next->catalog.items()},
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
  std::lock_guard const lock(mutex_);
  current_.swap(next);
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

void service::handle(http_request request, responder const& client) {
  auto const started = clock::now();
  // Clients can invent any number of methods and paths, so neither becomes a label.
  bool const is_method = request.method == "GET" || request.method == "POST" || request.method == "DELETE";
  auto const method = is_method ? request.method : std::string("other");
  std::string name = method + " other";
  std::string item;
  end_point const* chosen = nullptr;
  std::string allowed;
  auto const matches = [&](std::string_view path) {
    if (!path.ends_with('/')) return request.path == path;
    return request.path.starts_with(path) && request.path.size() > path.size();
  };
  for (auto const& one : end_points()) {
    if (!matches(one.path)) continue;
    allowed += (allowed.empty() ? "" : ", ") + std::string(one.method);
    if (request.method == one.method) chosen = &one;
  }
  if (chosen != nullptr) {
    name = method + " " + chosen->path;
    if (name.ends_with('/')) item = request.path.substr(std::string_view(chosen->path).size());
  }
  bool const is_fixed = request.path == "/" || request.path == "/healthz" || request.path == "/readyz" ||
                        request.path == "/metrics" || request.path == "/openapi.json";
  if (is_fixed) name = method + " " + request.path;
  responder const answer([this, client, name, started](http_response response) {
    auto const time = clock::now() - started;
    metrics_.count_request(name, response.status, time);
    log_.debug("request", {{"end_point", name}, {"status", response.status}, {"ms", milliseconds(time)}});
    client(std::move(response));
  });
  guarded(name, answer, [&] {
    auto const with = current();
    if (is_fixed) {
      if (request.method != "GET") return answer(failure(405, "expected GET", {{"Allow", "GET"}}));
      if (request.path == "/healthz") return answer({.body = text_of({{"status", "alive"}})});
      if (request.path == "/readyz")
        return answer(with ? http_response{.body = text_of({{"status", "ready"}})}
                           : failure(503, "no model is loaded"));
      if (request.path == "/openapi.json") return answer({.body = std::string(openapi_document())});
      if (request.path == "/")
        return answer(
            {.body = std::string(page_document()),
             .content_type = "text/html; charset=utf-8",
             .headers = {
                 {"Content-Security-Policy",
                  "default-src 'self'; img-src 'self' data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"}}});
      service_gauges gauges{.ready = with != nullptr, .http = http_counts_()};
      if (with) gauges.waiting = with->model->waiting(), gauges.items = with->catalog.items();
      return answer({.body = metrics_.text(gauges), .content_type = "text/plain; version=0.0.4; charset=utf-8"});
    }
    if (allowed.empty()) return answer(failure(404, "there is no such path"));
    if (chosen == nullptr) return answer(failure(405, "expected the method " + allowed, {{"Allow", allowed}}));
    if (chosen->is_admin && !is_admin(request))
      return answer(failure(401, "expected the administrator's token", {{"WWW-Authenticate", "Bearer"}}));
    if (!with) return answer(failure(503, "no model is loaded", {{"Retry-After", "1"}}));
    // What takes long is done elsewhere: the thread of all connections must not wait. Each has one request at a time.
    constexpr std::size_t long_body = 32 << 10;
    bool const is_slow = chosen->is_slow || request.body.size() > long_body;
    auto const x = std::make_shared<exchange const>(exchange{name, std::move(request), std::move(item), with, answer});
    auto const work = [this, x, call = chosen->call] { guarded(x->name, x->answer, [&] { (this->*call)(*x); }); };
    is_slow ? slow_.post(work) : work();
  });
}

namespace {

/// The items of a list in a body.
std::vector<item_id> items_of(request_body& body, char const* name, served_catalog const& catalog, std::size_t most) {
  std::vector<item_id> items;
  auto const count = catalog.items();
  for (auto const& value : body.list(name, most))
    items.push_back(catalog.item_of(value, {.name = name, .at = std::ssize(items), .items = count}));
  return items;
}

json shown_item(served_catalog const& catalog, item_id item) {
  json out = {{"item", catalog.id_of(item)}};
  if (auto const title = catalog.title_of(item); !title.empty()) out["title"] = title;
  if (!catalog.picture_of(item).empty()) {
    auto const& id = out["item"];  // not the number, which may be the raw id of another item
    out["picture"] = "/pictures/" + encoded_percent(id.is_string() ? id.get<std::string>() : id.dump());
  }
  return out;
}

json shown_items(served_catalog const& catalog, std::span<item_id const> items) {
  json out = json::array();
  for (auto const item : items) out.push_back(shown_item(catalog, item));
  return out;
}

json shown_answer(served_catalog const& catalog, recommendation const& best) {
  json items = json::array();
  for (std::size_t i = 0; i < best.items.size(); ++i) {
    auto one = shown_item(catalog, best.items[i]);
    one["score"] = best.scores[i];
    for (std::size_t m = 0; m < best.by_modality.size(); ++m) {
      auto const kind = language::modality(m);
      json place;
      if (auto const found = best.place_in(kind, best.items[i]))
        place = {{"rank", found->rank}, {"score", found->score}};
      one[language::name_of(kind)] = place;
    }
    items.push_back(std::move(one));
  }
  return {{"items", items},
          {"complete", best.complete},
          {"timings_ms",
           {{"queue", milliseconds(best.times.queue)},
            {"encode", milliseconds(best.times.encode)},
            {"search", milliseconds(best.times.search)},
            {"rank", milliseconds(best.times.rank)}}}};
}

/// The first k items of each modality's own ranking.
json shown_lists(served_catalog const& catalog, recommendation const& best, index_t k) {
  json lists = json::object();
  for (std::size_t m = 0; m < best.by_modality.size(); ++m) {
    auto const& list = best.by_modality[m];
    json items = json::array();
    for (std::size_t i = 0; i < std::min(list.items.size(), to_size(k)); ++i) {
      items.push_back(shown_item(catalog, list.items[i]));
      items.back()["score"] = list.scores[i];
    }
    lists[language::name_of(language::modality(m))] = std::move(items);
  }
  return lists;
}

/// Adds to each item the items of the history that moved it, those that moved it most first.
void add_reasons(json& items, served_catalog const& catalog, std::span<item_id const> history,
                 std::span<explanation const> why) {
  for (std::size_t i = 0; i < why.size(); ++i) {
    auto reasons = why[i].reasons;
    std::ranges::stable_sort(reasons, std::ranges::greater(), &reason::drop);
    json list = json::array();
    for (auto const& one : reasons) {
      auto shown = shown_item(catalog, history[to_size(one.position)]);
      shown["position"] = one.position;
      shown["drop"] = one.drop;
      shown["shared_words"] = one.shared_codes.empty() ? 0 : std::ranges::max(one.shared_codes);
      list.push_back(std::move(shown));
    }
    items[i]["because"] = std::move(list);
  }
}

/// The beams after each step, by modality.
json shown_trace(served_catalog const& catalog, search_trace const& trace) {
  json out = json::object();
  for (std::size_t m = 0; m < trace.size(); ++m) {
    if (trace[m].empty()) continue;
    json steps = json::array();
    for (auto const& step : trace[m]) {
      json beams = json::array();
      for (auto const& beam : step) {
        json words = json::array();
        for (auto const token : beam.tokens) words.push_back(catalog.vocab().text(token));
        beams.push_back({{"words", std::move(words)}, {"score", beam.score}});
      }
      steps.push_back(std::move(beams));
    }
    out[language::name_of(language::modality(m))] = std::move(steps);
  }
  return out;
}

}  // namespace

void service::recommend(exchange const& x) {
  // Before anything is read, so that refusing costs little. The batcher refuses those that pass here at the same time.
  if (x.with->model->waiting() >= options_.serving.batching.max_queued) return x.answer(too_many());
  auto const& catalog = x.with->catalog;
  request_body body(x.request.body);
  serving_request request;
  request.history = items_of(body, "history", catalog, options_.limits.history);
  request.options.k = body.integer("k", 1, options_.limits.k, 10);
  if (!body.find("allow").is_null())
    request.options.filter.allow = items_of(body, "allow", catalog, options_.limits.filter);
  request.options.filter.deny = items_of(body, "deny", catalog, options_.limits.filter);
  if (!body.find("deadline_ms").is_null())
    request.options.deadline = std::chrono::duration_cast<std::chrono::nanoseconds>(
        std::chrono::duration<double, std::milli>(body.number("deadline_ms", 0, 600'000, 0)));
  bool const lists = body.boolean("lists", false);
  bool const explain = request.explain = body.boolean("explain", false);
  bool const trace = request.trace = body.boolean("trace", false);
  body.check_all_known();
  constexpr index_t most_examined = 100;
  if ((explain || trace) && request.options.k > most_examined)
    raise<bad_request>("'k': found ", request.options.k, " with 'explain' or 'trace', expected at most ",
                       most_examined);
  request.options.stop = x.request.gone;
  auto const k = request.options.k;
  auto history = request.history;
  x.with->model->recommend(std::move(request), [this, lists, explain, trace, history = std::move(history), k,
                                                with = x.with, answer = x.answer](serving_outcome outcome) {
    if (auto const* fault = std::get_if<std::exception_ptr>(&outcome)) {
      try {
        std::rethrow_exception(*fault);
      } catch (serve::overloaded const&) {
        return answer(too_many());
      } catch (std::exception const& e) {
        log_.fail("error", {{"end_point", "POST /recommend"}, {"what", e.what()}});
      }
      return answer(failure(500, "an internal error, which has been logged"));
    }
    auto const& found = std::get<serving_answer>(outcome);
    auto const& best = found.best;
    metrics_.count_recommendation(best);
    auto shown = shown_answer(with->catalog, best);
    shown["model"] = with->model_name();
    if (explain) add_reasons(shown["items"], with->catalog, history, found.why);
    if (trace) shown["trace"] = shown_trace(with->catalog, found.trace);
    if (lists) shown["lists"] = shown_lists(with->catalog, best, k);
    answer({.body = text_of(shown)});
  });
}

void service::find_items(exchange const& x) {
  constexpr std::size_t most = 20, longest = 200;
  auto const query = query_parameter(x.request.query, "query");
  if (query.size() > longest) raise<bad_request>("'query': ", query.size(), " bytes, expected at most ", longest);
  x({{"items", shown_items(x.with->catalog, x.with->catalog.search(query, most))}});
}

void service::show_item(exchange const& x) {
  auto const item = x.with->catalog.item_of_path(x.item);
  if (!item || x.with->catalog.is_removed(*item)) return x.answer(failure(404, "there is no item '" + x.item + "'"));
  auto shown = shown_item(x.with->catalog, *item);
  shown["number"] = index(*item);
  shown["codes"] = x.with->catalog.words_of(*item);
  x(shown);
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
  auto const number = number_below(data.users(), x.item);
  if (!number) return x.answer(failure(404, "there is no user '" + x.item + "'"));
  x({{"user", *number}, {"history", shown_items(x.with->catalog, data.of(user_id(*number)))}});
}

void service::show_model(exchange const& x) {
  auto const& data = x.with->catalog.data();
  json modalities = json::array();
  for (auto const& table : data.tokens)
    if (!table.present().empty())
      modalities.push_back({{"name", language::name_of(table.kind())},
                            {"levels", table.levels()},
                            {"items", table.present().size()},
                            {"example", x.with->catalog.vocab().text(table.of(table.present().front()))}});
  x({{"model", x.with->model_name()},
     {"dataset", data.name},
     {"items", x.with->catalog.items()},
     {"modalities", modalities},
     {"can_change", !options_.admin_token.empty()},
     {"shows_users", options_.show_users}});
}

namespace {

/// The tokens of {"text": ["<a_1>", …] or [1, …], …}, by modality.
std::vector<std::vector<token_t>> sequences_of(json const& codes, language::vocabulary const& vocab) {
  if (!codes.is_object() || codes.empty())
    raise<bad_request>("'codes': found ", request_body::shown(codes), ", expected a list of words by modality");
  std::vector<std::vector<token_t>> out(to_size(vocab.modalities()));
  for (auto const& [name, words] : codes.items()) {
    auto const place = "'codes'." + name;
    index_t m = 0;
    while (m < vocab.modalities() && language::name_of(language::modality(m)) != name) ++m;
    if (m == vocab.modalities()) raise<bad_request>(place, ": there is no such modality");
    auto const kind = language::modality(m);
    auto const levels = vocab.has(kind) ? vocab.levels(kind) : 0;
    if (!words.is_array() || std::ssize(words) != levels)
      raise<bad_request>(place, ": found ", request_body::shown(words), ", expected a list of ", levels, " words");
    for (index_t level = 0; level < levels; ++level) {
      auto const& word = words[to_size(level)];
      std::optional<token_t> token;
      if (word.is_string()) token = vocab.find(word.get<std::string>());
      if (word.is_number_unsigned() && word.get<std::uint64_t>() < static_cast<std::uint64_t>(vocab.codes(kind, level)))
        token = vocab.token(kind, level, code_t(word.get<std::int32_t>()));
      auto const where = token ? vocab.place(*token) : std::nullopt;
      if (!where || where->kind != kind || where->level != level)
        raise<bad_request>(place, "[", level, "]: ", request_body::shown(word), " is not a word of this level");
      out[to_size(m)].push_back(*token);
    }
  }
  return out;
}

bool is_number(std::string_view text) { return !text.empty() && text.find_first_not_of("0123456789") == text.npos; }

}  // namespace

std::vector<std::vector<float>> service::features_of(request_body& body) const {
  std::vector<std::vector<float>> out;
  for (auto const& placer : placers_) {
    auto const name = language::name_of(placer.kind);
    std::vector<float> features;
    for (auto const& value : body.list(name, to_size(placer.width))) {
      float const number = value.is_number() ? value.get<float>() : std::nanf("");
      if (!std::isfinite(number))
        raise<bad_request>("'", name, "'[", features.size(), "]: found ", request_body::shown(value),
                           ", expected a finite number");
      features.push_back(number);
    }
    if (!features.empty() && std::ssize(features) != placer.width)
      raise<bad_request>("'", name, "': ", features.size(), " features, expected ", placer.width);
    out.push_back(std::move(features));
  }
  if (std::ranges::all_of(out, [](auto const& one) { return one.empty(); })) out.clear();
  return out;
}

template <class Work>
void service::change(exchange const& x, char const* otherwise, Work const& work) {
  try {
    x(work());
  } catch (std::exception const& fault) {
    log_.fail("error", {{"end_point", x.name}, {"what", fault.what()}});
    x.answer(failure(500, otherwise));
  }
}

void service::set_item(exchange const& x) {
  request_body body(x.request.body);
  auto const id = body.find("item");
  auto const title = body.text("title");
  auto const features = features_of(body);
  if (!features.empty() && !body.find("codes").is_null())
    raise<bad_request>("'codes': found with features, expected one of the two");
  auto sequences = features.empty() ? sequences_of(body.find("codes"), x.with->catalog.vocab())
                                    : std::vector<std::vector<token_t>>(to_size(x.with->catalog.vocab().modalities()));
  body.check_all_known();
  constexpr std::size_t most = 1000;
  bool const is_new = id.is_null() || (id.is_string() && !x.with->catalog.find(id.get<std::string>()));
  if (title.size() > most || (id.is_string() && (id.get<std::string>().size() > most || id.get<std::string>().empty())))
    raise<bad_request>("'item' and 'title': expected at most ", most, " bytes, and an id that isn't empty");
  if (is_new && id.is_string() && !x.with->catalog.has_raw_ids() && is_number(id.get<std::string>()))
    raise<bad_request>("'item': a new raw id that is a number, where items are named by numbers");
  if (!is_new) static_cast<void>(x.with->catalog.item_of(id, {.name = "item", .items = x.with->catalog.items()}));
  change(x, "the item was not stored", [&]() -> json {
    auto const& catalog = x.with->catalog;
    std::unique_lock lock(inserting_);  // two insertions of one raw id get one number
    bool const is_known = id.is_number() || (id.is_string() && catalog.find(id.get<std::string>()));
    auto const item = is_known ? catalog.item_of(id, {.name = "item", .items = catalog.items()}) : next_item(catalog);
    auto about = catalog.added()->find(item).value_or(added_item());
    if (!is_known && id.is_string()) about.raw_id = id.get<std::string>();
    if (!title.empty()) about.title = title;
    catalog.added()->set(item, about);
    if (features.empty()) lock.unlock();  // otherwise no other item is placed before this one has its words
    for (std::size_t p = 0; p < features.size(); ++p) {
      if (features[p].empty()) continue;
      auto const kind = placers_[p].kind;
      sequences[to_size(kind)] = placers_[p].place(features[p], {catalog.live().version(), kind, catalog.vocab()});
    }
    catalog.live().set(item, sequences);
    return {{"item", catalog.id_of(item)}, {"number", index(item)}, {"codes", catalog.words_of(item)}};
  });
}

item_id service::next_item(served_catalog const& catalog) {
  auto next = static_cast<std::int32_t>(catalog.items());
  catalog.added()->each(
      [&](item_id item, added_item const&) { next = std::max(next, static_cast<std::int32_t>(index(item)) + 1); });
  return item_id(next);
}

void service::remove_item(exchange const& x) {
  auto const item = x.with->catalog.item_of_path(x.item);
  if (!item || x.with->catalog.is_removed(*item)) return x.answer(failure(404, "there is no item '" + x.item + "'"));
  change(x, "the item was not removed", [&]() -> json {
    x.with->catalog.live().remove(*item);
    return {{"item", x.with->catalog.id_of(*item)}};
  });
}

void service::reload(exchange const& x) {
  request_body body(x.request.body);
  served_paths next = x.with->paths;
  // An administrator names files of the server: paths are taken as they are, and only directories of models are read.
  if (auto const model = body.text("model"); !model.empty()) next.model = model;
  if (auto const dataset = body.text("dataset"); !dataset.empty()) next.catalog.dataset = dataset;
  body.check_all_known();
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
