#pragma once
// Codes ⇄ tokens ⇄ text. The ids of a released checkpoint follow no formula. A vocabulary is therefore a pair of lookup
// tables, and no other code may compute an id.
#include <algorithm>
#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "mql4grec/core/error.hpp"
#include "mql4grec/core/ids.hpp"

namespace mql4grec::language {

/// A kind of item data that is quantized into tokens of its own. The paper uses text and images; a third modality is
/// `modality{2}`, and so on. Code that handles modalities indexes a list; it never assumes that there are two.
enum class modality : std::int32_t { text = 0, image = 1 };

/// The number of modalities of the paper.
inline constexpr index_t paper_modalities = 2;

/// The name of a modality in reports and files: "text", "image", and "modality2" for `modality{2}`.
[[nodiscard]] inline std::string name_of(modality kind) {
  if (kind == modality::text) return "text";
  return kind == modality::image ? "image" : "modality" + std::to_string(index(kind));
}

/// The number of prompt tokens of the paper: three for each of six tasks.
inline constexpr index_t paper_prompts = 18;

/// The tokens of one modality. Level l has the prefix `prefix` with its last character advanced by l: a, b, c, d.
struct modality_tokens {
  std::string prefix;          ///< prefix of level 0
  std::vector<index_t> codes;  ///< (levels): K of each level; the levels may differ

  /// The prefix of a level.
  std::string prefix_of(index_t level) const {
    auto text = prefix;
    text.back() = static_cast<char>(text.back() + level);
    return text;
  }
  bool operator==(modality_tokens const&) const = default;
};

/// The contents of a vocabulary. The default is that of the paper: two modalities of 4 × 256 codes, and six tasks with
/// three prompt tokens each.
struct vocabulary_options {
  /// Text, image, and further modalities.
  std::vector<modality_tokens> modalities = {{"a", {256, 256, 256, 256}}, {"A", {256, 256, 256, 256}}};
  index_t prompts = paper_prompts;  ///< prompt tokens <*_0>, <*_1>, …; those from <*_18> on are for domains
  bool operator==(vocabulary_options const&) const = default;
};

/// The code that a token represents.
struct token_place {
  modality kind;  ///< the modality of the item's sequence
  index_t level;  ///< position in the item's sequence, from 0
  code_t code;    ///< the code at that level
  bool operator==(token_place const&) const = default;
};

/// The set of tokens and their ids. Const member functions may be called from several threads at once.
class vocabulary {
 public:
  /// The id of <pad>.
  static constexpr token_t pad{0};
  /// The id of </s>.
  static constexpr token_t eos{1};

  /// Numbers the tokens as in the paper: <pad>, </s>, the codes of each modality level by level, the prompts. V = Σ K +
  /// prompts + 2. Throws error when two modalities share a token, when a prefix is empty, and when none of the
  /// modalities has levels.
  explicit vocabulary(vocabulary_options options = {}) : options_(std::move(options)) {
    check_families();
    build([next = index_t{2}](std::string const&) mutable { return std::optional(token_t(next++)); });
  }

  /// The same tokens with given ids. A token without an id is missing: tokenizers of the released code lack the codes
  /// that no item has. A modality may have no levels at all. Throws error when two tokens have the same id.
  vocabulary(vocabulary_options options, std::unordered_map<std::string, token_t> const& ids)
      : options_(std::move(options)) {
    check_families();
    build([&](std::string const& text) {
      auto const found = ids.find(text);
      return found == ids.end() ? std::nullopt : std::optional(found->second);
    });
  }

  /// V: one more than the largest id.
  index_t size() const { return static_cast<index_t>(texts_.size()); }
  /// The number of modalities, including those without levels.
  index_t modalities() const { return static_cast<index_t>(options_.modalities.size()); }
  /// Whether the modality exists and has at least one level.
  bool has(modality kind) const { return index(kind) >= 0 && index(kind) < modalities() && levels(kind) > 0; }
  /// The number of levels of a modality. Throws error when there is no such modality.
  index_t levels(modality kind) const { return static_cast<index_t>(family(kind).codes.size()); }
  /// K of a level. Throws error when there is no such modality or level.
  index_t codes(modality kind, index_t level) const {
    auto const& per_level = family(kind).codes;
    expects(level >= 0 && level < levels(kind), "level ", level, " of a modality with ", levels(kind), " levels");
    return per_level[to_size(level)];
  }
  /// The number of prompt tokens.
  index_t prompts() const { return options_.prompts; }
  /// The modalities, levels and prompts.
  vocabulary_options const& options() const { return options_; }

  /// The token of a code. Throws error when the vocabulary has no such code, or no id for it.
  token_t token(modality kind, index_t level, code_t code) const {
    auto const k = codes(kind, level);
    expects(index(code) >= 0 && index(code) < k, "code ", index(code), " of a level with ", k, " codes");
    auto const found = token_ids_[to_size(kind)][to_size(level)][to_size(code)];
    if (found == missing) [[unlikely]]
      raise("the token ", word(kind, level, code), " has no id");  // not expects: the text is formatted only here
    return found;
  }
  /// The text of a code, whether or not it has an id: "<a_12>".
  std::string word(modality kind, index_t level, code_t code) const {
    return "<" + family(kind).prefix_of(level) + "_" + std::to_string(index(code)) + ">";
  }
  /// The prompt token <*_i>. Throws error when there is no such prompt, or no id for it.
  token_t prompt(index_t i) const {
    expects(i >= 0 && i < prompts(), "prompt ", i, ", <*_", i, ">, of a vocabulary with ", prompts(), " prompts");
    auto const found = prompts_[to_size(i)];
    expects(found != missing, "the token <*_", i, "> has no id");
    return found;
  }

