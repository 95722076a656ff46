// SimCluster: the real metad with its collector, storage daemons and client stacks on simulated
// disks and a simulated network. Any process can be killed at any moment and started again; disks
// and metad's checkpoint outlive them.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/client_stack.h"
#include "metad/cluster/collector.h"
#include "metad/service/metadata_server.h"
#include "storaged/service.h"
#include "tests/sim/sim_checkpoint.h"
#include "tests/sim/sim_disk.h"
#include "tests/sim/sim_network.h"

namespace shoal::sim {

// A deliberate fault of the program, put in at its seams: the harness must find each.
enum class Canary {
  kNone,
  kAcknowledgeBeforeFlush,  // devices say that bytes are durable which are not
  kDropFragment,            // now and then a fragment is acknowledged and never sent
  kForgetRetries,           // a command that comes again is run again
};

// How much is done in a run.
struct Load {
  Duration longest_pause = std::chrono::milliseconds(100);  // between two operations of a worker
  std::uint64_t most_workloads = 4;                         // for each client
  std::uint64_t least_seconds = 40;                         // simulated, before it comes to rest
  std::uint64_t more_seconds = 120;                         // at most so many more
};
// A tenth of it, for many seeds in little time.
inline constexpr Load kQuickLoad{std::chrono::milliseconds(250), 2, 20, 60};

struct ClusterOptions {
  Load load;
  int drives = 5;
  CodeShape code{2, 1, MatrixId::kCauchy};
  int clients = 2;
  std::uint64_t segment_bytes = 512 << 10;
  std::uint64_t drive_bytes = 12 << 20;
  std::uint64_t journal_segment_bytes = 64 << 10;
  std::uint64_t checkpoint_after_bytes = 80 << 10;
  Canary canary = Canary::kNone;
};

// A drive, the machine it is in and the daemon that serves it.
struct StorageNode {
  SimHost host;
  std::unique_ptr<SimDisk> disk;
  DriveInfo info;
  storaged::StorageServer* server = nullptr;
  bool may_lose_data = false;  // rot and errors are put on it: at most m of them in a run
};

struct ClientNode {
  SimHost host;
  client::ClientStack* stack = nullptr;
  // Starts what runs on this client, in each of its lives.
  std::function<void(client::ClientStack*)> on_start;
};

class SimCluster {
 public:
  SimCluster(Simulator& simulator, ClusterOptions options);

  // Starts every process; returns once metad serves. Errors: metad's.
  Status start();

  void start_metad();
  void start_storage(StorageNode& node);
  void start_client(ClientNode& node);
  // With a power loss what was not flushed is lost as `loss` says.
  void kill_metad(std::optional<PowerLoss> loss);
  void kill_storage(StorageNode& node, std::optional<PowerLoss> loss);
  void kill_client(ClientNode& node);

  // No faults any more, everything is up. Returns whether all came up in time.
  bool heal();

  Simulator& simulator() { return simulator_; }
  SimNetwork& network() { return network_; }
  SimHost& metad_host() { return metad_host_; }
  SimDisk& metad_disk() { return *metad_disk_; }
  metad::MetadataServer* metadata() { return metadata_; }
  metad::Collector* collector() { return collector_; }
  std::vector<std::unique_ptr<StorageNode>>& storage() { return storage_; }
  std::vector<std::unique_ptr<ClientNode>>& clients() { return clients_; }
  const ClusterOptions& options() const { return options_; }
  // A client of its own, at rest: for checks.
  client::ClientStack* open_checker();
  SimExecutor& checker_executor() { return *checker_->host.executor; }
  // `host`'s way to a drive.
  StorageApi* link_to_drive(SimHost& host, DriveId drive);

  // What must never happen did.
  void fail(const std::string& what);
  const std::string& failure() const { return failure_; }

 private:
  Task<void> run_metad(std::uint64_t life);
  Task<void> run_storage(StorageNode* node, std::uint64_t life);
  Task<void> run_client(ClientNode* node, std::uint64_t life);
  Task<Result<std::unique_ptr<client::ClientStack>>> open_client(ClientNode* node);
  bool all_up() const;
  std::vector<DriveInfo> drive_infos() const;

  Simulator& simulator_;
  const ClusterOptions options_;
  SimNetwork network_;
  SimHost metad_host_;
  std::unique_ptr<SimDisk> metad_disk_;
  CheckpointRecords checkpoint_;
  metad::MetadataServer* metadata_ = nullptr;
  metad::Collector* collector_ = nullptr;
  std::uint64_t canary_counter_ = 0;
  std::vector<std::unique_ptr<StorageNode>> storage_;
  std::vector<std::unique_ptr<ClientNode>> clients_;
  std::unique_ptr<ClientNode> checker_;
  std::string failure_;
};

}  // namespace shoal::sim
