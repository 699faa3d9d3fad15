#ifndef MQL4GREC_H
#define MQL4GREC_H
/** @file
 * The C interface of mql4grec, in the shared library mql4grec_c: load a model and recommend, evaluate, train. C11 or
 * any language that calls C.
 *
 * - Functions that can fail return a mql4grec_status; mql4grec_last_error() is the message, one line. No C++ exception
 *   leaves the library.
 * - Structures that a call reads or writes begin with their size: `mql4grec_request request = {.size = sizeof request,
 *   .k = 10};`. A member that is 0 has its default. Later versions add members at the end; a library that is older than
 *   its caller accepts them if they are 0. Structures without a size, the elements of arrays, never change.
 * - Strings are UTF-8 and end with 0. Arrays belong to the caller, and the library keeps none of them, unless stated
 *   otherwise.
 * - Any number of threads may use a recommender at once, also while others change its items; mql4grec_free() must be
 *   called after all of them have finished. mql4grec_last_error() is of the calling thread.
 */
#include <stddef.h>
#include <stdint.h>

/** @addtogroup c
 * @{ */

#if defined(__GNUC__)
/// Marks what the shared library exports.
#define MQL4GREC_API __attribute__((visibility("default")))
#else
/// Marks what the shared library exports.
#define MQL4GREC_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

/// The version of this interface. It grows when functions or members are added.
#define MQL4GREC_ABI_VERSION 2

/// How a call ended.
typedef enum mql4grec_status {
  MQL4GREC_OK = 0,                ///< done
  MQL4GREC_INVALID_ARGUMENT = 1,  ///< an argument is out of range, or the arguments don't fit together
  MQL4GREC_FILE_ERROR = 2,        ///< a file can't be read or written, or its content is invalid
  MQL4GREC_TRAINING_ERROR = 3,    ///< training can't continue: the loss isn't finite
  MQL4GREC_OUT_OF_MEMORY = 4,     ///< memory is exhausted
  MQL4GREC_INTERNAL_ERROR = 5,    ///< anything else; please report it
  MQL4GREC_INTERRUPTED = 6        ///< a function of the caller asked for it
} mql4grec_status;

/// The version of mql4grec, such as "0.1.0". Static memory.
MQL4GREC_API char const* mql4grec_version(void);

/// MQL4GREC_ABI_VERSION of the library that is loaded.
MQL4GREC_API int32_t mql4grec_abi_version(void);

/// The message of the last call of this thread that failed, one line; "" if none has. Valid until the next call that
/// fails on this thread.
MQL4GREC_API char const* mql4grec_last_error(void);

// ---------------------------------------------------------------------------------------------------- recommender

/// A model and a catalog, whose items may change while requests run. See above for threads.
typedef struct mql4grec_recommender mql4grec_recommender;

/// The precision of matrix products.
typedef enum mql4grec_precision {
  MQL4GREC_FP32 = 0,  ///< single precision
  MQL4GREC_BF16 = 1,  ///< factors are rounded to bfloat16
  MQL4GREC_INT8 = 2   ///< for recommending and evaluating only
} mql4grec_precision;

/// A named set of items, such as a brand or a category.
typedef struct mql4grec_item_set {
  char const* name;      ///< 1 to 256 bytes
  int32_t const* items;  ///< also items that have no codes yet
  size_t count;          ///< entries of `items`
} mql4grec_item_set;

/// Options of mql4grec_load().
typedef struct mql4grec_load_options {
  size_t size;        ///< sizeof(mql4grec_load_options)
  int32_t precision;  ///< a mql4grec_precision
  int32_t beams;      ///< beams of a search, 1 to 4096; 0: 20
  /// The file of the log of changes of the catalog, which is created, or replayed if it exists; NULL: changes are lost
  /// when the recommender is destroyed.
  char const* catalog_log;
  /// Sets that requests may name, besides those of the dataset, of which they replace those with the same name; at most
  /// 65,536 in all. With a log, the same sets should be given at every start.
  mql4grec_item_set const* sets;
  size_t set_count;  ///< entries of `sets`
} mql4grec_load_options;

/// Loads a model directory, such as `mql4grec finetune` writes, and a dataset directory. `options` may be NULL. `out`
/// receives a recommender that mql4grec_free() destroys, or NULL. The dataset's sets are "brand:…" and "category:…" of
/// its descriptions, and those of `Name.sets.json`.
MQL4GREC_API mql4grec_status mql4grec_load(char const* model, char const* dataset, mql4grec_load_options const* options,
                                           mql4grec_recommender** out);

