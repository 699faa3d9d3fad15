#pragma once
// The definitions of catalog/raw/line_reader.hpp.
#if !__has_include(<zlib.h>)
#error "mql4grec reads gzip files with zlib: install it (Debian: zlib1g-dev), or include no header of catalog/raw"
#endif
#include <zlib.h>

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "mql4grec/catalog/raw/detail/sha256.hpp"
#include "mql4grec/catalog/raw/line_reader.hpp"
#include "mql4grec/core/detail/input_file.hpp"
#include "mql4grec/core/error.hpp"

namespace mql4grec::catalog {

namespace detail {

/// The bytes of a file in order, decompressed when it is gzip, with the hash of what is stored.
class byte_stream {
 public:
  static constexpr std::size_t block = std::size_t{1} << 20;

  byte_stream(std::filesystem::path path, index_t max_expansion)
      : file_(std::move(path)), max_expansion_(max_expansion), stored_(std::min(block, to_size(file_.size()))) {
    fill();
    refuse_other_formats();
    compressed_ = starts_with("\x1f\x8b");
    if (compressed_) open_member();
  }
  byte_stream(byte_stream const&) = delete;
  byte_stream& operator=(byte_stream const&) = delete;
  ~byte_stream() {
    if (open_) ::inflateEnd(&inflater_);
  }

  /// Up to `bytes` further bytes; 0 at the end only.
  std::size_t read(char* to, std::size_t bytes) { return compressed_ ? inflate(to, bytes) : copy(to, bytes); }

  core::detail::input_file const& file() const { return file_; }
  index_t position() const { return position_; }
  sha256& hash() { return hash_; }

 private:
  std::size_t available() const { return filled_ - used_; }

  /// Reads the next block of the file when everything before it is used. Returns false at the end of the file.
  bool fill() {
    if (available() > 0) return true;
    auto const bytes = std::min(file_.size() - position_, std::ssize(stored_));
    file_.read(position_, stored_.data(), bytes);
    hash_.update(stored_.data(), to_size(bytes));
    position_ += bytes;
    used_ = 0;
    filled_ = to_size(bytes);
    return bytes > 0;
  }

  bool starts_with(std::string_view magic) const {
    return std::string_view(stored_.data(), filled_).starts_with(magic);
  }

  void refuse_other_formats() const {
    using namespace std::string_view_literals;
    constexpr std::pair<std::string_view, char const*> others[] = {
        {"PK\x03\x04"sv, "a zip archive"},
        {"\x28\xb5\x2f\xfd"sv, "compressed by zstd"},
        {"BZh91AY&SY"sv, "compressed by bzip2"},
        {"\xfd\x37zXZ\x00"sv, "compressed by xz"},
        {"\xff\xfe"sv, "encoded in UTF-16"},
        {"\xfe\xff"sv, "encoded in UTF-16"},
        {"PAR1\x15"sv, "a Parquet file"},
        {"\x89HDF"sv, "an HDF5 file"},
        {"\x7f"
         "ELF"sv,
         "an executable"},
        {"\x89PNG"sv, "a picture"},
    };
    for (auto const& [magic, what] : others)
      expects_file(!starts_with(magic), file_.path(), "is ", what,
                   ", expected text in UTF-8, plain or compressed by gzip");
  }

  std::size_t copy(char* to, std::size_t bytes) {
    if (!fill()) return 0;
    bytes = std::min(bytes, available());
    std::memcpy(to, stored_.data() + used_, bytes);
    used_ += bytes;
    return bytes;
  }

  void open_member() {
    inflater_ = {};
    expects_file(::inflateInit2(&inflater_, 15 + 16) == Z_OK, file_.path(), "zlib can't be started");  // 16: gzip
    open_ = true;
  }

  /// After the end of a member: another member, nothing, or the zeros that some tapes and tools append.
  void next_member() {
    ::inflateEnd(&inflater_);
    open_ = false;
    while (fill() && stored_[used_] == '\0') ++used_;
    if (!fill()) return;
    expects_file(static_cast<unsigned char>(stored_[used_]) == 0x1f, file_.path(), "byte ",
                 position_ - static_cast<index_t>(available()), ": expected the end or another gzip member");
    open_member();
  }

