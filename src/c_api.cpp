// The library mql4grec_c: what mql4grec.h declares, on the headers of the library. Every function that can fail runs in
// guarded(), which turns exceptions into a status and a message.
#include "mql4grec.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <limits>
#include <mutex>
#include <new>
#include <optional>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <thread>
#include <utility>
#include <vector>

#include "mql4grec/embed/features.hpp"
#include "mql4grec/embed/views.hpp"
#include "mql4grec/pipeline/dataset.hpp"
#include "mql4grec/pipeline/evaluate.hpp"
#include "mql4grec/pipeline/item_placer.hpp"
#include "mql4grec/pipeline/item_sets.hpp"
#include "mql4grec/pipeline/model_metadata.hpp"
#include "mql4grec/pipeline/quantizer.hpp"
#include "mql4grec/pipeline/train.hpp"
#include "mql4grec/pipeline/translate.hpp"
#include "mql4grec/quantize/residual_kmeans/residual_kmeans.hpp"
#include "mql4grec/rank/calibration_json.hpp"
#include "mql4grec/recommender.hpp"
#include "mql4grec/seq2seq/checkpoint.hpp"

using namespace mql4grec;

namespace {

/// A shared mutex that comes to who wants it alone: those that come later wait for that one.
class fair_mutex {
 public:
  void lock() {
    std::lock_guard const next(turn_);
    mutex_.lock();
  }
  void unlock() { mutex_.unlock(); }
  void lock_shared() {
    std::lock_guard const next(turn_);
    mutex_.lock_shared();
  }
  void unlock_shared() { mutex_.unlock_shared(); }

 private:
  std::mutex turn_;  // of who waits for mutex_
  std::shared_mutex mutex_;
};

}  // namespace

struct mql4grec_recommender {
  recommender<> service;
  catalog::interactions interactions;
  catalog::item_descriptions items;
  std::string name;            // of the dataset
  std::string no_calibration;  // why its answers have no probabilities; empty: they have

  /// Held by all changes, and alone by those that depend on the state before them.
  mutable fair_mutex changing = {};
  mutable std::mutex mutex = {};
  mutable std::vector<recommender_session<>> idle = {};  // sessions that no request uses
};

struct mql4grec_translator {
  pipeline::item_placer placer;
  mutable std::mutex mutex = {};  // which a call of the placer holds
};

