#pragma once
// A training step. The batch is cut into micro-batches of equal cost, and each shard gets as many consecutive ones. The
// gradients of a shard's micro-batches are added one after the other, those of the shards in the order of a tree
// (optim/gradient.hpp). The cut depends only on the batch and the number of shards: the same seed and number of shards
// give the same bits, whichever workers of whichever ranks compute them. Without a number of shards in the options,
// every worker of every rank has one. A backend with its own memory can use a device_dataset instead of a batch; see
// captured_step.hpp.
//
//     batch           ▏micro-batches of shard 0 ▏ of shard 1 ▏ of shard 2 ▏ of shard 3 ▏
//     rank, worker     0, 0                       0, 1         1, 0         1, 1
//
// With several ranks, a thread sums over the ranks what is final of the gradient while the workers are in the backward
// pass of their last micro-batches; after it, the workers sum what is left.
#include <chrono>
#include <cmath>
#include <functional>
#include <future>
#include <memory>
#include <numeric>

#include "mql4grec/backend/contract/precision.hpp"
#include "mql4grec/backend/contract/row_blocks.hpp"
#include "mql4grec/core/random.hpp"
#include "mql4grec/optim/gradient.hpp"
#include "mql4grec/optim/gradient_surgery.hpp"
#include "mql4grec/seq2seq/captured_step.hpp"
#include "mql4grec/seq2seq/layer_rates.hpp"
#include "mql4grec/seq2seq/shared_batch.hpp"
#include "mql4grec/seq2seq/training.hpp"
#include "mql4grec/train/backward_progress.hpp"
#include "mql4grec/train/communicator.hpp"
#include "mql4grec/train/rank_sums.hpp"
#include "mql4grec/train/shard_gradients.hpp"

namespace mql4grec::seq2seq {

/// Numbered examples that can be written repeatedly. The tokens of example i in an epoch are a function of (seed,
/// epoch, i). write must be const and safe to call from another thread.
template <class S>
concept ExampleSource = requires(S const& source, index_t i, std::uint64_t seed, tasks::batch& out) {
  { source.size() } -> std::convertible_to<index_t>;
  source.write(i, seed, seed, out);  // (example, seed, epoch, where to)
};

/// The time of the sums of gradients over the ranks, in seconds; the waiting for other ranks is included.
struct sum_times {
  double all = 0;     ///< of all sums
  double hidden = 0;  ///< of these, those that passed while the rank was in its backward pass
};

/// Trains a T5 with AdamW. One object per rank; the communicator connects several. Not thread-safe: it uses the
/// backend's workers itself.
template <Backend B, class T, train::Communicator<B, T> Comm = train::single_process>
class trainer {
  using space = typename B::memory_space;

 public:
  /// The backend.
  using backend_type = B;
  /// The scalar of parameters and gradients.
  using scalar_type = T;

  /// Backend and model must outlive the trainer. Allocates a gradient per worker, a few more for workers with several
  /// shards, and the moments. Throws error for invalid options, and for fewer shards than ranks.
  trainer(B& backend, t5<B, T>& model, training_options const& options, Comm communicator = {})
      : backend_(backend),
        model_(model),
        options_(checked(options, products_of(backend))),
        communicator_(std::move(communicator)),
        sums_(shards_of(options, backend.workers() * communicator_.world_size()), communicator_.rank(),
              communicator_.world_size(), model.layout().size()),
        ranges_(ranges_of_gradient(model, overlaps() ? options.sum_entries : 0)),
        moments_(backend, model.layout().size()),
        rates_(layer_rates(model.config(), model.layout(), options.layer_decay)),
        product_weights_(product_weights(model.config(), model.weights())),
        captured_step_(backend) {
    auto const expect_equal = [&](char const* what, auto value) {
      train::expect_equal(communicator_, backend, what, static_cast<std::uint64_t>(value));
    };
    expect_equal("the number of gradient shards or of workers", sums_.shards());
    expect_equal("sum_entries", options.sum_entries);
    expect_equal("block_tokens", options.block_tokens);
    expect_equal("sharded_moments", options.sharded_moments);
    expect_equal("surgery", options.surgery);
    for (index_t i = 0; i < backend.workers(); ++i)
      workers_.push_back(std::make_unique<worker_state>(backend.worker(i), model, own_shards(i), sums_.shards()));
    windows_ = t5_windows(model.config(), model.layout(), sum());
  }

