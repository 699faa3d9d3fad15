#pragma once
// Training steps on a device_dataset: the host uploads which examples to use, the learning rate and the number of the
// update; the backend builds the batch, computes and clips the gradient, and updates the parameters. The whole step is
// captured once for each shape of a batch and launched afterwards.
//
//     host      upload numbers, inputs ───────────────────────────────────────► download report
//     backend                          └► gather ─► gradient, loss ─► update ─┘   (captured once, launched every step)
//
// How the preconditions of graph_cache are met:
// 1. The key contains the batch's shape, the number of the dataset's memory and the addresses of the distance buckets;
//    options, model and moments are those of one trainer, and a trainer doesn't change them.
// 2. Numbers of examples and step_inputs are uploaded before the launch, to the same addresses each time.
// 3. The graphs are dropped when the memory of the examples' numbers grows.
#include "mql4grec/backend/contract/graph_cache.hpp"
#include "mql4grec/optim/gradient.hpp"
#include "mql4grec/seq2seq/device_dataset.hpp"
#include "mql4grec/seq2seq/pass.hpp"
#include "mql4grec/seq2seq/training.hpp"
#include "mql4grec/train/captured_update.hpp"
#include "mql4grec/train/communicator.hpp"

namespace mql4grec::seq2seq {

/// The operations that training on a device_dataset requires of a backend.
template <class B, class T>
concept CapturedStepOps =
    PackingOps<B> && train::CapturedUpdateOps<B, T> && TransferOps<B, index_t> && TransferOps<B, step_inputs>;

/// Whether captured steps do what the options ask for: they have one learning rate, one gradient for a batch, sums in
/// an order of their own, and whole moments. Otherwise a trainer's steps by batches do it; they take longer, since the
/// host writes each batch and starts each kernel.
inline bool can_be_captured(training_options const& o) {
  return o.layer_decay == 1 && o.surgery == gradient_groups::none && o.gradient_shards == 0 && !o.sharded_moments;
}

namespace detail {

/// The trainer's members that a captured step uses.
template <class B, class T, class Comm>
struct captured_step_parts {
  B& backend;
  t5<B, T>& model;
  training_options const& options;
  Comm const& communicator;
  optim::adamw_state<B, T>& moments;
  t5_pass<B, T>& pass;
  t5_weights<T, typename B::memory_space> const& windows;  // of the gradient
  out_vector<B, T> gradient;
};

/// Some examples of a device_dataset.
template <class B>
struct device_selection {
  device_dataset<B> const& dataset;
  in_vector<B, index_t> which;  // (examples) their numbers
  captured_shape shape;         // dataset.shape_of(which)
};

/// The selected examples as a micro-batch in the scratch. Rows beyond the examples belong to filler sequences.
template <class B>
token_block<B> gather_block(B& b, device_selection<B> const& selected, t5_config const& c, index_t first_row) {
  auto const& dataset = selected.dataset;
  auto const& shape = selected.shape;
  auto const gather = [&](auto const& all, index_t rows, token_t filler) {
    packed_tokens<typename B::memory_space> const place{take<token_t>(b, rows),
                                                        take<index_t>(b, shape.sequences() + 1)};
    gather_sequences(b, all, selected.which, filler, place);
    return place;
  };
  // the number of pairs is in the backend's memory; this is an upper bound
  auto const rows_of = [&](auto const& place, index_t longest) {
    return packed_rows<B>{.offsets = place.offsets,
                          .rows = place.tokens.size(),
                          .longest = longest,
                          .pairs = place.tokens.size() * longest,
                          .first_row = first_row};
  };
  auto const inputs = gather(dataset.inputs(), shape.input_rows, c.pad),
             targets = gather(dataset.targets(), shape.target_rows, no_target);
  token_block<B> block{.inputs = inputs.tokens,
                       .targets = targets.tokens,
                       .decoder_inputs = {},
                       .input_rows = rows_of(inputs, shape.longest_input),
                       .target_rows = rows_of(targets, shape.longest_target),
                       .cross_pairs = shape.target_rows * shape.longest_input};
  block.decoder_inputs = take_shifted(b, block.targets, block.target_rows, c);
  return block;
}

/// The captured work of a trainer: training steps, validation steps and, with several processes, updates.
template <Backend B, class T, class Comm>
class captured_step {
 public:
  explicit captured_step(B& b) : step_(b), total_(b.template allocate<double>(1)) {}

