#pragma once
// Computes the features of all items of a catalog with a frozen encoder, in a .npy file whose row i belongs to item i.
// Items are processed in sections of consecutive items. After each section its rows are on the disk, so an interrupted
// run continues there, with the same bits: batches depend on the items of their section only. Several ranks compute a
// section each at a time, and the file has the bits of a single process:
//
//     round 0   rank 0: items 0 … 1023, rank 1: items 1024 … 2047    → rank 0 writes both
//     round 1   rank 0: items 2048 …
//
// Texts are sorted by length within a section and packed, so no work is spent on padding. Memory: a section's tokens
// and features, the encoder, and a batch of activations per worker.
#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <functional>
#include <numeric>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <variant>
#include <vector>

#include "mql4grec/backend/contract/row_blocks.hpp"
#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/backend/cpu/cpu.hpp"
#include "mql4grec/catalog/dataset_paths.hpp"
#include "mql4grec/catalog/read.hpp"
#include "mql4grec/core/checksum.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/core/macros.hpp"
#include "mql4grec/embed/encoder/config.hpp"
#include "mql4grec/embed/encoder/item_encoder.hpp"
#include "mql4grec/embed/feature_writer.hpp"
#include "mql4grec/embed/image/item_images.hpp"
#include "mql4grec/embed/tokenizer/tokenizer.hpp"
#include "mql4grec/train/exchange.hpp"
#include "mql4grec/train/run.hpp"

