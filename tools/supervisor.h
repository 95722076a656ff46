// Supervisor: the daemons of a cluster as child processes. Starts them, waits until each says that
// it is ready (sd_notify), starts one again that ended by itself, and stops them in order. They die
// with this process, whatever ends it. Belongs to one EventLoop.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/async/sync.h"
#include "base/io/event_loop.h"

namespace shoal::tools {

struct DaemonSpec {
  std::string name;     // "storaged-3": of its log and its socket, too
  std::string program;  // path
  std::vector<std::string> arguments;
  // Runs before each start.
  std::function<void()> before_start;
  // Whether an end with status 0 is its own wish (a mount that was unmounted), and no failure.
  bool may_end = false;
};

struct DaemonStatus {
  std::string name;
  pid_t pid = 0;  // 0: not running now
  std::uint64_t restarts = 0;
  std::uint64_t memory_bytes = 0;  // resident
};

class Supervisor {
 public:
  // Logs and sockets go to `run_path`.
  Supervisor(EventLoop& loop, std::string run_path) : loop_(loop), run_path_(std::move(run_path)) {}
  // stop() of every daemon first.
  ~Supervisor();

  // Returns once the daemon is ready. Errors: kAlreadyExists, kIoError with what it wrote last when
  // it ended, kDeadlineExceeded.
  Task<Status> start(DaemonSpec spec);
  // SIGTERM, and SIGKILL to one that does not end in time, which is then an error.
  Task<Status> stop(std::string name);
  bool has(const std::string& name) const { return daemons_.contains(name); }
  std::vector<DaemonStatus> list() const;

 private:
  struct Daemon {
    DaemonSpec spec;
    pid_t pid = 0;
    int pid_fd = -1;
    int ready_fd = -1;
    bool ready = false;
    bool started_once = false;
    bool stopping = false;
    int exit_status = 0;
    std::uint64_t restarts = 0;
    int quick_ends = 0;  // in a row
    MonotonicTime started_at{};
    TimerId restart_timer;
    Signal changed;
  };
  Status spawn(Daemon* daemon);
  Status open_ready_socket(Daemon* daemon);
  void on_exit(Daemon* daemon);
  void restart_later(Daemon* daemon);
  Task<bool> wait_change(Daemon* daemon, MonotonicTime until);
  std::string log_path(const Daemon& daemon) const {
    return run_path_ + "/" + daemon.spec.name + ".log";
  }
  std::string socket_path(const Daemon& daemon) const {
    return run_path_ + "/" + daemon.spec.name + ".ready";
  }

  EventLoop& loop_;
  const std::string run_path_;
  std::map<std::string, std::unique_ptr<Daemon>> daemons_;
};

}  // namespace shoal::tools
