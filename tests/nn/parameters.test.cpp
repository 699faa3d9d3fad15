#include "mql4grec/nn/parameters.hpp"

#include <doctest/doctest.h>

using namespace mql4grec;

TEST_CASE("parameter_layout: parameters declared consecutively are contiguous, so that they can be merged") {
  nn::parameter_layout layout;
  layout.add_matrix("q", 2, 3);
  layout.add_matrix("k", 2, 3);
  CHECK(layout.find("k").offset == layout.find("q").offset + 6);
  std::vector<float> flat(static_cast<std::size_t>(layout.size()));
  auto const merged = nn::matrix_at(view_of(std::span(flat)), layout.find("q").offset, 4, 3);
  CHECK(merged.row(2).data == flat.data() + layout.find("k").offset);
}

TEST_CASE("parameter_layout: aligned parameters start on a cache line, and norm gains follow the decayed parameters") {
  nn::parameter_layout layout;
  layout.add_matrix("weight", 1, 17);
  layout.align();
  layout.add_matrix("second", 1, 1);
  layout.end_of_decayed();
  layout.add_vector("gain", 5);
  CHECK(layout.find("second").offset == 32);
  CHECK(layout.decayed() == 48);
  CHECK(layout.find("gain").offset == 48);
  CHECK(layout.find("gain").is_vector);
  CHECK(layout.size() == 53);
}

TEST_CASE("parameter_layout: an unknown name is refused and is part of the message") {
  CHECK_THROWS_WITH_AS(nn::parameter_layout().find("wo"), "the model has no parameter 'wo'", error);
}