namespace mql4grec::pipeline {

/// A field of an item's description.
enum class text_field { title, description, brand, categories };

/// The field of a name: title, description, brand or categories. Throws error for any other name.
[[nodiscard]] text_field text_field_named(std::string const& name);

/// What happens to empty fields of an item that has other ones.
enum class empty_fields {
  omit,   ///< the features of the item are the mean over its other fields
  encode  ///< an empty text is encoded like any other, as the released code does
};

/// Which fields of a description are encoded.
struct text_selection {
  std::vector<text_field> fields = {text_field::title, text_field::description};  ///< in this order
  empty_fields empty = empty_fields::omit;                                        ///< what happens to empty ones
};

/// The texts of each item.
using item_texts = std::vector<std::vector<std::string>>;

/// The texts of items 0 … items − 1. An item whose fields are all empty has none. Throws error for a description of an
/// item out of range.
[[nodiscard]] item_texts texts_of(catalog::item_descriptions const& descriptions, index_t items,
                                  text_selection const& selection = {});

/// What a dataset directory says about its items.
struct item_content {
  index_t items = 0;                        ///< one more than the largest item of any file
  catalog::item_descriptions descriptions;  ///< of `Name.item.json`; empty without it
  std::vector<std::string> raw_ids;         ///< of `Name.item2id`, by number; empty without it
};

/// Reads a dataset directory: interactions, descriptions and raw ids, each of which may be missing. Throws file_error
/// if all are, and for a damaged file.
[[nodiscard]] item_content read_item_content(std::filesystem::path const& directory);

/// The progress of embed_texts() and embed_images().
struct embedding_progress {
  index_t done = 0, items = 0;  ///< items, those of earlier runs included; all items
  index_t here = 0;             ///< items that this call has computed
  double seconds = 0;           ///< since the call
};

/// Where features are written, and how a run is observed.
struct embedding_run {
  std::filesystem::path out;                           ///< the .npy file
  embed::feature_run how = embed::feature_run::begin;  ///< whether an interrupted run is continued
  index_t section = 1024;                              ///< items between two writes
  std::function<void(embedding_progress const&)> on_progress = [](auto const&) {};  ///< called on worker 0's thread
  std::function<bool()> interrupted = [] {
    return false;
  };  ///< asked on worker 0's thread; true ends the run, and what
      ///< the current section has computed is computed again
  /// Share the sections out. All call with the same encoder, items and options; rank 0 alone opens `out`.
  train::host_communicator ranks = {};
};

/// How texts are encoded.
struct text_embedding_options {
  index_t max_tokens = 512;     ///< of a field, special tokens included; further ones are cut off
  index_t batch_tokens = 1024;  ///< tokens that a worker encodes at once; a longer text is a batch of its own
};

/// How images are encoded.
struct image_embedding_options {
  embed::image_reading reading = {};  ///< from files to pixels
  index_t batch = 16;                 ///< images that a worker encodes at once
};

/// The result of embed_texts() and embed_images().
struct embedding_result {
  train::run_status status = train::run_status::finished;  ///< finished or interrupted
  embedding_progress progress = {};                        ///< at the end
  index_t width = 0;                                       ///< columns of the features
  index_t empty = 0;        ///< items without text or image among those of this call; their rows are zeros
  std::int64_t units = 0;   ///< texts or images that this call encoded
  std::int64_t tokens = 0;  ///< of those texts
  std::vector<embed::bad_image> bad = {};  ///< images that can't be read, by item; their rows are zeros
};

namespace detail {

/// A checksum of an encoder's parameters.
template <Backend B, class Encoder>
std::uint64_t checksum_of_parameters(B& backend, Encoder const& encoder) {
  auto const all = encoder.parameters();
  std::uint64_t sum = 0;
  constexpr index_t most = index_t{1} << 22;
  for (index_t first = 0; first < all.size(); first += most) {
    host_copy<float, typename B::memory_space> const part(backend, all.part(first, std::min(most, all.size() - first)));
    sum = checksum(std::as_bytes(as_span(part.view_all())), sum);
  }
  return sum;
}

/// A checksum of the texts of all items, and of how many each has.
std::uint64_t checksum_of(item_texts const& texts);
/// A checksum of the names and the sizes of images.
std::uint64_t checksum_of(std::vector<std::filesystem::path> const& images);

/// The threads of the host that prepare inputs: as many as a host's backend has workers; all of them for a device.
template <Backend B>
cpu::thread_pool open_threads(B const& backend) {
  if constexpr (std::same_as<typename B::memory_space, host_space>)
    return cpu::thread_pool(backend.workers());
  else
    return cpu::thread_pool(std::max<index_t>(1, std::thread::hardware_concurrency()));
}

/// Calls task(i) for each i in [0, n), on whichever thread is free.
template <class Task>
void for_each_of(cpu::thread_pool& threads, index_t n, Task&& task) {
  std::atomic<index_t> next{0};
  threads.run([&](index_t) {
    for (index_t i = next++; i < n; i = next++) task(i);
  });
}

/// One run of either function: its file, its sections, progress. With several ranks, each computes the next section
/// that no other one does, and rank 0 writes them in order.
class embedding_loop {
 public:
  /// `inputs` are kept with the rows, and compared when a run is continued. `more`: what the ranks must have in common
  /// besides.
  embedding_loop(embedding_run const& run, embed::feature_shape shape, json const& inputs, std::uint64_t more = 0)
      : run_(run), ranks_(run.ranks), items_(shape.rows) {
    expects(run.section >= 1, "embedding: sections of ", run.section, " items, expected at least 1");
    train::expect_equal(ranks_, "the set of inputs", checksum_of(inputs, shape, more));
    if (ranks_.rank() == 0) file_.emplace(run.out, shape, inputs, run.how);
    result_.width = shape.width;
    before_ = done_ = train::of_first_rank(ranks_, file_ ? file_->done() : 0);
  }

