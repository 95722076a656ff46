// HttpServer: HTTP/1.1 on event loops, one coroutine a connection. Boost.Beast parses request heads
// (sans-IO, in one .cc); sockets, time-outs and bounds are here, because a library with a thread
// for each connection cannot bound them (docs/adr/0001-http-front.md). An idle connection holds no
// buffer.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_set>
#include <utility>
#include <vector>

#include "base/async/sync.h"
#include "base/buffer.h"
#include "base/io/event_loop.h"
#include "base/result.h"
#include "s3compat/limits.h"

namespace shoal::s3compat {

struct HttpRequest {
  std::string method;
  std::string path;                                          // as sent, percent-encoded
  std::string query;                                         // as sent, without '?'
  std::vector<std::pair<std::string, std::string>> headers;  // names in lower case, in order
  std::uint64_t content_length = 0;
  bool has_length = false;
  bool keep_alive = true;

  // Empty when there is none; of several, the first.
  const std::string& header(std::string_view name) const;
  bool has_header(std::string_view name) const;
};

// The bytes of a request's body as they arrive.
class RequestBody {
 public:
  virtual ~RequestBody() = default;
  // The next piece, page-aligned, at most 1 MiB; empty at the end. Errors: kCancelled when the
  // client went or is too slow: nothing can be answered then.
  virtual Task<Result<Buffer>> next() = 0;
  virtual std::uint64_t remaining() const = 0;
};

// A response body that is made while it is sent.
class ResponseBody {
 public:
  virtual ~ResponseBody() = default;
  // The next piece; empty at the end. An error cuts the connection: the status line is out already.
  virtual Task<Result<Buffer>> next() = 0;
};

struct HttpResponse {
  int status = 200;
  std::vector<std::pair<std::string, std::string>> headers;
  std::string body;                      // or
  std::unique_ptr<ResponseBody> stream;  // of content_length bytes
  std::uint64_t content_length = 0;      // of the stream; of a HEAD, what a GET would send
  bool head_only = false;                // a HEAD: no body is sent
};

using HttpHandler =
    std::function<Task<HttpResponse>(const HttpRequest* request, RequestBody* body)>;

// How long a client may keep the server waiting for bytes, or for room to send some. What the
// server itself needs for an answer does not count.
struct HttpPatience {
  Duration idle = kIdleTimeout;  // for the first byte of a request
  Duration head = kHeadTimeout;  // for the rest of its head
  Duration grace = kBodyGrace;   // for a body, beside its length at kMinBytesPerSecond
  Duration body(std::uint64_t bytes) const {
    return grace + std::chrono::seconds(bytes / kMinBytesPerSecond);
  }
};

class HttpServer {
 public:
  // Listens on host:port (port 0: any) on `loop`. Errors: kBusy "address in use" naming it,
  // kInvalidArgument.
  static Result<std::unique_ptr<HttpServer>> listen(EventLoop& loop, const std::string& address,
                                                    HttpHandler handler,
                                                    HttpPatience patience = {});
  ~HttpServer();
  // On the loop: starts to accept; stops, closes all connections and waits for what is under way.
  Status start();
  Task<void> stop();
  std::uint16_t port() const { return port_; }

 private:
  struct Connection;
  class BodyReader;
  class ClientWait;
  HttpServer(EventLoop& loop, int fd, std::uint16_t port, HttpHandler handler,
             HttpPatience patience);
  void accept_ready();
  Task<void> serve(std::shared_ptr<Connection> connection);
  Task<bool> serve_one(Connection* connection);
  Task<bool> read_head(Connection* connection, HttpRequest* request);
  Task<void> refuse(Connection* connection, int status);
  Task<bool> send_response(Connection* connection, HttpResponse* response, bool keep_alive);
  Task<long> receive(Connection* connection, std::byte* into, std::size_t size);
  Task<bool> send_all(Connection* connection, std::string_view head, BufferList pieces);
  void sweep();

  EventLoop& loop_;
  const int fd_;
  const std::uint16_t port_;
  HttpHandler handler_;
  const HttpPatience patience_;
  bool stopping_ = false;
  std::unordered_set<Connection*> connections_;
  AsyncSemaphore body_bytes_;
  TimerId sweep_timer_;
  TaskScope scope_;
  std::vector<std::byte> scratch_;
};

}  // namespace shoal::s3compat
