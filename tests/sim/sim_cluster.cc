#include "tests/sim/sim_cluster.h"

#include <algorithm>

#include "client/background/make_worker.h"
#include "metad/cluster/membership.h"
#include "tests/sim/canaries.h"

namespace shoal::sim {
namespace {

constexpr char kClusterUuid[] = "11111111-1111-4111-8111-111111111111";
constexpr Duration kStartPatience = std::chrono::minutes(5);

std::string drive_uuid(std::size_t number) {
  return "22222222-2222-4222-8222-0000000000" + std::to_string(10 + number);
}

}  // namespace

SimCluster::SimCluster(Simulator& simulator, ClusterOptions options)
    : simulator_(simulator), options_(options), network_(simulator) {
  metad_host_.name = "metad";
  metad_host_.number = next_host_++;
  metad_disk_ = std::make_unique<SimDisk>(simulator_, "journal", 64 << 20);
  metad_disk_->faults().lies_about_flushes = options_.canary == Canary::kAcknowledgeBeforeFlush;
  for (int i = 0; i < options_.drives; ++i) make_drive().joined = true;
  for (int i = 0; i < options_.clients; ++i)
    clients_.push_back(make_client("client-" + std::to_string(i)));
  checker_ = make_client("checker");
  for (int i = 0; i < options_.workers; ++i) {
    workers_.push_back(make_client("worker-" + std::to_string(i)));
    ClientNode* const node = workers_.back().get();
    node->on_start = [this, node](client::ClientStack* stack) {
      start_worker(stack, node->host.executor);
    };
  }
  operator_ = make_client("operator");
  if (!options_.membership) return;
  network_.on_drop = [this](DriveId drive, PackId pack, const std::vector<std::uint32_t>* rows,
                            bool evicts) { check_drop(drive, pack, rows, evicts); };
}

StorageNode& SimCluster::make_drive() {
  const std::size_t i = storage_.size();
  auto node = std::make_unique<StorageNode>();
  node->host.name = "storaged-" + std::to_string(i);
  node->host.number = next_host_++;
  node->disk = std::make_unique<SimDisk>(simulator_, "drive-" + std::to_string(i),
                                         options_.drive_bytes + (1 << 20));
  node->disk->faults().lies_about_flushes = options_.canary == Canary::kAcknowledgeBeforeFlush;
  const auto id = static_cast<std::uint32_t>(i + 1);
  node->info = {DriveId(id),     NodeId(id), drive_uuid(i),  node->host.name,
                node->host.name, "rack",     DriveState::kUp};
  storage_.push_back(std::move(node));
  return *storage_.back();
}

void SimCluster::lose_drive(StorageNode& node) {
  kill_storage(node, std::nullopt);
  node.lost = true;
  node.disk->destroy();
}

std::unique_ptr<ClientNode> SimCluster::make_client(std::string name) {
  auto node = std::make_unique<ClientNode>();
  node->host.name = std::move(name);
  node->host.number = next_host_++;
  return node;
}

void SimCluster::fail(const std::string& what) {
  if (!failure_.empty()) return;
  failure_ = what;
  simulator_.trace("FAILED " + what);
}

std::vector<DriveInfo> SimCluster::drive_infos() const {
  std::vector<DriveInfo> infos;
  for (const auto& node : storage_)
    if (node->joined) infos.push_back(node->info);
  return infos;
}

StorageApi* SimCluster::link_to_drive(SimHost& host, DriveId drive) {
  return new SimStorageLink(network_, host, storage_.at(drive.value() - 1)->host);
}

bool SimCluster::all_up() const {
  if (metadata_ == nullptr || metad_host_.metadata == nullptr) return false;
  for (const auto& node : storage_)
    if (node->host.storage == nullptr && !node->lost) return false;
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
  for (const auto& node : workers_) start_client(*node);
  if (options_.membership) start_client(*operator_);
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
  machine_ = &server->machine();
  metad_host_.metadata = options_.canary == Canary::kForgetRetries
                             ? new ForgetfulMetadata(*server, canary_counter_)
                             : static_cast<MetadataApi*>(server);
  const auto storage_of = [this](const DriveInfo& drive) {
    return link_to_drive(metad_host_, drive.id);
  };
  collector_ = new metad::Collector(*server, storage_of);
  collector_->start();
  if (!options_.membership) co_return;
  auto* const monitor = new metad::Monitor(*server, storage_of, options_.monitor);
  monitor->start();
  if (options_.canary == Canary::kHastyMonitor) spawn(give_up_hastily(server));
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
  if (node.lost) return;
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

client::PackWriterLimits SimCluster::writer_limits(const ClientNode& node) const {
  const bool works = std::any_of(workers_.begin(), workers_.end(),
                                 [&](const auto& worker) { return worker.get() == &node; });
  client::PackWriterLimits limits;
  if (works) limits = client::worker_writer_limits();
  limits.pack_bytes_per_column = 256 << 10;
  limits.open_packs = 4;
  limits.idle_pack_grace = std::chrono::seconds(8);
  return limits;
}

void SimCluster::start_worker(client::ClientStack* stack, SimExecutor* executor) {
  client::WorkerOptions options;
  options.repack.min_gain_bytes = 64 << 10;
  if (options_.canary == Canary::kCarelessMoves) {
    options.rebuild.bytes_per_second = 0;
    spawn(end_moves_carelessly(&stack->metadata()));
  }
  client::make_worker(*stack, *executor, executor->name(), options).release()->start();
}

Result<proto::PackRecord> SimCluster::pack_record(PackId pack) const {
  proto::Query query;
  query.mutable_list_packs()->set_after(pack.value() - 1);
  query.mutable_list_packs()->set_limit(1);
  query.mutable_list_packs()->set_with_rows(true);
  proto::QueryReply reply;
  if (machine_ != nullptr) machine_->query(query, &reply);
  const proto::ListPacksReply& packs = reply.list_packs();
  if (packs.packs_size() == 0 || packs.packs(0).pack() != pack.value())
    return NotFoundError("pack " + pack.to_string());
  return packs.packs(0);
}

void SimCluster::check_drop(DriveId drive, PackId pack, const std::vector<std::uint32_t>* rows,
                            bool evicts) {
  const auto known = pack_record(pack);
  if (!known.ok()) return;
  const proto::PackRecord& record = *known;
  bool lives = record.live_bytes() > 0 || record.state() != proto::PACK_CLOSED;
  if (evicts) {
    const PlacementGroup* group = machine_->cluster_map().group(pg_of_pack(pack));
    lives = lives && group != nullptr && group->holds(drive);
  }
  if (rows != nullptr) {
    lives = std::any_of(rows->begin(), rows->end(), [&](std::uint32_t row) {
      return static_cast<int>(row) < record.row_live_bytes_size() &&
             record.row_live_bytes(static_cast<int>(row)) > 0;
    });
  }
  if (!lives) return;
  fail("drive " + drive.to_string() + " is told to drop what lives in pack " + pack.to_string() +
       (evicts ? ", as if it had moved away" : ""));
}

Task<Result<std::unique_ptr<client::ClientStack>>> SimCluster::open_client(ClientNode* node) {
  auto* const metadata = new SimMetadataLink(network_, node->host, metad_host_);
  client::ClientStackOptions options;
  options.name = node->host.name;
  options.seed = simulator_.random().next();
  options.write_limits = writer_limits(*node);
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
  simulator_.trace("session of " + node->host.name, node->stack->metadata().session().value());
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
    if (node->lost) continue;
    // What failed while there were errors is poisoned, and what hung stays so: a new life is not.
    if (node->may_lose_data || node->disk->hung()) kill_storage(*node, std::nullopt);
    if (!node->host.up()) start_storage(*node);
    node->host.executor->pause_until(MonotonicTime{});
  }
  if (!metad_host_.up()) start_metad();
  metad_host_.executor->pause_until(MonotonicTime{});
  for (const auto* nodes : {&clients_, &workers_}) {
    for (const auto& node : *nodes) {
      if (!node->host.up()) start_client(*node);
      node->host.executor->pause_until(MonotonicTime{});
    }
  }
  return simulator_.run_until([&] { return all_up() || !failure_.empty(); },
                              simulator_.now() + kStartPatience) &&
         failure_.empty();
}

}  // namespace shoal::sim
