// shoal-storaged: serves drives to the cluster over gRPC.
#include <atomic>
#include <cstdio>
#include <sstream>

#include "base/log.h"
#include "base/program.h"
#include "proto/rpc/services.h"
#include "storaged/capacity.h"
#include "storaged/limits.h"
#include "storaged/service.h"

namespace shoal::storaged {
namespace {

struct Options {
  std::string listen = "127.0.0.1:9200";
  std::string cluster_uuid;
  std::vector<std::string> drives;
  std::uint64_t capacity = 0;
  std::uint64_t scrub_rate = kDefaultScrubBytesPerSecond;
  bool format = false;
};

Result<DriveConfig> parse_drive(const std::string& text, const Options& options) {
  std::istringstream words(text);
  std::uint32_t id = 0;
  DriveConfig drive;
  words >> id >> drive.options.identity.drive_uuid >> std::ws;
  std::getline(words, drive.path);
  if (id == 0 || drive.path.empty())
    return InvalidArgumentError("drive = " + text + ": expected ID UUID PATH");
  drive.options.identity.cluster_uuid = options.cluster_uuid;
  drive.options.identity.drive = DriveId(id);
  drive.options.format_if_empty = options.format;
  drive.options.scrub_bytes_per_second = options.scrub_rate;
  return drive;
}

Result<std::vector<DriveConfig>> parse_drives(Options options) {
  if (options.cluster_uuid.empty())
    return InvalidArgumentError("cluster-uuid is needed: the cluster this daemon belongs to");
  if (options.drives.empty())
    return InvalidArgumentError("no drive is configured: drive = ID UUID PATH");
  std::vector<DriveConfig> drives;
  std::vector<std::string> paths;
  for (const std::string& text : options.drives) {
    ASSIGN_OR_RETURN(DriveConfig drive, parse_drive(text, options));
    paths.push_back(drive.path);
    drives.push_back(std::move(drive));
  }
  ASSIGN_OR_RETURN(const auto capacities, drive_capacities(options.capacity, paths));
  for (std::size_t i = 0; i < drives.size(); ++i) drives[i].options.max_bytes = capacities[i];
  return drives;
}

Status serve_until_told(const Options& options, EventLoop* loop, StorageServer* storage) {
  // Asked to make drives, it does not go on without one of them.
  if (options.format) RETURN_IF_ERROR(storage->trouble());
  ASSIGN_OR_RETURN(
      const auto server,
      rpc::RpcServer::listen(*loop, {options.listen, options.cluster_uuid, "storage daemon"},
                             rpc::storage_service(*storage)));
  log_info("storaged", "serving", {{"address", server->address()}});
  notify_ready();
  const std::atomic<bool> ended{false};
  wait_for_end(ended);
  server->stop();
  return OkStatus();
}

Status serve(const Options& options, std::vector<DriveConfig> drives) {
  ASSIGN_OR_RETURN(const auto loop, EventLoop::create("shoal-storaged"));
  ASSIGN_OR_RETURN(const auto io, IoContext::create(*loop));
  loop->start();
  auto storage = sync_wait(*loop, StorageServer::open(*io, std::move(drives)));
  const Status served = serve_until_told(options, loop.get(), storage.get());
  sync_wait(*loop, storage->close());
  storage.reset();
  loop->stop();
  loop->join();
  return served;
}

int run(const std::vector<std::string>& arguments) {
  Options options;
  Config config("shoal-storaged", "Serves the drives of one host to a Shoal cluster.");
  config.add("listen", &options.listen, "HOST:PORT for the cluster's other daemons");
  config.add("cluster-uuid", &options.cluster_uuid, "the cluster the drives belong to");
  config.add_list("drive", &options.drives, "ID UUID PATH of a drive; may be given again");
  config.add_size("capacity", &options.capacity,
                  "bytes each drive may use; 0: an equal share of the file system");
  config.add_size("scrub-rate", &options.scrub_rate,
                  "bytes a second that each drive verifies in the background; 0: only when asked");
  config.add("format", &options.format, "make drives out of empty directories and blank devices");
  std::vector<DriveConfig> drives;
  return run_daemon(
      &config, arguments,
      [&]() -> Status {
        ASSIGN_OR_RETURN(drives, parse_drives(options));
        return OkStatus();
      },
      [&] { return serve(options, drives); });
}

}  // namespace
}  // namespace shoal::storaged

int main(int argc, char** argv) {
  return shoal::storaged::run(std::vector<std::string>(argv + 1, argv + argc));
}