/// Destroys a recommender; does nothing for NULL.
MQL4GREC_API void mql4grec_free(mql4grec_recommender* recommender);

/// The number of entries of mql4grec_info::levels.
#define MQL4GREC_MAX_MODALITIES 8

/// The sizes of a recommender.
typedef struct mql4grec_info {
  size_t size;                              ///< sizeof(mql4grec_info); set by the caller
  int64_t items;                            ///< items are numbered from 0; grows when items are inserted
  int64_t users;                            ///< users of the dataset, numbered from 0
  int64_t modalities;                       ///< 0: text, 1: images, then further ones
  int64_t code_width;                       ///< codes of an item in all modalities: the sum of `levels`
  int64_t levels[MQL4GREC_MAX_MODALITIES];  ///< codes of an item in each modality
} mql4grec_info;

/// Writes the sizes of a recommender.
MQL4GREC_API mql4grec_status mql4grec_describe(mql4grec_recommender const* recommender, mql4grec_info* info);

/// The title of an item; "" if the dataset has none. Valid until the recommender is destroyed. NULL if there is no such
/// item.
MQL4GREC_API char const* mql4grec_item_title(mql4grec_recommender const* recommender, int32_t item);

/// Writes the codes of `count` items to `codes`, (count, code_width): those of text, then those of images and of
/// further modalities. −1 in a modality that the item lacks, and for an item that has been removed.
MQL4GREC_API mql4grec_status mql4grec_item_codes(mql4grec_recommender const* recommender, int32_t const* items,
                                                 size_t count, int32_t* codes);

/// The items of a user of the dataset, oldest first. `items` receives memory that is valid until the recommender is
/// destroyed.
MQL4GREC_API mql4grec_status mql4grec_user_history(mql4grec_recommender const* recommender, int64_t user,
                                                   int32_t const** items, size_t* count);

// --------------------------------------------------------------------------------------- changes of the catalog

/// Inserts `count` items, or gives them other codes: `codes`, (count, code_width), as mql4grec_item_codes() writes
/// them; −1 in all levels of a modality that an item lacks. Item numbers may be larger than all existing ones. The
/// changes become visible together: every request that begins after this call searches them, and with a log they are on
/// the disk when it returns. If one doesn't fit the catalog, none is made.
MQL4GREC_API mql4grec_status mql4grec_set_items(mql4grec_recommender* recommender, int32_t const* items, size_t count,
                                                int32_t const* codes);

/// Removes `count` items, in the same way. An item that isn't there is no error. Histories may still contain them; they
/// are skipped.
MQL4GREC_API mql4grec_status mql4grec_remove_items(mql4grec_recommender* recommender, int32_t const* items,
                                                   size_t count);

/// Puts an item that has codes in `count` sets, and in no others, in the same way. A name that no set has makes a new
/// one. Items that are inserted, given other codes or removed stay in their sets.
MQL4GREC_API mql4grec_status mql4grec_put_in_sets(mql4grec_recommender* recommender, int32_t item,
                                                  char const* const* sets, size_t count);

/// A trained translator, which gives single items their codes.
typedef struct mql4grec_translator mql4grec_translator;

/// Loads a directory that mql4grec_quantize() or `mql4grec translate` has written a translator to. `out` receives a
/// translator that mql4grec_free_translator() destroys, or NULL.
MQL4GREC_API mql4grec_status mql4grec_load_translator(char const* directory, mql4grec_translator** out);

/// Destroys a translator; does nothing for NULL.
MQL4GREC_API void mql4grec_free_translator(mql4grec_translator* translator);

/// Writes the codes of an item for mql4grec_set_items(), from its features (width): the nearest codes, or the nearest
/// free ones if another item of the catalog has these. Of `codes`, (code_width), only the entries of the translator's
/// modality are written. Doesn't change the catalog: place and set items one after another, since two that are placed
/// before one of them is set may get the same codes.
MQL4GREC_API mql4grec_status mql4grec_place_item(mql4grec_recommender const* recommender,
                                                 mql4grec_translator const* translator, float const* features,
                                                 size_t width, int32_t* codes);

// ------------------------------------------------------------------------------------------------------- requests

/// The list that a request asks for.
typedef enum mql4grec_list {
  MQL4GREC_FUSED = 0,  ///< the lists of all modalities, fused
  MQL4GREC_TEXT = 1,   ///< that of text alone; in general 1 + the number of a modality
  MQL4GREC_IMAGE = 2   ///< that of images alone
} mql4grec_list;

