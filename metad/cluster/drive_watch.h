// DriveWatch: what follows from how the drives answer, look by look: one that is not well for a
// while is down, one that is well again is up, one that was down for long is out. Never gives up
// more drives than the code bears: when more are missed at once, it is the network or the power,
// and people decide. Knows no clock and asks nobody.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <string>
#include <vector>

#include "base/clock.h"
#include "base/cluster_map.h"
#include "metad/limits.h"

namespace shoal::metad {

struct MonitorOptions {
  Duration down_after = kDownAfter;
  Duration out_after = kOutAfter;  // 0: never by itself
};

class DriveWatch {
 public:
  explicit DriveWatch(MonitorOptions options) : options_(options) {}

  // A look begins: until it ends, every drive of the map counts as not well unless well() is
  // called.
  void begin_look(const ClusterMap& map, MonotonicTime now);
  void well(DriveId drive, MonotonicTime now);
  void unwell(DriveId drive, std::string trouble);

  struct Change {
    DriveId drive;
    DriveState to = DriveState::kUp;
    std::string trouble;  // of one that is not well
  };
  // What the look has shown; `map` as it is now.
  std::vector<Change> end_look(const ClusterMap& map, MonotonicTime now);

 private:
  struct Seen {
    MonotonicTime well_at{};  // when it was last well, or first looked for
    MonotonicTime down_at{};  // since when it is down
    bool well = false;        // in this look
    int missed = 0;           // looks in a row
    std::string trouble;
  };
  // A look that missed everybody says more about who looks: a pause, or a cut on this side. The
  // next one shows.
  static constexpr int kLooksToBeDown = 2;

  const MonitorOptions options_;
  absl::flat_hash_map<DriveId, Seen> seen_;
};

}  // namespace shoal::metad
