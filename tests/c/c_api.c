/* The C interface, from C11: c_api DIRECTORY. Writes a small dataset there, trains on it, and recommends. */
#include <math.h>
#include <mql4grec.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static int failures = 0;

#define CHECK(condition)                                                                              \
  do {                                                                                                \
    if (!(condition)) {                                                                               \
      printf("%s:%d: %s\n  last error: %s\n", __FILE__, __LINE__, #condition, mql4grec_last_error()); \
      ++failures;                                                                                     \
    }                                                                                                 \
  } while (0)
#define CHECK_OK(call) CHECK((call) == MQL4GREC_OK)
#define CHECK_FAILS(call, status, text) CHECK((call) == (status) && strstr(mql4grec_last_error(), text) != NULL)

enum { items = 40, users = 60, history = 8, width = 6, levels = 3, k = 5 };

/* Two features that order the items in a circle, and noise that depends on the item. */
static void make_features(float* features) {
  for (int i = 0; i < items; ++i)
    for (int c = 0; c < width; ++c)
      features[i * width + c] = (float)(c == 0   ? cos(6.2831853 * i / items)
                                        : c == 1 ? sin(6.2831853 * i / items)
                                                 : 0.1 * ((i * 7 + c * 3) % 11 - 5));
}

static FILE* open_file(char const* directory, char const* name) {
  char path[4096];
  snprintf(path, sizeof path, "%s/%s", directory, name);
  FILE* const file = fopen(path, "w");
  if (!file) {
    perror(path);
    exit(2);
  }
  return file;
}

/* Every user walks along the circle; both modalities have the same codes. */
static void write_dataset(char const* directory, int32_t const* codes) {
  FILE* file = open_file(directory, "Ring.inter.json");
  for (int u = 0; u < users; ++u) {
    fprintf(file, u == 0 ? "{\"%d\": [" : ",\n\"%d\": [", u);
    for (int i = 0; i < history; ++i) fprintf(file, i == 0 ? "%d" : ", %d", (u * 3 + i) % items);
    fprintf(file, "]");
  }
  fprintf(file, "}\n");
  fclose(file);
  file = open_file(directory, "Ring.item.json");
  for (int i = 0; i < items - 1; ++i)
    fprintf(file, i == 0 ? "{\"%d\": {\"title\": \"item %d\"}" : ", \"%d\": {\"title\": \"item %d\"}", i, i);
  fprintf(file, "}\n");
  fclose(file);
  for (int m = 0; m < 2; ++m) {
    file = open_file(directory, m == 0 ? "Ring.index_lemb.json" : "Ring.index_vitemb.json");
    for (int i = 0; i < items; ++i) {
      fprintf(file, i == 0 ? "{\"%d\": [" : ",\n\"%d\": [", i);
      for (int l = 0; l < levels; ++l)
        fprintf(file, l == 0 ? "\"<%c_%d>\"" : ", \"<%c_%d>\"", (m == 0 ? 'a' : 'A') + l, codes[i * levels + l]);
      fprintf(file, "]");
    }
    fprintf(file, "}\n");
    fclose(file);
  }
}

typedef struct {
  int updates, epochs, stop_after;
} seen_progress;

static int32_t on_progress(void* context, mql4grec_progress const* p) {
  seen_progress* const seen = context;
  CHECK(p->size == sizeof *p && p->seconds >= 0);
  if (p->epoch_ended)
    ++seen->epochs;
  else
    ++seen->updates;
  return seen->stop_after > 0 && seen->updates >= seen->stop_after;
}

static void test_versions(void) {
  CHECK(mql4grec_abi_version() == MQL4GREC_ABI_VERSION);
  CHECK(strchr(mql4grec_version(), '.') != NULL);
  CHECK(strcmp(mql4grec_last_error(), "") == 0);
}

static void test_quantize(int32_t* codes, char const* translator) {
  float features[items * width];
  make_features(features);
  mql4grec_quantize_options options = {.size = sizeof options, .levels = levels, .codes = 8, .threads = 1, .seed = 1};
  CHECK_OK(mql4grec_quantize(features, items, width, &options, codes));
  for (int i = 0; i < items; ++i) {
    for (int l = 0; l < levels; ++l) CHECK(codes[i * levels + l] >= 0 && codes[i * levels + l] < 8);
    for (int j = 0; j < i; ++j) CHECK(memcmp(codes + i * levels, codes + j * levels, levels * sizeof *codes) != 0);
  }
  int32_t again[items * levels];
  options.out = translator;
  options.modality = 1;
  CHECK_OK(mql4grec_quantize(features, items, width, &options, again)); /* the same, and the translator is kept */
  CHECK(memcmp(again, codes, sizeof again) == 0);
  CHECK_FAILS(mql4grec_quantize(features, items, width, &options, again), MQL4GREC_INVALID_ARGUMENT, translator);
  options.modality = 8;
  CHECK_FAILS(mql4grec_quantize(features, items, width, &options, again), MQL4GREC_INVALID_ARGUMENT, "modality is 8");
  options.out = NULL;
  options.modality = 0;
  memset(features, 0, width * sizeof *features); /* item 0 has no features */
  int32_t fewer[items * levels];
  CHECK_OK(mql4grec_quantize(features, items, width, &options, fewer));
  CHECK(fewer[0] == -1 && fewer[levels] >= 0);
  CHECK_FAILS(mql4grec_quantize(features, 4, width, &options, fewer), MQL4GREC_INVALID_ARGUMENT, "k-means");
  CHECK_FAILS(mql4grec_quantize(NULL, items, width, &options, fewer), MQL4GREC_INVALID_ARGUMENT, "features is NULL");
  CHECK_FAILS(mql4grec_quantize(features, 4, width, &options, NULL), MQL4GREC_INVALID_ARGUMENT, "codes is NULL");
}

static void test_recipes(void) {
  mql4grec_train_options options;
  CHECK_OK(mql4grec_train_defaults(&options, sizeof options, MQL4GREC_PAPER));
  CHECK(options.epochs == 200 && options.muon == 0 && options.dropout == 0.1 && options.model_width == 128);
  CHECK_OK(mql4grec_train_defaults(&options, sizeof options, MQL4GREC_SMALL));
  CHECK(options.epochs == 30 && options.batch_size == 64 && options.muon == 1 && options.dropout == 0);
  CHECK(options.model_width == 32 && options.inner_width == 256 && options.heads == 1 && options.layers == 2);
  CHECK_FAILS(mql4grec_train_defaults(&options, sizeof options, 3), MQL4GREC_INVALID_ARGUMENT, "recipe is 3");
}

static mql4grec_train_options small_training(char const* dataset, char const* out) {
  mql4grec_train_options options;
  CHECK_OK(mql4grec_train_defaults(&options, sizeof options, MQL4GREC_FAST));
  CHECK(options.epochs == 20 && options.muon == 1 && options.seed == 42 && isinf(options.max_seconds));
  options.dataset = dataset;
  options.out = out;
  options.tasks = "next";
  options.threads = 1;
  options.batch_size = 32;
  options.epochs = 40;
  options.dropout = 0;
  options.patience = 0;
  options.model_width = options.inner_width = 32;
  options.heads = 2;
  options.head_width = 16;
  options.layers = 1;
  return options;
}

static void test_train(char const* dataset, char const* out) {
  seen_progress seen = {.stop_after = 3};
  mql4grec_train_options options = small_training(dataset, out);
  options.progress = on_progress;
  options.context = &seen;
  mql4grec_progress result = {.size = sizeof result};
  CHECK_OK(mql4grec_train(&options, &result));
  CHECK(result.outcome == MQL4GREC_STOPPED && result.step == 3 && seen.updates == 3);
  CHECK_FAILS(mql4grec_train(&options, &result), MQL4GREC_INVALID_ARGUMENT, out); /* contains another run */
  seen.stop_after = 0;
  options.resume = 1;
  CHECK_OK(mql4grec_train(&options, &result));
  CHECK(result.outcome == MQL4GREC_FINISHED && result.epoch == 40 && result.best_epoch >= 1);
  CHECK(seen.epochs == 40 && seen.updates == result.step && isfinite(result.best_loss));
  options.learning_rate = -1;
  CHECK_FAILS(mql4grec_train(&options, &result), MQL4GREC_INVALID_ARGUMENT, "learning rate");
  options = small_training("/nowhere", out);
  options.out = "/nowhere/at/all";
  CHECK(mql4grec_train(&options, NULL) == MQL4GREC_FILE_ERROR);
}

static void test_catalog(mql4grec_recommender const* shop, int32_t const* codes) {
  mql4grec_info info = {.size = sizeof info};
  CHECK_OK(mql4grec_describe(shop, &info));
  CHECK(info.items == items && info.users == users && info.modalities == 2 && info.code_width == 2 * levels);
  CHECK(info.levels[0] == levels && info.levels[1] == levels && info.levels[2] == 0);
  CHECK(strcmp(mql4grec_item_title(shop, 7), "item 7") == 0);
  CHECK(strcmp(mql4grec_item_title(shop, items - 1), "") == 0);
  CHECK(mql4grec_item_title(shop, items) == NULL && strstr(mql4grec_last_error(), "item 40") != NULL);
  CHECK(mql4grec_item_title(NULL, 0) == NULL);
  int32_t const asked[] = {3, 0};
  int32_t found[2 * 2 * levels];
  CHECK_OK(mql4grec_item_codes(shop, asked, 2, found));
  CHECK(memcmp(found, codes + 3 * levels, levels * sizeof *found) == 0);
  CHECK(memcmp(found + 3 * levels, codes, levels * sizeof *found) == 0);
  int32_t const wrong = -1;
  CHECK_FAILS(mql4grec_item_codes(shop, &wrong, 1, found), MQL4GREC_INVALID_ARGUMENT, "item -1");
  int32_t const* list = NULL;
  size_t count = 0;
  CHECK_OK(mql4grec_user_history(shop, 2, &list, &count));
  CHECK(count == history && list[0] == 6 && list[history - 1] == 13);
  CHECK_FAILS(mql4grec_user_history(shop, users, &list, &count), MQL4GREC_INVALID_ARGUMENT, "user 60");
}

static void test_recommend(mql4grec_recommender const* shop) {
  int32_t const past[] = {4, 5, 6, 7};
  int32_t found[k], found_codes[k * 2 * levels], expected_codes[k * 2 * levels];
  double scores[k];
  int64_t counts[1];
  mql4grec_request request = {.size = sizeof request, .history = past, .history_length = 4, .k = k};
  mql4grec_answer answer = {
      .size = sizeof answer, .items = found, .scores = scores, .codes = found_codes, .counts = counts};
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  CHECK(counts[0] == k);
  for (int i = 1; i < k; ++i) CHECK(scores[i] <= scores[i - 1] && found[i] != found[0]);
  CHECK_OK(mql4grec_item_codes(shop, found, k, expected_codes));
  CHECK(memcmp(found_codes, expected_codes, sizeof expected_codes) == 0);

  int32_t const first = found[0];
  request.deny = &first;
  request.deny_length = 1;
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  for (int i = 0; i < k; ++i) CHECK(found[i] != first);
  int32_t const two[] = {9, 30};
  request.allow = two;
  request.allow_length = 2;
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  CHECK(counts[0] == 2 && (found[0] == 9 || found[0] == 30) && found[2] == -1 && isinf(scores[4]) && scores[4] < 0);
  CHECK(found_codes[2 * 2 * levels] == -1);
  request.allow_length = 0; /* an empty list allows nothing */
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  CHECK(counts[0] == 0 && found[0] == -1);

  request = (mql4grec_request){.size = sizeof request, .k = 5000};
  CHECK_FAILS(mql4grec_recommend(shop, &request, &answer), MQL4GREC_INVALID_ARGUMENT, "k is");
  request.k = 0;
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  request.history_length = 3;
  CHECK_FAILS(mql4grec_recommend(shop, &request, &answer), MQL4GREC_INVALID_ARGUMENT, "history is NULL");
  CHECK_FAILS(mql4grec_recommend(NULL, &request, &answer), MQL4GREC_INVALID_ARGUMENT, "recommender is NULL");
}

/* Several requests in one call have the answers of single calls. */
static void test_batch(mql4grec_recommender const* shop) {
  int64_t offsets[users + 1] = {0};
  int32_t all[users * history], found[users * k], alone[k];
  double scores[users * k], scores_alone[k];
  int64_t counts[users];
  uint8_t complete[users];
  for (int u = 0; u < users; ++u) {
    int const length = u % (history + 1); /* an empty history too */
    for (int i = 0; i < length; ++i) all[offsets[u] + i] = (u + i) % items;
    offsets[u + 1] = offsets[u] + length;
  }
  for (size_t threads = 1; threads <= 3; threads += 2) {
    mql4grec_request request = {.size = sizeof request,
                                .history = all,
                                .history_length = (size_t)offsets[users],
                                .offsets = offsets,
                                .count = users,
                                .k = k,
                                .threads = threads};
    mql4grec_answer answer = {.size = sizeof answer, .items = found, .scores = scores, .counts = counts};
    answer.complete = complete;
    CHECK_OK(mql4grec_recommend(shop, &request, &answer));
    for (int u = 0; u < users; ++u) {
      mql4grec_request one = {.size = sizeof one,
                              .history = all + offsets[u],
                              .history_length = (size_t)(offsets[u + 1] - offsets[u]),
                              .k = k};
      mql4grec_answer answer_alone = {.size = sizeof answer_alone, .items = alone, .scores = scores_alone};
      CHECK_OK(mql4grec_recommend(shop, &one, &answer_alone));
      CHECK(counts[u] == k && complete[u] == 1 && memcmp(found + u * k, alone, sizeof alone) == 0);
      for (int i = 0; i < k; ++i) CHECK(fabs(scores[u * k + i] - scores_alone[i]) < 1e-4);
    }
    int64_t const before = offsets[1];
    offsets[1] = 1000;
    CHECK_FAILS(mql4grec_recommend(shop, &request, &answer), MQL4GREC_INVALID_ARGUMENT, "offsets[1] is 1000");
    offsets[1] = before;
  }
}

/* The lists of modalities, a deadline, and the time of the stages. */
static void test_lists_and_deadlines(mql4grec_recommender const* shop) {
  int32_t const past[] = {4, 5, 6, 7};
  int32_t found[k];
  double scores[k], seconds[3] = {0, 0, 0};
  uint8_t complete = 2;
  mql4grec_request request = {.size = sizeof request, .history = past, .history_length = 4, .k = k};
  mql4grec_answer answer = {.size = sizeof answer, .items = found, .scores = scores};
  answer.complete = &complete;
  answer.seconds = seconds;
  for (request.list = MQL4GREC_FUSED; request.list <= MQL4GREC_IMAGE; ++request.list) {
    CHECK_OK(mql4grec_recommend(shop, &request, &answer));
    CHECK(complete == 1 && found[0] == 8 && seconds[0] > 0 && seconds[1] > 0 && seconds[2] > 0);
    CHECK(request.list == MQL4GREC_FUSED || scores[0] < 0); /* log-probabilities, and in both lists plus 1 */
  }
  CHECK_FAILS(mql4grec_recommend(shop, &request, &answer), MQL4GREC_INVALID_ARGUMENT, "list is 3");
  request.list = MQL4GREC_FUSED;
  request.deadline_ms = 1e-6;
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  CHECK(complete == 0);
  request.deadline_ms = 1e6;
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  CHECK(complete == 1);
  request.deadline_ms = -1;
  CHECK_FAILS(mql4grec_recommend(shop, &request, &answer), MQL4GREC_INVALID_ARGUMENT, "deadline_ms");
}

static int32_t stop_at_once(void* context) {
  ++*(int*)context;
  return 1;
}

/* Stops a search when it asks for the time after this one. */
typedef struct {
  int asked, times;
} patience;
static int32_t stop_later(void* context) {
  patience* const mine = context;
  return mine->asked++ >= mine->times;
}

/* The last item of the history is what an item of the circle follows from. */
static void test_explain(mql4grec_recommender const* shop) {
  enum { length = 25 };
  int32_t past[length];
  for (int i = 0; i < length; ++i) past[i] = i;
  int32_t const asked[] = {25, 3};
  double log_p[2], drops[2 * length];
  int32_t shared[2 * length * 2];
  mql4grec_explanation why = {.size = sizeof why, .items = asked, .count = 2, .log_p = log_p, .drops = drops};
  why.shared_codes = shared;
  CHECK_OK(mql4grec_explain(shop, past, length, &why));
  CHECK(log_p[0] < 0 && log_p[0] > log_p[1]);
  CHECK(isnan(drops[4]) && isfinite(drops[5]) && shared[2 * 4] == -1 && shared[2 * 5] >= 0);
  CHECK(shared[2 * (length + 3)] == -1 && shared[2 * 24] <= levels);
  int32_t const unknown = items;
  why.items = &unknown;
  why.count = 1;
  CHECK_FAILS(mql4grec_explain(shop, past, length, &why), MQL4GREC_INVALID_ARGUMENT, "item 40");
}

/* A call that may end early has the same reasons; one that has no time has none. */
static void test_explain_with_limits(mql4grec_recommender const* shop) {
  int32_t const past[] = {4, 5, 6, 7}, asked = 8;
  double log_p, drops[4], whole_log_p, whole[4];
  int32_t shared[8];
  mql4grec_explanation why = {.size = sizeof why, .items = &asked, .count = 1, .log_p = &whole_log_p, .drops = whole};
  CHECK_OK(mql4grec_explain(shop, past, 4, &why));
  CHECK(why.complete == 1);
  why.log_p = &log_p;
  why.drops = drops;
  why.shared_codes = shared;
  why.deadline_ms = 1e6;
  CHECK_OK(mql4grec_explain(shop, past, 4, &why));
  CHECK(why.complete == 1 && fabs(log_p - whole_log_p) < 1e-4);
  for (int i = 0; i < 4; ++i) CHECK(fabs(drops[i] - whole[i]) < 1e-4);
  why.deadline_ms = 1e-6;
  CHECK_OK(mql4grec_explain(shop, past, 4, &why));
  CHECK(why.complete == 0 && isnan(log_p) && isnan(drops[3]) && shared[7] == -1);
  why.deadline_ms = -1;
  CHECK_FAILS(mql4grec_explain(shop, past, 4, &why), MQL4GREC_INVALID_ARGUMENT, "deadline_ms");
  int calls = 0;
  why.deadline_ms = 0;
  why.stop = stop_at_once;
  why.context = &calls;
  CHECK_OK(mql4grec_explain(shop, past, 4, &why));
  CHECK(calls >= 1 && why.complete == 0);
  int const calls_before = calls;
  why.size = offsetof(mql4grec_explanation, deadline_ms); /* that of the first version has no limits */
  why.complete = 7;
  CHECK_OK(mql4grec_explain(shop, past, 4, &why));
  CHECK(calls == calls_before && why.complete == 7 && isfinite(drops[0]));
}

static void test_stop(mql4grec_recommender const* shop) {
  int calls = 0;
  int32_t found[2 * k];
  int64_t const offsets[] = {0, 0, 0};
  uint8_t complete[2] = {2, 2};
  mql4grec_request request = {.size = sizeof request, .offsets = offsets, .count = 2, .k = k, .stop = stop_at_once};
  request.context = &calls;
  mql4grec_answer answer = {.size = sizeof answer, .items = found, .complete = complete};
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  CHECK(calls >= 1 && complete[0] == 0 && complete[1] == 0);
}

static int contains(int32_t const* list, int count, int32_t item) {
  for (int i = 0; i < count; ++i)
    if (list[i] == item) return 1;
  return 0;
}

/* Items are inserted, given other codes and removed while the recommender is loaded; a log keeps the changes. */
static void test_changes(char const* dataset, char const* model, char const* translator) {
  enum { code_width = 2 * levels, added = 100 };
  char log[4096];
  snprintf(log, sizeof log, "%s.changes", model);
  mql4grec_load_options options = {.size = sizeof options, .catalog_log = log};
  mql4grec_recommender* shop = NULL;
  CHECK_OK(mql4grec_load(model, dataset, &options, &shop));
  mql4grec_recommender* second = NULL;
  CHECK(mql4grec_load(model, dataset, &options, &second) == MQL4GREC_FILE_ERROR &&
        second == NULL); /* the log is in use */

  mql4grec_translator* images = NULL;
  CHECK_FAILS(mql4grec_load_translator("/nowhere", &images), MQL4GREC_FILE_ERROR, "/nowhere");
  CHECK_OK(mql4grec_load_translator(translator, &images));
  float features[items * width];
  make_features(features);
  int32_t codes[code_width], taken[code_width], found_codes[k * code_width];
  for (int i = 0; i < code_width; ++i) codes[i] = -1;
  // example-begin place
  CHECK_OK(mql4grec_place_item(shop, images, features + 8 * width, width, codes));
  // example-end place
  int32_t const eight = 8, new_item = added, unknown = 1000;
  CHECK_OK(mql4grec_item_codes(shop, &eight, 1, taken));
  CHECK(codes[0] == -1 && codes[levels] == taken[levels]); /* the same neighbourhood, but other codes than item 8 */
  CHECK(memcmp(codes + levels, taken + levels, levels * sizeof *codes) != 0);
  CHECK_FAILS(mql4grec_place_item(shop, images, features, width - 1, codes), MQL4GREC_INVALID_ARGUMENT, "5 features");

  int32_t const past[] = {4, 5, 6, 7};
  int32_t found[k];
  int64_t counts[1];
  mql4grec_request request = {.size = sizeof request, .history = past, .history_length = 4, .k = k, .allow = &new_item};
  request.allow_length = 1;
  mql4grec_answer answer = {.size = sizeof answer, .items = found, .codes = found_codes, .counts = counts};
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  CHECK(counts[0] == 0);
  // example-begin set
  CHECK_OK(mql4grec_set_items(shop, &new_item, 1, codes));
  // example-end set
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  CHECK(counts[0] == 1 && found[0] == added && memcmp(found_codes, codes, sizeof codes) == 0);
  CHECK_OK(mql4grec_recommend_new(shop, &request, &answer));
  CHECK(counts[0] == 1 && found[0] == added && found[1] == -1);
  request.deny = &new_item;
  request.deny_length = 1;
  CHECK_OK(mql4grec_recommend_new(shop, &request, &answer));
  CHECK(counts[0] == 0);
  uint8_t complete = 2;
  request.deny_length = 0;
  request.deadline_ms = 1e-6;
  answer.complete = &complete;
  CHECK_OK(mql4grec_recommend_new(shop, &request, &answer));
  CHECK(complete == 0 && counts[0] == 0);
  answer.complete = NULL;
  request.scores = MQL4GREC_CALIBRATED;
  CHECK(mql4grec_recommend_new(shop, &request, &answer) == MQL4GREC_INVALID_ARGUMENT);
  request = (mql4grec_request){.size = sizeof request, .history = past, .history_length = 4, .k = k};
  CHECK_FAILS(mql4grec_recommend_new(shop, &request, &answer), MQL4GREC_INVALID_ARGUMENT, "allow is NULL");
  mql4grec_info info = {.size = sizeof info};
  CHECK_OK(mql4grec_describe(shop, &info));
  CHECK(info.items == added + 1);

  int32_t const gone[] = {8, 999};
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  CHECK(found[0] == 8);
  CHECK_OK(mql4grec_remove_items(shop, gone, 2));
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  CHECK(!contains(found, k, 8));
  int32_t of_gone[code_width];
  CHECK_OK(mql4grec_item_codes(shop, &eight, 1, of_gone));
  CHECK(of_gone[0] == -1 && of_gone[levels] == -1);

  int32_t const two[] = {8, added};
  int32_t wrong[2 * code_width];
  memcpy(wrong, taken, sizeof taken);
  memcpy(wrong + code_width, taken, sizeof taken);
  wrong[code_width + 1] = -1; /* neither codes nor none: nothing of the call happens */
  CHECK_FAILS(mql4grec_set_items(shop, two, 2, wrong), MQL4GREC_INVALID_ARGUMENT, "code -1");
  CHECK_FAILS(mql4grec_set_items(shop, two, 1, NULL), MQL4GREC_INVALID_ARGUMENT, "codes is NULL");
  CHECK_FAILS(mql4grec_item_codes(shop, &unknown, 1, of_gone), MQL4GREC_INVALID_ARGUMENT, "item 1000");
  mql4grec_evaluate_options how = {.size = sizeof how, .threads = 1};
  double hit[3 * 3], before[3 * 3];
  mql4grec_report report = {.size = sizeof report, .hit = before};
  CHECK_OK(mql4grec_evaluate(shop, &how, &report));
  mql4grec_free(shop);

  CHECK_OK(mql4grec_load(model, dataset, &options, &shop)); /* the log is replayed */
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  CHECK(!contains(found, k, 8));
  CHECK_OK(mql4grec_set_items(shop, &eight, 1, taken));
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  CHECK(found[0] == 8);
  report.hit = hit;
  CHECK_OK(mql4grec_evaluate(shop, &how, &report));
  CHECK(hit[2] > before[2]); /* item 8 is there again */
  mql4grec_free(shop);
  mql4grec_free_translator(images);
  mql4grec_free_translator(NULL);
}

/* Sets an item again and again until it is told to end. */
typedef struct {
  mql4grec_recommender* shop;
  int32_t item;
  atomic_int* end;
} setter;
static void* set_repeatedly(void* argument) {
  setter const* const mine = argument;
  int32_t codes[2 * levels];
  CHECK_OK(mql4grec_item_codes(mine->shop, &mine->item, 1, codes));
  while (!atomic_load(mine->end)) CHECK_OK(mql4grec_set_items(mine->shop, &mine->item, 1, codes));
  return NULL;
}

/* Changes of sets come in between others, however many there are. */
static void test_sets_beside_changes(mql4grec_recommender* shop) {
  enum { threads = 3 };
  atomic_int end = 0;
  setter mine[threads];
  pthread_t running[threads];
  char const* const name[] = {"low"};
  for (int t = 0; t < threads; ++t) {
    mine[t] = (setter){.shop = shop, .item = 30 + t, .end = &end};
    CHECK(pthread_create(&running[t], NULL, set_repeatedly, &mine[t]) == 0);
  }
  for (int i = 0; i < 20; ++i) CHECK_OK(mql4grec_put_in_sets(shop, 20, name, (size_t)(i % 2)));
  atomic_store(&end, 1);
  for (int t = 0; t < threads; ++t) pthread_join(running[t], NULL);
}

/* Named sets, quotas, items that were seen. The sets are those of the dataset's file and those of the program. */
static void test_rules(char const* dataset, char const* model) {
  FILE* const file = open_file(dataset, "Ring.sets.json");
  fprintf(file, "{\"low\": [0, 1, 2, 3, 4, 5, 6, 7, 8, 9], \"empty\": [], \"odd\": [1]}\n");
  fclose(file);
  int32_t odd[items / 2];
  for (int i = 0; i < items / 2; ++i) odd[i] = 2 * i + 1;
  // example-begin sets
  mql4grec_item_set const shelves[] = {{.name = "odd", .items = odd, .count = items / 2}};
  mql4grec_load_options how = {.size = sizeof how, .sets = shelves, .set_count = 1};
  mql4grec_recommender* shop = NULL;
  CHECK_OK(mql4grec_load(model, dataset, &how, &shop));
  // example-end sets

  enum { many = 12 };
  int32_t const past[] = {4, 5, 6, 7};
  int32_t found[many];
  double scores[many];
  int64_t counts[1];
  mql4grec_answer answer = {.size = sizeof answer, .items = found, .scores = scores, .counts = counts};
  // example-begin rules
  char const* const low[] = {"low"};
  mql4grec_quota const few_odd = {.set = "odd", .most = 2};
  mql4grec_request request = {.size = sizeof request, .history = past, .history_length = 4, .k = many};
  request.any_of = low;
  request.any_of_count = 1;
  request.quotas = &few_odd;
  request.quota_count = 1;
  request.exclude_seen = 1;
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  // example-end rules
  CHECK(counts[0] == 5); /* 0, 2, 8, and two of 1, 3, 9 */
  for (int i = 0; i < 5; ++i) CHECK(found[i] < 10 && (found[i] < 4 || found[i] > 7));

  char const *const both[] = {"low", "odd"}, *const unknown[] = {"lo"}, *const missing[] = {NULL};
  request = (mql4grec_request){.size = sizeof request, .k = many, .all_of = both, .all_of_count = 2};
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  CHECK(counts[0] == 5 && found[0] % 2 == 1);
  request = (mql4grec_request){.size = sizeof request, .k = many, .any_of = low, .any_of_count = 1};
  request.none_of = both + 1;
  request.none_of_count = 1;
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  CHECK(counts[0] == 5 && found[0] % 2 == 0);
  request.none_of = unknown;
  CHECK_FAILS(mql4grec_recommend(shop, &request, &answer), MQL4GREC_INVALID_ARGUMENT, "'lo'");
  request.none_of = missing;
  CHECK_FAILS(mql4grec_recommend(shop, &request, &answer), MQL4GREC_INVALID_ARGUMENT, "none_of[0] is NULL");
  request.none_of = NULL;
  CHECK_FAILS(mql4grec_recommend(shop, &request, &answer), MQL4GREC_INVALID_ARGUMENT, "none_of is NULL");
  request = (mql4grec_request){.size = sizeof request, .k = many, .quotas = &few_odd, .quota_count = 1};
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  CHECK(counts[0] == many);
  mql4grec_quota const wrong[] = {{.set = "odd", .most = -1}, {.set = NULL, .most = 1}};
  request.quotas = wrong;
  CHECK_FAILS(mql4grec_recommend(shop, &request, &answer), MQL4GREC_INVALID_ARGUMENT, "a quota of -1");
  request.quotas = wrong + 1;
  CHECK_FAILS(mql4grec_recommend(shop, &request, &answer), MQL4GREC_INVALID_ARGUMENT, "quotas[0].set is NULL");
  request.size = offsetof(mql4grec_request, any_of); /* that of the first version has no rules */
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));

  int32_t const twenty = 20, added = items + 5;
  char const* const now[] = {"low", "new"};
  CHECK_OK(mql4grec_put_in_sets(shop, twenty, now, 2));
  request = (mql4grec_request){.size = sizeof request, .k = many, .any_of = now + 1, .any_of_count = 1};
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  CHECK(counts[0] == 1 && found[0] == twenty);
  CHECK_OK(mql4grec_put_in_sets(shop, twenty, NULL, 0));
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  CHECK(counts[0] == 0);
  CHECK_FAILS(mql4grec_put_in_sets(shop, added, now, 2), MQL4GREC_INVALID_ARGUMENT, "item 45 has no codes");
  CHECK_FAILS(mql4grec_put_in_sets(shop, twenty, NULL, 1), MQL4GREC_INVALID_ARGUMENT, "sets is NULL");
  test_sets_beside_changes(shop);
  mql4grec_free(shop);

  mql4grec_item_set const nameless = {.items = odd, .count = 1};
  how.sets = &nameless;
  CHECK_FAILS(mql4grec_load(model, dataset, &how, &shop), MQL4GREC_INVALID_ARGUMENT, "sets[0].name is NULL");
  mql4grec_item_set const listless = {.name = "odd", .count = 1};
  how.sets = &listless;
  CHECK_FAILS(mql4grec_load(model, dataset, &how, &shop), MQL4GREC_INVALID_ARGUMENT, "sets[0].items is NULL");
  int32_t const negative[] = {3, -1};
  mql4grec_item_set const wrong_items = {.name = "odd", .items = negative, .count = 2};
  how.sets = &wrong_items;
  CHECK_FAILS(mql4grec_load(model, dataset, &how, &shop), MQL4GREC_INVALID_ARGUMENT, "set 'odd' has item -1");
  FILE* const damaged = open_file(dataset, "Ring.sets.json");
  fprintf(damaged, "{\"low\": [40]}\n");
  fclose(damaged);
  CHECK_FAILS(mql4grec_load(model, dataset, NULL, &shop), MQL4GREC_FILE_ERROR, "there is no item 40");
  char path[4096];
  snprintf(path, sizeof path, "%s/Ring.sets.json", dataset);
  remove(path);
}

