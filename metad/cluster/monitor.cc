#include "metad/cluster/monitor.h"

#include <algorithm>
#include <map>

#include "base/log.h"
#include "proto/wire/convert.h"

namespace shoal::metad {
namespace {

bool is_well(const DriveStatus& status) { return !status.state.starts_with("failed"); }

// Drives that are missed: down, or given up and not yet made good elsewhere.
std::size_t count_missed(const ClusterMap& map) {
  const auto is_missed = [&](const DriveInfo& drive) {
    if (drive.state == DriveState::kDown) return true;
    return drive.state == DriveState::kOut &&
           std::any_of(map.groups.begin(), map.groups.end(),
                       [&](const PlacementGroup& group) { return group.holds(drive.id); });
  };
  return static_cast<std::size_t>(std::count_if(map.drives.begin(), map.drives.end(), is_missed));
}

// Drives that may be lost at once without losing anything.
std::size_t tolerated(const ClusterMap& map) {
  std::size_t m = 0;
  for (const PlacementGroup& group : map.groups) m = std::max<std::size_t>(m, group.code.m);
  return m;
}

}  // namespace

void Monitor::start() { scope_.spawn(run()); }

Task<void> Monitor::stop() {
  stopping_ = true;
  Executor::current()->cancel(timer_);
  wake_.notify_all();
  co_await scope_.join();
}

Task<void> Monitor::run() {
  while (!stopping_) {
    co_await look();
    if (stopping_) break;
    timer_ = Executor::current()->schedule_at(Executor::current()->now() + kMonitorInterval,
                                              [this] { wake_.notify_all(); });
    co_await wake_.wait();
  }
}

Task<void> Monitor::look() {
  const std::vector<DriveInfo> drives = server_.machine().cluster_map().drives;
  std::map<StorageApi*, std::vector<DriveId>> by_daemon;
  const MonotonicTime now = Executor::current()->now();
  for (const DriveInfo& drive : drives) {
    // The time of a drive that was not asked yet begins now; one that is down has yet to be well.
    const bool down = drive.state == DriveState::kDown;
    seen_.try_emplace(drive.id, Seen{down ? MonotonicTime() : now, now, "it was not asked yet"});
    by_daemon[storage_of_(drive)].push_back(drive.id);
  }
  {
    TaskScope asking;
    for (auto& [storage, ids] : by_daemon) {
      if (storage != nullptr) asking.spawn(ask(storage, std::move(ids)));
    }
    co_await asking.join();
  }
  const ClusterMap& map = server_.machine().cluster_map();
  const bool may_give_up = count_missed(map) <= tolerated(map);
  for (const DriveInfo& drive : drives) {
    if (!stopping_) co_await judge(drive.id, drive.state, may_give_up);
  }
}

Task<void> Monitor::ask(StorageApi* storage, std::vector<DriveId> drives) {
  const auto answer = co_await storage->status(Executor::current()->now() + kMonitorDeadline);
  for (const DriveId id : drives) {
    Seen& seen = seen_[id];
    if (!answer.ok()) {
      seen.trouble = answer.status().message();
      continue;
    }
    const auto found = std::find_if(answer->begin(), answer->end(),
                                    [&](const auto& status) { return status.drive == id; });
    if (found == answer->end()) {
      seen.trouble = "its daemon does not serve it";
    } else if (is_well(*found)) {
      seen.well_at = Executor::current()->now();
    } else {
      seen.trouble = found->state;
    }
  }
}

Task<void> Monitor::judge(DriveId id, DriveState state, bool may_give_up) {
  const MonotonicTime now = Executor::current()->now();
  Seen& seen = seen_[id];
  const bool well = now - seen.well_at <= options_.down_after;
  if (state == DriveState::kUp && !well) {
    seen.down_at = now;
    log_warning("metad", "a drive is down", {{"drive", id.value()}, {"trouble", seen.trouble}});
    co_await set_state(id, DriveState::kDown);
  } else if (state == DriveState::kDown && now - seen.well_at <= kMonitorInterval) {
    log_info("metad", "a drive is back", {{"drive", id.value()}});
    co_await set_state(id, DriveState::kUp);
  } else if (state == DriveState::kDown && may_give_up && options_.out_after > Duration(0) &&
             now - seen.down_at >= options_.out_after) {
    log_warning("metad", "a drive that was down for long is given up",
                {{"drive", id.value()}, {"trouble", seen.trouble}});
    co_await set_state(id, DriveState::kOut);
  }
}

Task<void> Monitor::set_state(DriveId drive, DriveState state) {
  proto::Command command;
  proto::SetDriveState* change = command.mutable_change_cluster()->mutable_set_drive_state();
  change->set_drive(drive.value());
  change->set_state(static_cast<std::uint32_t>(state));
  const auto reply = co_await server_.execute(std::move(command), MonotonicTime::max());
  const Status status = reply.ok() ? wire::status_from_proto(reply->status()) : reply.status();
  if (!status.ok())
    log_warning("metad", "a drive's state was not changed",
                {{"drive", drive.value()}, {"status", status}});
}

}  // namespace shoal::metad
