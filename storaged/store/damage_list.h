// DamageList: the fragments that a drive holds and cannot serve, in the order of their keys. In
// memory only: after a restart, scrub and reads find them again. Belongs to its drive.
#pragma once

#include <absl/container/btree_map.h>

#include <cstdint>
#include <string>
#include <vector>

#include "proto/storage_api.h"
#include "storaged/limits.h"

namespace shoal::storaged {

class DamageList {
 public:
  explicit DamageList(std::size_t capacity = kMaxDamagedFragments) : capacity_(capacity) {}

  // Returns whether the fragment was not known to be bad: the caller logs it then. A full list
  // takes nothing more and counts what did not fit.
  bool add(const FragmentKey& key, std::string what);
  void remove(const FragmentKey& key) { damaged_.erase(key); }
  void remove_pack(PackId pack);
  // Keys above `after`, ascending, at most `limit`.
  std::vector<DamagedFragment> list(const FragmentKey& after, std::uint32_t limit) const;

  std::size_t size() const { return damaged_.size(); }
  std::uint64_t unlisted() const { return unlisted_; }

 private:
  const std::size_t capacity_;
  absl::btree_map<FragmentKey, std::string> damaged_;
  std::uint64_t unlisted_ = 0;
};

}  // namespace shoal::storaged
