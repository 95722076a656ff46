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
#include "metad/cluster/monitor.h"
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
  kCarelessMoves,           // a worker ends moves without a look at what was moved
  kHastyMonitor,            // drives are given up once they are down, however many they are
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
  // Drives are lost, given up, drained and added; a monitor and workers do what follows.
  bool membership = false;
  int workers = 0;
  metad::MonitorOptions monitor;
};

// A drive, the machine it is in and the daemon that serves it.
struct StorageNode {
  SimHost host;
  std::unique_ptr<SimDisk> disk;
  DriveInfo info;
  storaged::StorageServer* server = nullptr;
  bool may_lose_data = false;  // rot and errors are put on it: at most m of them in a run
  bool joined = false;         // the configuration names it
  bool lost = false;           // the device is gone for good, and its daemon with it
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

  // As `metad` has it now. kNotFound when it does not know it.
  Result<proto::PackRecord> pack_record(PackId pack) const;

  void start_metad();
  void start_storage(StorageNode& node);
  void start_client(ClientNode& node);
  // With a power loss what was not flushed is lost as `loss` says.
  void kill_metad(std::optional<PowerLoss> loss);
  void kill_storage(StorageNode& node, std::optional<PowerLoss> loss);
  void kill_client(ClientNode& node);
  // A drive that nobody knows yet, and its daemon.
  StorageNode& make_drive();
  // The device is gone for good.
  void lose_drive(StorageNode& node);

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
  std::vector<std::unique_ptr<ClientNode>>& workers() { return workers_; }
  ClientNode& operations() { return *operator_; }
  // What metad had applied last, also while it is dead. Null before its first start.
  metad::StateMachine* machine() const { return machine_; }
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
  std::unique_ptr<ClientNode> make_client(std::string name);
  void start_worker(client::ClientStack* stack, SimExecutor* executor);
  client::PackWriterLimits writer_limits(const ClientNode& node) const;
  // Fails on drops of what lives, whoever asks for them and whenever they arrive.
  void check_drop(DriveId drive, PackId pack, const std::vector<std::uint32_t>* rows, bool evicts);
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
  metad::StateMachine* machine_ = nullptr;
  int next_host_ = 0;
  std::uint64_t canary_counter_ = 0;
  std::vector<std::unique_ptr<StorageNode>> storage_;
  std::vector<std::unique_ptr<ClientNode>> clients_;
  std::vector<std::unique_ptr<ClientNode>> workers_;
  std::unique_ptr<ClientNode> checker_;
  std::unique_ptr<ClientNode> operator_;  // people, who change what drives there are
  std::string failure_;
};

}  // namespace shoal::sim
