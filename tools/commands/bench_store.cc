#include "tools/commands/bench_store.h"

#include <functional>

#include "base/io/event_loop.h"
#include "client/remote_cluster.h"
#include "tools/all_in_one.h"
#include "tools/bench/store_load.h"

namespace shoal::tools {
namespace {

struct StoreBenchOptions {
  std::string data;
  std::string metad;
  std::uint64_t drives = 6;
  std::string code = "4+2";
  bool json = false;
  StoreLoadOptions load;
};

using RunLoad = Task<Result<LoadReport>> (*)(client::ClientStack*, StoreLoadOptions);

void declare(Config* config, StoreBenchOptions* options) {
  config->add("data", &options->data,
              "directory for a cluster of this program's own, made if it is not there");
  config->add("metad", &options->metad,
              "instead: HOST:PORT of the metadata daemon of a cluster that runs");
  config->add("drives", &options->drives, "number of drives of a new cluster");
  config->add("code", &options->code, "erasure code of a new cluster, data+parity");
  config->add("concurrency", &options->load.concurrency, "requests under way");
  config->add("seconds", &options->load.seconds, "how long");
  config->add("json", &options->json, "figures as one JSON object");
}

ServerCounters counters_of(Cluster& cluster) {
  const ClusterStatus status = cluster.status();
  ServerCounters counters;
  for (const DriveStatus& drive : status.drives) counters.drive_flushes += drive.flush_count;
  counters.drives = status.drives.size();
  if (status.metadata.ok()) counters.journal_flushes = status.metadata->journal_flush_count();
  return counters;
}

// A cluster without doors in this process, for the time of the load.
Result<LoadReport> run_on_own_cluster(const StoreBenchOptions& options, RunLoad run,
                                      ServerCounters* used) {
  ASSIGN_OR_RETURN(const ClusterDirectory directory, ClusterDirectory::lock(options.data));
  ASSIGN_OR_RETURN(const CodeShape code, parse_code(options.code));
  ASSIGN_OR_RETURN(ClusterConfig config,
                   directory.load_or_draft(code, 0, static_cast<std::uint32_t>(options.drives)));
  ASSIGN_OR_RETURN(const auto cluster, AllInOne::start(directory, config, {}));
  Status status;
  if (!std::exchange(config.made, true)) status = directory.save(config);
  Result<LoadReport> report = LoadReport{};
  auto loop = EventLoop::create("shoal-bench");
  if (status.ok()) status = loop.status();
  if (status.ok()) {
    (*loop)->start();
    auto client = cluster->open_client(**loop, "bench");
    status = client.status();
    if (client.ok()) {
      const ServerCounters before = counters_of(*cluster);
      report = sync_wait(**loop, run(client->get(), options.load));
      *used = counters_of(*cluster) - before;
      if (report.ok()) used->cpu_seconds = report->client_cpu_seconds;
      status = sync_wait(**loop, (*client)->close());
    }
    (*loop)->stop();
    (*loop)->join();
    if (client.ok()) client->reset();
  }
  const Status stopped = cluster->stop();
  RETURN_IF_ERROR(status);
  RETURN_IF_ERROR(stopped);
  return report;
}

Result<LoadReport> run_on_remote_cluster(const StoreBenchOptions& options, RunLoad run) {
  Result<LoadReport> report = LoadReport{};
  RETURN_IF_ERROR(client::run_client("shoal-bench", options.metad, "bench",
                                     [&](EventLoop& loop, client::ClientStack& stack) {
                                       report = sync_wait(loop, run(&stack, options.load));
                                       return report.status();
                                     }));
  return report;
}

int run_store_bench(const StoreBenchOptions& options, RunLoad run) {
  if (options.data.empty() == options.metad.empty())
    return fail(InvalidArgumentError("one of --data DIR and --metad HOST:PORT is needed"),
                kExitUsage);
  prepare_process();
  ServerCounters used;
  auto report = options.data.empty() ? run_on_remote_cluster(options, run)
                                     : run_on_own_cluster(options, run, &used);
  if (!report.ok()) return fail(report.status());
  const LoadDescription load{options.load.operation, options.load.size_bytes,
                             options.load.concurrency, options.json};
  print_report(load, *report, options.data.empty() ? nullptr : &used);
  return report->errors == 0 ? kExitOk : kExitFailed;
}

}  // namespace

int bench_data(const Arguments& arguments) {
  StoreBenchOptions options;
  options.load.operation = "put";
  Config config("shoal bench data", "Writes or reads objects below the doors.");
  config.add("op", &options.load.operation, "put or get");
  config.add_size("size", &options.load.size_bytes, "bytes of an object");
  config.add("objects", &options.load.count, "objects that get finds");
  declare(&config, &options);
  int exit_status = kExitOk;
  if (!parse_arguments(&config, arguments, &exit_status)) return exit_status;
  return run_store_bench(options, run_data_load);
}

int bench_meta(const Arguments& arguments) {
  StoreBenchOptions options;
  options.load.operation = "create";
  options.load.size_bytes = 0;
  Config config("shoal bench meta", "Makes, looks at and removes empty files below the doors.");
  config.add("op", &options.load.operation, "create, stat, rename, readdir or unlink");
  config.add("files", &options.load.count, "files that all but create find");
  declare(&config, &options);
  int exit_status = kExitOk;
  if (!parse_arguments(&config, arguments, &exit_status)) return exit_status;
  return run_store_bench(options, run_meta_load);
}

}  // namespace shoal::tools
