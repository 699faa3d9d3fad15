#pragma once
// The nearest of K vectors for many rows. Differences are squared and summed as in the reference, so there is no
// cancellation, and equal vectors have equal distances. A block of rows iterates over the codebook, a transposed copy
// of which is in the scratch. The sums, the lowest distance so far and its position stay in registers; the n × K
// distances are never written.
//
// A macro defines the tile for each instruction set, as explained in small_product.hpp. Here the vector types have the
// size of the instruction set's registers: compilers split comparisons of wider vectors into scalar ones.
#include <algorithm>
#include <cassert>
#include <cstring>
#include <limits>

#include "mql4grec/backend/cpu/operations.hpp"
#include "mql4grec/backend/cpu/primitives/small_product.hpp"
#include "mql4grec/backend/reference/nearest_code.hpp"

namespace mql4grec::cpu {

namespace detail {

/// K vectors as columns, in chunks: (chunks, width, chunk). The last chunk is padded with infinities, which are never
/// the nearest.
struct transposed_codebook {
  float const* data;
  index_t width, chunks;
};

/// `chunk` must be a multiple of `lanes`.
inline transposed_codebook transpose_codebook(backend& b, in_matrix<backend, float> vectors, index_t chunk) {
  index_t const width = vectors.columns(), in_fours = width / 4 * 4, chunks = (vectors.rows() + chunk - 1) / chunk;
  auto const packed = take<float>(b, chunks * width * chunk);
  for (index_t c = 0; c < chunks; ++c) {
    float* const place = packed.data + c * width * chunk;
    auto const part = vectors.row_block(c * chunk, std::min(chunk, vectors.rows() - c * chunk));
    transpose(part.data, part.stride, part.rows(), in_fours, place, chunk);
    for (index_t j = in_fours; j < width; ++j)
      for (index_t k = 0; k < part.rows(); ++k) place[j * chunk + k] = part(k, j);
    for (index_t j = 0; j < width; ++j)
      std::fill(place + j * chunk + part.rows(), place + (j + 1) * chunk, std::numeric_limits<float>::infinity());
  }
  return {packed.data, width, chunks};
}

/// The lowest entry of a register's lanes and its position, the first one among equals.
struct lowest_entry {
  float value;
  std::int32_t at;
};
template <int Floats>
MQL4GREC_INLINE lowest_entry lowest_lane(float const (&values)[Floats], std::int32_t const (&places)[Floats]) {
  lowest_entry low{values[0], places[0]};
  for (int l = 1; l < Floats; ++l) {
    bool const lower = values[l] < low.value || (values[l] == low.value && places[l] < low.at);
    low.value = lower ? values[l] : low.value;
    low.at = lower ? places[l] : low.at;
  }
  return low;
}

// For `Rows` rows of x. nearest_*: the nearest vector of each row; distances_*: the distances to the vectors of the
// chunk at v; argmin_*: the position of the lowest of n ≥ 1 entries. A NaN is never lower than another entry, and no
// entry is lower than a NaN at the beginning.
#define MQL4GREC_TILE(set, floats, ...)                                                                               \
  template <int Rows, int Registers>                                                                                  \
  __VA_ARGS__ inline void nearest_##set(float const* x, index_t x_stride, transposed_codebook book, code_t* codes,    \
                                        float* distances) {                                                           \
    typedef float reg __attribute__((vector_size(floats * 4)));                                                       \
    typedef std::int32_t places __attribute__((vector_size(floats * 4)));                                             \
    reg lowest[Rows];                                                                                                 \
    places lowest_at[Rows], at;                                                                                       \
    for (int r = 0; r < Rows; ++r)                                                                                    \
      lowest[r] = reg{} + std::numeric_limits<float>::infinity(), lowest_at[r] = places{};                            \
    for (int l = 0; l < floats; ++l) at[l] = l;                                                                       \
    float const* v = book.data;                                                                                       \
    for (index_t c = 0; c < book.chunks; ++c) {                                                                       \
      reg sum[Rows][Registers];                                                                                       \
      MQL4GREC_SUMS(floats)                                                                                           \
      for (int j = 0; j < Registers; ++j, at += floats)                                                               \
        for (int r = 0; r < Rows; ++r) {                                                                              \
          auto const lower = sum[r][j] < lowest[r];                                                                   \
          lowest_at[r] = lower ? at : lowest_at[r];                                                                   \
          lowest[r] = lower ? sum[r][j] : lowest[r];                                                                  \
        }                                                                                                             \
    }                                                                                                                 \
    for (int r = 0; r < Rows; ++r) {                                                                                  \
      float values[floats];                                                                                           \
      std::int32_t ats[floats];                                                                                       \
      for (int l = 0; l < floats; ++l) values[l] = lowest[r][l], ats[l] = lowest_at[r][l];                            \
      auto const low = lowest_lane<floats>(values, ats);                                                              \
      codes[r] = code_t{low.at};                                                                                      \
      distances[r] = low.value;                                                                                       \
    }                                                                                                                 \
  }                                                                                                                   \
  template <int Rows, int Registers>                                                                                  \
  __VA_ARGS__ inline void distances_##set(float const* x, index_t x_stride, transposed_codebook book, float const* v, \
                                          float* out, index_t out_stride) {                                           \
    typedef float reg __attribute__((vector_size(floats * 4)));                                                       \
    reg sum[Rows][Registers];                                                                                         \
    MQL4GREC_SUMS(floats)                                                                                             \
    for (int r = 0; r < Rows; ++r)                                                                                    \
      for (int j = 0; j < Registers; ++j) std::memcpy(out + r * out_stride + j * floats, &sum[r][j], sizeof(reg));    \
  }                                                                                                                   \
  __VA_ARGS__ inline std::int32_t argmin_##set(float const* x, index_t n) {                                           \
    typedef float reg __attribute__((vector_size(floats * 4)));                                                       \
    typedef std::int32_t places __attribute__((vector_size(floats * 4)));                                             \
    reg lowest = reg{} + x[0];                                                                                        \
    places lowest_at{}, at;                                                                                           \
    for (int l = 0; l < floats; ++l) at[l] = l;                                                                       \
    index_t i = 0;                                                                                                    \
    for (; i + floats <= n; i += floats, at += floats) {                                                              \
      reg entries;                                                                                                    \
      std::memcpy(&entries, x + i, sizeof entries);                                                                   \
      auto const lower = entries < lowest;                                                                            \
      lowest_at = lower ? at : lowest_at;                                                                             \
      lowest = lower ? entries : lowest;                                                                              \
    }                                                                                                                 \
    float values[floats];                                                                                             \
    std::int32_t ats[floats];                                                                                         \
    for (int l = 0; l < floats; ++l) values[l] = lowest[l], ats[l] = lowest_at[l];                                    \
    auto low = lowest_lane<floats>(values, ats);                                                                      \
    for (; i < n; ++i)                                                                                                \
      if (x[i] < low.value) low = {x[i], static_cast<std::int32_t>(i)};                                               \
    return low.at;                                                                                                    \
  }