/* Scores that add up to 1 in each modality, and probabilities of a model with a calibration. */
static void test_scores(char const* dataset, char const* model) {
  int32_t const past[] = {4, 5, 6, 7};
  int32_t found[items];
  double scores[items], raw[items], sum = 0;
  mql4grec_recommender* shop = NULL;
  CHECK_OK(mql4grec_load(model, dataset, NULL, &shop));
  mql4grec_request request = {.size = sizeof request, .history = past, .history_length = 4, .k = items};
  mql4grec_answer answer = {.size = sizeof answer, .items = found, .scores = scores};
  request.list = MQL4GREC_TEXT;
  request.scores = MQL4GREC_RENORMALIZED;
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  for (int i = 0; i < items; ++i) sum += exp(scores[i]);
  CHECK(fabs(sum - 1) < 1e-3);
  request.list = MQL4GREC_FUSED;
  request.scores = MQL4GREC_CALIBRATED;
  CHECK_FAILS(mql4grec_recommend(shop, &request, &answer), MQL4GREC_INVALID_ARGUMENT, "no calibration");
  request.scores = 3;
  CHECK_FAILS(mql4grec_recommend(shop, &request, &answer), MQL4GREC_INVALID_ARGUMENT, "scores is 3");
  mql4grec_free(shop);

  FILE* const file = open_file(model, "calibration.json");
  fprintf(file,
          "{\"beams\": %d, \"length_penalty\": 1, \"normalize\": \"vocabulary\", \"score_eos\": true, \"fusion\": "
          "\"average_plus_one\", \"modalities\": [\"text\", \"image\"], \"max_history\": 20, \"fill_in\": false, "
          "\"scores\": [-100, 100], \"probabilities\": [0, 1]}\n",
          items - 1);
  fclose(file);
  mql4grec_load_options how = {.size = sizeof how};
  CHECK_OK(mql4grec_load(model, dataset, &how, &shop));
  request.scores = MQL4GREC_CALIBRATED;
  CHECK_FAILS(mql4grec_recommend(shop, &request, &answer), MQL4GREC_INVALID_ARGUMENT,
              "calibration.json was fitted with beams 39, expected 20");
  mql4grec_free(shop);
  how.beams = items - 1;
  CHECK_OK(mql4grec_load(model, dataset, &how, &shop));
  CHECK_FAILS(mql4grec_recommend(shop, &request, &answer), MQL4GREC_INVALID_ARGUMENT, "k is 40, expected at most 39");
  request.k = items - 1;
  request.scores = MQL4GREC_RAW;
  answer.scores = raw;
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  request.scores = MQL4GREC_CALIBRATED;
  answer.scores = scores;
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  for (int i = 0; i < items - 1; ++i) CHECK(fabs(scores[i] - (raw[i] + 100) / 200) < 1e-6);
  request.list = MQL4GREC_TEXT;
  CHECK_FAILS(mql4grec_recommend(shop, &request, &answer), MQL4GREC_INVALID_ARGUMENT, "a modality's list");
  request.list = MQL4GREC_FUSED;
  request.deadline_ms = 1e-6;
  uint8_t complete = 2;
  answer.complete = &complete;
  CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  CHECK(complete == 0);
  /* The best items so far have no probabilities, and there are some before the end. */
  patience mine = {0, 0};
  int64_t counts[1] = {0};
  request.deadline_ms = 0;
  request.stop = stop_later;
  request.context = &mine;
  answer.counts = counts;
  do {
    mine.asked = 0;
    ++mine.times;
    CHECK_OK(mql4grec_recommend(shop, &request, &answer));
  } while (counts[0] == 0 && complete == 0);
  CHECK(counts[0] > 0 && complete == 0);
  for (int i = 0; i < counts[0]; ++i) CHECK(isnan(scores[i]));
  mql4grec_free(shop);
  FILE* const earlier = open_file(model, "calibration.json");
  fprintf(earlier, "{\"scores\": [-100, 100], \"probabilities\": [0, 1]}\n");
  fclose(earlier);
  CHECK_FAILS(mql4grec_load(model, dataset, NULL, &shop), MQL4GREC_FILE_ERROR, "writes it again");
  char path[4096];
  snprintf(path, sizeof path, "%s/calibration.json", model);
  remove(path);
}

