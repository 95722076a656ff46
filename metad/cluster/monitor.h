// Monitor: asks the storage daemons how their drives are and journals what follows: a drive that is
// not well for a while is down, one that is well again is up, one that was down for long is out,
// and its columns are restored elsewhere. Never gives up more drives by itself than the code bears:
// when more are down at once, it is the network or the power, and people decide. Belongs to metad's
// executor.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <functional>
#include <string>

#include "base/async/sync.h"
#include "metad/cluster/collector.h"
#include "metad/limits.h"
#include "metad/service/metadata_server.h"

namespace shoal::metad {

struct MonitorOptions {
  Duration down_after = kDownAfter;
  Duration out_after = kOutAfter;  // 0: never by itself
};

class Monitor {
 public:
  Monitor(MetadataServer& server, Collector::StorageOf storage_of, MonitorOptions options)
      : server_(server), storage_of_(std::move(storage_of)), options_(options) {}
  // Looks every kMonitorInterval until stop().
  void start();
  Task<void> stop();
  // One look at all drives, and what follows.
  Task<void> look();

 private:
  struct Seen {
    MonotonicTime well_at{};  // when it was last well; 0: never yet
    MonotonicTime down_at{};  // since when it is down
    std::string trouble;      // the last
  };
  Task<void> run();
  Task<void> ask(StorageApi* storage, std::vector<DriveId> drives);
  Task<void> judge(DriveId drive, DriveState state, bool may_give_up);
  Task<void> set_state(DriveId drive, DriveState state);

  MetadataServer& server_;
  Collector::StorageOf storage_of_;
  const MonitorOptions options_;
  absl::flat_hash_map<DriveId, Seen> seen_;
  bool stopping_ = false;
  TimerId timer_;
  Signal wake_;
  TaskScope scope_;
};

}  // namespace shoal::metad
