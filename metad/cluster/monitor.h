// Monitor: asks the storage daemons how their drives are and journals what follows (drive_watch.h).
// Belongs to metad's executor.
#pragma once

#include <vector>

#include "base/async/sync.h"
#include "metad/cluster/collector.h"
#include "metad/cluster/drive_watch.h"
#include "metad/service/metadata_server.h"

namespace shoal::metad {

class Monitor {
 public:
  Monitor(MetadataServer& server, Collector::StorageOf storage_of, MonitorOptions options)
      : server_(server), storage_of_(std::move(storage_of)), watch_(options) {}
  // Looks every kMonitorInterval until stop().
  void start();
  Task<void> stop();
  // One look at all drives, and what follows.
  Task<void> look();

 private:
  Task<void> run();
  Task<void> ask(StorageApi* storage, std::vector<DriveId> drives);
  Task<void> set_state(const DriveWatch::Change* to);

  MetadataServer& server_;
  Collector::StorageOf storage_of_;
  DriveWatch watch_;
  bool stopping_ = false;
  TimerId timer_;
  Signal wake_;
  TaskScope scope_;
};

}  // namespace shoal::metad