  /// The code that a token represents; nothing for <pad>, </s>, prompts and ids without a token.
  std::optional<token_place> place(token_t token) const {
    if (index(token) < 0 || index(token) >= size()) return std::nullopt;
    return places_[to_size(token)];
  }

  /// Whether the vocabulary has a text for an id. False for ids out of range and for the ids of a base tokenizer's own
  /// tokens.
  bool has_text(token_t token) const {
    return index(token) >= 0 && index(token) < size() && !texts_[to_size(token)].empty();
  }
  /// The text of a token. Throws error when has_text() is false.
  std::string const& text(token_t token) const {
    expects(index(token) >= 0 && index(token) < size(), "token ", index(token), " of a vocabulary of ", size());
    expects(has_text(token), "token ", index(token), " has no text in this vocabulary");
    return texts_[to_size(token)];
  }
  /// The text of a sequence without separators: "<a_1><b_2><c_3><d_4>". Throws error when has_text() is false for a
  /// token.
  std::string text(std::span<token_t const> tokens) const {
    std::string joined;
    for (auto const token : tokens) joined += text(token);
    return joined;
  }

  /// The token with the given text, or nothing.
  std::optional<token_t> find(std::string_view text) const {
    auto const found = ids_.find(text);
    return found == ids_.end() ? std::nullopt : std::optional(found->second);
  }
  /// The token with the given text. Throws error when there is none.
  token_t parse(std::string_view text) const {
    auto const found = find(text);
    expects(found.has_value(), "'", text, "' is not a token of the vocabulary");
    return *found;
  }

  /// Whether both have the same tokens with the same ids.
  bool operator==(vocabulary const& other) const { return options_ == other.options_ && texts_ == other.texts_; }

 private:
  static constexpr token_t missing{-1};

  struct text_hash {  // finds a std::string_view without a copy
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const { return std::hash<std::string_view>{}(text); }
  };

  modality_tokens const& family(modality kind) const {
    expects(index(kind) >= 0 && index(kind) < modalities(), "modality ", index(kind), " of a vocabulary with ",
            modalities(), " modalities");
    return options_.modalities[to_size(kind)];
  }

  void check_families() const {
    auto const has_levels = [](modality_tokens const& family) { return !family.codes.empty(); };
    expects(options_.modalities.empty() || std::ranges::any_of(options_.modalities, has_levels),
            "a vocabulary needs a modality with at least one level");
    for (auto const& left : options_.modalities) {
      expects(!left.prefix.empty(), "a modality needs a prefix");
      // Otherwise a reader of a file couldn't distinguish the levels of one modality from those of another.
      for (auto const& right : options_.modalities)
        expects(left.codes.empty() || left.prefix_of(std::ssize(left.codes)) != right.prefix, "the prefix '",
                right.prefix, "' continues the levels of the modality '", left.prefix, "'");
    }
  }

  template <class IdOf>
  void build(IdOf id_of) {
    add("<pad>", pad, std::nullopt);
    add("</s>", eos, std::nullopt);
    for (index_t m = 0; m < modalities(); ++m) add_family(modality(m), id_of);
    for (index_t i = 0; i < options_.prompts; ++i) {
      auto const word = "<*_" + std::to_string(i) + ">";
      prompts_.push_back(add_if_known(word, id_of(word), std::nullopt));
    }
  }

  template <class IdOf>
  void add_family(modality kind, IdOf& id_of) {
    auto const& described = family(kind);
    auto& levels = token_ids_.emplace_back();
    for (index_t level = 0; level < std::ssize(described.codes); ++level) {
      auto& ids = levels.emplace_back();
      for (index_t code = 0; code < codes(kind, level); ++code) {
        auto const text = word(kind, level, code_t(code));
        ids.push_back(add_if_known(text, id_of(text), token_place{kind, level, code_t(code)}));
      }
    }
  }

  token_t add_if_known(std::string const& word, std::optional<token_t> id, std::optional<token_place> place) {
    return id ? add(word, *id, place) : missing;
  }
  token_t add(std::string const& word, token_t id, std::optional<token_place> place) {
    expects(index(id) >= 0, "the token ", word, " has the negative id ", index(id));
    auto const at = to_size(id);
    if (at >= texts_.size()) {
      texts_.resize(at + 1);
      places_.resize(at + 1);
    }
    expects(texts_[at].empty(), "the tokens ", texts_[at], " and ", word, " have the same id ", index(id));
    expects(ids_.emplace(word, id).second, "two modalities share the token ", word);
    texts_[at] = word;
    places_[at] = place;
    return id;
  }

  vocabulary_options options_;
  std::vector<std::vector<std::vector<token_t>>> token_ids_;  // by modality, level and code; −1 when missing
  std::vector<token_t> prompts_;                              // by prompt; −1 when missing
  std::vector<std::string> texts_;                            // (V): empty for ids without a token
  std::vector<std::optional<token_place>> places_;            // (V)
  std::unordered_map<std::string, token_t, text_hash, std::equal_to<>> ids_;
};

}  // namespace mql4grec::language
