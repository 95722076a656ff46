// shoal-fuse: mounts a cluster's file system.
#include <signal.h>
#include <unistd.h>

#include <atomic>

#include "base/log.h"
#include "base/program.h"
#include "client/remote_cluster.h"
#include "fuse/session.h"

namespace shoal::fuse {
namespace {

struct Options {
  std::string metad = "127.0.0.1:9100";
  bool read_only = false;
  bool allow_other = false;
  std::vector<std::string> mount_points;
};

Status serve_open(EventLoop& loop, const Options& options, client::ClientStack& stack) {
  std::atomic<bool> ended{false};
  MountOptions mount;
  mount.mount_point = options.mount_points[0];
  mount.read_only = options.read_only;
  mount.allow_other = options.allow_other || geteuid() == 0;
  ASSIGN_OR_RETURN(const auto session,
                   FuseSession::mount(std::move(mount), stack.files(), loop, [&ended] {
                     ended = true;
                     kill(getpid(), SIGTERM);
                   }));
  log_info("fuse", "mounted", {{"directory", session->mount_point()}});
  notify_ready();
  wait_for_end(ended);
  return session->unmount();
}

Status serve(const Options& options) {
  return client::run_client("shoal-fuse", options.metad, "fuse " + options.mount_points[0],
                            [&](EventLoop& loop, client::ClientStack& stack) {
                              return serve_open(loop, options, stack);
                            });
}

int run(const std::vector<std::string>& arguments) {
  Options options;
  Config config("shoal-fuse", "Mounts the file system of a Shoal cluster until it is unmounted.");
  config.add("metad", &options.metad, "HOST:PORT of the metadata daemon");
  config.add("read-only", &options.read_only, "refuse all changes");
  config.add("allow-other", &options.allow_other,
             "also for other users than the one who mounts; always so for root");
  config.add_words("DIR", &options.mount_points, "the mount point");
  return run_daemon(
      &config, arguments,
      [&] {
        return options.mount_points.size() == 1 ? OkStatus()
                                                : InvalidArgumentError("one mount point is needed");
      },
      [&] { return serve(options); });
}

}  // namespace
}  // namespace shoal::fuse

int main(int argc, char** argv) {
  return shoal::fuse::run(std::vector<std::string>(argv + 1, argv + argc));
}
