#include "mql4grec/quantize/assign_codes.hpp"

#include <filesystem>

#include "core/temporary_directory.hpp"
#include "mql4grec/embed/npy_features.hpp"
#include "mql4grec/quantize/residual_kmeans/residual_kmeans.hpp"
#include "mql4grec/train/threads.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {
/// Integers small enough that all computations with them are exact.
matrix<float> whole_numbers(index_t rows, index_t columns, std::uint64_t seed) {
  auto all = random_normal<float>({rows, columns}, seed);
  for (float& entry : all.values) entry = std::round(2 * entry);
  return all;
}

/// The rotation permutes the columns; vectors and mean are integers.
template <Backend B>
quantize::residual_kmeans<B> whole_model(B& b) {
  quantize::residual_kmeans<B> model{.books = quantize::codebook_set<B, float>(b, {8, 4}, 3),
                                     .mean = b.template allocate<float>(3),
                                     .rotation = b.template allocate<float>(9)};
  for (index_t l = 0; l < 2; ++l)
    copy(view_of(
             std::span<float const>(whole_numbers(model.books.size(l), 3, 5 + static_cast<std::uint64_t>(l)).values)),
         model.books.vectors(l).flat());
  std::vector<float> const mean{1, -2, 0}, rotation{0, 1, 0, 0, 0, 1, 1, 0, 0};
  copy(view_of(std::span(mean)), model.mean.view_all());
  copy(view_of(std::span(rotation)), model.rotation.view_all());
  return model;
}

template <Backend B, class F>
quantize::assign_result assigned(F const& features, bool reconstruction_error = true) {
  B b;
  auto const model = whole_model(b);
  index_t last = 0;
  auto out = quantize::assign_codes(b, model, features,
                                    {.reconstruction_error = reconstruction_error, .progress = [&](index_t done) {
                                       CHECK(done > last);
                                       last = done;
                                     }});
  CHECK(last == features.rows());
  return out;
}
}  // namespace

TEST_CASE_TEMPLATE("assign_codes: blocks have the codes of the reference", B, MQL4GREC_TEST_BACKENDS) {
  for (index_t const rows : {1, 1025, 70'001}) {  // blocks of a device have 32,768 rows
    auto const all = whole_numbers(rows, 3, 1);
    embed::matrix_features const features(all);
    auto const expected = assigned<reference::backend>(features), actual = assigned<B>(features);
    CHECK(actual.codes == expected.codes);
    CHECK_CLOSE(actual.quantization_error, expected.quantization_error, 1e-6);
    CHECK_CLOSE(actual.reconstruction_error, expected.reconstruction_error, 1e-6);
    CHECK(actual.quantization_error > 0);
    CHECK(assigned<B>(features, false).reconstruction_error == 0);
  }
}

TEST_CASE("assign_codes: several ranks share the rows, and get the codes and errors of one") {
  for (index_t const rows : {3, 5000}) {  // fewer blocks than ranks, and five
    auto const all = whole_numbers(rows, 3, 1);
    embed::matrix_features const features(all);
    auto const whole = assigned<cpu::backend>(features);
    for (index_t const ranks : {1, 2, 3, 4})
      train::run_on_threads(ranks, [&](train::host_communicator communicator) {
        cpu::backend b(1 + communicator.rank() % 2);
        auto const model = whole_model(b);
        auto shared = quantize::assign_codes(b, model, features, {.ranks = communicator});
        CHECK(shared.reconstruction_error == whole.reconstruction_error);
        CHECK(shared.quantization_error == whole.quantization_error);
        quantize::gather_codes(communicator, shared.codes);
        CHECK(shared.codes == whole.codes);
      });
  }
}

TEST_CASE_TEMPLATE("assign_codes: no items have no codes", B, MQL4GREC_TEST_BACKENDS) {
  auto const found = assigned<B>(embed::matrix_features(matrix<float>({0, 3}, {})));
  CHECK(found.codes.items() == 0);
  CHECK(found.codes.sizes() == std::vector<index_t>{8, 4});
  CHECK(found.quantization_error == 0);
}

TEST_CASE_TEMPLATE("assign_codes: a file truncated after opening is a file_error", B, MQL4GREC_TEST_BACKENDS) {
  temporary_directory const directory;
  auto const path = directory / "f.npy";
  write_npy(path, whole_numbers(40'000, 3, 1));
  embed::npy_features const features(path);
  std::filesystem::resize_file(path, std::filesystem::file_size(path) - 1);
  B b;
  auto const model = whole_model(b);
  auto const translate = [&] { (void)quantize::assign_codes(b, model, features); };
  CHECK(complaint<file_error>(translate).starts_with(path.string() + ": "));
}
