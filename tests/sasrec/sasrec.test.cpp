// SASRec: its gradient is the derivative of its loss, every backend computes the reference's numbers, and it learns.
#include <filesystem>
#include <span>
#include <vector>

#include "core/temporary_directory.hpp"
#include "mql4grec/catalog/split.hpp"
#include "mql4grec/catalog/synthetic.hpp"
#include "mql4grec/metrics/ranking_metrics.hpp"
#include "mql4grec/rank/popularity.hpp"
#include "mql4grec/sasrec/run.hpp"
#include "support/backends.hpp"
#include "support/check_close.hpp"
#include "support/gradient.hpp"
#include "support/instruction_sets.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

namespace {

constexpr nn::dropout_plan no_dropout{}, with_dropout{.rate = 0.2, .seed = 5, .step = 3};

std::vector<item_id> random_history(index_t length, index_t items, std::uint64_t seed) {
  std::vector<item_id> history;
  for (auto const token : random_tokens(length, items, seed).values) history.push_back(item_id(index(token)));
  return history;
}

sasrec::sequences random_batch(std::span<index_t const> lengths, sasrec::sasrec_config const& c) {
  sasrec::sequences all;
  for (std::size_t s = 0; s < lengths.size(); ++s)
    all.add_with_targets(random_history(lengths[s], c.items, s), c.positions);
  return all;
}

/// Every parameter is random, the norm gains too.
template <class T, Backend B>
sasrec::sasrec_model<B, T> random_model(B& b, sasrec::sasrec_config const& config) {
  sasrec::sasrec_model<B, T> model(b, config);
  auto const normal = random_normal<T>(model.layout().size(), 7);
  fill(model.parameters(), [&](host_vector_view<T> values) {
    for (auto const& p : model.layout().entries())
      for (index_t i = p.offset; i < p.offset + p.size(); ++i)
        values(i) = mql4grec::constant<T>(0.3) * normal(i) + mql4grec::constant<T>(p.is_vector ? 1 : 0);
  });
  return model;
}

template <class T, Backend B>
struct loss_and_gradient {
  tensor_on<T, B, 1> gradient;
  T loss{};

  loss_and_gradient(B& b, sasrec::sasrec_model<B, T> const& model, sasrec::sequences const& all,
                    nn::dropout_plan const& plan, double scale = 1)
      : gradient(b, {model.layout().size(), 1}, 0, T{}) {
    auto const views = sasrec::sasrec_windows(model.config(), model.layout(), *gradient);
    loss = sasrec::sasrec_pass(b, model).loss_and_gradient(all, {0, all.size()}, plan, {.sum = views, .scale = scale});
  }
};

}  // namespace

TEST_CASE("sasrec: the gradient is the derivative of the loss, with and without dropout") {
  sasrec::sasrec_config const config{.items = 7, .positions = 4, .width = 6, .layers = 2, .heads = 2, .inner_width = 5};
  reference::backend b;
  index_t const lengths[] = {3, 2, 9};
  auto const all = random_batch(lengths, config);
  auto const model = random_model<double>(b, config);
  auto moved = random_model<complex>(b, config);
  for (auto const& plan : {no_dropout, with_dropout}) {
    loss_and_gradient<double, reference::backend> const claimed(b, model, all, plan, 0.25);
    auto const loss = [&](vector<complex> const& parameters) {
      copy(view<complex const, host_space, 1>(parameters), moved.parameters());
      return 0.25 * sasrec::sasrec_pass(b, moved).loss(all, {0, all.size()}, plan);
    };
    auto const values = as_span(model.parameters());
    CHECK(gradient_error(loss, vector<double>({values.begin(), values.end()}), claimed.gradient) < 1e-11);
  }
}

TEST_CASE_TEMPLATE("sasrec: loss, gradient and scores equal the reference's in double, with every instruction set", B,
#if MQL4GREC_HAS_THRUST && !defined(__CUDACC__)
                   gpu::backend<gpu::omp>,
#endif
                   cpu::backend) {
  sasrec::sasrec_config const config{
      .items = 50, .positions = 20, .width = 24, .layers = 2, .heads = 3, .inner_width = 33};
  B fast;
  reference::backend exact;
  index_t const lengths[] = {2, 18, 40, 5};
  auto const all = random_batch(lengths, config);
  auto const model = random_model<float>(fast, config);
  auto const expected_model = random_model<double>(exact, config);
  constexpr double allowed = 20 * tolerance<B, float>;  // a dozen products deep
  scratch_scope<reference::backend> const scope(exact.scratch());
  auto const expected_scores = sasrec::sasrec_pass(exact, expected_model).take_scores(all, {1, 4});
  for (auto const& plan : {no_dropout, with_dropout}) {
    loss_and_gradient<double, reference::backend> const expected(exact, expected_model, all, plan);
    for_each_instruction_set([&] {
      loss_and_gradient<float, B> const actual(fast, model, all, plan);
      CHECK_CLOSE(actual.loss, expected.loss, allowed);
      CHECK_CLOSE(actual.gradient, expected.gradient, allowed);
      scratch_scope<B> const inner(fast.scratch());
      CHECK_CLOSE(sasrec::sasrec_pass(fast, model).take_scores(all, {1, 4}), expected_scores, allowed);
    });
  }
}