  /// The backend.
  B& backend() { return backend_; }
  /// The options.
  training_options const& options() const { return options_; }
  /// The model.
  t5<B, T>& model() { return model_; }
  /// The model.
  t5<B, T> const& model() const { return model_; }
  /// AdamW's moments and the number of updates. With sharded_moments and several ranks, an update leaves those of this
  /// rank's part of the parameters; see collect_moments().
  optim::adamw_state<B, T>& moments() { return moments_; }
  /// AdamW's moments and the number of updates.
  optim::adamw_state<B, T> const& moments() const { return moments_; }
  /// Makes the moments whole on rank 0 until the next update. All ranks call it.
  void collect_moments() {
    if (std::exchange(whole_on_first_rank_, true)) return;
    bool const is_first = communicator_.rank() == 0;
    std::vector<index_t> sent(to_size(communicator_.world_size() + 1), sums_.own_part().count),
        received(sent.size(), 0);
    sent.front() = 0;  // all goes to rank 0
    if (is_first) std::ranges::copy(sums_.offsets(), received.begin());
    for (auto* one : {&moments_.first, &moments_.second}) {
      auto whole = backend_.template allocate<T>(is_first ? model_.layout().size() : 0);
      communicator_.all_to_all(backend_, std::as_const(*one).view_all(), std::span<index_t const>(sent),
                               whole.view_all(), std::span<index_t const>(received));
      if (is_first) *one = std::move(whole);
    }
  }

  /// Sets `all` to a batch of so many sequence pairs for step(); write(i, to) appends pair i to a batch. With several
  /// ranks, each writes only the pairs of its shards, and a few more: others have their length, and zeros as tokens.
  /// All ranks call it.
  template <class Write>
  void write_batch(index_t pairs, Write const& write, tasks::batch& all) {
    if (communicator_.world_size() > 1)
      return writer_.write(backend_, communicator_, {.cut = how_to_cut(), .shards = sums_.own_shards()}, pairs, write,
                           all);
    all.clear();
    for (index_t i = 0; i < pairs; ++i) write(i, all);
  }

  /// One update by a batch, of which a rank needs the tokens of its own shards only; see write_batch(). Returns the
  /// batch's mean loss per token in nats. Throws training_error if the loss or the gradient isn't finite; parameters
  /// and moments are then unchanged.
  double step(tasks::batch const& all, double learning_rate) {
    double const tokens = static_cast<double>(all.targets.size());
    auto const [loss, norm] = compute_gradient(all, tokens, options_.seed);
    finish_step(learning_rate, tokens, loss, norm);
    return loss / tokens;
  }

  /// One update by a batch that is divided into groups, whose conflicting gradients are projected; see
  /// optim/gradient_surgery.hpp. Groups may be empty, but not all of them. Returns and throws as step().
  double step(std::span<tasks::batch const> groups, double learning_rate) {
    double tokens = 0, loss = 0;
    for (auto const& group : groups) tokens += static_cast<double>(group.targets.size());
    expects(tokens > 0, "training: a batch without targets");
    std::vector<out_vector<B, T>> gradients;
    for (std::size_t g = 0; g < groups.size(); ++g) {
      if (groups[g].size() == 0) continue;
      // equal rows of different groups have different masks of dropout
      loss += compute_gradient(groups[g], tokens, options_.seed + g * 0x9E3779B97F4A7C15).first;
      if (gradients.size() == group_gradients_.size())
        group_gradients_.push_back(backend_.template allocate<T>(model_.layout().size()));
      gradients.push_back(group_gradients_[gradients.size()].view_all());
      copy<T>(backend_, gradient(), gradients.back());
    }
    random_stream const order(options_.seed, surgery_purpose << 56 | static_cast<std::uint64_t>(moments_.step));
    double const norm =
        optim::combine_gradients<T>(backend_, std::span<out_vector<B, T> const>(gradients), order, sum());
    finish_step(learning_rate, tokens, loss, norm);
    return loss / tokens;
  }

