#pragma once
// One training step of an RQ-VAE. Workers share the rows of a batch: each encodes its rows, assigns codes level by
// level (a balanced level is assigned for the whole batch at once), decodes and backpropagates. Then the workers share
// the rows of the weight gradients. The same seed and number of workers give the same bits. Where the backend supports
// capture, a whole step is captured and launched, and the host reads its losses at the end.
//
// With shards, the rows of a batch are divided into numbered ones, whose gradients are added in the order of
// optim/gradient.hpp: the same seed and number of shards give the same bits, whichever workers of whichever ranks
// compute them. All ranks have the latents of the whole batch, which are small, so that every rank chooses all codes,
// balances levels and revives codes alike:
//
//     rank 0   encode rows of shards 0 1 ─┐ all_gather ┌─► all codes ─► decode, backpropagate 0 1 ─┐ sum of
//     rank 1   encode rows of shards 2 3 ─┘ of latents └─► all codes ─► decode, backpropagate 2 3 ─┘ gradients
#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <optional>
#include <tuple>

#include "mql4grec/backend/contract/graph_cache.hpp"
#include "mql4grec/backend/contract/revive_codes.hpp"
#include "mql4grec/optim/gradient.hpp"
#include "mql4grec/quantize/codebook/residual_quantizer.hpp"
#include "mql4grec/quantize/rq_vae/pass.hpp"
#include "mql4grec/train/captured_update.hpp"
#include "mql4grec/train/host_communicator.hpp"
#include "mql4grec/train/rank_sums.hpp"
#include "mql4grec/train/shard_gradients.hpp"

namespace mql4grec::quantize {

/// Options of training. The defaults are the paper's.
struct rq_vae_trainer_options {
  double learning_rate = 1e-3;                                      ///< constant
  optim::adamw optimizer = {.weight_decay = 1e-4, .clip_norm = 0};  ///< AdamW without gradient clipping
  /// ε of balanced assignment at each level; 0 is nearest assignment. Levels beyond the list use 0.
  std::vector<double> epsilons = {0, 0, 0, 0.003};
  int sinkhorn_iterations = 50;  ///< of balanced assignment
  index_t batch_size = 2048;     ///< rows per step
  /// The number of batches after which a code that was no row's nearest is moved to a row with a high error. 0: never.
  index_t revive_after = 10;
  /// Parts of a batch whose gradients are added in a fixed order, so that any number of ranks and workers gives the
  /// same bits; at least the number of ranks. 0: one for each worker of each of several ranks; a single rank then
  /// divides the weights among its workers instead, which is faster. Shards exclude captured steps.
  index_t gradient_shards = 0;

  bool operator==(rq_vae_trainer_options const&) const = default;
};

/// The losses of a batch, each a mean over its entries, and the number of revived codes.
struct rq_vae_losses {
  double reconstruction = 0;  ///< mean of (x̂ − x)²
  double quantization = 0;    ///< mean over levels of (1 + β) · mse(v, r), before quant_weight
  double total = 0;           ///< reconstruction + quant_weight · quantization
  index_t revived = 0;        ///< codes that were moved to another row

  bool operator==(rq_vae_losses const&) const = default;
};

/// Whether a batch is quantized between encoder and decoder. With `bypass`, the model trains as a plain autoencoder,
/// before its codebooks exist.
enum class quantize_mode { quantize, bypass };

/// The operations that training requires from a backend, besides those of the layers, the assignment and the optimiser:
/// codebook gradients, revival of codes, sums over residuals.
template <class B, class T>
concept RqVaeTrainingOps = Backend<B> &&
    requires(B& b, in_matrix<B, T> x, out_matrix<B, T> y, in_vector<B, code_t> codes, in_vector<B, T> v,
             out_vector<B, T> counts, out_vector<B, double> sums, level_batch<typename B::memory_space, T> batch,
             trained_codes<typename B::memory_space, T> trained) {
  add_to_codes<T>(b, x, codes, y, counts);
  sum_of_squares_into<T>(b, v, sums);
  revive_codes<T>(b, index_t{}, batch, trained, sums);
};

/// Trains a model step by step. The backend and the model must outlive this object. Not thread safe; a step uses all
/// workers of the backend.
template <Backend B, class T>
class rq_vae_trainer {
  static_assert(RqVaeTrainingOps<B, T>,
                "this backend lacks add_to_codes, sum_of_squares_into or revive_codes for this scalar; add it in "
                "backend/<name>/{nearest_code,adamw,revive_codes}.hpp");
  using space = typename B::memory_space;

