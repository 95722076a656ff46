#include "tools/all_in_one.h"

#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/io/raw_device.h"
#include "base/log.h"
#include "metad/cluster/membership.h"
#include "storaged/capacity.h"
#include "tools/json.h"

namespace shoal::tools {
namespace {

Status make_drive_directory(const std::string& path) {
  if (is_block_device(path)) return OkStatus();
  std::error_code error;
  std::filesystem::create_directories(path, error);
  return error ? ErrnoError(error.value(), "drive " + path) : OkStatus();
}

Status make_directories(const ClusterDirectory& directory, const ClusterConfig& config) {
  std::error_code error;
  std::filesystem::create_directories(directory.metad_path(), error);
  if (error) return ErrnoError(error.value(), directory.metad_path());
  for (const ClusterDrive& drive : config.drives) {
    if (!config.made) RETURN_IF_ERROR(make_drive_directory(drive.path));
  }
  return OkStatus();
}

// As storaged opens them.
Result<std::vector<storaged::DriveConfig>> drive_configs(const ClusterConfig& config,
                                                         const ClusterOptions& options) {
  std::vector<std::string> paths;
  for (const ClusterDrive& drive : config.drives) paths.push_back(drive.path);
  ASSIGN_OR_RETURN(const auto capacities, storaged::drive_capacities(config.capacity, paths));
  std::vector<storaged::DriveConfig> drives;
  for (const ClusterDrive& drive : config.drives) {
    storaged::DriveConfig one;
    one.path = drive.path;
    one.options.identity = {config.cluster_uuid, drive.uuid, drive.id};
    one.options.max_bytes = capacities[drives.size()];
    one.options.scrub_bytes_per_second = options.scrub_bytes_per_second;
    one.options.format_if_empty = !options.maintenance && (!config.made || drive.fresh);
    drives.push_back(std::move(one));
  }
  return drives;
}

}  // namespace

AllInOne::~AllInOne() { CHECK(stopped_); }

Result<std::unique_ptr<AllInOne>> AllInOne::start(const ClusterDirectory& directory,
                                                  const ClusterConfig& config,
                                                  ClusterOptions options) {
  std::unique_ptr<AllInOne> cluster(new AllInOne());
  cluster->data_path_ = directory.path();
  cluster->options_ = options;
  Status started = cluster->start_store(directory, config);
  if (started.ok() && !options.maintenance) started = cluster->start_worker(options);
  if (started.ok() && !options.s3_address.empty()) started = cluster->start_s3(directory, options);
  if (started.ok() && !options.mount_point.empty()) started = cluster->mount(options.mount_point);
  if (started.ok()) return cluster;
  const Status stopped = cluster->stop();
  if (!stopped.ok()) log_error("shoal", "stopping after a failed start", {{"status", stopped}});
  return started;
}

Status AllInOne::start_store(const ClusterDirectory& directory, const ClusterConfig& config) {
  RETURN_IF_ERROR(make_directories(directory, config));
  ASSIGN_OR_RETURN(store_loop_, EventLoop::create("shoal-store"));
  ASSIGN_OR_RETURN(io_, IoContext::create(*store_loop_));
  store_loop_->start();
  ASSIGN_OR_RETURN(std::vector<storaged::DriveConfig> drives, drive_configs(config, options_));
  storage_ = sync_wait(*store_loop_, storaged::StorageServer::open(*io_, std::move(drives)));
  // A drive that is missing later is a fault to live with; one that cannot be made is an error.
  if (!config.made) RETURN_IF_ERROR(storage_->trouble());
  storage_api_ = std::make_unique<rpc::InProcessStorage>(*storage_, *store_loop_);
  ASSIGN_OR_RETURN(journal_directory_,
                   sync_wait(*store_loop_, FileDirectory::open_when_free(
                                               *io_, directory.metad_path() + "/journal", true)));
  metad::MetadataOptions options;
  options.checkpoint_path = directory.metad_path() + "/checkpoint";
  records_pool_ = std::make_unique<ThreadPool>("shoal-records", 1, ThreadPool::Priority::kLow);
  options.background_pool = records_pool_.get();
  auto metadata =
      sync_wait(*store_loop_,
                metad::MetadataServer::open(*journal_directory_, io_->pool(), std::move(options)));
  if (!metadata.ok())
    return metadata.status().with_context("metadata in " + directory.metad_path());
  metadata_ = std::move(*metadata);
  metadata_api_ = std::make_unique<rpc::InProcessMetadata>(*metadata_, *store_loop_);
  collector_ = std::make_unique<metad::Collector>(
      *metadata_, [this](const DriveInfo&) { return storage_.get(); });
  if (!options_.maintenance || options_.collect) store_loop_->post([this] { collector_->start(); });
  return options_.maintenance ? OkStatus() : start_membership(config);
}

Status AllInOne::start_membership(const ClusterConfig& config) {
  std::vector<DriveInfo> infos;
  for (const ClusterDrive& drive : config.drives)
    infos.push_back({drive.id, NodeId(1), drive.uuid, "", "local", "local", DriveState::kUp});
  RETURN_IF_ERROR(
      sync_wait(*store_loop_, metad::update_cluster_map(metadata_.get(), config.cluster_uuid,
                                                        config.code, std::move(infos))));
  const auto duration = [](double seconds) {
    return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(seconds));
  };
  monitor_ = std::make_unique<metad::Monitor>(
      *metadata_, [this](const DriveInfo&) { return storage_.get(); },
      metad::MonitorOptions{duration(options_.down_after), duration(options_.out_after)});
  store_loop_->post([this] { monitor_->start(); });
  return OkStatus();
}

