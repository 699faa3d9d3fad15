#include "mql4grec/quantize/rq_vae/checkpoint.hpp"

#include "core/temporary_directory.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
quantize::rq_vae_config small() { return {.input_width = 7, .hidden = {6, 5}, .latent_width = 3, .codes = {4, 2, 5}}; }

quantize::rq_vae<cpu::backend, float> model(cpu::backend& b) {
  quantize::rq_vae<cpu::backend, float> one(b, small());
  quantize::initialize(one, 3);
  return one;
}

/// The error message, without the path, of reading a valid file after `change` has modified its tensors.
template <class Change>
std::string complaint_after(Change&& change) {
  temporary_directory const root;
  cpu::backend b;
  auto const good = model(b);
  std::vector<named_tensor> tensors;
  for (auto const& p : good.layout().entries())
    tensors.push_back({p.name, p.shape(), good.parameters().part(p.offset, p.size())});
  change(tensors);
  auto const path = root / "model.safetensors";
  write_safetensors(path, tensors);
  auto const what = complaint<file_error>([&] { return quantize::read_rq_vae<float>(b, path); });
  return what.starts_with(path.string() + ": ") ? what.substr(path.string().size() + 2) : what;
}
named_tensor& find(std::vector<named_tensor>& tensors, std::string const& name) {
  return *std::ranges::find(tensors, name, &named_tensor::name);
}
std::vector<float> const many(100, 1.f);
host_vector_view<float const> ones(index_t n) { return {many.data(), n}; }
}  // namespace

TEST_CASE("RQ-VAE file: a written model is read with its shape and bits, and converted for another scalar") {
  temporary_directory const root;
  cpu::backend b;
  auto const written = model(b);
  quantize::write_rq_vae(root / "m.safetensors", written);
  auto const read = quantize::read_rq_vae<float>(b, root / "m.safetensors");
  CHECK(read.config().widths() == small().widths());
  CHECK(read.config().codes == small().codes);
  CHECK(std::ranges::equal(as_span(read.parameters()), as_span(written.parameters())));
  CHECK_CLOSE(quantize::read_rq_vae<double>(b, root / "m.safetensors").parameters(), written.parameters(), 0);
}

TEST_CASE("RQ-VAE file: the shape of a model without hidden layers or with many levels follows from the file") {
  temporary_directory const root;
  cpu::backend b;
  quantize::rq_vae_config const odd{
      .input_width = 2, .hidden = {}, .latent_width = 3, .codes = std::vector<index_t>(12, 2)};
  quantize::write_rq_vae(root / "m.safetensors", quantize::rq_vae<cpu::backend, float>(b, odd));
  auto const read = quantize::read_rq_vae<float>(b, root / "m.safetensors");
  CHECK(read.config().hidden.empty());
  CHECK(read.config().codes == odd.codes);
}

TEST_CASE("RQ-VAE file: tensors that don't fit are named in the message") {
  CHECK(complaint_after([](auto& t) { t.clear(); }) ==
        "tensor 'encoder.mlp_layers.1.weight' is missing, expected an RQ-VAE");
  CHECK(complaint_after([](auto& t) {
          std::erase_if(t, [](auto const& one) { return one.name.starts_with("rq."); });
        }) == "tensor 'rq.vq_layers.0.embedding.weight' is missing, expected an RQ-VAE");
  CHECK(complaint_after([](auto& t) {
          std::erase_if(t, [](auto const& one) { return one.name == "decoder.mlp_layers.4.bias"; });
        }) == "tensor 'decoder.mlp_layers.4.bias' is missing");
  CHECK(complaint_after([](auto& t) {
          find(t, "rq.vq_layers.1.embedding.weight") = {"rq.vq_layers.1.embedding.weight", {2, 4}, ones(8)};
        }) == "tensor 'rq.vq_layers.1.embedding.weight': shape [2, 4], expected [2, 3] beside the others");
  CHECK(complaint_after([](auto& t) {
          find(t, "encoder.mlp_layers.4.weight") = {"encoder.mlp_layers.4.weight", {30}, ones(30)};
        }) == "tensor 'encoder.mlp_layers.4.weight': shape [30], expected a matrix");
  CHECK(complaint_after([](auto& t) {
          t.push_back({"other", {1}, ones(1)});
        }) == "tensor 'other': no parameter of an RQ-VAE");
  std::vector<float> const bad = {0, 1, NAN};
  CHECK(complaint_after([&](auto& t) {
          find(t, "encoder.mlp_layers.7.bias").values = view_of(std::span<float const>(bad));
        }) == "tensor 'encoder.mlp_layers.7.bias': entry 2 isn't a finite number");
}
