// Every kernel that works in groups, on real threads under the thread sanitizer, against the reference. Small sizes: a
// group of 256 is 256 threads, regardless of the work.
#include <doctest/doctest.h>

#include "mql4grec/backend/reference/reference.hpp"
#include "mql4grec/nn/residual_norm.hpp"
#include "race/threads_system.hpp"
#include "support/check_close.hpp"
#include "support/tensors.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {

using racing = gpu::backend<threads>;

/// run(backend) -> numbers of its outputs; on both backends, and compared.
template <class Run>
void check_alike(Run run, double allowed = 2e-5) {
  reference::backend exact;
  racing b;
  std::vector<numbers> const expected = run(exact), actual = run(b);
  for (std::size_t i = 0; i < expected.size(); ++i) {
    CAPTURE(i);
    CHECK_CLOSE(actual[i], expected[i], allowed);
  }
}

template <class B>
tensor_on<code_t, B, 1> codes_on(B& b, index_t n, index_t k) {
  std::vector<code_t> codes;
  for (auto const token : random_tokens(n, k, 4).values) codes.push_back(static_cast<code_t>(index(token)));
  return on(b, vector<code_t>(codes));
}

}  // namespace

TEST_CASE("thread groups: norms, losses and column sums") {
  check_alike([](auto& b) {
    auto const x = on(b, random_normal<float>({5, 70}, 1)), dy = on(b, random_normal<float>({5, 70}, 2));
    auto const gain = on(b, random_normal<float>(70, 3));
    auto y = poisoned<float>(b, {5, 70}), dx = poisoned<float>(b, {5, 70}),
         logits = on(b, random_normal<float>({5, 70}, 4));
    auto inv_rms = poisoned<float>(b, 5), losses = poisoned<float>(b, 5), normalisers = poisoned<float>(b, 5);
    auto dgain = on(b, constant(70, 0.f)), dbias = on(b, constant(70, 0.f));
    auto const targets = on(b, random_tokens(5, 70, 5));
    rms_norm_forward<float>(b, {x, gain}, 1e-6, y, inv_rms);
    rms_norm_backward<float>(b, {x, gain}, inv_rms, dy, {dx, dgain});
    bias_backward<float>(b, dy, dbias);
    log_sum_exp<float>(b, logits, normalisers);
    cross_entropy_backward<float>(b, targets, 0.5, logits, losses);
    double const squares = sum_of_squares<float>(b, on(b, random_normal<float>(900, 6)));
    auto moved = on(b, random_normal<float>({5, 70}, 7));
    auto error = poisoned<float>(b, 1);
    squared_error_backward<float>(b, moved, x, 0.1, {moved, error});
    return std::vector{numbers_of(y),           numbers_of(dx),     numbers_of(dgain),  numbers_of(dbias),
                       numbers_of(normalisers), numbers_of(losses), numbers_of(logits), numbers_of(moved),
                       numbers_of(squares),     numbers_of(error)};
  });
}

TEST_CASE("thread groups: residual connections followed by norms") {
  check_alike([](auto& b) {
    dropout const site{.rate = 0.3, .seed = 3};
    shape const size{5, 170};  // more than the columns that stay in registers
    auto const from = on(b, random_normal<float>(size, 1)), gain = on(b, random_normal<float>({1, 170}, 2));
    auto stream = on(b, random_normal<float>(size, 3)), normed = poisoned<float>(b, size);
    auto dy = on(b, random_normal<float>(size, 4)), dstream = on(b, random_normal<float>(size, 5));
    auto inv_rms = poisoned<float>(b, 5), dgain = on(b, constant(170, 0.f));
    nn::residual_norm<float>(b, site, 1e-6, {from, (*gain).row(0), stream, normed, inv_rms});
    nn::residual_norm_gradient<float>(b, site, {stream, (*gain).row(0)}, inv_rms, {dy, dstream, dgain});
    return std::vector{numbers_of(stream), numbers_of(normed),  numbers_of(inv_rms),
                       numbers_of(dy),     numbers_of(dstream), numbers_of(dgain)};
  });
}

TEST_CASE("thread groups: layer norm, activations and mean pooling of encoders") {
  check_alike([](auto& b) {
    auto const x = on(b, random_normal<float>({5, 70}, 1));
    auto const gain = on(b, random_normal<float>(70, 2)), bias = on(b, random_normal<float>(70, 3));
    auto y = on(b, random_normal<float>({5, 70}, 4)), quick = on(b, random_normal<float>({5, 170}, 5)),
         gelu = on(b, random_normal<float>({5, 170}, 6)), h = poisoned<float>(b, {5, 35}),
         means = poisoned<float>(b, {3, 70});
    layer_norm_forward<float>(b, {y, gain, bias}, 1e-5, y);  // in place
    gelu_forward<float>(b, gelu);
    quick_gelu_forward<float>(b, quick);
    swiglu_forward<float>(b, x, h);
    mean_pool<float>(b, x, on(b, vector<index_t>{0, 2, 2, 5}), means);
    return std::vector{numbers_of(y), numbers_of(gelu), numbers_of(quick), numbers_of(h), numbers_of(means)};
  });
}

