#include <mql4grec/mql4grec.hpp>

// A consumer embeds the whole system, not one header: a tiny model that recommends items of a catalog constructed here.
int main() {
  using namespace mql4grec;
  vocabulary const vocab;
  token_table table(modality::text, 3, 4);
  for (std::int32_t i = 0; i < 3; ++i) {
    token_t sequence[4];
    for (index_t level = 0; level < 4; ++level) sequence[level] = vocab.token(modality::text, level, code_t{i});
    table.set(item_id{i}, sequence);
  }
  cpu::backend backend;
  t5<cpu::backend, float> model(backend, {.vocabulary = vocab.size(),
                                          .model_width = 16,
                                          .head_width = 16,
                                          .heads = 1,
                                          .inner_width = 16,
                                          .encoder_layers = 1,
                                          .decoder_layers = 1});
  initialize(model, 1);
  auto const tasks = next_only();
  recommender<> const shop(backend, std::move(model), {vocab, tasks}, {table});
  item_id const history[] = {item_id{0}};
  return shop.recommend(history, 2, {.allow = {}, .deny = {item_id{1}}}).size() == 2 ? 0 : 1;
}
