// ProcessCluster: a whole cluster on this machine, every daemon its own process: one shoal-storaged
// for each drive, shoal-metad, shoal-worker, shoal-s3 and shoal-fuse, which talk gRPC over
// loopback. The configuration of each is written to DIR/run, and so is its log.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "client/remote_cluster.h"
#include "tools/cluster.h"
#include "tools/loopback_ports.h"

namespace shoal::tools {

class ProcessCluster final : public Cluster {
 public:
  // As AllInOne::start. Errors: each is what the daemon that could not start said.
  static Result<std::unique_ptr<ProcessCluster>> start(const ClusterDirectory& directory,
                                                       const ClusterConfig& config,
                                                       ClusterOptions options);
  ~ProcessCluster() override;
  Status stop() override;
  ClusterStatus status() override;
  Status mount(const std::string& mount_point) override;
  EventLoop& admin_loop() override;
  AdminCluster admin() override;
  Result<std::string> serve_drive(const ClusterConfig& config, const ClusterDrive& drive) override;
  RunningCluster running() const override;

 private:
  explicit ProcessCluster(const ClusterDirectory& directory)
      : data_path_(directory.path()),
        run_path_(directory.run_path()),
        credentials_path_(directory.credentials_path()),
        metad_path_(directory.metad_path()) {}
  Status start_all(const ClusterConfig& config, const ClusterOptions& options);
  // The daemon of one drive.
  struct StorageSpec {
    std::string name;
    std::string text;     // its configuration, without its address
    bool format = false;  // at its first start
  };
  Result<std::vector<StorageSpec>> storage_specs(const ClusterConfig& config) const;
  Status start_storage(std::vector<StorageSpec> specs);
  Status start_metad(const ClusterConfig& config, const ClusterOptions& options);
  Status start_s3(const std::string& address);
  Status start_worker(const ClusterOptions& options);
  // With a configuration file of these lines, and words after it.
  std::string spec_path(const std::string& name) const;
  Result<DaemonSpec> make_spec(const std::string& name, const std::string& program,
                               const std::string& text, const std::vector<std::string>& words = {});
  std::vector<std::string> daemon_names(const std::string& prefix);
  Status stop_all(const std::string& prefix);

  const std::string data_path_;
  const std::string run_path_;
  const std::string credentials_path_;
  const std::string metad_path_;
  LoopbackPorts ports_;       // of metad and the storage daemons
  std::string program_path_;  // directory of the programs
  std::string metad_address_;
  std::string s3_address_;
  std::vector<std::string> storage_addresses_;  // as the drives of the configuration
  std::uint64_t scrub_bytes_per_second_ = 0;
  int next_mount_ = 1;
  bool stopped_ = false;
  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<Supervisor> supervisor_;
  std::unique_ptr<client::RemoteCluster> remote_;
};

}  // namespace shoal::tools
