// Nemesis: what goes wrong in a run, chosen by the seed. Each run has its own selection of faults,
// so that some runs meet one kind often and others meet them all together.
#pragma once

#include <vector>

#include "tests/sim/sim_cluster.h"

namespace shoal::sim {

class Nemesis {
 public:
  Nemesis(SimCluster& cluster, std::uint64_t seed);
  // Until stop(); on the world's executor.
  void start();
  // Nothing new goes wrong; SimCluster::heal() mends what is broken.
  void stop() { stopped_ = true; }

 private:
  enum class Fault {
    kKillStorage,
    kKillMetad,
    kKillClient,
    kPowerFailure,  // several machines at once
    kCut,
    kIsolate,
    kPause,
    kSlowDisk,
    kHangingDisk,
    kRot,
    kReadErrors,
    kWriteErrors,
    kUnplug,
    kBadNetwork,
    kCount,
  };

  Task<void> run();
  void begin(Fault fault);
  void begin_disk_fault(Fault fault);
  Task<void> restart_storage_later(StorageNode* node, Duration after);
  Task<void> restart_metad_later(Duration after);
  Task<void> restart_client_later(ClientNode* node, Duration after);
  Task<void> mend_disk_later(StorageNode* node, Duration after, bool restart);
  Task<void> mend_network_later(Duration after);
  std::optional<PowerLoss> any_loss();
  StorageNode& any_storage();
  StorageNode* any_bad_storage();
  SimHost& any_host();
  void kill_storage(StorageNode& node);
  void kill_metad();
  Duration outage();

  SimCluster& cluster_;
  Simulator& simulator_;
  SeededRandom random_;
  std::vector<ClientNode*> clients_;  // workers, too
  NetworkFaults usual_network_;
  std::vector<Fault> chosen_;
  Duration pause_{};
  bool stopped_ = false;
};

}  // namespace shoal::sim
