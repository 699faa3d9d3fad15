// From files to recommendations, as the program's commands do it: writes a dataset directory, trains a model, loads
// both into a recommender, and requests recommendations with allow and deny lists.
#include <cstdio>
#include <cstdlib>
#include <mql4grec/catalog/synthetic.hpp>
#include <mql4grec/mql4grec.hpp>

using namespace mql4grec;

namespace {

/// A temporary directory that is removed at exit.
struct scratch_directory {
  std::filesystem::path path;
  scratch_directory() {
    std::string name = (std::filesystem::temp_directory_path() / "mql4grec-XXXXXX").string();
    expects_file(::mkdtemp(name.data()) != nullptr, name, "can't be made");
    path = name;
  }
  ~scratch_directory() { std::filesystem::remove_all(path); }
};

void write_dataset(std::filesystem::path const& directory, catalog::synthetic_dataset const& shop,
                   vocabulary const& vocab) {
  catalog::dataset_paths const paths(directory);
  make_directory(directory);
  catalog::write_interactions(paths.interactions(), shop.interactions);
  catalog::write_items(paths.items(), shop.items);
  language::write_token_table(pipeline::index_path(paths, modality::text),
                              to_tokens(view_of(shop.codes[0]), vocab, modality::text), vocab);
  language::write_token_table(pipeline::index_path(paths, modality::image),
                              to_tokens(view_of(shop.codes[1]), vocab, modality::image), vocab);
}

/// A model small enough to be trained within a second. The defaults are the paper's.
pipeline::run_options small_run(std::filesystem::path const& out) {
  return {.out = out,
          .tasks = "next",
          .training = {.epochs = 2, .batch_size = 128, .learning_rate = 3e-3},
          .model = {.model_width = 32,
                    .head_width = 16,
                    .heads = 2,
                    .inner_width = 64,
                    .encoder_layers = 1,
                    .decoder_layers = 1}};
}

void print(char const* what, ranking const& best, catalog::item_descriptions const& items) {
  std::printf("%s\n", what);
  for (auto const item : best.items) std::printf("  %4d  %s\n", static_cast<int>(item), items.at(item).title.c_str());
}

}  // namespace

int main() {
  scratch_directory const scratch;
  auto const shop_path = scratch.path / "Instruments", model_path = scratch.path / "model";
  vocabulary const vocab;
  auto const shop = catalog::make_synthetic_dataset({.items = 100, .users = 200}, 0);
  write_dataset(shop_path, shop, vocab);

  // example-begin files
  // Shop/Shop.inter.json: interactions; Shop/Shop.index_*.json: the text tokens and the image tokens of every item
  dataset const data = read_dataset(shop_path, vocab);

  cpu::backend backend(0);  // 0: all threads of the machine
  train_model(backend, small_run(model_path), {{data}, vocab});

  // A recommender is immutable: any number of threads may use it, and a new one can be published meanwhile.
  auto const service = recommender<>::load(model_path, shop_path);

  auto const bought = data.interactions.of(user_id{0});
  item_filter const not_again{.allow = {}, .deny = {bought.begin(), bought.end()}};  // applied inside the beam search
  ranking const best = service.recommend(bought, 5, not_again);
  // example-end files

  item_filter guitars{.allow = item_list{},
                      .deny = not_again.deny};  // only items of a category, without those already bought
  for (auto const& [item, description] : data.items)
    if (description.title.ends_with("guitar")) guitars.allow->push_back(item);
  print("anything new", best, data.items);
  print("a new guitar", service.recommend(bought, 5, guitars), data.items);
  print("for a user without a history", service.recommend({}, 5), data.items);
  return 0;
}