static int32_t count_progress(void* context, int64_t done, int64_t all) {
  int* const calls = context;
  *calls += done <= all;
  return *calls < 0;
}

static void test_evaluate(mql4grec_recommender const* shop) {
  int64_t const cutoffs[] = {1, 10};
  double hit[3 * 2], ndcg[3 * 2], item_hit[3 * 2];
  int calls = 0;
  mql4grec_evaluate_options options = {.size = sizeof options,
                                       .threads = 2,
                                       .cutoffs = cutoffs,
                                       .cutoff_count = 2,
                                       .progress = count_progress,
                                       .context = &calls};
  mql4grec_report report = {.size = sizeof report, .hit = hit, .ndcg = ndcg, .item_hit = item_hit};
  CHECK_OK(mql4grec_evaluate(shop, &options, &report));
  CHECK(report.users == users && report.seconds > 0 && calls > 1);
  for (int row = 0; row < 3; ++row)
    CHECK(0 <= hit[2 * row] && hit[2 * row] <= hit[2 * row + 1] && hit[2 * row + 1] <= 1 &&
          ndcg[2 * row] == hit[2 * row]);
  CHECK(hit[1] > 0.5 && item_hit[1] == hit[1]); /* the next item of the circle; every sequence is one item's */
  options.split = MQL4GREC_VALID;
  options.users = 7;
  options.cutoffs = NULL;
  report = (mql4grec_report){.size = sizeof report};
  CHECK_OK(mql4grec_evaluate(shop, &options, &report));
  CHECK(report.users == 7);
  calls = -2;
  CHECK_FAILS(mql4grec_evaluate(shop, &options, &report), MQL4GREC_INTERRUPTED, "stopped");
  CHECK(calls == -1);
  options.split = 5;
  CHECK_FAILS(mql4grec_evaluate(shop, &options, &report), MQL4GREC_INVALID_ARGUMENT, "split is 5");
}