namespace {

thread_local std::string last_error;

mql4grec_status failed(mql4grec_status status, char const* message) {
  try {
    last_error = message;
  } catch (...) {
    last_error.clear();
  }
  return status;
}

/// Thrown when a function of the caller asks to stop.
struct interruption {};

/// Calls work() and returns how it ended.
template <class Work>
mql4grec_status guarded(Work const& work) noexcept {
  try {
    work();
    return MQL4GREC_OK;
  } catch (file_error const& e) {
    return failed(MQL4GREC_FILE_ERROR, e.what());
  } catch (std::filesystem::filesystem_error const& e) {
    return failed(MQL4GREC_FILE_ERROR, e.what());
  } catch (training_error const& e) {
    return failed(MQL4GREC_TRAINING_ERROR, e.what());
  } catch (error const& e) {
    return failed(MQL4GREC_INVALID_ARGUMENT, e.what());
  } catch (interruption) {
    return failed(MQL4GREC_INTERRUPTED, "stopped by the progress function");
  } catch (std::bad_alloc const&) {
    return failed(MQL4GREC_OUT_OF_MEMORY, "memory is exhausted");
  } catch (std::exception const& e) {
    return failed(MQL4GREC_INTERNAL_ERROR, e.what());
  } catch (...) {
    return failed(MQL4GREC_INTERNAL_ERROR, "an exception of unknown type");
  }
}

template <class P>
P& required(P* pointer, char const* name) {
  expects(pointer != nullptr, name, " is NULL");
  return *pointer;
}

/// The smallest size that a caller's structure may have: that of the first version.
template <class S>
constexpr std::size_t first_size = sizeof(S);
template <>
constexpr std::size_t first_size<mql4grec_load_options> = offsetof(mql4grec_load_options, sets);
template <>
constexpr std::size_t first_size<mql4grec_request> = offsetof(mql4grec_request, any_of);
template <>
constexpr std::size_t first_size<mql4grec_explanation> = offsetof(mql4grec_explanation, deadline_ms);

/// The caller's structure, whose version may be older or newer than this library's. Members that it lacks are 0.
template <class S>
S known_part(S const& theirs, char const* name) {
  std::size_t size = 0;
  std::memcpy(&size, &theirs, sizeof size);
  expects(size >= first_size<S>, name, ": size is ", size, ", expected sizeof(", name, ") = ", sizeof(S));
  auto const* const bytes = reinterpret_cast<unsigned char const*>(&theirs);
  for (auto i = sizeof(S); i < size; ++i)
    expects(bytes[i] == 0, name, ": byte ", i, " is set, but version ", MQL4GREC_ABI_VERSION, " has only ", sizeof(S),
            " bytes");
  S ours{};
  std::memcpy(&ours, bytes, std::min(size, sizeof(S)));
  return ours;
}

/// The caller's options, or the defaults if there are none.
template <class S>
S known_part_or_defaults(S const* theirs, char const* name) {
  return theirs ? known_part(*theirs, name) : S{};
}

/// Writes the members that the caller knows; the size stays the caller's.
template <class S>
void write_known_part(S ours, S& theirs) {
  std::size_t const size = theirs.size;
  ours.size = size;
  std::memcpy(&theirs, &ours, std::min(size, sizeof(S)));
}

precision precision_of(std::int32_t value) {
  switch (value) {
    case MQL4GREC_FP32: return precision::fp32;
    case MQL4GREC_BF16: return precision::bf16;
    case MQL4GREC_INT8: return precision::int8;
    default: raise("precision is ", value, ", expected a mql4grec_precision");
  }
}

index_t threads_of(std::int64_t threads) {
  expects(threads >= 0 && threads <= 4096, "threads is ", threads, ", expected 0 to 4096");
  return threads > 0 ? threads : static_cast<index_t>(std::max(1u, std::thread::hardware_concurrency()));
}

/// A list of the caller's.
std::span<item_id const> items_of(std::int32_t const* items, std::size_t count, char const* name) {
  static_assert(sizeof(item_id) == sizeof(std::int32_t));
  expects(items != nullptr || count == 0, name, " is NULL, but has ", count, " entries");
  return {reinterpret_cast<item_id const*>(items), count};
}

/// Names of sets.
std::vector<std::string> names_of(char const* const* names, std::size_t count, char const* member) {
  expects(names != nullptr || count == 0, member, " is NULL, but has ", count, " entries");
  std::vector<std::string> all;
  for (std::size_t i = 0; i < count; ++i) {
    expects(names[i] != nullptr, member, "[", i, "] is NULL");
    all.emplace_back(names[i]);
  }
  return all;
}

/// The dataset's sets and the caller's.
search::named_sets sets_of(mql4grec_load_options const& options, std::filesystem::path const& directory,
                           tasks::dataset const& data) {
  auto all = pipeline::read_item_sets(directory, data);
  expects(options.sets != nullptr || options.set_count == 0, "sets is NULL, but has ", options.set_count, " entries");
  for (std::size_t i = 0; i < options.set_count; ++i) {
    auto const& [name, items, count] = options.sets[i];
    expects(name != nullptr, "sets[", i, "].name is NULL");
    auto const list = items_of(items, count, ("sets[" + std::to_string(i) + "].items").c_str());
    all[name].assign(list.begin(), list.end());
  }
  return all;
}

/// What a call checks between the steps of its searches: its deadline, and the caller's function.
class call_end {
 public:
  call_end(double deadline_ms, int32_t (*stop)(void*), void* context) : stop_(stop), context_(context) {
    expects(deadline_ms >= 0, "deadline_ms is ", deadline_ms, ", expected at least 0");
    constexpr double longest_ms = 1e9;  // eleven days
    if (deadline_ms > 0)
      end_ = std::chrono::steady_clock::now() +
             std::chrono::nanoseconds(std::llround(1e6 * std::min(deadline_ms, longest_ms)));
  }
  /// Of any number of searches at once. Must not outlive this object.
  request_watch watch() const {
    if (!end_ && !stop_) return {};
    return {.wanted = [this](std::size_t) {
      return (!end_ || std::chrono::steady_clock::now() < *end_) && !(stop_ && stop_(context_));
    }};
  }

 private:
  std::optional<std::chrono::steady_clock::time_point> end_ = {};
  int32_t (*stop_)(void*);
  void* context_;
};

// ---- recommending

/// A session of the recommender for one thread; the destructor gives it back for the next one.
class borrowed_session {
 public:
  explicit borrowed_session(mql4grec_recommender const& from) : from_(from), session_(take(from)) {}
  borrowed_session(borrowed_session const&) = delete;
  borrowed_session& operator=(borrowed_session const&) = delete;
  ~borrowed_session() {
    try {
      std::lock_guard const lock(from_.mutex);
      from_.idle.push_back(std::move(session_));
    } catch (std::bad_alloc const&) {  // the session is destroyed instead
    }
  }
  recommender_session<>& operator*() { return session_; }

 private:
  static recommender_session<> take(mql4grec_recommender const& from) {
    {
      std::lock_guard const lock(from.mutex);
      if (!from.idle.empty()) {
        auto session = std::move(from.idle.back());
        from.idle.pop_back();
        return session;
      }
    }
    return from.service.session();
  }