 public:
  /// The backend.
  using backend_type = B;

  /// One object per rank. Throws error for options out of range, for fewer shards than ranks, and if the ranks have
  /// different numbers of shards.
  rq_vae_trainer(B& backend, rq_vae<B, T>& model, rq_vae_trainer_options const& options,
                 train::host_communicator communicator = {})
      : backend_(backend),
        model_(model),
        options_(options),
        communicator_(std::move(communicator)),
        moments_(backend, model.layout().size()),
        pass_(backend, model, options.batch_size),
        gradient_(backend.template allocate<T>(model.layout().size())),
        windows_(rq_vae_windows(model.config(), model.layout(), gradient_.view_all())),
        step_(backend) {
    auto const& c = model.config();
    for (index_t l = 0; l < c.levels(); ++l) {
      double const epsilon = l < std::ssize(options.epsilons) ? options.epsilons[to_size(l)] : 0;
      assignments_.push_back(assignment_with(epsilon, options.sinkhorn_iterations));
    }
    idle_ = backend.template allocate<std::int32_t>(number_of_codes(c));
    for (index_t l = 0; l <= c.levels(); ++l)
      residual_memory_.push_back(backend.template allocate<T>(options.batch_size * c.latent_width));
    code_memory_ = backend.template allocate<code_t>(c.levels() * options.batch_size);
    nearest_memory_ = backend.template allocate<code_t>(options.batch_size);
    squared_residuals_and_revived_ = backend.template allocate<double>(2 * c.levels());
    for (index_t i = 0; i < backend.workers(); ++i)
      workers_.push_back(std::make_unique<worker_state>(backend.worker(i), model));
    if (options.gradient_shards > 0 || communicator_.world_size() > 1) divide_into_shards();
  }

  /// The backend that the trainer uses.
  B& backend() const { return backend_; }
  /// The ranks that train the model.
  train::host_communicator const& communicator() const { return communicator_; }
  /// The options that the trainer was constructed with.
  rq_vae_trainer_options const& options() const { return options_; }
  /// The model that is trained.
  rq_vae<B, T>& model() { return model_; }
  /// The model, const.
  rq_vae<B, T> const& model() const { return model_; }
  /// The state of AdamW: moments and number of steps.
  optim::adamw_state<B, T>& moments() { return moments_; }
  /// The state of AdamW, const.
  optim::adamw_state<B, T> const& moments() const { return moments_; }
  /// (Σ K), level by level: batches since a code was last the nearest of any row. With parameters and moments, this is
  /// the whole state of a run.
  out_vector<B, std::int32_t> idle() { return idle_.view_all(); }
  /// The same, const.
  in_vector<B, std::int32_t> idle() const { return idle_.view_all(); }

  /// The rows of a batch that this rank computes: with several ranks, those of its shards.
  row_range own_rows(index_t batch_rows) const {
    if (!sums_) return {0, batch_rows};
    auto const mine = sums_->own_shards();
    index_t const first = rows_of_shard(mine.first, batch_rows).first;
    return {first, rows_of_shard(mine.first + mine.count, batch_rows).first - first};
  }

  /// The losses of a batch of n ≤ batch_size rows and their gradient, without an update. x (n, d_in) is the batch; or,
  /// with `batch_rows` = n, its own_rows(n). Throws error when n is out of range.
  rq_vae_losses losses_and_gradient(in_matrix<B, T> x, quantize_mode mode = quantize_mode::quantize,
                                    index_t batch_rows = 0) {
    if (sums_) return losses_and_gradient_of_shards(x, mode, batch_rows);
    find_gradient(x, mode);
    out_vector<B, T> const whole[] = {gradient_.view_all()};
    norm_ = optim::reduce_gradients<T>(backend_, std::span<out_vector<B, T> const>(whole));
    return losses_of_batch();
  }

