// The Python module mql4grec._core: the C interface with NumPy arrays instead of pointers, and exceptions instead of
// codes. mql4grec/__init__.py is what users see. The interpreter's lock is released during every call that computes.
#include <mql4grec.h>
#include <nanobind/nanobind.h>
#include <nanobind/ndarray.h>
#include <nanobind/stl/optional.h>
#include <nanobind/stl/pair.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace nb = nanobind;
using namespace nb::literals;

namespace {

using items_in = nb::ndarray<std::int32_t const, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using offsets_in = nb::ndarray<std::int64_t const, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using codes_in = nb::ndarray<std::int32_t const, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
using codes_inout = nb::ndarray<std::int32_t, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using row_in = nb::ndarray<float const, nb::ndim<1>, nb::c_contig, nb::device::cpu>;
using features_in = nb::ndarray<float const, nb::ndim<2>, nb::c_contig, nb::device::cpu>;
template <class T, std::size_t Rank>
using array_out = nb::ndarray<nb::numpy, T, nb::ndim<Rank>, nb::c_contig>;

/// A call that failed, with the message of its thread.
struct failure : std::exception {
  explicit failure(mql4grec_status how, std::string text = mql4grec_last_error())
      : status(how), message(std::move(text)) {}
  char const* what() const noexcept override { return message.c_str(); }
  mql4grec_status status;
  std::string message;
};

void check(mql4grec_status status) {
  if (status != MQL4GREC_OK) throw failure(status);
}

/// Raises the exception of mql4grec._errors that belongs to a failure.
void translate(std::exception_ptr const& thrown, void*) {
  try {
    std::rethrow_exception(thrown);
  } catch (failure const& e) {
    // Names of a file are in messages as they are, so they need not be UTF-8.
    nb::object const text =
        nb::steal(PyUnicode_DecodeUTF8(e.message.data(), static_cast<Py_ssize_t>(e.message.size()), "replace"));
    if (!text.is_valid()) return;  // the interpreter's own error
    if (e.status == MQL4GREC_OUT_OF_MEMORY) {
      PyErr_SetObject(PyExc_MemoryError, text.ptr());
      return;
    }
    char const* const name = e.status == MQL4GREC_INVALID_ARGUMENT ? "InvalidArgument"
                             : e.status == MQL4GREC_FILE_ERROR     ? "FileError"
                             : e.status == MQL4GREC_TRAINING_ERROR ? "TrainingError"
                                                                   : "Error";
    PyErr_SetObject(nb::object(nb::module_::import_("mql4grec._errors").attr(name)).ptr(), text.ptr());
  }
}

/// An array of results, which the interpreter owns after release().
template <class T, std::size_t Rank>
class result_array {
 public:
  explicit result_array(std::array<std::size_t, Rank> shape) : shape_(shape) {
    std::size_t size = 1;
    for (auto const n : shape) size *= n;
    memory_ = std::make_unique<T[]>(size);
  }
  T* data() { return memory_.get(); }
  array_out<T, Rank> release() {
    T* const data = memory_.release();
    nb::capsule const owner(data, [](void* p) noexcept { delete[] static_cast<T*>(p); });
    return array_out<T, Rank>(data, Rank, shape_.data(), owner);
  }

 private:
  std::array<std::size_t, Rank> shape_;
  std::unique_ptr<T[]> memory_;
};

/// Calls a Python function from a computation that has released the interpreter's lock. What the function raises, and a
/// signal such as that of Ctrl-C, is kept and raised when the computation has ended.
class python_callback {
 public:
  explicit python_callback(nb::object function) : function_(std::move(function)) {}

