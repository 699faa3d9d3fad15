#include "mql4grec/quantize/residual_kmeans/checkpoint.hpp"

#include "core/temporary_directory.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/quantize/assign_codes.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/hostile_files.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
template <Backend B>
quantize::residual_kmeans<B> trained(B& b, index_t rotation_rounds, std::vector<index_t> codes = {5, 2, 4}) {
  auto const rows = random_normal<float>({60, 3}, 2);
  return quantize::fit_residual_kmeans(
      b, embed::matrix_features(rows),
      {.codes = std::move(codes), .clustering = {.iterations = 2}, .rotation_rounds = rotation_rounds});
}

/// The error message, without the path, of reading a valid file with a rotation after `change` has modified its
/// tensors.
template <class Change>
std::string complaint_after(Change&& change) {
  temporary_directory const root;
  cpu::backend b;
  auto const path = root / "model.safetensors";
  quantize::write_residual_kmeans(path, trained(b, 3));
  std::vector<named_tensor> tensors;
  std::vector<std::vector<double>> values;
  {
    safetensors const file(path);
    values.reserve(file.names().size());
    for (auto const& name : file.names()) {
      values.push_back(file.values<double>(name));
      tensors.push_back({name, file.info(name).shape, view_of(std::span<double const>(values.back()))});
    }
  }
  change(tensors);
  write_safetensors(path, tensors);
  auto const what = complaint<file_error>([&] { return quantize::read_residual_kmeans(b, path); });
  return what.starts_with(path.string() + ": ") ? what.substr(path.string().size() + 2) : what;
}
named_tensor& find(std::vector<named_tensor>& tensors, std::string const& name) {
  return *std::ranges::find(tensors, name, &named_tensor::name);
}
std::vector<double> const many(200, 1.);
host_vector_view<double const> ones(index_t n) { return {many.data(), n}; }

void read_all(std::filesystem::path const& path) {
  cpu::backend b;
  (void)quantize::read_residual_kmeans(b, path);
}
}  // namespace

TEST_CASE_TEMPLATE("residual k-means file: a written model is read bit by bit and assigns the same codes", B,
                   MQL4GREC_TEST_BACKENDS) {
  temporary_directory const root;
  B b;
  auto const rows = random_normal<float>({80, 3}, 3);
  for (index_t const rounds : {0, 3})
    for (std::vector<index_t> const& codes : {std::vector<index_t>{5, 2, 4}, {1}, std::vector<index_t>(26, 2)}) {
      auto const written = trained(b, rounds, codes);
      quantize::write_residual_kmeans(root / "m.safetensors", written);
      auto const read = quantize::read_residual_kmeans(b, root / "m.safetensors");
      CHECK(read.books.sizes() == codes);
      CHECK((read.rotated() == written.rotated() && read.error == written.error));
      CHECK_CLOSE(fetched(read.mean.view_all()), fetched(written.mean.view_all()), 0);
      CHECK_CLOSE(fetched(read.rotation_matrix()), fetched(written.rotation_matrix()), 0);
      for (index_t l = 0; l < read.books.levels(); ++l)
        CHECK_CLOSE(fetched(read.books.vectors(l)), fetched(written.books.vectors(l)), 0);
      auto const codes_of = [&](auto const& model) {
        return quantize::assign_codes(b, model, embed::matrix_features(rows), {.reconstruction_error = false}).codes;
      };
      CHECK(codes_of(read) == codes_of(written));
    }
  CHECK(trained(b, 3).rotated());  // otherwise rotations were not tested
}

TEST_CASE_TEMPLATE("residual k-means file: a model trained on one backend is the same on another", B,
                   MQL4GREC_TEST_BACKENDS) {
  temporary_directory const root;
  B b;
  reference::backend host;
  quantize::write_residual_kmeans(root / "here", trained(b, 3));
  quantize::write_residual_kmeans(root / "there", quantize::read_residual_kmeans(host, root / "here"));
  quantize::write_residual_kmeans(root / "back", quantize::read_residual_kmeans(b, root / "there"));
  CHECK(read_file(root / "here") == read_file(root / "there"));
  CHECK(read_file(root / "here") == read_file(root / "back"));
}

