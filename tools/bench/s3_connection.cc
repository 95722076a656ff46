#include "tools/bench/s3_connection.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>

#include "base/random.h"

namespace shoal::tools {
namespace {

constexpr std::size_t kRingBytes = 1 << 20;
constexpr std::size_t kReceiveBytes = 256 * 1024;
constexpr std::size_t kMaxText = 64 * 1024;
constexpr std::size_t kMaxHead = 64 * 1024;

}  // namespace

ObjectPattern::ObjectPattern() : ring_(kRingBytes, '\0') {
  SeededRandom random(0x5a0a1);
  for (std::size_t i = 0; i < ring_.size(); i += 8) {
    const std::uint64_t word = random.next();
    std::memcpy(ring_.data() + i, &word, 8);
  }
}

std::string_view ObjectPattern::run(std::uint64_t object, std::uint64_t offset,
                                    std::uint64_t wanted) const {
  const std::uint64_t at = (object * 0x9e3779b97f4a7c15ULL / 8 + offset) % kRingBytes;
  return std::string_view(ring_).substr(at, std::min<std::uint64_t>(wanted, kRingBytes - at));
}

S3Connection::~S3Connection() {
  if (fd_ >= 0) close(fd_);
}

bool S3Connection::connect(const std::string& address, std::uint16_t port) {
  if (fd_ >= 0) close(fd_);
  fd_ = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd_ < 0) return false;
  const int one = 1;
  setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
  sockaddr_in to{};
  to.sin_family = AF_INET;
  to.sin_port = htons(port);
  if (inet_pton(AF_INET, address.c_str(), &to.sin_addr) != 1) return false;
  return ::connect(fd_, reinterpret_cast<sockaddr*>(&to), sizeof to) == 0 || errno == EINPROGRESS;
}

void S3Connection::begin(S3Request request) {
  request_ = std::move(request);
  started_ = std::chrono::steady_clock::now();
  head_sent_ = 0;
  body_sent_ = 0;
  input_.clear();
  in_body_ = false;
  status_ = 0;
  body_received_ = 0;
  chunk_state_ = ChunkState::kSize;
  chunk_line_.clear();
  mismatch_ = false;
  text_.clear();
  error_text_.clear();
}

S3Connection::Progress S3Connection::send() {
  const std::uint64_t body_total =
      request_.has_body ? request_.body_bytes : request_.text_body.size();
  while (head_sent_ < request_.head.size() || body_sent_ < body_total) {
    std::array<iovec, 4> pieces;
    int count = 0;
    if (head_sent_ < request_.head.size()) {
      pieces[0] = {request_.head.data() + head_sent_, request_.head.size() - head_sent_};
      count = 1;
    }
    std::uint64_t planned = body_sent_;
    while (count < static_cast<int>(pieces.size()) && planned < body_total) {
      const std::string_view run =
          request_.has_body ? pattern_.run(request_.object, planned, body_total - planned)
                            : std::string_view(request_.text_body).substr(planned);
      pieces[static_cast<std::size_t>(count++)] = {const_cast<char*>(run.data()), run.size()};
      planned += run.size();
    }
    msghdr message{};
    message.msg_iov = pieces.data();
    message.msg_iovlen = static_cast<std::size_t>(count);
    const ssize_t n = sendmsg(fd_, &message, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EAGAIN || errno == EINTR || errno == ENOTCONN) return Progress::kWaiting;
      error_text_ = std::string("send: ") + std::strerror(errno);
      return Progress::kBroken;
    }
    const std::size_t from_head =
        std::min<std::size_t>(static_cast<std::size_t>(n), request_.head.size() - head_sent_);
    head_sent_ += from_head;
    body_sent_ += static_cast<std::size_t>(n) - from_head;
  }
  return Progress::kDone;
}

