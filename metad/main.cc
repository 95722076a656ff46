// shoal-metad: the cluster's metadata over gRPC.
#include <absl/container/flat_hash_map.h>

#include <atomic>
#include <sstream>

#include "base/io/uring_device.h"
#include "base/log.h"
#include "base/program.h"
#include "metad/cluster/collector.h"
#include "metad/cluster/membership.h"
#include "metad/cluster/monitor.h"
#include "proto/rpc/services.h"
#include "proto/rpc/storage_nodes.h"

namespace shoal::metad {
namespace {

struct Options {
  std::string listen = "127.0.0.1:9100";
  std::string data;
  std::string cluster_uuid;
  std::string code = "4+2";
  std::vector<std::string> drives;
  double down_after = std::chrono::duration<double>(kDownAfter).count();
  double out_after = std::chrono::duration<double>(kOutAfter).count();
};

struct Cluster {
  CodeShape code;
  std::vector<DriveInfo> drives;
};

Duration seconds(double number) {
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(number));
}

Result<Cluster> parse_cluster(const Options& options) {
  if (options.data.empty()) return InvalidArgumentError("data is needed: where the metadata lives");
  if (options.cluster_uuid.empty())
    return InvalidArgumentError("cluster-uuid is needed: the cluster this daemon serves");
  Cluster cluster;
  ASSIGN_OR_RETURN(cluster.code, parse_code(options.code));
  absl::flat_hash_map<std::string, NodeId> nodes;
  for (const std::string& text : options.drives) {
    std::istringstream words(text);
    std::uint32_t id = 0;
    DriveInfo drive;
    words >> id >> drive.uuid >> drive.address >> drive.host >> drive.rack;
    if (id == 0 || drive.address.empty())
      return InvalidArgumentError("drive = " + text + ": expected ID UUID ADDRESS [HOST [RACK]]");
    drive.id = DriveId(id);
    if (!cluster.drives.empty() && drive.id <= cluster.drives.back().id)
      return InvalidArgumentError("drive = " + text + ": ids must ascend");
    if (drive.host.empty()) drive.host = drive.address;
    if (drive.rack.empty()) drive.rack = "default";
    const auto node =
        nodes.try_emplace(drive.address, NodeId(static_cast<std::uint32_t>(nodes.size() + 1)));
    drive.node = node.first->second;
    cluster.drives.push_back(std::move(drive));
  }
  if (cluster.drives.empty())
    return InvalidArgumentError("no drive is configured: drive = ID UUID ADDRESS [HOST [RACK]]");
  return cluster;
}

Status serve_open(EventLoop& loop, MetadataServer& metadata, const Options& options,
                  const Cluster& cluster) {
  RETURN_IF_ERROR(sync_wait(
      loop, update_cluster_map(&metadata, options.cluster_uuid, cluster.code, cluster.drives)));
  rpc::StorageNodes nodes(loop, "metad");
  const auto storage_of = [&](const DriveInfo& drive) -> StorageApi* {
    return &nodes.at(drive.address, options.cluster_uuid);
  };
  Collector collector(metadata, storage_of);
  Monitor monitor(metadata, storage_of, {seconds(options.down_after), seconds(options.out_after)});
  ASSIGN_OR_RETURN(
      const auto server,
      rpc::RpcServer::listen(loop, {options.listen, options.cluster_uuid, "metadata daemon"},
                             rpc::metadata_service(metadata)));
  loop.post([&] {
    collector.start();
    monitor.start();
  });
  log_info("metad", "serving", {{"address", server->address()}});
  notify_ready();
  const std::atomic<bool> ended{false};
  wait_for_end(ended);
  server->stop();
  sync_wait(loop, monitor.stop());
  sync_wait(loop, collector.stop());
  sync_wait(loop, nodes.close());
  return OkStatus();
}

Status serve(const Options& options, const Cluster& cluster) {
  ASSIGN_OR_RETURN(const auto loop, EventLoop::create("shoal-metad"));
  ASSIGN_OR_RETURN(const auto io, IoContext::create(*loop));
  loop->start();
  auto taken =
      sync_wait(*loop, FileDirectory::open_when_free(*io, options.data + "/journal", true));
  if (!taken.ok()) {
    loop->stop();
    loop->join();
    return taken.status();
  }
  std::unique_ptr<FileDirectory> journal = std::move(*taken);
  MetadataOptions server_options;
  server_options.checkpoint_path = options.data + "/checkpoint";
  ThreadPool background("shoal-records", 1, ThreadPool::Priority::kLow);
  server_options.background_pool = &background;
  auto opened =
      sync_wait(*loop, MetadataServer::open(*journal, io->pool(), std::move(server_options)));
  Status status = opened.status();
  if (opened.ok()) {
    std::unique_ptr<MetadataServer> metadata = std::move(*opened);
    status = serve_open(*loop, *metadata, options, cluster);
    const Status closed = sync_wait(*loop, metadata->close());
    if (status.ok()) status = closed;
  }
  loop->stop();
  loop->join();
  journal.reset();
  return status.ok() ? status : status.with_context("metadata in " + options.data);
}

int run(const std::vector<std::string>& arguments) {
  Options options;
  Config config("shoal-metad", "Serves the metadata of a Shoal cluster.");
  config.add("listen", &options.listen, "HOST:PORT for the cluster's other daemons");
  config.add("data", &options.data, "directory of the journal and the checkpoints");
  config.add("cluster-uuid", &options.cluster_uuid, "the cluster this daemon serves");
  config.add("code", &options.code, "erasure code of a new cluster, data+parity");
  config.add_list("drive", &options.drives,
                  "ID UUID ADDRESS [HOST [RACK]] of a drive of the cluster; may be given again");
  config.add("down-after", &options.down_after,
             "seconds without a sign of life after which a drive counts as down");
  config.add("out-after", &options.out_after,
             "seconds after which a drive that is down counts as lost; 0: never");
  Cluster cluster;
  return run_daemon(
      &config, arguments,
      [&]() -> Status {
        ASSIGN_OR_RETURN(cluster, parse_cluster(options));
        return OkStatus();
      },
      [&] { return serve(options, cluster); });
}

}  // namespace
}  // namespace shoal::metad

int main(int argc, char** argv) {
  return shoal::metad::run(std::vector<std::string>(argv + 1, argv + argc));
}
