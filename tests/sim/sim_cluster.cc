#include "tests/sim/sim_cluster.h"

#include "metad/cluster/membership.h"
#include "tests/sim/canaries.h"

namespace shoal::sim {
namespace {

constexpr char kClusterUuid[] = "11111111-1111-4111-8111-111111111111";
constexpr Duration kStartPatience = std::chrono::minutes(5);

std::string drive_uuid(int number) {
  return "22222222-2222-4222-8222-0000000000" + std::to_string(10 + number);
}

}  // namespace

SimCluster::SimCluster(Simulator& simulator, ClusterOptions options)
    : simulator_(simulator), options_(options), network_(simulator) {
  int number = 0;
  metad_host_.name = "metad";
  metad_host_.number = number++;
  const bool lies = options_.canary == Canary::kAcknowledgeBeforeFlush;
  metad_disk_ = std::make_unique<SimDisk>(simulator_, "journal", 64 << 20);
  metad_disk_->faults().lies_about_flushes = lies;
  for (int i = 0; i < options_.drives; ++i) {
    auto node = std::make_unique<StorageNode>();
    node->host.name = "storaged-" + std::to_string(i);
    node->host.number = number++;
    node->disk = std::make_unique<SimDisk>(simulator_, "drive-" + std::to_string(i),
                                           options_.drive_bytes + (1 << 20));
    node->disk->faults().lies_about_flushes = lies;
    const auto id = static_cast<std::uint32_t>(i + 1);
    node->info = {DriveId(id),     NodeId(id), drive_uuid(i),  node->host.name,
                  node->host.name, "rack",     DriveState::kUp};
    storage_.push_back(std::move(node));
  }
  for (int i = 0; i < options_.clients + 1; ++i) {
    auto node = std::make_unique<ClientNode>();
    const bool checks = i == options_.clients;
    node->host.name = checks ? "checker" : "client-" + std::to_string(i);
    node->host.number = number++;
    if (checks) {
      checker_ = std::move(node);
    } else {
      clients_.push_back(std::move(node));
    }
  }
}

void SimCluster::fail(const std::string& what) {
  if (!failure_.empty()) return;
  failure_ = what;
  simulator_.trace("FAILED " + what);
}

std::vector<DriveInfo> SimCluster::drive_infos() const {
  std::vector<DriveInfo> infos;
  for (const auto& node : storage_) infos.push_back(node->info);
  return infos;
}

StorageApi* SimCluster::link_to_drive(SimHost& host, DriveId drive) {
  return new SimStorageLink(network_, host, storage_.at(drive.value() - 1)->host);
}

bool SimCluster::all_up() const {
  if (metadata_ == nullptr || metad_host_.metadata == nullptr) return false;
  for (const auto& node : storage_)
    if (node->host.storage == nullptr) return false;
  return true;
}

Status SimCluster::start() {
  for (const auto& node : storage_) start_storage(*node);
  start_metad();
  const bool up = simulator_.run_until([&] { return all_up() || !failure_.empty(); },
                                       simulator_.now() + kStartPatience);
  if (!failure_.empty()) return InternalError(failure_);
  if (!up) return InternalError("the cluster does not start");
  for (const auto& node : clients_) start_client(*node);
  return OkStatus();
}

void SimCluster::start_metad() {
  const std::uint64_t life = ++metad_host_.lives;
  metad_host_.executor = &simulator_.make_executor("metad." + std::to_string(life));
  simulator_.trace("start metad", life);
  metad_host_.executor->post([this, life] { spawn(run_metad(life)); });
}

Task<void> SimCluster::run_metad(std::uint64_t life) {
  auto directory = metad_disk_->open(*metad_host_.executor);
  CHECK(directory.ok());
  auto* const pool = new SimPool(simulator_, *metad_host_.executor);
  metad::MetadataOptions options;
  options.open_checkpoint = checkpoint_.opener();
  options.journal_segment_bytes = options_.journal_segment_bytes;
  options.checkpoint_after_bytes = options_.checkpoint_after_bytes;
  auto opened =
      co_await metad::MetadataServer::open(*directory->release(), *pool, std::move(options));
  if (!opened.ok()) {
    fail("metad does not come up: " + opened.status().to_string());
    co_return;
  }
  auto* const server = opened->release();
  const Status mapped =
      co_await metad::update_cluster_map(server, kClusterUuid, options_.code, drive_infos());
  if (!mapped.ok()) {
    fail("the cluster map: " + mapped.to_string());
    co_return;
  }
  CHECK(life == metad_host_.lives);
  metadata_ = server;
  metad_host_.metadata = options_.canary == Canary::kForgetRetries
                             ? new ForgetfulMetadata(*server, canary_counter_)
                             : static_cast<MetadataApi*>(server);
  collector_ = new metad::Collector(
      *server, [this](const DriveInfo& drive) { return link_to_drive(metad_host_, drive.id); });
  collector_->start();
}

void SimCluster::kill_metad(std::optional<PowerLoss> loss) {
  if (!metad_host_.up()) return;
  simulator_.trace("kill metad", loss ? static_cast<std::uint64_t>(*loss) + 1 : 0);
  metad_host_.executor->kill();
  metad_host_.metadata = nullptr;
  metadata_ = nullptr;
  collector_ = nullptr;
  if (loss) {
    metad_disk_->lose_power(*loss);
  } else {
    metad_disk_->process_died();
  }
  network_.host_died(metad_host_);
}

void SimCluster::start_storage(StorageNode& node) {
  const std::uint64_t life = ++node.host.lives;
  node.host.executor = &simulator_.make_executor(node.host.name + "." + std::to_string(life));
  simulator_.trace("start " + node.host.name, life);
  node.host.executor->post([this, &node, life] { spawn(run_storage(&node, life)); });
}

Task<void> SimCluster::run_storage(StorageNode* node, std::uint64_t life) {
  storaged::DriveConfig config;
  config.path = node->disk->faults().unplugged ? "unplugged" : node->host.name;
  config.options.identity = {kClusterUuid, node->info.uuid, node->info.id};
  config.options.segment_bytes = options_.segment_bytes;
  config.options.max_bytes = options_.drive_bytes;
  // Until a first start has ended the drive may not have been made.
  config.options.format_if_empty = node->disk->files().count("superblock") == 0;
  SimExecutor* const executor = node->host.executor;
  struct Opener {
    static Task<Result<std::unique_ptr<BlockDirectory>>> open(SimDisk* disk,
                                                              SimExecutor* executor) {
      co_return disk->open(*executor);
    }
  };
  std::vector<storaged::DriveConfig> configs;
  configs.push_back(std::move(config));
  storaged::StorageServer::OpenDirectory opener = [disk = node->disk.get(),
                                                   executor](const storaged::DriveConfig&) {
    return Opener::open(disk, executor);
  };
  auto server =
      co_await storaged::StorageServer::open(*executor, std::move(opener), std::move(configs));
  CHECK(life == node->host.lives);
  node->server = server.release();
  if (!node->server->trouble().ok() && !node->may_lose_data && !node->disk->faults().unplugged) {
    fail(node->host.name + " does not come up: " + node->server->trouble().to_string());
  }
  node->host.storage = node->server;
}

void SimCluster::kill_storage(StorageNode& node, std::optional<PowerLoss> loss) {
  if (!node.host.up()) return;
  simulator_.trace("kill " + node.host.name, loss ? static_cast<std::uint64_t>(*loss) + 1 : 0);
  node.host.executor->kill();
  node.host.storage = nullptr;
  node.server = nullptr;
  if (loss) {
    node.disk->lose_power(*loss);
  } else {
    node.disk->process_died();
  }
  network_.host_died(node.host);
}

void SimCluster::start_client(ClientNode& node) {
  const std::uint64_t life = ++node.host.lives;
  node.host.executor = &simulator_.make_executor(node.host.name + "." + std::to_string(life));
  simulator_.trace("start " + node.host.name, life);
  node.host.executor->post([this, &node, life] { spawn(run_client(&node, life)); });
}

Task<Result<std::unique_ptr<client::ClientStack>>> SimCluster::open_client(ClientNode* node) {
  auto* const metadata = new SimMetadataLink(network_, node->host, metad_host_);
  client::ClientStackOptions options;
  options.name = node->host.name;
  options.seed = simulator_.random().next();
  options.write_limits.pack_bytes_per_column = 256 << 10;
  options.write_limits.open_packs = 4;
  options.write_limits.idle_pack_grace = std::chrono::seconds(8);
  client::StorageRouter::Factory factory = [this,
                                            node](const DriveInfo& drive) -> Result<StorageApi*> {
    if (options_.canary != Canary::kDropFragment) return link_to_drive(node->host, drive.id);
    StorageNode& owner = *storage_.at(drive.id.value() - 1);
    return static_cast<StorageApi*>(
        new FragmentDropper(network_, node->host, owner.host, canary_counter_));
  };
  co_return co_await client::ClientStack::open(*metadata, std::move(factory), *node->host.executor,
                                               std::move(options));
}

Task<void> SimCluster::run_client(ClientNode* node, std::uint64_t life) {
  std::unique_ptr<client::ClientStack> stack;
  while (stack == nullptr) {
    auto opened = co_await open_client(node);
    if (opened.ok()) {
      stack = std::move(*opened);
    } else {
      co_await sleep_for(std::chrono::milliseconds(500));
    }
  }
  CHECK(life == node->host.lives);
  node->stack = stack.release();
  if (node->on_start) node->on_start(node->stack);
}

void SimCluster::kill_client(ClientNode& node) {
  if (!node.host.up()) return;
  simulator_.trace("kill " + node.host.name);
  node.host.executor->kill();
  node.stack = nullptr;
}

client::ClientStack* SimCluster::open_checker() {
  start_client(*checker_);
  simulator_.run_until([&] { return checker_->stack != nullptr; },
                       simulator_.now() + kStartPatience);
  if (checker_->stack == nullptr) fail("no client can connect at rest");
  return checker_->stack;
}

bool SimCluster::heal() {
  simulator_.trace("heal");
  network_.heal();
  network_.faults() = {};
  for (const auto& node : storage_) {
    DiskFaults& faults = node->disk->faults();
    const bool lies = faults.lies_about_flushes;
    faults = {};
    faults.lies_about_flushes = lies;
    // What failed while there were errors is poisoned, and what hung stays so: a new life is not.
    if (node->may_lose_data || node->disk->hung()) kill_storage(*node, std::nullopt);
    if (!node->host.up()) start_storage(*node);
    node->host.executor->pause_until(MonotonicTime{});
  }
  if (!metad_host_.up()) start_metad();
  metad_host_.executor->pause_until(MonotonicTime{});
  for (const auto& node : clients_) {
    if (!node->host.up()) start_client(*node);
    node->host.executor->pause_until(MonotonicTime{});
  }
  return simulator_.run_until([&] { return all_up() || !failure_.empty(); },
                              simulator_.now() + kStartPatience) &&
         failure_.empty();
}

}  // namespace shoal::sim