  mql4grec_recommender const& from_;
  recommender_session<> session_;
};

index_t code_width(mql4grec_recommender const& of) {
  index_t width = 0;
  for (auto const& table : of.service.tokens()) width += table.levels();
  return width;
}

/// Writes the codes of some tokens, `levels` of them; −1 for none.
void write_codes(language::vocabulary const& vocab, std::span<token_t const> tokens, index_t levels,
                 std::int32_t* codes) {
  for (index_t l = 0; l < levels; ++l)
    codes[l] = tokens.empty() ? -1 : static_cast<std::int32_t>(index(vocab.place(tokens[to_size(l)]).value().code));
}
/// Writes the codes of an item in all modalities.
void write_codes(mql4grec_recommender const& from, search::catalog_version const& version, item_id item,
                 std::int32_t* codes) {
  for (auto const& table : from.service.tokens()) {
    write_codes(from.service.tasks().vocab, version.sequence(table.kind(), item), table.levels(), codes);
    codes += table.levels();
  }
}

/// The change that gives an item these codes, (code_width).
search::catalog_change change_of(mql4grec_recommender const& from, item_id item, std::int32_t const* codes) {
  search::catalog_change change{item};
  for (auto const& table : from.service.tokens()) {
    auto& sequence = change.sequences.emplace_back();
    auto const levels = table.levels();
    if (std::any_of(codes, codes + levels, [](std::int32_t code) { return code != -1; }))
      for (index_t l = 0; l < levels; ++l)
        sequence.push_back(from.service.tasks().vocab.token(table.kind(), l, code_t(codes[l])));
    codes += levels;
  }
  return change;
}

/// The histories of a request.
class request_histories {
 public:
  explicit request_histories(mql4grec_request const& request)
      : items_(items_of(request.history, request.history_length, "history")),
        offsets_(request.offsets),
        count_(request.offsets ? request.count : 1) {
    for (std::size_t r = 0; offsets_ && r <= count_; ++r)
      expects(offsets_[r] >= (r == 0 ? 0 : offsets_[r - 1]) && offsets_[r] <= std::ssize(items_), "offsets[", r,
              "] is ", offsets_[r], ", expected ", r == 0 ? 0 : offsets_[r - 1], " to ", items_.size());
  }
  std::size_t count() const { return count_; }
  std::span<item_id const> of(std::size_t r) const {
    return offsets_ ? items_.subspan(to_size(offsets_[r]), to_size(offsets_[r + 1] - offsets_[r])) : items_;
  }

 private:
  std::span<item_id const> items_;
  std::int64_t const* offsets_;
  std::size_t count_;
};

/// The requests that are searched together. Their number depends on nothing else, so that the same call has the same
/// answers.
constexpr std::size_t requests_together = 24;

/// One call of mql4grec_recommend().
class recommend_call {
 public:
  /// `among_new`: only new items, those that are allowed.
  recommend_call(mql4grec_recommender const& from, mql4grec_request const& asked, mql4grec_answer const& to,
                 bool among_new)
      : from_(from),
        asked_(asked),
        to_(to),
        among_new_(among_new),
        histories_(asked),
        width_(to_size(code_width(from))),
        end_(asked.deadline_ms, asked.stop, asked.context) {
    expects(to.items || asked.k == 0, "answer.items is NULL");
    expects(asked.k <= search::max_beams, "recommend: k is ", asked.k, ", expected 0 to ", search::max_beams);
    expects(asked.list >= 0 && asked.list <= std::ssize(from.service.tokens()), "list is ", asked.list,
            ", expected 0 to ", from.service.tokens().size());
    expects(asked.allow || asked.allow_length == 0, "allow is NULL, but has ", asked.allow_length, " entries");
    expects(!among_new || asked.allow, "recommend_new: allow is NULL, expected the new items");
    check_scores();
    options_.k = static_cast<index_t>(asked.k);
    auto const deny = items_of(asked.deny, asked.deny_length, "deny");
    options_.filter.deny.assign(deny.begin(), deny.end());
    if (asked.allow) {
      auto const allow = items_of(asked.allow, asked.allow_length, "allow");
      options_.filter.allow.emplace(allow.begin(), allow.end());
    }
    options_.filter.any_of = names_of(asked.any_of, asked.any_of_count, "any_of");
    options_.filter.all_of = names_of(asked.all_of, asked.all_of_count, "all_of");
    options_.filter.none_of = names_of(asked.none_of, asked.none_of_count, "none_of");
    expects(asked.quotas != nullptr || asked.quota_count == 0, "quotas is NULL, but has ", asked.quota_count,
            " entries");
    for (std::size_t q = 0; q < asked.quota_count; ++q) {
      expects(asked.quotas[q].set != nullptr, "quotas[", q, "].set is NULL");
      options_.quotas.push_back({.set = asked.quotas[q].set, .most = asked.quotas[q].most});
    }
    options_.exclude_seen = asked.exclude_seen != 0;
    if (asked.scores == MQL4GREC_RENORMALIZED) options_.scores = score_kind::renormalized;
  }

  /// Answers all requests, on several threads. Rethrows the first exception, after which no further search begins.
  void run() const {
    std::size_t const blocks = (histories_.count() + requests_together - 1) / requests_together;
    std::atomic<std::size_t> next{0};
    std::mutex mutex;
    std::exception_ptr failure;
    auto const work = [&] {
      try {
        borrowed_session session(from_);
        for (auto block = next++; block < blocks; block = next++) answer(*session, block * requests_together);
      } catch (...) {
        std::lock_guard const lock(mutex);
        if (!failure) failure = std::current_exception();
        next = blocks;
      }
    };
    {
      std::vector<std::jthread> others;
      auto const threads = std::min(blocks, to_size(threads_of(static_cast<std::int64_t>(asked_.threads))));
      for (std::size_t t = 1; t < threads; ++t) others.emplace_back(work);
      work();
    }
    if (failure) std::rethrow_exception(failure);
  }

