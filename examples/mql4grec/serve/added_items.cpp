// Inserted items as lines of JSON.
#include "added_items.hpp"

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <limits>

#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"

namespace mql4grec::program {

added_items::added_items(std::filesystem::path file, file_use use) : path_(std::move(file)) {
  if (path_.empty()) return;
  if (use == file_use::follow) {
    catch_up();
    return;
  }
  make_directory(path_.parent_path());
  sync_name(std::filesystem::absolute(path_.parent_path()));
  lock_.emplace(path_);  // before it is read: what another process appends meanwhile would be cut
  file_.emplace(path_);
  if (read() > 0) file_->cut(static_cast<index_t>(position_));
}

void added_items::catch_up() {
  std::error_code none;
  auto const size = std::filesystem::file_size(path_, none);
  if (none) return;
  has_lost_line_ = has_lost_line_ || size < position_ || !has_last_line();
  expects_file(!has_lost_line_, path_, "line ", lines_, ": has been removed or replaced after it was read");
  if (size > position_) read();
}

/// Whether the last line that was read is where it was: the other process removes one that it can't sync.
bool added_items::has_last_line() const {
  std::ifstream in(path_, std::ios::binary);
  in.seekg(static_cast<std::streamoff>(position_ - last_line_.size()));
  std::string found(last_line_.size(), '\0');
  in.read(found.data(), std::ssize(found));
  return in.good() && found == last_line_;
}

/// Reads whole lines. Returns how many bytes follow them.
std::size_t added_items::read() {
  std::ifstream in(path_, std::ios::binary);
  expects_file(in.good(), path_, "can't be opened for reading: ", std::strerror(errno));
  in.seekg(static_cast<std::streamoff>(position_));
  std::string const more{std::istreambuf_iterator<char>(in), {}};
  expects_file(!in.bad(), path_, "can't be read: ", std::strerror(errno));
  auto const whole = more.find_last_of('\n') == more.npos ? 0 : more.find_last_of('\n') + 1;
  for (std::size_t at = 0; at < whole;) {
    auto const end = more.find('\n', at);
    auto const place = path_.string() + ", line " + std::to_string(lines_ + 1);
    auto const line = parse_json(std::string_view(more).substr(at, end - at), place);
    auto const item = member<std::int64_t>(line, "item", place);
    expects_file(item >= 0 && item <= std::numeric_limits<std::int32_t>::max(), place, "key 'item': ", item,
                 " is not an item");
    keep(item_id(static_cast<std::int32_t>(item)), {.raw_id = member_or<std::string>(line, "id", "", place),
                                                    .title = member_or<std::string>(line, "title", "", place)});
    last_line_ = more.substr(at, end + 1 - at);
    at = end + 1;
    ++lines_;
  }
  position_ += whole;
  return more.size() - whole;
}

void added_items::set(std::span<std::pair<item_id, added_item> const> items) {
  std::lock_guard const lock(writing_);
  std::string lines;
  for (auto const& [item, about] : items)
    if (find(item) != about)
      lines += json{{"item", index(item)}, {"id", about.raw_id}, {"title", about.title}}.dump() + "\n";
  if (file_ && !lines.empty()) file_->append(lines);
  for (auto const& [item, about] : items) keep(item, about);
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
