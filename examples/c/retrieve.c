// Retrieval for a ranker: the items that are most likely next for several users, with scores and codes, as arrays.
//   retrieve MODEL DATASET
#include <mql4grec.h>
#include <stdio.h>
#include <stdlib.h>

// example-begin error
static void check(mql4grec_status status) {
  if (status == MQL4GREC_OK) return;
  fprintf(stderr, "error: %s\n", mql4grec_last_error());
  exit(1);
}
// example-end error

enum { users = 3, k = 10 };

int main(int count, char** arguments) {
  if (count != 3) {
    fprintf(stderr, "usage: retrieve MODEL DATASET\n");
    return 2;
  }
  // example-begin load
  mql4grec_recommender* shop = NULL;
  check(mql4grec_load(arguments[1], arguments[2], NULL, &shop));  // directories of a model and of a dataset
  mql4grec_info info = {.size = sizeof info};
  check(mql4grec_describe(shop, &info));
  // example-end load

  // example-begin one
  int32_t const history[] = {12, 7, 9};  // oldest first
  int32_t best[k];
  double scores_of_one[k];
  mql4grec_request one = {.size = sizeof one, .history = history, .history_length = 3, .k = k};
  one.deny = history;  // not again
  one.deny_length = 3;
  mql4grec_answer to_one = {.size = sizeof to_one, .items = best, .scores = scores_of_one};
  check(mql4grec_recommend(shop, &one, &to_one));
  for (int i = 0; i < k && best[i] >= 0; ++i)
    printf("%6d %8.3f %s\n", (int)best[i], scores_of_one[i], mql4grec_item_title(shop, best[i]));
  // example-end one

  // example-begin retrieve
  // Candidates of several users in one call: rows of k items, scores, and code_width codes for each item.
  int32_t const histories[] = {4, 5, 6, 20, 21};
  int64_t const offsets[users + 1] = {0, 3, 5, 5};  // the third user has no history
  int32_t* const items = malloc(sizeof(int32_t) * users * k);
  double* const scores = malloc(sizeof(double) * users * k);
  int32_t* const codes = malloc(sizeof(int32_t) * users * k * (size_t)info.code_width);
  mql4grec_request request = {.size = sizeof request, .history = histories, .history_length = 5, .k = k};
  request.offsets = offsets;
  request.count = users;
  mql4grec_answer candidates = {.size = sizeof candidates, .items = items, .scores = scores, .codes = codes};
  check(mql4grec_recommend(shop, &request, &candidates));
  // A ranker reads the three arrays as features; here the first candidate of each user is printed.
  for (int u = 0; u < users; ++u) {
    printf("user %d: item %d, score %.3f, codes", u, (int)items[u * k], scores[u * k]);
    for (int64_t c = 0; c < info.code_width; ++c) printf(" %d", (int)codes[u * k * info.code_width + c]);
    printf("\n");
  }
  // example-end retrieve
  free(items);
  free(scores);
  free(codes);
  mql4grec_free(shop);
  return 0;
}
