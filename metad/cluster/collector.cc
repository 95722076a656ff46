#include "metad/cluster/collector.h"

#include "base/log.h"

namespace shoal::metad {

void Collector::start() { scope_.spawn(run()); }

Task<void> Collector::stop() {
  stopping_ = true;
  Executor::current()->cancel(timer_);
  wake_.notify_all();
  co_await scope_.join();
}

Task<void> Collector::run() {
  while (!stopping_) {
    timer_ = Executor::current()->schedule_at(Executor::current()->now() + kCollectInterval,
                                              [this] { wake_.notify_all(); });
    co_await wake_.wait();
    if (stopping_) break;
    const std::uint64_t dropped = co_await collect();
    if (dropped > 0) log_info("metad", "dead packs were dropped", {{"packs", dropped}});
  }
}

Task<std::uint64_t> Collector::collect() {
  std::uint64_t dropped = 0;
  std::uint64_t after = 0;
  bool more = true;
  while (more && !stopping_) {
    proto::Query query;
    query.mutable_list_packs()->set_after(after);
    query.mutable_list_packs()->set_limit(1000);
    proto::QueryReply reply;
    server_.machine().query(query, &reply);
    more = reply.list_packs().more();
    for (const proto::PackRecord& pack : reply.list_packs().packs()) {
      after = pack.pack();
      if (pack.state() != proto::PACK_CLOSED || pack.kept() || stopping_) continue;
      if (pack.live_bytes() > 0) {
        if (pack.live_bytes() < pack.committed_bytes()) co_await drop_rows(PackId(pack.pack()));
        continue;
      }
      if (dropped >= kCollectPacksPerRound) co_return dropped;
      const bool gone = co_await drop_pack(PackId(pack.pack()), pack.epoch());
      if (gone) ++dropped;
    }
  }
  const std::vector<DriveInfo> drives = server_.machine().cluster_map().drives;
  for (const DriveInfo& drive : drives) {
    if (!stopping_) co_await drop_unknown_packs(&drive);
  }
  co_return dropped;
}

// Where fragments of the pack may be: its group's drives and those that its columns move to. Not
// those that are given up: should one come back, it holds packs that are unknown.
std::vector<DriveInfo> Collector::drives_of(PackId pack) const {
  std::vector<DriveInfo> drives;
  const ClusterMap& map = server_.machine().cluster_map();
  const PlacementGroup* group = map.group(pg_of_pack(pack));
  for (const DriveInfo& drive : map.drives) {
    if (group == nullptr || drive.state == DriveState::kOut) continue;
    if (group->holds(drive.id) || group->expects(drive.id)) drives.push_back(drive);
  }
  return drives;
}

Task<bool> Collector::drop_pack(PackId pack, std::uint64_t epoch) {
  const std::vector<DriveInfo> drives = drives_of(pack);
  if (drives.empty()) co_return false;
  bool all = true;
  for (const DriveInfo& drive : drives) {
    StorageApi* storage = storage_of_(drive);
    const MonotonicTime deadline = Executor::current()->now() + kCollectorDeadline;
    Status done = UnavailableError("nobody serves it");
    if (storage != nullptr) done = co_await storage->seal_pack(drive.id, pack, epoch, deadline);
    if (done.ok()) done = co_await storage->delete_pack(drive.id, pack, deadline);
    all = all && done.ok();
  }
  if (!all) co_return false;  // a drive that is down keeps its part for later
  dropped_.erase(pack);
  proto::Command command;
  command.mutable_pack_deleted()->set_pack(pack.value());
  const auto reply = co_await server_.execute(std::move(command), MonotonicTime::max());
  co_return reply.ok() && reply->status().code() == 0;
}

// Rows of a closed pack die for good: no commit can name them any more.
Task<void> Collector::drop_rows(PackId pack) {
  proto::Query query;
  query.mutable_list_packs()->set_after(pack.value() - 1);
  query.mutable_list_packs()->set_limit(1);
  query.mutable_list_packs()->set_with_rows(true);
  proto::QueryReply reply;
  server_.machine().query(query, &reply);
  if (reply.list_packs().packs_size() == 0) co_return;
  const proto::PackRecord& record = reply.list_packs().packs(0);
  Dropped& dropped = dropped_[pack];
  if (record.pack() != pack.value() || dropped.live_bytes == record.live_bytes()) co_return;
  const auto row_count = static_cast<std::size_t>(record.row_live_bytes_size());
  dropped.rows.resize(row_count);
  std::vector<std::uint32_t> dead;
  for (std::size_t row = 0; row < row_count; ++row) {
    if (record.row_live_bytes(static_cast<int>(row)) == 0 && !dropped.rows[row])
      dead.push_back(static_cast<std::uint32_t>(row));
  }
  if (dead.size() * kDropRowsFraction < row_count) co_return;
  const bool done = co_await drop_rows_on_drives(pack, dead);
  if (!done) co_return;  // a drive that is down: all of them again later
  Dropped& now = dropped_[pack];
  now.live_bytes = record.live_bytes();
  for (const std::uint32_t row : dead) now.rows[row] = true;
}

Task<bool> Collector::drop_rows_on_drives(PackId pack, std::vector<std::uint32_t> rows) {
  const std::vector<DriveInfo> drives = drives_of(pack);
  bool all = !drives.empty();
  for (const DriveInfo& drive : drives) {
    StorageApi* storage = storage_of_(drive);
    Status done = UnavailableError("nobody serves it");
    if (storage != nullptr)
      done = co_await storage->delete_rows(drive.id, pack, rows,
                                           Executor::current()->now() + kCollectorDeadline);
    all = all && done.ok();
  }
  co_return all;
}

// What a drive holds of packs that the metadata has dropped already, or never journaled: left over
// by a crash, or by a drive that was away while its pack was dropped. And of packs whose columns
// have moved away from it.
Task<void> Collector::drop_unknown_packs(const DriveInfo* drive) {
  StorageApi* storage = storage_of_(*drive);
  if (storage == nullptr) co_return;
  PackId after{0};
  while (!stopping_) {
    const MonotonicTime deadline = Executor::current()->now() + kCollectorDeadline;
    auto packs = co_await storage->list_packs(drive->id, after, 1000, deadline);
    if (!packs.ok() || packs->empty()) co_return;
    for (const PackInfo& info : *packs) {
      after = info.pack;
      proto::Query query;
      query.mutable_list_packs()->set_after(info.pack.value() - 1);
      query.mutable_list_packs()->set_limit(1);
      proto::QueryReply reply;
      server_.machine().query(query, &reply);
      const bool known = reply.list_packs().packs_size() > 0 &&
                         reply.list_packs().packs(0).pack() == info.pack.value();
      if (!known) {
        // A lease is journaled before its holder hears of it, so an unknown pack was dropped. Only
        // not if a dump was loaded that is older than the lease.
        if (!server_.machine().keeps_unknown(info.pack))
          (void)co_await storage->delete_pack(drive->id, info.pack, deadline);
        continue;
      }
      if (reply.list_packs().packs(0).kept()) continue;
      const PlacementGroup* group = server_.machine().cluster_map().group(pg_of_pack(info.pack));
      const bool elsewhere =
          group != nullptr && !group->holds(drive->id) && !group->expects(drive->id);
      if (elsewhere) (void)co_await storage->evict_pack(drive->id, info.pack, deadline);
    }
  }
}

}  // namespace shoal::metad
