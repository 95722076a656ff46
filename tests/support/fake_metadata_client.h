// FakeMetadataClient: leases packs round robin over a cluster map as metad does, and remembers
// which are open. Other commands and queries answer kNotSupported. Belongs to one executor.
#pragma once

#include <algorithm>
#include <map>
#include <memory>
#include <set>
#include <utility>
#include <vector>

#include "base/async/sync.h"
#include "client/metadata_client.h"

namespace shoal::test {

// `drive_count` drives, one node each, and groups of `code`: group g takes drives g, g + stride,
// ... modulo the count.
inline ClusterMap make_cluster_map(std::uint32_t drive_count, std::vector<CodeShape> codes,
                                   std::uint32_t groups_per_code) {
  ClusterMap map;
  map.epoch = 1;
  map.cluster_uuid = "11111111-2222-4333-8444-555555555555";
  for (std::uint32_t i = 0; i < drive_count; ++i) {
    DriveInfo drive;
    drive.id = DriveId(i);
    drive.node = NodeId(i);
    drive.uuid = "drive-" + std::to_string(i);
    drive.host = "host" + std::to_string(i);
    map.drives.push_back(std::move(drive));
  }
  std::uint32_t next = 1;
  for (const CodeShape& code : codes) {
    for (std::uint32_t g = 0; g < groups_per_code; ++g) {
      PlacementGroup group;
      group.id = PgId(next++);
      group.code = code;
      for (int c = 0; c < code.width(); ++c) {
        group.drives.push_back(DriveId((g + static_cast<std::uint32_t>(c)) % drive_count));
      }
      map.groups.push_back(std::move(group));
    }
  }
  return map;
}

class FakeMetadataClient final : public client::MetadataClient {
 public:
  explicit FakeMetadataClient(ClusterMap map)
      : map_(std::make_shared<const ClusterMap>(std::move(map))) {}

  Task<Status> connect() override { co_return OkStatus(); }
  Task<Status> close() override { co_return OkStatus(); }

  Task<Result<proto::CommandReply>> execute(proto::Command command) override {
    if (delay > Duration(0)) co_await sleep_for(delay);
    if (!fail_with.ok()) co_return fail_with;
    proto::CommandReply reply;
    if (command.has_lease_packs()) {
      ++lease_calls;
      lease(command.lease_packs(), reply.mutable_lease_packs());
      if (std::exchange(lose_next_answer, false)) co_return DeadlineExceededError("no answer");
      if (reply.lease_packs().leases_size() == 0) {
        co_return UnavailableError("no placement group is whole");
      }
      co_return reply;
    }
    if (command.has_close_pack()) {
      for (const std::uint64_t pack : command.close_pack().packs()) {
        closed.insert(PackId(pack));
        open.erase(PackId(pack));
      }
      co_return reply;
    }
    co_return NotSupportedError("the fake metadata client knows packs only");
  }
  Task<Result<proto::QueryReply>> query(proto::Query query) override {
    if (!query.has_list_packs())
      co_return NotSupportedError("the fake metadata client answers no query but of packs");
    proto::QueryReply reply;
    for (const auto& [pack, epoch] : open) {
      proto::PackRecord* record = reply.mutable_list_packs()->add_packs();
      record->set_pack(pack.value());
      record->set_state(proto::PACK_OPEN);
      record->set_session(generation);
    }
    co_return reply;
  }
  SessionId session() const override { return SessionId(generation); }
  std::uint64_t session_generation() const override { return generation; }
  std::shared_ptr<const ClusterMap> cluster_map() const override { return map_; }
  Task<Status> refresh_cluster_map() override {
    if (next_map != nullptr) map_ = std::exchange(next_map, nullptr);
    co_return OkStatus();
  }

  void set_drive_state(DriveId drive, DriveState state) {
    ClusterMap map = *map_;
    ++map.epoch;
    for (DriveInfo& info : map.drives) {
      if (info.id == drive) info.state = state;
    }
    map_ = std::make_shared<const ClusterMap>(std::move(map));
  }
  void new_session() {
    ++generation;
    open.clear();
  }

  Duration delay{0};
  Status fail_with;
  std::uint64_t generation = 1;
  std::uint64_t lease_calls = 0;
  std::map<PackId, std::uint64_t> open;  // to its epoch
  std::set<PackId> closed;
  bool lose_next_answer = false;               // of a lease, which is given
  std::shared_ptr<const ClusterMap> next_map;  // what a refresh finds

 private:
  void lease(const proto::LeasePacks& request, proto::LeasePacksReply* reply) {
    std::vector<const PlacementGroup*> able;
    for (const PlacementGroup& group : map_->groups) {
      const bool whole = std::all_of(group.drives.begin(), group.drives.end(), [&](DriveId id) {
        const auto& avoid = request.avoid_drives();
        return map_->drive(id)->state == DriveState::kUp &&
               std::find(avoid.begin(), avoid.end(), id.value()) == avoid.end();
      });
      if (whole) able.push_back(&group);
    }
    if (able.empty()) return;
    for (std::uint32_t i = 0; i < request.count(); ++i) {
      const PlacementGroup& group = *able[next_group_++ % able.size()];
      const PackId pack = make_pack_id(group.id, ++next_pack_);
      const std::uint64_t epoch = ++next_epoch_;
      open.emplace(pack, epoch);
      proto::PackLease* lease = reply->add_leases();
      lease->set_pack(pack.value());
      lease->set_epoch(epoch);
    }
  }

  std::shared_ptr<const ClusterMap> map_;
  std::uint64_t next_group_ = 0;
  std::uint64_t next_pack_ = 0;
  std::uint64_t next_epoch_ = 0;
};

}  // namespace shoal::test
