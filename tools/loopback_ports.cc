#include "tools/loopback_ports.h"

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>

#include "base/random.h"

namespace shoal::tools {
namespace {

// A socket bound to the port; -1, with errno, when another has it.
int bind_port(std::uint16_t port) {
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return -1;
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // Only once it is bound may others share the port: before, it would share that of another.
  const int one = 1;
  if (bind(fd, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) == 0)
    return fd;
  const int err = errno;
  close(fd);
  errno = err;
  return -1;
}

}  // namespace

LoopbackPorts::~LoopbackPorts() {
  for (const int fd : sockets_) close(fd);
}

Result<std::string> LoopbackPorts::reserve() {
  // Below the ports that connections get: those come and go without asking.
  constexpr std::uint64_t kFirstPort = 20'000;
  constexpr std::uint64_t kPorts = 12'000;
  constexpr int kTries = 200;
  for (int i = 0; i < kTries; ++i) {
    const auto port = static_cast<std::uint16_t>(kFirstPort + secure_random_u64() % kPorts);
    const int fd = bind_port(port);
    if (fd < 0 && errno == EADDRINUSE) continue;
    if (fd < 0) return ErrnoError(errno, "port " + std::to_string(port));
    sockets_.push_back(fd);
    return "127.0.0.1:" + std::to_string(port);
  }
  return UnavailableError("no free port was found between " + std::to_string(kFirstPort) + " and " +
                          std::to_string(kFirstPort + kPorts));
}

}  // namespace shoal::tools