  /// Calls encode(first item, rows (count, width) of zeros, result) for each section of this rank that isn't done.
  template <class Encode>
  embedding_result run(Encode&& encode) {
    std::vector<float> memory;
    while (done_ < items_) {
      index_t const first = std::min(items_, done_ + ranks_.rank() * run_.section),
                    count = std::min(run_.section, items_ - first);
      memory.assign(to_size(count * result_.width), 0.f);
      host_matrix_view<float> const rows(memory.data(), count, result_.width);
      report(0);
      if (count > 0) encode(first, rows, result_);
      if (train::sum_of_ranks(ranks_, stopped() ? 1 : 0) > 0) {
        stopped_ = true;
        break;
      }
      append(rows);
      done_ = std::min(items_, done_ + ranks_.world_size() * run_.section);
    }
    if (stopped())
      result_.status = train::run_status::interrupted;
    else if (file_)
      file_->commit();
    report(0);
    add_ranks();
    return std::move(result_);
  }
  /// Whether the run has been interrupted: the workers should return.
  bool stopped() const { return stopped_.load(std::memory_order_relaxed); }
  /// Reports that so many items of the current section are done, and asks whether the run is interrupted.
  void report(index_t of_section) {
    auto& p = result_.progress;
    p.items = items_;
    p.done = std::min(items_, done_ + of_section * ranks_.world_size());
    p.here = p.done - before_;
    p.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start_).count();
    run_.on_progress(p);
    if (p.done < items_ && run_.interrupted()) stopped_.store(true, std::memory_order_relaxed);
  }

 private:
  static std::uint64_t checksum_of(json const& inputs, embed::feature_shape shape, std::uint64_t more);
  /// Appends a section of each rank to the file.
  void append(host_matrix_view<float const> rows) {
    if (ranks_.world_size() == 1) return file_->append(rows);
    std::vector<index_t> offsets(to_size(ranks_.world_size() + 1), rows.size());  // all goes to rank 0
    offsets.front() = 0;
    auto const all = train::exchange<float>(ranks_, as_span(rows.flat()), offsets);
    if (file_) file_->append({all.data(), std::ssize(all) / result_.width, result_.width});
  }
  /// Makes the counts and the messages those of all ranks.
  void add_ranks();

  embedding_run const& run_;
  train::host_communicator const& ranks_;
  std::optional<embed::feature_writer> file_;  // of rank 0
  index_t items_, before_ = 0, done_ = 0;      // of all ranks
  std::atomic<bool> stopped_{false};
  embedding_result result_;
  std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

/// Copies features (n, width) of a worker's batch to the host.
template <Backend B>
void copy_rows(B& worker, in_matrix<B, float> from, std::vector<index_t> const& rows, host_matrix_view<float> to) {
  host_copy<float, typename B::memory_space> const values(worker, from.flat());
  for (index_t i = 0; i < from.rows(); ++i)
    std::memcpy(to.row(rows[to_size(i)]).data, values.view_all().data + i * from.columns(),
                to_size(from.columns()) * sizeof(float));
}

/// A checksum of how a tokenizer divides the first texts of a catalog.
template <embed::Tokenizer T>
std::uint64_t checksum_of(T const& tokenizer, item_texts const& texts) {
  constexpr std::size_t most = 1024;  // items
  constexpr index_t most_tokens = 512;
  auto sum = static_cast<std::uint64_t>(tokenizer.vocab_size());
  for (std::size_t i = 0; i < std::min(most, texts.size()); ++i)
    for (auto const& text : texts[i]) {
      auto const tokens = tokenizer.encode(text, embed::encode_options{.max_tokens = most_tokens});
      sum = checksum(std::as_bytes(std::span(tokens)), sum);
    }
  return sum;
}

/// The sizes of an encoder, as inputs of a run.
json json_of(embed::bert_config const& c);
json json_of(embed::llama_config const& c);
json json_of(embed::clip_vision_config const& c);
/// From decoded images to pixels.
json json_of(embed::image_preprocessing const& how);

/// The configuration of an encoder of this library; null for others.
template <class Encoder>
json configuration_of(Encoder const& encoder) {
  if constexpr (requires { encoder.kind(); })
    return std::visit([](auto const& one) { return configuration_of(one); }, encoder.kind());
  else if constexpr (requires { json_of(encoder.config()); })
    return json_of(encoder.config());
  else
    return nullptr;
}

/// What the features of texts and of images depend on besides: the encoder, the backend, and how items are grouped.
template <Backend B, class Encoder>
json inputs_of(B& backend, Encoder const& encoder, embedding_run const& run) {
  json inputs = train::settings_of(backend);
  inputs["encoder"] = checksum_of_parameters(backend, encoder);
  inputs["configuration"] = configuration_of(encoder);
  inputs["section"] = run.section;
  return inputs;
}

/// The texts of a section: field `f` of item `item` is one of them.
struct section_texts {
  std::vector<index_t> item;                 ///< of the section, of each text
  std::vector<std::vector<token_t>> tokens;  ///< of each text

