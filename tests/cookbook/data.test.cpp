// The recipes of docs/cookbook.md on data, features, quantizers and tokens.
#include <doctest/doctest.h>

#include "cookbook/shop.hpp"
#include "core/temporary_directory.hpp"
#include "mql4grec/core/npy.hpp"
#include "mql4grec/quantize/residual_kmeans/checkpoint.hpp"
#include "mql4grec/quantize/rq_vae/checkpoint.hpp"

using namespace mql4grec;
using namespace mql4grec::test;

TEST_CASE("cookbook: interactions in memory, and their split") {
  // example-begin interactions
  interactions data;
  auto const alice = data.add_user("alice", std::vector{item_id{3}, item_id{0}, item_id{4}, item_id{1}});
  data.item_count = 6;  // items 0 … 5; item 5 has no interactions

  item_id const target = catalog::target(data, alice, split::test);  // the last item
  auto const history = catalog::history(data, alice, split::test);   // the items before it, at most 20
  auto const training = catalog::training_items(data, alice);        // all but the last two
  bool const evaluated = catalog::is_evaluated(data, alice);         // at least three items
  // example-end interactions
  CHECK(target == item_id{1});
  CHECK(history.size() == 3);
  CHECK(training.size() == 2);
  CHECK(evaluated);
}

TEST_CASE("cookbook: tokens of codes") {
  // example-begin tokens
  // two modalities of two levels: text with 8 and 4 codes, images with 4 and 4
  vocabulary const vocab({.modalities = {{"a", {8, 4}}, {"A", {4, 4}}}});

  code_table codes(3, {8, 4});  // items 0 … 2
  codes.set(item_id{0}, std::vector{code_t{5}, code_t{1}});
  codes.set(item_id{2}, std::vector{code_t{5}, code_t{3}});  // item 1 has no text, so it gets no sequence

  token_table const tokens = to_tokens(codes.all(), vocab, modality::text);
  auto const first = tokens.of(item_id{0});
  std::string const text = vocab.text(first);  // "<a_5><b_1>"
  bool const missing = !tokens.has(item_id{1});
  // example-end tokens
  CHECK(text == "<a_5><b_1>");
  CHECK(missing);
}

TEST_CASE("cookbook: a dataset directory") {
  temporary_directory const root;
  auto const directory = root / "Shop";
  dataset const shop = shop_dataset();
  auto const& tokens = shop_vocabulary();
  // example-begin write_dataset
  catalog::dataset_paths const paths(directory);
  make_directory(directory);
  catalog::write_interactions(paths.interactions(), shop.interactions);  // Shop.inter.json
  catalog::write_items(paths.items(), shop.items);                       // Shop.item.json
  for (auto const kind : {modality::text, modality::image})              // Shop.index_*.json
    language::write_token_table(pipeline::index_path(paths, kind), shop.table(kind), tokens);
  // example-end write_dataset

  // example-begin read_dataset
  vocabulary const vocab = vocabulary_of({directory});  // the paper's, or larger if the token indices need it
  dataset const data = read_dataset(directory, vocab);
  index_t const users = data.interactions.users(), items = data.interactions.item_count;
  std::string const title = data.items.at(item_id{7}).title;
  // example-end read_dataset
  CHECK(users == 100);
  CHECK(items == 100);
  CHECK(title == shop.items.at(item_id{7}).title);
  CHECK(vocab == vocabulary());
}

TEST_CASE("cookbook: features") {
  temporary_directory const root;
  auto const path = root / "Shop.emb.npy";
  auto const matrix = catalog::make_synthetic_dataset({.items = 100, .users = 1}, 0).features[0];
  // example-begin features
  npy_writer file(path, 100, 48);  // or numpy.save
  file.append(view_of(matrix));    // any number of rows at a time
  file.commit();

  embed::npy_features const on_disk(path);                         // read in blocks; never whole in memory
  embed::matrix_features const in_memory(view_of(matrix));         // refers to the matrix
  auto const seen = embed::check_finite(on_disk, "Shop.emb.npy");  // throws for NaN; mean and variance
  auto const rows = embed::rows_with_features(on_disk);            // rows of zeros are items without features
  // example-end features
  CHECK(on_disk.rows() == in_memory.rows());
  CHECK(seen.mean.size() == 48);
  CHECK(rows.size() == 100);
}