// sum = the squared distances of the rows to the chunk at v; v moves to the next chunk
#define MQL4GREC_SUMS(floats)                                                              \
  for (int r = 0; r < Rows; ++r)                                                           \
    for (int j = 0; j < Registers; ++j) sum[r][j] = reg{};                                 \
  for (index_t p = 0; p < book.width; ++p, v += Registers * floats) {                      \
    reg row[Registers];                                                                    \
    for (int j = 0; j < Registers; ++j) std::memcpy(&row[j], v + j * floats, sizeof(reg)); \
    for (int r = 0; r < Rows; ++r)                                                         \
      for (int j = 0; j < Registers; ++j) {                                                \
        reg const difference = x[r * x_stride + p] - row[j];                               \
        sum[r][j] += difference * difference;                                              \
      }                                                                                    \
  }
MQL4GREC_TILE(baseline, 4)
#if defined(__x86_64__) && defined(__GNUC__)
MQL4GREC_TILE(avx2, 8, __attribute__((target("avx2,fma"))))
MQL4GREC_TILE(avx512, 16, __attribute__((target("avx512f,avx512bw,avx512dq,avx512vl,avx2,fma"))))
#endif
#undef MQL4GREC_SUMS
#undef MQL4GREC_TILE

/// The tile of an instruction set: a number of rows, and a chunk of vectors.
template <int Rows, int Registers>
struct baseline_nearest {
  static constexpr int rows = Rows, chunk = 4 * Registers;
  template <int Some, class... Args>
  static void nearest(Args... args) {
    nearest_baseline<Some, Registers>(args...);
  }
  template <int Some, class... Args>
  static void distances(Args... args) {
    distances_baseline<Some, Registers>(args...);
  }
  static std::int32_t argmin(float const* x, index_t n) { return argmin_baseline(x, n); }
};
#if defined(__x86_64__) && defined(__GNUC__)
template <int Rows, int Registers>
struct avx2_nearest {
  static constexpr int rows = Rows, chunk = 8 * Registers;
  template <int Some, class... Args>
  static void nearest(Args... args) {
    nearest_avx2<Some, Registers>(args...);
  }
  template <int Some, class... Args>
  static void distances(Args... args) {
    distances_avx2<Some, Registers>(args...);
  }
  static std::int32_t argmin(float const* x, index_t n) { return argmin_avx2(x, n); }
};
template <int Rows, int Registers>
struct avx512_nearest {
  static constexpr int rows = Rows, chunk = 16 * Registers;
  template <int Some, class... Args>
  static void nearest(Args... args) {
    nearest_avx512<Some, Registers>(args...);
  }
  template <int Some, class... Args>
  static void distances(Args... args) {
    distances_avx512<Some, Registers>(args...);
  }
  static std::int32_t argmin(float const* x, index_t n) { return argmin_avx512(x, n); }
};
#endif

