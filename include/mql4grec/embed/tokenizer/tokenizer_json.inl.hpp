#pragma once
// The definitions of embed/tokenizer/tokenizer_json.hpp.
#include <limits>
#include <string>
#include <unordered_set>
#include <utility>

#include "mql4grec/core/detail/words.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/embed/tokenizer/tokenizer_json.hpp"

namespace mql4grec::embed {

namespace detail {

/// The reader of one file: every function throws file_error naming the key.
class tokenizer_json_reader {
 public:
  tokenizer_json_reader(json const& file, std::filesystem::path const& path) : file_(file), path_(path) {}

  tokenizer_json read() const {
    expects_file(file_.is_object(), path_, "expected an object");
    check_added_tokens();
    auto const& model = part(file_, "model");
    auto const kind = type_of(model, "model");
    if (kind == "WordPiece") return read_wordpiece(model);
    expects_file(kind == "BPE", path_, "model: type '", core::detail::printable(kind), "', expected WordPiece or BPE");
    return read_bpe(model);
  }

 private:
  /// A member that is an object.
  json const& part(json const& object, std::string const& key) const {
    expects_file(object.contains(key) && object.at(key).is_object(), path_, "key '", key, "': expected an object");
    return object.at(key);
  }
  /// A member of the file, or null.
  json optional_part(std::string const& key) const {
    return file_.contains(key) && !file_.at(key).is_null() ? part(file_, key) : json();
  }
  std::string type_of(json const& object, char const* where) const {
    expects_file(object.is_object() && object.contains("type") && object.at("type").is_string(), path_, "key '", where,
                 "': expected an object with a type");
    return object.at("type").get<std::string>();
  }
  token_t id_of(json const& value, std::string const& what) const {
    bool const valid =
        value.is_number_unsigned() && value.get<std::uint64_t>() < std::numeric_limits<std::int32_t>::max();
    expects_file(valid, path_, what, ": expected an id");
    return token_t{value.get<std::int32_t>()};
  }
  /// A flag or text that only one value of is supported.
  void expects_absent(json const& object, char const* key) const {
    if (!object.contains(key)) return;
    auto const& value = object.at(key);
    bool const absent = value.is_null() || value == "" || value == 0.0 || value == false;
    expects_file(absent, path_, "key '", key, "' of the model isn't supported");
  }

  void check_added_tokens() const {
    if (!file_.contains("added_tokens") || file_.at("added_tokens").is_null()) return;
    expects_file(file_.at("added_tokens").is_array(), path_, "key 'added_tokens': expected a list");
    for (auto const& token : file_.at("added_tokens")) {
      auto const text = member<std::string>(token, "content", path_);
      id_of(token.contains("id") ? token.at("id") : json(), "added token '" + core::detail::printable(text) + "'");
      expects_file(member_or(token, "special", false, path_), path_, "added token '", core::detail::printable(text),
                   "' isn't special: such tokens aren't supported");
    }
  }

  token_map read_vocab(json const& model) const {
    token_map vocab;
    std::unordered_set<token_t> ids;
    for (auto const& [token, value] : part(model, "vocab").items()) {
      auto const id = id_of(value, "token '" + core::detail::printable(token) + "'");
      expects_file(ids.insert(id).second, path_, "token '", core::detail::printable(token), "': id ", index(id),
                   " is that of another token");
      vocab.emplace(token, id);
    }
    expects_file(!vocab.empty(), path_, "key 'vocab' is empty");
    return vocab;
  }