  /// One update by the examples `which` of a device_dataset; the host downloads only the loss and the norm. With
  /// several processes, each uses its share of `which`, with dropout of its own. Afterwards gradient() is the sum over
  /// the tokens, not the mean.
  double step(device_dataset<B> const& from, std::span<index_t const> which,
              double learning_rate) requires CapturedStepOps<B, T> {
    expects(can_be_captured(options_), "training: a step on a device_dataset with options that it doesn't have; see ",
            "can_be_captured()");
    auto const tokens = from.target_tokens(which);
    auto const report = captured_step_.update(parts(), from, share_of(which),
                                              {learning_rate, static_cast<double>(tokens), moments_.step + 1});
    optim::expect_finite(moments_.step + 1, report);
    ++moments_.step;
    return report.loss;
  }

  /// The mean loss per token without dropout over a device_dataset; 0 if it is empty.
  double mean_loss(device_dataset<B> const& from) requires CapturedStepOps<B, T> {
    std::vector<index_t> all(to_size(from.size()));
    std::iota(all.begin(), all.end(), index_t{0});
    double const tokens = static_cast<double>(from.target_tokens(all));
    return tokens > 0 ? captured_step_.sum_of_losses(parts(), from, share_of(all)) / tokens : 0;
  }

  /// The mean loss per token without dropout over all examples of the source, as written in epoch 0; 0 if it is empty.
  template <ExampleSource Source>
  double mean_loss(Source const& source) {
    double sum = 0, tokens = 0;
    for (index_t first = 0; first < source.size(); first += evaluation_batch) {
      write_batch(
          std::min<index_t>(source.size() - first, evaluation_batch),
          [&](index_t i, tasks::batch& to) { source.write(first + i, options_.seed, 0, to); }, batch_);
      cut(batch_);
      [[maybe_unused]] auto const packed = nn::packed_for_products<T>(backend_, weights_worth_packing());
      for_each_worker(backend_, [&](B&, index_t which) {
        auto const mine = own_shards(which);
        for (index_t shard = mine.first; shard < mine.first + mine.count; ++shard)
          store_losses(shard, [&](std::size_t part, bool) {
            return workers_[to_size(which)]->pass.loss(batch_, micro_batches_[part]);
          });
      });
      sum += sum_of_losses();
      tokens += static_cast<double>(batch_.targets.size());
    }
    return tokens > 0 ? sum / tokens : 0;
  }

  /// The time of the sums over the ranks in all steps so far.
  sum_times const& time_of_sums() const { return time_of_sums_; }

  /// The gradient of the last step, before clipping; with sharded_moments and several ranks, only this rank's part of
  /// it is the sum.
  in_vector<B, T> gradient() const { return std::as_const(workers_.front()->gradients).front(); }

 private:
  using clock_type = std::chrono::steady_clock;
  static double seconds_since(clock_type::time_point start) {
    return std::chrono::duration<double>(clock_type::now() - start).count();
  }
  static constexpr index_t evaluation_batch = 4096;
  static constexpr std::uint64_t surgery_purpose = 0x73;  // the top byte of its stream of random numbers

  struct worker_state {
    train::shard_gradients<B, T> gradients;
    t5_pass<B, T> pass;

    worker_state(B& worker, t5<B, T> const& model, row_range shards, index_t all_shards)
        : gradients(worker, shards, all_shards, model.layout().size()), pass(worker, model) {}
  };