/// The scores of the fused lists. docs/howto-serve.md has their contracts.
typedef enum mql4grec_scores {
  MQL4GREC_RAW = 0,  ///< of the model; they order items, and nothing else
  /// log p among the items that are searched: in each modality, their probabilities add up to 1.
  MQL4GREC_RENORMALIZED = 1,
  /// The probability that the item is the next one. Of fused lists, and of models with a `calibration.json`, which
  /// `mql4grec evaluate --calibrate` writes; not a number if the search ended early. Refused unless the calibration was
  /// fitted with the beams that the model is loaded with, and for more items than beams. It holds for lists like those
  /// that it was fitted on, without rules; nothing checks that.
  MQL4GREC_CALIBRATED = 2
} mql4grec_scores;

/// A limit on an answer: at most so many items of a set.
typedef struct mql4grec_quota {
  char const* set;  ///< its name
  int64_t most;     ///< at least 0
} mql4grec_quota;

/// One request, or several with the same options. The rules act inside the search: k items are found whenever k items
/// fit.
typedef struct mql4grec_request {
  size_t size;             ///< sizeof(mql4grec_request)
  int32_t const* history;  ///< items, oldest first; of several requests back to back
  size_t history_length;   ///< entries of `history`
  int64_t const* offsets;  ///< (count + 1): request r has history[offsets[r] … offsets[r + 1]); NULL: one request
  size_t count;            ///< requests; ignored if `offsets` is NULL
  size_t k;                ///< items to return for each request, 0 to 4096
  int32_t const* allow;    ///< only these items; NULL: all
  size_t allow_length;     ///< entries of `allow`
  int32_t const* deny;     ///< never these items
  size_t deny_length;      ///< entries of `deny`
  size_t threads;          ///< that answer several requests; 0: one for each hardware thread
  int32_t list;            ///< a mql4grec_list
  double deadline_ms;      ///< milliseconds from the call after which a search ends with the best so far; 0: none
  /// Called between the steps of a search, on the threads that search; anything but 0 ends all searches with the best
  /// so far. May be NULL.
  int32_t (*stop)(void* context);
  void* context;                 ///< the argument of `stop`
  char const* const* any_of;     ///< only items of at least one of these sets; no entry: all
  size_t any_of_count;           ///< entries of `any_of`
  char const* const* all_of;     ///< only items of each of these sets
  size_t all_of_count;           ///< entries of `all_of`
  char const* const* none_of;    ///< never items of these sets
  size_t none_of_count;          ///< entries of `none_of`
  mql4grec_quota const* quotas;  ///< at most so many items of some sets
  size_t quota_count;            ///< entries of `quotas`
  int32_t exclude_seen;          ///< 1: never items of the request's own history, all of which count here
  int32_t scores;                ///< a mql4grec_scores
} mql4grec_request;

/// The answers, in memory of the caller. Each array but `items` may be NULL. Entries beyond counts[r] are filled: items
/// and codes with −1, scores with −infinity.
typedef struct mql4grec_answer {
  size_t size;        ///< sizeof(mql4grec_answer); set by the caller
  int32_t* items;     ///< (requests, k), best first
  double* scores;     ///< (requests, k), never increasing in a row
  int32_t* codes;     ///< (requests, k, code_width) as mql4grec_item_codes() writes them after the search
  int64_t* counts;    ///< (requests): items found
  uint8_t* complete;  ///< (requests): 0 if the deadline or `stop` ended the search
  double* seconds;    ///< (requests, 3): of the encoder, the search and the ranking; several requests may share them
} mql4grec_answer;

/// Writes the k items that are most likely next for each request. Only the last items of a history count (20 by
/// default), and unknown ones are skipped; an empty history gives the model's prior. Fewer than k items only if fewer
/// are allowed. Several requests are searched together, on several threads, and get the same answers as each of them
/// alone up to rounding. Blocks until all are answered.
MQL4GREC_API mql4grec_status mql4grec_recommend(mql4grec_recommender const* recommender,
                                                mql4grec_request const* request, mql4grec_answer* answer);

/// The same among new items, `request->allow`: items that nobody has interacted with. mql4grec_recommend() ranks them
/// after items that the model has learnt; this function searches those that share codes with its best beams. Takes
/// about twice as long, and finds fewer than k items if fewer share a first code. The other rules choose among the new
/// items. No scores are calibrated.
MQL4GREC_API mql4grec_status mql4grec_recommend_new(mql4grec_recommender const* recommender,
                                                    mql4grec_request const* request, mql4grec_answer* answer);

