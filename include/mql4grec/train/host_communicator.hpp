#pragma once
// A communicator over values in host memory, for every backend: what is in another memory is copied there and back;
// parts that ranks send to one another are not if the connection reads that memory. How the ranks are connected is
// decided at run time; see train/threads.hpp and train/mpi.hpp.
#include <algorithm>
#include <concepts>
#include <memory>
#include <span>
#include <sstream>
#include <string>
#include <typeinfo>
#include <utility>

#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/train/communicator.hpp"

namespace mql4grec::train {

/// What a rank throws when another one hasn't come to a collective in time; the message names that one. Of the ranks
/// that wait, one throws it.
class rank_missing : public error {
 public:
  using error::error;
};

/// What the ranks throw that wait for one that has failed, or is missing: another rank has the reason.
class other_rank_failed : public error {
 public:
  using error::error;
};

/// Limits of the collectives of a connection.
struct connection_limits {
  double wait_seconds = 0;  ///< how long a rank waits for others in a collective before it gives up; 0: forever
  index_t values_at_once = 2'147'483'647;  ///< in one message of MPI, at most; more of them are sent in pieces
};

/// Throws error if a limit is out of range.
inline void validate(connection_limits const& limits) {
  expects(limits.wait_seconds >= 0 && limits.wait_seconds <= 1e9, "ranks: a wait of ", limits.wait_seconds,
          " s, expected 0 to 1e9");
  expects(limits.values_at_once >= 1 && limits.values_at_once <= 2'147'483'647, "ranks: ", limits.values_at_once,
          " values at once, expected 1 to 2147483647");
}

/// float or double values, which a connection transfers: in host memory, or in a device's where the call allows it.
struct host_values {
  void* data = nullptr;       ///< the first value
  index_t size = 0;           ///< number of values
  std::size_t bytes_of_each;  ///< 4: float; 8: double
};

namespace detail {
/// What host_values can contain.
template <class T>
concept SentScalar = std::same_as<T, float> || std::same_as<T, double>;
}  // namespace detail

/// How the ranks are connected. See Communicator for the calls; offsets and sizes are in values. Any thread may call,
/// one at a time.
class rank_connection {
 public:
  rank_connection() = default;
  rank_connection(rank_connection const&) = delete;
  rank_connection& operator=(rank_connection const&) = delete;
  virtual ~rank_connection() = default;

  /// This rank's number, from 0.
  virtual index_t rank() const = 0;
  /// The number of ranks.
  virtual index_t world_size() const = 0;
  /// Whether the values of all_gather and all_to_all may also be in the memory of this space, typeid(device_space<…>),
  /// all of one call in the same.
  virtual bool reads_device_memory(std::type_info const&) const { return false; }
  /// Replaces the values, always in host memory, by their sum over all ranks.
  virtual void all_reduce(host_values values) = 0;
  /// Gives every rank the parts of all.
  virtual void all_gather(host_values values, std::span<index_t const> offsets) = 0;
  /// Sends part r of `sent`, which isn't changed, to rank r, and receives as many parts.
  virtual void all_to_all(host_values sent, std::span<index_t const> offsets, host_values received,
                          std::span<index_t const> received_offsets) = 0;
};

/// A Communicator over a connection of ranks. A copy uses the same connection. Without one, it is a single process.
class host_communicator {
 public:
  /// A single process.
  host_communicator() = default;
  /// The ranks of a connection.
  explicit host_communicator(std::shared_ptr<rank_connection> connection) : connection_(std::move(connection)) {}

  /// This rank's number, from 0.
  index_t rank() const { return connection_ ? connection_->rank() : 0; }
  /// The number of ranks.
  index_t world_size() const { return connection_ ? connection_->world_size() : 1; }