  static index_t shards_of(training_options const& options, index_t workers) {
    return options.gradient_shards > 0 ? options.gradient_shards : workers;
  }

  static training_options const& checked(training_options const& options, precision products) {
    validate(options);
    expects(products != precision::int8, "training: int8 products are for frozen weights; expected another precision");
    return options;
  }

  /// The members that a captured step uses.
  detail::captured_step_parts<B, T, Comm> parts() {
    return {backend_, model_, options_, communicator_, moments_, workers_.front()->pass, windows_, sum()};
  }
  /// The place of gradient(): where the gradient of the first shard is computed.
  out_vector<B, T> sum() { return workers_.front()->gradients.front(); }
  std::span<index_t const> share_of(std::span<index_t const> which) const {
    auto const place = [&](index_t rank) { return to_size(std::ssize(which) * rank / communicator_.world_size()); };
    return which.subspan(place(communicator_.rank()), place(communicator_.rank() + 1) - place(communicator_.rank()));
  }

  /// The first ranges that have been summed, and the seconds that it took.
  struct summed_ranges {
    std::size_t count = 0;
    double seconds = 0;
  };
  /// Sums what becomes final while the workers compute, as long as it exists, on a thread of its own.
  class sums_beside {
   public:
    explicit sums_beside(trainer& of) : of_(of) {
      of.progress_.begin(of.backend_.workers(), of.model_.layout().size());
      if (of.sums_beside_workers()) summed_ = std::async(std::launch::async, [&of] { return of.sum_final_ranges(); });
    }
    sums_beside(sums_beside const&) = delete;
    sums_beside& operator=(sums_beside const&) = delete;
    ~sums_beside() { of_.progress_.stop(); }  // after an exception; the future waits for the thread
    /// To be called after the backward pass: ends the thread.
    summed_ranges end() {
      of_.progress_.stop();
      return summed_.valid() ? summed_.get() : summed_ranges{};
    }

   private:
    trainer& of_;
    std::future<summed_ranges> summed_;
  };

  /// Sets gradient() to that of the batch's summed loss, divided by `tokens`. Returns the summed loss and the
  /// gradient's norm.
  std::pair<double, double> compute_gradient(tasks::batch const& all, double tokens, std::uint64_t dropout_seed) {
    cut(all);
    nn::dropout_plan const plan{
        .rate = options_.dropout, .seed = dropout_seed, .step = static_cast<std::uint32_t>(moments_.step + 1)};
    {
      sums_beside beside(*this);
      {
        [[maybe_unused]] auto const packed = nn::packed_for_products<T>(backend_, weights_worth_packing());
        for_each_worker(backend_, [&](B& worker, index_t which) {
          auto& pass = workers_[to_size(which)]->pass;
          add_shards(worker, which, 1 / tokens, [&](std::size_t part, gradient_target<T, space> const& target) {
            return pass.loss_and_gradient(all, micro_batches_[part], plan, target);
          });
        });
      }
      finish_sums(beside);
    }
    double const loss = sum_of_losses();
    return {loss, norm_of_gradient()};
  }
  /// Sets the nodes of a worker to the gradients of its shards' micro-batches, multiplied by `scale`, and stores the
  /// losses that loss_and_gradient(number of the micro-batch, where to add its gradient) returns.
  template <class LossAndGradient>
  void add_shards(B& worker, index_t which, double scale, LossAndGradient const& loss_and_gradient) {
    auto const shards = own_shards(which);
    workers_[to_size(which)]->gradients.add(worker, [&](index_t shard, out_vector<B, T> gradient) {
      auto const windows = t5_windows(model_.config(), model_.layout(), gradient);
      bool const is_last = shard + 1 == shards.first + shards.count;
      std::function<void(T const*)> when_final;
      if (is_last && sums_beside_workers())
        when_final = [&](T const* first) { progress_.reach(which, first - gradient.data); };
      store_losses(shard, [&](std::size_t part, bool last_of_shard) {
        return loss_and_gradient(
            part, {.sum = windows, .scale = scale, .when_final = when_final && last_of_shard ? &when_final : nullptr});
      });
    });
    progress_.reach(which, 0);
  }

