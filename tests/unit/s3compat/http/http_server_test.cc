#include "s3compat/http/http_server.h"

#include <arpa/inet.h>
#include <gtest/gtest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <optional>
#include <thread>

#include "base/async/sync.h"

namespace shoal::s3compat {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

// One server on a loop of its own, and one client that talks plain bytes to it.
class HttpServerTest : public ::testing::Test {
 protected:
  void serve(HttpPatience patience, HttpHandler handler) {
    loop_ = std::move(EventLoop::create("http-test").value());
    auto server = HttpServer::listen(*loop_, "127.0.0.1:0", std::move(handler), patience);
    ASSERT_TRUE(server.ok()) << server.status().to_string();
    server_ = std::move(*server);
    loop_->start();
    loop_->post([this] { EXPECT_TRUE(server_->start().ok()); });
    client_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server_->port());
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    ASSERT_EQ(connect(client_, reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
    const timeval limit{20, 0};
    setsockopt(client_, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
  }

  void TearDown() override {
    close(client_);
    sync_wait(*loop_, server_->stop());
    server_.reset();
    loop_->stop();
    loop_->join();
  }

  void send(const std::string& bytes) {
    ASSERT_EQ(::send(client_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
  }
  // What comes until the server ends the connection; nothing if it does not within the limit.
  std::optional<std::string> receive_all() {
    std::string all;
    char piece[4096];
    ssize_t n = 0;
    while ((n = recv(client_, piece, sizeof piece, 0)) > 0)
      all.append(piece, static_cast<std::size_t>(n));
    if (n < 0) return std::nullopt;
    return all;
  }

  std::unique_ptr<EventLoop> loop_;
  std::unique_ptr<HttpServer> server_;
  int client_ = -1;
};

Task<HttpResponse> answer_late(const HttpRequest*, RequestBody* body) {
  while (body->remaining() > 0) {
    const auto piece = co_await body->next();
    if (!piece.ok()) break;
  }
  co_await sleep_until(Executor::current()->now() + seconds(3));
  HttpResponse response;
  response.body = "late";
  co_return response;
}

constexpr HttpPatience kShort{milliseconds(500), milliseconds(500), milliseconds(500)};

TEST_F(HttpServerTest, AnAnswerThatTakesLongerThanTheClientMayIsSent) {
  serve(kShort, answer_late);
  std::this_thread::sleep_for(milliseconds(100));  // so that the server has waited for the request
  send("GET /a HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n");
  const auto answer = receive_all();
  ASSERT_TRUE(answer);
  EXPECT_TRUE(answer->starts_with("HTTP/1.1 200")) << *answer;
  EXPECT_TRUE(answer->ends_with("late")) << *answer;
}

TEST_F(HttpServerTest, AClientThatKeepsItsBodyBackIsCut) {
  serve(kShort, answer_late);
  send("PUT /a HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nfive.");
  EXPECT_EQ(receive_all(), "");
}

TEST_F(HttpServerTest, AClientThatEndsNoHeadIsCut) {
  serve(kShort, answer_late);
  send("GET /a HTTP/1.1\r\nHo");
  EXPECT_EQ(receive_all(), "");
}

TEST_F(HttpServerTest, AnIdleConnectionIsCut) {
  serve(kShort, answer_late);
  EXPECT_EQ(receive_all(), "");
}

}  // namespace
}  // namespace shoal::s3compat
