#pragma once
// A report is a value that the commands fill; writing it makes one HTML file that needs nothing beside it.
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "evaluation.hpp"
#include "mql4grec/quantize/rq_vae/training.hpp"
#include "mql4grec/seq2seq/training.hpp"

namespace mql4grec::program {

/// One user: what was taken, what came next, what was recommended.
struct shown_example {
  struct entry {
    std::string title;
    double score;
    bool hit;
  };
  std::string user;
  std::vector<std::string> history;  ///< oldest first
  std::string target;
  index_t place = 0;  ///< of the target, from 1; 0: not among the recommended
  std::vector<entry> best;
};

/// A catalog's translation, for a page.
struct shown_translation {
  struct file {
    std::string name;
    index_t items = 0, missing = 0;
    double collisions_before = 0, collisions_after = 0;  ///< shares of the items with features
    index_t moved = 0;
  };
  struct group {
    std::string codes;  ///< <a_1><b_2>… that all had
    index_t items = 0;
    std::vector<std::string> titles;  ///< of the first of them
  };
  std::string modality;
  std::vector<translator_epoch> epochs;
  std::int64_t best_epoch = 0;
  double error_unit = 1;  ///< errors of the epochs are divided by this to be in the features' own units
  std::vector<std::vector<index_t>> code_counts;  ///< (levels)(K), of all files, as they are written
  std::vector<file> files;
  std::vector<group> groups;  ///< the largest before collisions were handled
};

struct report_page {
  std::string title;
  std::vector<std::pair<std::string, std::string>> facts;  ///< name and value, for the head of the page
  std::vector<epoch_record> epochs;
  std::int64_t best_epoch = 0;
  std::vector<metric_row> metrics;
  std::vector<shown_example> examples;
  std::vector<shown_translation> translations = {};
};

/// What every report says: machine, date and command come by themselves.
report_page training_report(std::vector<std::string> const& datasets, std::filesystem::path const& model,
                            training_progress const& progress);
/// Shows the loss curves too when the model's directory holds the run that made it.
report_page evaluation_report(dataset const& data, std::filesystem::path const& model, evaluation const& found,
                              std::vector<metric_row> rows, evaluation_options const& options);

/// The first users that were evaluated.
std::vector<shown_example> examples_of(dataset const& data, evaluation const& found, evaluation_options const& options,
                                       std::size_t count);

/// The item's title, or "item 17".
std::string title_of(item_descriptions const& items, item_id item);
std::string title_of(dataset const& data, item_id item);

/// Throws file_error.
void write_report(std::filesystem::path const& path, report_page const& page);

}  // namespace mql4grec::program
