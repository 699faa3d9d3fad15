#pragma once
// Answers of a service as JSON.
#include <span>
#include <string>

#include "compute/serving.hpp"
#include "http_server.hpp"
#include "mql4grec/core/json.hpp"
#include "request_json.hpp"
#include "served_catalog.hpp"

namespace mql4grec::program {

/// The text of a JSON value. Bytes that aren't UTF-8 are replaced.
std::string text_of(json const& value);

/// {"error": "one line"}.
http_response failure(unsigned status, std::string const& why,
                      std::vector<std::pair<std::string, std::string>> headers = {});

/// {"item": …, "title": …, "picture": …}, without what the item lacks.
json shown_item(served_catalog const& catalog, item_id item);
json shown_items(served_catalog const& catalog, std::span<item_id const> items);
/// An item with its number and its tokens.
json shown_item_with_words(served_catalog const& catalog, item_id item);

/// The answer to a request, with what the request asked for.
json shown_answer(served_catalog const& catalog, recommend_body const& asked, serving_answer const& answer);

/// The dataset: name, items, modalities.
json shown_dataset(served_catalog const& catalog);

}  // namespace mql4grec::program
