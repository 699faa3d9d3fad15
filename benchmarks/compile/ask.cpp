// A service's least: a recommender is loaded and asked.
#include <cstdio>
#include <mql4grec/mql4grec.hpp>

int main(int, char** arguments) {
  using namespace mql4grec;
  auto const service = recommender<>::load(arguments[1], arguments[2]);
  item_id const history[] = {item_id{12}, item_id{7}};
  for (auto const item : service.recommend(history, 10).items) std::printf("%d\n", static_cast<int>(item));
}