  /// Special tokens that a post-processor adds.
  void read_frame(json const& processor, token_frame& frame) const {
    if (processor.is_null()) return;
    auto const kind = type_of(processor, "post_processor");
    if (kind == "Sequence") {
      expects_file(processor.contains("processors") && processor.at("processors").is_array(), path_,
                   "key 'processors': expected a list");
      for (auto const& each : processor.at("processors")) {
        expects_file(type_of(each, "processors") != "Sequence", path_, "post_processor: a sequence in a sequence");
        read_frame(each, frame);
      }
    } else if (kind == "TemplateProcessing") {
      read_template(processor, frame);
    } else if (kind == "BertProcessing" || kind == "RobertaProcessing") {
      frame.prefix.push_back(paired_id(processor, "cls"));
      frame.suffix.push_back(paired_id(processor, "sep"));
    } else {
      expects_file(kind == "ByteLevel", path_, "post_processor: type '", core::detail::printable(kind),
                   "' isn't supported");
    }
  }
  /// The id of `["[SEP]", 102]`.
  token_t paired_id(json const& processor, char const* key) const {
    bool const pair = processor.contains(key) && processor.at(key).is_array() && processor.at(key).size() == 2;
    expects_file(pair, path_, "key '", key, "': expected a token and its id");
    return id_of(processor.at(key).at(1), std::string("key '") + key + "'");
  }
  void read_template(json const& processor, token_frame& frame) const {
    expects_file(processor.contains("single") && processor.at("single").is_array(), path_,
                 "key 'single': expected a list");
    bool after = false;
    for (auto const& piece : processor.at("single")) {
      expects_file(piece.is_object(), path_, "key 'single': expected objects");
      if (piece.contains("Sequence")) {
        expects_file(!std::exchange(after, true), path_, "key 'single': the text appears twice");
        continue;
      }
      auto const name = member<std::string>(part(piece, "SpecialToken"), "id", path_);
      auto const& known = part(processor, "special_tokens");
      expects_file(known.contains(name) && known.at(name).is_object() && known.at(name).contains("ids") &&
                       known.at(name).at("ids").is_array(),
                   path_, "special token '", core::detail::printable(name), "': expected a list of ids");
      for (auto const& id : known.at(name).at("ids"))
        (after ? frame.suffix : frame.prefix)
            .push_back(id_of(id, "special token '" + core::detail::printable(name) + "'"));
    }
    expects_file(after, path_, "key 'single': the text is missing");
  }

  wordpiece read_wordpiece(json const& model) const {
    wordpiece_options options;
    auto const normalizer = optional_part("normalizer");
    if (normalizer.is_null()) {
      options.clean = options.space_cjk = options.lower_case = false;
    } else {
      auto const kind = type_of(normalizer, "normalizer");
      expects_file(kind == "BertNormalizer", path_, "normalizer: type '", core::detail::printable(kind),
                   "', expected BertNormalizer");
      options.clean = member_or(normalizer, "clean_text", true, path_);
      options.space_cjk = member_or(normalizer, "handle_chinese_chars", true, path_);
      options.lower_case = member_or(normalizer, "lowercase", true, path_);
      if (normalizer.contains("strip_accents") && !normalizer.at("strip_accents").is_null())
        options.strip_accents = member<bool>(normalizer, "strip_accents", path_);
    }
    auto const pre = type_of(optional_part("pre_tokenizer"), "pre_tokenizer");
    expects_file(pre == "BertPreTokenizer", path_, "pre_tokenizer: type '", core::detail::printable(pre),
                 "', expected BertPreTokenizer");
    options.continuation = member_or<std::string>(model, "continuing_subword_prefix", "##", path_);
    options.unknown = member_or<std::string>(model, "unk_token", "[UNK]", path_);
    if (model.contains("max_input_chars_per_word"))
      options.max_word = index(id_of(model.at("max_input_chars_per_word"), "key 'max_input_chars_per_word'"));
    // looking a word up takes the square of its length
    expects_file(options.max_word <= 10'000, path_, "key 'max_input_chars_per_word': ", options.max_word,
                 ", expected at most 10000");
    auto vocab = read_vocab(model);
    expects_file(vocab.contains(options.unknown), path_, "token '", core::detail::printable(options.unknown),
                 "', the unknown token, isn't in the vocabulary");
    token_frame frame;
    read_frame(optional_part("post_processor"), frame);
    return {std::move(vocab), std::move(frame), std::move(options)};
  }