  /// Whether sums over the ranks go on beside the backward pass. On devices they don't: the host is not where the work
  /// is done; nor with sharded moments: nearly every range would be one rank's part, which would add it alone.
  bool overlaps() const {
    return std::same_as<space, host_space> && communicator_.world_size() > 1 && !options_.sharded_moments;
  }
  bool sums_beside_workers() const { return overlaps() && ranges_.size() > 1; }
  static std::vector<train::gradient_range> ranges_of_gradient(t5<B, T> const& model, index_t at_least) {
    auto const& w = model.weights();
    std::vector<index_t> reported;  // as the backward pass does
    auto const add = [&](auto const& matrix) { reported.push_back(matrix.data - model.parameters().data); };
    for (auto l = w.decoder.size(); l-- > 0;) add(w.decoder[l].qkv);
    add(w.cross_key_value);
    for (auto l = w.encoder.size(); l-- > 0;) add(w.encoder[l].qkv);
    return train::ranges_of(reported, model.layout().decayed(), model.layout().size(), at_least);
  }
  /// The work of the thread beside the backward pass.
  summed_ranges sum_final_ranges() {
    summed_ranges done;
    for (; done.count < ranges_.size() && progress_.wait(ranges_[done.count].final_at); ++done.count)
      done.seconds += sum_range(ranges_[done.count], train::adding_threads::caller);
    return done;
  }
  /// Sums the ranges that the thread beside the backward pass has left.
  void finish_sums(sums_beside& beside) {
    auto const start = clock_type::now();
    auto const done = beside.end();
    time_of_sums_.hidden += std::max(0.0, done.seconds - seconds_since(start));
    time_of_sums_.all += done.seconds;
    for (auto next = done.count; next < ranges_.size(); ++next)
      time_of_sums_.all += sum_range(ranges_[next], train::adding_threads::all_workers);
  }
  /// Sets a range of gradient() to the sum over all shards of all ranks; with sharded_moments, this rank's part of it.
  /// Returns the seconds that the ranks' sum took.
  double sum_range(train::gradient_range const& range, train::adding_threads who) {
    std::vector<typename train::rank_sums<B, T>::node> nodes;
    for (auto const& worker : workers_)
      for (auto const& node : worker->gradients.nodes())
        nodes.push_back({node.first, node.size, node.gradient.part(range.first, range.count)});
    sums_.add(backend_, who, nodes);
    if (communicator_.world_size() == 1) return 0;
    auto const start = clock_type::now();
    auto const parts = has_parts() ? sums_.owned_parts(range) : sums_.equal_parts(range);
    sums_.reduce_scatter(backend_, communicator_, who, parts, nodes);
    if (!has_parts() || options_.surgery != gradient_groups::none)
      communicator_.all_gather(backend_, nodes.front().gradient, std::span<index_t const>(parts));
    return seconds_since(start);
  }
  double norm_of_gradient() {
    auto squares = optim::squares_of_parts<T>(backend_, gradient(), sums_.shards(), sums_.own_shards());
    communicator_.all_reduce(backend_, std::span(squares));
    return std::sqrt(std::accumulate(squares.begin(), squares.end(), 0.0));
  }
  /// Clips the gradient and updates the parameters, for a summed loss over `tokens` tokens.
  void finish_step(double learning_rate, double tokens, double loss, double norm) {
    std::int64_t const number = moments_.step + 1;
    step_report const report{loss / tokens, norm, clipping_factor(options_.optimizer.clip_norm, norm)};
    optim::expect_finite(number, report);
    update({learning_rate, tokens, number}, report);
  }

