#pragma once
// The definitions of catalog/raw/raw_items.hpp.
#include <algorithm>
#include <optional>
#include <utility>

#include "mql4grec/catalog/raw/clean_text.hpp"
#include "mql4grec/catalog/raw/detail/json_line.hpp"
#include "mql4grec/catalog/raw/detail/table_layout.hpp"
#include "mql4grec/catalog/raw/raw_items.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec::catalog {

namespace detail {

/// The texts of a value: of a string itself, of a list those of its entries, at most four deep. Others have none.
MQL4GREC_DEFINITION void collect_texts(simdjson::dom::element value, std::vector<std::string_view>& texts,
                                       int depth = 0) {
  std::string_view text;
  simdjson::dom::array list;
  if (value.get(text) == simdjson::SUCCESS) return texts.push_back(text);
  if (depth > 3 || value.get(list) != simdjson::SUCCESS) return;
  for (auto const entry : list) collect_texts(entry, texts, depth + 1);
}

MQL4GREC_DEFINITION std::vector<std::string_view> texts_of(simdjson::dom::object object, std::string_view key) {
  std::vector<std::string_view> texts;
  simdjson::dom::element value;
  if (object[key].get(value) == simdjson::SUCCESS) collect_texts(value, texts);
  return texts;
}

/// The cleaned texts, joined by `between`; empty ones are left out.
MQL4GREC_DEFINITION std::string join_clean(std::vector<std::string_view> const& texts, char const* between) {
  std::string joined;
  for (auto const text : texts) {
    auto const clean = clean_text(text);
    if (!joined.empty() && !clean.empty()) joined += between;
    joined += clean;
  }
  return joined;
}

MQL4GREC_DEFINITION std::string clean_title(std::string title) {
  return title.find("getTime") == title.npos ? std::move(title) : std::string();
}

/// "by\nYamaha", as pages of the shop show it, is "Yamaha".
MQL4GREC_DEFINITION std::string clean_brand(std::string_view text) {
  if (text.starts_with("by\n")) text.remove_prefix(3);
  return clean_text(text);
}

MQL4GREC_DEFINITION std::string clean_categories(std::vector<std::string_view> texts) {
  auto const has_markup = [](std::string_view text) { return text.find("</span>") != text.npos; };
  texts.erase(std::find_if(texts.begin(), texts.end(), has_markup), texts.end());
  return join_clean(texts, ",");
}

MQL4GREC_DEFINITION item_description description_of(simdjson::dom::object object) {
  item_description text;
  text.title = clean_title(join_clean(texts_of(object, "title"), " "));
  text.description = join_clean(texts_of(object, "description"), " ");
  if (text.description.empty()) text.description = join_clean(texts_of(object, "features"), " ");
  simdjson::dom::object details;
  auto brand = text_member(object, "brand");
  if (brand.empty() && object["details"].get(details) == simdjson::SUCCESS) brand = text_member(details, "Brand");
  if (brand.empty()) brand = text_member(object, "store");
  text.brand = clean_brand(brand);
  auto categories = texts_of(object, "categories");
  if (categories.empty()) categories = texts_of(object, "category");
  text.categories = clean_categories(std::move(categories));
  return text;
}

/// Where the values of an item are in the records of a file.
struct items_layout {
  std::string name = {};
  bool json = false, header = true;
  record_format records = {};
  std::size_t item = 0;
  std::optional<std::size_t> title = {}, description = {}, brand = {}, categories = {};
  char between_categories = ',';
};

MQL4GREC_DEFINITION items_layout items_layout_of(std::filesystem::path const& path, raw_items_options const& options) {
  auto const line = first_line(path, options.reading);
  if (is_json_line(line)) return {.name = "JSON lines or Python literals", .json = true};
  if (line.find("::") != line.npos && !is_recbole_header(line))
    return {.name = "movielens, item::title::genres",
            .header = false,
            .records = {.separator = "::", .quotes = quoting::none},
            .title = 1,
            .categories = 2,
            .between_categories = '|'};
  items_layout layout{.name = "csv", .records = csv_format(line)};
  if (is_recbole_header(line))
    layout = {.name = "recbole", .records = {.separator = "\t", .quotes = quoting::none}, .between_categories = ' '};
  auto const names = header_names(line, layout.records);
  auto const item = options.item_column.empty()
                        ? find_column(names, {"parent_asin", "item_id", "item", "itemId", "itemid", "movieId", "asin",
                                              "product_id", "product", "id"})
                        : find_column(names, {options.item_column});
  expects_file(item.has_value(), path, "line 1: no column of items among ", listed(names),
               "; --columns names those of users, items and times");
  layout.item = *item;
  layout.title = find_column(names, {"title", "movie_title", "item_name", "name"});
  layout.description = find_column(names, {"description", "text", "summary"});
  layout.brand = find_column(names, {"brand", "store", "manufacturer"});
  layout.categories = find_column(names, {"categories", "category", "genres", "genre", "class"});
  if (names[*item] == "movieId") {
    layout.name = "movielens, CSV";
    layout.between_categories = '|';
  }
  return layout;
}

/// The parts of a text between separators. A comma keeps the text whole: it separates the categories of the result too.
MQL4GREC_DEFINITION std::vector<std::string_view> split_categories(std::string_view text, char separator) {
  std::vector<std::string_view> parts;
  while (separator != ',' && text.find(separator) != text.npos) {
    parts.push_back(text.substr(0, text.find(separator)));
    text.remove_prefix(parts.back().size() + 1);
  }
  parts.push_back(text);
  return parts;
}

using item_visitor = std::function<void(std::string_view id, item_description&& text)>;

MQL4GREC_DEFINITION index_t visit_item_records(line_reader& lines, items_layout const& layout,
                                               raw_items_options const& options, item_visitor const& visit) {
  record_reader records(lines, layout.records);
  index_t count = 0;
  if (layout.header) (void)records.next();
  while (true) {
    auto const& fields = records.next();
    if (fields.empty()) return count;
    ++count;
    if (fields.size() <= layout.item || fields[layout.item].empty()) lines.fail("the item is missing");
    auto const id = fields[layout.item];
    if (options.is_needed && !options.is_needed(id)) continue;
    auto const field = [&](std::optional<std::size_t> column) {
      return column && *column < fields.size() ? fields[*column] : std::string_view();
    };
    visit(id, {.title = clean_title(clean_text(field(layout.title))),
               .description = clean_text(field(layout.description)),
               .brand = clean_brand(field(layout.brand)),
               .categories = clean_categories(split_categories(field(layout.categories), layout.between_categories))});
  }
}

MQL4GREC_DEFINITION index_t visit_item_lines(line_reader& lines, raw_items_options const& options,
                                             item_visitor const& visit) {
  json_line_parser parser;
  std::string_view line;
  index_t count = 0;
  while (lines.next(line)) {
    if (line.empty()) continue;
    ++count;
    auto const object = parser.parse(lines, line);
    std::string_view id;
    for (auto const* key : {"parent_asin", "asin", "item_id", "id"})
      if (id.empty()) id = text_member(object, key);
    if (id.empty()) lines.fail("has no 'asin' or 'parent_asin' that is a text");
    if (!options.is_needed || options.is_needed(id)) visit(id, description_of(object));
  }
  return count;
}

}  // namespace detail

MQL4GREC_DEFINITION raw_source read_raw_items(std::filesystem::path const& path, raw_items_options const& options,
                                              detail::item_visitor const& visit) {
  auto const layout = detail::items_layout_of(path, options);
  line_reader lines(path, options.reading);
  auto const count = layout.json ? detail::visit_item_lines(lines, options, visit)
                                 : detail::visit_item_records(lines, layout, options, visit);
  return {.path = path,
          .layout = layout.name,
          .bytes = lines.size(),
          .lines = lines.line(),
          .records = count,
          .sha256 = lines.hash()};
}

}  // namespace mql4grec::catalog