S3Connection::Progress S3Connection::receive() {
  static thread_local std::vector<char> buffer(kReceiveBytes);
  while (true) {
    const ssize_t n = recv(fd_, buffer.data(), buffer.size(), 0);
    if (n < 0) {
      if (errno == EAGAIN || errno == EINTR) return Progress::kWaiting;
      error_text_ = std::string("recv: ") + std::strerror(errno);
      return Progress::kBroken;
    }
    if (n == 0) {
      error_text_ = "the server closed the connection";
      return Progress::kBroken;
    }
    bool done = false;
    if (in_body_) {
      done = take_body(buffer.data(), static_cast<std::size_t>(n));
    } else {
      const std::size_t from = input_.size() < 3 ? 0 : input_.size() - 3;
      input_.append(buffer.data(), static_cast<std::size_t>(n));
      const std::size_t end = input_.find("\r\n\r\n", from);
      if (end == std::string::npos) {
        if (input_.size() <= kMaxHead) continue;
        error_text_ = "an endless response header";
        return Progress::kBroken;
      }
      if (!parse_head(end + 2)) return Progress::kBroken;
      const std::string rest = input_.substr(end + 4);
      if (status_ / 100 == 1) {
        input_ = rest;
        continue;
      }
      in_body_ = true;
      done = take_body(rest.data(), rest.size());
    }
    if (!done) continue;
    if (request_.verify && status_ / 100 == 2 && body_received_ != request_.expect_bytes)
      mismatch_ = true;
    if (status_ / 100 != 2) error_text_ = input_.substr(0, input_.find('\r')) + " " + text_;
    return Progress::kDone;
  }
}

bool S3Connection::parse_head(std::size_t end) {
  content_length_ = 0;
  chunked_ = false;
  keep_alive_ = true;
  if (end < 14 || input_.compare(0, 5, "HTTP/") != 0) {
    error_text_ = "not an HTTP response";
    return false;
  }
  std::from_chars(input_.data() + 9, input_.data() + 12, status_);
  std::size_t at = input_.find("\r\n") + 2;
  while (at < end) {
    const std::size_t line_end = input_.find("\r\n", at);
    const char* line = input_.data() + at;
    if (strncasecmp(line, "content-length:", 15) == 0) {
      const char* digits = line + 15;
      while (*digits == ' ') ++digits;
      std::from_chars(digits, input_.data() + line_end, content_length_);
    } else if (strncasecmp(line, "transfer-encoding:", 18) == 0) {
      chunked_ = true;
    } else if (strncasecmp(line, "connection: close", 17) == 0) {
      keep_alive_ = false;
    }
    at = line_end + 2;
  }
  return true;
}

bool S3Connection::take_body(const char* data, std::size_t size) {
  if (request_.head_only || status_ == 204 || status_ == 304) return true;
  if (chunked_) return take_chunked(data, size);
  take_bytes(data, size);
  return body_received_ >= content_length_;
}

bool S3Connection::take_chunked(const char* data, std::size_t size) {
  std::size_t at = 0;
  while (at < size) {
    if (chunk_state_ == ChunkState::kData) {
      const std::size_t n = std::min<std::size_t>(size - at, chunk_left_);
      take_bytes(data + at, n);
      at += n;
      chunk_left_ -= n;
      if (chunk_left_ == 0) chunk_state_ = ChunkState::kDataEnd;
      continue;
    }
    const char c = data[at++];
    if (c != '\n') {
      if (c != '\r') chunk_line_.push_back(c);
      continue;
    }
    if (chunk_state_ == ChunkState::kSize) {
      std::from_chars(chunk_line_.data(), chunk_line_.data() + chunk_line_.size(), chunk_left_, 16);
      chunk_state_ = chunk_left_ == 0 ? ChunkState::kTrailer : ChunkState::kData;
    } else if (chunk_state_ == ChunkState::kDataEnd) {
      chunk_state_ = ChunkState::kSize;
    } else if (chunk_line_.empty()) {
      chunk_state_ = ChunkState::kEnd;
      return true;
    }
    chunk_line_.clear();
  }
  return chunk_state_ == ChunkState::kEnd;
}

void S3Connection::take_bytes(const char* data, std::size_t size) {
  std::size_t at = 0;
  while (request_.verify && status_ / 100 == 2 && at < size) {
    const std::string_view expected = pattern_.run(request_.object, body_received_ + at, size - at);
    if (std::memcmp(expected.data(), data + at, expected.size()) != 0) {
      mismatch_ = true;
      break;
    }
    at += expected.size();
  }
  if (!request_.verify || status_ / 100 != 2) {
    text_.append(data, std::min(size, kMaxText - std::min(kMaxText, text_.size())));
  }
  body_received_ += size;
}

}  // namespace shoal::tools