TEST_CASE("sasrec: logits, loss and gradient equal PyTorch's") {
  auto const directory = std::filesystem::path(MQL4GREC_TEST_GOLDEN_DIR) / "sasrec";
  reference::backend b;
  auto const model = sasrec::read_model<double>(b, directory);
  safetensors const golden(directory / "golden.safetensors");
  auto const items = golden.values<std::int32_t>("items"), targets = golden.values<std::int32_t>("targets"),
             lengths = golden.values<std::int32_t>("lengths");
  sasrec::sequences all;
  std::vector<item_id> history;
  for (auto const item : items) history.push_back(item_id(item));
  for (auto const target : targets) all.targets.push_back(token_t(target));
  std::span<item_id const> rest(history);
  for (auto const length : lengths) {
    all.add(rest.first(static_cast<std::size_t>(length)), model.config().positions);
    rest = rest.subspan(static_cast<std::size_t>(length));
  }
  loss_and_gradient<double, reference::backend> const actual(b, model, all, no_dropout,
                                                             1 / static_cast<double>(targets.size()));
  CHECK_CLOSE(actual.loss / static_cast<double>(targets.size()), golden.values<double>("loss")[0], 1e-7);
  for (auto const& p : model.layout().entries())
    CHECK_CLOSE((*actual.gradient).part(p.offset, p.size()), golden.values<double>("grad." + p.name), 1e-7);
  scratch_scope<reference::backend> const scope(b.scratch());
  auto const scores = sasrec::sasrec_pass(b, model).take_scores(all, {0, all.size()});
  auto const logits = golden.values<double>("logits");
  for (index_t s = 0; s < all.size(); ++s) {
    auto const last = static_cast<std::size_t>((all.offsets[static_cast<std::size_t>(s + 1)] - 1) * scores.columns());
    CHECK_CLOSE(scores.row(s), std::span(logits).subspan(last, static_cast<std::size_t>(scores.columns())), 1e-7);
  }
}

TEST_CASE("sasrec: a batch has the most recent items, counted from the last one, and the items after them") {
  auto const history = std::vector{item_id{4}, item_id{1}, item_id{9}, item_id{2}};
  sasrec::sequences all;
  all.add_with_targets(history, 2);
  all.add_with_targets(std::span(history).first(2), 5);
  CHECK(all.items == std::vector{token_t{1}, token_t{9}, token_t{4}});
  CHECK(all.positions == std::vector{token_t{1}, token_t{0}, token_t{0}});
  CHECK(all.targets == std::vector{token_t{9}, token_t{2}, token_t{1}});
  CHECK(all.offsets == std::vector<index_t>{0, 2, 3});
  CHECK_THROWS_AS(all.add({}, 2), error);
  CHECK_THROWS_AS(all.add_with_targets(std::span(history).first(1), 2), error);
}

TEST_CASE("sasrec: on the built-in catalog it is far better than popularity, and the written model ranks alike") {
  auto const data = catalog::make_synthetic_dataset({.items = 60, .users = 400}, 0).interactions;
  temporary_directory const root;
  cpu::backend b({.threads = 2});
  auto const run =
      sasrec::train_model(b,
                          {.out = root / "run",
                           .training = {.epochs = 15, .batch_size = 32, .learning_rate = 5e-3, .dropout = 0.2},
                           .model = {.width = 16, .inner_width = 32}},
                          data);
  CHECK(run.status == train::run_status::finished);
  auto const model = sasrec::read_model<float>(b, root / "run");
  sasrec::history_list histories;
  std::vector<item_id> targets;
  auto const popular = rank::popularity(data, 10);
  metrics::metric_accumulator ours, popularity;
  for (auto const user : catalog::evaluated_users(data)) {
    histories.push_back(catalog::history(data, user, catalog::split::test));
    targets.push_back(catalog::target(data, user, catalog::split::test));
  }
  auto const lists = sasrec::rank_items(b, model, histories, 10);
  for (std::size_t u = 0; u < lists.size(); ++u) {
    REQUIRE(lists[u].size() == 10);
    CHECK(std::ranges::is_sorted(lists[u].scores, std::greater()));
    ours.add(metrics::place_of(lists[u], targets[u]));
    popularity.add(metrics::place_of(popular, targets[u]));
  }
  MESSAGE("NDCG@10 " << ours.mean().ndcg(10) << ", of popularity " << popularity.mean().ndcg(10));
  CHECK(ours.mean().ndcg(10) > 2 * popularity.mean().ndcg(10));
  CHECK(sasrec::mean_ndcg(b, model, histories, targets) == doctest::Approx(ours.mean().ndcg(10)));
  std::vector const unknown{item_id{60}};
  CHECK_THROWS_AS(sasrec::rank_items(b, model, {std::span<item_id const>(unknown)}, 1), error);
}
