// Sessions, pack leases and the cluster map.
#include <algorithm>
#include <tuple>
#include <vector>

#include "metad/ops/ops.h"
#include "proto/wire/convert.h"

namespace shoal::metad {
namespace {

constexpr std::uint32_t kMaxSlots = 1024;
constexpr std::uint32_t kMaxLeasesAtOnce = 1024;

void close_pack(State& state, std::uint64_t id, PackEntry& pack) {
  pack.state = proto::PACK_CLOSED;
  state.note_pack(id);
}

bool is_usable(const State& state, const PlacementGroup& group, const proto::LeasePacks& op) {
  if (!group.moves.empty()) return false;
  return std::all_of(group.drives.begin(), group.drives.end(), [&](DriveId id) {
    const DriveInfo* drive = state.cluster_map.drive(id);
    const auto& avoid = op.avoid_drives();
    return drive != nullptr && drive->state == DriveState::kUp &&
           std::find(avoid.begin(), avoid.end(), id.value()) == avoid.end();
  });
}

// Of the groups whose drives are all up and not to be avoided those that are preferred to all
// others, by their place in the table.
std::vector<bool> groups_to_lease(const State& state, const proto::LeasePacks& op) {
  const auto& groups = state.cluster_map.groups;
  std::vector<bool> usable(groups.size());
  std::tuple<bool, int, bool> best;
  for (std::size_t i = 0; i < groups.size(); ++i) {
    if (groups[i].preference() < best || !is_usable(state, groups[i], op)) continue;
    usable[i] = true;
    best = groups[i].preference();
  }
  for (std::size_t i = 0; i < groups.size(); ++i)
    if (groups[i].preference() != best) usable[i] = false;
  return usable;
}

}  // namespace

Status open_session(State& state, const proto::OpenSession& op, proto::CommandReply* reply) {
  if (op.slot_count() == 0 || op.slot_count() > kMaxSlots) {
    return InvalidArgumentError("a session has 1 to " + std::to_string(kMaxSlots) + " slots");
  }
  const std::uint64_t id = state.globals.next_session++;
  state.note_global();
  Session& session = state.sessions[id];
  session.client_name = op.client_name();
  session.slots.resize(op.slot_count());
  state.note_session(id);
  reply->mutable_open_session()->set_session(id);
  return OkStatus();
}

Status close_session(State& state, const proto::CloseSession& op, const Context& context) {
  const std::uint64_t id = context.session != 0 ? context.session : op.session();
  if (state.sessions.erase(id) == 0) return OkStatus();
  state.note_session(id);
  for (auto& [pack_id, pack] : state.packs) {
    if (pack.session == id && pack.state == proto::PACK_OPEN) close_pack(state, pack_id, pack);
  }
  const std::vector<std::uint64_t> held(state.held.begin(), state.held.end());
  Context as_session = context;
  as_session.session = id;
  for (const std::uint64_t inode : held) {
    const auto& holders = state.find(inode)->extras->holders;
    if (std::find(holders.begin(), holders.end(), id) == holders.end()) continue;
    proto::ReleaseOrphan release;
    release.set_inode(inode);
    RETURN_IF_ERROR(release_orphan(state, release, as_session));
  }
  for (auto& [inode_id, sessions] : state.open_files) sessions.erase(id);
  return OkStatus();
}

Status check_lease_packs(const State& state, const proto::LeasePacks& op) {
  if (op.count() == 0 || op.count() > kMaxLeasesAtOnce) {
    return InvalidArgumentError("1 to " + std::to_string(kMaxLeasesAtOnce) + " packs at once");
  }
  const auto& groups = state.cluster_map.groups;
  const bool any = std::any_of(groups.begin(), groups.end(), [&](const PlacementGroup& group) {
    return is_usable(state, group, op);
  });
  return any ? OkStatus() : UnavailableError("no placement group has all its drives up");
}

Status lease_packs(State& state, const proto::LeasePacks& op, const Context& context,
                   proto::CommandReply* reply) {
  if (!state.sessions.contains(context.session)) return FencedError("pack leases need a session");
  RETURN_IF_ERROR(check_lease_packs(state, op));
  const std::vector<bool> usable = groups_to_lease(state, op);
  const auto next = [&] {
    while (!usable[state.globals.next_group % usable.size()]) ++state.globals.next_group;
    return state.cluster_map.groups[state.globals.next_group++ % usable.size()].id;
  };
  for (std::uint32_t i = 0; i < op.count(); ++i) {
    const PackId id = make_pack_id(next(), state.globals.next_pack++);
    PackEntry& pack = state.packs[id.value()];
    pack.session = context.session;
    pack.epoch = context.position;
    state.note_pack(id.value());
    proto::PackLease* lease = reply->mutable_lease_packs()->add_leases();
    lease->set_pack(id.value());
    lease->set_epoch(pack.epoch);
  }
  reply->mutable_lease_packs()->set_map_epoch(state.cluster_map.epoch);
  state.note_global();
  return OkStatus();
}

Status close_packs(State& state, const proto::ClosePack& op, const Context& context) {
  for (const std::uint64_t id : op.packs()) {
    const auto pack = state.packs.find(id);
    if (pack == state.packs.end() || pack->second.session != context.session) continue;
    close_pack(state, id, pack->second);
  }
  return OkStatus();
}

Status pack_deleted(State& state, const proto::PackDeleted& op) {
  const auto pack = state.packs.find(op.pack());
  if (pack == state.packs.end()) return OkStatus();
  if (pack->second.state != proto::PACK_CLOSED || pack->second.live_bytes > 0 ||
      pack->second.kept) {
    return BusyError("pack " + std::to_string(op.pack()) + " is in use");
  }
  state.packs.erase(pack);
  state.note_pack(op.pack());
  return OkStatus();
}

// Rows carry no record of their own: that they are gone shows in their having no live bytes.
Status rows_deleted(State& state, const proto::RowsDeleted& op) {
  const auto pack = state.packs.find(op.pack());
  if (pack == state.packs.end()) return OkStatus();
  for (const std::uint32_t row : op.rows()) {
    if (row < pack->second.rows.size() && pack->second.rows[row] > 0) {
      return BusyError("row " + std::to_string(row) + " of pack " + std::to_string(op.pack()) +
                       " is in use");
    }
  }
  return OkStatus();
}

Status set_cluster_map(State& state, const proto::SetClusterMap& op) {
  ASSIGN_OR_RETURN(ClusterMap map, wire::cluster_map_from_proto(op.map()));
  if (map.epoch <= state.cluster_map.epoch) {
    return AbortedError("cluster map epoch " + std::to_string(map.epoch) + " is not newer than " +
                        std::to_string(state.cluster_map.epoch));
  }
  if (!state.cluster_map.cluster_uuid.empty() &&
      map.cluster_uuid != state.cluster_map.cluster_uuid) {
    return InvalidArgumentError("the map is of cluster " + map.cluster_uuid);
  }
  for (const PlacementGroup& old : state.cluster_map.groups) {
    const PlacementGroup* now = map.group(old.id);
    if (now == nullptr || now->code != old.code || now->drives.size() != old.drives.size()) {
      return InvalidArgumentError("placement group " + old.id.to_string() +
                                  " may not change or go");
    }
  }
  state.cluster_map = std::move(map);
  state.cluster_map_proto = op.map();
  state.note_cluster_map();
  return OkStatus();
}

}  // namespace shoal::metad
