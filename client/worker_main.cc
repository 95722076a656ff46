// shoal-worker: background work on a cluster's data.
#include <atomic>

#include "base/log.h"
#include "base/program.h"
#include "client/background/make_worker.h"
#include "client/remote_cluster.h"

namespace shoal::client {
namespace {

struct Options {
  std::string metad = "127.0.0.1:9100";
  std::string name = "local";
  WorkerOptions worker;
  std::uint64_t interval_seconds = 10;
};

Task<std::unique_ptr<Worker>> start_worker(ClientStack* stack, Executor* executor, std::string name,
                                           WorkerOptions options) {
  auto worker = make_worker(*stack, *executor, std::move(name), options);
  worker->start();
  co_return worker;
}

Status serve(const Options& options) {
  const std::string name = "worker " + options.name;
  const auto work = [&](EventLoop& loop, ClientStack& stack) {
    const std::unique_ptr<Worker> worker =
        sync_wait(loop, start_worker(&stack, &loop, name, options.worker));
    log_info("worker", "working", {{"name", options.name}});
    notify_ready();
    const std::atomic<bool> ended{false};
    wait_for_end(ended);
    sync_wait(loop, worker->stop());
    return OkStatus();
  };
  return run_client("shoal-worker", options.metad, name, work, worker_writer_limits());
}

int run(const std::vector<std::string>& arguments) {
  Options options;
  RepackLimits& repack = options.worker.repack;
  Config config("shoal-worker",
                "Works on a Shoal cluster's data in the background: gives back the space of packs "
                "that are mostly dead or were written in short rows, and restores what lost or "
                "damaged drives no longer have.");
  config.add("metad", &options.metad, "HOST:PORT of the metadata daemon");
  config.add("name", &options.name, "what to call it in the cluster's status");
  config.add_size("rebuild-rate", &options.worker.rebuild.bytes_per_second,
                  "bytes of fragments to restore in a second at most; 0: do not repair");
  config.add_size("repack-rate", &repack.bytes_per_second,
                  "bytes of data to move in a second at most, more when drives are nearly full; 0: "
                  "do not repack");
  config.add("repack-threshold", &repack.threshold_permille,
             "raw bytes of a pack, in thousandths of what its live bytes take in full rows, above "
             "which it is repacked");
  config.add("repack-interval", &options.interval_seconds, "seconds between looks at the packs");
  return run_daemon(
      &config, arguments,
      [&] {
        repack.interval = std::chrono::seconds(options.interval_seconds);
        if (repack.threshold_permille <= 1000)
          return InvalidArgumentError("repack-threshold must be over 1000");
        return options.interval_seconds > 0
                   ? OkStatus()
                   : InvalidArgumentError("repack-interval must be at least 1");
      },
      [&] { return serve(options); });
}

}  // namespace
}  // namespace shoal::client

int main(int argc, char** argv) {
  return shoal::client::run(std::vector<std::string>(argv + 1, argv + argc));
}