  /// Returns false once something was raised.
  template <class... Arguments>
  bool operator()(Arguments const&... arguments) noexcept {
    if (raised_) return false;
    nb::gil_scoped_acquire const lock;
    try {
      if (!function_.is_none()) function_(arguments...);
      if (PyErr_CheckSignals() != 0) throw nb::python_error();
    } catch (nb::python_error const&) {
      raised_ = std::current_exception();
    } catch (std::exception const&) {
      raised_ = std::current_exception();
    }
    return !raised_;
  }
  /// Raises what was kept. The calling thread has the lock.
  void raise() const {
    if (raised_) std::rethrow_exception(raised_);
  }

 private:
  nb::object function_;
  std::exception_ptr raised_;
};

/// The stop function of a call with a deadline, which it ends when a signal such as that of Ctrl-C is heard. Checks
/// that on the calling thread, seldom enough that waits for the interpreter's lock don't matter.
class signal_stop {
 public:
  /// `context`: a signal_stop.
  static std::int32_t call(void* context) noexcept { return static_cast<signal_stop*>(context)->is_heard() ? 1 : 0; }
  /// See python_callback.
  void raise() const { signals_.raise(); }

 private:
  bool is_heard() noexcept {
    auto const now = std::chrono::steady_clock::now();
    if (heard_ || std::this_thread::get_id() != caller_ || now < next_) return heard_;
    next_ = now + interval;
    if (!signals_()) heard_ = true;
    return heard_;
  }

  static constexpr std::chrono::milliseconds interval{200};
  python_callback signals_{nb::none()};
  std::thread::id caller_ = std::this_thread::get_id();
  std::chrono::steady_clock::time_point next_ = std::chrono::steady_clock::now() + interval;
  std::atomic<bool> heard_ = false;
};

/// Calls the library without the interpreter's lock, then raises what the callback has kept, or the library's failure.
template <class Call, class Callback>
void unlocked_call(Call const& call, Callback const& callback) {
  std::optional<failure> failed;
  {
    nb::gil_scoped_release const unlocked;
    if (auto const status = call(); status != MQL4GREC_OK) failed.emplace(status);
  }
  callback.raise();
  if (failed) throw *failed;
}

/// The name of a set as the library reads it, which ends at the first zero byte.
char const* name_of_set(std::string const& name) {
  if (name.find('\0') != name.npos)
    throw failure(MQL4GREC_INVALID_ARGUMENT,
                  "a name of a set contains a zero byte after '" + std::string(name.c_str()) + "'");
  return name.c_str();
}

/// The names of sets as the library reads them.
class name_list {
 public:
  explicit name_list(std::vector<std::string> const& names) {
    for (auto const& name : names) pointers_.push_back(name_of_set(name));
  }
  char const* const* data() const { return pointers_.data(); }
  std::size_t size() const { return pointers_.size(); }

 private:
  std::vector<char const*> pointers_;
};

/// Options of Recommender.recommend besides the histories.
struct request_options {
  std::size_t k = 10;
  std::optional<items_in> allow;
  std::optional<items_in> deny;
  std::vector<std::string> any_of, all_of, none_of;
  std::vector<std::pair<std::string, std::int64_t>> quotas;
  bool exclude_seen = false;
  std::int32_t scores = MQL4GREC_RAW;
  std::int32_t list = MQL4GREC_FUSED;
  double deadline_ms = 0;
  std::size_t threads = 0;
  bool codes = false;
  bool among_new = false;  // see mql4grec_recommend_new()
};

/// A trained translator.
class translator {
 public:
  explicit translator(std::string const& directory) {
    nb::gil_scoped_release const unlocked;
    check(mql4grec_load_translator(directory.c_str(), &handle_));
  }
  translator(translator const&) = delete;
  translator& operator=(translator const&) = delete;
  ~translator() { mql4grec_free_translator(handle_); }
  mql4grec_translator const* handle() const { return handle_; }

