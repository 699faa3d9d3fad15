#pragma once
// A trie in the memory that a worker's kernels read. On a host these are the trie's own arrays.
#include <algorithm>
#include <memory>
#include <optional>

#include "mql4grec/backend/contract/transfer.hpp"
#include "mql4grec/search/live_trie.hpp"
#include "mql4grec/search/trie.hpp"

namespace mql4grec::search {

/// The arrays of a trie for one worker. A copy of a live trie is kept between its versions: only the nodes that were
/// added since are uploaded. Not thread safe. The worker must outlive this object.
template <Backend B>
class device_trie {
  using space = typename B::memory_space;
  static constexpr bool on_host = std::same_as<space, host_space>;

 public:
  /// No trie yet.
  explicit device_trie(B& worker) : worker_(&worker) {}

  /// Holds `trie` from now on, which must outlive this object. Returns whether the arrays have moved: captured work
  /// that reads them is invalid then.
  bool set(item_trie const& trie) {
    bool const moved = assign(trie.arrays(), nullptr);
    levels_ = trie.levels();
    leaves_ = trie.leaves();
    return moved;
  }
  /// Holds this version from now on. The version, or a copy of it, must be kept as long as it is searched.
  /// Returns whether the arrays have moved.
  bool set(trie_version const& version) {
    bool const moved = assign(version.arrays(), version.storage_);
    levels_ = version.levels();
    leaves_ = version.leaves();
    return moved;
  }

  /// The number of tokens of each sequence.
  index_t levels() const { return levels_; }
  /// The number of leaves of the trie.
  index_t leaves() const { return leaves_; }
  /// The arrays.
  trie_view<space> arrays() const { return arrays_; }
  /// The arrays of the trie or version itself, as long as that is kept.
  trie_view<host_space> host_arrays() const { return host_arrays_; }

 private:
  /// `storage`: what the arrays are a part of; none for a trie that doesn't grow.
  bool assign(trie_view<host_space> const& from, std::shared_ptr<detail::trie_storage const> const& storage) {
    auto const before = arrays_;
    host_arrays_ = from;
    if constexpr (on_host) {
      arrays_ = from;
      return before.nodes.token.data != arrays_.nodes.token.data;
    } else {
      auto const& host = from.nodes;
      index_t const nodes = host.token.size();
      bool const same = storage && !storage_.owner_before(storage) && !storage.owner_before(storage_);
      index_t const capacity = memory_ ? memory_->token.view_all().size() : 0;
      index_t done = same && nodes <= capacity ? std::min(copied_, nodes) : 0;  // the version may be an older one
      bool moved = false;
      if (nodes > capacity || (!same && nodes < capacity / 4)) {
        moved = true;
        memory_.reset();  // a device may not have room for both
        storage_.reset();
        copied_ = 0;
        arrays_ = {};
        memory_.emplace(*worker_, storage ? nodes + std::max(nodes / 4, spare) : nodes);
        done = 0;
      }
      // in the order of the worker's searches, which wait for nobody else
      auto const add = [&]<class T>(host_vector_view<T const> all, buffer<T, space>& to) {
        upload<T>(*worker_, all.part(done, nodes - done), to.view_all().part(done, nodes - done));
      };
      add(host.first_child, memory_->first_child);
      add(host.children_end, memory_->children_end);
      add(host.token, memory_->token);
      copied_ = same && !moved ? std::max(copied_, nodes) : nodes;
      storage_ = storage;
      // All of the memory is in the views, so that captured work may read nodes that are uploaded later.
      arrays_.nodes = {std::as_const(memory_->first_child).view_all(), std::as_const(memory_->children_end).view_all(),
                       std::as_const(memory_->token).view_all()};
      arrays_.childless = from.childless;
      return moved || before.childless != arrays_.childless;
    }
  }

  static constexpr index_t spare = index_t{1} << 20;  // nodes that a live trie may add without moving

  /// Memory of a device.
  struct device_memory {
    buffer<node_t, space> first_child, children_end;
    buffer<token_t, space> token;
    device_memory(B& b, index_t nodes)
        : first_child(b.template allocate<node_t>(nodes)),
          children_end(b.template allocate<node_t>(nodes)),
          token(b.template allocate<token_t>(nodes)) {}
  };

  B* worker_;
  trie_view<space> arrays_;
  trie_view<host_space> host_arrays_;
  index_t levels_ = 0, leaves_ = 0, copied_ = 0;
  std::weak_ptr<detail::trie_storage const> storage_;
  std::optional<device_memory> memory_;  // empty on a host
};

}  // namespace mql4grec::search
