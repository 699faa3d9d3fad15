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

/// One user: the history, the held-out item, the recommendations.
struct shown_example {
  struct entry {
    std::string title;
    double score;
    bool hit;
  };
  std::string user;
  std::vector<std::string> history;  ///< oldest first
  std::string target;
  index_t place = 0;  ///< of the target, counted from 1; 0: it was not recommended
  std::vector<entry> best;
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
  std::vector<metric_row> rows;
  std::optional<seq2seq::training_progress> training = {};  ///< of the model, for the loss curves
};
report_page evaluation_report(evaluation_report_inputs inputs);

/// The first `count` users that were evaluated.
std::vector<shown_example> examples_of(tasks::dataset const& data, pipeline::evaluation const& found,
                                       pipeline::evaluation_options const& options, std::size_t count);

/// The item's title, or "item 17".
std::string title_of(catalog::item_descriptions const& items, item_id item);
std::string title_of(tasks::dataset const& data, item_id item);

/// Throws file_error.
void write_report(std::filesystem::path const& path, report_page const& page);

}  // namespace mql4grec::program