/// Calls task(tile) with this machine's tile for a number of vectors; seeding k-means compares with one vector at a
/// time.
template <class Task>
void with_nearest_tile(index_t vectors, Task&& task) {
#if defined(__x86_64__) && defined(__GNUC__)
  switch (chosen_instruction_set()) {
    case instruction_set::amx:
    case instruction_set::avx512: return vectors <= 16 ? task(avx512_nearest<8, 1>{}) : task(avx512_nearest<4, 4>{});
    case instruction_set::avx2: return task(avx2_nearest<4, 2>{});
    case instruction_set::baseline: break;
  }
#endif
  task(baseline_nearest<2, 4>{});
}

/// Calls block.operator()<Rows>(i) for rows i … i + Rows − 1, until all n rows have been processed.
template <int Rows, class Block>
void for_each_block(index_t n, Block&& block) {
  index_t i = 0;
  for (; i + Rows <= n; i += Rows) block.template operator()<Rows>(i);
  for (; i < n; ++i) block.template operator()<1>(i);
}

struct subtract_codes_kernel {
  MQL4GREC_INLINE static void run(float const* vectors, index_t stride, code_t const* codes, float* x, index_t x_stride,
                                  index_t n, index_t width) {
    for (index_t i = 0; i < n; ++i, x += x_stride) {
      float const* const v = vectors + index(codes[i]) * stride;
      for (index_t j = 0; j < width; ++j) x[j] -= v[j];
    }
  }
};

struct add_to_codes_kernel {
  MQL4GREC_INLINE static void run(float const* x, index_t x_stride, code_t const* codes, float* sums, index_t stride,
                                  float* counts, index_t n, index_t width) {
    for (index_t i = 0; i < n; ++i, x += x_stride) {
      float* const sum = sums + index(codes[i]) * stride;
      counts[index(codes[i])] += 1.f;
      for (index_t j = 0; j < width; ++j) sum[j] += x[j];
    }
  }
};

}  // namespace detail

template <std::same_as<float> T>
void nearest_code(backend& b, in_matrix<backend, T> x, in_matrix<backend, T> vectors, out_vector<backend, code_t> codes,
                  out_vector<backend, T> distances) {
  assert(vectors.rows() > 0);
  scratch_scope<backend> const scope(b.scratch());
  detail::with_nearest_tile(vectors.rows(), [&]<class Tile>(Tile) {
    auto const book = detail::transpose_codebook(b, vectors, Tile::chunk);
    detail::for_each_block<Tile::rows>(x.rows(), [&]<int Rows>(index_t i) {
      Tile::template nearest<Rows>(x.row(i).data, x.stride, book, codes.data + i, distances.data + i);
    });
  });
}

template <std::same_as<float> T>
void squared_distances(backend& b, in_matrix<backend, T> x, in_matrix<backend, T> vectors,
                       out_matrix<backend, T> distances) {
  scratch_scope<backend> const scope(b.scratch());
  detail::with_nearest_tile(vectors.rows(), [&]<class Tile>(Tile) {
    auto const book = detail::transpose_codebook(b, vectors, Tile::chunk);
    float last[Tile::rows * Tile::chunk];  // a whole chunk would write beyond the last columns
    detail::for_each_block<Tile::rows>(x.rows(), [&]<int Rows>(index_t i) {
      for (index_t k = 0; k < vectors.rows(); k += Tile::chunk) {
        float* const place = distances.row(i).data + k;
        index_t const count = vectors.rows() - k;
        bool const whole = count >= Tile::chunk;
        Tile::template distances<Rows>(x.row(i).data, x.stride, book, book.data + k * book.width, whole ? place : last,
                                       whole ? distances.stride : index_t{Tile::chunk});
        if (!whole)
          for (int r = 0; r < Rows; ++r) std::copy_n(last + r * Tile::chunk, count, place + r * distances.stride);
      }
    });
  });
}

template <std::same_as<float> T>
void argmin_rows(backend&, in_matrix<backend, T> distances, out_vector<backend, code_t> codes) {
  assert(distances.columns() > 0);
  detail::with_nearest_tile(distances.columns(), [&]<class Tile>(Tile) {
    for (index_t i = 0; i < distances.rows(); ++i)
      codes(i) = code_t{Tile::argmin(distances.row(i).data, distances.columns())};
  });
}

template <std::same_as<float> T>
void subtract_codes(backend&, in_matrix<backend, T> vectors, in_vector<backend, code_t> codes,
                    out_matrix<backend, T> x) {
  dispatch<detail::subtract_codes_kernel>(vectors.data, vectors.stride, codes.data, x.data, x.stride, x.rows(),
                                          x.columns());
}

template <std::same_as<float> T>
void add_to_codes(backend&, in_matrix<backend, T> x, in_vector<backend, code_t> codes, out_matrix<backend, T> sums,
                  out_vector<backend, T> counts) {
  dispatch<detail::add_to_codes_kernel>(x.data, x.stride, codes.data, sums.data, sums.stride, counts.data, x.rows(),
                                        x.columns());
}

}  // namespace mql4grec::cpu
