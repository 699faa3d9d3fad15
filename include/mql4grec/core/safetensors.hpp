#pragma once
// safetensors files (huggingface/safetensors, README "Format"): 8 bytes with the header's length, a JSON header, the
// tensors' bytes. Files may be malicious: everything in the header is checked against the file before memory is
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
inline namespace core {

/// A safetensors file, fully checked when opened: throws file_error when the header isn't JSON of the right form, when
/// a type is unknown, or when the tensors don't fill the data part exactly and without overlap. Entries are read on
/// demand. const members may be called from many threads.
class safetensors {
 public:
  /// Opens and checks a file.
  explicit safetensors(std::filesystem::path const& path);

  /// The path that the file was opened with.
  std::filesystem::path const& path() const { return file_.path(); }
  /// The header's "__metadata__"; empty when there is none.
  std::map<std::string, std::string> const& metadata() const { return metadata_; }

  /// The names of all tensors, in alphabetical order.
  std::vector<std::string> names() const;
  /// Whether there is a tensor with this name.
  bool contains(std::string_view name) const { return tensors_.contains(name); }
  /// The description of a tensor. Throws file_error when there is none with this name.
  tensor_info const& info(std::string_view name) const;

  /// Reads all entries of a tensor, row-major. Floating point is rounded to T; integers must fit. Throws file_error
  /// when the tensor is missing, has another shape or an entry that T can't represent; error when `out` has another
  /// size.
  template <detail::Entry T>
  void read(std::string_view name, std::vector<index_t> const& shape, host_vector_view<T> out) const {
    auto const& tensor = info(name);
    expects_file(tensor.shape == shape, path(), place(name), "shape ", detail::shape_text(tensor.shape), ", expected ",
                 detail::shape_text(shape));
    expects(out.size() == tensor.size(), path().string(), ": ", place(name), tensor.size(),
            " entries into a place for ", out.size());
    detail::with_entry_type(tensor.type, [&]<class From>(From) { read_as<From>(name, tensor, out); });
  }
  /// Reads all entries of a tensor of any shape; else as read().
  template <detail::Entry T>
  std::vector<T> values(std::string_view name) const {
    std::vector<T> out(to_size(info(name).size()));
    read(name, info(name).shape, view_of(std::span<T>(out)));
    return out;
  }

 private:
  static std::string place(std::string_view name);

  index_t read_header_length() const;
  /// Checks that every tensor has the number of bytes that its shape requires, and begins where the previous one ends.
  void check_data(index_t data_begin);
  void check_size(std::string_view name, tensor_info const& tensor) const;

  template <class From, class T>
  void read_as(std::string_view name, tensor_info const& tensor, host_vector_view<T> out) const {
    if constexpr (std::same_as<From, T>) {
      file_.read(tensor.begin, out.data, tensor.bytes);
    } else if constexpr (detail::FloatingEntry<From> && std::integral<T>) {
      raise<file_error>(path().string(), ": ", place(name), "is ", detail::name_of(tensor.type), ", expected integers");
    } else {
      std::vector<From> piece(to_size(std::min<index_t>(out.size(), 1 << 15)));
      for (index_t first = 0; first < out.size(); first += std::ssize(piece)) {
        index_t const count = std::min<index_t>(std::ssize(piece), out.size() - first), width = sizeof(From);
        file_.read(tensor.begin + first * width, piece.data(), count * width);
        for (index_t i = 0; i < count; ++i)
          if (!detail::convert(piece[to_size(i)], out(first + i))) [[unlikely]]
            raise<file_error>(path().string(), ": ", place(name), "entry ", first + i, " doesn't fit its new type");
      }
    }
  }

  detail::input_file file_;
  std::map<std::string, tensor_info, std::less<>> tensors_;
  std::map<std::string, std::string> metadata_;
};

/// The entries of a tensor to be written, of one of the supported types.
using tensor_values =
    std::variant<host_vector_view<float const>, host_vector_view<double const>, host_vector_view<std::int32_t const>,
                 host_vector_view<std::int64_t const>, host_vector_view<std::uint8_t const>>;

/// A tensor to be written. It refers to the entries, which must stay valid until the file has been written.
struct named_tensor {
  std::string name;            ///< unique within a file
  std::vector<index_t> shape;  ///< of the tensor; its product is the number of entries
  tensor_values values;        ///< row-major
};

/// Writes a file atomically. The bytes depend only on the tensors and the metadata, not on the tensors' order, and are
/// those of the official library. Throws file_error when it can't be written; error when a shape doesn't match its
/// entries or a name is used twice.
void write_safetensors(std::filesystem::path const& path, std::span<named_tensor const> tensors,
                       std::map<std::string, std::string> const& metadata = {});

}  // namespace core
}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/core/safetensors.inl.hpp"
#endif
