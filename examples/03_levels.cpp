// How many levels do item codes need? Prints reconstruction error and collision rate for three, four and five codes per
// item, on items that the quantizer was trained on and on held-out items.
//
//   03_levels                     the built-in catalog; takes seconds
//   03_levels FEATURES.npy [300]  features in a file, for the given number of epochs
#include <cstdlib>
#include <iomanip>
#include <iostream>
#include <mql4grec/catalog/synthetic.hpp>
#include <mql4grec/mql4grec.hpp>

using namespace mql4grec;

namespace {

/// Trains on nine of ten items and evaluates both parts.
template <embed::FeatureSource F>
void compare(F const& features, rq_vae_config config, rq_vae_training_options const& options) {
  cpu::backend backend(0);
  auto order = epoch_order(features.rows(), options.seed, 1000);
  auto const boundary = order.begin() + static_cast<index_t>(order.size() / 10);
  embed::selected_features const seen(features, {boundary, order.end()}), unseen(features, {order.begin(), boundary});
  auto const statistics = embed::check_finite(seen, "features");
  embed::feature_scaling const scaling{statistics.mean, static_cast<float>(1 / std::sqrt(statistics.variance))};
  config.input_width = features.width();
  std::cout << features.rows() << " items of width " << features.width()
            << ", a tenth of them held out; errors are shares of the variance\n"
            << "levels   error: seen   held out   collisions: seen   held out\n"
            << std::fixed << std::setprecision(4);
  for (index_t levels : {3, 4, 5}) {
    config.codes.assign(static_cast<std::size_t>(levels), config.codes.front());
    auto level_options = options;
    level_options.training.epsilons.assign(static_cast<std::size_t>(levels), 0);
    level_options.training.epsilons.back() = 0.003;  // the last level is balanced, as in the paper
    rq_vae<cpu::backend, float> model(backend, config);
    initialize(model, options.seed);
    quantize::rq_vae_trainer trainer(backend, model, level_options.training);
    quantize::rq_vae_progress progress;
    fit(trainer, embed::scaled_features(seen, scaling), level_options, progress);
    auto const a = quantize::evaluate_quantizer(backend, model, embed::scaled_features(seen, scaling));
    auto const b = quantize::evaluate_quantizer(backend, model, embed::scaled_features(unseen, scaling));
    std::cout << levels << std::setw(20) << a.reconstruction_error << std::setw(11) << b.reconstruction_error
              << std::setw(19) << a.collision_rate << std::setw(11) << b.collision_rate << std::endl;
  }
}

}  // namespace

int main(int count, char** arguments) {
  try {
    rq_vae_training_options options{.epochs = 30, .evaluate_every = 1000, .kmeans_iterations = 10};
    if (count > 1) {
      options.epochs = count > 2 ? std::atoi(arguments[2]) : 300;
      compare(embed::npy_features(arguments[1]), {}, options);
    } else {
      auto const shop = catalog::make_synthetic_dataset({}, 3);
      options.training.batch_size = 128;
      compare(embed::matrix_features(view_of(shop.features.front())),
              {.hidden = {64}, .latent_width = 16, .codes = {16}}, options);
    }
  } catch (error const& e) {
    std::cerr << "03_levels: " << e.what() << "\n";
    return 1;
  }
  return 0;
}
