// AllInOne: a whole cluster in this process. Drives and metadata share one loop, a mount has one,
// the S3 server and the worker have theirs, each with a client of its own; calls between loops go
// through queues instead of gRPC.
#pragma once

#include <atomic>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "base/io/event_loop.h"
#include "base/io/uring_device.h"
#include "client/background/make_worker.h"
#include "fuse/session.h"
#include "metad/cluster/collector.h"
#include "metad/cluster/monitor.h"
#include "metad/service/metadata_server.h"
#include "proto/rpc/in_process.h"
#include "s3compat/server.h"
#include "storaged/service.h"
#include "tools/cluster.h"

namespace shoal::tools {

class AllInOne final : public Cluster {
 public:
  // Opens, or for a config that is not made yet makes, the drives and the metadata of `config` and
  // starts everything. Errors: each names the part that could not start and why.
  static Result<std::unique_ptr<AllInOne>> start(const ClusterDirectory& directory,
                                                 const ClusterConfig& config,
                                                 ClusterOptions options);
  // stop() first.
  ~AllInOne() override;
  // Unmounts, flushes, takes a checkpoint and stops all loops. *Durable:* everything. Idempotent.
  Status stop() override;
  ClusterStatus status() override;
  Status mount(const std::string& mount_point) override;
  EventLoop& admin_loop() override;
  AdminCluster admin() override;
  Result<std::string> serve_drive(const ClusterConfig& config, const ClusterDrive& drive) override;
  RunningCluster running() const override;
  // A client of its own on `loop`; it is closed before this cluster is stopped.
  Result<std::unique_ptr<client::ClientStack>> open_client(EventLoop& loop, std::string name,
                                                           client::PackWriterLimits writer = {});

 private:
  AllInOne() = default;
  Status start_store(const ClusterDirectory& directory, const ClusterConfig& config);
  Status start_membership(const ClusterConfig& config);
  Status start_s3(const ClusterDirectory& directory, const ClusterOptions& options);
  Status start_worker(const ClusterOptions& options);

  bool stopped_ = false;
  std::string data_path_;
  ClusterOptions options_;
  std::unique_ptr<EventLoop> store_loop_;
  std::unique_ptr<IoContext> io_;
  std::unique_ptr<FileDirectory> journal_directory_;
  std::unique_ptr<storaged::StorageServer> storage_;
  std::unique_ptr<ThreadPool> records_pool_;
  std::unique_ptr<metad::MetadataServer> metadata_;
  std::unique_ptr<metad::Collector> collector_;
  std::unique_ptr<metad::Monitor> monitor_;
  std::unique_ptr<rpc::InProcessStorage> storage_api_;
  std::unique_ptr<rpc::InProcessMetadata> metadata_api_;

  // A mount has a loop of its own.
  struct Mount {
    std::unique_ptr<EventLoop> loop;
    std::unique_ptr<client::ClientStack> client;
    std::unique_ptr<fuse::FuseSession> session;
    std::atomic<bool> ended{false};
  };
  Status end(Mount* mount);
  std::mutex mounts_mutex_;
  std::vector<std::unique_ptr<Mount>> mounts_;  // guarded by mounts_mutex_

  std::unique_ptr<EventLoop> s3_loop_;
  std::unique_ptr<client::ClientStack> s3_client_;
  s3compat::Credentials credentials_;
  std::unique_ptr<s3compat::S3Server> s3_;

  std::unique_ptr<EventLoop> worker_loop_;
  std::unique_ptr<client::ClientStack> worker_client_;
  std::unique_ptr<client::Worker> worker_;
};

}  // namespace shoal::tools
