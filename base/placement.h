// Placement: makes the rows of the placement table. Deterministic, so that the same drives give the
// same table.
#pragma once

#include <string>
#include <vector>

#include "base/cluster_map.h"
#include "base/result.h"

namespace shoal {

struct PlacementResult {
  std::vector<PlacementGroup> groups;
  // Empty, or what the layout cannot promise ("two columns of each group share a host: one host may
  // fail, not two").
  std::string warning;
};

// `count` groups of `code` over the drives that are up, ids from `first_id` on. Each group's drives
// differ; columns of a group spread over hosts as evenly as the drives allow; the roles (which
// drive holds column 0) rotate from group to group. Errors: kInvalidArgument when there are fewer
// drives than columns.
Result<PlacementResult> make_placement_groups(const std::vector<DriveInfo>& drives,
                                              const CodeShape& code, std::uint32_t count,
                                              PgId first_id);

// Groups of narrower codes with the same number of parity columns, for when so many of the drives
// are lost that no group of `code` is whole: one for each set of up to m lost drives that leaves
// fewer than code.width(). Few drives only: more than 16 give none, because there the ordinary
// groups leave a choice.
std::vector<PlacementGroup> make_fallback_groups(const std::vector<DriveInfo>& drives,
                                                 const CodeShape& code, PgId first_id);

}  // namespace shoal
