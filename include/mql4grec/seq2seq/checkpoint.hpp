#pragma once
// Reads and writes a model directory as transformers' save_pretrained does: config.json and model.safetensors, with
// transformers' tensor names. A model that is trained here loads in transformers, and the reverse. The reader also
// accepts several files with model.safetensors.index.json; the writer always writes one.
#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/sharded_safetensors.hpp"
#include "mql4grec/seq2seq/config_json.hpp"
#include "mql4grec/seq2seq/t5.hpp"

namespace mql4grec::seq2seq {

namespace detail {

/// The names under which a file may contain a parameter. The embedding has several; their values must agree.
std::vector<std::string> names_of(t5_config const& c, nn::parameter const& p);

/// Compares all shapes with config.json before any memory is allocated, so that a damaged config.json can't request an
/// arbitrary amount.
void check_shapes(sharded_safetensors const& files, t5_config const& c);

/// The position of the first value that isn't finite; the size if all are.
template <Real T>
index_t first_not_finite(host_vector_view<T const> values) {
  constexpr index_t piece = 1024;  // checked without a branch, which compilers vectorize
  index_t first = 0;
  for (bool finite = true; finite && first + piece <= values.size(); first += finite ? piece : 0) {
    int bad = 0;
    for (index_t i = 0; i < piece; ++i) bad |= !(std::abs(values(first + i)) <= std::numeric_limits<T>::max());
    finite = bad == 0;
  }
  while (first < values.size() && std::isfinite(values(first))) ++first;
  return first;
}

/// Reads one parameter. Throws file_error for a value that isn't finite and for copies that differ.
template <class T>
void read_parameter(sharded_safetensors const& files, t5_config const& c, nn::parameter const& parameter,
                    host_vector_view<T> out) {
  bool first = true;
  for (auto const& name : names_of(c, parameter)) {
    if (!files.contains(name)) continue;
    auto const& file = files.file_of(name);
    if (std::exchange(first, false)) {
      file.read(name, parameter.shape(), out);
      auto const bad = first_not_finite<T>(out);
      expects_file(bad == out.size(), file.path(), "tensor '", name, "': entry ", bad, " isn't a finite number");
    } else {
      bool const same = std::ranges::equal(file.template values<T>(name), as_span(out));
      expects_file(same, file.path(), "tensor '", name, "': isn't a copy of the embedding, expected so");
    }
  }
}

/// Writes config.json if it differs from the existing file.
void write_config(std::filesystem::path const& path, t5_config const& c);

}  // namespace detail

/// Writes config.json and model.safetensors. A tied embedding is written once, as shared.weight. Each file is replaced
/// atomically, and config.json only if it differs: as long as a run keeps its configuration, a crash leaves either the
/// old model or the new one. Throws file_error.
template <Backend B>
void write_model(std::filesystem::path const& directory, t5<B, float> const& model) {
  host_copy const values(model.parameters());
  std::vector<named_tensor> tensors;
  for (auto const& p : model.layout().entries())
    tensors.push_back({p.name, p.shape(), values.view_all().part(p.offset, p.size())});
  make_directory(directory);
  detail::write_config(directory / "config.json", model.config());
  write_safetensors(directory / "model.safetensors", tensors, {{"format", "pt"}});  // last: what has it is complete
}

/// Reads a model directory. Parameters in half or double precision are rounded to T. Throws file_error if a file is
/// missing or damaged, or if a tensor is missing, unknown, not finite or of another shape than config.json requires.
template <Real T, Backend B>
[[nodiscard]] t5<B, T> read_model(B& backend, std::filesystem::path const& directory) {
  core::detail::expect_safetensors(directory);
  t5_config const config = read_t5_config(directory / "config.json");
  sharded_safetensors const files(directory);
  detail::check_shapes(files, config);
  t5<B, T> model(backend, config);
  fill(model.parameters(), [&](host_vector_view<T> values) {
    for (auto const& p : model.layout().entries())
      detail::read_parameter(files, config, p, values.part(p.offset, p.size()));
  });
  return model;
}

}  // namespace mql4grec::seq2seq

#if !MQL4GREC_COMPILED
#include "mql4grec/seq2seq/checkpoint.inl.hpp"
#endif
