// Placement: makes the rows of the placement table. Deterministic, so that the same drives give the
// same table.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/cluster_map.h"
#include "base/result.h"

namespace shoal {

// `count` groups of `code` over the drives that are up, ids from `first_id` on. Each group's drives
// differ; as many failure domains (base/failure_domains.h) may fail of each group as the drives
// allow; the roles (which drive holds column 0) rotate from group to group. Errors:
// kInvalidArgument when there are fewer drives than columns.
Result<std::vector<PlacementGroup>> make_placement_groups(const std::vector<DriveInfo>& drives,
                                                          const CodeShape& code,
                                                          std::uint32_t count, PgId first_id);

// Groups for when drives are lost and the ordinary ones that are whole are gone, or their columns
// are on the move: for each set of drives that rows survive the loss of (up to m drives; as many
// hosts, and as many racks, as may fail of a row) one without them, at least. Of the same code
// where the drives that are left keep as many columns apart, else of a narrower one with the same
// number of parity columns. Where no code with data and parity does, as with k <= m, what survives
// most: GroupUse::kLastResort. None where no more than m drives are left. `drives` in other states
// than up count as gone. Where the sets are too many (over kMaxLosses of one size, or
// kMaxFallbackGroups groups) the larger ones are left out.
std::vector<PlacementGroup> make_fallback_groups(const std::vector<DriveInfo>& drives,
                                                 const CodeShape& code, PgId first_id);
inline constexpr std::size_t kMaxLosses = 20'000;
inline constexpr std::size_t kMaxFallbackGroups = 5'000;

// What the widest groups of a map withstand, fall-backs aside, as their columns lie now: code.m
// drives in any case, and as many hosts or racks as hold code.m columns together.
struct Protection {
  CodeShape code;
  std::uint32_t columns_on_one_host = 0;  // of one row, the most
  std::uint32_t columns_in_one_rack = 0;
  std::uint32_t hosts_may_fail() const { return code.m / std::max(columns_on_one_host, 1U); }
  std::uint32_t racks_may_fail() const { return code.m / std::max(columns_in_one_rack, 1U); }
};
Protection protection_of(const ClusterMap& map);

}  // namespace shoal
