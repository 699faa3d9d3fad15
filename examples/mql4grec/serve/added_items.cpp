// Inserted items as lines of JSON.
#include "added_items.hpp"

#include <limits>

#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"

namespace mql4grec::program {

added_items::added_items(std::filesystem::path file) : path_(std::move(file)) {
  if (path_.empty()) return;
  make_directory(path_.parent_path());
  sync_name(std::filesystem::absolute(path_.parent_path()));
  lock_.emplace(path_);  // before it is read: what another process appends meanwhile would be cut
  file_.emplace(path_);
  read();
}

void added_items::read() {
  std::string const before = read_file(path_);
  auto const whole = before.find_last_of('\n') == before.npos ? 0 : before.find_last_of('\n') + 1;
  std::size_t number = 0;
  for (std::size_t at = 0; at < whole;) {
    auto const end = before.find('\n', at);
    auto const place = path_.string() + ", line " + std::to_string(++number);
    auto const line = parse_json(std::string_view(before).substr(at, end - at), place);
    auto const item = member<std::int64_t>(line, "item", place);
    expects_file(item >= 0 && item <= std::numeric_limits<std::int32_t>::max(), place, "key 'item': ", item,
                 " is not an item");
    keep(item_id(static_cast<std::int32_t>(item)), {.raw_id = member_or<std::string>(line, "id", "", place),
                                                    .title = member_or<std::string>(line, "title", "", place)});
    at = end + 1;
  }
  if (whole < before.size()) file_->cut(static_cast<index_t>(whole));
}

void added_items::set(item_id item, added_item const& about) {
  std::lock_guard const lock(writing_);
  if (find(item) == about) return;
  if (file_) file_->append(json{{"item", index(item)}, {"id", about.raw_id}, {"title", about.title}}.dump() + "\n");
  keep(item, about);
}

void added_items::keep(item_id item, added_item const& about) {
  std::lock_guard const lock(mutex_);
  items_[item] = about;
  if (!about.raw_id.empty()) number_of_[about.raw_id] = item;
}

std::optional<added_item> added_items::find(item_id item) const {
  std::shared_lock const lock(mutex_);
  auto const found = items_.find(item);
  return found == items_.end() ? std::nullopt : std::optional(found->second);
}

std::optional<item_id> added_items::find(std::string const& raw_id) const {
  std::shared_lock const lock(mutex_);
  auto const found = number_of_.find(raw_id);
  return found == number_of_.end() ? std::nullopt : std::optional(found->second);
}

}  // namespace mql4grec::program