/* A structure of a later version has more members: they must be 0. One of an unknown version is too small. */
static void test_sizes(mql4grec_recommender const* shop) {
  struct {
    mql4grec_info known;
    int64_t later;
  } info = {.known = {.size = sizeof info}, .later = 0};
  CHECK_OK(mql4grec_describe(shop, &info.known));
  CHECK(info.known.items == items && info.known.size == sizeof info && info.later == 0);
  info.later = 1;
  CHECK_FAILS(mql4grec_describe(shop, &info.known), MQL4GREC_INVALID_ARGUMENT, "is set");
  info.known.size = 8;
  CHECK_FAILS(mql4grec_describe(shop, &info.known), MQL4GREC_INVALID_ARGUMENT, "size is 8");
}

typedef struct {
  mql4grec_recommender const* shop;
  int number, wrong;
} client;

/* Each thread has its own requests and its own last error. */
static void* run_client(void* argument) {
  client* const me = argument;
  int32_t expected[k], found[k], past[1];
  past[0] = me->number;
  mql4grec_request request = {.size = sizeof request, .history = past, .history_length = 1, .k = k};
  mql4grec_answer answer = {.size = sizeof answer, .items = expected};
  me->wrong += mql4grec_recommend(me->shop, &request, &answer) != MQL4GREC_OK;
  answer.items = found;
  char text[32];
  snprintf(text, sizeof text, "item %d", items + me->number);
  for (int i = 0; i < 50; ++i) {
    me->wrong +=
        mql4grec_recommend(me->shop, &request, &answer) != MQL4GREC_OK || memcmp(found, expected, sizeof found) != 0;
    me->wrong +=
        mql4grec_item_title(me->shop, items + me->number) != NULL || strstr(mql4grec_last_error(), text) == NULL;
  }
  return NULL;
}

