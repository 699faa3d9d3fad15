#pragma once
// The definitions of core/safetensors.hpp that are not templates.
#include <algorithm>
#include <array>
#include <set>
#include <tuple>
#include <utility>

#include "mql4grec/core/detail/safetensors_header.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/core/safetensors.hpp"

namespace mql4grec {
inline namespace core {

MQL4GREC_DEFINITION safetensors::safetensors(std::filesystem::path const& path) : file_(path) {
  index_t const header_bytes = read_header_length();
  std::string text(to_size(header_bytes), '\0');
  file_.read(8, text.data(), header_bytes);
  expects_file(text.starts_with('{'), path, "header: expected a JSON object that starts at byte 8");
  detail::safetensors_header header(path);
  detail::parse_json_events(text, header);
  tensors_ = std::move(header.tensors);
  metadata_ = std::move(header.metadata);
  check_data(8 + header_bytes);
}

MQL4GREC_DEFINITION std::vector<std::string> safetensors::names() const {
  std::vector<std::string> all;
  for (auto const& [name, info] : tensors_) all.push_back(name);
  return all;
}

MQL4GREC_DEFINITION tensor_info const& safetensors::info(std::string_view name) const {
  auto const found = tensors_.find(name);
  expects_file(found != tensors_.end(), path(), "tensor '", detail::printable(name), "' is missing");
  return found->second;
}

MQL4GREC_DEFINITION std::string safetensors::place(std::string_view name) {
  return "tensor '" + detail::printable(name) + "': ";
}

MQL4GREC_DEFINITION index_t safetensors::read_header_length() const {
  expects_file(file_.size() >= 8, path(), "is ", file_.size(),
               " bytes, expected at least the 8 of a safetensors header's length");
  std::uint64_t bytes = 0;
  file_.read(0, &bytes, sizeof bytes);
  expects_file(bytes <= std::uint64_t{detail::most_header_bytes}, path(), "header: its length is ", bytes,
               ", expected at most ", detail::most_header_bytes);
  auto const length = static_cast<index_t>(bytes);
  expects_file(length <= file_.size() - 8, path(), "header: its length is ", length, ", but only ", file_.size() - 8,
               " bytes follow");
  return length;
}

MQL4GREC_DEFINITION void safetensors::check_data(index_t data_begin) {
  index_t const data_bytes = file_.size() - data_begin;
  std::vector<std::pair<std::string const*, tensor_info*>> order;
  for (auto& [name, tensor] : tensors_) {
    check_size(name, tensor);
    order.emplace_back(&name, &tensor);
  }
  std::ranges::sort(order, {}, [](auto const& o) {
    return std::tuple(o.second->begin, o.second->bytes, std::string_view(*o.first));
  });
  index_t end = 0;
  for (auto const& [name, tensor] : order) {
    expects_file(tensor->begin == end, path(), place(*name), "begins at data byte ", tensor->begin, ", expected ", end,
                 tensor->begin < end ? ": overlaps the tensor before" : ": a gap");
    expects_file(tensor->bytes <= data_bytes - end, path(), place(*name), "ends at data byte ", end, " + ",
                 tensor->bytes, ", but the file has only ", data_bytes);
    end += tensor->bytes;
    tensor->begin += data_begin;
  }
  expects_file(end == data_bytes, path(), data_bytes - end, " bytes after the last tensor, expected none");
}

MQL4GREC_DEFINITION void safetensors::check_size(std::string_view name, tensor_info const& tensor) const {
  index_t bytes = detail::entries_of(tensor.shape);
  bool const fits = bytes >= 0 && !__builtin_mul_overflow(bytes, detail::entry_bytes(tensor.type), &bytes);
  expects_file(fits, path(), place(name), "shape ", detail::shape_text(tensor.shape), " is too large");
  expects_file(bytes == tensor.bytes, path(), place(name), "data_offsets span ", tensor.bytes, " bytes, expected ",
               bytes, " for ", detail::name_of(tensor.type), " ", detail::shape_text(tensor.shape));
}

namespace detail {
MQL4GREC_DEFINITION dtype type_of(named_tensor const& tensor) {
  constexpr std::array types = {dtype::f32, dtype::f64, dtype::i32, dtype::i64, dtype::u8};
  return types[tensor.values.index()];
}

/// The header's length, the header and its padding; `order` is the order of the data.
MQL4GREC_DEFINITION std::string safetensors_prefix(std::filesystem::path const& path,
                                                   std::vector<named_tensor const*> const& order,
                                                   std::map<std::string, std::string> const& metadata) {
  json header = json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::string text;
  index_t end = 0;
  try {
    text = header.dump();
    text.pop_back();
    for (auto const* tensor : order) {  // not through one JSON object: ordered_json searches its members linearly
      dtype const type = type_of(*tensor);
      index_t const begin = end;
      end += entries_of(tensor->shape) * entry_bytes(type);
      json const entry = {{"dtype", name_of(type)}, {"shape", tensor->shape}, {"data_offsets", {begin, end}}};
      text += (text.size() > 1 ? "," : "") + json(tensor->name).dump() + ":" + entry.dump();
    }
  } catch (json::exception const&) {
    raise<file_error>(path.string(), ": a name isn't valid UTF-8");
  }
  text += '}';
  text.resize((text.size() + 7) / 8 * 8, ' ');  // aligns the data, for readers that map the file
  expects_file(std::cmp_less_equal(text.size(), most_header_bytes), path, "header of ", text.size(),
               " bytes, expected at most ", most_header_bytes);
  std::uint64_t const bytes = text.size();
  return std::string(reinterpret_cast<char const*>(&bytes), sizeof bytes) + text;
}
}  // namespace detail

MQL4GREC_DEFINITION void write_safetensors(std::filesystem::path const& path, std::span<named_tensor const> tensors,
                                           std::map<std::string, std::string> const& metadata) {
  std::vector<named_tensor const*> order;
  std::set<std::string_view> names;
  for (auto const& tensor : tensors) {
    index_t const size = std::visit([](auto const& v) { return v.size(); }, tensor.values);
    expects(detail::entries_of(tensor.shape) == size, path.string(), ": tensor '", tensor.name, "' has ", size,
            " entries, its shape is ", detail::shape_text(tensor.shape));
    expects(names.insert(tensor.name).second, path.string(), ": two tensors with the name '", tensor.name, "'");
    expects(tensor.name != "__metadata__", path.string(), ": no tensor can have the name __metadata__");
    order.push_back(&tensor);
  }
  std::ranges::sort(order, [](auto const* a, auto const* b) {
    return std::tuple(detail::type_of(*b), std::string_view(a->name)) <
           std::tuple(detail::type_of(*a), std::string_view(b->name));
  });

  atomic_file file(path);
  file.write(detail::safetensors_prefix(path, order, metadata));
  for (auto const* tensor : order)
    std::visit([&](auto const& v) { file.write(v.data, to_size(v.size()) * sizeof(*v.data)); }, tensor->values);
  file.commit();
}

}  // namespace core
}  // namespace mql4grec
