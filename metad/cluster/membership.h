// Membership: what the cluster map must say about the drives that metad was configured with.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/cluster_map.h"
#include "metad/service/metadata_server.h"

namespace shoal::metad {

// The map that should follow `now`: the first one, with groups of `code` and their narrower
// fall-backs, or the same groups with drives that have moved to other addresses; nothing when `now`
// says it all. Errors: kInvalidArgument when there are fewer drives than the code needs,
// kNotSupported when drives would have to join or leave a cluster that exists.
Result<std::optional<ClusterMap>> next_cluster_map(const ClusterMap& now,
                                                   const std::string& cluster_uuid,
                                                   const CodeShape& code,
                                                   const std::vector<DriveInfo>& drives);

// Journals that map, if there is one. On the server's executor.
Task<Status> update_cluster_map(MetadataServer* server, std::string cluster_uuid, CodeShape code,
                                std::vector<DriveInfo> drives);

}  // namespace shoal::metad