  /// The update by the gradient of the mean loss.
  void update(step_inputs const& inputs, step_report const& report) {
    row_range own{0, model_.layout().size()};
    if (has_parts()) {
      own = sums_.own_part();
      keep_own_moments();
    }
    optim::update_operands<B, T> const on{gradient().part(own.first, own.count),
                                          model_.parameters().part(own.first, own.count), moments_, rates_, own.first};
    optim::update_all<T>(backend_, {options_.optimizer, options_.hidden_optimizer}, {inputs, report}, model_.layout(),
                         on);
    if (has_parts()) communicator_.all_gather(backend_, model_.parameters(), sums_.offsets());
  }
  /// Whether this rank updates a part of the parameters only.
  bool has_parts() const { return options_.sharded_moments && communicator_.world_size() > 1; }
  void keep_own_moments() {
    whole_on_first_rank_ = false;
    auto const own = sums_.own_part();
    if (moments_.first.size() == own.count) return;
    for (auto* one : {&moments_.first, &moments_.second}) {
      auto part = backend_.template allocate<T>(own.count);
      copy<T>(backend_, std::as_const(*one).view_all().part(own.first, own.count), part.view_all());
      *one = std::move(part);
    }
  }

  /// The shards of one of this rank's workers.
  row_range own_shards(index_t worker) const {
    return train::shards_of_worker(sums_.own_shards(), {worker, backend_.workers()});
  }
  micro_batch_options how_to_cut() const { return {.tokens = options_.block_tokens, .shards = sums_.shards()}; }
  void cut(tasks::batch const& all) {
    cut_into_micro_batches(all, how_to_cut(), micro_batches_);
    losses_.assign(micro_batches_.size(), 0);
  }
  /// The weights that this batch's micro-batches multiply by; none if packing them takes longer than it saves. Packed
  /// ones give other bits, so this must not depend on the number of ranks.
  std::span<plain_weight<space, T> const> weights_worth_packing() const {
    constexpr std::size_t enough = 8;
    if (micro_batches_.size() < enough) return {};
    return product_weights_;
  }
  /// Stores loss_of(its number, whether it is the shard's last) for each micro-batch of a shard.
  template <class LossOf>
  void store_losses(index_t shard, LossOf const& loss_of) {
    auto const mine = worker_share{shard, sums_.shards()}.of(std::ssize(micro_batches_));
    auto const end = to_size(mine.first + mine.count);
    for (auto s = to_size(mine.first); s < end; ++s) losses_[s] = static_cast<double>(loss_of(s, s + 1 == end));
  }
  double sum_of_losses() {
    communicator_.all_reduce(backend_, std::span(losses_));  // zeros of all ranks but one: exact
    return std::accumulate(losses_.begin(), losses_.end(), 0.0);
  }

  B& backend_;
  t5<B, T>& model_;
  training_options options_;
  Comm communicator_;
  train::rank_sums<B, T> sums_;
  std::vector<train::gradient_range> ranges_;  // in the order in which they are summed
  train::backward_progress progress_;
  sum_times time_of_sums_;
  optim::adamw_state<B, T> moments_;
  bool whole_on_first_rank_ = true;  // the moments
  std::vector<optim::rate_segment> rates_;
  std::vector<std::unique_ptr<worker_state>> workers_;
  t5_weights<T, space> windows_;  // of gradient()
  std::vector<plain_weight<space, T>> product_weights_;
  std::vector<buffer<T, space>> group_gradients_;  // of gradient surgery, allocated when they are needed
  std::vector<tasks::micro_batch> micro_batches_;
  std::vector<double> losses_;
  detail::shared_batch_writer writer_;
  tasks::batch batch_;
  [[no_unique_address]] std::conditional_t<CapturedStepOps<B, T>, detail::captured_step<B, T, Comm>,
                                           detail::no_captured_steps>
      captured_step_;
};

}  // namespace mql4grec::seq2seq