  /// The texts, longest first, in batches of at most `batch_tokens` tokens.
  [[nodiscard]] std::vector<std::vector<index_t>> batches(index_t batch_tokens) const;
};

}  // namespace detail

/// Computes the features of items 0 … texts.size() − 1: the mean over an item's texts of the encoder's features, zeros
/// for an item without texts. Throws error for options out of range and for ranks with other arguments, file_error if
/// the file can't be written or continued. `encoder` has positions() and vocabulary(), as any_text_encoder.
template <Backend B, class Encoder, embed::Tokenizer Tokenizer>
  requires embed::ItemEncoder<Encoder, B, float> embedding_result embed_texts(B& backend, Encoder const& encoder,
                                                                              Tokenizer const& tokenizer,
                                                                              item_texts const& texts,
                                                                              text_embedding_options const& options,
                                                                              embedding_run const& run) {
    index_t const max_tokens = std::min(options.max_tokens, encoder.positions()), width = encoder.features();
    expects(options.max_tokens >= 1 && options.batch_tokens >= 1, "embedding: texts of ", options.max_tokens,
            " tokens in batches of ", options.batch_tokens, ", expected at least 1");
    json inputs = detail::inputs_of(backend, encoder, run);
    inputs["texts"] = detail::checksum_of(texts);
    inputs["tokenizer"] = detail::checksum_of(tokenizer, texts);
    inputs["max_tokens"] = max_tokens;
    inputs["batch_tokens"] = options.batch_tokens;
    detail::embedding_loop loop(run, {std::ssize(texts), width}, inputs);
    auto threads = detail::open_threads(backend);
    return loop.run([&](index_t first, host_matrix_view<float> rows, embedding_result& result) {
      detail::section_texts section;
      std::vector<std::string const*> from;
      for (index_t i = 0; i < rows.rows(); ++i) {
        auto const& item = texts[to_size(first + i)];
        result.empty += item.empty();
        for (auto const& text : item) {
          from.push_back(&text);
          section.item.push_back(i);
        }
      }
      section.tokens.resize(from.size());
      constexpr index_t at_once = 64;
      detail::for_each_of(threads, (std::ssize(from) + at_once - 1) / at_once, [&](index_t block) {
        for (index_t i = block * at_once; i < std::min(std::ssize(from), (block + 1) * at_once); ++i)
          section.tokens[to_size(i)] =
              tokenizer.encode(*from[to_size(i)], embed::encode_options{.max_tokens = max_tokens});
      });
      auto const batches = section.batches(options.batch_tokens);
      std::vector<float> memory(from.size() * to_size(width));
      host_matrix_view<float> const features(memory.data(), std::ssize(from), width);
      std::int64_t all_tokens = 0;
      for (auto const& text : section.tokens) all_tokens += std::ssize(text);
      std::atomic<std::int64_t> done{0};
      contract::detail::for_each_row_block(
          backend, std::ssize(batches), 1, [&](B& worker, index_t b, index_t, index_t) {
            if (loop.stopped()) return;
            auto const& members = batches[to_size(b)];
            embed::token_batch batch;
            for (index_t const text : members) batch.add(section.tokens[to_size(text)]);
            scratch_scope<B> const scope(worker.scratch());
            auto const out = take<float>(worker, batch.size(), width);
            encoder.encode(worker, batch, out);
            detail::copy_rows<B>(worker, out, members, features);
            done += std::ssize(batch.tokens);
            if (&worker == &backend.worker(0))
              loop.report(static_cast<index_t>(static_cast<double>(rows.rows()) * static_cast<double>(done.load()) /
                                               static_cast<double>(all_tokens)));
          });
      result.units += std::ssize(from);
      result.tokens += all_tokens;
      for (index_t text = 0; text < std::ssize(from);) {
        index_t const item = section.item[to_size(text)], begin = text;
        auto const row = rows.row(item);
        for (; text < std::ssize(from) && section.item[to_size(text)] == item; ++text)
          for (index_t j = 0; j < width; ++j) row(j) += features(text, j);
        for (index_t j = 0; j < width; ++j) row(j) /= static_cast<float>(text - begin);
      }
    });
  }

/// Computes the features of items 0 … images.size() − 1; an empty path means that an item has no image. Its row is
/// zeros, and so is that of an image that can't be read, unless options.reading.strict. Throws as embed_texts().
template <Backend B, class Encoder>
  requires embed::ItemEncoder<Encoder, B, float> embedding_result
  embed_images(B& backend, Encoder const& encoder, std::vector<std::filesystem::path> const& images,
               image_embedding_options const& options, embedding_run const& run) {
    index_t const width = encoder.features(), values = options.reading.preprocessing.values();
    expects(options.batch >= 1, "embedding: batches of ", options.batch, " images, expected at least 1");
    json inputs = detail::inputs_of(backend, encoder, run);
    inputs["images"] = detail::checksum_of(images);
    inputs["preprocessing"] = detail::json_of(options.reading.preprocessing);
    inputs["batch"] = options.batch;
    detail::embedding_loop loop(run, {std::ssize(images), width}, inputs, options.reading.strict ? 1 : 0);
    auto threads = detail::open_threads(backend);
    return loop.run([&](index_t first, host_matrix_view<float> rows, embedding_result& result) {
      std::vector<index_t> present;
      for (index_t i = 0; i < rows.rows(); ++i)
        if (!images[to_size(first + i)].empty()) present.push_back(i);
      result.empty += rows.rows() - std::ssize(present);
      // All threads read a group of images, then the workers encode it in batches.
      constexpr bool on_host = std::same_as<typename B::memory_space, host_space>;
      index_t const group = options.batch * (on_host ? 4 * backend.workers() : 8);
      std::vector<float> memory(to_size(std::min(group, index_t{std::ssize(present)}) * values));
      for (index_t begin = 0; begin < std::ssize(present) && !loop.stopped(); begin += group) {
        index_t const count = std::min(std::ssize(present) - begin, group);
        std::vector<std::filesystem::path> paths;
        for (index_t i = begin; i < begin + count; ++i) paths.push_back(images[to_size(first + present[to_size(i)])]);
        auto report = embed::read_images(threads, paths, options.reading, {memory.data(), count, values});
        for (auto& one : report.bad)
          result.bad.push_back({first + present[to_size(begin + one.row)], std::move(one.message)});
        std::vector<index_t> good, begins;  // rows of the section, whose pixels move to the front; where batches begin
        for (index_t i = 0; i < count; ++i) {
          if (i % options.batch == 0) begins.push_back(std::ssize(good));
          if (report.rows[to_size(i)] != embed::image_status::read) continue;
          if (std::ssize(good) < i)
            std::copy_n(memory.data() + i * values, values, memory.data() + std::ssize(good) * values);
          good.push_back(present[to_size(begin + i)]);
        }
        result.units += std::ssize(good);
        begins.push_back(std::ssize(good));
        contract::detail::for_each_row_block(
            backend, std::ssize(begins) - 1, 1, [&](B& worker, index_t batch, index_t, index_t) {
              index_t const from = begins[to_size(batch)], images_here = begins[to_size(batch) + 1] - from;
              if (images_here == 0) return;
              scratch_scope<B> const scope(worker.scratch());
              auto const out = take<float>(worker, images_here, width);
              encoder.encode(worker, embed::image_batch{{memory.data() + from * values, images_here, values}}, out);
              detail::copy_rows<B>(worker, out, {good.begin() + from, good.begin() + from + images_here}, rows);
            });
        loop.report((begin + count) * rows.rows() / std::ssize(present));
      }
    });
  }

}  // namespace mql4grec::pipeline

#if !MQL4GREC_COMPILED
#include "mql4grec/pipeline/embed.inl.hpp"
#endif