  std::size_t inflate(char* to, std::size_t bytes) {
    std::size_t made = 0;
    while (made == 0 && open_) {
      bool const more = fill();
      inflater_.next_in = reinterpret_cast<Bytef*>(stored_.data() + used_);
      inflater_.avail_in = static_cast<uInt>(available());
      inflater_.next_out = reinterpret_cast<Bytef*>(to);
      inflater_.avail_out = static_cast<uInt>(std::min<std::size_t>(bytes, 1u << 30));
      auto const room = inflater_.avail_out;
      int const status = ::inflate(&inflater_, Z_NO_FLUSH);
      used_ = filled_ - inflater_.avail_in;
      made = room - inflater_.avail_out;
      bool const failed = status != Z_OK && status != Z_STREAM_END && status != Z_BUF_ERROR;
      expects_file(!failed, file_.path(), "is damaged: zlib reports '",
                   inflater_.msg != nullptr ? inflater_.msg : "an error", "' before byte ",
                   position_ - static_cast<index_t>(available()));
      expects_file(more || made > 0 || status == Z_STREAM_END, file_.path(),
                   "is truncated: it ends inside a gzip member");
      if (status == Z_STREAM_END) next_member();
    }
    expanded_ += static_cast<index_t>(made);
    expects_file((expanded_ - (index_t{64} << 20)) / max_expansion_ <= position_, file_.path(), "expands to more than ",
                 max_expansion_, " times its size, as a decompression bomb does");
    return made;
  }

  core::detail::input_file file_;
  index_t max_expansion_, position_ = 0, expanded_ = 0;
  std::vector<char> stored_;
  std::size_t used_ = 0, filled_ = 0;
  bool compressed_ = false, open_ = false;
  ::z_stream inflater_ = {};
  sha256 hash_;
};

}  // namespace detail

/// A window of the text: [begin, end) of `buffer` is read but not yet returned.
struct line_reader::state {
  detail::byte_stream bytes;
  read_options options;
  std::vector<char> buffer = std::vector<char>(std::size_t{1} << 16);
  std::size_t begin = 0, end = 0;
  index_t line = 0, reported = 0;
  bool at_end = false;

  /// Appends more text to the window. Returns false when the file has no more.
  bool more() {
    if (at_end) return false;
    if (begin > 0) std::memmove(buffer.data(), buffer.data() + begin, end - begin);
    end -= std::exchange(begin, 0);
    if (end == buffer.size()) buffer.resize(2 * buffer.size());
    auto const got = bytes.read(buffer.data() + end, buffer.size() - end);
    end += got;
    at_end = got == 0;
    report_progress();
    return !at_end;
  }

  /// Calls the observer when a further block of the file was read, and at the end.
  void report_progress() {
    if (!options.progress || (bytes.position() == reported && !at_end)) return;
    reported = bytes.position();
    options.progress({.bytes = reported, .size = bytes.file().size(), .lines = line});
  }
};

MQL4GREC_DEFINITION line_reader::line_reader(std::filesystem::path path, read_options options) {
  expects(options.max_line > 0 && options.max_expansion > 0, "read_options: limits must be positive");
  auto const expansion = options.max_expansion;
  state_.reset(new state{.bytes = {std::move(path), expansion}, .options = std::move(options)});
  auto& s = *state_;
  while (s.end < 3 && s.more()) {
  }
  if (std::string_view(s.buffer.data(), s.end).starts_with("\xef\xbb\xbf")) s.begin = 3;
}

MQL4GREC_DEFINITION line_reader::line_reader(line_reader&&) noexcept = default;
MQL4GREC_DEFINITION line_reader::~line_reader() = default;

MQL4GREC_DEFINITION bool line_reader::next(std::string_view& line) {
  auto& s = *state_;
  std::size_t searched = 0;
  char const* found = nullptr;
  while (true) {
    if (s.end > s.begin + searched)
      found =
          static_cast<char const*>(std::memchr(s.buffer.data() + s.begin + searched, '\n', s.end - s.begin - searched));
    searched = s.end - s.begin;
    if (found != nullptr) searched = static_cast<std::size_t>(found - s.buffer.data()) - s.begin;
    if (static_cast<index_t>(searched) > s.options.max_line) {
      ++s.line;
      fail("is longer than " + std::to_string(s.options.max_line) + " bytes");
    }
    if (found != nullptr || !s.more()) break;
  }
  if (found == nullptr && searched == 0) return false;
  ++s.line;
  line = {s.buffer.data() + s.begin, searched};
  s.begin += searched + (found != nullptr ? 1 : 0);
  if (line.ends_with('\r')) line.remove_suffix(1);
  return true;
}

MQL4GREC_DEFINITION index_t line_reader::line() const { return state_->line; }
MQL4GREC_DEFINITION std::filesystem::path const& line_reader::path() const { return state_->bytes.file().path(); }
MQL4GREC_DEFINITION read_options const& line_reader::options() const { return state_->options; }
MQL4GREC_DEFINITION index_t line_reader::size() const { return state_->bytes.file().size(); }
MQL4GREC_DEFINITION std::string line_reader::hash() { return state_->bytes.hash().digest(); }

MQL4GREC_DEFINITION void line_reader::fail(std::string const& what) const {
  raise<file_error>(path().string(), ", line ", line(), ": ", what);
}

}  // namespace mql4grec::catalog
