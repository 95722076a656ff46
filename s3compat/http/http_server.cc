#include "s3compat/http/http_server.h"

#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/log.h"
#include "base/row_layout.h"
#include "s3compat/http/request_head.h"
#include "s3compat/limits.h"

namespace shoal::s3compat {
namespace {

constexpr std::size_t kScratchBytes = 64 * 1024;

const std::string kNothing;

Result<sockaddr_storage> resolve(const std::string& address, socklen_t* length) {
  const std::size_t colon = address.rfind(':');
  if (colon == std::string::npos)
    return InvalidArgumentError("address " + address + ": expected HOST:PORT");
  std::string host = address.substr(0, colon);
  if (host.size() > 2 && host.front() == '[' && host.back() == ']')
    host = host.substr(1, host.size() - 2);
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = AI_PASSIVE | AI_NUMERICSERV;
  addrinfo* found = nullptr;
  const int err = getaddrinfo(host.empty() ? nullptr : host.c_str(), address.c_str() + colon + 1,
                              &hints, &found);
  if (err != 0) return InvalidArgumentError("address " + address + ": " + gai_strerror(err));
  sockaddr_storage out{};
  std::memcpy(&out, found->ai_addr, found->ai_addrlen);
  *length = found->ai_addrlen;
  freeaddrinfo(found);
  return out;
}

}  // namespace

const std::string& HttpRequest::header(std::string_view name) const {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return kNothing;
}

bool HttpRequest::has_header(std::string_view name) const {
  return std::any_of(headers.begin(), headers.end(),
                     [&](const auto& field) { return field.first == name; });
}

struct HttpServer::Connection {
  int fd = -1;
  std::string input;         // received and not used yet
  Duration patience{};       // how long the client may still keep us waiting in this phase
  MonotonicTime deadline = MonotonicTime::max();  // past it the sweep cuts the connection
  Signal ready;
  bool cut = false;
  ~Connection() {
    if (fd >= 0) close(fd);
  }
};

// While it lives, the client is waited for. Only this time is the client's: what the server needs
// for its answer does not count.
class HttpServer::ClientWait {
 public:
  ClientWait(EventLoop& loop, Connection* connection)
      : loop_(loop), connection_(*connection), begin_(loop.now()) {
    connection_.deadline = begin_ + connection_.patience;
  }
  ClientWait(const ClientWait&) = delete;
  ClientWait& operator=(const ClientWait&) = delete;
  ~ClientWait() {
    connection_.patience -= loop_.now() - begin_;
    connection_.deadline = MonotonicTime::max();
  }

 private:
  EventLoop& loop_;
  Connection& connection_;
  const MonotonicTime begin_;
};

// Reads exactly the request's content length, first what came with the head.
class HttpServer::BodyReader final : public RequestBody {
 public:
  BodyReader(HttpServer& server, Connection& connection, const HttpRequest& request)
      : server_(server), connection_(connection), remaining_(request.content_length) {
    // Also before an empty body: botocore loses count of its answers otherwise.
    wants_continue_ = strcasecmp(request.header("expect").c_str(), "100-continue") == 0;
  }
  std::uint64_t remaining() const override { return remaining_; }
  // The client has not sent its body and waits to hear whether it should.
  bool is_held_back() const { return wants_continue_ && remaining_ > 0; }

  Task<Result<Buffer>> next() override {
    if (std::exchange(wants_continue_, false)) {
      const bool sent =
          co_await server_.send_all(&connection_, "HTTP/1.1 100 Continue\r\n\r\n", {});
      if (!sent) co_return gone();
    }
    if (remaining_ == 0) co_return Buffer();
    const std::size_t wanted = std::min<std::uint64_t>(remaining_, kMaxColumnBytes);
    co_await server_.body_bytes_.acquire(wanted);
    Buffer piece = Buffer::allocate(wanted);
    std::size_t have = std::min(wanted, connection_.input.size());
    std::memcpy(piece.mutable_data(), connection_.input.data(), have);
    connection_.input.erase(0, have);
    while (have < wanted) {
      const long n =
          co_await server_.receive(&connection_, piece.mutable_data() + have, wanted - have);
      if (n <= 0) break;
      have += static_cast<std::size_t>(n);
    }
    server_.body_bytes_.release(wanted);
    if (have < wanted) co_return gone();
    remaining_ -= wanted;
    co_return piece;
  }

