// expect: std::regular|constraints? not satisfied
#include <memory>

#include "mql4grec/rank/fusion.hpp"

using namespace mql4grec;

// A policy is a regular value: it can be copied and compared, so a configuration that holds it can be too.
struct first_list {
#ifndef MQL4GREC_VALID
  std::unique_ptr<int> calls = {};  // run state doesn't belong here
#endif
  rank::ranking fuse(std::span<rank::ranking const> lists) const { return lists.front(); }
  bool operator==(first_list const&) const = default;
};

rank::ranking fused(rank::FusionPolicy auto const& policy, std::span<rank::ranking const> lists) {
  return policy.fuse(lists);
}

rank::ranking of_one(std::span<rank::ranking const> lists) { return fused(first_list{}, lists); }