 private:
  void check_scores() const {
    expects(asked_.scores >= MQL4GREC_RAW && asked_.scores <= MQL4GREC_CALIBRATED, "scores is ", asked_.scores,
            ", expected a mql4grec_scores");
    if (asked_.scores != MQL4GREC_CALIBRATED) return;
    expects(from_.no_calibration.empty(), "scores: ", from_.no_calibration);
    expects(asked_.list == MQL4GREC_FUSED && !among_new_, "scores: those of ",
            among_new_ ? "new items" : "a modality's list", " can't be calibrated");
    auto const beams = from_.service.search_options().beams;
    expects(static_cast<index_t>(asked_.k) <= beams, "k is ", asked_.k, ", expected at most ", beams,
            ", the beams that the model's calibration was fitted with");
  }

  /// Answers the requests of a block, which begins with `first`.
  void answer(recommender_session<>& session, std::size_t first) const {
    auto const last = std::min(histories_.count(), first + requests_together);
    std::vector<recommendation> answers;
    if (among_new_) {
      for (auto r = first; r < last; ++r)
        answers.push_back(session.recommend_new(histories_.of(r), options_, end_.watch()));
    } else {
      std::vector<recommend_request> requests;
      for (auto r = first; r < last; ++r) requests.push_back({.history = histories_.of(r), .options = options_});
      answers = session.recommend_batch(requests, end_.watch());
    }
    std::optional<search::catalog_version> version;
    if (to_.codes) version = from_.service.catalog().version();
    for (auto r = first; r < last; ++r) write(answers[r - first], r, version);
  }

  /// Of item i of the list `best`.
  double score_of(recommendation const& found, rank::ranking const& best, std::size_t i) const {
    if (asked_.scores != MQL4GREC_CALIBRATED) return best.scores[i];
    return i < found.probabilities.size() ? found.probabilities[i] : std::numeric_limits<double>::quiet_NaN();
  }

  /// Writes the answer to request r. `version`: where codes are read.
  void write(recommendation const& found, std::size_t r, std::optional<search::catalog_version> const& version) const {
    rank::ranking const& best =
        asked_.list == MQL4GREC_FUSED ? found : found.by_modality[to_size(index_t{asked_.list} - 1)];
    auto const count = std::min(asked_.k, best.items.size());
    for (std::size_t i = 0; i < asked_.k; ++i) {
      auto const place = r * asked_.k + i;
      bool const is_there = i < count;
      to_.items[place] = is_there ? static_cast<std::int32_t>(best.items[i]) : -1;
      if (to_.scores)
        to_.scores[place] = is_there ? score_of(found, best, i) : -std::numeric_limits<double>::infinity();
      if (to_.codes && is_there) write_codes(from_, *version, best.items[i], to_.codes + place * width_);
      if (to_.codes && !is_there) std::fill_n(to_.codes + place * width_, width_, -1);
    }
    if (to_.counts) to_.counts[r] = static_cast<std::int64_t>(count);
    if (to_.complete) to_.complete[r] = found.complete ? 1 : 0;
    if (!to_.seconds) return;
    auto* seconds = to_.seconds + 3 * r;
    for (auto const stage : {found.times.encode, found.times.search, found.times.rank})
      *seconds++ = std::chrono::duration<double>(stage).count();
  }

