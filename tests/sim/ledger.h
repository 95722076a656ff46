// The ledger's check: at rest, the metadata and the drives say the same. Live bytes of every row
// are the sum of the extents that name it; every row with live bytes has all its fragments, whole,
// on its drives; what is dead for good is gone from them.
#pragma once

#include "tests/sim/sim_cluster.h"

namespace shoal::sim {

// With nothing under way, on the client's executor. The first breach, or "". In runs with
// membership repair has ended, and no drive is excused: what the map names is where it says,
// verified, and no drive of the map holds a fragment that no group wants of it.
Task<std::string> check_ledger(SimCluster* cluster, client::ClientStack* client);

}  // namespace shoal::sim
