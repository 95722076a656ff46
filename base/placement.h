// Placement: makes the rows of the placement table. Deterministic, so that the same drives give the same table.
#pragma once

#include <string>
#include <vector>

#include "base/cluster_map.h"
#include "base/result.h"

namespace shoal {

struct PlacementResult {
  std::vector<PlacementGroup> groups;
  // Empty, or what the layout cannot promise ("two columns of each group share a host: one host may fail, not two").
  std::string warning;
};

// `count` groups of `code` over the drives that are up, ids from `first_id` on. Each group's drives differ; columns of a
// group spread over hosts as evenly as the drives allow; the roles (which drive holds column 0) rotate from group to
// group. Errors: kInvalidArgument when there are fewer drives than columns.
Result<PlacementResult> make_placement_groups(const std::vector<DriveInfo>& drives, const CodeShape& code,
                                              std::uint32_t count, PgId first_id);

}  // namespace shoal
