#pragma once
// The definitions of pipeline/embed.hpp that are not templates.
#include <utility>

#include "mql4grec/catalog/interaction_files.hpp"
#include "mql4grec/core/checksum.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/pipeline/embed.hpp"

namespace mql4grec::pipeline {

MQL4GREC_DEFINITION text_field text_field_named(std::string const& name) {
  if (name == "title") return text_field::title;
  if (name == "description") return text_field::description;
  if (name == "brand") return text_field::brand;
  if (name == "categories") return text_field::categories;
  raise("field '", name, "', expected title, description, brand or categories");
}

MQL4GREC_DEFINITION item_texts texts_of(catalog::item_descriptions const& descriptions, index_t items,
                                        text_selection const& selection) {
  item_texts out(to_size(items));
  for (auto const& [item, d] : descriptions) {
    expects(index(item) >= 0 && index(item) < items, "item ", index(item), " has a description, expected below ",
            items);
    auto& texts = out[to_size(index(item))];
    for (auto const field : selection.fields) {
      auto const& text = field == text_field::title         ? d.title
                         : field == text_field::description ? d.description
                         : field == text_field::brand       ? d.brand
                                                            : d.categories;
      if (!text.empty() || selection.empty == empty_fields::encode) texts.push_back(text);
    }
    if (std::ranges::all_of(texts, &std::string::empty)) texts.clear();
  }
  return out;
}

MQL4GREC_DEFINITION item_content read_item_content(std::filesystem::path const& directory) {
  catalog::dataset_paths const paths(directory);
  expects_file(std::filesystem::is_directory(directory), directory, "isn't a directory, expected a dataset directory");
  bool const interactions = catalog::find_interactions(paths).form != catalog::interaction_form::none,
             descriptions = std::filesystem::exists(paths.items()), ids = std::filesystem::exists(paths.item_ids());
  expects_file(interactions || descriptions || ids, paths.items(), "is missing, and so are ",
               paths.interactions().filename().string(), " and ", paths.item_ids().filename().string(),
               ", expected at least one of them");
  item_content out;
  if (interactions) out.items = catalog::read_interactions(paths).item_count;
  if (descriptions) out.descriptions = catalog::read_items(paths.items());
  if (!out.descriptions.empty()) out.items = std::max(out.items, index(out.descriptions.rbegin()->first) + 1);
  if (ids) out.raw_ids = catalog::read_ids(paths.item_ids());
  out.items = std::max(out.items, index_t{std::ssize(out.raw_ids)});
  return out;
}

namespace detail {

MQL4GREC_DEFINITION std::uint64_t checksum_of(item_texts const& texts) {
  std::uint64_t sum = 0;
  auto const add_size = [&](std::size_t size) { sum = checksum(std::as_bytes(std::span(&size, 1)), sum); };
  for (auto const& item : texts) {
    add_size(item.size());
    for (auto const& text : item) {
      add_size(text.size());
      sum = checksum(std::as_bytes(std::span(text)), sum);
    }
  }
  return sum;
}

MQL4GREC_DEFINITION std::uint64_t checksum_of(std::vector<std::filesystem::path> const& images) {
  std::uint64_t sum = 0;
  for (auto const& path : images) {
    auto const name = path.filename().string();
    std::error_code ignored;
    auto const bytes = path.empty() ? 0 : std::filesystem::file_size(path, ignored);
    sum = checksum(std::as_bytes(std::span(name)), checksum(std::as_bytes(std::span(&bytes, 1)), sum));
  }
  return sum;
}

MQL4GREC_DEFINITION json json_of(embed::bert_config const& c) {
  return {{"model_type", "bert"},     {"vocabulary", c.vocabulary}, {"width", c.width},
          {"layers", c.layers},       {"heads", c.heads},           {"inner_width", c.inner_width},
          {"positions", c.positions}, {"types", c.types},           {"epsilon", c.epsilon}};
}

MQL4GREC_DEFINITION json json_of(embed::llama_config const& c) {
  return {{"model_type", "llama"},
          {"vocabulary", c.vocabulary},
          {"width", c.width},
          {"layers", c.layers},
          {"heads", c.heads},
          {"key_heads", c.key_heads},
          {"inner_width", c.inner_width},
          {"positions", c.positions},
          {"epsilon", c.epsilon},
          {"rotary_frequencies", nn::rotary_frequencies(c.rotary)},
          {"rotary_divisors", c.rotary_divisors}};
}

MQL4GREC_DEFINITION json json_of(embed::clip_vision_config const& c) {
  return {{"model_type", "clip_vision_model"},
          {"width", c.width},
          {"layers", c.layers},
          {"heads", c.heads},
          {"inner_width", c.inner_width},
          {"channels", c.channels},
          {"image_size", c.image_size},
          {"patch", c.patch},
          {"projection", c.projection},
          {"epsilon", c.epsilon},
          {"activation", c.activation == embed::clip_activation::gelu ? "gelu" : "quick_gelu"}};
}

MQL4GREC_DEFINITION json json_of(embed::image_preprocessing const& how) {
  return {{"resize", static_cast<int>(how.resize)},
          {"shortest_edge", how.shortest_edge},
          {"exact_size", {how.exact_size.width, how.exact_size.height}},
          {"crop", {how.crop.width, how.crop.height}},
          {"rescale", how.rescale},
          {"mean", how.mean},
          {"deviation", how.deviation}};
}

MQL4GREC_DEFINITION std::uint64_t embedding_loop::checksum_of(json const& inputs, embed::feature_shape shape,
                                                              std::uint64_t more) {
  auto const text = inputs.dump() + std::to_string(shape.rows) + " " + std::to_string(shape.width);
  return checksum(std::as_bytes(std::span(text)), more);
}

MQL4GREC_DEFINITION void embedding_loop::add_ranks() {
  if (ranks_.world_size() == 1) return;
  for (auto* count : {&result_.empty, &result_.units, &result_.tokens}) *count = train::sum_of_ranks(ranks_, *count);
  std::vector<index_t> places;  // the row of each message, and its length
  std::string text;
  for (auto const& one : result_.bad) {
    places.insert(places.end(), {one.row, static_cast<index_t>(one.message.size())});
    text += one.message;
  }
  places = train::gather<index_t>(ranks_, places);
  auto const all = train::gather<char>(ranks_, text);
  result_.bad.clear();
  std::size_t begin = 0;
  for (std::size_t i = 0; i + 1 < places.size(); i += 2) {
    auto const end = begin + to_size(places[i + 1]);
    result_.bad.push_back({places[i], std::string(all.data() + begin, all.data() + end)});
    begin = end;
  }
  std::ranges::stable_sort(result_.bad, {}, &embed::bad_image::row);
}

MQL4GREC_DEFINITION std::vector<std::vector<index_t>> section_texts::batches(index_t batch_tokens) const {
  std::vector<index_t> order(tokens.size());
  std::iota(order.begin(), order.end(), index_t{0});
  std::ranges::stable_sort(order, std::greater{}, [&](index_t text) { return tokens[to_size(text)].size(); });
  std::vector<std::vector<index_t>> out;
  index_t used = 0;
  for (index_t const text : order) {
    index_t const length = std::ssize(tokens[to_size(text)]);
    if (out.empty() || used + length > batch_tokens) {
      out.emplace_back();
      used = 0;
    }
    out.back().push_back(text);
    used += length;
  }
  return out;
}

}  // namespace detail

}  // namespace mql4grec::pipeline
