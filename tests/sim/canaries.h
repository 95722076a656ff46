// Deliberate faults at the seams of the program, for canary runs (README.md): whoever cannot find
// them would not find a real one of their kind.
#pragma once

#include "client/metadata_client.h"
#include "metad/service/metadata_server.h"
#include "tests/sim/sim_network.h"

namespace shoal::sim {

// Acknowledges one fragment in thirty-two without sending it.
class FragmentDropper final : public SimStorageLink {
 public:
  FragmentDropper(SimNetwork& network, SimHost& from, SimHost& to, std::uint64_t& counter)
      : SimStorageLink(network, from, to), counter_(counter) {}

  Task<Status> write_fragment(WriteFragmentRequest request, MonotonicTime deadline) override {
    if (++counter_ % 32 == 0) co_return OkStatus();
    co_return co_await SimStorageLink::write_fragment(std::move(request), deadline);
  }

 private:
  std::uint64_t& counter_;
};

// Gives every command a sequence of its own, so that metad cannot know it again.
class ForgetfulMetadata final : public MetadataApi {
 public:
  ForgetfulMetadata(MetadataApi& target, std::uint64_t& counter)
      : target_(target), counter_(counter) {}

  Task<Result<proto::CommandReply>> execute(proto::Command command,
                                            MonotonicTime deadline) override {
    if (command.session() != 0) command.set_sequence(++counter_);
    return target_.execute(std::move(command), deadline);
  }
  Task<Result<proto::QueryReply>> query(proto::Query query, MonotonicTime deadline) override {
    return target_.query(std::move(query), deadline);
  }

 private:
  MetadataApi& target_;
  std::uint64_t& counter_;
};

// Ends every move that it sees, whatever has been moved.
inline Task<void> end_moves_carelessly(client::MetadataClient* metadata) {
  while (true) {
    (void)co_await metadata->refresh_cluster_map();
    const std::shared_ptr<const ClusterMap> map = metadata->cluster_map();
    for (const PlacementGroup& group : map->groups) {
      for (const ColumnMove& move : group.moves) {
        proto::Command command;
        proto::FinishMove* finish = command.mutable_change_cluster()->mutable_finish_move();
        finish->set_group(group.id.value());
        finish->set_column(move.column);
        finish->set_to(move.to.value());
        finish->set_last_pack(~std::uint64_t{0});
        (void)co_await metadata->execute(std::move(command));
      }
    }
    co_await sleep_for(std::chrono::seconds(2));
  }
}

// Gives up every drive that is down.
inline Task<void> give_up_hastily(metad::MetadataServer* server) {
  while (true) {
    const std::vector<DriveInfo> drives = server->machine().cluster_map().drives;
    for (const DriveInfo& drive : drives) {
      if (drive.state != DriveState::kDown) continue;
      proto::Command command;
      proto::SetDriveState* change = command.mutable_change_cluster()->mutable_set_drive_state();
      change->set_drive(drive.id.value());
      change->set_state(static_cast<std::uint32_t>(DriveState::kOut));
      (void)co_await server->execute(std::move(command), MonotonicTime::max());
    }
    co_await sleep_for(std::chrono::seconds(1));
  }
}

}  // namespace shoal::sim