TEST_CASE("thread groups: attention, its gradients and a decoding step") {
  for (index_t const more : {0, 4})  // sequences of one token each, so many that tiles are a warp's
    check_alike([&](auto& b) {
      using B = std::remove_reference_t<decltype(b)>;
      std::vector<index_t> lengths{3, 37, 0, 1};
      lengths.resize(static_cast<std::size_t>(4 + more), 1);
      index_t const heads = 2, width = 5, longest = 37;
      auto const offsets = on(b, offsets_of(lengths));
      index_t const rows = 41 + more, inner = heads * width, weights_size = heads * (3 * 3 + 37 * 37 + 1 + more);
      auto const qkv = on(b, random_normal<float>({rows, 3 * inner}, 1)),
                 dcontext = on(b, random_normal<float>({rows, inner}, 2));
      auto const bias = on(b, random_normal<float>({heads, 2 * longest - 1}, 3));
      auto weights = poisoned<float>(b, weights_size);
      auto context = poisoned<float>(b, {rows, inner}), dqkv = poisoned<float>(b, {rows, 3 * inner});
      auto dbias = on(b, constant({heads, 2 * longest - 1}, 0.f));
      attention_inputs<typename B::memory_space, float> const in{.q = (*qkv).column_block(0, inner),
                                                                 .k = (*qkv).column_block(inner, inner),
                                                                 .v = (*qkv).column_block(2 * inner, inner),
                                                                 .query_offsets = offsets,
                                                                 .key_offsets = offsets,
                                                                 .heads = heads,
                                                                 .bias = bias,
                                                                 .zero_distance = longest - 1,
                                                                 .causal = true,
                                                                 .drop = {.rate = 0.2, .seed = 5}};
      attention_forward<float>(b, in, weights, context);
      auto const kept = numbers_of(weights);
      attention_backward<float>(b, in, weights, dcontext,
                                {(*dqkv).column_block(0, inner), (*dqkv).column_block(inner, inner),
                                 (*dqkv).column_block(2 * inner, inner), *dbias});
      auto const q = on(b, random_normal<float>({3, inner}, 6)), cache = on(b, random_normal<float>({7, 2 * inner}, 7));
      auto const places = on(b, matrix<std::int32_t>{{0, 3}, {0, 4}, {2, 6}});
      auto step = poisoned<float>(b, {3, inner});
      cached_attention<float>(b, {.q = q, .cache = cache, .places = places, .bias = bias, .zero_distance = longest - 1},
                              step);
      return std::vector{kept, numbers_of(context), numbers_of(dqkv), numbers_of(dbias), numbers_of(step)};
    });
}

TEST_CASE("thread groups: nearest codes, sums per code and balanced assignment") {
  check_alike([](auto& b) {
    using B = std::remove_reference_t<decltype(b)>;
    auto rest = on(b, random_normal<float>({40, 33}, 1));
    auto const first = on(b, random_normal<float>({70, 33}, 2)), second = on(b, random_normal<float>({130, 33}, 3));
    std::vector<in_matrix<B, float>> const levels{first, second};
    auto distances = poisoned<float>(b, {40, 70});
    tensor_on<code_t, B, 2> codes(b, {2, 40}, 0, code_t{-7});
    tensor_on<code_t, B, 1> balanced(b, {40, 1}, 0, code_t{-7});
    squared_distances<float>(b, rest, first, distances);
    sinkhorn_assign<float>(b, distances, {.epsilon = 0.01, .iterations = 5}, balanced);
    nearest_codes<float>(b, levels, rest, codes);
    auto const x = on(b, random_normal<float>({300, 9}, 8));
    auto sums = on(b, constant({5, 9}, 0.f)), many = on(b, constant({5000, 9}, 0.f));
    auto counts = on(b, constant(5, 0.f)), many_counts = on(b, constant(5000, 0.f));
    add_to_codes<float>(b, x, codes_on(b, 300, 5), sums, counts);
    add_to_codes<float>(b, x, codes_on(b, 300, 5000), many, many_counts);
    auto dtable = on(b, constant({4, 2}, 0.f));
    relative_bias_backward<float>(b, on(b, vector<index_t>{0, 1, 2, 2, 3}), on(b, random_normal<float>({2, 5}, 9)),
                                  dtable);
    auto vectors = on(b, random_normal<float>({400, 9}, 10)), first_moments = on(b, constant({400, 9}, 1.f)),
         second_moments = on(b, constant({400, 9}, 1.f));
    auto idle = on(b, vector<std::int32_t>(std::vector<std::int32_t>(400, 3)));
    auto revived = poisoned<double>(b, 1);
    revive_codes<float>(
        b, 4,
        {.nearest = codes_on(b, 300, 400),
         .before = x,
         .after = x,
         .report = on(b, vector<step_report>{{.loss = 1, .norm = 1}})},
        {.vectors = vectors, .first_moments = first_moments, .second_moments = second_moments, .idle = idle}, revived);
    return std::vector{numbers_of(vectors),   numbers_of(first_moments), numbers_of(idle),        numbers_of(revived),
                       numbers_of(distances), numbers_of(balanced),      numbers_of(codes),       numbers_of(sums),
                       numbers_of(counts),    numbers_of(many),          numbers_of(many_counts), numbers_of(dtable)};
  });
}

