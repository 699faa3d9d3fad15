#pragma once
// A report is a value that the commands fill. Writing it creates one self-contained HTML file.
#include <filesystem>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "mql4grec/pipeline/evaluate.hpp"
#include "mql4grec/quantize/rq_vae/training.hpp"
#include "mql4grec/seq2seq/training.hpp"
#include "summaries.hpp"

namespace mql4grec::program {

/// An item: its title, and its tokens in every modality.
struct shown_item {
  item_id item = {};
  std::string title;
  std::vector<std::string> words = {};  ///< <a_1><b_2>… of each modality; empty where the item has none
};

/// One user: the history, the held-out item, the recommendations.
struct shown_example {
  struct entry {
    shown_item item;
    double score;
    bool hit;
  };
  struct list {
    std::string name;  ///< "text", "image", "ensemble"
    std::vector<entry> best;
  };
  std::string user;
  std::vector<shown_item> history;  ///< the last items, oldest first
  index_t earlier = 0;              ///< items before them
  shown_item target;
  index_t place = 0;        ///< of the target in the ensemble, counted from 1; 0: it was not recommended
  std::vector<list> lists;  ///< of each modality that found items, then the ensemble

  list const& ensemble() const { return lists.back(); }
};

/// The meaning of a modality's first tokens: the items that begin with each.
struct shown_language {
  struct word {
    std::string text;  ///< <a_1>
    index_t items = 0;
    std::vector<shown_item> some;  ///< those that share more tokens are neighbors
  };
  std::string modality;
  index_t words_in_use = 0;
  std::vector<word> most_used;
};

/// The section on one translator.
struct shown_translation {
  struct file {
    std::string name;
    index_t items = 0, missing = 0;
    double collisions_before = 0, collisions_after = 0;  ///< shares of the items with features
    index_t moved = 0;
  };
  struct group {
    std::string codes;  ///< <a_1><b_2>…, the codes that its items share
    index_t items = 0;
    std::vector<std::string> titles;  ///< of the first items
  };
  std::string modality;
  std::vector<quantize::rq_vae_epoch> epochs;
  std::int64_t best_epoch = 0;
  double error_unit = 1;  ///< errors of the epochs are divided by this to be in the features' own units
  std::vector<std::vector<index_t>>
      code_counts;  ///< (levels)(K): items per code, of all files, after collisions were handled
  std::vector<file> files;
  std::vector<group> groups;  ///< the largest before collisions were handled
};

using report_facts = std::vector<std::pair<std::string, std::string>>;

struct report_page {
  std::string title;
  report_facts facts;  ///< name and value, for the head of the page
  std::vector<seq2seq::epoch_record> epochs;
  std::int64_t best_epoch = 0;
  std::vector<metric_row> metrics;
  std::vector<shown_example> examples;
  std::vector<shown_translation> translations = {};
  std::vector<shown_language> languages = {};
  std::vector<std::filesystem::path> pictures = {};  ///< of each item; an empty path or no entry: none
};

/// Stores the command line, which every report shows. Called once, by main.
void remember_command_line(int count, char const* const* arguments);

/// An empty page with these facts, followed by the machine, the date and the command line.
report_page page_with(std::string title, report_facts facts);

report_page training_report(std::vector<std::string> const& datasets, std::filesystem::path const& model,
                            seq2seq::training_progress const& progress);

struct evaluation_report_inputs {
  tasks::dataset const& data;
  std::filesystem::path const& model;
  pipeline::evaluation const& found;
  pipeline::evaluation_options const& options;
  language::vocabulary const& vocab;
  std::vector<metric_row> rows = {};
  std::vector<std::filesystem::path> pictures = {};         ///< of each item
  std::optional<seq2seq::training_progress> training = {};  ///< of the model, for the loss curves
};
report_page evaluation_report(evaluation_report_inputs inputs);

/// The first tokens of each modality of a dataset, most used first.
std::vector<shown_language> languages_of(tasks::dataset const& data, language::vocabulary const& vocab);

/// The first `count` users that were evaluated.
std::vector<shown_example> examples_of(evaluation_report_inputs const& inputs, std::size_t count);

/// The item's title, or "item 17".
std::string title_of(catalog::item_descriptions const& items, item_id item);
std::string title_of(tasks::dataset const& data, item_id item);

/// Throws file_error.
void write_report(std::filesystem::path const& path, report_page const& page);

}  // namespace mql4grec::program