  /// Makes one update; the arguments are those of losses_and_gradient(). Throws training_error when the loss or the
  /// gradient isn't finite; parameters and moments are unchanged then.
  rq_vae_losses step(in_matrix<B, T> x, quantize_mode mode = quantize_mode::quantize, index_t batch_rows = 0) {
    return sums_ ? finish_update(losses_and_gradient(x, mode, batch_rows), mode) : update(x, mode);
  }

  /// The gradient of the last batch, with the layout of the model's parameters.
  in_vector<B, T> gradient() const { return gradient_.view_all(); }
  /// The codes (levels, n) of the last batch.
  in_matrix<B, code_t> codes() const {
    return {code_memory_.view_all().data, model_.config().levels(), rows_, options_.batch_size};
  }
  /// The residuals (n, width) of the last batch before a level; for `level` = levels, after the last one.
  in_matrix<B, T> residual(index_t level) const {
    return {residual_memory_[to_size(level)].view_all().data, rows_, model_.config().latent_width};
  }

 private:
  struct worker_state {
    buffer<T, space> code_sums, code_counts;  // (Σ K, width), (Σ K): of the worker's rows
    buffer<T, space> error;                   // (1) Σ (x̂ − x)² of the worker's rows

    worker_state(B& worker, rq_vae<B, T> const& model)
        : code_sums(worker.template allocate<T>(number_of_codes(model.config()) * model.config().latent_width)),
          code_counts(worker.template allocate<T>(number_of_codes(model.config()))),
          error(worker.template allocate<T>(1)) {}
  };
  static index_t number_of_codes(rq_vae_config const& c) { return std::reduce(c.codes.begin(), c.codes.end()); }
  /// The rows of the batch that a worker processes.
  row_range rows_of(index_t worker) const { return worker_share{worker, backend_.workers()}.of(rows_); }
  worker_state& state(index_t worker) { return *workers_[to_size(worker)]; }
  out_matrix<B, T> residual_rows(index_t level, row_range rows) {
    index_t const width = model_.config().latent_width;
    return {residual_memory_[to_size(level)].view_all().data + rows.first * width, rows.count, width};
  }
  out_vector<B, code_t> code_rows(index_t level, row_range rows) {
    return code_memory_.view_all().part(level * options_.batch_size + rows.first, rows.count);
  }

  rq_vae_losses update(in_matrix<B, T> x, quantize_mode mode) {
    return finish_update(losses_and_gradient(x, mode), mode);
  }
  rq_vae_losses finish_update(rq_vae_losses losses, quantize_mode mode) {
    step_report const report{losses.total, norm_};
    optim::expect_finite(moments_.step + 1, report);
    optim::update<T>(backend_, options_.optimizer, {options_.learning_rate, norm_}, model_.layout(),
                     {gradient(), model_.parameters(), moments_});
    if (!revives(mode)) return losses;
    scratch_scope<B> const scope(backend_.scratch());
    device_copy<step_report, B> const in_memory(backend_, host_vector_view<step_report const>(&report, 1));
    revive(in_memory.view_all());
    losses.revived = level_sums().revived;
    return losses;
  }
  rq_vae_losses update(in_matrix<B, T> x, quantize_mode mode) requires
      CaptureOps<B> && train::CapturedUpdateOps<B, T> && TransferOps<B, step_inputs> {
    step_.upload_inputs(backend_, {.learning_rate = options_.learning_rate, .step = moments_.step + 1});
    rows_ = x.rows();
    updates_.run(backend_, {x.data, x.rows(), x.stride, mode}, [&] {
      find_gradient(x, mode);
      sum_into<T>(backend_, std::as_const(workers_.front()->error).view_all(), step_.loss());
      step_.template update<T>(backend_, options_.optimizer, std::nullopt, model_.layout(),
                               {gradient(), model_.parameters(), moments_});
      if (revives(mode)) revive(step_.report());
    });
    auto const report = step_.download_report(backend_);
    norm_ = report.norm;
    auto const sums = level_sums();
    auto losses = losses_with(report.loss, sums.squared_residuals);
    optim::expect_finite(moments_.step + 1, step_report{losses.total, norm_});
    ++moments_.step;
    if (revives(mode)) losses.revived = sums.revived;
    return losses;
  }

  // ---- shards ----

