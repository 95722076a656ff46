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

DriveInfo* find_drive(ClusterMap* map, std::uint32_t id) {
  return const_cast<DriveInfo*>(map->drive(DriveId(id)));
}

bool is_leaving(DriveState state) {
  return state == DriveState::kDraining || state == DriveState::kOut;
}

Status set_state(ClusterMap* map, const proto::SetDriveState& op) {
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
  const bool was_leaving = is_leaving(drive->state);
  drive->state = to;
  if (to == DriveState::kUp && was_leaving) {  // what had not left it yet stays
    for (PlacementGroup& group : map->groups)
      std::erase_if(group.moves,
                    [&](const auto& move) { return group.drives[move.column] == drive->id; });
  }
  return OkStatus();
}

Status add_drive(ClusterMap* map, const proto::DriveProto& op, std::uint32_t* id) {
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
  *id = drive.id.value();
  map->drives.push_back(std::move(drive));
  return OkStatus();
}

Status finish_move(const State& state, ClusterMap* map, const proto::FinishMove& op) {
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

// The change alone, without what follows from it. `id` gets that of a drive that is added.
Status change_map(const State& state, ClusterMap* map, const proto::ChangeCluster& op,
                  std::uint32_t* id) {
  switch (op.change_case()) {
    case proto::ChangeCluster::kSetDriveState: return set_state(map, op.set_drive_state());
    case proto::ChangeCluster::kAddDrive: return add_drive(map, op.add_drive(), id);
    case proto::ChangeCluster::kFinishMove: return finish_move(state, map, op.finish_move());
    case proto::ChangeCluster::kForgetDrive:
      return forget_drive(map, op.forget_drive(), pack_finder(state));
    default: return NotSupportedError("this change of the cluster is not known here");
  }
}

// Whether drives have columns to give to others after the change.
bool may_balance(const ClusterMap& before, const proto::ChangeCluster& op) {
  if (op.has_finish_move() || op.has_add_drive()) return true;
  if (!op.has_set_drive_state()) return false;
  const DriveInfo* drive = before.drive(DriveId(op.set_drive_state().drive()));
  const auto to = static_cast<DriveState>(op.set_drive_state().state());
  return to == DriveState::kUp && is_leaving(drive->state);
}

// Whether there may be too few groups: other drives stay than before, or a fall-back's column has
// moved. One that goes down is expected back.
bool may_miss_groups(const ClusterMap& before, const proto::ChangeCluster& op) {
  if (op.has_finish_move()) return before.group(PgId(op.finish_move().group()))->is_fallback();
  if (!op.has_set_drive_state()) return true;
  const DriveInfo* drive = before.drive(DriveId(op.set_drive_state().drive()));
  return is_leaving(drive->state) !=
         is_leaving(static_cast<DriveState>(op.set_drive_state().state()));
}

bool same(const PlacementGroup& a, const PlacementGroup& b) {
  return a.drives == b.drives && a.moves == b.moves;
}

// Puts a group of a plan into the map, in the place of the one with its id or behind all others.
Status take_group(ClusterMap* map, const proto::PlacementGroupProto& planned,
                  const HasPacks& has_packs) {
  ASSIGN_OR_RETURN(PlacementGroup group, wire::placement_group_from_proto(planned, *map));
  auto* known = const_cast<PlacementGroup*>(map->group(group.id));
  if (known == nullptr) {
    if (!map->groups.empty() && group.id <= map->groups.back().id)
      return InvalidArgumentError("placement group " + group.id.to_string() + " is out of order");
    map->groups.push_back(std::move(group));
    return OkStatus();
  }
  if (known->code != group.code || known->use != group.use)
    return InvalidArgumentError("placement group " + group.id.to_string() + " may not change");
  if (known->drives != group.drives && has_packs(group.id))
    return AbortedError("packs were leased meanwhile on placement group " + group.id.to_string());
  *known = std::move(group);
  return OkStatus();
}

}  // namespace

void plan_change(const State& state, const proto::ChangeCluster& op, proto::PlacementPlan* plan) {
  ClusterMap map = state.cluster_map;
  std::uint32_t id = 0;
  if (!change_map(state, &map, op, &id).ok()) return;  // it is refused, or planned again
  plan->set_base_epoch(state.cluster_map.epoch);
  const ClusterMap changed = map;
  const HasPacks has_packs = pack_finder(state);
  plan_repairs(&map, has_packs);  // first: it may be what stranded columns wait for
  if (may_miss_groups(state.cluster_map, op)) add_missing_groups(&map, has_packs);
  if (may_balance(state.cluster_map, op)) plan_balance(&map, has_packs);
  plan->set_stranded_columns(plan_repairs(&map, has_packs));
  for (const PlacementGroup& group : map.groups) {
    const PlacementGroup* before = changed.group(group.id);
    if (before == nullptr || !same(*before, group))
      *plan->add_groups() = wire::placement_group_to_proto(group);
  }
}

Status change_cluster(State& state, const proto::ChangeCluster& op,
                      const proto::PlacementPlan& plan, proto::ClusterReply* reply) {
  if (state.cluster_map.epoch == 0) return UnavailableError("the cluster has no map yet");
  ClusterMap map = state.cluster_map;
  std::uint32_t id = 0;
  RETURN_IF_ERROR(change_map(state, &map, op, &id));
  if (plan.base_epoch() != state.cluster_map.epoch)
    return AbortedError("what was planned is not for this cluster map");
  const HasPacks has_packs = pack_finder(state);
  for (const proto::PlacementGroupProto& group : plan.groups())
    RETURN_IF_ERROR(take_group(&map, group, has_packs).with_context("what was planned"));
  ++map.epoch;
  state.cluster_map_proto = wire::cluster_map_to_proto(map);
  state.cluster_map = std::move(map);
  state.note_cluster_map();
  std::uint32_t moves = 0;
  for (const PlacementGroup& group : state.cluster_map.groups)
    moves += static_cast<std::uint32_t>(group.moves.size());
  reply->set_epoch(state.cluster_map.epoch);
  reply->set_drive(id);
  reply->set_moves(moves);
  reply->set_stranded_columns(plan.stranded_columns());
  return OkStatus();
}

}  // namespace shoal::metad