  mql4grec_recommender const& from_;
  mql4grec_request const& asked_;
  mql4grec_answer const& to_;
  bool among_new_;
  request_histories histories_;
  std::size_t width_;  // code_width
  recommend_options options_ = {};
  call_end end_;
};

/// `among_new`: see mql4grec_recommend_new().
mql4grec_status answered(mql4grec_recommender const* recommender, mql4grec_request const* request,
                         mql4grec_answer* answer, bool among_new) {
  return guarded([&] {
    auto const& from = required(recommender, "recommender");
    auto const asked = known_part(required(request, "request"), "mql4grec_request");
    auto const to = known_part(required(answer, "answer"), "mql4grec_answer");
    recommend_call(from, asked, to, among_new).run();
  });
}

// ---- evaluation and training

void write_metrics(metrics::list_metrics const& from, std::size_t row, std::size_t columns, mql4grec_report const& to) {
  auto const write = [&](std::optional<metrics::metric_values> const& values, double* hit, double* ndcg) {
    for (std::size_t c = 0; c < columns; ++c) {
      double const nothing = std::numeric_limits<double>::quiet_NaN();
      if (hit) hit[row * columns + c] = values ? values->at[c].hit : nothing;
      if (ndcg) ndcg[row * columns + c] = values ? values->at[c].ndcg : nothing;
    }
  };
  write(from.sequence, to.hit, to.ndcg);
  write(from.item, to.item_hit, to.item_ndcg);
}

pipeline::run_options run_options_of(mql4grec_train_options const& o) {
  pipeline::run_options run{.out = &required(o.out, "out"), .tasks = o.tasks ? o.tasks : "all"};
  auto& training = run.training;
  training.epochs = o.epochs;
  training.batch_size = o.batch_size;
  training.learning_rate = o.learning_rate;
  training.dropout = o.dropout;
  training.patience = o.patience;
  training.seed = o.seed;
  if (o.muon) training.hidden_optimizer = optim::muon{};
  run.model.model_width = o.model_width;
  run.model.heads = o.heads;
  run.model.head_width = o.head_width;
  run.model.inner_width = o.inner_width;
  run.model.encoder_layers = run.model.decoder_layers = o.layers;
  run.resume = o.resume != 0;
  run.limits.max_seconds = o.max_seconds;
  if (o.init) run.init = o.init;
  return run;
}

/// The vocabulary and the domains: of the run to resume, else of the model to start from, else those that the dataset
/// needs.
pipeline::training_data data_for(pipeline::run_options const& run, std::filesystem::path const& dataset) {
  bool const resumes = run.resume && std::filesystem::exists(run.out / "mql4grec.json");
  pipeline::model_metadata metadata;
  if (resumes) {
    metadata = pipeline::read_model_metadata(run.out);
  } else if (run.init) {
    expects_file(std::filesystem::exists(*run.init / "config.json"), *run.init, "there is no model");
    metadata = pipeline::read_model_metadata(*run.init);
  } else {
    metadata.vocab = pipeline::vocabulary_of({dataset});
  }
  pipeline::training_data data{.datasets = {pipeline::read_dataset(dataset, metadata.vocab)}, .vocab = metadata.vocab};
  data.domains = metadata.domains;
  if (!resumes && !metadata.domains.empty())
    data.domains = pipeline::extended_domains(metadata, {data.datasets.front().name});
  return data;
}

mql4grec_progress progress_of(seq2seq::training_progress const& p) {
  mql4grec_progress out{};
  out.size = sizeof out;
  out.epoch = p.epoch;
  out.step = p.step;
  out.examples = p.examples;
  out.best_epoch = p.best_epoch;
  out.loss = p.history.empty() ? p.mean_epoch_loss() : p.history.back().train_loss;
  out.valid_loss = p.history.empty() ? std::numeric_limits<double>::quiet_NaN() : p.history.back().valid_loss;
  out.best_loss = p.best_loss;
  out.seconds = p.seconds;
  return out;
}

/// Calls the caller's function after updates and epochs, and remembers that it asked to stop.
class progress_calls {
 public:
  explicit progress_calls(mql4grec_train_options const& options) : options_(options) {}

  pipeline::run_observer observer() {
    if (!options_.progress) return {};
    return {.on_step =
                [this](auto const& p, double loss, std::int64_t steps_per_epoch) {
                  steps_per_epoch_ = steps_per_epoch;
                  auto now = progress_of(p);
                  now.loss = loss;
                  call(now);
                },
            .on_epoch =
                [this](auto const& p, bool) {
                  auto now = progress_of(p);
                  now.epoch_ended = 1;
                  call(now);
                },
            .interrupted = [this] { return stop_; }};
  }

 private:
  void call(mql4grec_progress& now) {
    now.steps_per_epoch = steps_per_epoch_;
    if (options_.progress(options_.context, &now) != 0) stop_ = true;
  }

  mql4grec_train_options const& options_;
  std::int64_t steps_per_epoch_ = 0;
  bool stop_ = false;
};

}  // namespace