/// Why items are recommended after a history, in memory of the caller. Each result may be NULL.
typedef struct mql4grec_explanation {
  size_t size;           ///< sizeof(mql4grec_explanation); set by the caller
  int32_t const* items;  ///< the items to explain; set by the caller
  size_t count;          ///< entries of `items`, at most 4096; set by the caller
  double* log_p;         ///< (count): the logarithm of the mean of the item's probabilities in its modalities
  /// (count, history_length): by how much log_p falls if this position is left out of the history; negative: it rises.
  /// Not a number for positions that the model doesn't read: it reads the last 20.
  double* drops;
  /// (count, history_length, modalities): the leading codes that both items have in common; −1 for positions that the
  /// model doesn't read.
  int32_t* shared_codes;
  double deadline_ms;              ///< milliseconds from the call after which it ends; 0: none; set by the caller
  int32_t (*stop)(void* context);  ///< as that of a request; may be NULL; set by the caller
  void* context;                   ///< the argument of `stop`; set by the caller
  int32_t complete;                ///< receives 0 if the deadline or `stop` ended the call, otherwise 1
} mql4grec_explanation;

/// Explains items by leaving out each item of the history in turn, the newest first. Drops of several items don't add
/// up. Takes about as long as 20 requests. If it ends early, positions that weren't computed are written as those that
/// the model doesn't read, and without time for the whole history all log_p are not a number.
MQL4GREC_API mql4grec_status mql4grec_explain(mql4grec_recommender const* recommender, int32_t const* history,
                                              size_t history_length, mql4grec_explanation* explanation);

// ------------------------------------------------------------------------------------------------------ evaluation

/// The part of the users' items that is predicted.
typedef enum mql4grec_split {
  MQL4GREC_TEST = 0,  ///< each user's last item
  MQL4GREC_VALID = 1  ///< the item before it
} mql4grec_split;

/// Options of mql4grec_evaluate().
typedef struct mql4grec_evaluate_options {
  size_t size;             ///< sizeof(mql4grec_evaluate_options)
  int32_t split;           ///< a mql4grec_split
  int32_t threads;         ///< 0: one for each hardware thread
  int64_t users;           ///< only the first so many users; 0: all
  int64_t const* cutoffs;  ///< the k of HR@k and NDCG@k; NULL: 1, 5, 10
  size_t cutoff_count;     ///< entries of `cutoffs`
  /// Called with the users done and all users, on the calling thread; anything but 0 ends the evaluation with
  /// MQL4GREC_INTERRUPTED. May be NULL.
  int32_t (*progress)(void* context, int64_t done, int64_t users);
  void* context;  ///< the first argument of `progress`
} mql4grec_evaluate_options;

/// The metrics, in memory of the caller. The rows of the arrays are the fused lists, then those of each modality; the
/// columns are the cut-offs. Not a number for a modality without sequences. Each array may be NULL.
typedef struct mql4grec_report {
  size_t size;        ///< sizeof(mql4grec_report); set by the caller
  double* hit;        ///< (1 + modalities, cut-offs): HR@k by token sequence, the paper's criterion
  double* ndcg;       ///< likewise NDCG@k
  double* item_hit;   ///< HR@k of the item itself, in expectation where several items share a sequence
  double* item_ndcg;  ///< likewise NDCG@k
  int64_t users;      ///< receives the number of evaluated users
  double seconds;     ///< receives the duration
} mql4grec_report;

/// Ranks the catalog, with its changes so far, for the users of the dataset and measures the places of their held-out
/// items. `options` may be NULL.
MQL4GREC_API mql4grec_status mql4grec_evaluate(mql4grec_recommender const* recommender,
                                               mql4grec_evaluate_options const* options, mql4grec_report* report);

// -------------------------------------------------------------------------------------------------------- training

/// Options for training; see docs/results.md for a comparison.
typedef enum mql4grec_recipe {
  MQL4GREC_PAPER = 0,  ///< AdamW, 200 epochs, batches of 1024, rate 5e-4
  MQL4GREC_FAST = 1,   ///< Muon, 20 epochs, batches of 256, rate 2e-3: a third of the examples for the same loss
  MQL4GREC_SMALL = 2   ///< Muon, 30 epochs, batches of 64, rate 4e-3, a quarter of the widths, no dropout: for a CPU
} mql4grec_recipe;

