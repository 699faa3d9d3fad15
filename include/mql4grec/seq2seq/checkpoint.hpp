#pragma once
// A model on disk is a directory as transformers' save_pretrained writes it: config.json and model.safetensors (read in
// several files too, with model.safetensors.index.json), tensors under their names there. What is trained here loads
// there and the other way round.
#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "mql4grec/backend/contract/copy.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/core/sharded_safetensors.hpp"
#include "mql4grec/seq2seq/config_json.hpp"
#include "mql4grec/seq2seq/t5.hpp"

namespace mql4grec {

namespace detail {

/// Names under which a file may hold a parameter: the embedding has one for each of its users. They must agree.
std::vector<std::string> names_of(t5_config const& c, nn::parameter const& p);

/// Before anything is allocated: the sizes in config.json are believed only where there are such tensors.
void check_shapes(sharded_safetensors const& files, t5_config const& c);

template <class T>
void read_parameter(sharded_safetensors const& files, t5_config const& c, nn::parameter const& parameter,
                    host_vector_view<T> out) {
  bool first = true;
  for (auto const& name : names_of(c, parameter)) {
    if (!files.contains(name)) continue;
    auto const& file = files.file_of(name);
    if (std::exchange(first, false)) {
      file.read(name, parameter.shape(), out);
      auto const* const bad = std::find_if_not(out.data, out.data + out.size(), [](T x) { return std::isfinite(x); });
      expects_file(bad == out.data + out.size(), file.path(), "tensor '", name, "': entry ", bad - out.data,
                   " isn't a finite number");
    } else {
      bool const same = std::ranges::equal(file.template values<T>(name), as_span(out));
      expects_file(same, file.path(), "tensor '", name, "': isn't a copy of the embedding, expected so");
    }
  }
}

/// Only when it differs from what is there.
void write_config(std::filesystem::path const& path, t5_config const& c);

/// Other forms of a checkpoint, named so that the reader knows what to do.
void refuse_other_forms(std::filesystem::path const& directory);

}  // namespace detail

/// Writes config.json and model.safetensors (a tied embedding once, as shared.weight). Each file is replaced as a
/// whole, and config.json only when it differs: while a run keeps its configuration, a crash leaves the old model or
/// the new one.
template <Backend B>
void write_model(std::filesystem::path const& directory, t5<B, float> const& model) {
  host_copy const values(model.parameters());
  std::vector<named_tensor> tensors;
  for (auto const& p : model.layout().entries())
    tensors.push_back({p.name, p.shape(), values.view_all().part(p.offset, p.size())});
  make_directory(directory);
  write_safetensors(directory / "model.safetensors", tensors, {{"format", "pt"}});
  detail::write_config(directory / "config.json", model.config());
}

/// The model in a directory, on a backend; parameters in half or double precision are rounded to T. Throws file_error
/// when a file is missing or damaged, when a tensor is missing, unknown, not finite or of another shape than
/// config.json says.
template <Real T, Backend B>
t5<B, T> read_model(B& backend, std::filesystem::path const& directory) {
  detail::refuse_other_forms(directory);
  t5_config const config = read_t5_config(directory / "config.json");
  sharded_safetensors const files(directory);
  detail::check_shapes(files, config);
  t5<B, T> model(backend, config);
  write_from_host(model.parameters(), [&](host_vector_view<T> values) {
    for (auto const& p : model.layout().entries())
      detail::read_parameter(files, config, p, values.part(p.offset, p.size()));
  });
  return model;
}

}  // namespace mql4grec

#if !MQL4GREC_COMPILED
#include "mql4grec/seq2seq/checkpoint.inl.hpp"
#endif