  /// One update by this process' examples and those of the other processes. Doesn't change moments.step; the trainer
  /// does.
  step_report update(captured_step_parts<B, T, Comm> const& t, device_dataset<B> const& from,
                     std::span<index_t const> which, step_inputs const& inputs) {
    B& b = t.backend;
    auto const mine = upload_numbers(b, which);
    auto const shape = from.shape_of(which);
    step_.upload_inputs(b, inputs);
    auto const compute_gradient = [&] {
      scratch_scope<B> const scope(b.scratch());
      nn::dropout_plan const plan{.rate = t.options.dropout, .seed = t.options.seed, .step_place = step_.step_place()};
      fill<T>(b, t.gradient, T{});
      auto const block = gather_block<B>(b, {.dataset = from, .which = mine, .shape = shape}, t.model.config(),
                                         t.communicator.rank() << rank_bits);
      sum_into<T>(b, t.pass.take_losses_and_gradient(block, plan, {.sum = t.windows}), step_.loss());
    };
    auto const apply_update = [&] {
      step_.template update<T>(b, t.options.optimizer, t.options.hidden_optimizer, t.model.layout(),
                               {t.gradient, t.model.parameters(), t.moments});
    };
    if (t.communicator.world_size() == 1) {
      updates_.run(b, key_of(t, shape), [&] {
        compute_gradient();
        apply_update();
      });
    } else {  // shapes differ between processes, but what they do together must be the same call in all
      expects(t.communicator.world_size() <= index_t{1} << (32 - rank_bits), "training: ", t.communicator.world_size(),
              " processes, expected at most ", index_t{1} << (32 - rank_bits));
      updates_.run(b, key_of(t, shape), compute_gradient);
      t.communicator.all_reduce(b, t.gradient);
      t.communicator.all_reduce(b, step_.loss());
      update_alone_.run(b, 0, apply_update);
    }
    return step_.download_report(b);
  }

  /// Returns the sum of the losses without dropout over the examples of all processes.
  double sum_of_losses(captured_step_parts<B, T, Comm> const& t, device_dataset<B> const& from,
                       std::span<index_t const> which) {
    constexpr std::size_t together = 1024;  // as a batch of training, so that no more scratch is needed
    B& b = t.backend;
    fill<double>(b, total_.view_all(), 0);
    for (; !which.empty(); which = which.subspan(std::min(which.size(), together))) {
      auto const some = which.first(std::min(which.size(), together));
      auto const mine = upload_numbers(b, some);
      auto const shape = from.shape_of(some);
      losses_.run(b, key_of(t, shape), [&] {
        scratch_scope<B> const scope(b.scratch());
        auto const block = gather_block<B>(b, {.dataset = from, .which = mine, .shape = shape}, t.model.config(), 0);
        sum_into<T>(b, t.pass.take_losses(block, {}), step_.loss());
        accumulate<double>(b, step_.loss(), total_.view_all());
      });
    }
    if (t.communicator.world_size() > 1) t.communicator.all_reduce(b, total_.view_all());
    return host_copy<double, space>(b, std::as_const(total_).view_all()).view_all()(0);
  }

 private:
  using space = typename B::memory_space;
  static constexpr int rank_bits = 26;  // of the row numbers that dropout uses: the rank is above them

  /// Uploads the numbers of examples to the place where the captured work reads them.
  in_vector<B, index_t> upload_numbers(B& b, std::span<index_t const> which) {
    reserve(b, std::ssize(which));
    auto const place = which_.view_all().part(0, std::ssize(which));
    upload<index_t>(b, view_of(which), place);
    return place;
  }
  void reserve(B& b, index_t examples) {
    if (which_.size() >= examples) return;
    which_ = b.template allocate<index_t>(std::max<index_t>(examples, 1024));
    updates_.forget();
    losses_.forget();
  }

  using key = std::pair<captured_shape, std::pair<index_t const*, index_t const*>>;
  static key key_of(captured_step_parts<B, T, Comm> const& t, captured_shape const& shape) {
    return {shape, t.pass.buckets_of(shape.longest_input, shape.longest_target)};
  }

  buffer<index_t, space> which_;  // (examples) their numbers
  train::captured_update<B> step_;
  buffer<double, space> total_;  // (1) Σ of a set's losses
  graph_cache<B, key> updates_{"a training step"}, losses_{"a validation step"};
  graph_cache<B, int> update_alone_{"an update"};  // with several processes, after their gradients are added
};

/// For backends without CapturedStepOps.
struct no_captured_steps {
  template <class B>
  explicit no_captured_steps(B&) {}
};

}  // namespace detail
}  // namespace mql4grec::seq2seq
