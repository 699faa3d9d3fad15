#include "mql4grec/core/npy.hpp"

#include <doctest/doctest.h>
#include <sys/resource.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <csignal>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "core/temporary_directory.hpp"
#include "support/hostile_files.hpp"

using namespace mql4grec;
using test::check_cut_short;
using test::check_damaged;
using test::check_no_regular_file;
using test::complaint;
using test::temporary_directory;

namespace {

template <class T>
std::string bytes_of(std::vector<T> const& entries) {
  return {reinterpret_cast<char const*>(entries.data()), entries.size() * sizeof(T)};
}
/// A file with this header and data, written without the library.
std::string raw(std::string const& header, std::string const& data = "", int major = 1, int minor = 0) {
  std::string bytes = "\x93NUMPY";
  bytes += static_cast<char>(major);
  bytes += static_cast<char>(minor);
  for (int i = 0; i < (major == 1 ? 2 : 4); ++i) bytes += static_cast<char>(header.size() >> 8 * i & 255);
  return bytes + header + data;
}
std::string dict(std::string const& descr, std::string const& shape) {
  return "{'descr': '" + descr + "', 'fortran_order': False, 'shape': " + shape + ", }";
}
/// The error message, without the path, of opening such a file.
std::string refusal(std::string const& bytes) {
  temporary_directory const directory;
  test::put(directory / "f", bytes);
  auto const message = complaint<file_error>([&] { npy_file file(directory / "f"); });
  auto const prefix = (directory / "f").string() + ": ";
  return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
}
std::vector<float> read(npy_file const& file, index_t first, index_t count) {
  std::vector<float> out(static_cast<std::size_t>(count * file.columns()), NAN);
  file.read(first, {out.data(), count, file.columns()});
  return out;
}
std::vector<float> gather(npy_file const& file, std::vector<index_t> const& rows) {
  std::vector<float> out(rows.size() * static_cast<std::size_t>(file.columns()), NAN);
  file.gather(rows, {out.data(), std::ssize(rows), file.columns()});
  return out;
}
/// All entries of a one-column file with this type of entries.
template <class From>
std::vector<float> column(std::string const& descr, std::vector<From> const& entries) {
  temporary_directory const directory;
  test::put(directory / "f", raw(dict(descr, "(" + std::to_string(entries.size()) + ", 1)"), bytes_of(entries)));
  return read(npy_file(directory / "f"), 0, std::ssize(entries));
}
bool same_bits(std::vector<float> const& a, std::vector<float> const& b) { return bytes_of(a) == bytes_of(b); }

/// The value of a binary16 by IEEE 754; NaN for all NaNs.
double half_value(unsigned bits) {
  int const exponent = static_cast<int>(bits >> 10 & 31), fraction = static_cast<int>(bits & 1023);
  double const sign = bits >> 15 ? -1 : 1;
  if (exponent == 31) return fraction == 0 ? sign * INFINITY : NAN;
  return exponent == 0 ? sign * std::ldexp(fraction, -24) : sign * std::ldexp(1024 + fraction, exponent - 25);
}
bool is_half(float value, unsigned bits) {
  double const expected = half_value(bits);
  if (std::isnan(expected)) return std::isnan(value);
  return static_cast<double>(value) == expected && std::signbit(value) == std::signbit(expected);
}

/// A file of (rows, columns) entries of a type, each a small number that float16 can represent.
struct sample {
  index_t rows, columns;
  std::vector<float> values;
  std::string bytes;
};
sample make_sample(dtype type, index_t rows, index_t columns) {
  sample made{rows, columns, {}, {}};
  std::vector<std::uint16_t> halves;
  std::vector<double> doubles;
  for (index_t i = 0; i < rows * columns; ++i) {
    auto const bits = static_cast<std::uint16_t>(i * 7919 % 0x7C00);
    halves.push_back(bits);
    doubles.push_back(half_value(bits));
    made.values.push_back(static_cast<float>(doubles.back()));
  }
  std::string const shape = "(" + std::to_string(rows) + ", " + std::to_string(columns) + ")";
  made.bytes = type == dtype::f16   ? raw(dict("<f2", shape), bytes_of(halves))
               : type == dtype::f64 ? raw(dict("<f8", shape), bytes_of(doubles))
                                    : raw(dict("<f4", shape), bytes_of(made.values));
  return made;
}

constexpr dtype all_types[] = {dtype::f16, dtype::f32, dtype::f64};
std::vector<float> const six = {1, -2, 3.5f, -0.f, 1e-42f, INFINITY};
std::string const twenty_four(24, '\0');

}  // namespace

