#include "tools/control_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace shoal::tools {
namespace {

constexpr int kPollMs = 200;
constexpr int kSendTimeoutSeconds = 5;

Result<sockaddr_un> address_of(const std::string& path) {
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  if (path.size() >= sizeof address.sun_path) {
    return NameTooLongError("socket path " + path + " is over " +
                            std::to_string(sizeof address.sun_path - 1) +
                            " bytes: use a data directory with a shorter name");
  }
  std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
  return address;
}

}  // namespace

Result<std::unique_ptr<ControlSocket>> ControlSocket::open(
    std::string path, std::function<std::string(const std::string&)> answer) {
  ASSIGN_OR_RETURN(const sockaddr_un address, address_of(path));
  unlink(path.c_str());
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return ErrnoError(errno, "control socket");
  if (bind(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(fd, 16) != 0) {
    const int err = errno;
    close(fd);
    return ErrnoError(err, "control socket " + path);
  }
  return std::unique_ptr<ControlSocket>(new ControlSocket(std::move(path), fd, std::move(answer)));
}

ControlSocket::ControlSocket(std::string path, int fd,
                             std::function<std::string(const std::string&)> answer)
    : path_(std::move(path)), fd_(fd), answer_(std::move(answer)), thread_([this] { serve(); }) {}

ControlSocket::~ControlSocket() {
  stopping_ = true;
  thread_.join();
  close(fd_);
  unlink(path_.c_str());
}

void ControlSocket::serve() {
  while (!stopping_) {
    pollfd ready{fd_, POLLIN, 0};
    if (poll(&ready, 1, kPollMs) <= 0) continue;
    const int client = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    const timeval patience{kSendTimeoutSeconds, 0};
    setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    char word[4200];  // "mount " and a path
    const ssize_t length = recv(client, word, sizeof word, 0);
    const std::string text =
        length <= 0 ? "" : answer_(std::string(word, static_cast<std::size_t>(length)));
    std::size_t sent = 0;
    while (sent < text.size()) {
      const ssize_t n = send(client, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (n <= 0) break;
      sent += static_cast<std::size_t>(n);
    }
    close(client);
  }
}

Result<std::string> ask_control_socket(const std::string& path, const std::string& word) {
  ASSIGN_OR_RETURN(const sockaddr_un address, address_of(path));
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return ErrnoError(errno, "control socket");
  if (connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    close(fd);
    return NotFoundError("nothing answers at " + path);
  }
  if (send(fd, word.data(), word.size(), MSG_NOSIGNAL) != static_cast<ssize_t>(word.size())) {
    close(fd);
    return NotFoundError("nothing answers at " + path);
  }
  std::string text;
  char buffer[4096];
  for (ssize_t n = 0; (n = read(fd, buffer, sizeof buffer)) > 0;)
    text.append(buffer, static_cast<std::size_t>(n));
  close(fd);
  return text;
}

}  // namespace shoal::tools