extern "C" {

char const* mql4grec_version(void) { return MQL4GREC_VERSION; }

int32_t mql4grec_abi_version(void) { return MQL4GREC_ABI_VERSION; }

char const* mql4grec_last_error(void) { return last_error.c_str(); }

mql4grec_status mql4grec_load(char const* model, char const* dataset, mql4grec_load_options const* options,
                              mql4grec_recommender** out) {
  return guarded([&] {
    required(out, "out") = nullptr;
    auto const how = known_part_or_defaults(options, "mql4grec_load_options");
    std::filesystem::path const directory(&required(model, "model"));
    search::beam_options search;
    if (how.beams != 0) search.beams = how.beams;
    search::validate(search);
    cpu::backend backend(1, precision_of(how.precision));
    auto trained = seq2seq::read_model<float>(backend, directory);  // first: without metadata, it is the paper's
    auto const metadata = pipeline::read_model_metadata(directory);
    std::filesystem::path const catalog_directory(&required(dataset, "dataset"));
    auto data = pipeline::read_dataset(catalog_directory, metadata.vocab);
    expects(std::ssize(data.tokens) <= MQL4GREC_MAX_MODALITIES, data.tokens.size(), " modalities, expected at most ",
            MQL4GREC_MAX_MODALITIES);
    search::live_catalog_options catalog;
    if (how.catalog_log) catalog.log = how.catalog_log;
    catalog.sets = sets_of(how, catalog_directory, data);
    std::string no_calibration = "the model has no calibration: `mql4grec evaluate --calibrate` writes one";
    std::optional<rank::score_calibration> calibration;
    if (auto const file = directory / "calibration.json"; std::filesystem::exists(file)) {
      auto read = rank::read_calibration(file);
      no_calibration = rank::difference(read.fitted_with, list_conditions_of({.search = search}, data.tokens));
      if (no_calibration.empty())
        calibration = std::move(read);
      else
        no_calibration = "the calibration " + file.string() + " was " + no_calibration;
    }
    recommender<> service(backend, std::move(trained), pipeline::tasks_of(metadata, data.name), std::move(data.tokens),
                          {.search = search, .calibration = std::move(calibration), .catalog = std::move(catalog)});
    *out = new mql4grec_recommender{.service = std::move(service),
                                    .interactions = std::move(data.interactions),
                                    .items = std::move(data.items),
                                    .name = std::move(data.name),
                                    .no_calibration = std::move(no_calibration)};
  });
}

void mql4grec_free(mql4grec_recommender* recommender) { delete recommender; }

mql4grec_status mql4grec_describe(mql4grec_recommender const* recommender, mql4grec_info* info) {
  return guarded([&] {
    auto const& from = required(recommender, "recommender");
    auto now = known_part(required(info, "info"), "mql4grec_info");
    now.items = from.service.items();
    now.users = from.interactions.users();
    now.modalities = std::ssize(from.service.tokens());
    now.code_width = code_width(from);
    for (std::size_t m = 0; m < MQL4GREC_MAX_MODALITIES; ++m)
      now.levels[m] = m < from.service.tokens().size() ? from.service.tokens()[m].levels() : 0;
    write_known_part(now, *info);
  });
}

char const* mql4grec_item_title(mql4grec_recommender const* recommender, int32_t item) {
  char const* title = nullptr;
  static_cast<void>(guarded([&] {
    auto const& from = required(recommender, "recommender");
    expects(item >= 0 && item < from.service.items(), "item ", item, ", expected 0 to ", from.service.items() - 1);
    auto const found = from.items.find(item_id(item));
    title = found == from.items.end() ? "" : found->second.title.c_str();
  }));
  return title;
}

mql4grec_status mql4grec_item_codes(mql4grec_recommender const* recommender, int32_t const* items, size_t count,
                                    int32_t* codes) {
  return guarded([&] {
    auto const& from = required(recommender, "recommender");
    auto const list = items_of(items, count, "items");
    auto const width = to_size(code_width(from));
    if (list.empty()) return;
    required(codes, "codes");
    for (auto const item : list)
      expects(index(item) >= 0 && index(item) < from.service.items(), "item ", index(item), ", expected 0 to ",
              from.service.items() - 1);
    auto const version = from.service.catalog().version();
    for (std::size_t i = 0; i < list.size(); ++i) write_codes(from, version, list[i], codes + i * width);
  });
}

mql4grec_status mql4grec_user_history(mql4grec_recommender const* recommender, int64_t user, int32_t const** items,
                                      size_t* count) {
  return guarded([&] {
    auto const& from = required(recommender, "recommender");
    expects(user >= 0 && user < from.interactions.users(), "user ", user, ", expected 0 to ",
            from.interactions.users() - 1);
    auto const history = from.interactions.of(user_id(static_cast<std::int32_t>(user)));
    required(count, "count") = history.size();
    required(items, "items") = reinterpret_cast<std::int32_t const*>(history.data());
  });
}

mql4grec_status mql4grec_set_items(mql4grec_recommender* recommender, int32_t const* items, size_t count,
                                   int32_t const* codes) {
  return guarded([&] {
    auto const& to = required(recommender, "recommender");
    auto const list = items_of(items, count, "items");
    if (list.empty()) return;
    required(codes, "codes");
    auto const width = to_size(code_width(to));
    std::vector<search::catalog_change> changes;
    for (std::size_t i = 0; i < list.size(); ++i) changes.push_back(change_of(to, list[i], codes + i * width));
    std::shared_lock const lock(to.changing);
    to.service.catalog().apply(changes);
  });
}

mql4grec_status mql4grec_remove_items(mql4grec_recommender* recommender, int32_t const* items, size_t count) {
  return guarded([&] {
    auto const& from = required(recommender, "recommender");
    std::vector<search::catalog_change> changes;
    for (auto const item : items_of(items, count, "items")) changes.push_back({.item = item});
    if (changes.empty()) return;
    std::shared_lock const lock(from.changing);
    from.service.catalog().apply(changes);
  });
}

mql4grec_status mql4grec_put_in_sets(mql4grec_recommender* recommender, int32_t item, char const* const* sets,
                                     size_t count) {
  return guarded([&] {
    auto const& in = required(recommender, "recommender");
    search::catalog_change change{item_id(item)};
    change.sets = names_of(sets, count, "sets");
    std::lock_guard const lock(in.changing);  // the item keeps its codes, which nobody else may change meanwhile
    auto const version = in.service.catalog().version();
    bool has_codes = false;
    for (auto const& table : in.service.tokens()) {
      bool const known = item >= 0 && item < version.items();
      auto const codes = known ? version.sequence(table.kind(), item_id(item)) : std::span<token_t const>();
      change.sequences.emplace_back(codes.begin(), codes.end());
      has_codes = has_codes || !codes.empty();
    }
    expects(has_codes, "item ", item, " has no codes");
    in.service.catalog().apply({&change, 1});
  });
}

mql4grec_status mql4grec_load_translator(char const* directory, mql4grec_translator** out) {
  return guarded([&] {
    required(out, "out") = nullptr;
    *out = new mql4grec_translator{.placer = pipeline::read_item_placer(&required(directory, "directory"))};
  });
}

void mql4grec_free_translator(mql4grec_translator* translator) { delete translator; }

mql4grec_status mql4grec_place_item(mql4grec_recommender const* recommender, mql4grec_translator const* translator,
                                    float const* features, size_t width, int32_t* codes) {
  return guarded([&] {
    auto const& in = required(recommender, "recommender");
    auto const& by = required(translator, "translator");
    std::span const row(&required(features, "features"), width);
    auto* to = &required(codes, "codes");
    auto const& vocab = in.service.tasks().vocab;
    auto const version = in.service.catalog().version();
    std::vector<token_t> tokens;
    {
      std::lock_guard const lock(by.mutex);
      tokens = by.placer.place(row, {version, by.placer.kind, vocab});
    }
    for (auto const& table : in.service.tokens()) {
      if (table.kind() == by.placer.kind) write_codes(vocab, tokens, table.levels(), to);
      to += table.levels();
    }
  });
}

mql4grec_status mql4grec_recommend(mql4grec_recommender const* recommender, mql4grec_request const* request,
                                   mql4grec_answer* answer) {
  return answered(recommender, request, answer, false);
}

mql4grec_status mql4grec_recommend_new(mql4grec_recommender const* recommender, mql4grec_request const* request,
                                       mql4grec_answer* answer) {
  return answered(recommender, request, answer, true);
}

mql4grec_status mql4grec_explain(mql4grec_recommender const* recommender, int32_t const* history, size_t history_length,
                                 mql4grec_explanation* explanation) {
  return guarded([&] {
    auto const& from = required(recommender, "recommender");
    auto to = known_part(required(explanation, "explanation"), "mql4grec_explanation");
    call_end const end(to.deadline_ms, to.stop, to.context);
    auto const modalities = from.service.tokens().size();
    borrowed_session session(from);
    auto const found = (*session).explain(items_of(history, history_length, "history"),
                                          items_of(to.items, to.count, "explanation.items"), end.watch());
    to.complete = std::ranges::all_of(found, &mql4grec::explanation::complete) ? 1 : 0;
    if (to.drops) std::fill_n(to.drops, to.count * history_length, std::numeric_limits<double>::quiet_NaN());
    if (to.shared_codes) std::fill_n(to.shared_codes, to.count * history_length * modalities, -1);
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (to.log_p) to.log_p[i] = found[i].log_p;
      for (auto const& reason : found[i].reasons) {
        auto const place = i * history_length + to_size(reason.position);
        if (to.drops) to.drops[place] = reason.drop;
        for (std::size_t m = 0; to.shared_codes && m < std::min(modalities, reason.shared_codes.size()); ++m)
          to.shared_codes[place * modalities + m] = static_cast<std::int32_t>(reason.shared_codes[m]);
      }
    }
    write_known_part(to, *explanation);
  });
}

