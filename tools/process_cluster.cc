#include "tools/process_cluster.h"

#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <filesystem>

#include "base/file_io.h"
#include "base/log.h"
#include "storaged/capacity.h"
#include "tools/json.h"

namespace shoal::tools {
namespace {

constexpr Duration kStatusDeadline = std::chrono::seconds(2);

Result<std::string> directory_of_this_program() {
  char path[PATH_MAX];
  const ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
  if (n < 0) return ErrnoError(errno, "/proc/self/exe");
  return std::filesystem::path(std::string(path, static_cast<std::size_t>(n)))
      .parent_path()
      .string();
}

// A mount whose daemon was killed stays behind, dead, and hides its directory.
void detach_dead_mount(const std::string& mount_point) {
  struct stat st {};
  if (stat(mount_point.c_str(), &st) == 0 || errno != ENOTCONN) return;
  if (umount2(mount_point.c_str(), MNT_DETACH) != 0)
    log_warning("supervisor", "a dead mount cannot be detached",
                {{"directory", mount_point}, {"error", std::strerror(errno)}});
}

Task<Status> start_together(Supervisor* supervisor, std::vector<DaemonSpec> specs) {
  std::vector<Task<Status>> starts;
  for (DaemonSpec& spec : specs) starts.push_back(supervisor->start(std::move(spec)));
  for (const Status& status : co_await when_all(std::move(starts))) CO_RETURN_IF_ERROR(status);
  co_return OkStatus();
}

Task<Status> stop_together(Supervisor* supervisor, std::vector<std::string> names) {
  std::vector<Task<Status>> stops;
  for (std::string& name : names) stops.push_back(supervisor->stop(std::move(name)));
  for (const Status& status : co_await when_all(std::move(stops))) CO_RETURN_IF_ERROR(status);
  co_return OkStatus();
}

Task<std::vector<DaemonStatus>> list_daemons(Supervisor* supervisor) {
  co_return supervisor->list();
}

std::string storage_name(const ClusterDrive& drive) { return "storaged-" + drive.id.to_string(); }

}  // namespace

ProcessCluster::~ProcessCluster() { CHECK(stopped_); }

Result<std::unique_ptr<ProcessCluster>> ProcessCluster::start(const ClusterDirectory& directory,
                                                              const ClusterConfig& config,
                                                              ClusterOptions options) {
  std::unique_ptr<ProcessCluster> cluster(new ProcessCluster(directory));
  const Status started = cluster->start_all(config, options);
  if (started.ok()) return cluster;
  const Status stopped = cluster->stop();
  if (!stopped.ok()) log_error("shoal", "stopping after a failed start", {{"status", stopped}});
  return started;
}

Status ProcessCluster::start_all(const ClusterConfig& config, const ClusterOptions& options) {
  ASSIGN_OR_RETURN(program_path_, directory_of_this_program());
  ASSIGN_OR_RETURN(loop_, EventLoop::create("shoal-watch"));
  loop_->start();
  supervisor_ = std::make_unique<Supervisor>(*loop_, run_path_);
  scrub_bytes_per_second_ = options.scrub_bytes_per_second;
  ASSIGN_OR_RETURN(std::vector<StorageSpec> storage, storage_specs(config));
  RETURN_IF_ERROR(start_storage(std::move(storage)));
  RETURN_IF_ERROR(start_metad(config, options));
  remote_ = std::make_unique<client::RemoteCluster>(*loop_, metad_address_, "shoal up");
  RETURN_IF_ERROR(start_worker(options));
  if (!options.s3_address.empty()) RETURN_IF_ERROR(start_s3(options.s3_address));
  if (!options.mount_point.empty()) RETURN_IF_ERROR(mount(options.mount_point));
  return OkStatus();
}

std::string ProcessCluster::spec_path(const std::string& name) const {
  return run_path_ + "/" + name + ".conf";
}

Result<DaemonSpec> ProcessCluster::make_spec(const std::string& name, const std::string& program,
                                             const std::string& text,
                                             const std::vector<std::string>& words) {
  const std::string file = spec_path(name);
  RETURN_IF_ERROR(write_file_durably(file, text, 0600));
  DaemonSpec spec;
  spec.name = name;
  spec.program = program_path_ + "/" + program;
  spec.arguments = {"--config", file};
  spec.arguments.insert(spec.arguments.end(), words.begin(), words.end());
  if (access(spec.program.c_str(), X_OK) != 0)
    return NotFoundError(spec.program + " is not there: the programs of Shoal belong together");
  return spec;
}

Result<std::vector<ProcessCluster::StorageSpec>> ProcessCluster::storage_specs(
    const ClusterConfig& config) const {
  std::vector<std::string> paths;
  for (const ClusterDrive& drive : config.drives) paths.push_back(drive.path);
  ASSIGN_OR_RETURN(const auto capacities, storaged::drive_capacities(config.capacity, paths));
  std::vector<StorageSpec> specs;
  for (const ClusterDrive& drive : config.drives) {
    StorageSpec spec;
    spec.name = storage_name(drive);
    spec.format = !config.made || drive.fresh;
    spec.text = "cluster-uuid = " + config.cluster_uuid + "\ndrive = " + drive.id.to_string() +
                " " + drive.uuid + " " + drive.path +
                "\ncapacity = " + std::to_string(capacities[specs.size()]) +
                "\nscrub-rate = " + std::to_string(scrub_bytes_per_second_) + "\n";
    specs.push_back(std::move(spec));
  }
  return specs;
}

Status ProcessCluster::start_storage(std::vector<StorageSpec> specs) {
  std::error_code error;
  std::filesystem::create_directories(data_path_ + "/drives", error);
  if (error) return ErrnoError(error.value(), data_path_ + "/drives");
  std::vector<DaemonSpec> daemons;
  std::vector<std::string> addresses;
  for (StorageSpec& spec : specs) {
    ASSIGN_OR_RETURN(addresses.emplace_back(), ports_.reserve());
    spec.text += "listen = " + addresses.back() + "\n";
    ASSIGN_OR_RETURN(
        DaemonSpec daemon,
        make_spec(spec.name, "shoal-storaged", spec.text + (spec.format ? "format = true\n" : "")));
    daemons.push_back(std::move(daemon));
  }
  RETURN_IF_ERROR(sync_wait(*loop_, start_together(supervisor_.get(), std::move(daemons))));
  for (std::size_t i = 0; i < specs.size(); ++i) {
    storage_addresses_.push_back(addresses[i]);
    // A daemon that is started again must not make a new drive where one has gone.
    if (specs[i].format)
      RETURN_IF_ERROR(write_file_durably(spec_path(specs[i].name), specs[i].text, 0600));
  }
  return OkStatus();
}

Status ProcessCluster::start_metad(const ClusterConfig& config, const ClusterOptions& options) {
  ASSIGN_OR_RETURN(metad_address_, ports_.reserve());
  std::error_code error;
  std::filesystem::create_directories(metad_path_, error);
  if (error) return ErrnoError(error.value(), metad_path_);
  std::string text = "listen = " + metad_address_ + "\ndata = " + metad_path_ +
                     "\ncluster-uuid = " + config.cluster_uuid +
                     "\ncode = " + to_string(config.code) +
                     "\ndown-after = " + std::to_string(options.down_after) +
                     "\nout-after = " + std::to_string(options.out_after) + "\n";
  for (std::size_t i = 0; i < config.drives.size(); ++i) {
    text += "drive = " + config.drives[i].id.to_string() + " " + config.drives[i].uuid + " " +
            storage_addresses_[i] + " local local\n";
  }
  ASSIGN_OR_RETURN(DaemonSpec spec, make_spec("metad", "shoal-metad", text));
  return sync_wait(*loop_, supervisor_->start(std::move(spec)));
}

Status ProcessCluster::start_s3(const std::string& address) {
  s3_address_ = address;
  const std::string text = "listen = " + address + "\nmetad = " + metad_address_ +
                           "\ncredentials = " + credentials_path_ + "\n";
  ASSIGN_OR_RETURN(DaemonSpec spec, make_spec("s3", "shoal-s3", text));
  return sync_wait(*loop_, supervisor_->start(std::move(spec)));
}

Status ProcessCluster::start_worker(const ClusterOptions& options) {
  const std::string text = "metad = " + metad_address_ +
                           "\nrepack-rate = " + std::to_string(options.repack_bytes_per_second) +
                           "\nrebuild-rate = " + std::to_string(options.rebuild_bytes_per_second) +
                           "\n";
  ASSIGN_OR_RETURN(DaemonSpec spec, make_spec("worker", "shoal-worker", text));
  return sync_wait(*loop_, supervisor_->start(std::move(spec)));
}

Status ProcessCluster::mount(const std::string& mount_point) {
  ASSIGN_OR_RETURN(DaemonSpec spec, make_spec("fuse-" + std::to_string(next_mount_), "shoal-fuse",
                                              "metad = " + metad_address_ + "\n", {mount_point}));
  ++next_mount_;
  spec.may_end = true;
  spec.before_start = [mount_point] { detach_dead_mount(mount_point); };
  return sync_wait(*loop_, supervisor_->start(std::move(spec)));
}

std::vector<std::string> ProcessCluster::daemon_names(const std::string& prefix) {
  std::vector<std::string> names;
  for (const DaemonStatus& daemon : sync_wait(*loop_, list_daemons(supervisor_.get())))
    if (daemon.name.starts_with(prefix)) names.push_back(daemon.name);
  return names;
}

Status ProcessCluster::stop_all(const std::string& prefix) {
  return sync_wait(*loop_, stop_together(supervisor_.get(), daemon_names(prefix)));
}

Status ProcessCluster::stop() {
  if (std::exchange(stopped_, true)) return OkStatus();
  Status first;
  if (supervisor_ != nullptr) {
    if (remote_ != nullptr) sync_wait(*loop_, remote_->close());
    // Clients first, so that they can flush and say good-bye.
    for (const char* prefix : {"worker", "fuse", "s3", "metad", "storaged"}) {
      const Status stopped = stop_all(prefix);
      if (first.ok()) first = stopped;
    }
  }
  if (loop_ != nullptr) {
    loop_->stop();
    loop_->join();
  }
  remote_.reset();
  supervisor_.reset();
  return first;
}

ClusterStatus ProcessCluster::status() {
  ClusterStatus status;
  status.data_path = data_path_;
  status.processes = true;
  status.daemons.push_back({"shoal up", getpid(), 0, resident_bytes(getpid())});
  for (DaemonStatus& daemon : sync_wait(*loop_, list_daemons(supervisor_.get())))
    status.daemons.push_back(std::move(daemon));
  const MonotonicTime deadline = loop_->now() + kStatusDeadline;
  proto::Query query;
  query.mutable_get_status();
  auto metadata = sync_wait(*loop_, remote_->metadata().query(std::move(query), deadline));
  if (metadata.ok()) {
    status.metadata = std::move(*metadata->mutable_metadata_status());
    for (const proto::SessionInfo& session : status.metadata->sessions()) {
      constexpr std::string_view kMount = "fuse ";
      if (session.client_name().starts_with(kMount))
        status.mounts.push_back(session.client_name().substr(kMount.size()));
    }
  } else {
    status.metadata = metadata.status();
    status.troubles.push_back("metad: " + metadata.status().to_string());
  }
  for (const std::string& address : storage_addresses_) {
    auto drives = sync_wait(*loop_, remote_->storage(address).status(deadline));
    if (!drives.ok()) {
      status.troubles.push_back("storage at " + address + ": " + drives.status().to_string());
      continue;
    }
    for (DriveStatus& drive : *drives) status.drives.push_back(std::move(drive));
  }
  return status;
}

EventLoop& ProcessCluster::admin_loop() { return *loop_; }

AdminCluster ProcessCluster::admin() {
  return {*loop_, remote_->metadata(),
          [this](const DriveInfo& drive) { return &remote_->storage(drive.address); }};
}

Result<std::string> ProcessCluster::serve_drive(const ClusterConfig& config,
                                                const ClusterDrive& drive) {
  ASSIGN_OR_RETURN(std::vector<StorageSpec> specs, storage_specs(config));
  for (StorageSpec& spec : specs) {
    if (spec.name != storage_name(drive)) continue;
    RETURN_IF_ERROR(start_storage({spec}));
    return storage_addresses_.back();
  }
  return NotFoundError("drive " + drive.id.to_string() + " is not in the configuration");
}

RunningCluster ProcessCluster::running() const {
  RunningCluster running;
  running.pid = static_cast<std::uint64_t>(getpid());
  running.processes = true;
  running.metad_address = metad_address_;
  running.storage_addresses = storage_addresses_;
  running.s3_address = s3_address_;
  return running;
}

}  // namespace shoal::tools
