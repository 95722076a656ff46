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
      if (pack.state() != proto::PACK_CLOSED || pack.live_bytes() > 0 || stopping_) continue;
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

Task<bool> Collector::drop_pack(PackId pack, std::uint64_t epoch) {
  const PlacementGroup* group = server_.machine().cluster_map().group(pg_of_pack(pack));
  if (group == nullptr) co_return false;
  const std::vector<DriveId> drives = group->drives;
  for (const DriveId id : drives) {
    const DriveInfo* drive = server_.machine().cluster_map().drive(id);
    StorageApi* storage = drive == nullptr ? nullptr : storage_of_(*drive);
    if (storage == nullptr) co_return false;
    const MonotonicTime deadline = Executor::current()->now() + kCollectorDeadline;
    Status done = co_await storage->seal_pack(id, pack, epoch, deadline);
    if (done.ok()) done = co_await storage->delete_pack(id, pack, deadline);
    if (!done.ok()) co_return false;  // a drive that is down keeps its part for later
  }
  proto::Command command;
  command.mutable_pack_deleted()->set_pack(pack.value());
  const auto reply = co_await server_.execute(std::move(command), MonotonicTime::max());
  co_return reply.ok() && reply->status().code() == 0;
}

// What a drive holds of packs that the metadata has dropped already, or never journaled: left over
// by a crash, or by a drive that was away while its pack was dropped.
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
      // A lease is journaled before its holder hears of it, so an unknown pack was dropped.
      if (!known) (void)co_await storage->delete_pack(drive->id, info.pack, deadline);
    }
  }
}

}  // namespace shoal::metad
