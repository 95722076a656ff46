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
#include "client/background/limits.h"
#include "storaged/limits.h"
#include "tools/all_in_one.h"
#include "tools/commands/commands.h"
#include "tools/control_socket.h"
#include "tools/local_drives.h"
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
  double down_after = ClusterOptions().down_after;
  double out_after = ClusterOptions().out_after;
  std::uint64_t repack_rate = client::RepackLimits().bytes_per_second;
  std::uint64_t rebuild_rate = client::RebuildLimits().bytes_per_second;
  std::uint64_t scrub_rate = storaged::kDefaultScrubBytesPerSecond;
  bool processes = false;
  bool detach = false;
};

// Says how the start went: to the terminal, or to the parent of a detached start, which prints it
// there and ends.
class Readiness {
 public:
  explicit Readiness(int parent_fd) : parent_fd_(parent_fd) {}
  void tell(bool ok, const std::string& text) {
    if (parent_fd_ < 0) {
      print(ok, text);
      return;
    }
    const std::string message = std::string(1, ok ? kReady : kFailed) + text;
    [[maybe_unused]] const ssize_t n = write(parent_fd_, message.data(), message.size());
    close(std::exchange(parent_fd_, -1));
  }
  // What the parent does: prints what tell() was given. Returns the exit status.
  static int pass_on(int child_fd) {
    std::string message;
    char piece[4096];
    for (ssize_t n = 0; (n = read(child_fd, piece, sizeof piece)) > 0;)
      message.append(piece, static_cast<std::size_t>(n));
    if (message.empty()) return fail(InternalError("the start ended without a word"));
    const bool ok = message[0] == kReady;
    print(ok, message.substr(1));
    return ok ? kExitOk : kExitFailed;
  }

 private:
  static constexpr char kReady = '+';
  static constexpr char kFailed = '-';
  static void print(bool ok, const std::string& text) {
    std::fputs(text.c_str(), ok ? stdout : stderr);
    std::fflush(ok ? stdout : stderr);
  }

  int parent_fd_;
};

Status validate(const UpOptions& options) {
  if (options.data.empty())
    return InvalidArgumentError("--data DIR is needed: where the cluster lives");
  if (options.drives < 1 || options.drives > 256)
    return InvalidArgumentError("--drives must be 1 to 256");
  return OkStatus();
}

Result<std::unique_ptr<Cluster>> start_cluster(const ClusterDirectory& directory,
                                               const ClusterConfig& config,
                                               const UpOptions& options) {
  const ClusterOptions parts{options.mount,     options.s3,          options.down_after,
                             options.out_after, options.repack_rate, options.rebuild_rate,
                             options.scrub_rate};
  if (options.processes) {
    ASSIGN_OR_RETURN(std::unique_ptr<Cluster> cluster,
                     ProcessCluster::start(directory, config, parts));
    return cluster;
  }
  ASSIGN_OR_RETURN(std::unique_ptr<Cluster> cluster, AllInOne::start(directory, config, parts));
  return cluster;
}

// What the control socket answers: `status json`, `status text`, `mount DIR` and admin commands.
int answer_control(Cluster* cluster, LocalDrives* drives, const std::vector<std::string>& words,
                   AdminOutput* output) {
  if (words.size() == 2 && words[0] == "status") {
    const ClusterStatus status = cluster->status();
    output->out(words[1] == "json" ? to_json(status) : to_text(status));
    return kExitOk;
  }
  if (words.size() == 2 && words[0] == "mount") {
    const Status mounted = cluster->mount(words[1]);
    if (!mounted.ok()) output->err(mounted.message() + "\n");
    return mounted.ok() ? kExitOk : kExitFailed;
  }
  if (LocalDrives::takes(words)) return drives->run(words, output);
  const AdminCommand* command = words.empty() ? nullptr : find_admin_command(words[0]);
  if (command == nullptr) {
    output->err("shoal: the cluster's program does not know this question\n");
    return kExitUsage;
  }
  return cluster->run_admin(*command, {words.begin() + 1, words.end()}, output);
}

std::string ready_text(const UpOptions& options, const ClusterDirectory& directory,
                       bool made_credentials) {
  std::string text = "Shoal is ready.\n";
  if (!options.s3.empty()) text += "  S3           http://" + options.s3 + "\n";
  if (!options.mount.empty()) text += "  files        " + options.mount + "\n";
  if (made_credentials) {
    const auto keys = read_file(directory.credentials_path());
    if (keys.ok()) text += "  new S3 keys\n" + *keys;
  }
  text += "  credentials  " + directory.credentials_path() + "\n";
  if (options.detach) text += "  log          " + directory.log_path() + "\n";
  text += "  status       shoal status --data " + directory.path() + "\n";
  text += "  stop         shoal down --data " + directory.path() + "\n";
  return text;
}

