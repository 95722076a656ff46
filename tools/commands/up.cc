// shoal up: a whole cluster on this machine.
#include <fcntl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstdio>
#include <filesystem>

#include "base/file_io.h"
#include "base/log.h"
#include "tools/all_in_one.h"
#include "tools/commands/commands.h"
#include "tools/control_socket.h"
#include "tools/process_cluster.h"

namespace shoal::tools {
namespace {

struct UpOptions {
  std::string data;
  std::string mount;
  std::string s3 = "127.0.0.1:9000";
  std::uint64_t drives = 6;
  std::vector<std::string> drive_paths;
  std::string code = "4+2";
  std::uint64_t capacity = 0;
  bool processes = false;
  bool detach = false;
};

// Tells the parent of a detached start how it went: the parent prints what comes and ends with the
// last byte.
class Readiness {
 public:
  explicit Readiness(int fd) : fd_(fd) {}
  void tell(bool ok) {
    if (fd_ < 0) return;
    const char status = ok ? 0 : 1;
    [[maybe_unused]] const ssize_t n = write(fd_, &status, 1);
    close(std::exchange(fd_, -1));
  }

 private:
  int fd_;
};

Status validate(const UpOptions& options) {
  if (options.data.empty())
    return InvalidArgumentError("--data DIR is needed: where the cluster lives");
  if (options.drives < 1 || options.drives > 256)
    return InvalidArgumentError("--drives must be 1 to 256");
  return OkStatus();
}

Result<std::unique_ptr<Cluster>> start_cluster(const ClusterDirectory& directory,
                                               const ClusterConfig& config, bool fresh,
                                               const UpOptions& options) {
  const ClusterOptions parts{options.mount, options.s3};
  if (options.processes) {
    ASSIGN_OR_RETURN(std::unique_ptr<Cluster> cluster,
                     ProcessCluster::start(directory, config, fresh, parts));
    return cluster;
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Cluster> cluster,
                   AllInOne::start(directory, config, fresh, parts));
  return cluster;
}

// What the control socket answers: status, or a mount, then empty when it was made.
std::string answer_control(Cluster* cluster, const std::string& word) {
  constexpr std::string_view kMount = "mount ";
  if (word == "json") return to_json(cluster->status());
  if (word == "text") return to_text(cluster->status());
  if (word.starts_with(kMount)) {
    const Status mounted = cluster->mount(word.substr(kMount.size()));
    return mounted.ok() ? "" : mounted.message();
  }
  return "the question is not known";
}

void print_ready(const UpOptions& options, const ClusterDirectory& directory,
                 bool made_credentials) {
  std::printf("Shoal is ready.\n");
  if (!options.s3.empty()) std::printf("  S3           http://%s\n", options.s3.c_str());
  if (!options.mount.empty()) std::printf("  files        %s\n", options.mount.c_str());
  if (made_credentials) {
    auto text = read_file(directory.credentials_path());
    if (text.ok()) std::printf("  new S3 keys\n%s", text->c_str());
  }
  std::printf("  credentials  %s\n", directory.credentials_path().c_str());
  std::printf("  status       shoal status --data %s\n", directory.path().c_str());
  std::printf("  stop         shoal down --data %s\n", directory.path().c_str());
  std::fflush(stdout);
}

Result<ClusterConfig> load_or_make(const ClusterDirectory& directory, const UpOptions& options,
                                   bool* fresh) {
  *fresh = !directory.has_cluster();
  if (!*fresh) return directory.load();
  ASSIGN_OR_RETURN(const CodeShape code, parse_code(options.code));
  const std::uint64_t count =
      options.drive_paths.empty() ? options.drives : options.drive_paths.size();
  if (count < static_cast<std::uint64_t>(code.width())) {
    return InvalidArgumentError("code " + options.code + " needs " + std::to_string(code.width()) +
                                " drives, " + std::to_string(count) + " are too few");
  }
  std::vector<std::string> paths;
  for (const std::string& path : options.drive_paths) {
    std::error_code error;
    paths.push_back(std::filesystem::weakly_canonical(path, error).string());
    if (error) return ErrnoError(error.value(), "drive " + path);
    if (std::count(paths.begin(), paths.end(), paths.back()) > 1)
      return InvalidArgumentError("drive " + path + " is named twice");
  }
  ClusterConfig config = directory.make_config(code, static_cast<std::uint32_t>(count), paths);
  config.capacity = options.capacity;
  return config;
}

int run(const UpOptions& options, Readiness ready) {
  const auto give_up = [&](const Status& status) {
    const int exit_status = fail(status);
    ready.tell(false);
    return exit_status;
  };
  prepare_process();
  auto directory = ClusterDirectory::lock(options.data);
  if (!directory.ok()) return give_up(directory.status());
  bool fresh = false;
  auto config = load_or_make(*directory, options, &fresh);
  if (!config.ok()) return give_up(config.status());
  auto made_credentials = directory->ensure_credentials();
  if (!made_credentials.ok()) return give_up(made_credentials.status());
  auto cluster = start_cluster(*directory, *config, fresh, options);
  if (!cluster.ok()) return give_up(cluster.status());
  Status status = fresh ? directory->save(*config) : OkStatus();
  if (status.ok()) status = directory->publish((*cluster)->running());
  auto control = ControlSocket::open(
      directory->run_path() + "/control",
      [&](const std::string& word) { return answer_control(cluster->get(), word); });
  if (status.ok() && !control.ok()) status = control.status();
  if (!status.ok()) {
    (void)(*cluster)->stop();
    return give_up(status);
  }
  print_ready(options, *directory, *made_credentials);
  ready.tell(true);
  const std::atomic<bool> ended{false};
  wait_for_end(ended);
  control->reset();
  status = (*cluster)->stop();
  directory->unpublish();
  return status.ok() ? kExitOk : fail(status.with_context("stopping"));
}

// The child goes on without a terminal; the parent waits until it is ready or has failed.
int run_detached(const UpOptions& options) {
  int pipe_fds[2];
  if (pipe2(pipe_fds, O_CLOEXEC) != 0) return fail(ErrnoError(errno, "pipe"));
  const pid_t child = fork();
  if (child < 0) return fail(ErrnoError(errno, "fork"));
  if (child > 0) {
    close(pipe_fds[1]);
    char status = 1;
    const ssize_t n = read(pipe_fds[0], &status, 1);
    return n == 1 && status == 0 ? kExitOk : kExitFailed;
  }
  close(pipe_fds[0]);
  setsid();
  const int null_fd = open("/dev/null", O_RDONLY);
  if (null_fd >= 0) dup2(null_fd, STDIN_FILENO);
  // What is printed up to the readiness goes to the terminal; later words are the log's.
  return run(options, Readiness(pipe_fds[1]));
}

}  // namespace

int command_up(const Arguments& arguments) {
  UpOptions options;
  Config config("shoal up",
                "Starts a whole cluster on this machine, everything under one directory.");
  config.add("data", &options.data, "directory of the cluster; made if it is not there");
  config.add("mount", &options.mount, "also mount the file system there");
  config.add("s3", &options.s3, "address of the S3 server");
  config.add("drives", &options.drives, "number of drives of a new cluster");
  config.add_list("drive", &options.drive_paths,
                  "instead: a directory or block device that is a drive of a new cluster; may be "
                  "given again");
  config.add("code", &options.code, "erasure code of a new cluster, data+parity");
  config.add_size(
      "capacity", &options.capacity,
      "bytes each drive of a new cluster may use; 0: an equal share of the file system");
  config.add("processes", &options.processes, "every daemon as its own process");
  config.add("detach", &options.detach, "go on in the background once ready");
  int exit_status = kExitOk;
  if (!parse_arguments(&config, arguments, &exit_status)) return exit_status;
  const Status valid = validate(options);
  if (!valid.ok()) return fail(valid, kExitUsage);
  return options.detach ? run_detached(options) : run(options, Readiness(-1));
}

}  // namespace shoal::tools