Result<std::unique_ptr<client::ClientStack>> AllInOne::open_client(
    EventLoop& loop, std::string name, client::PackWriterLimits writer) {
  return sync_wait(
      loop, client::ClientStack::open(
                *metadata_api_,
                [this](const DriveInfo&) -> Result<StorageApi*> { return storage_api_.get(); },
                loop, std::move(name), writer));
}

Status AllInOne::start_worker(const ClusterOptions& options) {
  ASSIGN_OR_RETURN(worker_loop_, EventLoop::create("shoal-worker"));
  worker_loop_->start();
  const std::string name = "worker local";
  ASSIGN_OR_RETURN(worker_client_,
                   open_client(*worker_loop_, name, client::worker_writer_limits()));
  client::WorkerOptions work;
  work.repack.bytes_per_second = options.repack_bytes_per_second;
  work.rebuild.bytes_per_second = options.rebuild_bytes_per_second;
  worker_ = client::make_worker(*worker_client_, *worker_loop_, name, work);
  worker_loop_->post([this] { worker_->start(); });
  return OkStatus();
}

Status AllInOne::start_s3(const ClusterDirectory& directory, const ClusterOptions& options) {
  ASSIGN_OR_RETURN(credentials_, s3compat::load_credentials(directory.credentials_path()));
  ASSIGN_OR_RETURN(s3_loop_, EventLoop::create("shoal-s3"));
  s3_loop_->start();
  ASSIGN_OR_RETURN(s3_client_, open_client(*s3_loop_, "s3 " + options.s3_address));
  s3compat::S3ServerOptions server;
  server.address = options.s3_address;
  ASSIGN_OR_RETURN(s3_, s3compat::S3Server::listen(*s3_loop_, std::move(server), credentials_,
                                                   s3_client_->objects()));
  struct Start {
    static Task<Status> run(s3compat::S3Server* s3) { co_return s3->start(); }
  };
  return sync_wait(*s3_loop_, Start::run(s3_.get()));
}

Status AllInOne::mount(const std::string& mount_point) {
  auto mount = std::make_unique<Mount>();
  ASSIGN_OR_RETURN(mount->loop, EventLoop::create("shoal-fuse"));
  mount->loop->start();
  Status status;
  auto client = open_client(*mount->loop, "fuse " + mount_point);
  if (client.ok()) {
    mount->client = std::move(*client);
    fuse::MountOptions options;
    options.mount_point = mount_point;
    options.allow_other = geteuid() == 0;
    auto session =
        fuse::FuseSession::mount(std::move(options), mount->client->files(), *mount->loop,
                                 [ended = &mount->ended] { *ended = true; });
    if (session.ok()) mount->session = std::move(*session);
    status = session.status();
  } else {
    status = client.status();
  }
  if (!status.ok()) {
    (void)end(mount.get());
    return status;
  }
  const std::lock_guard lock(mounts_mutex_);
  mounts_.push_back(std::move(mount));
  return OkStatus();
}