 private:
  mql4grec_translator* handle_ = nullptr;
};

class recommender {
 public:
  recommender(std::string const& model, std::string const& dataset, std::int32_t precision, std::int32_t beams,
              std::optional<std::string> const& catalog_log,
              std::vector<std::pair<std::string, items_in>> const& sets) {
    mql4grec_load_options options = {};
    options.size = sizeof options;
    options.precision = precision;
    options.beams = beams;
    if (catalog_log) options.catalog_log = catalog_log->c_str();
    std::vector<mql4grec_item_set> named;
    for (auto const& [name, items] : sets) named.push_back({name_of_set(name), items.data(), items.size()});
    options.sets = named.data();
    options.set_count = named.size();
    {
      nb::gil_scoped_release const unlocked;
      check(mql4grec_load(model.c_str(), dataset.c_str(), &options, &handle_));
    }
    info_ = describe();
  }
  recommender(recommender const&) = delete;
  recommender& operator=(recommender const&) = delete;
  ~recommender() { mql4grec_free(handle_); }

  /// What never changes.
  mql4grec_info const& info() const { return info_; }
  /// The number of items now.
  std::int64_t items() const { return describe().items; }
  std::size_t modalities() const { return static_cast<std::size_t>(info_.modalities); }
  std::size_t code_width() const { return static_cast<std::size_t>(info_.code_width); }

  std::string title(std::int32_t item) const {
    char const* const text = mql4grec_item_title(handle_, item);
    if (!text) throw failure(MQL4GREC_INVALID_ARGUMENT);
    return text;
  }

  nb::object codes(items_in const& items) const {
    result_array<std::int32_t, 2> out({items.size(), code_width()});
    check(mql4grec_item_codes(handle_, items.data(), items.size(), out.data()));
    return nb::cast(out.release());
  }

  void set_items(items_in const& items, codes_in const& codes) {
    if (codes.shape(0) != items.size() || codes.shape(1) != code_width())
      throw nb::value_error(("codes: an array of " + std::to_string(codes.shape(0)) + " rows of " +
                             std::to_string(codes.shape(1)) + ", expected " + std::to_string(items.size()) +
                             " rows of " + std::to_string(code_width()))
                                .c_str());
    nb::gil_scoped_release const unlocked;
    check(mql4grec_set_items(handle_, items.data(), items.size(), codes.data()));
  }

  void remove_items(items_in const& items) {
    nb::gil_scoped_release const unlocked;
    check(mql4grec_remove_items(handle_, items.data(), items.size()));
  }

  void put_in_sets(std::int32_t item, std::vector<std::string> const& sets) {
    name_list const names(sets);
    nb::gil_scoped_release const unlocked;
    check(mql4grec_put_in_sets(handle_, item, names.data(), names.size()));
  }

  /// Writes the codes of the translator's modality into `codes`.
  void place(translator const& by, row_in const& features, codes_inout const& codes) const {
    if (codes.size() != code_width()) throw nb::value_error("codes: expected code_width entries");
    nb::gil_scoped_release const unlocked;
    check(mql4grec_place_item(handle_, by.handle(), features.data(), features.size(), codes.data()));
  }

  nb::object history(std::int64_t user) const {
    std::int32_t const* items = nullptr;
    std::size_t count = 0;
    check(mql4grec_user_history(handle_, user, &items, &count));
    result_array<std::int32_t, 1> out({count});
    std::copy_n(items, count, out.data());
    return nb::cast(out.release());
  }