TEST_CASE("residual k-means file: tensors that don't fit are named in the message") {
  CHECK(complaint_after([](auto&) {}).empty());
  CHECK(complaint_after([](auto& t) { t.clear(); }) == "tensor 'mean' is missing, expected residual k-means");
  CHECK(complaint_after([](auto& t) {
          std::erase_if(t, [](auto const& one) { return one.name.starts_with("codebooks."); });
        }) == "tensor 'codebooks.0' is missing, expected residual k-means");
  CHECK(complaint_after([](auto& t) { std::erase_if(t, [](auto const& one) { return one.name == "codebooks.1"; }); }) ==
        "tensor 'codebooks.2': no parameter of residual k-means");
  CHECK(complaint_after([](auto& t) { std::erase_if(t, [](auto const& one) { return one.name == "error"; }); }) ==
        "tensor 'error' is missing");
  CHECK(complaint_after([](auto& t) {
          t.push_back({"other", {1}, ones(1)});
        }) == "tensor 'other': no parameter of residual k-means");
  auto const reshaped = [](std::string const& name, std::vector<index_t> const& shape) {
    return complaint_after([&](auto& t) { find(t, name) = {name, shape, ones(core::detail::entries_of(shape))}; });
  };
  CHECK(reshaped("mean", {3, 1}) == "tensor 'mean': shape [3, 1], expected 1 to 1048576 numbers");
  CHECK(reshaped("mean", {0}) == "tensor 'mean': shape [0], expected 1 to 1048576 numbers");
  CHECK(reshaped("mean", {4}) ==
        "tensor 'codebooks.0': shape [5, 3], expected 1 to 1048576 vectors of width 4, that of 'mean'");
  CHECK(reshaped("codebooks.1", {2, 4}) ==
        "tensor 'codebooks.1': shape [2, 4], expected 1 to 1048576 vectors of width 3, that of 'mean'");
  CHECK(reshaped("codebooks.1", {0, 3}) ==
        "tensor 'codebooks.1': shape [0, 3], expected 1 to 1048576 vectors of width 3, that of 'mean'");
  CHECK(reshaped("codebooks.2", {12}) == "tensor 'codebooks.2': shape [12], expected a matrix");
  CHECK(reshaped("rotation", {3, 2}) == "tensor 'rotation': shape [3, 2], expected [3, 3] beside 'mean'");
  CHECK(reshaped("rotation", {3, 3}) ==
        "tensor 'rotation': columns 0 and 0 have the product 3, expected 1 of a rotation");
  CHECK(reshaped("error", {2}) == "tensor 'error': shape [2], expected [1]");
  CHECK(complaint_after([](auto& t) {
          for (int l = 3; l < 27; ++l) t.push_back({"codebooks." + std::to_string(l), {1, 3}, ones(3)});
        }) == "codebooks of 27 levels, expected at most 26");
}

TEST_CASE("residual k-means file: invalid numbers are named in the message") {
  std::vector<double> const bad = {0, NAN, 0, 0, INFINITY, 0}, below = {-1}, beyond = {1e300, 0, 0};
  auto const with = [](std::string const& name, host_vector_view<double const> values) {
    return complaint_after([&](auto& t) { find(t, name).values = values; });
  };
  CHECK(with("mean", {bad.data(), 3}) == "tensor 'mean': entry 1 isn't a finite number");
  CHECK(with("codebooks.1", {bad.data(), 6}) == "tensor 'codebooks.1': entry 1 isn't a finite number");
  CHECK(with("error", {below.data(), 1}) == "tensor 'error': found -1, expected at least 0");
  CHECK(with("error", {bad.data() + 4, 1}) == "tensor 'error': entry 0 isn't a finite number");
  CHECK(with("mean", {beyond.data(), 3}).starts_with("tensor 'mean': entry 0 "));
}

TEST_CASE(
    "residual k-means file: damaged, cut short or no file at all, it is refused in one line or read inside its "
    "bounds") {
  temporary_directory const root;
  cpu::backend b;
  quantize::write_residual_kmeans(root / "m", trained(b, 3));
  auto const whole = read_file(root / "m");
  check_cut_short(whole, read_all);
  check_damaged(whole, "{}[],:\"0123456789-.eE \\\n\xff", whole.size(), read_all);
  check_no_regular_file(read_all);
}
