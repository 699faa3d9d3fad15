// Inserted items as lines of JSON.
#include "added_items.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <limits>

#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"

namespace mql4grec::program {

namespace {

/// Makes the names in a directory durable, as far as the system can.
void sync_directory(std::filesystem::path const& path) {
  int const directory = open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (directory < 0) return;
  fsync(directory);
  close(directory);
}

}  // namespace

added_items::added_items(std::filesystem::path file) : path_(std::move(file)) {
  if (path_.empty()) return;
  make_directory(path_.parent_path());
  bool const is_new = !std::filesystem::exists(path_);
  file_ = open(path_.c_str(), O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0644);
  expects_file(file_ >= 0, path_, "can't be written: ", std::strerror(errno));
  try {
    // Before it is read: what another process appends meanwhile would be cut.
    expects_file(flock(file_, LOCK_EX | LOCK_NB) == 0, path_, "is used by another service");
    if (is_new) {
      sync_directory(path_.parent_path());
      sync_directory(std::filesystem::absolute(path_.parent_path()).parent_path());
    }
    read();
  } catch (...) {
    close(file_);
    throw;
  }
}

void added_items::read() {
  std::string const before = read_text(path_);
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
  expects_file(ftruncate(file_, static_cast<off_t>(whole)) == 0, path_, "can't be written: ", std::strerror(errno));
}

added_items::~added_items() {
  if (file_ >= 0) close(file_);
}

void added_items::set(item_id item, added_item const& about) {
  std::lock_guard const lock(writing_);
  if (find(item) == about) return;
  if (file_ >= 0) {
    expects_file(!is_broken_, path_, "could not be mended after a failed write; start the service again");
    auto const line = json{{"item", index(item)}, {"id", about.raw_id}, {"title", about.title}}.dump() + "\n";
    auto const begin = lseek(file_, 0, SEEK_END);
    bool const written =
        write(file_, line.data(), line.size()) == static_cast<ssize_t>(line.size()) && fdatasync(file_) == 0;
    auto const reason = errno;
    // If the torn line can't be removed, nothing may follow it: it is cut at the next start.
    is_broken_ = !written && ftruncate(file_, begin) != 0;
    expects_file(written, path_, "can't be written: ", std::strerror(reason));
  }
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
