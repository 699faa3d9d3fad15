// expect: std::regular|constraints? not satisfied
#include <memory>

#include "mql4grec/rank/fusion.hpp"

using namespace mql4grec;

// A policy is a regular value: it can be copied and compared, so a configuration that holds it can be too.
struct first_list {
#ifndef MQL4GREC_VALID
  std::unique_ptr<int> calls = {};  // run state doesn't belong here
#endif
  ranking fuse(std::span<ranking const> lists) const { return lists.front(); }
  bool operator==(first_list const&) const = default;
};

ranking fused(FusionPolicy auto const& policy, std::span<ranking const> lists) { return policy.fuse(lists); }

ranking of_one(std::span<ranking const> lists) { return fused(first_list{}, lists); }
