#pragma once
// Reads the JSON of a request's body. What a client sends is hostile until it has passed here.
#include <limits>
#include <set>
#include <span>
#include <string>

#include "http_server.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/json.hpp"

namespace mql4grec::program {

/// The members of an object in a body. Every error is one line that names the member and what was expected.
class request_body {
 public:
  /// Throws bad_request if the text isn't one JSON object.
  explicit request_body(std::string const& text) {
    try {
      value_ = parse_json(text, "body");
    } catch (error const& fault) {
      throw bad_request(fault.what());
    }
    if (!value_.is_object()) raise<bad_request>("body: found ", value_.type_name(), ", expected an object");
  }

  /// The member, or null if it is missing; a member that is null is an error. Every member that isn't asked for is an
  /// error of check_all_known().
  json const& find(std::string const& name) {
    static json const nothing;
    known_.insert(name);
    auto const found = value_.find(name);
    if (found == value_.end()) return nothing;
    if (found->is_null()) raise<bad_request>("'", name, "': found null, expected a value, or no such member");
    return *found;
  }
  /// A whole number in a range; `otherwise` if it is missing.
  std::int64_t integer(std::string const& name, std::int64_t least, std::int64_t most, std::int64_t otherwise) {
    auto const& value = find(name);
    if (value.is_null()) return otherwise;
    bool const fits = value.is_number_integer() &&
                      (!value.is_number_unsigned() ||
                       value.get<std::uint64_t>() <= std::uint64_t{std::numeric_limits<std::int64_t>::max()});
    if (!fits || value.get<std::int64_t>() < least || value.get<std::int64_t>() > most)
      raise<bad_request>("'", name, "': found ", core::detail::shown(value), ", expected a whole number from ", least,
                         " to ", most);
    return value.get<std::int64_t>();
  }
  /// A number in a range; `otherwise` if it is missing.
  double number(std::string const& name, double least, double most, double otherwise) {
    auto const& value = find(name);
    if (value.is_null()) return otherwise;
    if (!value.is_number() || !(value.get<double>() >= least && value.get<double>() <= most))
      raise<bad_request>("'", name, "': found ", core::detail::shown(value), ", expected a number from ", least, " to ",
                         most);
    return value.get<double>();
  }
  bool boolean(std::string const& name, bool otherwise) {
    auto const& value = find(name);
    if (value.is_null()) return otherwise;
    if (!value.is_boolean())
      raise<bad_request>("'", name, "': found ", core::detail::shown(value), ", expected true or false");
    return value.get<bool>();
  }
  /// A text; empty if it is missing.
  std::string text(std::string const& name) {
    auto const& value = find(name);
    if (value.is_null()) return {};
    if (!value.is_string()) raise<bad_request>("'", name, "': found ", core::detail::shown(value), ", expected a text");
    return value.get<std::string>();
  }
  /// The entries of a list; none if it is missing. Throws for more than `most`.
  std::span<json const> list(std::string const& name, std::size_t most) {
    auto const& value = find(name);
    if (value.is_null()) return {};
    if (!value.is_array()) raise<bad_request>("'", name, "': found ", core::detail::shown(value), ", expected a list");
    if (value.size() > most) raise<bad_request>("'", name, "': ", value.size(), " entries, expected at most ", most);
    return value.get_ref<json::array_t const&>();
  }
  /// Throws bad_request for a member that nothing has asked for, such as a misspelt one.
  void check_all_known() const {
    for (auto const& [name, value] : value_.items())
      if (!known_.contains(name)) raise<bad_request>("body: there is no member ", core::detail::shown(name));
  }

 private:
  json value_;
  std::set<std::string> known_;
};

}  // namespace mql4grec::program