  nb::tuple recommend(items_in const& histories, offsets_in const& offsets, request_options const& options) const {
    if (offsets.size() == 0) throw nb::value_error("offsets is empty, expected one more than there are requests");
    std::size_t const count = offsets.size() - 1, k = options.k;
    mql4grec_request request = {};
    request.size = sizeof request;
    request.history = histories.data();
    request.history_length = histories.size();
    request.k = k;
    static std::int32_t const none = 0;  // an empty array may have no address, but isn't a missing one
    if (options.allow) {
      request.allow = options.allow->size() > 0 ? options.allow->data() : &none;
      request.allow_length = options.allow->size();
    }
    if (options.deny) {
      request.deny = options.deny->data();
      request.deny_length = options.deny->size();
    }
    name_list const any_of(options.any_of), all_of(options.all_of), none_of(options.none_of);
    request.any_of = any_of.data();
    request.any_of_count = any_of.size();
    request.all_of = all_of.data();
    request.all_of_count = all_of.size();
    request.none_of = none_of.data();
    request.none_of_count = none_of.size();
    std::vector<mql4grec_quota> quotas;
    for (auto const& [set, most] : options.quotas) quotas.push_back({name_of_set(set), most});
    request.quotas = quotas.data();
    request.quota_count = quotas.size();
    request.exclude_seen = options.exclude_seen ? 1 : 0;
    request.scores = options.scores;
    request.list = options.list;
    request.deadline_ms = options.deadline_ms;
    request.threads = options.threads;
    if (k > 4096) throw nb::value_error(("k is " + std::to_string(k) + ", expected 0 to 4096").c_str());
    result_array<std::int32_t, 2> items({count, k});
    result_array<double, 2> scores({count, k});
    result_array<std::int32_t, 3> codes({count, options.codes ? k : 0, code_width()});
    result_array<std::int64_t, 1> counts({count});
    result_array<std::uint8_t, 1> complete({count});
    result_array<double, 2> seconds({count, 3});
    mql4grec_answer answer = {};
    answer.size = sizeof answer;
    // In parts, so that Ctrl-C is heard within about a second; a deadline is that of one call, which hears it itself.
    signal_stop signals;
    if (options.deadline_ms > 0) {
      request.stop = &signal_stop::call;
      request.context = &signals;
    }
    std::size_t const part = options.deadline_ms > 0 ? std::max<std::size_t>(count, 1) : 384;
    for (std::size_t first = 0; first < count; first += part) {
      request.count = std::min(part, count - first);
      request.offsets = offsets.data() + first;
      answer.items = items.data() + first * k;
      answer.scores = scores.data() + first * k;
      if (options.codes) answer.codes = codes.data() + first * k * code_width();
      answer.counts = counts.data() + first;
      answer.complete = complete.data() + first;
      answer.seconds = seconds.data() + first * 3;
      auto const search = options.among_new ? mql4grec_recommend_new : mql4grec_recommend;
      unlocked_call([&] { return search(handle_, &request, &answer); }, signals);
      if (PyErr_CheckSignals() != 0) throw nb::python_error();
    }
    return nb::make_tuple(items.release(), scores.release(), options.codes ? nb::cast(codes.release()) : nb::none(),
                          counts.release(), complete.release(), seconds.release());
  }

  nb::tuple explain(items_in const& history, items_in const& items, double deadline_ms) const {
    std::size_t const count = items.size(), length = history.size();
    result_array<double, 1> log_p({count});
    result_array<double, 2> drops({count, length});
    result_array<std::int32_t, 3> shared_codes({count, length, modalities()});
    mql4grec_explanation explanation = {};
    explanation.size = sizeof explanation;
    explanation.items = items.data();
    explanation.count = count;
    explanation.log_p = log_p.data();
    explanation.drops = drops.data();
    explanation.shared_codes = shared_codes.data();
    explanation.deadline_ms = deadline_ms;
    signal_stop signals;
    if (deadline_ms > 0) {
      explanation.stop = &signal_stop::call;
      explanation.context = &signals;
    }
    unlocked_call([&] { return mql4grec_explain(handle_, history.data(), length, &explanation); }, signals);
    return nb::make_tuple(log_p.release(), drops.release(), shared_codes.release(), explanation.complete != 0);
  }

