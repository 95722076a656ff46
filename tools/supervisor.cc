#include "tools/supervisor.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>

#include "base/log.h"
#include "tools/json.h"

namespace shoal::tools {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr Duration kStartDeadline = seconds(120);
// Longer than two writes that wait for drives until their deadline: a mount writes out twice.
constexpr Duration kStopDeadline = seconds(75);
constexpr Duration kPoll = milliseconds(100);
// A daemon that ends within kQuickEnd of its start is started again later each time.
constexpr Duration kQuickEnd = seconds(10);
constexpr Duration kFirstPause = milliseconds(100);
constexpr Duration kLongestPause = seconds(5);

std::string last_line(const std::string& path) {
  std::ifstream file(path);
  std::string last;
  for (std::string line; std::getline(file, line);)
    if (!line.empty()) last = line;
  return last;
}

// In the child, between fork and exec: only what is safe there.
[[noreturn]] void become(const char* program, char* const* arguments, char* const* environment,
                         int log_fd, pid_t parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) _exit(127);
  setpgid(0, 0);  // a Ctrl-C is for the parent, which stops us in order
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
  const int null_fd = open("/dev/null", O_RDONLY);
  if (null_fd >= 0) dup2(null_fd, STDIN_FILENO);
  dup2(log_fd, STDOUT_FILENO);
  dup2(log_fd, STDERR_FILENO);
  execve(program, arguments, environment);
  _exit(127);
}

std::vector<char*> pointers_to(std::vector<std::string>* strings) {
  std::vector<char*> pointers;
  for (std::string& text : *strings) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::string describe_exit(int status) {
  if (WIFSIGNALED(status)) return std::string("killed by signal ") + strsignal(WTERMSIG(status));
  return "exit status " + std::to_string(WEXITSTATUS(status));
}

}  // namespace

Supervisor::~Supervisor() {
  for (const auto& [name, daemon] : daemons_) CHECK(daemon->pid == 0);
}

Status Supervisor::open_ready_socket(Daemon* daemon) {
  const std::string path = socket_path(*daemon);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path)
    return NameTooLongError("socket path " + path + ": use a data directory with a shorter name");
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  unlink(path.c_str());
  const int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (fd < 0) return ErrnoError(errno, "socket " + path);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    const int err = errno;
    close(fd);
    return ErrnoError(err, "socket " + path);
  }
  daemon->ready_fd = fd;
  return loop_.watch(fd, EPOLLIN, [daemon](std::uint32_t) {
    char text[256];
    const ssize_t n = recv(daemon->ready_fd, text, sizeof text, 0);
    if (n <= 0 || std::string_view(text, static_cast<std::size_t>(n)).find("READY=1") ==
                      std::string_view::npos)
      return;
    daemon->ready = true;
    daemon->started_once = true;
    daemon->changed.notify_all();
  });
}

Status Supervisor::spawn(Daemon* daemon) {
  if (daemon->spec.before_start) daemon->spec.before_start();
  const std::string log = log_path(*daemon);
  const int log_fd = open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0640);
  if (log_fd < 0) return ErrnoError(errno, log);
  std::vector<std::string> arguments{daemon->spec.program};
  arguments.insert(arguments.end(), daemon->spec.arguments.begin(), daemon->spec.arguments.end());
  std::vector<std::string> environment{"NOTIFY_SOCKET=" + socket_path(*daemon)};
  for (char** entry = environ; *entry != nullptr; ++entry)
    if (!std::string_view(*entry).starts_with("NOTIFY_SOCKET=")) environment.emplace_back(*entry);
  const std::vector<char*> argument_list = pointers_to(&arguments);
  const std::vector<char*> environment_list = pointers_to(&environment);
  const pid_t self = getpid();
  const pid_t child = fork();
  if (child == 0)
    become(daemon->spec.program.c_str(), argument_list.data(), environment_list.data(), log_fd,
           self);
  const int fork_error = errno;
  close(log_fd);
  if (child < 0) return ErrnoError(fork_error, "starting " + daemon->spec.name);
  daemon->pid = child;
  daemon->ready = false;
  daemon->started_at = loop_.now();
  daemon->pid_fd = static_cast<int>(syscall(SYS_pidfd_open, child, 0));
  if (daemon->pid_fd < 0) {
    const int err = errno;
    kill(child, SIGKILL);
    waitpid(child, nullptr, 0);
    daemon->pid = 0;
    return ErrnoError(err, "watching " + daemon->spec.name);
  }
  return loop_.watch(daemon->pid_fd, EPOLLIN, [this, daemon](std::uint32_t) { on_exit(daemon); });
}

