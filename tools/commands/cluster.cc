// shoal down, status, mount, umount: what is done to a running cluster.
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <thread>

#include "tools/cluster_directory.h"
#include "tools/commands/commands.h"
#include "tools/control_socket.h"

namespace shoal::tools {
namespace {

constexpr std::chrono::milliseconds kPoll{50};

int need_data(const std::string& data) {
  return data.empty() ? fail(InvalidArgumentError("--data DIR is needed"), kExitUsage) : kExitOk;
}

}  // namespace

int command_down(const Arguments& arguments) {
  std::string data;
  std::uint64_t timeout_seconds = 60;
  Config config(
      "shoal down",
      "Stops the cluster of a data directory: flushes, unmounts, and waits until it has ended.");
  config.add("data", &data, "directory of the cluster");
  config.add("timeout", &timeout_seconds, "seconds to wait");
  int exit_status = kExitOk;
  if (!parse_arguments(&config, arguments, &exit_status)) return exit_status;
  if (const int missing = need_data(data); missing != kExitOk) return missing;
  auto directory = ClusterDirectory::open(data);
  if (!directory.ok()) return fail(directory.status());
  auto running = directory->running();
  if (!running.ok()) return fail(running.status());
  if (kill(static_cast<pid_t>(running->pid), SIGTERM) != 0)
    return fail(ErrnoError(errno, "stopping the cluster"));
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(timeout_seconds);
  while (directory->running().ok()) {
    if (std::chrono::steady_clock::now() > end) {
      return fail(DeadlineExceededError("process " + std::to_string(running->pid) +
                                        " has not ended within " + std::to_string(timeout_seconds) +
                                        " s"));
    }
    std::this_thread::sleep_for(kPoll);
  }
  std::printf("Shoal has stopped.\n");
  return kExitOk;
}

int command_status(const Arguments& arguments) {
  std::string data;
  bool json = false;
  Config config("shoal status",
                "Shows daemons, drives, packs, space, mounts and memory of a running cluster.");
  config.add("data", &data, "directory of the cluster");
  config.add("json", &json, "as one JSON object");
  int exit_status = kExitOk;
  if (!parse_arguments(&config, arguments, &exit_status)) return exit_status;
  if (const int missing = need_data(data); missing != kExitOk) return missing;
  auto directory = ClusterDirectory::open(data);
  if (!directory.ok()) return fail(directory.status());
  auto running = directory->running();
  if (!running.ok()) return fail(running.status());
  auto text =
      ask_control_socket(directory->run_path() + "/control", {"status", json ? "json" : "text"});
  if (!text.ok()) return fail(text.status());
  std::printf("%s%s", text->c_str(), json ? "\n" : "");
  return kExitOk;
}

int command_mount(const Arguments& arguments) {
  std::string data;
  std::vector<std::string> words;
  Config config("shoal mount",
                "Mounts the file system of a cluster that runs on this machine. That of another "
                "machine: shoal-fuse --metad HOST:PORT DIR.");
  config.add("data", &data, "directory of the cluster");
  config.add_words("DIR", &words, "the mount point");
  int exit_status = kExitOk;
  if (!parse_arguments(&config, arguments, &exit_status)) return exit_status;
  if (const int missing = need_data(data); missing != kExitOk) return missing;
  if (words.size() != 1) return fail(InvalidArgumentError("one mount point is needed"), kExitUsage);
  char mount_point[PATH_MAX];
  if (realpath(words[0].c_str(), mount_point) == nullptr)
    return fail(ErrnoError(errno, "mount point " + words[0]));
  auto directory = ClusterDirectory::open(data);
  if (!directory.ok()) return fail(directory.status());
  auto running = directory->running();
  if (!running.ok()) return fail(running.status());
  const auto answer =
      ask_control_socket(directory->run_path() + "/control", {"mount", mount_point});
  return answer.ok() ? kExitOk : fail(answer.status());
}

int command_umount(const Arguments& arguments) {
  std::vector<std::string> words;
  Config config("shoal umount", "Unmounts a mounted file system.");
  config.add_words("DIR", &words, "the mount point");
  int exit_status = kExitOk;
  if (!parse_arguments(&config, arguments, &exit_status)) return exit_status;
  if (words.size() != 1) return fail(InvalidArgumentError("one mount point is needed"), kExitUsage);
  const pid_t child = fork();
  if (child < 0) return fail(ErrnoError(errno, "fork"));
  if (child == 0) {
    execlp("fusermount3", "fusermount3", "-u", words[0].c_str(), nullptr);
    std::perror("shoal: fusermount3");
    _exit(127);
  }
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? kExitOk : kExitFailed;
}

}  // namespace shoal::tools
