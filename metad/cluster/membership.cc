#include "metad/cluster/membership.h"

#include "base/placement.h"
#include "proto/wire/convert.h"

namespace shoal::metad {
namespace {

constexpr std::uint32_t kGroupsPerDrive = 2;

Result<std::optional<ClusterMap>> first_map(const std::string& cluster_uuid, const CodeShape& code,
                                            const std::vector<DriveInfo>& drives) {
  ClusterMap map;
  map.epoch = 1;
  map.cluster_uuid = cluster_uuid;
  map.drives = drives;
  const auto count = kGroupsPerDrive * static_cast<std::uint32_t>(drives.size());
  ASSIGN_OR_RETURN(PlacementResult placed, make_placement_groups(map.drives, code, count, PgId(1)));
  map.groups = std::move(placed.groups);
  for (PlacementGroup& group : make_fallback_groups(map.drives, code, PgId(1 + count)))
    map.groups.push_back(std::move(group));
  return std::optional(std::move(map));
}

}  // namespace

Result<std::optional<ClusterMap>> next_cluster_map(const ClusterMap& now,
                                                   const std::string& cluster_uuid,
                                                   const CodeShape& code,
                                                   const std::vector<DriveInfo>& drives) {
  if (now.epoch == 0) return first_map(cluster_uuid, code, drives);
  if (now.cluster_uuid != cluster_uuid) {
    return InvalidArgumentError("this metadata is of cluster " + now.cluster_uuid + ", not of " +
                                cluster_uuid);
  }
  ClusterMap next = now;
  bool changed = false;
  if (drives.size() != next.drives.size())
    return NotSupportedError("drives cannot join or leave a cluster in this version: it has " +
                             std::to_string(next.drives.size()) + ", " +
                             std::to_string(drives.size()) + " are configured");
  for (std::size_t i = 0; i < drives.size(); ++i) {
    DriveInfo& drive = next.drives[i];
    if (drive.id != drives[i].id || drive.uuid != drives[i].uuid)
      return NotSupportedError("drives cannot be replaced in this version: drive " +
                               drives[i].id.to_string() + " " + drives[i].uuid +
                               " is not in the cluster map");
    if (drive.address == drives[i].address && drive.node == drives[i].node) continue;
    drive.address = drives[i].address;
    drive.node = drives[i].node;
    changed = true;
  }
  if (!changed) return std::optional<ClusterMap>();
  ++next.epoch;
  return std::optional(std::move(next));
}

Task<Status> update_cluster_map(MetadataServer* server, std::string cluster_uuid, CodeShape code,
                                std::vector<DriveInfo> drives) {
  const auto next = next_cluster_map(server->machine().cluster_map(), cluster_uuid, code, drives);
  if (!next.ok()) co_return next.status();
  if (!next->has_value()) co_return OkStatus();
  proto::Command command;
  *command.mutable_set_cluster_map()->mutable_map() = wire::cluster_map_to_proto(**next);
  const auto reply = co_await server->execute(std::move(command), MonotonicTime::max());
  co_return reply.ok() ? wire::status_from_proto(reply->status()) : reply.status();
}

}  // namespace shoal::metad