  nb::tuple evaluate(offsets_in const& cutoffs, std::int32_t split, std::int64_t users, std::int32_t threads,
                     nb::object progress) const {
    std::size_t const columns = cutoffs.size(), rows = 1 + modalities();
    result_array<double, 2> hit({rows, columns}), ndcg({rows, columns}), item_hit({rows, columns}),
        item_ndcg({rows, columns});
    python_callback callback(std::move(progress));
    mql4grec_evaluate_options options = {};
    options.size = sizeof options;
    options.split = split;
    options.threads = threads;
    options.users = users;
    options.cutoffs = cutoffs.data();
    options.cutoff_count = columns;
    options.progress = [](void* context, std::int64_t done, std::int64_t all) -> std::int32_t {
      return !(*static_cast<python_callback*>(context))(done, all);
    };
    options.context = &callback;
    mql4grec_report report = {};
    report.size = sizeof report;
    report.hit = hit.data();
    report.ndcg = ndcg.data();
    report.item_hit = item_hit.data();
    report.item_ndcg = item_ndcg.data();
    unlocked_call([&] { return mql4grec_evaluate(handle_, &options, &report); }, callback);
    return nb::make_tuple(hit.release(), ndcg.release(), item_hit.release(), item_ndcg.release(), report.users,
                          report.seconds);
  }

 private:
  mql4grec_info describe() const {
    mql4grec_info now = {};
    now.size = sizeof now;
    check(mql4grec_describe(handle_, &now));
    return now;
  }

  mql4grec_recommender* handle_ = nullptr;
  mql4grec_info info_ = {};
};

/// Options with strings of their own.
struct train_options : mql4grec_train_options {
  explicit train_options(std::int32_t recipe) : mql4grec_train_options{} {
    check(mql4grec_train_defaults(this, sizeof(mql4grec_train_options), recipe));
  }
  std::string dataset_path, out_path, init_path, task_names = "all";
};

mql4grec_progress train(train_options const& options, nb::object progress) {
  mql4grec_train_options how = options;
  how.dataset = options.dataset_path.c_str();
  how.out = options.out_path.c_str();
  how.init = options.init_path.empty() ? nullptr : options.init_path.c_str();
  how.tasks = options.task_names.c_str();
  python_callback callback(std::move(progress));
  how.progress = [](void* context, mql4grec_progress const* now) -> std::int32_t {
    return !(*static_cast<python_callback*>(context))(*now);
  };
  how.context = &callback;
  mql4grec_progress result = {};
  result.size = sizeof result;
  unlocked_call([&] { return mql4grec_train(&how, &result); }, callback);
  return result;
}

nb::object quantize(features_in const& features, std::int32_t levels, std::int32_t codes, std::uint64_t seed,
                    std::int32_t threads, std::optional<std::string> const& directory, std::int32_t modality) {
  mql4grec_quantize_options options = {};
  options.size = sizeof options;
  options.levels = levels;
  options.codes = codes;
  options.threads = threads;
  options.seed = seed;
  if (directory) options.out = directory->c_str();
  options.modality = modality;
  if (levels < 1) throw nb::value_error("levels must be at least 1");
  result_array<std::int32_t, 2> out({features.shape(0), static_cast<std::size_t>(levels)});
  {
    nb::gil_scoped_release const unlocked;
    check(mql4grec_quantize(features.data(), features.shape(0), features.shape(1), &options, out.data()));
  }
  return nb::cast(out.release());
}

}  // namespace