TEST_CASE("npy: a round trip preserves every bit, including −0, subnormals, infinities and NaN") {
  temporary_directory const directory;
  auto entries = six;
  entries.push_back(std::bit_cast<float>(0xFFC12345u));
  entries.push_back(std::numeric_limits<float>::max());
  write_npy(directory / "f", {entries.data(), 2, 4});
  npy_file const file(directory / "f");
  CHECK(file.path() == directory / "f");
  CHECK(file.rows() == 2);
  CHECK(file.columns() == 4);
  CHECK(file.type() == dtype::f32);
  CHECK(same_bits(read(file, 0, 2), entries));
}

TEST_CASE("npy: a file without rows is valid, and reading no rows is no error") {
  temporary_directory const directory;
  write_npy(directory / "f", {nullptr, 0, 5});
  npy_file const file(directory / "f");
  CHECK(file.rows() == 0);
  CHECK(file.columns() == 5);
  CHECK(read(file, 0, 0).empty());
  CHECK(gather(file, {}).empty());
}

TEST_CASE("write_npy: writes the bytes of numpy.save") {
  temporary_directory const directory;
  auto const prefix_of = [&](index_t rows, index_t columns) {
    std::vector<float> const entries(static_cast<std::size_t>(rows * columns));
    write_npy(directory / "f", {entries.data(), rows, columns});
    std::string const bytes = read_file(directory / "f");
    return bytes.substr(0, bytes.size() - entries.size() * sizeof(float));
  };
  // numpy.lib.format of numpy 1.26 and 2 reserves 21 digits for the number of rows.
  CHECK(prefix_of(2, 3) == std::string("\x93NUMPY\x01\x00\x76\x00", 10) +
                               "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }" + std::string(58, ' ') +
                               "\n");
  CHECK(prefix_of(4344, 1) == std::string("\x93NUMPY\x01\x00\x76\x00", 10) +
                                  "{'descr': '<f4', 'fortran_order': False, 'shape': (4344, 1), }" +
                                  std::string(55, ' ') + "\n");
  for (index_t columns : {1, 10, 100, 1000, 100'000}) CHECK(prefix_of(1, columns).size() % 64 == 0);
}

TEST_CASE("npy: formats 1.0, 2.0 and 3.0 differ only in their header") {
  for (int major : {1, 2, 3}) {
    temporary_directory const directory;
    test::put(directory / "f", raw(dict("<f4", "(3, 2)"), bytes_of(six), major));
    CHECK(same_bits(read(npy_file(directory / "f"), 0, 3), six));
  }
}

TEST_CASE("npy: accepts any key order, spacing and quotes, and optional trailing commas") {
  for (std::string const header : {
           "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }          \n",
           "{'shape': (2, 3), 'descr': '<f4', 'fortran_order': False}",
           "{\"fortran_order\":False,\"shape\":(2,3,),\"descr\":\"<f4\"}",
           "  {\n'fortran_order' :\tFalse , 'shape' : ( 2 , 3 , ) , 'descr' : '<f4' , }\r\n  ",
       })
    CHECK(refusal(raw(header, twenty_four)) == "");
}

// ---- entries
// ---------------------------------------------------------------------------------------------------------------

TEST_CASE("npy: every float16 has the value that IEEE 754 gives it") {
  std::vector<std::uint16_t> bits(65536);
  for (std::size_t i = 0; i < bits.size(); ++i) bits[i] = static_cast<std::uint16_t>(i);
  auto const values = column("<f2", bits);
  for (unsigned i = 0; i < 65536; ++i) REQUIRE(is_half(values[i], i));
}

TEST_CASE("widen: the portable loop and the instruction give equal results at every length") {
  std::vector<core::detail::half> from(65536);
  for (std::size_t i = 0; i < from.size(); ++i) from[i].bits = static_cast<std::uint16_t>(i);
  auto const check = [&](auto&& widen) {
    std::vector<float> to(from.size(), NAN);
    widen(view_of(std::span<core::detail::half const>(from)), view_of(std::span(to)));
    for (unsigned i = 0; i < 65536; ++i) REQUIRE(is_half(to[i], i));
    for (index_t n : {0, 1, 7, 8, 9, 15, 17}) {
      std::vector<float> some(20, -7.f);
      widen(host_vector_view<core::detail::half const>(from.data() + 15361, n),
            host_vector_view<float>(some.data(), n));
      for (index_t i = 0; i < 20; ++i)
        REQUIRE(some[static_cast<std::size_t>(i)] == (i < n ? 1.f + static_cast<float>(i + 1) / 1024 : -7.f));
    }
  };
  check(core::detail::widen_portably);
  if (core::detail::has_f16c()) check(core::detail::widen_by_f16c);
}

TEST_CASE("npy: float64 is rounded to float, and refused when out of range") {
  CHECK(column("<f8", std::vector<double>{0.1, 1e-60, -INFINITY, 0x1p-149}) ==
        std::vector<float>{0.1f, 0.f, -INFINITY, 0x1p-149f});
  CHECK(std::isnan(column("<f8", std::vector<double>{NAN})[0]));
  temporary_directory const directory;
  test::put(directory / "f", raw(dict("<f8", "(3, 2)"), bytes_of(std::vector<double>{0, 1, 2, 3, -1e39, 5})));
  npy_file const file(directory / "f");
  CHECK(read(file, 0, 2) == std::vector<float>{0, 1, 2, 3});
  auto const beyond = (directory / "f").string() + ": row 2, column 0: -1e+39 is beyond every float";
  CHECK_THROWS_WITH_AS(read(file, 1, 2), beyond.c_str(), file_error);
  CHECK_THROWS_WITH_AS(gather(file, {0, 2}), beyond.c_str(), file_error);
  std::vector<double> many(5000);  // more than one read
  many[4999] = 1e39;
  CHECK(complaint<file_error>([&] {
          return column("<f8", many);
        }).ends_with(": row 4999, column 0: 1e+39 is beyond every float"));
}

TEST_CASE("npy: blocks, gathered rows and strided rows agree, for every entry type") {
  for (auto const type : all_types)
    for (index_t columns : {1, 7, 64, 20'000}) {  // the last: a row is longer than one read
      CAPTURE(columns);
      auto const made = make_sample(type, columns > 1000 ? 5 : 300, columns);
      temporary_directory const directory;
      test::put(directory / "f", made.bytes);
      npy_file const file(directory / "f");
      REQUIRE(file.type() == type);
      REQUIRE(read(file, 0, made.rows) == made.values);
      auto const expected = [&](index_t row, index_t count) {
        auto const begin = made.values.begin() + row * columns;
        return std::vector<float>(begin, begin + count * columns);
      };
      for (index_t block : {1, 2, 3, 255})
        for (index_t first = 0; first < made.rows; first += block) {
          index_t const count = std::min(block, made.rows - first);
          REQUIRE(read(file, first, count) == expected(first, count));
        }
      std::vector<index_t> const rows = {4, 0, 1, 2, 2, 3, 1, 0, made.rows - 1};
      auto const gathered = gather(file, rows);
      for (std::size_t i = 0; i < rows.size(); ++i) {
        auto const begin = gathered.begin() + static_cast<index_t>(i) * columns;
        REQUIRE(std::vector<float>(begin, begin + columns) == expected(rows[i], 1));
      }
      std::vector<float> apart(static_cast<std::size_t>(3 * (columns + 2)), -7.f);
      host_matrix_view<float> const window(apart.data(), 3, columns, columns + 2);
      for (bool const gathering : {false, true}) {
        if (gathering)
          file.gather(std::vector<index_t>{3, 4, 0}, window);
        else
          file.read(1, window);
        for (index_t i = 0; i < 3; ++i) {
          auto const row = as_span(window.row(i));
          REQUIRE(std::vector<float>(row.begin(), row.end()) == expected(gathering ? (i + 3) % 5 : i + 1, 1));
          REQUIRE(row.data()[columns] == -7.f);
          REQUIRE(row.data()[columns + 1] == -7.f);
        }
      }
    }
}

TEST_CASE("npy: a file can be read by many threads") {
  auto const made = make_sample(dtype::f16, 512, 33);
  temporary_directory const directory;
  test::put(directory / "f", made.bytes);
  npy_file const file(directory / "f");
  std::vector<float> out(made.values.size(), NAN);
  std::vector<std::thread> threads;
  for (index_t t = 0; t < 4; ++t)
    threads.emplace_back([&, t] {
      for (index_t row = t * 128; row < (t + 1) * 128; row += 2) file.read(row, {out.data() + row * 33, 2, 33});
    });
  for (auto& thread : threads) thread.join();
  CHECK(out == made.values);
}

TEST_CASE("npy: invalid arguments are refused with both numbers and write nothing") {
  temporary_directory const directory;
  write_npy(directory / "f", {six.data(), 3, 2});
  npy_file const file(directory / "f");
  std::vector<float> out(8, -7.f);
  auto const error_of = [&](auto&& call) {
    auto const message = complaint<error>(call), prefix = (directory / "f").string() + ": ";
    return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
  };
  auto const most = std::numeric_limits<index_t>::max();
  CHECK(error_of([&] { file.read(0, {out.data(), 2, 3}); }) == "rows of 2 entries into rows of 3");
  CHECK(error_of([&] { file.read(2, {out.data(), 2, 2}); }) == "2 rows from row 2 of 3");
  CHECK(error_of([&] { file.read(-1, {out.data(), 2, 2}); }) == "2 rows from row -1 of 3");
  CHECK(error_of([&] { file.read(most, {out.data(), 2, 2}); }) == "2 rows from row " + std::to_string(most) + " of 3");
  CHECK(error_of([&] { file.read(0, {out.data(), 4, 2}); }) == "4 rows from row 0 of 3");
  CHECK(error_of([&] { file.gather(std::vector<index_t>{0, 1}, {out.data(), 3, 2}); }) == "2 rows into a place for 3");
  CHECK(error_of([&] { file.gather(std::vector<index_t>{0, 3}, {out.data(), 2, 2}); }) == "row 3 of 3");
  CHECK(error_of([&] { file.gather(std::vector<index_t>{-1}, {out.data(), 1, 2}); }) == "row -1 of 3");
  CHECK(error_of([&] {
          file.gather(std::vector<index_t>{0}, {out.data(), 1, 1});
        }) == "rows of 2 entries into rows of 1");
  CHECK(out == std::vector<float>(8, -7.f));
}

// ---- writing
// ---------------------------------------------------------------------------------------------------------------

TEST_CASE("npy_writer: rows appended in blocks give the file written by one call") {
  temporary_directory const directory;
  auto const made = make_sample(dtype::f32, 10, 3);
  write_npy(directory / "whole", {made.values.data(), 10, 3});
  npy_writer writer(directory / "f", 10, 3);
  host_matrix_view<float const> const all(made.values.data(), 10, 3);
  for (index_t first = 0, count = 1; first < 10; first += count, ++count)
    writer.append(all.row_block(first, std::min(count, 10 - first)));
  writer.append({nullptr, 0, 3});
  CHECK(!std::filesystem::exists(directory / "f"));
  writer.commit();
  CHECK(read_file(directory / "f") == read_file(directory / "whole"));

  std::vector<float> wide(10 * 5, NAN);
  host_matrix_view<float> const window(wide.data(), 10, 3, 5);
  for (index_t i = 0; i < 10; ++i) std::copy_n(all.row(i).data, 3, window.row(i).data);
  write_npy(directory / "g", window);
  CHECK(read_file(directory / "g") == read_file(directory / "whole"));
}

TEST_CASE("npy_writer: too many rows, too few rows and rows of another width are refused and leave no file") {
  temporary_directory const directory;
  auto const error_of = [&](index_t rows, index_t columns, std::vector<index_t> const& blocks) {
    auto const message = complaint<error>([&] {
      npy_writer writer(directory / "f", rows, columns);
      for (index_t const count : blocks) writer.append({six.data(), count, 2});
      writer.commit();
    });
    auto const prefix = (directory / "f").string() + ": ";
    return message.starts_with(prefix) ? message.substr(prefix.size()) : message;
  };
  CHECK(error_of(3, 2, {2}) == "2 rows, expected 3");
  CHECK(error_of(3, 2, {}) == "0 rows, expected 3");
  CHECK(error_of(3, 2, {2, 2}) == "2 rows after 2, expected 3 altogether");
  CHECK(error_of(3, 3, {2}) == "rows of 2 entries, expected 3");
  CHECK(error_of(3, 0, {}) == "shape [3, 0], expected 1 to 16777216 columns, and rows that fit into a file");
  CHECK(error_of(-1, 2, {}) == "shape [-1, 2], expected 1 to 16777216 columns, and rows that fit into a file");
  CHECK(error_of(1, 16777217, {}) ==
        "shape [1, 16777217], expected 1 to 16777216 columns, and rows that fit into a file");
  CHECK(error_of(index_t{1} << 61, 1, {}) ==
        "shape [2305843009213693952, 1], expected 1 to 16777216 columns, and rows that fit into a file");
  CHECK(directory.files() == 0);
  CHECK(error_of(3, 2, {1, 2}) == "");
}

TEST_CASE("write_npy: a full disk is an error and leaves no file" *
          doctest::skip(!std::filesystem::exists("/dev/full"))) {
  temporary_directory const directory;
  std::filesystem::create_symlink("/dev/full", directory / "f.partial");
  CHECK(complaint<file_error>([&] {
          return write_npy(directory / "f", {six.data(), 3, 2});
        }).ends_with("can't be written: No space left on device"));
  CHECK(directory.files() == 0);
}

TEST_CASE("npy_writer: a partially written block can't be written again") {
  struct size_limit {  // limits the size of files: a write stops at the limit, and the next one fails
    ::rlimit before{};
    void (*handler)(int);
    explicit size_limit(::rlim_t bytes) : handler(std::signal(SIGXFSZ, SIG_IGN)) {
      ::getrlimit(RLIMIT_FSIZE, &before);
      ::rlimit const now{bytes, before.rlim_max};
      ::setrlimit(RLIMIT_FSIZE, &now);
    }
    ~size_limit() {
      ::setrlimit(RLIMIT_FSIZE, &before);
      std::signal(SIGXFSZ, handler);
    }
  };
  temporary_directory const directory;
  {
    npy_writer writer(directory / "f", 3, 2);
    {
      size_limit const limit(136);
      CHECK(complaint<file_error>([&] {
              return writer.append({six.data(), 3, 2});
            }).ends_with("can't be written: File too large"));
    }
    CHECK(complaint<error>([&] {
            return writer.append({six.data(), 3, 2});
          }).ends_with("a write has failed before, nothing can follow it"));
    CHECK_THROWS_AS(writer.commit(), error);
  }
  CHECK(directory.files() == 0);
}

// ---- hostile files
// ---------------------------------------------------------------------------------------------------------

TEST_CASE("npy: a wrong magic number is refused before reading on") {
  std::string const magic = "doesn't begin with the bytes \\x93NUMPY, expected a .npy file as numpy.save writes it";
  CHECK(refusal("") == magic);
  CHECK(refusal("PK\x03\x04 a zip archive") == magic);
  CHECK(refusal("\x93NUMP") == magic);
  CHECK(refusal("\x93NUMPY") == "ends at byte 6, expected a header's version and length up to byte 12");
  CHECK(refusal(raw("").substr(0, 9)) == "ends at byte 9, expected a header's version and length up to byte 10");
  CHECK(refusal(raw("", "", 2).substr(0, 11)) ==
        "ends at byte 11, expected a header's version and length up to byte 12");
  CHECK(refusal(raw("{}", "", 0)) == "byte 6: version 0.0, expected 1.0, 2.0 or 3.0");
  CHECK(refusal(raw("{}", "", 4)) == "byte 6: version 4.0, expected 1.0, 2.0 or 3.0");
  CHECK(refusal(raw("{}", "", 255, 255)) == "byte 6: version 255.255, expected 1.0, 2.0 or 3.0");
  CHECK(refusal(raw("{}", "", 2, 1)) == "byte 6: version 2.1, expected 1.0, 2.0 or 3.0");
}

TEST_CASE("npy: a header length beyond the file or the limit is refused before memory is allocated") {
  CHECK(refusal(std::string("\x93NUMPY\x01\x00\x03\x00{}", 12)) == "byte 8: a header of 3 bytes, but only 2 follow");
  CHECK(refusal(std::string("\x93NUMPY\x01\x00\xff\xff{}", 12)) ==
        "byte 8: a header of 65535 bytes, expected at most 10000");
  CHECK(refusal(std::string("\x93NUMPY\x02\x00\xff\xff\xff\xff{}", 14)) ==
        "byte 8: a header of 4294967295 bytes, expected at most 10000");
  CHECK(refusal(raw(std::string(10'001, ' '))) == "byte 8: a header of 10001 bytes, expected at most 10000");
  CHECK(refusal(raw(dict("<f4", "(2, 3)") + std::string(9'000, ' '), twenty_four)) == "");
}

TEST_CASE("npy: an invalid header is refused with the position and what was expected") {
  struct {
    char const *header, *complaint;
  } const cases[] = {
      {"", "header: byte 10: found the end, expected '{'"},
      {"   ", "header: byte 13: found the end, expected '{'"},
      {"[]", "header: byte 10: found '[]', expected '{'"},
      {"{", "header: byte 11: found the end, expected a key in quotes"},
      {"{}", "header: key 'descr' is missing"},
      {"{'descr': '<f4'}", "header: key 'fortran_order' is missing"},
      {"{'descr': '<f4', 'fortran_order': False}", "header: key 'shape' is missing"},
      {"{,}", "header: byte 11: found ',}', expected a key in quotes"},
      {"{descr: '<f4'}", "header: byte 11: found 'descr: '<f4'', expected a key in quotes"},
      {"{'descr' '<f4'}", "header: byte 19: found ''<f4'}', expected ':'"},
      {"{'descr: 1}", "header: byte 21: found the end, expected the end of a string"},
      {"{'des\\x63r': '<f4'}",
       "header: byte 15: found '\\x63r': '<f4', expected a string without escapes, in one line"},
      {"{'descr': '<f\n4'}", "header: byte 23: found '?4'}', expected a string without escapes, in one line"},
      {"{'descr': 4}", "header: byte 20: found '4}', expected a string"},
      {"{'descr': '<f4' 'shape': (1, 1)}", "header: byte 26: found ''shape': (1,', expected ',' or '}'"},
      {"{'descr': '<f4', 'descr': '<f4'}", "header: key 'descr' appears twice"},
      {"{'fortran_order': False, 'fortran_order': False}", "header: key 'fortran_order' appears twice"},
      {"{'shape': (1, 1), 'shape': (1, 1)}", "header: key 'shape' appears twice"},
      {"{'colour\n': 'red'}", "header: byte 18: found '?': 'red'}', expected a string without escapes, in one line"},
      {"{'colour': 'red'}", "header: unknown key 'colour', expected descr, fortran_order and shape"},
      {"{'fortran_order': 0}", "header: byte 28: found '0}', expected True or False"},
      {"{'fortran_order': false}", "header: byte 28: found 'false}', expected True or False"},
      {"{'fortran_order': Falsehood}", "header: byte 33: found 'hood}', expected ',' or '}'"},
      {"{'shape': [1, 1]}", "header: byte 20: found '[1, 1]}', expected a tuple of numbers"},
      {"{'shape': 1}", "header: byte 20: found '1}', expected a tuple of numbers"},
      {"{'shape': (1 1)}", "header: byte 23: found '1)}', expected ',' or ')'"},
      {"{'shape': (,)}", "header: byte 21: found ',)}', expected an integer from 0 to 2^63 − 1"},
      {"{'shape': (1,,)}", "header: byte 23: found ',)}', expected an integer from 0 to 2^63 − 1"},
      {"{'shape': (-1, 1)}", "header: byte 21: found '-1, 1)}', expected an integer from 0 to 2^63 − 1"},
      {"{'shape': (+1, 1)}", "header: byte 21: found '+1, 1)}', expected an integer from 0 to 2^63 − 1"},
      {"{'shape': (01, 1)}", "header: byte 21: found '01, 1)}', expected an integer from 0 to 2^63 − 1"},
      {"{'shape': (1.5, 1)}", "header: byte 22: found '.5, 1)}', expected ',' or ')'"},
      {"{'shape': (1e3, 1)}", "header: byte 22: found 'e3, 1)}', expected ',' or ')'"},
      {"{'shape': (9223372036854775808, 1)}",
       "header: byte 21: found '922337203685', expected an integer from 0 to 2^63 − 1"},
      {"{'shape': (__import__('os').system('true'), 1)}",
       "header: byte 21: found '__import__('', expected an integer from 0 to 2^63 − 1"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 1), } extra",
       "header: byte 70: found 'extra', expected nothing but spaces after the dict"},
      {"{'descr': '<f4', 'fortran_order': False, 'shape': (0, 1), }{}",
       "header: byte 69: found '{}', expected nothing but spaces after the dict"},
  };
  for (auto const& c : cases) CHECK(refusal(raw(c.header)) == c.complaint);
  CHECK(refusal(raw(std::string("{'descr'\0: '<f4'}", 17))) == "header: byte 18: found '?: '<f4'}', expected ':'");
  CHECK(refusal(raw("[]", "", 2)) == "header: byte 12: found '[]', expected '{'");
}

TEST_CASE("npy: entries that aren't little-endian floats are refused with their type") {
  auto const of_type = [](std::string const& descr) { return refusal(raw(dict(descr, "(2, 3)"), twenty_four)); };
  std::string const wanted = ", expected '<f4', '<f2' or '<f8'; numpy's array.astype('<f4') makes the first";
  struct {
    std::string descr, kind;
  } const cases[] = {{"|O", " (Python objects)"},
                     {">f4", " (big-endian)"},
                     {">i4", " (big-endian)"},
                     {"<i8", " (integers)"},
                     {"|u1", " (integers)"},
                     {"|b1", " (booleans)"},
                     {"<c8", " (complex numbers)"},
                     {"<U3", " (text)"},
                     {"|S4", " (text)"},
                     {"|V4", " (a structured or raw type)"},
                     {"<f16", ""},
                     {"f4", ""},
                     {"=f4", ""},
                     {"", ""},
                     {"<", ""}};
  for (auto const& c : cases) CHECK(of_type(c.descr) == "header: descr is '" + c.descr + "'" + c.kind + wanted);
  CHECK(refusal(raw("{'descr': [('x', '<f4'), ('y', '<f4')], 'fortran_order': False, 'shape': (3,), }", twenty_four)) ==
        "header: descr is a structured type" + wanted);
}

TEST_CASE("npy: an array in Fortran order is refused with the way to convert it") {
  CHECK(refusal(raw("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", twenty_four)) ==
        "header: fortran_order is True, expected rows one after another; "
        "numpy.save(path, numpy.ascontiguousarray(array)) writes them so");
}

TEST_CASE("npy: shapes that aren't a matrix, or too large for any file, are refused") {
  auto const of_shape = [](std::string const& shape) { return refusal(raw(dict("<f4", shape), twenty_four)); };
  CHECK(of_shape("()") == "header: shape [], expected [rows, columns]");
  CHECK(of_shape("(6)") == "header: shape [6], expected [rows, columns]");
  CHECK(of_shape("(6,)") == "header: shape [6], expected [rows, columns]");
  CHECK(of_shape("(1, 2, 3)") == "header: shape [1, 2, 3], expected [rows, columns]");
  CHECK(of_shape("(6, 0)") == "header: shape [6, 0], expected 1 to 16777216 columns");
  CHECK(of_shape("(0, 9223372036854775807)") ==
        "header: shape [0, 9223372036854775807], expected 1 to 16777216 columns");
  CHECK(of_shape("(2305843009213693952, 1)") == "header: shape [2305843009213693952, 1] is too large");  // 2⁶³ bytes
  CHECK(of_shape("(4611686018427387904, 4)") ==
        "header: shape [4611686018427387904, 4] is too large");  // 2⁶⁶, 0 in 64 bits
  CHECK(of_shape("(2, 3)") == "");
  std::string many = "(";
  for (int i = 0; i < 4000; ++i) many += "1,";
  CHECK(
      of_shape(many + ")").starts_with("header: shape [1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, …], expected"));
}

TEST_CASE("npy: the entries must fill the file exactly") {
  std::string const header = dict("<f4", "(2, 3)");
  CHECK(refusal(raw(header, twenty_four)) == "");
  CHECK(refusal(raw(header, twenty_four.substr(1))) ==
        "23 bytes after the header, expected 24 for '<f4' [2, 3]: the file is cut short");
  CHECK(refusal(raw(header)) == "0 bytes after the header, expected 24 for '<f4' [2, 3]: the file is cut short");
  CHECK(refusal(raw(header, twenty_four + "!")) ==
        "25 bytes after the header, expected 24 for '<f4' [2, 3]: something follows the entries");
  CHECK(refusal(raw(dict("<f2", "(2, 3)"), twenty_four)) ==
        "24 bytes after the header, expected 12 for '<f2' [2, 3]: something follows the entries");
  CHECK(refusal(raw(dict("<f8", "(2, 3)"), twenty_four)) ==
        "24 bytes after the header, expected 48 for '<f8' [2, 3]: the file is cut short");
  CHECK(refusal(raw(dict("<f4", "(137438953471, 16777215)"))).ends_with("the file is cut short"));
}

namespace {
std::string two_rows() {
  temporary_directory const directory;
  write_npy(directory / "f", {six.data(), 2, 3});
  return read_file(directory / "f");
}
void read_all(std::filesystem::path const& path) {
  npy_file const file(path);
  read(file, 0, file.rows());
}
}  // namespace

TEST_CASE("npy: a truncated file is refused") { check_cut_short(two_rows(), read_all); }

TEST_CASE("npy: a file with damaged bytes is refused in one line or read inside its bounds") {
  check_damaged(two_rows(), "{}[](),:'\"0123456789<>|fiOTrue \\\n\xff", 70, read_all);  // of the header
}

TEST_CASE("npy: a directory, a pipe and a missing file are refused without blocking") {
  check_no_regular_file(read_all);
}

TEST_CASE("npy: an open file is unaffected when replaced by rename, and truncation is an error") {
  for (auto const type : all_types) {
    temporary_directory const directory;
    auto const made = make_sample(type, 300, 7);
    test::put(directory / "f", made.bytes);
    npy_file const file(directory / "f");
    write_npy(directory / "f", {six.data(), 2, 3});
    CHECK(read(file, 0, 300) == made.values);

    test::put(directory / "g", made.bytes);
    npy_file const cut(directory / "g");
    std::filesystem::resize_file(directory / "g", 1000);
    auto const expected = (directory / "g").string() + ": ends at byte 1000, has become shorter while it was read";
    CHECK_THROWS_WITH_AS(read(cut, 0, 300), expected.c_str(), file_error);
    CHECK_THROWS_AS(gather(cut, {0, 299}), file_error);
    CHECK(read(cut, 0, 2) == std::vector<float>(made.values.begin(), made.values.begin() + 14));
  }
}
