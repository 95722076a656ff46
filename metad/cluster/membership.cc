#include "metad/cluster/membership.h"

#include <algorithm>

#include "base/log.h"
#include "base/placement.h"
#include "metad/state/placement_plan.h"
#include "proto/wire/convert.h"

namespace shoal::metad {
namespace {

Task<Status> run(MetadataServer* server, proto::Command command) {
  const auto reply = co_await server->execute(std::move(command), MonotonicTime::max());
  co_return reply.ok() ? wire::status_from_proto(reply->status()) : reply.status();
}

Task<Status> set_map(MetadataServer* server, ClusterMap map) {
  proto::Command command;
  *command.mutable_set_cluster_map()->mutable_map() = wire::cluster_map_to_proto(map);
  co_return co_await run(server, std::move(command));
}

Task<Status> join(MetadataServer* server, DriveInfo drive) {
  ClusterMap one;
  one.drives.push_back(drive);
  proto::Command command;
  *command.mutable_change_cluster()->mutable_add_drive() =
      wire::cluster_map_to_proto(one).drives(0);
  const Status joined = co_await run(server, std::move(command));
  if (joined.ok()) log_info("metad", "a drive has joined", {{"drive", drive.id.value()}});
  co_return joined;
}

}  // namespace

Result<ClusterMap> first_cluster_map(const std::string& cluster_uuid, const CodeShape& code,
                                     const std::vector<DriveInfo>& drives) {
  ClusterMap map;
  map.epoch = 1;
  map.cluster_uuid = cluster_uuid;
  map.drives = drives;
  if (!drives.empty()) map.last_drive = drives.back().id;
  const auto count = kGroupsPerDrive * static_cast<std::uint32_t>(drives.size());
  ASSIGN_OR_RETURN(map.groups, make_placement_groups(map.drives, code, count, PgId(1)));
  map.code = code;
  add_missing_groups(&map, [](PgId) { return false; });
  return map;
}

Task<Status> update_cluster_map(MetadataServer* server, std::string cluster_uuid, CodeShape code,
                                std::vector<DriveInfo> drives) {
  ClusterMap map = server->machine().cluster_map();
  if (map.epoch == 0) {
    auto first = first_cluster_map(cluster_uuid, code, drives);
    if (!first.ok()) co_return first.status();
    co_return co_await set_map(server, std::move(*first));
  }
  if (map.cluster_uuid != cluster_uuid) {
    co_return InvalidArgumentError("this metadata is of cluster " + map.cluster_uuid + ", not of " +
                                   cluster_uuid);
  }
  bool moved = false;
  std::vector<DriveInfo> joining;
  for (const DriveInfo& configured : drives) {
    const auto known = std::find_if(map.drives.begin(), map.drives.end(),
                                    [&](const auto& drive) { return drive.id == configured.id; });
    if (known == map.drives.end()) {
      if (configured.id > map.last_drive) {
        joining.push_back(configured);
      } else {
        log_warning("metad", "a drive that was forgotten is still configured",
                    {{"drive", configured.id.value()}});
      }
      continue;
    }
    if (known->uuid != configured.uuid) {
      co_return InvalidArgumentError("drive " + configured.id.to_string() + " is " + known->uuid +
                                     " in the cluster map, " + configured.uuid +
                                     " in the configuration");
    }
    if (known->address == configured.address && known->node == configured.node) continue;
    known->address = configured.address;
    known->node = configured.node;
    moved = true;
  }
  if (moved) {
    ++map.epoch;
    CO_RETURN_IF_ERROR(co_await set_map(server, std::move(map)));
  }
  for (DriveInfo& drive : joining) CO_RETURN_IF_ERROR(co_await join(server, std::move(drive)));
  co_return OkStatus();
}

}  // namespace shoal::metad
