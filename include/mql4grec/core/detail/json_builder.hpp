#pragma once
// Builds a JSON value from a parser's events. nlohmann's own builder searches for every key of an ordered object among
// the previous ones, in quadratic time. Here the keys are in a hash set, which is needed anyway to detect duplicates.
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <unordered_set>
#include <utility>
#include <vector>

#include "mql4grec/core/detail/json_events.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec {
inline namespace core {
namespace detail {

/// A parser's listener that builds a value, or visits the members of one object.
class json_builder final : public json_listener {
 public:
  using visitor = std::function<void(std::string const& key, json const& value)>;

  explicit json_builder(std::filesystem::path const& path) : path_(path) {}
  /// The text must be an object, described by `expected`. Its members are passed to `visit` and not kept.
  json_builder(std::filesystem::path const& path, std::string const& expected, visitor const& visit)
      : path_(path), expected_(&expected), visit_(&visit) {}

  json result() && { return std::move(root_); }

  bool null() override { return add(nullptr); }
  bool boolean(bool value) override { return add(value); }
  bool number_integer(std::int64_t value) override { return add(value); }
  bool number_unsigned(std::uint64_t value) override { return add(value); }
  bool number_float(double value, std::string const&) override { return add(value); }
  bool string(std::string& value) override { return add(std::move(value)); }
  bool binary(json::binary_t&) override { return false; }  // doesn't occur in text

  bool start_object(std::size_t) override {
    check_depth();
    objects_.emplace_back();
    open_.push_back(json::object());
    return true;
  }
  bool key(std::string& name) override {
    auto& here = objects_.back();
    here.last = name;
    if (!here.keys.insert(std::move(name)).second) [[unlikely]] {
      std::string const of = objects_.size() > 1 ? " of '" + printable(objects_[objects_.size() - 2].last) + "'" : "";
      raise<file_error>(path_.string(), ": key '", printable(here.last), "'", of, " appears twice");
    }
    return true;
  }
  bool end_object() override {
    objects_.pop_back();
    return close();
  }
  bool start_array(std::size_t) override {
    if (open_.empty()) expects_object(false);
    check_depth();
    open_.push_back(json::array());
    return true;
  }
  bool end_array() override { return close(); }
  bool parse_error(std::size_t position, std::string const&, json::exception const&) override {
    raise<file_error>(path_.string(), ": byte ", position, ": not valid JSON, or truncated");
  }

 private:
  struct object {
    std::unordered_set<std::string> keys;
    std::string last;
  };

  static constexpr std::size_t most_nested = 100;

  void check_depth() const {
    expects_file(open_.size() < most_nested, path_, "lists and objects nested more than ", most_nested, " deep");
  }
  void expects_object(bool is_one) const {
    expects_file(is_one || visit_ == nullptr, path_, "expected ", expected_ ? *expected_ : "");
  }

  bool close() {
    json whole = std::move(open_.back());
    open_.pop_back();
    return add(std::move(whole));
  }
  bool add(json value) {
    if (open_.empty()) {
      expects_object(value.is_object());
      root_ = std::move(value);
    } else if (open_.back().is_array()) {
      open_.back().get_ref<json::array_t&>().push_back(std::move(value));
    } else if (visit_ != nullptr && open_.size() == 1) {
      (*visit_)(objects_.back().last, value);
    } else {
      open_.back().get_ref<json::object_t&>().push_back({objects_.back().last, std::move(value)});
    }
    return true;
  }

  std::filesystem::path const& path_;
  std::string const* expected_ = nullptr;
  visitor const* visit_ = nullptr;
  json root_;
  std::vector<json> open_;       // unfinished lists and objects, the outermost first
  std::vector<object> objects_;  // those of them that are objects
};

}  // namespace detail
}  // namespace core
}  // namespace mql4grec
