#include "metad/cluster/monitor.h"

#include <algorithm>
#include <map>

#include "base/log.h"
#include "proto/wire/convert.h"

namespace shoal::metad {
namespace {

bool is_well(const DriveStatus& status) { return !status.state.starts_with("failed"); }

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
  watch_.begin_look(server_.machine().cluster_map(), Executor::current()->now());
  for (const DriveInfo& drive : drives) by_daemon[storage_of_(drive)].push_back(drive.id);
  {
    TaskScope asking;
    for (auto& [storage, ids] : by_daemon) {
      if (storage != nullptr) {
        asking.spawn(ask(storage, std::move(ids)));
        continue;
      }
      for (const DriveId id : ids) watch_.unwell(id, "nobody serves it");
    }
    co_await asking.join();
  }
  const std::vector<DriveWatch::Change> changes =
      watch_.end_look(server_.machine().cluster_map(), Executor::current()->now());
  for (const DriveWatch::Change& change : changes) {
    if (!stopping_) co_await set_state(&change);
  }
}

Task<void> Monitor::ask(StorageApi* storage, std::vector<DriveId> drives) {
  const auto answer = co_await storage->status(Executor::current()->now() + kMonitorDeadline);
  for (const DriveId id : drives) {
    if (!answer.ok()) {
      watch_.unwell(id, answer.status().message());
      continue;
    }
    const auto found = std::find_if(answer->begin(), answer->end(),
                                    [&](const auto& status) { return status.drive == id; });
    if (found == answer->end()) {
      watch_.unwell(id, "its daemon does not serve it");
    } else if (is_well(*found)) {
      watch_.well(id, Executor::current()->now());
    } else {
      watch_.unwell(id, found->state);
    }
  }
}

Task<void> Monitor::set_state(const DriveWatch::Change* to) {
  const std::uint64_t id = to->drive.value();
  if (to->to == DriveState::kUp) {
    log_info("metad", "a drive is back", {{"drive", id}});
  } else {
    log_warning("metad",
                to->to == DriveState::kDown ? "a drive is down"
                                            : "a drive that was down for long is given up",
                {{"drive", id}, {"trouble", to->trouble}});
  }
  proto::Command command;
  proto::SetDriveState* change = command.mutable_change_cluster()->mutable_set_drive_state();
  change->set_drive(to->drive.value());
  change->set_state(static_cast<std::uint32_t>(to->to));
  const auto reply = co_await server_.execute(std::move(command), MonotonicTime::max());
  const Status status = reply.ok() ? wire::status_from_proto(reply->status()) : reply.status();
  if (!status.ok())
    log_warning("metad", "a drive's state was not changed", {{"drive", id}, {"status", status}});
}

}  // namespace shoal::metad