  /// Replaces the values by their sum over all ranks.
  template <Backend B, class T>
    requires detail::SentScalar<T>
  void all_reduce(B& b, view<T, typename B::memory_space, 1> values) const {
    // Never in place: MPI libraries that read a device's memory don't in sums that don't block.
    if (connection_) through_host(b, values, [&](host_values on_host) { connection_->all_reduce(on_host); });
  }
  /// The same for numbers on the host.
  template <Backend B>
  void all_reduce(B&, std::span<double> numbers) const {
    if (connection_) connection_->all_reduce(values_of(view_of(numbers)));
  }
  /// The same without a backend.
  void all_reduce(std::span<double> numbers) const {
    if (connection_) connection_->all_reduce(values_of(view_of(numbers)));
  }
  /// Gives every rank the parts of all. The words may hold any bytes.
  void all_gather(std::span<double> words, std::span<index_t const> offsets) const {
    if (connection_) connection_->all_gather(values_of(view_of(words)), offsets);
  }
  /// Sends a part to each rank, and receives one from each. Without a connection, nothing is copied.
  void all_to_all(std::span<double const> sent, std::span<index_t const> offsets, std::span<double> received,
                  std::span<index_t const> received_offsets) const {
    if (!connection_) return;
    connection_->all_to_all({const_cast<double*>(sent.data()), std::ssize(sent), sizeof(double)}, offsets,
                            values_of(view_of(received)), received_offsets);
  }
  /// Gives every rank the parts of all.
  template <Backend B, class T>
    requires detail::SentScalar<T>
  void all_gather(B& b, view<T, typename B::memory_space, 1> values, std::span<index_t const> offsets) const {
    if (!connection_) return;
    if (is_read_in_place(b)) return connection_->all_gather(values_of(values), offsets);
    through_host(b, values, [&](host_values on_host) { connection_->all_gather(on_host, offsets); });
  }
  /// Sends a part to each rank, and receives one from each.
  template <Backend B, class T>
    requires detail::SentScalar<T>
  void all_to_all(B& b, view<T const, typename B::memory_space, 1> sent, std::span<index_t const> offsets,
                  view<T, typename B::memory_space, 1> received, std::span<index_t const> received_offsets) const {
    if (!connection_) return single_process{}.all_to_all(b, sent, offsets, received, received_offsets);
    auto const exchange = [&](T const* from, host_values to) {
      connection_->all_to_all({const_cast<T*>(from), sent.size(), sizeof(T)}, offsets, to, received_offsets);
    };
    if (is_read_in_place(b)) return exchange(sent.data, values_of(received));
    host_copy<T, typename B::memory_space> const host_sent(b, sent);
    through_host(b, received, [&](host_values on_host) { exchange(host_sent.view_all().data, on_host); });
  }

 private:
  template <class T, class Space>
  static host_values values_of(view<T, Space, 1> values) {
    return {values.data, values.size(), sizeof(T)};
  }
  /// Whether the connection reads this backend's memory; waits for the backend's work if so.
  template <Backend B>
  bool is_read_in_place(B& b) const {
    if constexpr (!std::same_as<typename B::memory_space, host_space>) {
      if (!connection_->reads_device_memory(typeid(typename B::memory_space))) return false;
      b.synchronize();
    }
    return true;
  }
  /// Calls change(host_values) for the values where they are the host's, otherwise for a copy that replaces them.
  template <Backend B, class T, class Change>
  void through_host(B& b, view<T, typename B::memory_space, 1> values, Change const& change) const {
    if constexpr (std::same_as<typename B::memory_space, host_space>) {
      change(values_of(values));
    } else {
      buffer<T, host_space> copied(values.size());
      download<T>(b, values, copied.view_all());
      change(values_of(copied.view_all()));
      upload<T>(b, std::as_const(copied).view_all(), values);
    }
  }

  std::shared_ptr<rank_connection> connection_;
};

namespace detail {

/// "rank 2 has not answered for 5 s": why ranks stop waiting.
inline std::string text_of_missing(std::span<index_t const> missing, double seconds) {
  std::ostringstream text;
  for (std::size_t i = 0; i < missing.size(); ++i)
    text << (i > 0 ? ", " : missing.size() > 1 ? "ranks " : "rank ") << missing[i];
  text << (missing.size() > 1 ? " have" : " has") << " not answered for " << seconds << " s";
  return text.str();
}

/// Calls work(span of float or double) for the values.
template <class Work>
void with_scalars(host_values values, Work const& work) {
  if (values.bytes_of_each == sizeof(float))
    work(std::span(static_cast<float*>(values.data), to_size(values.size)));
  else
    work(std::span(static_cast<double*>(values.data), to_size(values.size)));
}

}  // namespace detail
}  // namespace mql4grec::train
