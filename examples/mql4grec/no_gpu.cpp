#include "gpu.hpp"

namespace mql4grec::program {

namespace {
[[noreturn]] void refuse() {
  detail::raise(
      "--backend gpu: this build has no GPU backend, expected cpu; `cmake --preset gpu` configures one that has");
}
}  // namespace

void check_gpu() { refuse(); }
run_result train_on_gpu(run_options, std::vector<dataset>, vocabulary const&, run_observer const&, precision) {
  refuse();
}
evaluation evaluate_on_gpu(std::filesystem::path const&, dataset const&, model_metadata const&, evaluation_options,
                           std::function<void(index_t, index_t)> const&, precision) {
  refuse();
}
translator_result train_translator_on_gpu(translator_run const&, present_features const&, feature_statistics const&,
                                          translator_run_observer const&, precision) {
  refuse();
}
translator_result learn_residual_kmeans_on_gpu(translator_run const&, residual_kmeans_options const&,
                                               present_features const&, std::function<bool()> const&) {
  refuse();
}
file_translator translator_on_gpu(std::filesystem::path const&) { refuse(); }
file_translator residual_kmeans_on_gpu(std::filesystem::path const&) { refuse(); }
ranking recommend_on_gpu(std::filesystem::path const&, model_metadata const&, std::vector<token_table> const&,
                         std::vector<item_id> const&, index_t, item_filter const&, precision) {
  refuse();
}

}  // namespace mql4grec::program
