// Changes of catalogs, in batches.
#include "catalog_writer.hpp"

#include <algorithm>
#include <optional>
#include <set>
#include <utility>

#include "answer_json.hpp"
#include "mql4grec/core/json.hpp"

namespace mql4grec::program {

namespace {

/// A change of an item that isn't there: answered with 404.
class no_such_item : public error {
 public:
  using error::error;
};

}  // namespace

/// A change whose item has its number and its tokens.
struct catalog_writer::prepared {
  catalog_request const* request;
  search::catalog_change change;
  std::optional<added_item> about = std::nullopt;  // what is stored besides the tokens; none: the item is removed

  http_response failure_of() const {
    return failure(500, about ? "the item was not stored" : "the item was not removed");
  }
  http_response success() const {
    auto const& catalog = *request->catalog;
    return {.body = text_of(about ? shown_item_with_words(catalog, change.item)
                                  : json{{"item", catalog.id_of(change.item)}})};
  }
};

/// Changes of one catalog that are made together. None depends on another one.
class catalog_writer::batch {
 public:
  batch(served_catalog const& catalog, std::vector<pipeline::item_placer> const& placers)
      : catalog_(catalog),
        placers_(placers),
        version_(catalog.live().version()),
        next_(static_cast<std::int32_t>(std::max(catalog.items(), catalog.added()->items()))),
        taken_(to_size(catalog.vocab().modalities())) {}

  /// Adds the change of a request of this catalog. Returns false if it depends on one of the batch. Throws error if it
  /// can't be made; nothing is added then.
  bool add(catalog_request const& request) {
    if (auto const* removed = std::get_if<item_id>(&request.what)) {
      if (items_.contains(*removed)) return false;
      if (catalog_.is_removed(*removed)) raise<no_such_item>("there is no item ", text_of(catalog_.id_of(*removed)));
      items_.insert(*removed);
      all_.push_back({&request, {*removed}});
      return true;
    }
    return add(request, std::get<item_body>(request.what));
  }
  std::span<prepared const> all() const { return all_; }

 private:
  bool add(catalog_request const& request, item_body const& asked) {
    auto const raw_id = asked.id.is_string() ? asked.id.get<std::string>() : std::string();
    if (!raw_id.empty() && new_ids_.contains(raw_id)) return false;
    bool const is_new = asked.id.is_null() || (asked.id.is_string() && !catalog_.find(raw_id));
    auto const item = is_new ? item_id(next_) : catalog_.item_of(asked.id, {.name = "item", .items = catalog_.items()});
    if (items_.contains(item)) return false;
    auto about = catalog_.added()->find(item).value_or(added_item());
    if (is_new) about.raw_id = raw_id;
    if (!asked.title.empty()) about.title = asked.title;
    search::catalog_change change{item, asked.sequences, asked.sets};
    for (std::size_t p = 0; p < asked.features.size(); ++p) {
      if (asked.features[p].empty()) continue;
      auto const kind = placers_[p].kind;
      change.sequences[to_size(kind)] =
          placers_[p].place(asked.features[p], {version_, kind, catalog_.vocab(), &taken_[to_size(kind)], item});
    }
    for (std::size_t m = 0; m < change.sequences.size(); ++m) taken_[m].insert(change.sequences[m]);
    if (is_new) ++next_;
    if (is_new && !raw_id.empty()) new_ids_.insert(raw_id);
    items_.insert(item);
    all_.push_back({&request, std::move(change), std::move(about)});
    return true;
  }

  served_catalog const& catalog_;
  std::vector<pipeline::item_placer> const& placers_;
  search::catalog_version version_;                    // before the batch
  std::int32_t next_;                                  // the number of the next new item
  std::vector<std::set<std::vector<token_t>>> taken_;  // by modality: the token sequences of the batch
  std::set<item_id> items_;
  std::set<std::string> new_ids_;
  std::vector<prepared> all_;
};

catalog_writer::catalog_writer(std::vector<pipeline::item_placer> const& placers, report_fault report)
    : placers_(placers), report_(std::move(report)), thread_([this] { run(); }) {}

catalog_writer::~catalog_writer() {
  {
    std::lock_guard const lock(mutex_);
    ending_ = true;
  }
  changed_.notify_one();
}

void catalog_writer::post(catalog_request request) {
  {
    std::lock_guard const lock(mutex_);
    waiting_.push_back(std::move(request));
  }
  changed_.notify_one();
}

catalog_writer_counts catalog_writer::counts() const {
  std::lock_guard const lock(mutex_);
  return counts_;
}

void catalog_writer::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [this] { return ending_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    auto requests = std::exchange(waiting_, {});
    lock.unlock();
    make(requests);
    requests.clear();  // without the lock: they may be the last that use a catalog
    lock.lock();
  }
}

void catalog_writer::make(std::span<catalog_request const> requests) {
  while (!requests.empty()) {
    auto const& catalog = requests.front().catalog;
    batch together(*catalog, placers_);
    for (; !requests.empty() && requests.front().catalog == catalog; requests = requests.subspan(1)) {
      auto const& next = requests.front();
      try {
        if (!together.add(next)) break;
      } catch (no_such_item const& fault) {
        next.answer(failure(404, fault.what()));
      } catch (bad_request const& fault) {
        next.answer(failure(400, fault.what()));
      } catch (std::exception const& fault) {
        report_(fault);
        next.answer(failure(500, "the item was not stored"));
      }
    }
    store(together.all());
  }
}

void catalog_writer::store(std::span<prepared const> all) {
  if (all.empty()) return;
  try {
    auto const& catalog = *all.front().request->catalog;
    std::vector<std::pair<item_id, added_item>> abouts;
    std::vector<search::catalog_change> changes;
    for (auto const& each : all) {
      if (each.about) abouts.emplace_back(each.change.item, *each.about);
      changes.push_back(each.change);
    }
    // In this order: a raw id without tokens is nothing yet, but tokens without a raw id are an item that nobody can
    // name.
    catalog.added()->set(abouts);
    catalog.live().apply(changes);
  } catch (std::exception const& fault) {
    if (all.size() == 1) {
      report_(fault);
      return all.front().request->answer(all.front().failure_of());
    }
    for (auto const& each : all) store({&each, 1});  // one of them doesn't fit the catalog: the others do
    return;
  }
  {
    std::lock_guard const lock(mutex_);
    counts_.changes += all.size();
    ++counts_.batches;
  }
  for (auto const& each : all) each.request->answer(each.success());
}

}  // namespace mql4grec::program
