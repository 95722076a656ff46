// shoal bench: loads and their figures.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdio>
#include <fstream>
#include <map>
#include <sstream>

#include "s3compat/discard_store.h"
#include "s3compat/server.h"
#include "tools/bench/s3_load.h"
#include "tools/cluster_directory.h"
#include "tools/commands/bench_store.h"
#include "tools/commands/commands.h"
#include "tools/control_socket.h"
#include "tools/json.h"

namespace shoal::tools {
namespace {

// The sum of the numbers behind `key` in our own status text.
std::uint64_t sum_of(const std::string& json, const std::string& key, std::uint64_t* count) {
  std::uint64_t sum = 0;
  const std::string quoted = "\"" + key + "\":";
  for (std::size_t at = json.find(quoted); at != std::string::npos;
       at = json.find(quoted, at + 1)) {
    sum += std::strtoull(json.c_str() + at + quoted.size(), nullptr, 10);
    if (count != nullptr) ++*count;
  }
  return sum;
}

// CPU seconds of a process so far. Source: proc(5), stat, fields 14 and 15, counted behind the
// program's name in parentheses.
double cpu_seconds_of(const std::string& pid) {
  std::ifstream stat("/proc/" + pid + "/stat");
  std::string text((std::istreambuf_iterator<char>(stat)), std::istreambuf_iterator<char>());
  if (text.empty()) return 0;
  std::istringstream fields(text.substr(text.rfind(')') + 2));
  std::string skip;
  for (int i = 3; i < 14; ++i) fields >> skip;
  double user = 0;
  double system = 0;
  fields >> user >> system;
  return (user + system) / static_cast<double>(sysconf(_SC_CLK_TCK));
}

Result<ServerCounters> read_counters(const ClusterDirectory& directory) {
  ServerCounters counters;
  ASSIGN_OR_RETURN(const std::string json,
                   ask_control_socket(directory.run_path() + "/control", {"status", "json"}));
  counters.drive_flushes = sum_of(json, "flushes", &counters.drives);
  counters.journal_flushes = sum_of(json, "journal_flushes", nullptr);
  constexpr std::string_view kPid = "\"pid\":";
  const std::size_t daemons = json.find("\"daemons\"");
  for (std::size_t at = json.find(kPid, daemons); at != std::string::npos;
       at = json.find(kPid, at + 1)) {
    counters.cpu_seconds +=
        cpu_seconds_of(std::to_string(std::strtoul(json.c_str() + at + kPid.size(), nullptr, 10)));
  }
  return counters;
}

struct BenchOptions {
  std::string endpoint = "http://127.0.0.1:9000";
  std::string credentials;
  std::string data;
  std::string bucket = "shoal-bench";
  std::string operation = "put";
  std::uint64_t size = 4096;
  std::uint64_t concurrency = 64;
  double seconds = 10;
  std::uint64_t objects = 0;
  bool json = false;
  std::string prefix;
  bool prepared = false;
  bool sign_payload = false;
};

LoadDescription describe(const BenchOptions& options) {
  return {options.operation, options.size, options.concurrency, options.json};
}

constexpr char kFrontKey[] = "front";

// The server of `bench front`: writes its port to `port_fd` and serves until it is killed.
int serve_discarding(std::uint64_t object_bytes, int port_fd) {
  auto loop = EventLoop::create("shoal-s3");
  if (!loop.ok()) return kExitFailed;
  s3compat::Credentials credentials;
  credentials[kFrontKey] = {kFrontKey, 0, 0};
  s3compat::DiscardStore store(object_bytes);
  s3compat::S3ServerOptions options;
  options.address = "127.0.0.1:0";
  auto server = s3compat::S3Server::listen(**loop, std::move(options), credentials, store);
  if (!server.ok()) return fail(server.status());
  (*loop)->post([&] {
    const std::uint16_t port = (*server)->port();
    if (!(*server)->start().ok() || write(port_fd, &port, sizeof port) != sizeof port)
      _exit(kExitFailed);
  });
  (*loop)->run();
  return kExitOk;
}

// Objects that the operation finds.
Status prepare(const S3LoadOptions& load) {
  if (load.operation == S3Operation::kPut) return OkStatus();
  S3LoadOptions fill = load;
  fill.operation = S3Operation::kPut;
  fill.seconds = 0;
  fill.request_limit = load.object_count;
  ASSIGN_OR_RETURN(const LoadReport report, run_s3_load(fill));
  if (report.errors > 0) return InternalError("filling the bucket: " + report.first_error);
  return OkStatus();
}

int bench_s3(const Arguments& arguments) {
  BenchOptions options;
  Config config("shoal bench s3", "Drives any S3 endpoint and verifies what comes back.");
  config.add("endpoint", &options.endpoint, "http://HOST:PORT");
  config.add("credentials", &options.credentials,
             "file with S3 keys in the AWS shared-credentials format");
  config.add("data", &options.data,
             "data directory of our own cluster: also CPU and flushes per operation");
  config.add("bucket", &options.bucket, "bucket to use; made if it is not there");
  config.add("op", &options.operation, "put, get, head, delete, list or mixed");
  config.add_size("size", &options.size, "bytes of an object");
  config.add("concurrency", &options.concurrency, "connections");
  config.add("seconds", &options.seconds, "how long");
  config.add(
      "objects", &options.objects,
      "objects that get, head, delete, list and mixed find; 0: 10,000, or a gibibyte of them");
  config.add("prefix", &options.prefix,
             "what its keys begin with; one of its own for each run if not given");
  config.add("prepared", &options.prepared,
             "the objects are there: a run with the same prefix, size and objects has put them");
  config.add("sign-payload", &options.sign_payload, "sign the SHA-256 of each body");
  config.add("json", &options.json, "figures as one JSON object");
  int exit_status = kExitOk;
  if (!parse_arguments(&config, arguments, &exit_status)) return exit_status;
  if (options.prepared && options.prefix.empty())
    return fail(InvalidArgumentError("--prepared needs the --prefix of the run that has put them"),
                kExitUsage);
  auto operation = parse_operation(options.operation);
  if (!operation.ok()) return fail(operation.status(), kExitUsage);
  auto endpoint = parse_endpoint(options.endpoint);
  if (!endpoint.ok()) return fail(endpoint.status(), kExitUsage);
  Result<ClusterDirectory> directory = NotFoundError("no --data");
  if (!options.data.empty()) {
    directory = ClusterDirectory::open(options.data);
    if (!directory.ok()) return fail(directory.status());
    if (options.credentials.empty()) options.credentials = directory->credentials_path();
  }
  if (options.credentials.empty())
    return fail(InvalidArgumentError("--credentials FILE is needed"), kExitUsage);
  if (const Status loaded = load_credentials(options.credentials, &*endpoint); !loaded.ok())
    return fail(loaded);
  if (const Status made = ensure_bucket(*endpoint, options.bucket); !made.ok()) return fail(made);
  S3LoadOptions load;
  load.endpoint = *endpoint;
  load.bucket = options.bucket;
  load.prefix = options.prefix.empty() ? "run" + std::to_string(getpid()) + "/" : options.prefix;
  load.operation = *operation;
  load.size_bytes = options.size;
  load.concurrency = static_cast<unsigned>(options.concurrency);
  load.seconds = options.seconds;
  constexpr std::uint64_t kMostObjects = 10'000;
  constexpr std::uint64_t kMostBytes = 1 << 30;
  load.object_count =
      options.objects > 0
          ? options.objects
          : std::clamp<std::uint64_t>(kMostBytes / std::max<std::uint64_t>(options.size, 1),
                                      options.concurrency, kMostObjects);
  load.sign_payload = options.sign_payload;
  if (!options.prepared) {
    if (const Status prepared = prepare(load); !prepared.ok()) return fail(prepared);
  }
  Result<ServerCounters> before = NotFoundError("no --data");
  if (directory.ok()) before = read_counters(*directory);
  auto report = run_s3_load(load);
  if (!report.ok()) return fail(report.status());
  Result<ServerCounters> after = NotFoundError("no --data");
  if (before.ok()) after = read_counters(*directory);
  if (after.ok()) after = *after - *before;
  print_report(describe(options), *report, after.ok() ? &*after : nullptr);
  return report->errors == 0 ? kExitOk : kExitFailed;
}

// The same load in the same process layout (the server in one process, the load in another) against
// our front end on a store that discards: the limit that ratios are taken to.
int bench_front(const Arguments& arguments) {
  BenchOptions options;
  Config config("shoal bench front", "Drives our S3 front end on a store that discards.");
  config.add("op", &options.operation, "put or get");
  config.add_size("size", &options.size, "bytes of an object");
  config.add("concurrency", &options.concurrency, "connections");
  config.add("seconds", &options.seconds, "how long");
  config.add("json", &options.json, "figures as one JSON object");
  int exit_status = kExitOk;
  if (!parse_arguments(&config, arguments, &exit_status)) return exit_status;
  if (options.operation != "put" && options.operation != "get") {
    return fail(InvalidArgumentError("--op " + options.operation + ": expected put or get"),
                kExitUsage);
  }
  int port_pipe[2];
  if (pipe(port_pipe) != 0) return fail(ErrnoError(errno, "pipe"));
  const pid_t server = fork();
  if (server < 0) return fail(ErrnoError(errno, "fork"));
  if (server == 0) {
    close(port_pipe[0]);
    _exit(serve_discarding(options.size, port_pipe[1]));
  }
  close(port_pipe[1]);
  std::uint16_t port = 0;
  const bool started = read(port_pipe[0], &port, sizeof port) == sizeof port;
  S3LoadOptions load;
  load.endpoint.host = "127.0.0.1:" + std::to_string(port);
  load.endpoint.address = "127.0.0.1";
  load.endpoint.port = port;
  load.endpoint.access_key = kFrontKey;
  load.endpoint.secret_key = kFrontKey;
  load.bucket = "front";
  load.operation = options.operation == "put" ? S3Operation::kPut : S3Operation::kGet;
  load.size_bytes = options.size;
  load.concurrency = static_cast<unsigned>(options.concurrency);
  load.seconds = options.seconds;
  load.verify = false;
  Result<LoadReport> report = UnavailableError("the front end did not start");
  if (started) report = run_s3_load(load);
  kill(server, SIGKILL);
  waitpid(server, nullptr, 0);
  if (!report.ok()) return fail(report.status());
  print_report(describe(options), *report, nullptr);
  return report->errors == 0 ? kExitOk : kExitFailed;
}

}  // namespace

int command_bench(const Arguments& arguments) {
  using Kind = int (*)(const Arguments&);
  const std::map<std::string, Kind> kinds{{"s3", bench_s3},
                                          {"front", bench_front},
                                          {"data", bench_data},
                                          {"meta", bench_meta},
                                          {"metad", bench_metad}};
  if (arguments.empty() || arguments[0] == "--help") {
    std::printf(
        "Usage: shoal bench KIND [--flag VALUE]...\n\n"
        "  s3     drive any S3 endpoint\n"
        "  front  drive our S3 front end on a store that discards: its limit\n"
        "  data   write and read objects below the doors\n"
        "  meta   make, look at and remove files below the doors\n"
        "  metad  fill the metadata's index: memory, checkpoints, start-up\n");
    return arguments.empty() ? kExitUsage : kExitOk;
  }
  const auto kind = kinds.find(arguments[0]);
  if (kind == kinds.end()) {
    return fail(NotSupportedError("bench " + arguments[0] +
                                  " is not known; there are: s3, front, data, meta, metad"),
                kExitUsage);
  }
  return kind->second(Arguments(arguments.begin() + 1, arguments.end()));
}

}  // namespace shoal::tools
