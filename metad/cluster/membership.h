// Membership: brings the cluster map in line with the drives that metad was configured with.
#pragma once

#include <string>
#include <vector>

#include "base/cluster_map.h"
#include "metad/service/metadata_server.h"

namespace shoal::metad {

// A first map, with groups of `code` and fall-backs. Errors: kInvalidArgument when
// there are fewer drives than the code needs.
Result<ClusterMap> first_cluster_map(const std::string& cluster_uuid, const CodeShape& code,
                                     const std::vector<DriveInfo>& drives);

// Journals what the configuration says that the map does not: the first map, other addresses of
// known drives, drives that join. A drive of the map that is not configured stays what it is: its
// daemon may be elsewhere. On the server's executor. Errors: as first_cluster_map;
// kInvalidArgument for another cluster's metadata or a known id with another uuid.
Task<Status> update_cluster_map(MetadataServer* server, std::string cluster_uuid, CodeShape code,
                                std::vector<DriveInfo> drives);

}  // namespace shoal::metad
