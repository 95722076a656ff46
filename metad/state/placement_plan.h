// What a change of the drives means for the placement table: which columns must go elsewhere, and
// where to. Pure functions on the map; deterministic.
#pragma once

#include <cstdint>
#include <functional>

#include "base/cluster_map.h"

namespace shoal::metad {

// Whether any pack was ever leased on the group and is not dropped yet. A group without packs
// changes its drives at once: there is nothing to move.
using HasPacks = std::function<bool(PgId group)>;

// Plans a move for each column on a drive that is draining or out, to the drive that is up, not in
// the group and in the failure domains with the fewest of its columns; of equals the one with the
// fewest columns in all. Forgets moves that lost their reason or whose target is not up any more.
// Returns how many columns have no drive to go to.
std::uint32_t plan_repairs(ClusterMap* map, const HasPacks& has_packs);

// Plans moves out of hosts or racks of which groups could survive more than they do, as when the
// first ones are joined by others, and from the drives with the most columns to those with
// the fewest until they differ by one at most; into a domain that has more of the group than the
// one it leaves only where the group survives as many of them as any could. Ends when half of the
// ordinary groups are moving: the rest is planned when those have ended.
void plan_balance(ClusterMap* map, const HasPacks& has_packs);

// Adds as many ordinary groups as a new map of the drives that are up would have, and the
// fall-backs of the drives that are up, or down and expected back, that are not there yet. A
// fall-back without packs that covers nothing any more, as after its drives were replaced, takes
// other drives instead of a new one.
void add_missing_groups(ClusterMap* map, const HasPacks& has_packs);

// Groups per drive of a new map.
inline constexpr std::uint32_t kGroupsPerDrive = 2;

}  // namespace shoal::metad
