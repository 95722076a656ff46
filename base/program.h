// What every program of Shoal does around its work: arguments, exit statuses, signals, limits and
// telling who started it that it is ready.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "base/config.h"
#include "base/status.h"

namespace shoal {

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

// Reads --config FILE, the environment and the flags. Returns whether the program goes on; else
// `exit_status` is what to end with, and help or the error has been printed.
bool parse_arguments(Config* config, const std::vector<std::string>& arguments, int* exit_status);
// "PROGRAM: MESSAGE" on stderr; gives `exit_status` back.
int fail(const Status& status, int exit_status = kExitFailed);

// Before any thread: blocks SIGINT and SIGTERM (see wait_for_end), ignores SIGPIPE, raises the
// limit of open files.
void prepare_process();
// Tells systemd, or whoever set NOTIFY_SOCKET, that the program is ready. Source: sd_notify(3).
void notify_ready();
// Waits for SIGINT or SIGTERM, or until `ended` (looked at when a signal wakes it: set it, then
// raise SIGTERM), giving idle memory back now and then.
void wait_for_end(const std::atomic<bool>& ended);

// The main of a daemon: reads the options of `config` and a log level, asks `check` whether they
// make sense (an error is one of usage), prepares the process and runs `serve` to its end. Returns
// the exit status.
int run_daemon(Config* config, const std::vector<std::string>& arguments,
               const std::function<Status()>& check, const std::function<Status()>& serve);

}  // namespace shoal
