#pragma once
// The definitions of embed/tokenizer/detail/sentencepiece_model.hpp.
#include <bit>
#include <cmath>
#include <cstdint>
#include <cstring>

#include "mql4grec/core/error.hpp"
#include "mql4grec/embed/tokenizer/detail/sentencepiece_model.hpp"

namespace mql4grec::embed::detail {

/// Reads the fields of a Protocol Buffers message one after the other.
class message_reader {
 public:
  /// A field: its number, and its value as a number or as bytes.
  struct field {
    std::uint64_t number = 0;
    int wire = 0;
    std::uint64_t value = 0;
    std::string_view bytes{};
  };

  message_reader(std::string_view bytes, std::filesystem::path const& path) : rest_(bytes), path_(path) {}

  bool at_end() const { return rest_.empty(); }

  field next() {
    auto const key = varint();
    field f{.number = key >> 3, .wire = static_cast<int>(key & 7)};
    expects_file(f.number > 0, path_, not_a_model);
    if (f.wire == 0) {
      f.value = varint();
    } else if (f.wire == 1 || f.wire == 5) {
      auto const raw = take(f.wire == 1 ? 8 : 4);
      std::memcpy(&f.value, raw.data(), raw.size());  // little-endian, as the machines this runs on
    } else {
      expects_file(f.wire == 2, path_, not_a_model);
      f.bytes = take(varint());
    }
    return f;
  }

  static constexpr char const* not_a_model = "not a SentencePiece model, or truncated";

 private:
  std::string_view take(std::uint64_t count) {
    expects_file(count <= rest_.size(), path_, not_a_model);
    auto const taken = rest_.substr(0, static_cast<std::size_t>(count));
    rest_.remove_prefix(taken.size());
    return taken;
  }
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      auto const byte = static_cast<unsigned char>(take(1)[0]);
      value |= std::uint64_t{byte & 0x7Fu} << shift;
      if (byte < 0x80) return value;
    }
    raise<file_error>(path_.string(), ": ", not_a_model);
  }

  std::string_view rest_;
  std::filesystem::path const& path_;
};

MQL4GREC_DEFINITION void check_piece(std::string_view bytes, std::int64_t number, std::filesystem::path const& path) {
  bool named = false;
  for (message_reader piece(bytes, path); !piece.at_end();) {
    auto const field = piece.next();
    if (field.number == 1) {
      named = field.wire == 2 && !field.bytes.empty();
      bool const terminated = field.bytes.find('\0') != std::string_view::npos;  // for the library's trie
      expects_file(!terminated, path, "piece ", number, ": contains a NUL character");
    }
    if (field.number != 2 || field.wire != 5) continue;
    auto const score = std::bit_cast<float>(static_cast<std::uint32_t>(field.value));
    expects_file(std::isfinite(score), path, "piece ", number, ": the score isn't finite");
  }
  expects_file(named, path, "piece ", number, " is empty");
}

MQL4GREC_DEFINITION void check_sentencepiece_model(std::string_view model, std::filesystem::path const& path) {
  std::int64_t pieces = 0;
  expects_file(model.size() < (std::size_t{1} << 31), path, "has ", model.size(), " bytes, expected fewer than 2^31");
  for (message_reader top(model, path); !top.at_end();) {
    auto const field = top.next();
    if (field.number == 1) check_piece(field.bytes, pieces++, path);
    if (field.number != 3 && field.number != 5) continue;  // normalizer_spec, denormalizer_spec
    for (message_reader normalizer(field.bytes, path); !normalizer.at_end();) {
      auto const part = normalizer.next();
      expects_file(part.number != 2 || part.bytes.empty(), path,
                   "rewrites characters (a precompiled_charsmap); only models without that, as LLaMA's, are supported");
    }
  }
  expects_file(pieces > 0, path, message_reader::not_a_model);
}

/// Writes the fields of a Protocol Buffers message.
class message_writer {
 public:
  void number(std::uint64_t field, std::uint64_t value) {
    varint(field << 3);
    varint(value);
  }
  void bytes(std::uint64_t field, std::string_view value) {
    varint((field << 3) | 2);
    varint(value.size());
    all_ += value;
  }
  void real(std::uint64_t field, float value) {
    varint((field << 3) | 5);
    char raw[sizeof value];
    std::memcpy(raw, &value, sizeof value);
    all_.append(raw, sizeof value);
  }
  std::string const& all() const { return all_; }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) all_.push_back(static_cast<char>(value | 0x80));
    all_.push_back(static_cast<char>(value));
  }
  std::string all_;
};

MQL4GREC_DEFINITION std::string serialize_sentencepiece_model(std::span<sentencepiece_piece const> pieces,
                                                              sentencepiece_model_options const& options) {
  message_writer model;
  for (auto const& each : pieces) {
    message_writer piece;
    piece.bytes(1, each.text);
    piece.real(2, each.score);
    piece.number(3, static_cast<std::uint64_t>(each.type));
    model.bytes(1, piece.all());
  }
  message_writer trainer;
  trainer.number(3, 2);  // model_type: BPE
  trainer.number(35, options.byte_fallback ? 1 : 0);
  trainer.number(40, static_cast<std::uint64_t>(options.unknown));
  trainer.number(41, static_cast<std::uint64_t>(options.bos));
  trainer.number(42, static_cast<std::uint64_t>(options.eos));
  auto const name_of = [&](int id) { return pieces[static_cast<std::size_t>(id)].text; };
  trainer.bytes(45, name_of(options.unknown));  // the library finds the three by name
  trainer.bytes(46, name_of(options.bos));
  trainer.bytes(47, name_of(options.eos));
  model.bytes(2, trainer.all());
  message_writer normalizer;
  normalizer.bytes(1, "identity");
  normalizer.number(3, options.space_prefix ? 1 : 0);
  normalizer.number(4, 0);  // remove_extra_whitespaces
  normalizer.number(5, 1);  // escape_whitespaces
  model.bytes(3, normalizer.all());
  return model.all();
}

}  // namespace mql4grec::embed::detail