Status AllInOne::end(Mount* mount) {
  Status status;
  if (mount->session != nullptr) status = mount->session->unmount();
  if (mount->client != nullptr) {
    const Status closed = sync_wait(*mount->loop, mount->client->close());
    if (status.ok()) status = closed;
  }
  mount->loop->stop();
  mount->loop->join();
  mount->session.reset();
  mount->client.reset();
  return status;
}

Status AllInOne::stop() {
  if (std::exchange(stopped_, true)) return OkStatus();
  Status first;
  const auto keep = [&](const Status& status, std::string_view what) {
    if (first.ok() && !status.ok()) first = status.with_context(what);
  };
  {
    const std::lock_guard lock(mounts_mutex_);
    for (const auto& mount : mounts_) keep(end(mount.get()), "unmounting");
    mounts_.clear();
  }
  if (worker_ != nullptr) sync_wait(*worker_loop_, worker_->stop());
  if (worker_client_ != nullptr)
    keep(sync_wait(*worker_loop_, worker_client_->close()), "closing the worker's client");
  if (worker_loop_ != nullptr) {
    worker_loop_->stop();
    worker_loop_->join();
  }
  worker_.reset();
  worker_client_.reset();
  if (s3_ != nullptr) sync_wait(*s3_loop_, s3_->stop());
  if (s3_client_ != nullptr)
    keep(sync_wait(*s3_loop_, s3_client_->close()), "closing the S3 server's client");
  if (s3_loop_ != nullptr) {
    s3_loop_->stop();
    s3_loop_->join();
  }
  s3_.reset();
  s3_client_.reset();
  if (monitor_ != nullptr) sync_wait(*store_loop_, monitor_->stop());
  if (collector_ != nullptr) sync_wait(*store_loop_, collector_->stop());
  if (metadata_ != nullptr)
    keep(sync_wait(*store_loop_, metadata_->close()), "closing the metadata");
  if (storage_ != nullptr) sync_wait(*store_loop_, storage_->close());
  monitor_.reset();
  collector_.reset();
  // Their files close on no loop's time, but the ring must be idle: it is, nothing is under way.
  metadata_.reset();
  storage_.reset();
  journal_directory_.reset();
  if (store_loop_ != nullptr) {
    store_loop_->stop();
    store_loop_->join();
  }
  io_.reset();
  return first;
}

ClusterStatus AllInOne::status() {
  ClusterStatus status;
  status.data_path = data_path_;
  status.daemons.push_back({"shoal", getpid(), 0, resident_bytes(getpid())});
  proto::Query query;
  query.mutable_get_status();
  auto metadata = sync_wait(*store_loop_, metadata_->query(std::move(query), MonotonicTime::max()));
  if (metadata.ok()) {
    status.metadata = std::move(*metadata->mutable_metadata_status());
  } else {
    status.metadata = metadata.status();
  }
  auto drives = sync_wait(*store_loop_, storage_->status(MonotonicTime::max()));
  if (drives.ok()) status.drives = std::move(*drives);
  const std::lock_guard lock(mounts_mutex_);
  for (const auto& mount : mounts_)
    if (!mount->ended) status.mounts.push_back(mount->session->mount_point());
  return status;
}

EventLoop& AllInOne::admin_loop() { return *store_loop_; }

AdminCluster AllInOne::admin() {
  return {*store_loop_, *metadata_, [this](const DriveInfo&) { return storage_.get(); }};
}

Result<std::string> AllInOne::serve_drive(const ClusterConfig& config, const ClusterDrive& drive) {
  ASSIGN_OR_RETURN(std::vector<storaged::DriveConfig> drives, drive_configs(config, options_));
  for (storaged::DriveConfig& one : drives) {
    if (one.options.identity.drive != drive.id) continue;
    RETURN_IF_ERROR(make_drive_directory(drive.path));
    RETURN_IF_ERROR(sync_wait(*store_loop_, storage_->add_drive(std::move(one))));
    return std::string();
  }
  return NotFoundError("drive " + drive.id.to_string() + " is not in the configuration");
}

RunningCluster AllInOne::running() const {
  RunningCluster running;
  running.pid = static_cast<std::uint64_t>(getpid());
  running.s3_address = options_.s3_address;
  return running;
}

}  // namespace shoal::tools