Result<ClusterConfig> load_or_draft(const ClusterDirectory& directory, const UpOptions& options) {
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
  return directory.load_or_draft(code, options.capacity, static_cast<std::uint32_t>(count), paths);
}

// From here on what is logged goes to the cluster's own log.
Status redirect_to_log(const ClusterDirectory& directory) {
  const int fd =
      open(directory.log_path().c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (fd < 0) return ErrnoError(errno, directory.log_path());
  const bool done = dup2(fd, STDOUT_FILENO) >= 0 && dup2(fd, STDERR_FILENO) >= 0;
  const int err = errno;
  close(fd);
  return done ? OkStatus() : ErrnoError(err, directory.log_path());
}

int run(const UpOptions& options, Readiness ready) {
  const auto give_up = [&](const Status& status) {
    ready.tell(false, "shoal: " + status.message() + "\n");
    return kExitFailed;
  };
  prepare_process();
  auto directory = ClusterDirectory::lock(options.data);
  if (!directory.ok()) return give_up(directory.status());
  if (options.detach) {
    const Status redirected = redirect_to_log(*directory);
    if (!redirected.ok()) return give_up(redirected);
  }
  auto config = load_or_draft(*directory, options);
  if (!config.ok()) return give_up(config.status());
  auto made_credentials = directory->ensure_credentials();
  if (!made_credentials.ok()) return give_up(made_credentials.status());
  if (!options.mount.empty()) {
    std::error_code ignored;  // what is wrong with a mount point, mounting says
    std::filesystem::create_directories(options.mount, ignored);
  }
  auto cluster = start_cluster(*directory, *config, options);
  if (!cluster.ok()) return give_up(cluster.status());
  // What was to be made is there now, and drives that were to join have joined.
  bool changed = !std::exchange(config->made, true);
  for (const DriveStatus& served : (*cluster)->status().drives) {
    for (ClusterDrive& drive : config->drives) {
      if (drive.id == served.drive && !served.state.starts_with("failed"))
        changed |= std::exchange(drive.fresh, false);
    }
  }
  Status status = changed ? directory->save(*config) : OkStatus();
  LocalDrives drives(**cluster, *directory, *config);
  if (status.ok()) status = directory->publish((*cluster)->running());
  auto control =
      ControlSocket::open(directory->run_path() + "/control",
                          [&](const std::vector<std::string>& words, AdminOutput* output) {
                            return answer_control(cluster->get(), &drives, words, output);
                          });
  if (status.ok() && !control.ok()) status = control.status();
  if (!status.ok()) {
    (void)(*cluster)->stop();
    return give_up(status);
  }
  ready.tell(true, ready_text(options, *directory, *made_credentials));
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
    return Readiness::pass_on(pipe_fds[0]);
  }
  close(pipe_fds[0]);
  setsid();
  const int null_fd = open("/dev/null", O_RDONLY);
  if (null_fd >= 0) dup2(null_fd, STDIN_FILENO);
  return run(options, Readiness(pipe_fds[1]));
}

}  // namespace

int command_up(const Arguments& arguments) {
  UpOptions options;
  Config config("shoal up",
                "Starts a whole cluster on this machine, everything under one directory.");
  config.add("data", &options.data, "directory of the cluster; made if it is not there");
  config.add("mount", &options.mount, "also mount the file system there; made if it is not there");
  config.add("s3", &options.s3, "address of the S3 server");
  config.add("drives", &options.drives, "number of drives of a new cluster");
  config.add_list("drive", &options.drive_paths,
                  "instead: a directory or block device that is a drive of a new cluster; may be "
                  "given again");
  config.add("code", &options.code, "erasure code of a new cluster, data+parity");
  config.add_size(
      "capacity", &options.capacity,
      "bytes each drive of a new cluster may use; 0: an equal share of the file system");
  config.add("down-after", &options.down_after,
             "seconds without a sign of life after which a drive counts as down");
  config.add("out-after", &options.out_after,
             "seconds after which a drive that is down counts as lost; 0: never");
  config.add_size("rebuild-rate", &options.rebuild_rate,
                  "bytes of fragments to restore in a second at most; 0: do not repair");
  config.add_size("repack-rate", &options.repack_rate,
                  "bytes of data that background work moves in a second at most, to give wasted "
                  "space back; 0: none");
  config.add_size("scrub-rate", &options.scrub_rate,
                  "bytes a second that each drive verifies in the background; 0: only when asked");
  config.add("processes", &options.processes, "every daemon as its own process");
  config.add("detach", &options.detach,
             "go on in the background once ready, with the log in DIR/log");
  int exit_status = kExitOk;
  if (!parse_arguments(&config, arguments, &exit_status)) return exit_status;
  const Status valid = validate(options);
  if (!valid.ok()) return fail(valid, kExitUsage);
  return options.detach ? run_detached(options) : run(options, Readiness(-1));
}

}  // namespace shoal::tools
