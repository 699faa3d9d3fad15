#pragma once
// The definitions of embed/feature_writer.hpp.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "mql4grec/core/detail/npy_header.hpp"
#include "mql4grec/core/files.hpp"
#include "mql4grec/core/json.hpp"
#include "mql4grec/embed/feature_writer.hpp"

namespace mql4grec::embed {

MQL4GREC_DEFINITION feature_writer::feature_writer(std::filesystem::path path, feature_shape shape, json const& inputs,
                                                   feature_run how)
    : path_(std::move(path)),
      unfinished_(path_.string() + ".rows"),
      state_(path_.string() + ".state.json"),
      shape_(shape),
      inputs_(inputs.dump()) {
  expects(shape.rows >= 0 && shape.width >= 1 && shape.width <= core::detail::most_npy_columns, path_.string(),
          ": features of shape (", shape.rows, ", ", shape.width, "), expected 1 to ", core::detail::most_npy_columns,
          " columns");
  prefix_ = core::detail::npy_prefix(shape.rows, shape.width);
  open(how);
}

MQL4GREC_DEFINITION feature_writer::~feature_writer() {
  if (descriptor_ < 0) return;
  ::close(descriptor_);
  if (done_ > 0) return;
  ::unlink(unfinished_.c_str());
  ::unlink(state_.c_str());
}

MQL4GREC_DEFINITION void feature_writer::append(host_matrix_view<float const> rows) {
  expects(rows.columns() == shape_.width && rows.contiguous(), path_.string(), ": rows of ", rows.columns(),
          " values, expected ", shape_.width, ", contiguous");
  expects(rows.rows() <= shape_.rows - done_, path_.string(), ": ", rows.rows(), " rows after ", done_, ", expected ",
          shape_.rows, " altogether");
  write_at(bytes_of(done_), rows.data, rows.size() * index_t{sizeof(float)});
  bool const is_synced = ::fsync(descriptor_) == 0;
  expects_file(is_synced, path_, "can't be synced to the disk: ", std::strerror(errno));
  done_ += rows.rows();
  write_state();
}

MQL4GREC_DEFINITION void feature_writer::commit() {
  expects(done_ == shape_.rows, path_.string(), ": ", done_, " rows, expected ", shape_.rows);
  if (descriptor_ >= 0) {
    bool const is_closed = ::close(std::exchange(descriptor_, -1)) == 0;
    expects_file(is_closed, path_, "can't be closed: ", std::strerror(errno));
    bool const is_in_place = ::rename(unfinished_.c_str(), path_.c_str()) == 0;
    expects_file(is_in_place, path_, "can't be put in place: ", std::strerror(errno));
    sync_name(path_);  // before the state is gone
  }
  ::unlink(state_.c_str());
}

MQL4GREC_DEFINITION void feature_writer::open(feature_run how) {
  std::error_code ignored;
  bool const interrupted = std::filesystem::exists(state_, ignored);
  expects_file(!interrupted || how == feature_run::resume, state_,
               "is the state of an interrupted run; resume it, or remove it");
  if (interrupted) read_state();
  if (interrupted && is_in_place()) return;
  int const flags = O_WRONLY | O_CLOEXEC | (interrupted ? 0 : O_CREAT | O_TRUNC);
  descriptor_ = ::open(unfinished_.c_str(), flags, 0644);
  expects_file(descriptor_ >= 0, interrupted ? unfinished_ : path_,
               "can't be opened for writing: ", std::strerror(errno));
  if (!interrupted) return write_at(0, prefix_.data(), std::ssize(prefix_));
  index_t const bytes = bytes_of(done_);
  struct ::stat status {};
  bool const known = ::fstat(descriptor_, &status) == 0;
  if (known && status.st_size >= bytes) return;
  ::close(std::exchange(descriptor_, -1));  // the destructor isn't called, and the files stay
  raise<file_error>(unfinished_.string(), ": has ", known ? status.st_size : 0, " bytes, expected at least ", bytes,
                    " for the ", done_, " rows in ", state_.filename().string());
}

MQL4GREC_DEFINITION index_t feature_writer::bytes_of(index_t rows) const {
  return std::ssize(prefix_) + rows * shape_.width * index_t{sizeof(float)};
}

MQL4GREC_DEFINITION bool feature_writer::is_in_place() const {
  std::error_code ignored;
  return done_ == shape_.rows && !std::filesystem::exists(unfinished_, ignored) &&
         std::filesystem::file_size(path_, ignored) == static_cast<std::uintmax_t>(bytes_of(shape_.rows));
}

MQL4GREC_DEFINITION void feature_writer::read_state() {
  json const state = read_json(state_);
  auto const rows = member<index_t>(state, "rows", state_), width = member<index_t>(state, "width", state_);
  expects_file(shape_ == feature_shape{rows, width}, state_, "the interrupted run has ", rows, " rows of ", width,
               " values, this one ", shape_.rows, " of ", shape_.width);
  auto const before = member<json>(state, "inputs", state_), now = json::parse(inputs_);
  std::string changed;
  for (auto const& [name, value] : now.items())
    if (!before.is_object() || !before.contains(name) || before.at(name) != value)
      changed += (changed.empty() ? "" : ", ") + name;
  expects_file(changed.empty() && before.size() == now.size(), state_, "the interrupted run had another ",
               changed.empty() ? "set of inputs" : changed, "; resume it with the same, or remove the file");
  done_ = member<index_t>(state, "done", state_);
  expects_file(done_ >= 0 && done_ <= shape_.rows, state_, "key 'done' is ", done_, ", expected 0 to ", shape_.rows);
}

MQL4GREC_DEFINITION void feature_writer::write_state() const {
  write_json(state_,
             {{"rows", shape_.rows}, {"width", shape_.width}, {"done", done_}, {"inputs", json::parse(inputs_)}});
}

MQL4GREC_DEFINITION void feature_writer::write_at(index_t begin, void const* data, index_t bytes) const {
  auto const* next = static_cast<char const*>(data);
  while (bytes > 0) {
    ::ssize_t const written = ::pwrite(descriptor_, next, to_size(bytes), begin);
    if (written < 0 && errno == EINTR) continue;
    expects_file(written > 0, path_, "can't be written: ", std::strerror(errno));
    next += written;
    begin += written;
    bytes -= written;
  }
}

}  // namespace mql4grec::embed
