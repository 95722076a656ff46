#include "base/program.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <ctime>

#include "base/log.h"
#include "base/memory.h"

namespace shoal {
namespace {

constexpr int kTrimSeconds = 15;

sigset_t end_signals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGINT);
  sigaddset(&signals, SIGTERM);
  return signals;
}

Status configure_log_level(const std::string& level) {
  const std::vector<std::string> names{"debug", "info", "warning", "error"};
  const auto found = std::find(names.begin(), names.end(), level);
  if (found == names.end())
    return InvalidArgumentError("log-level " + level + " is none of debug, info, warning, error");
  LogOptions options;
  options.level = static_cast<LogLevel>(found - names.begin());
  return configure_log(options);
}

}  // namespace

int fail(const Status& status, int exit_status) {
  std::fprintf(stderr, "%s: %s\n", program_invocation_short_name,
               status.message().empty() ? status.to_string().c_str() : status.message().c_str());
  return exit_status;
}

bool parse_arguments(Config* config, const std::vector<std::string>& arguments, int* exit_status) {
  const Status parsed = config->load(arguments);
  if (!parsed.ok()) {
    *exit_status = fail(parsed, kExitUsage);
    return false;
  }
  if (config->wants_help()) {
    std::fputs(config->help().c_str(), stdout);
    *exit_status = kExitOk;
    return false;
  }
  return true;
}

void prepare_process() {
  const sigset_t signals = end_signals();
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  signal(SIGPIPE, SIG_IGN);
  rlimit files{};
  if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
  }
}

void notify_ready() {
  const char* path = std::getenv("NOTIFY_SOCKET");
  sockaddr_un address{};
  if (path == nullptr || std::strlen(path) >= sizeof address.sun_path) return;
  address.sun_family = AF_UNIX;
  std::memcpy(address.sun_path, path, std::strlen(path));
  if (address.sun_path[0] == '@') address.sun_path[0] = '\0';  // an abstract socket
  const auto size = static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + std::strlen(path));
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return;
  constexpr char kReady[] = "READY=1";
  sendto(fd, kReady, sizeof kReady - 1, MSG_NOSIGNAL, reinterpret_cast<sockaddr*>(&address), size);
  close(fd);
}

void wait_for_end(const std::atomic<bool>& ended) {
  const sigset_t signals = end_signals();
  while (!ended) {
    const timespec patience{kTrimSeconds, 0};
    const int signal = sigtimedwait(&signals, nullptr, &patience);
    if (signal == SIGINT || signal == SIGTERM) return;
    if (signal < 0 && errno == EAGAIN) release_free_memory();
  }
}

int run_daemon(Config* config, const std::vector<std::string>& arguments,
               const std::function<Status()>& check, const std::function<Status()>& serve) {
  std::string log_level = "info";
  config->add("log-level", &log_level, "debug, info, warning or error");
  int exit_status = kExitOk;
  if (!parse_arguments(config, arguments, &exit_status)) return exit_status;
  Status status = configure_log_level(log_level);
  if (status.ok()) status = check();
  if (!status.ok()) return fail(status, kExitUsage);
  prepare_process();
  status = serve();
  return status.ok() ? kExitOk : fail(status);
}

}  // namespace shoal