 private:
  static Status gone() { return CancelledError("the client went away or is too slow"); }
  HttpServer& server_;
  Connection& connection_;
  std::uint64_t remaining_;
  bool wants_continue_ = false;
};

Result<std::unique_ptr<HttpServer>> HttpServer::listen(EventLoop& loop, const std::string& address,
                                                       HttpHandler handler, HttpPatience patience) {
  socklen_t length = 0;
  ASSIGN_OR_RETURN(const sockaddr_storage where, resolve(address, &length));
  const int fd = socket(where.ss_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return ErrnoError(errno, "socket");
  const int one = 1;
  setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  if (bind(fd, reinterpret_cast<const sockaddr*>(&where), length) != 0 || ::listen(fd, 1024) != 0) {
    const int err = errno;
    close(fd);
    if (err == EADDRINUSE) return BusyError("address " + address + " is in use by another program");
    return ErrnoError(err, "listening on " + address);
  }
  sockaddr_storage bound{};
  socklen_t bound_length = sizeof bound;
  getsockname(fd, reinterpret_cast<sockaddr*>(&bound), &bound_length);
  const std::uint16_t port =
      ntohs(bound.ss_family == AF_INET6 ? reinterpret_cast<sockaddr_in6&>(bound).sin6_port
                                        : reinterpret_cast<sockaddr_in&>(bound).sin_port);
  return std::unique_ptr<HttpServer>(new HttpServer(loop, fd, port, std::move(handler), patience));
}

HttpServer::HttpServer(EventLoop& loop, int fd, std::uint16_t port, HttpHandler handler,
                       HttpPatience patience)
    : loop_(loop),
      fd_(fd),
      port_(port),
      handler_(std::move(handler)),
      patience_(patience),
      body_bytes_(kMaxBodyBytes),
      scratch_(kScratchBytes) {}

HttpServer::~HttpServer() {
  CHECK(connections_.empty());
  close(fd_);
}

Status HttpServer::start() {
  sweep();
  return loop_.watch(fd_, EPOLLIN, [this](std::uint32_t) { accept_ready(); });
}

Task<void> HttpServer::stop() {
  stopping_ = true;
  loop_.unwatch(fd_);
  loop_.cancel(sweep_timer_);
  for (Connection* connection : connections_) {
    connection->cut = true;
    shutdown(connection->fd, SHUT_RDWR);
    connection->ready.notify_all();
  }
  co_await scope_.join();
}

void HttpServer::accept_ready() {
  constexpr int kAcceptsPerTurn = 64;
  for (int i = 0; i < kAcceptsPerTurn; ++i) {
    const int fd = accept4(fd_, nullptr, nullptr, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) return;
    if (connections_.size() >= kMaxConnections) {
      close(fd);
      continue;
    }
    const int one = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    auto connection = std::make_shared<Connection>();
    connection->fd = fd;
    // Edge-triggered, once for the life of the connection: whoever waits tries again.
    const Status watched =
        loop_.watch(fd, EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                    [raw = connection.get()](std::uint32_t) { raw->ready.notify_all(); });
    if (!watched.ok()) continue;
    connections_.insert(connection.get());
    scope_.spawn(serve(std::move(connection)));
  }
}

// Once a second: connections that are past their deadline are cut.
void HttpServer::sweep() {
  const MonotonicTime now = loop_.now();
  for (Connection* connection : connections_) {
    if (now < connection->deadline || connection->cut) continue;
    connection->cut = true;
    shutdown(connection->fd, SHUT_RDWR);
    connection->ready.notify_all();
  }
  sweep_timer_ = loop_.schedule_at(now + std::chrono::seconds(1), [this] { sweep(); });
}

Task<void> HttpServer::serve(std::shared_ptr<Connection> connection) {
  bool more = true;
  while (more && !stopping_ && !connection->cut) more = co_await serve_one(connection.get());
  loop_.unwatch(connection->fd);
  connections_.erase(connection.get());
}

Task<bool> HttpServer::serve_one(Connection* connection) {
  HttpRequest request;
  connection->patience = patience_.idle;
  const bool read = co_await read_head(connection, &request);
  if (!read) co_return false;
  connection->patience = patience_.body(request.content_length);
  BodyReader body(*this, *connection, request);
  HttpResponse response = co_await handler_(&request, &body);
  if (connection->cut) co_return false;
  bool keep_alive = request.keep_alive && !stopping_;
  // What the handler did not want of the body is skipped, or the connection ends with the answer.
  if (body.remaining() > kMaxSkippedBytes || body.is_held_back()) keep_alive = false;
  while (keep_alive && body.remaining() > 0) {
    const auto skipped = co_await body.next();
    if (!skipped.ok()) co_return false;
  }
  const std::uint64_t size =
      response.stream != nullptr ? response.content_length : response.body.size();
  connection->patience = patience_.body(size);
  co_return co_await send_response(connection, &response, keep_alive);
}

Task<bool> HttpServer::read_head(Connection* connection, HttpRequest* request) {
  std::string& input = connection->input;
  std::size_t searched = 0;
  bool begun = false;
  while (true) {
    const std::size_t end = input.find("\r\n\r\n", searched > 3 ? searched - 3 : 0);
    if (end != std::string::npos && end + 4 <= kMaxHeadBytes) {
      const int refused = parse_head(std::string_view(input).substr(0, end + 4), request);
      if (refused != 0) {
        co_await refuse(connection, refused);
        co_return false;
      }
      input.erase(0, end + 4);
      if (input.empty()) input.shrink_to_fit();
      co_return true;
    }
    if (input.size() > kMaxHeadBytes) {
      co_await refuse(connection, 431);
      co_return false;
    }
    if (!begun && !input.empty()) {
      begun = true;
      connection->patience = patience_.head;
    }
    searched = input.size();
    // The scratch buffer is everybody's: it is filled and emptied without waiting in between.
    const ssize_t n = recv(connection->fd, scratch_.data(), scratch_.size(), 0);
    if (n > 0) {
      input.append(reinterpret_cast<const char*>(scratch_.data()), static_cast<std::size_t>(n));
    } else if (n < 0 && errno == EAGAIN && !connection->cut) {
      const ClientWait waiting(loop_, connection);
      co_await connection->ready.wait();
    } else if (n == 0 || errno != EINTR || connection->cut) {
      co_return false;
    }
  }
}

// What is no HTTP that could be answered properly: a short answer and the end.
Task<void> HttpServer::refuse(Connection* connection, int status) {
  HttpResponse response;
  response.status = status;
  response.headers.emplace_back("Content-Type", "application/xml");
  const std::string_view code = status == 411   ? "MissingContentLength"
                                : status == 431 ? "RequestHeaderSectionTooLarge"
                                                : "BadRequest";
  response.body = "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<Error><Code>" + std::string(code) +
                  "</Code><Message>" + std::string(reason_of(status)) + "</Message></Error>";
  connection->patience = patience_.head;
  co_await send_response(connection, &response, false);
  // Closing with unread bytes would reset the connection and take the answer with it.
  shutdown(connection->fd, SHUT_WR);
  std::uint64_t skipped = 0;
  while (skipped < kMaxSkippedBytes * 16 && !connection->cut) {
    const long n = co_await receive(connection, scratch_.data(), scratch_.size());
    if (n <= 0) break;
    skipped += static_cast<std::uint64_t>(n);
  }
}

Task<long> HttpServer::receive(Connection* connection, std::byte* into, std::size_t size) {
  while (!connection->cut) {
    const ssize_t n = recv(connection->fd, into, size, 0);
    if (n >= 0) co_return static_cast<long>(n);
    if (errno == EINTR) continue;
    if (errno != EAGAIN) co_return -1;
    const ClientWait waiting(loop_, connection);
    co_await connection->ready.wait();
  }
  co_return -1;
}

Task<bool> HttpServer::send_all(Connection* connection, std::string_view head, BufferList pieces) {
  std::vector<iovec> vectors;
  vectors.reserve(pieces.size() + 1);
  if (!head.empty()) vectors.push_back({const_cast<char*>(head.data()), head.size()});
  for (const Buffer& piece : pieces) {
    if (!piece.empty()) vectors.push_back({const_cast<std::byte*>(piece.data()), piece.size()});
  }
  std::size_t first = 0;
  while (first < vectors.size() && !connection->cut) {
    msghdr message{};
    message.msg_iov = vectors.data() + first;
    message.msg_iovlen = std::min<std::size_t>(vectors.size() - first, 64);
    const ssize_t n = sendmsg(connection->fd, &message, MSG_NOSIGNAL);
    if (n < 0) {
      if (errno == EINTR) continue;
      if (errno != EAGAIN) co_return false;
      const ClientWait waiting(loop_, connection);
      co_await connection->ready.wait();
      continue;
    }
    for (std::size_t left = static_cast<std::size_t>(n); left > 0;) {
      iovec& piece = vectors[first];
      const std::size_t step = std::min(left, piece.iov_len);
      piece.iov_base = static_cast<char*>(piece.iov_base) + step;
      piece.iov_len -= step;
      left -= step;
      if (piece.iov_len == 0) ++first;
    }
  }
  co_return !connection->cut;
}

Task<bool> HttpServer::send_response(Connection* connection, HttpResponse* response,
                                     bool keep_alive) {
  const bool bodiless = response->head_only || response->status == 204 || response->status == 304;
  const std::uint64_t length = response->stream != nullptr || response->head_only
                                   ? response->content_length
                                   : response->body.size();
  std::string head = "HTTP/1.1 " + std::to_string(response->status) + " ";
  head.append(reason_of(response->status)).append("\r\n");
  for (const auto& [name, value] : response->headers)
    head.append(name).append(": ").append(value).append("\r\n");
  if (response->status != 204 && response->status != 304) {
    head.append("Content-Length: ").append(std::to_string(length)).append("\r\n");
  }
  if (!keep_alive) head.append("Connection: close\r\n");
  head.append("\r\n");
  if (bodiless || response->stream == nullptr) {
    if (!bodiless) head.append(response->body);
    const bool sent = co_await send_all(connection, head, {});
    co_return sent&& keep_alive;
  }
  std::uint64_t sent = 0;
  while (sent < length) {
    auto piece = co_await response->stream->next();
    if (!piece.ok() || piece->empty()) {
      log_error(
          "s3", "a response was cut short",
          {{"status", piece.ok() ? IoError("fewer bytes than the object has") : piece.status()}});
      co_return false;
    }
    sent += piece->size();
    BufferList pieces;
    pieces.push_back(std::move(*piece));
    const bool went = co_await send_all(connection, head, std::move(pieces));
    if (!went) co_return false;
    head.clear();
  }
  if (length == 0) {
    const bool went = co_await send_all(connection, head, {});
    if (!went) co_return false;
  }
  co_return keep_alive;
}

}  // namespace shoal::s3compat