static void test_threads(mql4grec_recommender const* shop) {
  enum { clients = 4 };
  pthread_t threads[clients];
  client of[clients];
  for (int i = 0; i < clients; ++i) {
    of[i] = (client){shop, i, 0};
    pthread_create(&threads[i], NULL, run_client, &of[i]);
  }
  for (int i = 0; i < clients; ++i) {
    pthread_join(threads[i], NULL);
    CHECK(of[i].wrong == 0);
  }
}

static void test_load_errors(char const* dataset, char const* model) {
  mql4grec_recommender* shop = (mql4grec_recommender*)&failures;
  CHECK_FAILS(mql4grec_load("/nowhere", dataset, NULL, &shop), MQL4GREC_FILE_ERROR, "/nowhere");
  CHECK(shop == NULL);
  CHECK(mql4grec_load(model, "/nowhere", NULL, &shop) == MQL4GREC_FILE_ERROR);
  CHECK_FAILS(mql4grec_load(model, dataset, NULL, NULL), MQL4GREC_INVALID_ARGUMENT, "out is NULL");
  CHECK_FAILS(mql4grec_load(NULL, dataset, NULL, &shop), MQL4GREC_INVALID_ARGUMENT, "model is NULL");
  mql4grec_load_options options = {.size = sizeof options, .beams = 5000};
  CHECK_FAILS(mql4grec_load(model, dataset, &options, &shop), MQL4GREC_INVALID_ARGUMENT, "5000 beams");
  options = (mql4grec_load_options){.size = sizeof options, .precision = 9};
  CHECK_FAILS(mql4grec_load(model, dataset, &options, &shop), MQL4GREC_INVALID_ARGUMENT, "precision is 9");
  CHECK(strchr(mql4grec_last_error(), '\n') == NULL);
  mql4grec_free(NULL);
}

int main(int count, char** arguments) {
  if (count != 3) {
    printf("usage: c_api DATASET MODEL, an empty directory Ring and one that doesn't exist\n");
    return 2;
  }
  char const *dataset = arguments[1], *model = arguments[2];
  char translator[4096];
  snprintf(translator, sizeof translator, "%s.images", model);
  int32_t codes[items * levels];
  test_versions();
  test_quantize(codes, translator);
  write_dataset(dataset, codes);
  test_recipes();
  test_train(dataset, model);
  test_load_errors(dataset, model);
  mql4grec_recommender* shop = NULL;
  CHECK_OK(mql4grec_load(model, dataset, NULL, &shop));
  if (shop) {
    test_catalog(shop, codes);
    test_recommend(shop);
    test_batch(shop);
    test_lists_and_deadlines(shop);
    test_stop(shop);
    test_explain(shop);
    test_explain_with_limits(shop);
    test_evaluate(shop);
    test_sizes(shop);
    test_threads(shop);
  }
  mql4grec_free(shop);
  test_changes(dataset, model, translator);
  test_rules(dataset, model);
  test_scores(dataset, model);
  printf(failures ? "%d checks failed\n" : "everything passed\n", failures);
  return failures != 0;
}