TEST_CASE("cookbook: an RQ-VAE") {
  temporary_directory const root;
  auto const path = root / "model.safetensors";
  auto const matrix = catalog::make_synthetic_dataset({.items = 100, .users = 1}, 0).features[0];
  embed::matrix_features const features(view_of(matrix));
  // example-begin rq_vae
  cpu::backend backend(2);  // two threads
  rq_vae_config const shape{
      .input_width = features.width(), .hidden = {32}, .latent_width = 8, .codes = {16, 16, 16, 16}};
  rq_vae<cpu::backend, float> model(backend, shape);
  initialize(model, 42);  // seed

  rq_vae_training_options const options{.training = {.batch_size = 50}, .epochs = 20, .autoencoder_epochs = 5};
  quantize::rq_vae_trainer<cpu::backend, float> trainer(backend, model, options.training);
  quantize::rq_vae_progress progress;
  fit(trainer, features, options, progress);
  double const collisions = progress.history.back().evaluation->collision_rate;

  quantize::write_rq_vae(path, model);  // the tensor names of the authors' released code
  auto const same = quantize::read_rq_vae<float>(backend, path);
  // example-end rq_vae
  CHECK(progress.finished);
  CHECK(collisions < 1);
  CHECK(same.config().codes == shape.codes);

  // example-begin assign_codes
  auto const nearest = assign_codes(backend, model, features);
  code_table const& codes = nearest.codes;  // (items, levels)
  double const error = nearest.reconstruction_error;
  // example-end assign_codes
  CHECK(codes.items() == 100);
  CHECK(error > 0);
}

TEST_CASE("cookbook: residual k-means, and items that share codes") {
  temporary_directory const root;
  auto const path = root / "model.safetensors";
  auto const matrix = catalog::make_synthetic_dataset({.items = 100, .users = 1}, 0).features[0];
  embed::matrix_features const features(view_of(matrix));
  // example-begin residual_kmeans
  cpu::backend backend;
  auto const model = quantize::fit_residual_kmeans(backend, features, {.codes = {16, 16, 16}});
  quantize::write_residual_kmeans(path, model);
  // example-end residual_kmeans

  // example-begin collisions
  auto codes = assign_codes(backend, model, features).codes;  // the nearest codes: items may share a sequence
  auto const codebooks = model.codebooks();
  quantize::encoded_latents const latents(backend, model, features);
  // or quantize::match, suffix, keep_collisions
  quantize::collision_outcome const outcome = quantize::reallocate{}.resolve(
      backend, codes, std::span<quantize::codebook_view<cpu::backend, float> const>(codebooks), latents);
  bool const unique = quantize::check_uniqueness(codes).unique();
  // example-end collisions
  CHECK(unique);
  CHECK(outcome.moved <= outcome.colliding);

  // example-begin translate_catalog
  // the same in one call: nearest codes, collisions, statistics; then tokens of the vocabulary
  auto const translated =
      pipeline::translate_catalog(backend, model, features, {.rows = embed::rows_with_features(features)});
  vocabulary const vocab = pipeline::vocabulary_for(modality::text, translated.codes.sizes());
  token_table const tokens = to_tokens(translated.codes.all(), vocab, modality::text);
  // example-end translate_catalog
  CHECK(translated.codes == codes);
  CHECK(language::duplicate_items(tokens) == 0);
}

TEST_CASE("cookbook: a quantizer in a directory") {
  temporary_directory const root;
  auto const directory = root / "quantizer";
  auto const matrix = catalog::make_synthetic_dataset({.items = 100, .users = 1}, 0).features[0];
  embed::matrix_features const features(view_of(matrix));
  // example-begin train_quantizer
  cpu::backend backend;
  pipeline::quantizer_run const run{.out = directory,
                                    .model = {.hidden = {32}, .latent_width = 8, .codes = {16, 16, 16, 16}},
                                    .options = {.epochs = 20, .autoencoder_epochs = 5},
                                    .resume = true};  // continues a run that was stopped
  auto const result = pipeline::train_quantizer(backend, run, features, embed::check_finite(features, "features"));
  auto const model = quantize::read_rq_vae<float>(backend, directory / "model.safetensors");
  // example-end train_quantizer
  CHECK(result.status == train::run_status::finished);
  CHECK(model.input_width() == 48);
}
