// Cluster: a running cluster of `shoal up`, in one process or in many, as the commands see it.
#pragma once

#include <string>
#include <vector>

#include "base/io/event_loop.h"
#include "base/result.h"
#include "proto/metadata.pb.h"
#include "proto/storage_api.h"
#include "tools/admin/admin.h"
#include "tools/cluster_directory.h"
#include "tools/supervisor.h"

namespace shoal::tools {

// What `shoal status` shows.
struct ClusterStatus {
  std::string data_path;
  bool processes = false;
  std::vector<DaemonStatus> daemons;  // this program itself is the first
  Result<proto::MetadataStatus> metadata = UnavailableError("not asked");
  std::vector<DriveStatus> drives;
  std::vector<std::string> troubles;  // daemons that did not answer, and why
  std::vector<std::string> mounts;
};

// As one JSON object; for people.
std::string to_json(const ClusterStatus& status);
std::string to_text(const ClusterStatus& status);

struct ClusterOptions {
  std::string mount_point;  // empty: no mount
  std::string s3_address;   // HOST:PORT; empty: no S3 server
  // As shoal-metad's options of these names; seconds.
  double down_after = 10;
  double out_after = 900;
  std::uint64_t repack_bytes_per_second = 0;   // 0: no repack
  std::uint64_t rebuild_bytes_per_second = 0;  // 0: no repair
  std::uint64_t scrub_bytes_per_second = 0;    // of each drive; 0: only when asked
  // For a program that looks after a stopped cluster: no worker, no monitor, and the metadata learns
  // of no drives. metad collects what is dead only if told so.
  bool maintenance = false;
  bool collect = false;
};

class Cluster {
 public:
  // stop() first.
  virtual ~Cluster() = default;
  // Unmounts, flushes, and stops everything. *Durable:* everything. Idempotent.
  virtual Status stop() = 0;
  virtual ClusterStatus status() = 0;
  // One more mount; it ends with the cluster, or with umount. Errors: as FuseSession::mount.
  virtual Status mount(const std::string& mount_point) = 0;
  // The daemons, as its own loop reaches them.
  virtual EventLoop& admin_loop() = 0;
  virtual AdminCluster admin() = 0;
  // Opens, or makes, a drive of the configuration and serves it from now on. Returns where
  // (DriveInfo::address). Errors: why it cannot be opened.
  virtual Result<std::string> serve_drive(const ClusterConfig& config,
                                          const ClusterDrive& drive) = 0;
  // Runs an admin command on the cluster; any thread. Returns its exit status.
  int run_admin(const AdminCommand& command, std::vector<std::string> words, AdminOutput* output);
  // For those who find the cluster by its directory.
  virtual RunningCluster running() const = 0;
};

}  // namespace shoal::tools