TEST_CASE("thread groups: selection of few and many beams from few and many candidates") {
  for (bool const normalize_over_allowed : {false, true})
    for (index_t const beams : {3, 600})
      check_alike(
          [&]<class B>(B& b) {
            index_t const rows = 300, children = 9;
            std::vector<node_t> first_child, nodes;
            std::vector<token_t> tokens(static_cast<std::size_t>(rows), token_t{0});
            for (index_t r = 0; r < rows; ++r) {
              nodes.push_back(static_cast<node_t>(r));
              first_child.push_back(static_cast<node_t>(rows + r * children));
              for (index_t c = 0; c < children; ++c) tokens.push_back(static_cast<token_t>(c));
            }
            first_child.resize(static_cast<std::size_t>(rows + rows * children + 1),
                               static_cast<node_t>(rows + rows * children));
            auto const firsts = on(b, vector<node_t>(first_child)), at = on(b, vector<node_t>(nodes));
            auto const edges = on(b, vector<token_t>(tokens));
            auto const offsets = on(b, vector<index_t>{0, 20, 300});
            auto const logits = on(b, random_normal<double>({rows, children}, 1));
            auto const scores = on(b, random_normal<double>(rows, 2)),
                       normalisers = on(b, random_normal<double>(rows, 3));
            auto best = on(b, constant({2, beams}, 0.));
            auto parents = on(b, constant({2, beams}, std::int32_t{0})),
                 reached = on(b, constant({2, beams}, node_t{0}));
            auto counts = on(b, constant(2, index_t{0}));
            select_beams<double>(b,
                                 {.logits = logits,
                                  .scores = scores,
                                  .nodes = at,
                                  .row_offsets = offsets,
                                  .trie = level_order_trie(in_vector<B, node_t>(firsts), in_vector<B, token_t>(edges)),
                                  .allowed = {},
                                  .normalize_over_allowed = normalize_over_allowed},
                                 normalisers, {best, parents, reached, counts});
            return std::vector{numbers_of(best), numbers_of(parents), numbers_of(reached), numbers_of(counts)};
          },
          1e-12);
}

TEST_CASE("thread groups: batches gathered on the device") {
  check_alike([](auto& b) {
    auto const from = on(b, random_tokens(40, 9, 1));
    auto const from_offsets = on(b, vector<index_t>{0, 3, 3, 17, 40}), which = on(b, vector<index_t>{2, 0, 3, 1, 2});
    auto tokens = on(b, vector<token_t>(std::vector<token_t>(70, no_target))),
         shifted = on(b, vector<token_t>(std::vector<token_t>(70, no_target)));
    auto offsets = on(b, vector<index_t>(std::vector<index_t>(9, 0)));
    using space = typename std::remove_reference_t<decltype(b)>::memory_space;
    gather_sequences(b, {from, from_offsets}, which, no_target, packed_tokens<space>{tokens, offsets});
    shift_right(b, tokens, offsets, token_t{0}, shifted);
    auto rows = poisoned<float>(b, {5, 70});
    gather_rows<float>(b, on(b, random_normal<float>({4, 70}, 2)), which, rows);
    auto const as_numbers = [&](auto const& values) {
      std::vector<double> all;
      for (auto const value : fetched(values).values) all.push_back(static_cast<double>(value));
      return numbers_of(on(b, vector<double>(std::move(all))));
    };
    return std::vector{as_numbers(tokens), as_numbers(shifted), as_numbers(offsets), numbers_of(rows)};
  });
}