mql4grec_status mql4grec_evaluate(mql4grec_recommender const* recommender, mql4grec_evaluate_options const* options,
                                  mql4grec_report* report) {
  return guarded([&] {
    auto const& from = required(recommender, "recommender");
    auto const asked = known_part_or_defaults(options, "mql4grec_evaluate_options");
    auto to = known_part(required(report, "report"), "mql4grec_report");
    expects(asked.split == MQL4GREC_TEST || asked.split == MQL4GREC_VALID, "split is ", asked.split,
            ", expected a mql4grec_split");
    expects(asked.users >= 0, "users is ", asked.users, ", expected at least 0");
    pipeline::evaluation_options how{.part =
                                         asked.split == MQL4GREC_VALID ? catalog::split::valid : catalog::split::test};
    how.search = from.service.search_options();
    if (asked.users > 0) how.users = asked.users;
    if (asked.cutoffs) how.at.assign(asked.cutoffs, asked.cutoffs + asked.cutoff_count);
    if (asked.progress)
      how.progress = [&](index_t done, index_t users) {
        if (asked.progress(asked.context, done, users) != 0) throw interruption();
      };
    cpu::backend backend(threads_of(asked.threads), from.service.model().worker_options().products);
    auto const version = from.service.catalog().version();
    std::vector<language::token_table> tokens;
    for (auto const& table : from.service.tokens()) tokens.push_back(version.table(table.kind()));
    auto const found =
        pipeline::evaluate(backend, from.service.model(), from.service.tasks(),
                           {.interactions = from.interactions, .tokens = tokens, .items = {}, .name = from.name}, how);
    write_metrics(found.result.ensemble, 0, how.at.size(), to);
    for (std::size_t m = 0; m < from.service.tokens().size(); ++m)
      write_metrics(found.result.of(language::modality(m)), 1 + m, how.at.size(), to);
    to.users = found.result.users;
    to.seconds = found.result.seconds;
    write_known_part(to, *report);
  });
}