  static constexpr bool can_be_sent = train::Communicator<train::host_communicator, B, T>;

  void divide_into_shards() {
    index_t const ranks = communicator_.world_size();
    if constexpr (!can_be_sent) expects(ranks == 1, "RQ-VAE: ", ranks, " ranks, which transfer float or double only");
    index_t const shards = options_.gradient_shards > 0 ? options_.gradient_shards : ranks * backend_.workers();
    sums_.emplace(shards, communicator_.rank(), ranks, model_.layout().size());
    train::expect_equal(communicator_, backend_, "the number of gradient shards or of workers",
                        static_cast<std::uint64_t>(shards));
    for (index_t i = 0; i < backend_.workers(); ++i)
      gradients_.emplace_back(backend_.worker(i), train::shards_of_worker(sums_->own_shards(), {i, backend_.workers()}),
                              shards, model_.layout().size());
    shard_errors_ = backend_.template allocate<T>(shards);
    shard_residuals_ = backend_.template allocate<double>(model_.config().levels() * shards);
  }
  row_range rows_of_shard(index_t shard, index_t rows) const { return worker_share{shard, sums_->shards()}.of(rows); }
  /// Calls work(worker, shard, its rows) for each of these shards that has rows.
  template <class Work>
  void for_each_shard(row_range shards, Work const& work) {
    for_each_worker(backend_, [&](B& worker, index_t which) {
      auto const mine = train::shards_of_worker(shards, {which, backend_.workers()});
      for (index_t s = mine.first; s < mine.first + mine.count; ++s)
        if (auto const rows = rows_of_shard(s, rows_); rows.count > 0) work(worker, s, rows);
    });
  }
  /// Calls send() with what several ranks exchange.
  template <class Send>
  void among_ranks(Send const& send) {
    if constexpr (can_be_sent)
      if (communicator_.world_size() > 1) send();
  }