NB_MODULE(_core, module) {
  module.doc() = "The C interface of mql4grec with NumPy arrays. Use the package mql4grec.";
  nb::register_exception_translator(translate);

  module.def("version", &mql4grec_version);

  nb::class_<translator>(module, "Translator").def(nb::init<std::string const&>(), "directory"_a);

  nb::class_<recommender>(module, "Recommender")
      .def(nb::init<std::string const&, std::string const&, std::int32_t, std::int32_t,
                    std::optional<std::string> const&, std::vector<std::pair<std::string, items_in>> const&>(),
           "model"_a, "dataset"_a, "precision"_a, "beams"_a, "catalog_log"_a.none(), "sets"_a,
           nb::sig("def __init__(self, model: str, dataset: str, precision: int, beams: int, catalog_log: str | None, "
                   "sets: collections.abc.Sequence[tuple[str, numpy.typing.NDArray[numpy.int32]]]) -> None"))
      .def_prop_ro("items", &recommender::items)
      .def_prop_ro("users", [](recommender const& r) { return r.info().users; })
      .def_prop_ro(
          "levels",
          [](recommender const& r) {
            nb::list levels;
            for (std::size_t m = 0; m < r.modalities(); ++m) levels.append(r.info().levels[m]);
            return levels;
          },
          nb::sig("def levels(self) -> list[int]"))
      .def("title", &recommender::title, "item"_a)
      .def("codes", &recommender::codes, "items"_a,
           nb::sig("def codes(self, items: numpy.typing.NDArray[numpy.int32]) -> numpy.typing.NDArray[numpy.int32]"))
      .def("set_items", &recommender::set_items, "items"_a, "codes"_a,
           nb::sig("def set_items(self, items: numpy.typing.NDArray[numpy.int32], codes: "
                   "numpy.typing.NDArray[numpy.int32]) -> None"))
      .def("remove_items", &recommender::remove_items, "items"_a,
           nb::sig("def remove_items(self, items: numpy.typing.NDArray[numpy.int32]) -> None"))
      .def("put_in_sets", &recommender::put_in_sets, "item"_a, "sets"_a)
      .def("place", &recommender::place, "translator"_a, "features"_a, "codes"_a,
           nb::sig("def place(self, translator: Translator, features: numpy.typing.NDArray[numpy.float32], codes: "
                   "numpy.typing.NDArray[numpy.int32]) -> None"))
      .def("history", &recommender::history, "user"_a,
           nb::sig("def history(self, user: int) -> numpy.typing.NDArray[numpy.int32]"))
      .def("recommend", &recommender::recommend, "histories"_a, "offsets"_a, "options"_a,
           nb::sig("def recommend(self, histories: numpy.typing.NDArray[numpy.int32], offsets: "
                   "numpy.typing.NDArray[numpy.int64], options: RequestOptions) -> "
                   "tuple[numpy.typing.NDArray[numpy.int32], numpy.typing.NDArray[numpy.float64], "
                   "numpy.typing.NDArray[numpy.int32] | None, "
                   "numpy.typing.NDArray[numpy.int64], numpy.typing.NDArray[numpy.uint8], "
                   "numpy.typing.NDArray[numpy.float64]]"))
      .def("explain", &recommender::explain, "history"_a, "items"_a, "deadline_ms"_a,
           nb::sig("def explain(self, history: numpy.typing.NDArray[numpy.int32], items: "
                   "numpy.typing.NDArray[numpy.int32], deadline_ms: float) -> tuple["
                   "numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64], "
                   "numpy.typing.NDArray[numpy.int32], bool]"))
      .def("evaluate", &recommender::evaluate, "cutoffs"_a, "split"_a, "users"_a, "threads"_a, "progress"_a.none(),
           nb::sig(
               "def evaluate(self, cutoffs: numpy.typing.NDArray[numpy.int64], split: int, users: int, threads: int, "
               "progress: collections.abc.Callable[[int, int], object] | None) -> "
               "tuple[numpy.typing.NDArray[numpy.float64], numpy.typing.NDArray[numpy.float64], "
               "numpy.typing.NDArray[numpy.float64], "
               "numpy.typing.NDArray[numpy.float64], int, float]"));

  nb::class_<request_options>(module, "RequestOptions")
      .def(nb::init<>())
      .def_rw("k", &request_options::k)
      .def_rw("allow", &request_options::allow, nb::arg().none())
      .def_rw("deny", &request_options::deny, nb::arg().none())
      .def_rw("any_of", &request_options::any_of)
      .def_rw("all_of", &request_options::all_of)
      .def_rw("none_of", &request_options::none_of)
      .def_rw("quotas", &request_options::quotas)
      .def_rw("exclude_seen", &request_options::exclude_seen)
      .def_rw("scores", &request_options::scores)
      .def_rw("list", &request_options::list)
      .def_rw("deadline_ms", &request_options::deadline_ms)
      .def_rw("threads", &request_options::threads)
      .def_rw("codes", &request_options::codes)
      .def_rw("among_new", &request_options::among_new);

  nb::class_<mql4grec_progress>(module, "Progress", "The progress of a training, or its result.")
      .def_prop_ro(
          "outcome",
          [](mql4grec_progress const& p) {
            return p.outcome == MQL4GREC_FINISHED      ? "finished"
                   : p.outcome == MQL4GREC_OUT_OF_TIME ? "out of time"
                                                       : "stopped";
          },
          "How the training ended: finished, out of time, or stopped; of the result only.")
      .def_prop_ro(
          "epoch_ended", [](mql4grec_progress const& p) { return p.epoch_ended != 0; },
          "Whether an epoch and its validation have just ended.")
      .def_ro("epoch", &mql4grec_progress::epoch, "Epochs done.")
      .def_ro("step", &mql4grec_progress::step, "Updates made.")
      .def_ro("steps_per_epoch", &mql4grec_progress::steps_per_epoch, "Updates of an epoch; of the progress only.")
      .def_ro("examples", &mql4grec_progress::examples, "Examples seen.")
      .def_ro("best_epoch", &mql4grec_progress::best_epoch, "The epoch of the model that is kept, from 1; 0: none yet.")
      .def_ro("loss", &mql4grec_progress::loss,
              "Of the last batch, or the mean of the epoch that ended; nats for each token.")
      .def_ro("valid_loss", &mql4grec_progress::valid_loss, "Of the last epoch; not a number before the first.")
      .def_ro("best_loss", &mql4grec_progress::best_loss, "The lowest validation loss; infinite before the first.")
      .def_ro("seconds", &mql4grec_progress::seconds, "Of training.");

  nb::class_<train_options>(module, "TrainOptions")
      .def(nb::init<std::int32_t>(), "recipe"_a)
      .def_rw("dataset", &train_options::dataset_path)
      .def_rw("out", &train_options::out_path)
      .def_rw("init", &train_options::init_path)
      .def_rw("tasks", &train_options::task_names)
      .def_rw("muon", &train_options::muon)
      .def_rw("resume", &train_options::resume)
      .def_rw("threads", &train_options::threads)
      .def_rw("precision", &train_options::precision)
      .def_rw("epochs", &train_options::epochs)
      .def_rw("batch_size", &train_options::batch_size)
      .def_rw("patience", &train_options::patience)
      .def_rw("seed", &train_options::seed)
      .def_rw("learning_rate", &train_options::learning_rate)
      .def_rw("dropout", &train_options::dropout)
      .def_rw("max_seconds", &train_options::max_seconds)
      .def_rw("model_width", &train_options::model_width)
      .def_rw("heads", &train_options::heads)
      .def_rw("head_width", &train_options::head_width)
      .def_rw("inner_width", &train_options::inner_width)
      .def_rw("layers", &train_options::layers);

  module.def("train", &train, "options"_a, "progress"_a.none(),
             nb::sig("def train(options: TrainOptions, progress: collections.abc.Callable[[Progress], object] | None) "
                     "-> Progress"));
  module.def("quantize", &quantize, "features"_a, "levels"_a, "codes"_a, "seed"_a, "threads"_a, "out"_a.none(),
             "modality"_a,
             nb::sig("def quantize(features: numpy.typing.NDArray[numpy.float32], levels: int, codes: int, seed: int, "
                     "threads: int, out: str | None, modality: int) -> numpy.typing.NDArray[numpy.int32]"));
}