/// How a training ended.
typedef enum mql4grec_outcome {
  MQL4GREC_FINISHED = 0,     ///< the last epoch is done, or further ones would not help
  MQL4GREC_OUT_OF_TIME = 1,  ///< max_seconds have passed; the run can be resumed
  MQL4GREC_STOPPED = 2       ///< `progress` asked for it; the run can be resumed
} mql4grec_outcome;

/// The progress of a training, or its result.
typedef struct mql4grec_progress {
  size_t size;              ///< sizeof(mql4grec_progress); set by the caller of mql4grec_train()
  int32_t outcome;          ///< a mql4grec_outcome; of the result only
  int32_t epoch_ended;      ///< 1 in the call after an epoch and its validation, otherwise 0
  int64_t epoch;            ///< epochs done
  int64_t step;             ///< updates made
  int64_t steps_per_epoch;  ///< updates of an epoch; of the progress only
  int64_t examples;         ///< examples seen
  int64_t best_epoch;       ///< of the model that is kept, from 1; 0: none yet
  double loss;              ///< of the last batch, or the mean of the epoch that ended; nats for each token
  double valid_loss;        ///< of the last epoch; not a number before the first
  double best_loss;         ///< the lowest validation loss; infinite before the first
  double seconds;           ///< of training
} mql4grec_progress;

/// Options of mql4grec_train(). mql4grec_train_defaults() sets them; unlike elsewhere, 0 isn't a default.
typedef struct mql4grec_train_options {
  size_t size;           ///< sizeof(mql4grec_train_options)
  char const* dataset;   ///< dataset directory
  char const* out;       ///< directory of the run, which contains the best model
  char const* init;      ///< model directory to start from; NULL: random parameters
  char const* tasks;     ///< all, next, released, released-next, or a list; "all"
  int32_t muon;          ///< 1: Muon for the matrices of hidden layers; 0: AdamW for all
  int32_t resume;        ///< 1: continue the run in `out`, if there is one; 0
  int32_t threads;       ///< 0: one for each hardware thread
  int32_t precision;     ///< a mql4grec_precision; FP32 or BF16
  int64_t epochs;        ///< at most
  int64_t batch_size;    ///< examples of an update
  int64_t patience;      ///< epochs without a better validation loss before training stops; 0: never; 10
  uint64_t seed;         ///< of parameters, order and dropout; 42
  double learning_rate;  ///< at its height
  double dropout;        ///< 0.1
  double max_seconds;    ///< stops after so long; infinity: never
  int64_t model_width;   ///< of a new model, as the four below; 128
  int64_t heads;         ///< 6
  int64_t head_width;    ///< 64
  int64_t inner_width;   ///< of the feed-forward layers; 1024
  int64_t layers;        ///< of the encoder, and of the decoder; 4
  /// Called after every update and after every epoch on the calling thread; anything but 0 stops the training after its
  /// state is written. May be NULL.
  int32_t (*progress)(void* context, mql4grec_progress const* progress);
  void* context;  ///< the first argument of `progress`
} mql4grec_train_options;

/// Sets the options of a recipe, and `size` to the given size.
MQL4GREC_API mql4grec_status mql4grec_train_defaults(mql4grec_train_options* options, size_t size, int32_t recipe);

/// Trains a model on a dataset in the directory options->out. `result` may be NULL. If it fails, the files of the last
/// good state remain.
MQL4GREC_API mql4grec_status mql4grec_train(mql4grec_train_options const* options, mql4grec_progress* result);

/// Options of mql4grec_quantize().
typedef struct mql4grec_quantize_options {
  size_t size;      ///< sizeof(mql4grec_quantize_options)
  int32_t levels;   ///< codes of an item; 0: 4
  int32_t codes;    ///< codes of a level; 0: 256
  int32_t threads;  ///< 0: one for each hardware thread
  uint64_t seed;    ///< of the clustering; 0 is a seed too
  /// A directory that receives the translator, for mql4grec_load_translator(); it must not contain one. NULL: the
  /// translator isn't kept.
  char const* out;
  int32_t modality;  ///< of the features, for `out`; 0: text, 1: images
} mql4grec_quantize_options;

/// Encodes the features of items, (items, width) row by row, as codes (items, levels) by residual k-means, and gives
/// items with equal codes different ones. −1 for an item whose features are all 0. `options` may be NULL. Fails if
/// there are fewer items with features than codes of a level.
MQL4GREC_API mql4grec_status mql4grec_quantize(float const* features, size_t items, size_t width,
                                               mql4grec_quantize_options const* options, int32_t* codes);

#ifdef __cplusplus
}
#endif
/** @} */
#endif