mql4grec_status mql4grec_train_defaults(mql4grec_train_options* options, size_t size, int32_t recipe) {
  return guarded([&] {
    auto& to = required(options, "options");
    expects(size >= first_size<mql4grec_train_options>, "mql4grec_train_options: size is ", size,
            ", expected sizeof(mql4grec_train_options) = ", sizeof(mql4grec_train_options));
    expects(recipe >= MQL4GREC_PAPER && recipe <= MQL4GREC_SMALL, "recipe is ", recipe, ", expected a mql4grec_recipe");
    auto const training = recipe == MQL4GREC_SMALL  ? seq2seq::small_recipe()
                          : recipe == MQL4GREC_FAST ? seq2seq::fast_recipe()
                                                    : seq2seq::paper_recipe();
    auto const model = seq2seq::resized({}, seq2seq::model_size_named(recipe == MQL4GREC_SMALL ? "quarter" : "whole"));
    std::memset(&to, 0, size);
    to.size = size;
    to.tasks = "all";
    to.muon = training.hidden_optimizer ? 1 : 0;
    to.epochs = training.epochs;
    to.batch_size = training.batch_size;
    to.patience = training.patience;
    to.seed = training.seed;
    to.learning_rate = training.learning_rate;
    to.dropout = training.dropout;
    to.max_seconds = std::numeric_limits<double>::infinity();
    to.model_width = model.model_width;
    to.heads = model.heads;
    to.head_width = model.head_width;
    to.inner_width = model.inner_width;
    to.layers = model.encoder_layers;
  });
}

mql4grec_status mql4grec_train(mql4grec_train_options const* options, mql4grec_progress* result) {
  return guarded([&] {
    auto const asked = known_part(required(options, "options"), "mql4grec_train_options");
    if (result) static_cast<void>(known_part(*result, "mql4grec_progress"));
    auto const run = run_options_of(asked);
    seq2seq::validate(run.training);
    cpu::backend backend(threads_of(asked.threads), precision_of(asked.precision));
    progress_calls calls(asked);
    auto const done =
        pipeline::train_model(backend, run, data_for(run, &required(asked.dataset, "dataset")), calls.observer());
    if (!result) return;
    auto out = progress_of(done.progress);
    out.outcome = done.status == train::run_status::finished      ? MQL4GREC_FINISHED
                  : done.status == train::run_status::out_of_time ? MQL4GREC_OUT_OF_TIME
                                                                  : MQL4GREC_STOPPED;
    write_known_part(out, *result);
  });
}

mql4grec_status mql4grec_quantize(float const* features, size_t items, size_t width,
                                  mql4grec_quantize_options const* options, int32_t* codes) {
  return guarded([&] {
    auto const asked = known_part_or_defaults(options, "mql4grec_quantize_options");
    index_t const levels = asked.levels ? asked.levels : 4, size = asked.codes ? asked.codes : 256;
    expects(levels >= 1 && levels <= 26, "levels is ", levels, ", expected 1 to 26");
    expects(size >= 1 && size <= 1 << 20, "codes is ", size, ", expected 1 to ", 1 << 20);
    expects(asked.modality >= 0 && asked.modality < MQL4GREC_MAX_MODALITIES, "modality is ", asked.modality,
            ", expected 0 to ", MQL4GREC_MAX_MODALITIES - 1);
    static_cast<void>(required(codes, "codes"));
    auto const kind = language::modality(asked.modality);
    cpu::backend backend(threads_of(asked.threads));
    embed::matrix_features const all(host_matrix_view<float const>(
        &required(features, "features"), static_cast<index_t>(items), static_cast<index_t>(width)));
    auto rows = embed::rows_with_features(all);
    embed::selected_features const present(all, rows);
    quantize::residual_kmeans_options how;
    how.codes.assign(to_size(levels), size);
    if (options) how.clustering.seed = asked.seed;
    auto const model = [&] {
      if (!asked.out) return quantize::fit_residual_kmeans(backend, present, how);
      std::filesystem::path const out(asked.out);
      pipeline::learn_residual_kmeans(backend, {.out = out, .kind = kind}, how, present);
      return quantize::read_residual_kmeans(backend, out / "model.safetensors");
    }();
    auto const found = pipeline::translate_catalog(backend, model, all, {.rows = std::move(rows)});
    auto const table = found.codes.all();
    for (index_t i = 0; i < table.rows(); ++i)
      for (index_t l = 0; l < levels; ++l) codes[i * levels + l] = static_cast<std::int32_t>(index(table(i, l)));
  });
}

}  // extern "C"
