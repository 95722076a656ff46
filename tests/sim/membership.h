// Membership: what people do with the drives of a run while other things fail: drives are lost for
// good, given up though they are there, taken back with what they held, drained, added and
// forgotten. Never more at once than the code bears. It also watches the cluster map for what must
// hold at every moment of its changes (README.md).
#pragma once

#include <set>
#include <string>
#include <vector>

#include "tests/sim/sim_cluster.h"

namespace shoal::sim {

class Membership {
 public:
  Membership(SimCluster& cluster, std::uint64_t seed);
  // Until stop().
  void start();
  void stop() { stopped_ = true; }
  // At rest, on the operator's executor: what is to be done so that repair can end.
  Task<void> settle();
  // Nothing has to move any more, as the map says.
  bool is_settled() const;
  std::string describe() const;  // what has to move, for messages
  // Drives that may be lost now without anything being lost; none that is down already.
  std::vector<StorageNode*> spare_drives(std::size_t at_most);

 private:
  enum class Event { kLose, kGiveUp, kTakeBack, kDrain, kAdd, kForget, kCount };

  Task<void> run(client::ClientStack* client);
  Task<void> begin(Event event);
  Task<Status> change(proto::ChangeCluster change);
  Task<Status> set_state(StorageNode* node, DriveState state);
  Task<void> set_state_surely(StorageNode* node, DriveState state);
  Task<void> add_drive();
  Task<void> forget(StorageNode* node);
  Task<void> declare_later(StorageNode* node, Duration after);
  const ClusterMap& map() const { return cluster_.machine()->cluster_map(); }
  // Null: not in the map.
  const DriveInfo* info(const StorageNode& node) const { return map().drive(node.info.id); }
  std::string open_packs(PgId group) const;
  bool takes_part(const StorageNode& node) const;
  bool is_hurt(const StorageNode& node) const;
  std::size_t count_hurt_with(const StorageNode* more) const;
  std::size_t count_up() const;
  StorageNode* pick(const std::function<bool(const StorageNode&)>& fits);

  Task<void> watch();
  void compare(const ClusterMap& before, const ClusterMap& now);
  void check_groups(const ClusterMap& now);
  void check_given_up(const ClusterMap& before, const ClusterMap& now);
  Task<void> check_finished(PgId group, std::uint8_t column, StorageNode* node);
  std::vector<std::uint32_t> living_rows(PackId pack) const;
  Task<bool> lacks(PackId pack, std::uint32_t row, std::uint8_t column);
  void breach(const std::string& what) { cluster_.fail("membership: " + what); }

  SimCluster& cluster_;
  Simulator& simulator_;
  SeededRandom random_;
  std::vector<Event> chosen_;
  Duration pause_{};
  bool stopped_ = false;
  client::ClientStack* client_ = nullptr;
  std::set<DriveId> declared_;  // given up by people
};

}  // namespace shoal::sim
