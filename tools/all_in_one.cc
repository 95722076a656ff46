#include "tools/all_in_one.h"

#include <sys/stat.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "base/config.h"
#include "base/log.h"
#include "base/placement.h"
#include "proto/wire/convert.h"
#include "tools/json.h"

namespace shoal::tools {
namespace {

constexpr std::uint32_t kGroupsPerDrive = 2;

// Drives in one file system share its space: each gets its part of what is free and what the drives
// have already.
std::uint64_t share_of_space(const ClusterDirectory& directory, const ClusterConfig& config) {
  std::error_code ignored;
  const auto space = std::filesystem::space(directory.path(), ignored);
  std::uint64_t used = 0;
  for (const auto& entry :
       std::filesystem::recursive_directory_iterator(directory.path() + "/drives", ignored)) {
    if (entry.is_regular_file(ignored)) used += entry.file_size(ignored);
  }
  constexpr std::uint64_t kKept = 95;  // percent; the rest is the file system's and the metadata's
  return (space.available + used) / 100 * kKept / config.drives.size();
}

Status make_directories(const ClusterDirectory& directory, const ClusterConfig& config,
                        bool fresh) {
  std::error_code error;
  std::filesystem::create_directories(directory.metad_path(), error);
  if (!error && fresh) {
    for (const ClusterDrive& drive : config.drives) {
      std::filesystem::create_directories(drive.path, error);
      if (error) break;
    }
  }
  return error ? IoError("making the directories of " + directory.path() + ": " + error.message())
               : OkStatus();
}

}  // namespace

AllInOne::~AllInOne() { CHECK(stopped_); }

Result<std::unique_ptr<AllInOne>> AllInOne::start(const ClusterDirectory& directory,
                                                  const ClusterConfig& config, bool fresh,
                                                  AllInOneOptions options) {
  std::unique_ptr<AllInOne> cluster(new AllInOne());
  cluster->data_path_ = directory.path();
  Status started = cluster->start_store(directory, config, fresh);
  if (started.ok() && !options.s3_address.empty()) started = cluster->start_s3(directory, options);
  if (started.ok() && !options.mount_point.empty()) started = cluster->start_mount(options);
  if (started.ok()) return cluster;
  const Status stopped = cluster->stop();
  if (!stopped.ok()) log_error("shoal", "stopping after a failed start", {{"status", stopped}});
  return started;
}

Status AllInOne::start_store(const ClusterDirectory& directory, const ClusterConfig& config,
                             bool fresh) {
  RETURN_IF_ERROR(make_directories(directory, config, fresh));
  ASSIGN_OR_RETURN(store_loop_, EventLoop::create("shoal-store"));
  ASSIGN_OR_RETURN(io_, IoContext::create(*store_loop_));
  store_loop_->start();
  const std::uint64_t share = share_of_space(directory, config);
  std::vector<storaged::DriveConfig> drives;
  for (const ClusterDrive& drive : config.drives) {
    storaged::DriveConfig one;
    one.path = drive.path;
    one.options.identity = {config.cluster_uuid, drive.uuid, drive.id};
    one.options.max_bytes = share;
    one.options.format_if_empty = fresh;
    drives.push_back(std::move(one));
  }
  storage_ = sync_wait(*store_loop_, storaged::StorageServer::open(*io_, std::move(drives)));
  storage_api_ = std::make_unique<rpc::InProcessStorage>(*storage_, *store_loop_);
  ASSIGN_OR_RETURN(journal_directory_,
                   FileDirectory::open(*io_, directory.metad_path() + "/journal"));
  metad::MetadataOptions options;
  options.checkpoint_path = directory.metad_path() + "/checkpoint";
  auto metadata =
      sync_wait(*store_loop_,
                metad::MetadataServer::open(*journal_directory_, io_->pool(), std::move(options)));
  if (!metadata.ok())
    return metadata.status().with_context("metadata in " + directory.metad_path());
  metadata_ = std::move(*metadata);
  metadata_api_ = std::make_unique<rpc::InProcessMetadata>(*metadata_, *store_loop_);
  RETURN_IF_ERROR(publish_map(config));
  collector_ = std::make_unique<metad::Collector>(
      *metadata_, [this](const DriveInfo&) { return storage_.get(); });
  store_loop_->post([this] { collector_->start(); });
  return OkStatus();
}

// The first start tells the metadata which drives and groups there are.
Status AllInOne::publish_map(const ClusterConfig& config) {
  proto::Query query;
  query.mutable_get_cluster_map();
  auto reply = sync_wait(*store_loop_, metadata_->query(std::move(query), MonotonicTime::max()));
  if (!reply.ok()) return reply.status();
  if (reply->cluster_map().epoch() > 0) return OkStatus();
  ClusterMap map;
  map.epoch = 1;
  map.cluster_uuid = config.cluster_uuid;
  for (const ClusterDrive& drive : config.drives) {
    map.drives.push_back({drive.id, NodeId(1), drive.uuid, "", "local", "local", DriveState::kUp});
  }
  const auto count = kGroupsPerDrive * static_cast<std::uint32_t>(config.drives.size());
  ASSIGN_OR_RETURN(PlacementResult placed,
                   make_placement_groups(map.drives, config.code, count, PgId(1)));
  map.groups = std::move(placed.groups);
  for (PlacementGroup& group : make_fallback_groups(map.drives, config.code, PgId(1 + count))) {
    map.groups.push_back(std::move(group));
  }
  proto::Command command;
  *command.mutable_set_cluster_map()->mutable_map() = wire::cluster_map_to_proto(map);
  const auto set =
      sync_wait(*store_loop_, metadata_->execute(std::move(command), MonotonicTime::max()));
  return set.ok() ? wire::status_from_proto(set->status()) : set.status();
}

Result<std::unique_ptr<client::ClientStack>> AllInOne::open_client(EventLoop& loop,
                                                                   std::string name) {
  return sync_wait(
      loop, client::ClientStack::open(
                *metadata_api_,
                [this](const DriveInfo&) -> Result<StorageApi*> { return storage_api_.get(); },
                loop, std::move(name)));
}

Status AllInOne::start_s3(const ClusterDirectory& directory, const AllInOneOptions& options) {
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

Status AllInOne::start_mount(const AllInOneOptions& options) {
  ASSIGN_OR_RETURN(mount_loop_, EventLoop::create("shoal-fuse"));
  mount_loop_->start();
  ASSIGN_OR_RETURN(mount_client_, open_client(*mount_loop_, "fuse " + options.mount_point));
  fuse::MountOptions mount;
  mount.mount_point = options.mount_point;
  mount.allow_other = geteuid() == 0;
  ASSIGN_OR_RETURN(mount_, fuse::FuseSession::mount(std::move(mount), mount_client_->files(),
                                                    *mount_loop_, options.on_unmounted));
  return OkStatus();
}

Status AllInOne::stop() {
  if (std::exchange(stopped_, true)) return OkStatus();
  Status first;
  const auto keep = [&](const Status& status, std::string_view what) {
    if (first.ok() && !status.ok()) first = status.with_context(what);
  };
  if (mount_ != nullptr) keep(mount_->unmount(), "unmounting");
  if (mount_client_ != nullptr)
    keep(sync_wait(*mount_loop_, mount_client_->close()), "closing the mount's client");
  if (mount_loop_ != nullptr) {
    mount_loop_->stop();
    mount_loop_->join();
  }
  mount_.reset();
  mount_client_.reset();
  if (s3_ != nullptr) sync_wait(*s3_loop_, s3_->stop());
  if (s3_client_ != nullptr)
    keep(sync_wait(*s3_loop_, s3_client_->close()), "closing the S3 server's client");
  if (s3_loop_ != nullptr) {
    s3_loop_->stop();
    s3_loop_->join();
  }
  s3_.reset();
  s3_client_.reset();
  if (collector_ != nullptr) sync_wait(*store_loop_, collector_->stop());
  if (metadata_ != nullptr)
    keep(sync_wait(*store_loop_, metadata_->close()), "closing the metadata");
  if (storage_ != nullptr) sync_wait(*store_loop_, storage_->close());
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

std::string AllInOne::status_json() {
  proto::Query query;
  query.mutable_get_status();
  auto reply = sync_wait(*store_loop_, metadata_->query(std::move(query), MonotonicTime::max()));
  auto drives = sync_wait(*store_loop_, storage_->status(MonotonicTime::max()));
  JsonWriter json;
  json.begin_object();
  json.field("data", data_path_);
  json.field("pid", static_cast<std::uint64_t>(getpid()));
  json.field("processes", false);
  json.field("memory_bytes", resident_bytes());
  if (reply.ok()) {
    const proto::MetadataStatus& status = reply->metadata_status();
    json.begin_object("metadata");
    json.field("inodes", status.inode_count());
    json.field("directories", status.directory_count());
    json.field("packs", status.pack_count());
    json.field("live_bytes", status.live_bytes());
    json.field("journal_position", status.journal_position());
    json.field("checkpoint_position", status.checkpoint_position());
    json.field("commands", status.command_count());
    json.field("journal_flushes", status.journal_flush_count());
    json.end_object();
    json.begin_array("sessions");
    for (const proto::SessionInfo& session : status.sessions()) {
      json.begin_object();
      json.field("client", session.client_name());
      json.field("idle_ms", session.idle_ms());
      json.field("open_packs", session.open_packs());
      json.field("open_files", session.open_files());
      json.end_object();
    }
    json.end_array();
  }
  json.begin_array("drives");
  if (drives.ok()) {
    for (const DriveStatus& drive : *drives) {
      json.begin_object();
      json.field("id", std::uint64_t{drive.drive.value()});
      json.field("state", drive.state);
      json.field("path", drive.path);
      json.field("capacity_bytes", drive.capacity_bytes);
      json.field("used_bytes", drive.used_bytes);
      json.field("free_bytes", drive.free_bytes);
      json.field("packs", drive.pack_count);
      json.field("fragments", drive.fragment_count);
      json.field("flushes", drive.flush_count);
      json.field("fragments_written", drive.write_count);
      json.field("fragments_read", drive.read_count);
      json.end_object();
    }
  }
  json.end_array();
  json.begin_array("mounts");
  if (mount_ != nullptr) json.value(mount_->mount_point());
  json.end_array();
  json.end_object();
  return json.text();
}

std::string AllInOne::status_text() {
  proto::Query query;
  query.mutable_get_status();
  auto reply = sync_wait(*store_loop_, metadata_->query(std::move(query), MonotonicTime::max()));
  auto drives = sync_wait(*store_loop_, storage_->status(MonotonicTime::max()));
  std::string text = "cluster  " + data_path_ + " (all in one process " + std::to_string(getpid()) +
                     ", " + format_size(resident_bytes()) + " resident)\n";
  if (reply.ok()) {
    const proto::MetadataStatus& status = reply->metadata_status();
    text += "files    " + std::to_string(status.inode_count()) + " inodes, " +
            std::to_string(status.directory_count()) + " directories, " +
            format_size(status.live_bytes()) + " of data in " +
            std::to_string(status.pack_count()) + " packs\n";
    for (const proto::SessionInfo& session : status.sessions()) {
      text += "client   " + session.client_name() + ": " + std::to_string(session.open_files()) +
              " open files, " + std::to_string(session.open_packs()) + " open packs\n";
    }
  }
  if (mount_ != nullptr) text += "mount    " + mount_->mount_point() + "\n";
  if (!drives.ok()) return text;
  for (const DriveStatus& drive : *drives) {
    text += "drive " + drive.drive.to_string() + "  " + drive.state + ", " +
            format_size(drive.used_bytes) + " used, " + format_size(drive.free_bytes) + " free, " +
            std::to_string(drive.fragment_count) + " fragments, " + drive.path + "\n";
  }
  return text;
}

}  // namespace shoal::tools
