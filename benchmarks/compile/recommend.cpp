// What a service compiles at least: a recommender is loaded and queried.
#include <cstdio>
#include <mql4grec/recommender.hpp>

int main(int, char** arguments) {
  // example-begin recommend
  using namespace mql4grec;
  auto const service = recommender<>::load(arguments[1], arguments[2]);  // directories of a model and of a dataset
  item_id const history[] = {item_id{12}, item_id{7}};
  for (auto const item : service.recommend(history, 10).items) std::printf("%d\n", static_cast<int>(item));
  // example-end recommend
}
