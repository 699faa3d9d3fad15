#include "mql4grec/core/view.hpp"

#include <doctest/doctest.h>

#include <array>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "mql4grec/core/column.hpp"

using namespace mql4grec;

namespace {
struct some_system;
struct another_system;
template <class T>
using device_vector_view = view<T, device_space<some_system>, 1>;
template <class T>
using device_matrix_view = view<T, device_space<some_system>, 2>;

std::array<int, 12> counting() { return {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}; }
}  // namespace

TEST_CASE("view: converts to a view of const, and not back") {
  CHECK(std::is_convertible_v<host_vector_view<int>, host_vector_view<int const>>);
  CHECK(std::is_convertible_v<host_matrix_view<int>, host_matrix_view<int const>>);
  CHECK(!std::is_constructible_v<host_vector_view<int>, host_vector_view<int const>>);
  CHECK(!std::is_constructible_v<host_matrix_view<int>, host_matrix_view<int const>>);
  CHECK(!std::is_constructible_v<host_vector_view<double const>, host_vector_view<float>>);
}

TEST_CASE("view: host and device views don't convert to each other") {
  CHECK(!std::is_constructible_v<host_vector_view<int const>, device_vector_view<int>>);
  CHECK(!std::is_constructible_v<device_matrix_view<int const>, host_matrix_view<int>>);
  CHECK(!std::is_constructible_v<view<int const, device_space<another_system>, 1>, device_vector_view<int>>);
}

TEST_CASE("view: is trivially copyable, so kernels accept it by value") {
  CHECK(std::is_trivially_copyable_v<host_vector_view<int>>);
  CHECK(std::is_trivially_copyable_v<device_matrix_view<float const>>);
}

TEST_CASE("view: entry (i, j) is at offset i · stride + j") {
  auto numbers = counting();
  host_matrix_view<int> const m(numbers.data(), 3, 2, 4);
  for (index_t i = 0; i < 3; ++i)
    for (index_t j = 0; j < 2; ++j) {
      CHECK(m(i, j) == 4 * i + j);
      CHECK(&m.row(i)(j) == &m(i, j));
    }
  CHECK(m.size() == 6);
}

TEST_CASE("view: blocks of rows and columns refer to the same entries, also when nested") {
  auto numbers = counting();
  host_matrix_view<int> const m(numbers.data(), 3, 4);
  auto const rows = m.row_block(1, 2);
  auto const columns = m.column_block(1, 3);
  auto const both = m.row_block(1, 2).column_block(1, 3), other_way = m.column_block(1, 3).row_block(1, 2);
  for (index_t i = 0; i < 2; ++i)
    for (index_t j = 0; j < 3; ++j) {
      CHECK(&rows(i, j) == &m(i + 1, j));
      CHECK(&columns(i, j) == &m(i, j + 1));
      CHECK(&both(i, j) == &m(i + 1, j + 1));
      CHECK(&other_way(i, j) == &both(i, j));
    }
  CHECK(m.row_block(3, 0).rows() == 0);
  CHECK(m.column_block(4, 0).columns() == 0);
}

TEST_CASE("view: only a contiguous matrix converts to a vector") {
  auto numbers = counting();
  host_matrix_view<int> const m(numbers.data(), 3, 4);
  CHECK(m.contiguous());
  CHECK(m.flat().size() == 12);
  CHECK(&m.flat()(7) == &m(1, 3));
  CHECK(m.row_block(1, 2).contiguous());
  CHECK(!m.column_block(0, 2).contiguous());
  CHECK(m.row_block(1, 1).column_block(0, 2).contiguous());  // a single row has no gap after it
}

TEST_CASE("view: parts can be nested") {
  auto numbers = counting();
  host_vector_view<int> const v(numbers.data(), 12);
  CHECK(&v.part(2, 8).part(3, 1)(0) == &v(5));
  CHECK(v.part(12, 0).size() == 0);
}

TEST_CASE("view: a span converts to a view and back") {
  std::vector<int> numbers = {3, 1, 4};
  auto const v = view_of(std::span<int>(numbers));
  CHECK(v.size() == 3);
  CHECK(as_span(v).data() == numbers.data());
  CHECK(as_span(v).size() == 3);
  CHECK(host_vector_view<int>().size() == 0);
}

TEST_CASE("string_column: a column that was moved from is empty, and may be filled again") {
  string_column from(std::vector<std::string>{"one", "two"});
  string_column const to = std::move(from);
  CHECK((to.size() == 2 && to.at(1) == "two"));
  CHECK(from.size() == 0);
  CHECK_THROWS_AS(from.at(0), error);
  from.push_back("three");
  CHECK((from.size() == 1 && from.at(0) == "three"));
}
