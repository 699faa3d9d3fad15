// From files to recommendations, as the program's commands do it: writes a dataset directory, trains a model, loads
// both into a recommender, and requests recommendations with rules.
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

/// A model that is trained within a second.
seq2seq::t5_config const small = {
    .model_width = 32, .head_width = 16, .heads = 2, .inner_width = 64, .encoder_layers = 1, .decoder_layers = 1};

void print(char const* what, ranking const& best, catalog::item_descriptions const& items) {
  std::printf("%s\n", what);
  for (auto const item : best.items) std::printf("  %4d  %s\n", static_cast<int>(item), items.at(item).title.c_str());
}

}  // namespace

int main() {
  scratch_directory const scratch;
  std::filesystem::current_path(scratch.path);
  write_dataset("Shop", catalog::make_synthetic_dataset({.items = 100, .users = 200}, 0), vocabulary());

  // example-begin files
  // Shop/Shop.inter.json: the items of each user; Shop/Shop.index_*.json: the text and image tokens of each item
  vocabulary const vocab;  // four tokens for the text of an item and four for its image, each one of 256
  dataset const shop = read_dataset("Shop", vocab);

  cpu::backend backend(0);  // 0: all threads of the machine
  // small: the shape of a small T5. Without it and `.training`, shape and training are the paper's.
  train_model(backend, {.out = "model", .training = {.epochs = 2}, .model = small}, {{shop}, vocab});

  // Any number of threads may use a recommender, also while its items change.
  auto const service = recommender<>::load("model", "Shop");
  auto const bought = shop.interactions.of(user_id{0});
  recommendation const next = service.recommend(bought, {.k = 5, .exclude_seen = true});  // next.items, next.scores
  // example-end files

  item_filter guitars{.allow = item_list{}};  // only items of a category
  for (auto const& [item, description] : shop.items)
    if (description.title.ends_with("guitar")) guitars.allow->push_back(item);
  print("anything new", next, shop.items);
  print("a new guitar", service.recommend(bought, {.k = 5, .filter = guitars, .exclude_seen = true}), shop.items);
  print("for a user without a history", service.recommend({}, 5), shop.items);
  return 0;
}