  rq_vae_losses losses_and_gradient_of_shards(in_matrix<B, T> x, quantize_mode mode, index_t batch_rows) {
    rows_ = batch_rows > 0 ? batch_rows : x.rows();
    check_rows(rows_);
    auto const own = own_rows(rows_);
    if (batch_rows == 0) x = x.row_block(own.first, own.count);
    expects(x.rows() == own.count, "RQ-VAE: ", x.rows(), " rows of a batch of ", rows_, ", expected this rank's ",
            own.count);
    auto const part_of_x = [&](row_range rows) { return x.row_block(rows.first - own.first, rows.count); };
    for_each_shard(sums_->own_shards(), [&](B& worker, index_t, row_range rows) {
      pass_.encode(worker, rows, part_of_x(rows), residual_rows(0, rows));
    });
    gather_latents();
    choose_codes_of_shards(mode);
    for_each_worker(backend_, [&](B& worker, index_t which) {
      gradients_[to_size(which)].add(worker, [&](index_t shard, out_vector<B, T> gradient) {
        auto const rows = rows_of_shard(shard, rows_);
        if (rows.count == 0) return;
        backpropagate_rows(worker, rows, part_of_x(rows), shard_errors_.view_all().part(shard, 1));
        pass_.weight_gradients(worker, {.of_weights = {0, 1}, .first_row = rows.first}, part_of_x(rows),
                               rq_vae_windows(model_.config(), model_.layout(), gradient));
        if (mode == quantize_mode::bypass) return;
        sum_residuals_by_code(worker, state(which), rows);
        add_codebook_gradient(worker, state(which), gradient);
      });
    });
    add_gradients_of_shards();
    return losses_of_shards();
  }
  /// Gives every rank the latents of the whole batch.
  void gather_latents() {
    among_ranks([&] {
      index_t const width = model_.config().latent_width;
      std::vector<index_t> offsets = {0};
      for (index_t r = 1; r <= communicator_.world_size(); ++r)
        offsets.push_back(rows_of_shard(sums_->shards() * r / communicator_.world_size(), rows_).first * width);
      communicator_.all_gather(backend_, residual_rows(0, {0, rows_}).flat(), std::span<index_t const>(offsets));
    });
  }
  /// The codes and residuals of the whole batch, on every rank.
  void choose_codes_of_shards(quantize_mode mode) {
    index_t const shards = sums_->shards(), levels = model_.config().levels();
    for (index_t l = 0; l < levels; ++l) {
      if (mode == quantize_mode::bypass)
        fill<T>(backend_, residual_rows(l + 1, {0, rows_}).flat(), T{});  // No residual: ẑ = z.
      else if (is_row_by_row(assignments_[to_size(l)]))
        for_each_shard({0, shards}, [&](B& worker, index_t, row_range rows) { quantize_rows(worker, l, rows); });
      else
        quantize_rows(backend_, l, {0, rows_});
    }
    fill<double>(backend_, shard_residuals_.view_all(), 0.0);
    for_each_shard({0, shards}, [&](B& worker, index_t shard, row_range rows) {
      for (index_t l = 0; l < levels; ++l)
        sum_of_squares_into<T>(worker, in_vector<B, T>(residual_rows(l + 1, rows).flat()),
                               shard_residuals_.view_all().part(l * shards + shard, 1));
    });
  }
  /// Sets gradient() to the sum of all shards' gradients, and its norm.
  void add_gradients_of_shards() {
    constexpr auto who = train::adding_threads::all_workers;
    std::vector<typename train::rank_sums<B, T>::node> nodes;
    for (auto const& worker : gradients_) nodes.insert(nodes.end(), worker.nodes().begin(), worker.nodes().end());
    sums_->add(backend_, who, nodes);
    auto const sum = nodes.front().gradient;
    among_ranks([&] {
      sums_->reduce_scatter(backend_, communicator_, who, sums_->offsets(), nodes);
      communicator_.all_gather(backend_, sum, sums_->offsets());
    });
    copy<T>(backend_, in_vector<B, T>(sum), gradient_.view_all());
    // all ranks have the whole gradient
    auto const squares = optim::squares_of_parts<T>(backend_, gradient(), sums_->shards(), {0, sums_->shards()});
    norm_ = std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0));
  }
  rq_vae_losses losses_of_shards() {
    host_copy<T, space> const own(backend_, std::as_const(shard_errors_).view_all());
    host_copy<double, space> const squares(backend_, std::as_const(shard_residuals_).view_all());
    std::vector<double> errors(to_size(sums_->shards()), 0);
    auto const mine = sums_->own_shards();
    for (index_t s = mine.first; s < mine.first + mine.count; ++s)
      if (rows_of_shard(s, rows_).count > 0) errors[to_size(s)] = static_cast<double>(real_part(own.view_all()(s)));
    communicator_.all_reduce(std::span(errors));  // zeros of all ranks but one: exact
    auto const sum = [](auto const& values) { return std::accumulate(values.begin(), values.end(), 0.0); };
    return losses_with(sum(errors), sum(as_span(squares.view_all())));
  }

  // ---- a batch as a whole ----

  void check_rows(index_t rows) const {
    expects(rows >= 1 && rows <= options_.batch_size, "RQ-VAE: a batch of ", rows, " rows, expected 1 to ",
            options_.batch_size);
  }

  /// The device's part of losses_and_gradient().
  void find_gradient(in_matrix<B, T> x, quantize_mode mode) {
    check_rows(x.rows());
    rows_ = x.rows();
    for_each_worker(backend_, [&](B& worker, index_t which) {
      auto const mine = rows_of(which);
      pass_.encode(worker, mine, x.row_block(mine.first, mine.count), residual_rows(0, mine));
    });
    if (mode == quantize_mode::quantize)
      choose_codes();
    else
      for (index_t l = 1; l <= model_.config().levels(); ++l)
        // No residual: ẑ = z.
        fill<T>(backend_, residual_rows(l, {0, rows_}).flat(), T{});
    backpropagate(x, mode);
  }

  void choose_codes() {
    for (index_t l = 0; l < model_.config().levels(); ++l)
      if (is_row_by_row(assignments_[to_size(l)]))
        for_each_worker(backend_, [&](B& worker, index_t which) { quantize_rows(worker, l, rows_of(which)); });
      else
        quantize_rows(backend_, l, {0, rows_});
  }
  /// The codes of some rows at a level, and what is left of the rows after it.
  void quantize_rows(B& worker, index_t level, row_range rows) {
    auto const rest = residual_rows(level + 1, rows);
    copy<T>(worker, residual_rows(level, rows).flat(), rest.flat());
    auto const codebooks = model_.codebooks();
    std::visit(
        [&](auto const& policy) {
          quantize_level<T>(worker, codebooks[to_size(level)], policy, rest, code_rows(level, rows));
        },
        assignments_[to_size(level)]);
  }

  bool revives(quantize_mode mode) const { return mode == quantize_mode::quantize && options_.revive_after > 0; }
  /// Moves the codes that have been no row's nearest for revive_after batches, level by level.
  void revive(in_vector<B, step_report> report) {
    auto const& c = model_.config();
    index_t first_code = 0;
    for (index_t l = 0; l < c.levels(); ++l) {
      auto const moment = [&](buffer<T, space>& all) {
        return nn::matrix_at(all.view_all(), model_.layout().find(detail::codebook_name(to_size(l))).offset,
                             c.codes[to_size(l)], c.latent_width);
      };
      revive_codes<T>(backend_, options_.revive_after,
                      {.nearest = nearest_rows(l), .before = residual(l), .after = residual(l + 1), .report = report},
                      {.vectors = model_.codebook(l),
                       .first_moments = moment(moments_.first),
                       .second_moments = moment(moments_.second),
                       .idle = idle_.view_all().part(first_code, c.codes[to_size(l)])},
                      squared_residuals_and_revived_.view_all().part(c.levels() + l, 1));
      first_code += c.codes[to_size(l)];
    }
  }
  /// The nearest code of each row at a level; at a balanced one, with the vectors after the update. A balanced
  /// assignment uses every code, including codes that are no row's nearest and would therefore never be assigned to an
  /// item.
  in_vector<B, code_t> nearest_rows(index_t level) {
    if (is_row_by_row(assignments_[to_size(level)])) return code_rows(level, {0, rows_});
    auto const found = nearest_memory_.view_all().part(0, rows_);
    nearest_assignment{}.template assign<T>(backend_, residual(level), model_.weights().codebooks[to_size(level)],
                                            found);
    return found;
  }

  void backpropagate(in_matrix<B, T> x, quantize_mode mode) {
    auto const& c = model_.config();
    for_each_worker(backend_, [&](B& worker, index_t which) {
      auto const mine = rows_of(which);
      backpropagate_rows(worker, mine, x.row_block(mine.first, mine.count), state(which).error.view_all());
      if (mode == quantize_mode::quantize) sum_residuals_by_code(worker, state(which), mine);
    });
    for_each_worker(backend_, [&](B& worker, index_t which) {
      pass_.weight_gradients(worker, {.of_weights = {which, backend_.workers()}}, x, windows_);
    });
    finish_codebook_gradient(mode);
    for (index_t l = 1; l <= c.levels(); ++l)
      sum_of_squares_into<T>(backend_, in_vector<B, T>(residual(l).flat()),
                             squared_residuals_and_revived_.view_all().part(l - 1, 1));
  }

  /// Backpropagates some rows of the batch, x (rows.count, d_in), and writes Σ (x̂ − x)² to error (1).
  void backpropagate_rows(B& worker, row_range rows, in_matrix<B, T> x, out_vector<B, T> error) {
    std::vector<in_matrix<B, T>> residuals;
    for (index_t l = 0; l <= model_.config().levels(); ++l) residuals.push_back(residual_rows(l, rows));
    pass_.decode_and_backpropagate(worker, {.rows = rows, .batch_rows = rows_, .x = x, .residuals = residuals}, error);
  }

  rq_vae_losses losses_of_batch() {
    double error = 0;
    for (auto const& worker : workers_)
      error += static_cast<double>(
          real_part(host_copy<T, space>(backend_, std::as_const(worker->error).view_all()).view_all()(0)));
    return losses_with(error, level_sums().squared_residuals);
  }
  struct sums_over_levels {
    double squared_residuals = 0;  // after each level
    index_t revived = 0;
  };
  sums_over_levels level_sums() {
    host_copy<double, space> const all(backend_, std::as_const(squared_residuals_and_revived_).view_all());
    sums_over_levels sums;
    for (index_t l = 0; l < model_.config().levels(); ++l) {
      sums.squared_residuals += all.view_all()(l);
      sums.revived += static_cast<index_t>(all.view_all()(model_.config().levels() + l));
    }
    return sums;
  }
  /// The losses of a batch with this Σ (x̂ − x)² and this Σ of the squared residuals after all levels.
  rq_vae_losses losses_with(double error, double squares) const {
    auto const& c = model_.config();
    auto const rows = static_cast<double>(rows_);
    rq_vae_losses losses;
    losses.reconstruction = error / (rows * static_cast<double>(c.input_width));
    losses.quantization = squares * ((1 + c.beta) / (rows * static_cast<double>(c.latent_width * c.levels())));
    losses.total = losses.reconstruction + c.quant_weight * losses.quantization;
    return losses;
  }

  /// Sums the residuals of some rows by code, which is the codebooks' gradient except for a factor, and counts the rows
  /// of each code.
  void sum_residuals_by_code(B& worker, worker_state& mine, row_range rows) {
    auto const& c = model_.config();
    fill<T>(worker, mine.code_sums.view_all(), T{});
    fill<T>(worker, mine.code_counts.view_all(), T{});
    index_t row = 0;
    for (index_t l = 0; l < c.levels(); ++l) {
      index_t const k = c.codes[to_size(l)];
      add_to_codes<T>(worker, residual_rows(l + 1, rows), code_rows(l, rows),
                      nn::matrix_at(mine.code_sums.view_all(), row * c.latent_width, k, c.latent_width),
                      mine.code_counts.view_all().part(row, k));
      row += k;
    }
  }

  /// d/dv of quant_weight / L · Σ mean (v − r)². The codebooks are contiguous in the flat buffer.
  void finish_codebook_gradient(quantize_mode mode) {
    auto const& first = model_.layout().find(detail::codebook_name(0));
    fill<T>(backend_, gradient_.view_all().part(first.offset, workers_.front()->code_sums.size()), T{});
    if (mode == quantize_mode::bypass) return;
    for (auto const& worker : workers_) add_codebook_gradient(backend_, *worker, gradient_.view_all());
  }
  /// Adds what sum_residuals_by_code() has summed.
  void add_codebook_gradient(B& b, worker_state const& from, out_vector<B, T> gradient) {
    auto const& c = model_.config();
    double const factor =
        -2 * c.quant_weight /
        (static_cast<double>(c.levels()) * static_cast<double>(rows_) * static_cast<double>(c.latent_width));
    auto const sums = from.code_sums.view_all();
    add_scaled<T>(b, factor, {sums.data, 1, sums.size()},
                  nn::matrix_at(gradient, model_.layout().find(detail::codebook_name(0)).offset, 1, sums.size()));
  }

  B& backend_;
  rq_vae<B, T>& model_;
  rq_vae_trainer_options options_;
  train::host_communicator communicator_;
  optim::adamw_state<B, T> moments_;
  std::vector<any_assignment> assignments_;        // (levels)
  buffer<std::int32_t, space> idle_;               // (Σ K)
  std::vector<buffer<T, space>> residual_memory_;  // (levels + 1) of (batch, width)
  buffer<code_t, space> code_memory_;              // (levels, batch)
  rq_vae_pass<B, T> pass_;
  buffer<T, space> gradient_;
  rq_vae_weights<T, space> windows_;  // of the gradient
  std::vector<std::unique_ptr<worker_state>> workers_;
  std::optional<train::rank_sums<B, T>> sums_;           // with shards
  std::vector<train::shard_gradients<B, T>> gradients_;  // of the shards of each worker
  buffer<T, space> shard_errors_;                        // (shards): Σ (x̂ − x)² of this rank's shards
  buffer<double, space> shard_residuals_;  // (levels, shards): Σ of the squared residuals after each level
  buffer<code_t, space> nearest_memory_;   // (batch): of a balanced level
  buffer<double, space> squared_residuals_and_revived_;  // (2, levels): after each level; codes of it that moved
  train::captured_update<B> step_;                       // used when updates are captured
  graph_cache<B, std::tuple<T const*, index_t, index_t, quantize_mode>> updates_{"an RQ-VAE's training step"};
  index_t rows_ = 0;
  double norm_ = 0;
};

}  // namespace mql4grec::quantize
