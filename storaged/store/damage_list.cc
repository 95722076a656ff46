#include "storaged/store/damage_list.h"

#include <utility>

namespace shoal::storaged {

bool DamageList::add(const FragmentKey& key, std::string what) {
  if (damaged_.contains(key)) return false;
  if (damaged_.size() >= capacity_) {
    ++unlisted_;
    return false;
  }
  damaged_.emplace(key, std::move(what));
  return true;
}

void DamageList::remove_pack(PackId pack) {
  auto at = damaged_.lower_bound(FragmentKey{pack, 0, 0});
  while (at != damaged_.end() && at->first.pack == pack) at = damaged_.erase(at);
}

std::vector<DamagedFragment> DamageList::list(const FragmentKey& after, std::uint32_t limit) const {
  std::vector<DamagedFragment> found;
  for (auto at = damaged_.upper_bound(after); at != damaged_.end() && found.size() < limit; ++at)
    found.push_back({at->first, at->second});
  return found;
}

}  // namespace shoal::storaged