void Supervisor::on_exit(Daemon* daemon) {
  if (waitpid(daemon->pid, &daemon->exit_status, WNOHANG) <= 0) return;
  loop_.unwatch(daemon->pid_fd);
  close(std::exchange(daemon->pid_fd, -1));
  daemon->pid = 0;
  daemon->ready = false;
  daemon->changed.notify_all();
  if (daemon->stopping || !daemon->started_once) return;
  const bool own_wish = daemon->spec.may_end && WIFEXITED(daemon->exit_status) &&
                        WEXITSTATUS(daemon->exit_status) == 0;
  if (own_wish) {
    log_info("supervisor", "a daemon has ended", {{"daemon", daemon->spec.name}});
    daemon->stopping = true;
    return;
  }
  log_warning("supervisor", "a daemon ended and is started again",
              {{"daemon", daemon->spec.name}, {"how", describe_exit(daemon->exit_status)}});
  restart_later(daemon);
}

void Supervisor::restart_later(Daemon* daemon) {
  const bool quick = loop_.now() - daemon->started_at < kQuickEnd;
  daemon->quick_ends = quick ? std::min(daemon->quick_ends + 1, 16) : 0;
  const Duration pause =
      std::min<Duration>(kLongestPause, kFirstPause * (1 << std::min(daemon->quick_ends, 10)) / 2);
  daemon->restart_timer = loop_.schedule_at(loop_.now() + pause, [this, daemon] {
    daemon->restart_timer = {};
    if (daemon->stopping) return;
    ++daemon->restarts;
    const Status spawned = spawn(daemon);
    if (spawned.ok()) return;
    log_error("supervisor", "a daemon cannot be started",
              {{"daemon", daemon->spec.name}, {"status", spawned}});
    restart_later(daemon);
  });
}

// Whether something changed before `until`.
Task<bool> Supervisor::wait_change(Daemon* daemon, MonotonicTime until) {
  if (loop_.now() >= until) co_return false;
  const TimerId timer = loop_.schedule_at(std::min(until, loop_.now() + kPoll),
                                          [daemon] { daemon->changed.notify_all(); });
  co_await daemon->changed.wait();
  loop_.cancel(timer);
  co_return true;
}

Task<Status> Supervisor::start(DaemonSpec spec) {
  auto& slot = daemons_[spec.name];
  if (slot != nullptr) {
    if (slot->pid != 0 || !slot->stopping)
      co_return AlreadyExistsError(spec.name + " runs already");
    const std::string old = spec.name;
    CO_RETURN_IF_ERROR(co_await stop(old));
  }
  auto& place = daemons_[spec.name];
  place = std::make_unique<Daemon>();
  Daemon* const daemon = place.get();
  daemon->spec = std::move(spec);
  const std::string name = daemon->spec.name;
  Status status = open_ready_socket(daemon);
  if (status.ok()) status = spawn(daemon);
  const MonotonicTime until = loop_.now() + kStartDeadline;
  bool in_time = true;
  while (status.ok() && !daemon->ready && daemon->pid != 0 && in_time)
    in_time = co_await wait_change(daemon, until);
  if (status.ok() && daemon->ready) co_return OkStatus();
  if (status.ok()) {
    const std::string said = last_line(log_path(*daemon));
    status = daemon->pid == 0
                 ? IoError(said.empty() ? name + ": " + describe_exit(daemon->exit_status) : said)
                 : DeadlineExceededError(name + " is not ready; it wrote last: " + said);
  }
  (void)co_await stop(name);
  co_return status;
}

Task<Status> Supervisor::stop(std::string name) {
  const auto found = daemons_.find(name);
  if (found == daemons_.end()) co_return NotFoundError("there is no daemon " + name);
  Daemon* const daemon = found->second.get();
  daemon->stopping = true;
  loop_.cancel(std::exchange(daemon->restart_timer, {}));
  Status status;
  if (daemon->pid != 0) kill(daemon->pid, SIGTERM);
  const MonotonicTime until = loop_.now() + kStopDeadline;
  bool in_time = true;
  while (daemon->pid != 0 && in_time) in_time = co_await wait_change(daemon, until);
  if (daemon->pid != 0) {
    status = DeadlineExceededError(name + " did not end in time and was killed");
    kill(daemon->pid, SIGKILL);
    while (daemon->pid != 0) (void)co_await wait_change(daemon, MonotonicTime::max());
  } else if (daemon->started_once && daemon->exit_status != 0) {
    status = IoError(name + " ended with " + describe_exit(daemon->exit_status) + ": " +
                     last_line(log_path(*daemon)));
  }
  if (daemon->ready_fd >= 0) {
    loop_.unwatch(daemon->ready_fd);
    close(daemon->ready_fd);
    unlink(socket_path(*daemon).c_str());
  }
  daemons_.erase(name);
  co_return status;
}

std::vector<DaemonStatus> Supervisor::list() const {
  std::vector<DaemonStatus> list;
  for (const auto& [name, daemon] : daemons_) {
    if (daemon->stopping && daemon->pid == 0) continue;  // a mount that was unmounted
    list.push_back(
        {name, daemon->pid, daemon->restarts, daemon->pid == 0 ? 0 : resident_bytes(daemon->pid)});
  }
  return list;
}

}  // namespace shoal::tools
