#include "tools/control_socket.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <mutex>

#include "base/program.h"

namespace shoal::tools {
namespace {

constexpr int kPollMs = 200;
constexpr int kTimeoutSeconds = 5;
constexpr std::size_t kMaxClients = 16;
constexpr std::size_t kMaxQuestionBytes = 64 * 1024;
constexpr std::size_t kMaxChunkBytes = 1 << 20;

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

bool send_all(int fd, const std::string& bytes) {
  std::size_t sent = 0;
  while (sent < bytes.size()) {
    const ssize_t n = send(fd, bytes.data() + sent, bytes.size() - sent, MSG_NOSIGNAL);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    sent += static_cast<std::size_t>(n);
  }
  return true;
}

std::string chunk(char kind, const std::string& bytes) {
  const auto length = static_cast<std::uint32_t>(bytes.size());
  std::string text(1, kind);
  text.append(reinterpret_cast<const char*>(&length), sizeof length);
  return text + bytes;
}

// Exactly `length` bytes; false when the peer ended before.
bool receive(int fd, void* to, std::size_t length) {
  std::size_t got = 0;
  while (got < length) {
    const ssize_t n = recv(fd, static_cast<char*>(to) + got, length - got, 0);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) return false;
    got += static_cast<std::size_t>(n);
  }
  return true;
}

Result<std::vector<std::string>> receive_words(int fd) {
  std::string text;
  char piece[4096];
  while (true) {
    const ssize_t n = recv(fd, piece, sizeof piece, 0);
    if (n < 0) return ErrnoError(errno, "reading the question");
    if (n == 0) break;
    text.append(piece, static_cast<std::size_t>(n));
    if (text.size() > kMaxQuestionBytes) return TooLargeError("the question is too long");
  }
  std::vector<std::string> words;
  for (std::size_t from = 0; from < text.size();) {
    const std::size_t end = std::min(text.find('\0', from), text.size());
    words.push_back(text.substr(from, end - from));
    from = end + 1;
  }
  return words;
}

}  // namespace

// One client: its thread, and the way its answer goes out.
class ControlSocket::Client final : public AdminOutput {
 public:
  Client(int fd, const ControlSocket& owner)
      : fd_(fd), owner_(owner), thread_([this] { serve(); }) {}
  ~Client() override {
    thread_.join();
    close(fd_);
  }
  void out(const std::string& text) override { say('o', text); }
  void err(const std::string& text) override { say('e', text); }
  bool cancelled() const override { return broken_ || owner_.stopping_; }
  bool ended() const { return ended_; }

 private:
  void serve() {
    const auto words = receive_words(fd_);
    int exit_status = kExitUsage;
    if (words.ok()) {
      exit_status = owner_.answer_(*words, this);
    } else {
      err("shoal: " + words.status().message() + "\n");
    }
    say('x', std::string(1, static_cast<char>(exit_status)));
    ended_ = true;
  }
  void say(char kind, const std::string& text) {
    const std::lock_guard lock(mutex_);
    for (std::size_t at = 0; at < text.size() && !broken_; at += kMaxChunkBytes) {
      if (!send_all(fd_, chunk(kind, text.substr(at, kMaxChunkBytes)))) broken_ = true;
    }
  }

  const int fd_;
  const ControlSocket& owner_;
  std::mutex mutex_;  // one chunk at a time
  std::atomic<bool> broken_{false};
  std::atomic<bool> ended_{false};
  std::thread thread_;
};

Result<std::unique_ptr<ControlSocket>> ControlSocket::open(std::string path, Answer answer) {
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

ControlSocket::ControlSocket(std::string path, int fd, Answer answer)
    : path_(std::move(path)), fd_(fd), answer_(std::move(answer)), thread_([this] { serve(); }) {}

ControlSocket::~ControlSocket() {
  stopping_ = true;
  thread_.join();
  close(fd_);
  unlink(path_.c_str());
}

void ControlSocket::reap(bool all) {
  clients_.remove_if([&](const auto& client) { return all || client->ended(); });
}

void ControlSocket::serve() {
  while (!stopping_) {
    pollfd ready{fd_, POLLIN, 0};
    const bool somebody = poll(&ready, 1, kPollMs) > 0;
    reap(false);
    if (!somebody) continue;
    if (clients_.size() >= kMaxClients) {
      std::this_thread::sleep_for(std::chrono::milliseconds(kPollMs));
      continue;
    }
    const int client = accept4(fd_, nullptr, nullptr, SOCK_CLOEXEC);
    if (client < 0) continue;
    const timeval patience{kTimeoutSeconds, 0};
    setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    setsockopt(client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    clients_.push_back(std::make_unique<Client>(client, *this));
  }
  reap(true);
}

Result<int> ask_control_socket(const std::string& path, const std::vector<std::string>& words,
                               AdminOutput* output) {
  ASSIGN_OR_RETURN(const sockaddr_un address, address_of(path));
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return ErrnoError(errno, "control socket");
  std::string question;
  for (const std::string& word : words) question.append(word).push_back('\0');
  const bool asked =
      connect(fd, reinterpret_cast<const sockaddr*>(&address), sizeof address) == 0 &&
      send_all(fd, question) && shutdown(fd, SHUT_WR) == 0;
  Result<int> exit_status =
      asked ? Result<int>(UnavailableError("the answer of " + path + " broke off"))
            : Result<int>(NotFoundError("nothing answers at " + path));
  while (asked) {
    char kind = 0;
    std::uint32_t length = 0;
    if (!receive(fd, &kind, 1) || !receive(fd, &length, sizeof length) || length > kMaxChunkBytes)
      break;
    std::string text(length, '\0');
    if (!receive(fd, text.data(), length)) break;
    if (kind == 'o') output->out(text);
    if (kind == 'e') output->err(text);
    if (kind == 'x' && length == 1) {
      exit_status = static_cast<int>(text[0]);
      break;
    }
  }
  close(fd);
  return exit_status;
}

Result<std::string> ask_control_socket(const std::string& path,
                                       const std::vector<std::string>& words) {
  struct Collected final : AdminOutput {
    void out(const std::string& piece) override { text += piece; }
    void err(const std::string& piece) override { errors += piece; }
    bool cancelled() const override { return false; }
    std::string text;
    std::string errors;
  };
  Collected collected;
  ASSIGN_OR_RETURN(const int exit_status, ask_control_socket(path, words, &collected));
  if (exit_status == kExitOk) return collected.text;
  while (collected.errors.ends_with('\n')) collected.errors.pop_back();
  return InternalError(collected.errors);
}

}  // namespace shoal::tools
