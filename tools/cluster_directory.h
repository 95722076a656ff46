// ClusterDirectory: the directory of `shoal up --data DIR` and what lies in it.
//
//   DIR/cluster.conf     what the cluster is: uuid, code, drives, addresses (key = value lines)
//   DIR/credentials      S3 keys in the AWS shared-credentials format, mode 0600
//   DIR/drives/N/        one drive each (storaged's log)
//   DIR/metad/           journal and checkpoints
//   DIR/run/             sockets, pids, logs and daemon configuration of the running cluster;
//   nothing to keep DIR/lock             held while the cluster runs
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/cluster_map.h"
#include "base/result.h"
#include "base/row_layout.h"

namespace shoal::tools {

inline constexpr int kClusterFormatVersion = 1;

struct ClusterDrive {
  DriveId id;
  std::string uuid;
  std::string path;  // a directory, or a block device
  // It is to join: it may be made where nothing is, until a start or `shoal drive add` has
  // succeeded.
  bool fresh = false;
};

struct ClusterConfig {
  std::string cluster_uuid;
  CodeShape code;
  std::uint64_t capacity = 0;  // bytes each drive may use; 0: an equal share of the file system
  std::vector<ClusterDrive> drives;
  // Whether a start has succeeded; until then a start may make drives where nothing is.
  bool made = false;
};

// What a running cluster tells those who ask, in DIR/run/cluster.
struct RunningCluster {
  std::uint64_t pid = 0;
  bool processes = false;
  std::string metad_address;
  std::vector<std::string> storage_addresses;
  std::string s3_address;
  std::string admin_address;
};

class ClusterDirectory {
 public:
  // Makes the directory if need be and takes its lock. Errors: kBusy when a cluster runs there
  // already (its pid is named), kInvalidArgument when it cannot be a data directory.
  static Result<ClusterDirectory> lock(const std::string& path);
  // For those who only ask: no lock. Errors: kNotFound when there is no cluster.
  static Result<ClusterDirectory> open(const std::string& path);

  ClusterDirectory(ClusterDirectory&& other) noexcept;
  ClusterDirectory& operator=(ClusterDirectory&& other) noexcept {
    std::swap(path_, other.path_);
    std::swap(lock_fd_, other.lock_fd_);
    return *this;
  }
  ~ClusterDirectory();

  const std::string& path() const { return path_; }
  std::string credentials_path() const { return path_ + "/credentials"; }
  std::string metad_path() const { return path_ + "/metad"; }
  std::string run_path() const { return path_ + "/run"; }

  // Errors: kNotFound when there is none, kNotSupported for a newer format version, kCorruption
  // naming the line.
  Result<ClusterConfig> load() const;
  // *Durable:* the whole file, or the one before.
  Status save(const ClusterConfig& config) const;
  // A drive that is to join, with a uuid of its own.
  static ClusterDrive new_drive(DriveId id, const std::string& path);
  std::string log_path() const { return path_ + "/log"; }
  // The cluster that is here, or else a new one with these drives (`drive_count` of them in this
  // directory when none is named), which is saved before anything of it is made: a start that
  // failed half-way can be tried again, also with other drives. Errors: as load() and save().
  Result<ClusterConfig> load_or_draft(const CodeShape& code, std::uint64_t capacity,
                                      std::uint32_t drive_count,
                                      const std::vector<std::string>& drive_paths = {}) const;

  // Makes DIR/credentials with random keys if it is not there. Returns whether it was made.
  Result<bool> ensure_credentials() const;

  Status publish(const RunningCluster& running) const;
  void unpublish() const;
  // Errors: kNotFound when nothing runs there.
  Result<RunningCluster> running() const;

 private:
  ClusterDirectory(std::string path, int lock_fd) : path_(std::move(path)), lock_fd_(lock_fd) {}
  std::string path_;
  int lock_fd_ = -1;
};

}  // namespace shoal::tools
