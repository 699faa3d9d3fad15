#pragma once
// safetensors files (huggingface/safetensors, README "Format"): 8 bytes of header length, a JSON header, the tensors'
// bytes. Files come from strangers: everything the header claims is checked against the file before anything is
// allocated for it.
#include <algorithm>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "mql4grec/core/detail/input_file.hpp"
#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/dtype.hpp"
#include "mql4grec/core/error.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/tensor_info.hpp"
#include "mql4grec/core/view.hpp"

namespace mql4grec {

/// A safetensors file, fully checked when opened: throws file_error when the header isn't JSON of the right form, a
/// type is unknown, or the tensors don't fill the data part exactly, each its own bytes. Entries are read on demand;
/// const use from many threads is fine.
class safetensors {
 public:
  explicit safetensors(std::filesystem::path const& path);

  std::filesystem::path const& path() const { return file_.path(); }
  std::map<std::string, std::string> const& metadata() const { return metadata_; }

  /// In alphabetical order.
  std::vector<std::string> names() const;
  bool contains(std::string_view name) const { return tensors_.contains(name); }
  tensor_info const& info(std::string_view name) const;

  /// Reads all entries of a tensor, row-major. Floating point is rounded to T; integers must fit. Throws file_error
  /// when the tensor is missing, has another shape or entries that no T can be.
  template <detail::Entry T>
  void read(std::string_view name, std::vector<index_t> const& shape, host_vector_view<T> out) const {
    auto const& tensor = info(name);
    expects_file(tensor.shape == shape, path(), place(name), "shape ", detail::shape_text(tensor.shape), ", expected ",
                 detail::shape_text(shape));
    expects(out.size() == tensor.size(), path().string(), ": ", place(name), tensor.size(),
            " entries into a place for ", out.size());
    detail::with_entry_type(tensor.type, [&]<class From>(From) { read_as<From>(name, tensor, out); });
  }
  /// The same with the shape that the file gives.
  template <detail::Entry T>
  std::vector<T> values(std::string_view name) const {
    std::vector<T> out(static_cast<std::size_t>(info(name).size()));
    read(name, info(name).shape, view_of(std::span<T>(out)));
    return out;
  }

 private:
  static std::string place(std::string_view name);

  index_t read_header_length() const;
  /// Every tensor has as many bytes as its shape needs, and one begins where the one before ends.
  void check_data(index_t data_begin);
  void check_size(std::string_view name, tensor_info const& tensor) const;

  template <class From, class T>
  void read_as(std::string_view name, tensor_info const& tensor, host_vector_view<T> out) const {
    if constexpr (std::same_as<From, T>) {
      file_.read(tensor.begin, out.data, tensor.bytes);
    } else if constexpr (detail::FloatingEntry<From> && std::integral<T>) {
      detail::raise<file_error>(path().string(), ": ", place(name), "is ", detail::name_of(tensor.type),
                                ", expected integers");
    } else {
      std::vector<From> piece(static_cast<std::size_t>(std::min<index_t>(out.size(), 1 << 15)));
      for (index_t first = 0; first < out.size(); first += std::ssize(piece)) {
        index_t const count = std::min<index_t>(std::ssize(piece), out.size() - first), width = sizeof(From);
        file_.read(tensor.begin + first * width, piece.data(), count * width);
        for (index_t i = 0; i < count; ++i)
          if (!detail::convert(piece[static_cast<std::size_t>(i)], out(first + i))) [[unlikely]]
            detail::raise<file_error>(path().string(), ": ", place(name), "entry ", first + i,
                                      " doesn't fit its new type");
      }
    }
  }

  detail::input_file file_;
  std::map<std::string, tensor_info, std::less<>> tensors_;
  std::map<std::string, std::string> metadata_;
};

using tensor_values =
    std::variant<host_vector_view<float const>, host_vector_view<double const>, host_vector_view<std::int32_t const>,
                 host_vector_view<std::int64_t const>, host_vector_view<std::uint8_t const>>;

/// A tensor to be written: its entries stay where they are.
struct named_tensor {
  std::string name;
  std::vector<index_t> shape;
  tensor_values values;  // row-major
};

/// Writes a file that appears whole or not at all. The bytes depend on the tensors alone, not on their order, and are
/// those of the official library. Throws file_error; error when a shape doesn't fit its entries or a name is used
/// twice.
void write_safetensors(std::filesystem::path const& path, std::span<named_tensor const> tensors,
                       std::map<std::string, std::string> const& metadata = {});

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/core/safetensors.inl.hpp"
#endif
