// A dataset as clients see it.
#include "served_catalog.hpp"

#include <sys/stat.h>

#include <algorithm>
#include <sstream>

#include "mql4grec/catalog/dataset_paths.hpp"
#include "mql4grec/catalog/read.hpp"
#include "mql4grec/core/detail/whole_number.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/pipeline/dataset.hpp"
#include "mql4grec/pipeline/item_sets.hpp"
#include "mql4grec/pipeline/packed_catalog.hpp"
#include "report/report.hpp"
#include "request_body.hpp"

namespace mql4grec::program {

namespace {

/// Letters A to Z in lower case; other characters stay.
std::string folded(std::string_view text) {
  std::string out(text);
  for (auto& c : out)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return out;
}

}  // namespace

served_catalog::served_catalog(served_catalog_paths const& paths, language::vocabulary const& vocab,
                               std::shared_ptr<added_items> added, served_catalog const* before)
    : added_(std::move(added)) {
  auto state = state_of(paths);
  bool const same = before && before->files_->state == state && before->files_->vocab == vocab;
  files_ = same ? before->files_ : read(paths, vocab, std::move(state));
  check_numbers(paths.dataset);
  if (same) {
    sets_ = before->sets_;
    return;
  }
  sets_ = pipeline::read_item_sets(paths.dataset, data(), [this](std::string const& raw_id) { return find(raw_id); });
}

/// Two texts are equal if the files are the same and haven't changed: their names, numbers, sizes and times. Of the
/// directory of pictures its own time counts, which changes when a picture is added or removed.
std::string served_catalog::state_of(served_catalog_paths const& paths) {
  std::vector<std::filesystem::path> all;
  std::error_code failed;
  for (auto const& entry : std::filesystem::directory_iterator(paths.dataset, failed)) all.push_back(entry.path());
  if (!paths.images.empty()) all.push_back(paths.images);
  std::ranges::sort(all);
  std::ostringstream state;
  for (auto const& path : all) {
    struct stat found = {};
    if (stat(path.c_str(), &found) != 0) continue;
    state << std::filesystem::weakly_canonical(path, failed).string() << '\n'
          << found.st_dev << ' ' << found.st_ino << ' ' << found.st_size << ' ' << found.st_mtim.tv_sec << ' '
          << found.st_mtim.tv_nsec << '\n';
  }
  return state.str();
}

std::shared_ptr<served_catalog::contents const> served_catalog::read(served_catalog_paths const& paths,
                                                                     language::vocabulary const& vocab,
                                                                     std::string state) {
  auto packed = pipeline::find_packed_catalog(paths.dataset, vocab);
  auto data =
      packed ? pipeline::read_dataset(paths.dataset, packed->tables) : pipeline::read_dataset(paths.dataset, vocab);
  auto out = std::make_shared<contents>(
      contents{.packed = std::move(packed), .data = std::move(data), .vocab = vocab, .state = std::move(state)});
  catalog::dataset_paths const files(paths.dataset);
  auto const items = out->data.interactions.item_count;
  if (std::filesystem::exists(files.item_ids())) {
    out->raw_ids = catalog::read_ids(files.item_ids());
    // Further numbers are those of items that are inserted.
    out->raw_ids.resize(std::min(out->raw_ids.size(), to_size(items)));
    for (std::size_t i = 0; i < out->raw_ids.size(); ++i)
      out->number_of.emplace(out->raw_ids[i], item_id(static_cast<std::int32_t>(i)));
  }
  if (!paths.images.empty())
    out->pictures = catalog::match_images(paths.images, {.items = items, .raw_ids = out->raw_ids}).of_item;
  for (auto const& [item, description] : out->data.items)
    if (!description.title.empty()) out->titles.emplace_back(folded(description.title), item);
  std::ranges::sort(out->titles);
  return out;
}

/// Throws file_error if the dataset has grown over the number of an inserted item: the number would be two items.
void served_catalog::check_numbers(std::filesystem::path const& dataset) const {
  auto const items = data().interactions.item_count;
  added_->each([&](item_id item, added_item const& about) {
    auto const at = to_size(item);
    if (about.raw_id.empty() || index(item) >= items) return;
    if (at < files_->raw_ids.size() && files_->raw_ids[at] == about.raw_id) return;  // it has become one of the dataset
    raise<file_error>(dataset.string(), ": has ", items, " items, but number ", index(item), " was given to '",
                      core::detail::printable(about.raw_id),
                      "' when it was inserted; start with another --state directory");
  });
}

std::optional<item_id> served_catalog::find(std::string const& raw_id) const {
  if (auto const found = files_->number_of.find(raw_id); found != files_->number_of.end()) return found->second;
  return added_->find(raw_id);
}

std::optional<item_id> served_catalog::item_of_path(std::string_view text) const {
  if (auto const found = find(std::string(text))) return found;
  auto const number = core::detail::whole_number(text, items());
  return number ? std::optional(item_id(static_cast<std::int32_t>(*number))) : std::nullopt;
}

item_id served_catalog::item_of(json const& value, item_place const& where) const {
  auto const place = [&] {
    return "'" + std::string(where.name) + "'" + (where.at < 0 ? "" : "[" + std::to_string(where.at) + "]");
  };
  if (value.is_string()) {
    if (auto const found = find(value.get<std::string>())) return *found;
    raise<bad_request>(place(), ": there is no item ", core::detail::shown(value));
  }
  if (!value.is_number_integer())
    raise<bad_request>(place(), ": found ", core::detail::shown(value), ", expected an item: its number",
                       files_->raw_ids.empty() ? "" : " or raw id");
  if (!value.is_number_unsigned() || value.get<std::uint64_t>() >= static_cast<std::uint64_t>(where.items))
    raise<bad_request>(place(), ": there is no item ", core::detail::shown(value), ", expected 0 to ", where.items - 1);
  return item_id(value.get<std::int32_t>());
}

json served_catalog::id_of(item_id item) const {
  if (auto const at = to_size(item); at < files_->raw_ids.size()) return files_->raw_ids[at];
  auto const about = added_->find(item);
  return about && !about->raw_id.empty() ? json(about->raw_id) : json(index(item));
}

std::string served_catalog::title_of(item_id item) const {
  if (auto const about = added_->find(item); about && !about->title.empty()) return about->title;
  auto const found = files_->data.items.find(item);
  return found == files_->data.items.end() ? std::string() : found->second.title;
}

json served_catalog::words_of(item_id item) const {
  json out = json::object();
  auto const version = live_->version();
  for (index_t m = 0; m < version.modalities(); ++m) {
    json words;
    for (auto const token : version.sequence(language::modality(m), item)) words.push_back(files_->vocab.text(token));
    out[language::name_of(language::modality(m))] = words;
  }
  return out;
}

bool served_catalog::is_removed(item_id item) const {
  auto const version = live_->version();
  for (index_t m = 0; m < version.modalities(); ++m)
    if (!version.sequence(language::modality(m), item).empty()) return false;
  return added_->find(item) ||
         std::ranges::any_of(files_->data.tokens, [&](auto const& table) { return table.has(item); });
}

std::filesystem::path served_catalog::picture_of(item_id item) const {
  return to_size(item) < files_->pictures.size() ? files_->pictures[to_size(item)] : std::filesystem::path();
}

title_query::title_query(std::string_view text) {
  std::istringstream in(folded(text));
  for (std::string word; in >> word;) words_.push_back(word);
}

bool title_query::matches(std::string_view title) const { return words_.empty() || matches_folded(folded(title)); }

bool title_query::matches_folded(std::string_view title) const {
  return std::ranges::all_of(words_, [&](auto const& word) { return title.find(word) != title.npos; });
}

std::vector<item_id> served_catalog::search(std::string_view text, std::size_t most) const {
  auto const whole = folded(text);
  title_query const wanted(whole);
  if (!wanted.has_words()) return {};
  std::vector<item_id> inserted, first, others;
  added_->each([&](item_id item, added_item const& about) {
    if (wanted.matches(about.title)) inserted.push_back(item);
  });
  for (auto const item : inserted) {  // after each(), which holds the lock that is_removed() takes
    if (first.size() >= most) break;
    if (!is_removed(item)) first.push_back(item);
  }
  for (auto const& [title, item] : files_->titles) {
    if (first.size() >= most) break;
    bool const begins = title.starts_with(whole);
    if (!begins && (others.size() >= most || !wanted.matches_folded(title))) continue;
    auto const about = added_->find(item);
    if ((about && !about->title.empty()) || is_removed(item)) continue;  // it has another title, or is gone
    (begins ? first : others).push_back(item);
  }
  first.insert(first.end(), others.begin(), others.end());
  if (first.size() > most) first.resize(most);
  return first;
}

}  // namespace mql4grec::program