  /// ByteLevel as the only rule, or after one that splits.
  void read_pre_tokenizer(bpe_model& bpe) const {
    auto const pre = optional_part("pre_tokenizer");
    auto const kind = type_of(pre, "pre_tokenizer");
    if (kind == "ByteLevel") {
      expects_file(member_or(pre, "use_regex", true, path_), path_, "pre_tokenizer: ByteLevel without a rule to split");
      bpe.prefix_space = member_or(pre, "add_prefix_space", true, path_);
      return;
    }
    bool const two = kind == "Sequence" && pre.contains("pretokenizers") && pre.at("pretokenizers").is_array() &&
                     pre.at("pretokenizers").size() == 2;
    expects_file(two, path_, "pre_tokenizer: expected ByteLevel, or a sequence of Split or Digits and ByteLevel");
    auto const& first = pre.at("pretokenizers").at(0);
    auto const& second = pre.at("pretokenizers").at(1);
    auto const split = type_of(first, "pretokenizers");
    expects_file(type_of(second, "pretokenizers") == "ByteLevel", path_,
                 "pretokenizers: expected ByteLevel as the last");
    expects_file(!member_or(second, "add_prefix_space", true, path_), path_,
                 "key 'add_prefix_space' after another rule isn't supported");
    bool const own_rule = member_or(second, "use_regex", true, path_);
    if (split == "Digits") {
      expects_file(own_rule && member_or(first, "individual_digits", false, path_), path_,
                   "pretokenizers: expected Digits one by one and ByteLevel with its rule");
      bpe.rule = pre_tokenizer::smollm;
      return;
    }
    expects_file(split == "Split" && !own_rule, path_, "pretokenizers: expected Split, and ByteLevel without its rule");
    expects_file(
        member<std::string>(first, "behavior", path_) == "Isolated" && !member_or(first, "invert", false, path_), path_,
        "pretokenizers: expected a Split that isolates");
    auto const regex = member<std::string>(part(first, "pattern"), "Regex", path_);
    auto const rule = pre_tokenizer_of_regex(regex);
    expects_file(rule.has_value(), path_, "pretokenizers: no scanner for the pattern '", core::detail::printable(regex),
                 "'");
    bpe.rule = *rule;
  }

  void read_merges(json const& model, bpe_model& bpe) const {
    expects_file(model.contains("merges") && model.at("merges").is_array(), path_, "key 'merges': expected a list");
    for (auto const& merge : model.at("merges")) {
      if (merge.is_string()) {
        bpe.merges.push_back(split_merge(merge.get_ref<std::string const&>()));
        continue;
      }
      bool const pair = merge.is_array() && merge.size() == 2 && merge.at(0).is_string() && merge.at(1).is_string();
      expects_file(pair, path_, "merge ", bpe.merges.size(), ": expected two tokens");
      bpe.merges.emplace_back(merge.at(0).get<std::string>(), merge.at(1).get<std::string>());
    }
  }

  byte_level_bpe read_bpe(json const& model) const {
    for (auto const* key : {"dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback"})
      expects_absent(model, key);
    bpe_model bpe;
    auto const normalizer = optional_part("normalizer");
    if (!normalizer.is_null()) {
      auto const kind = type_of(normalizer, "normalizer");
      expects_file(kind == "NFC", path_, "normalizer: type '", core::detail::printable(kind),
                   "', expected NFC or none");
      bpe.normalizer = bpe_normalizer::nfc;
    }
    read_pre_tokenizer(bpe);
    bpe.vocab = read_vocab(model);
    bpe.ignore_merges = member_or(model, "ignore_merges", false, path_);
    bpe.fuse_unknown = member_or(model, "fuse_unk", false, path_);
    if (auto const unknown = member_or<std::string>(model, "unk_token", "", path_); !unknown.empty()) {
      auto const found = bpe.vocab.find(unknown);
      expects_file(found != bpe.vocab.end(), path_, "token '", core::detail::printable(unknown),
                   "', the unknown token, isn't in the vocabulary");
      bpe.unknown = found->second;
    }
    read_frame(optional_part("post_processor"), bpe.frame);
    try {
      read_merges(model, bpe);
      return byte_level_bpe(std::move(bpe));
    } catch (file_error const&) {
      throw;
    } catch (error const& e) {
      raise<file_error>(path_.string(), ": ", e.what());
    }
  }

  json const& file_;
  std::filesystem::path const& path_;
};

}  // namespace detail

MQL4GREC_DEFINITION tokenizer_json parse_tokenizer_json(json const& text, std::filesystem::path const& path) {
  return detail::tokenizer_json_reader(text, path).read();
}

MQL4GREC_DEFINITION tokenizer_json read_tokenizer_json(std::filesystem::path const& file) {
  return parse_tokenizer_json(read_json(file), file);
}

}  // namespace mql4grec::embed
