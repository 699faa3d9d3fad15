#pragma once
// Reads the members of a model's config.json.
#include <cstdint>
#include <filesystem>
#include <string>
#include <utility>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/core/scalar.hpp"

namespace mql4grec {
inline namespace core {
namespace detail {

/// The members of an object, for a class that adds the rules of a model. Null counts as missing, as in transformers.
/// Stricter than member(): 3.5 is no integer, and true is no number. Every member function throws file_error. The
/// object and the path must outlive this.
class config_reader {
 public:
  config_reader(json const& object, std::filesystem::path const& path) : object_(object), path_(path) {
    expects_file(object.is_object(), path, "is a JSON ", object.type_name(), ", expected an object");
  }

  bool has(std::string const& key) const { return object_.contains(key) && !object_.at(key).is_null(); }
  json const& at(std::string const& key) const {
    expects_file(has(key), path_, "key '", key, "' is missing");
    return object_.at(key);
  }
  index_t integer(std::string const& key) const {
    json const& value = at(key);
    bool const fits = value.is_number_integer() &&
                      (!value.is_number_unsigned() || std::in_range<index_t>(value.get<std::uint64_t>()));
    expects_file(fits, path_, "key '", key, "': found ", shown(value), ", expected an integer");
    return value.get<index_t>();
  }
  index_t integer(std::string const& key, index_t otherwise) const { return has(key) ? integer(key) : otherwise; }
  double number(std::string const& key, double otherwise) const {
    if (!has(key)) return otherwise;
    expects_file(at(key).is_number(), path_, "key '", key, "': found ", shown(at(key)), ", expected a number");
    return at(key).get<double>();
  }
  bool boolean(std::string const& key, bool otherwise) const {
    if (!has(key)) return otherwise;
    expects_file(at(key).is_boolean(), path_, "key '", key, "': found ", shown(at(key)), ", expected true or false");
    return at(key).get<bool>();
  }
  /// Refuses another value than the one that follows from other members, or the only one that is supported.
  void must_be(std::string const& key, json const& value) const {
    expects_file(!has(key) || at(key) == value, path_, "key '", key, "': found ", has(key) ? shown(at(key)) : "",
                 ", expected ", value.dump(), "; anything else isn't supported");
  }

 protected:
  json const& object_;
  std::filesystem::path const& path_;
};

}  // namespace detail
}  // namespace core
}  // namespace mql4grec
