// Changes of the cluster map.
#include <algorithm>

#include "metad/ops/ops.h"
#include "metad/state/placement_plan.h"
#include "proto/wire/convert.h"

namespace shoal::metad {
namespace {

HasPacks pack_finder(const State& state) {
  return [&state](PgId group) {
    const auto first = state.packs.lower_bound(make_pack_id(group, 0).value());
    return first != state.packs.end() && pg_of_pack(PackId(first->first)) == group;
  };
}

// The code of the table's groups in ordinary times: the widest.
CodeShape main_code(const ClusterMap& map) {
  CodeShape code;
  for (const PlacementGroup& group : map.groups)
    if (group.code.k > code.k) code = group.code;
  return code;
}

DriveInfo* find_drive(ClusterMap* map, std::uint32_t id) {
  return const_cast<DriveInfo*>(map->drive(DriveId(id)));
}

Status set_state(ClusterMap* map, const proto::SetDriveState& op, const HasPacks& has_packs) {
  DriveInfo* drive = find_drive(map, op.drive());
  if (drive == nullptr)
    return NotFoundError("drive " + std::to_string(op.drive()) + " is not in the cluster map");
  if (op.state() > static_cast<std::uint32_t>(DriveState::kOut))
    return InvalidArgumentError("drive state " + std::to_string(op.state()));
  const auto to = static_cast<DriveState>(op.state());
  // Only what counts as in service can be found missing.
  if (to == DriveState::kDown && drive->state != DriveState::kUp)
    return AbortedError("drive " + drive->id.to_string() + " is " +
                        std::string(to_string(drive->state)));
  const bool was_leaving =
      drive->state == DriveState::kDraining || drive->state == DriveState::kOut;
  drive->state = to;
  if (to == DriveState::kUp && was_leaving) {  // what had not left it yet stays
    for (PlacementGroup& group : map->groups)
      std::erase_if(group.moves,
                    [&](const auto& move) { return group.drives[move.column] == drive->id; });
    plan_repairs(map, has_packs);  // first: it may be what stranded columns wait for
    add_missing_groups(map, main_code(*map), has_packs);  // its fall-backs had gone to others
    plan_balance(map, has_packs);
  }
  return OkStatus();
}

Status add_drive(ClusterMap* map, const proto::DriveProto& op, const HasPacks& has_packs,
                 proto::ClusterReply* reply) {
  DriveInfo drive;
  drive.id = DriveId(op.id() != 0 ? op.id() : map->last_drive.value() + 1);
  drive.node = NodeId(op.node());
  drive.uuid = op.uuid();
  drive.address = op.address();
  drive.host = op.host();
  drive.rack = op.rack();
  if (drive.uuid.empty()) return InvalidArgumentError("a drive without a uuid");
  for (const DriveInfo& known : map->drives) {
    if (known.id == drive.id || known.uuid == drive.uuid)
      return AlreadyExistsError("drive " + known.id.to_string() + " " + known.uuid +
                                " is in the cluster map already");
  }
  // Ids are never used again: what a forgotten drive held may come back with it.
  if (drive.id <= map->last_drive)
    return InvalidArgumentError("drive id " + drive.id.to_string() + " is not above " +
                                map->last_drive.to_string());
  map->last_drive = drive.id;
  reply->set_drive(drive.id.value());
  map->drives.push_back(std::move(drive));
  plan_repairs(map, has_packs);  // first: it may be what stranded columns wait for
  add_missing_groups(map, main_code(*map), has_packs);
  plan_balance(map, has_packs);
  return OkStatus();
}

Status finish_move(const State& state, ClusterMap* map, const proto::FinishMove& op,
                   const HasPacks& has_packs) {
  const PgId id(op.group());
  auto* group = const_cast<PlacementGroup*>(map->group(id));
  if (group == nullptr) return NotFoundError("placement group " + id.to_string());
  const ColumnMove move{static_cast<std::uint8_t>(op.column()), DriveId(op.to())};
  const auto found = std::find(group->moves.begin(), group->moves.end(), move);
  if (found == group->moves.end())
    return AbortedError("placement group " + id.to_string() + " has no move of column " +
                        std::to_string(op.column()) + " to drive " + std::to_string(op.to()));
  for (auto pack = state.packs.lower_bound(make_pack_id(id, 0).value());
       pack != state.packs.end() && pg_of_pack(PackId(pack->first)) == id; ++pack) {
    if (pack->second.state == proto::PACK_OPEN)
      return BusyError("pack " + std::to_string(pack->first) + " is open");
    if (pack->first > op.last_pack())
      return AbortedError("pack " + std::to_string(pack->first) + " came after the audit");
  }
  group->moves.erase(found);
  group->drives[op.column()] = DriveId(op.to());
  plan_balance(map, has_packs);
  return OkStatus();
}

Status forget_drive(ClusterMap* map, const proto::ForgetDrive& op, const HasPacks& has_packs) {
  DriveInfo* drive = find_drive(map, op.drive());
  if (drive == nullptr)
    return NotFoundError("drive " + std::to_string(op.drive()) + " is not in the cluster map");
  const DriveId id = drive->id;
  if (drive->state != DriveState::kOut && drive->state != DriveState::kDraining)
    return BusyError("drive " + id.to_string() + " is " + std::string(to_string(drive->state)) +
                     ": drain it first, or declare it lost");
  std::uint32_t needed = 0;
  for (const PlacementGroup& group : map->groups)
    if (group.holds(id) && has_packs(group.id)) ++needed;
  if (needed > 0)
    return BusyError(std::to_string(needed) + " placement groups still need drive " +
                     id.to_string() + ": see shoal repair status");
  std::erase_if(map->groups, [&](const PlacementGroup& group) { return group.holds(id); });
  std::erase_if(map->drives, [&](const DriveInfo& info) { return info.id == id; });
  return OkStatus();
}

}  // namespace

Status change_cluster(State& state, const proto::ChangeCluster& op, proto::ClusterReply* reply) {
  if (state.cluster_map.epoch == 0) return UnavailableError("the cluster has no map yet");
  ClusterMap map = state.cluster_map;
  const HasPacks has_packs = pack_finder(state);
  Status done;
  switch (op.change_case()) {
    case proto::ChangeCluster::kSetDriveState:
      done = set_state(&map, op.set_drive_state(), has_packs);
      break;
    case proto::ChangeCluster::kAddDrive:
      done = add_drive(&map, op.add_drive(), has_packs, reply);
      break;
    case proto::ChangeCluster::kFinishMove:
      done = finish_move(state, &map, op.finish_move(), has_packs);
      break;
    case proto::ChangeCluster::kForgetDrive:
      done = forget_drive(&map, op.forget_drive(), has_packs);
      break;
    default: return NotSupportedError("this change of the cluster is not known here");
  }
  RETURN_IF_ERROR(done);
  const std::uint32_t stranded = plan_repairs(&map, has_packs);
  ++map.epoch;
  state.cluster_map_proto = wire::cluster_map_to_proto(map);
  state.cluster_map = std::move(map);
  state.note_cluster_map();
  std::uint32_t moves = 0;
  for (const PlacementGroup& group : state.cluster_map.groups)
    moves += static_cast<std::uint32_t>(group.moves.size());
  reply->set_epoch(state.cluster_map.epoch);
  reply->set_moves(moves);
  reply->set_stranded_columns(stranded);
  return OkStatus();
}

}  // namespace shoal::metad
