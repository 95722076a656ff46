// The request head: what is accepted, and what a front that reads it otherwise could be fooled by.
#include "s3compat/http/request_head.h"

#include <gtest/gtest.h>

#include "s3compat/limits.h"

namespace shoal::s3compat {
namespace {

using namespace std::string_literals;

int status_of(const std::string& head) {
  HttpRequest request;
  return parse_head(head, &request);
}

// A request with these header lines.
std::string with(const std::string& lines) {
  return "PUT /bucket/key HTTP/1.1\r\nHost: h\r\n" + lines + "\r\n\r\n";
}

std::string shown(const std::string& text) { return testing::PrintToString(text); }

TEST(RequestHead, EveryPartComesThrough) {
  HttpRequest request;
  ASSERT_EQ(parse_head("PUT /bucket/a%20b?uploadId=x&partNumber=1?#f HTTP/1.1\r\n"
                       "Host: example.com:9000\r\n"
                       "X-Amz-Meta-Name:   spaces  inside \t\r\n"
                       "Content-Length: 42\r\n"
                       "Empty:\r\n"
                       "x-amz-meta-name: again\r\n"
                       "\r\n",
                       &request),
            0);
  EXPECT_EQ(request.method, "PUT");
  EXPECT_EQ(request.path, "/bucket/a%20b");
  EXPECT_EQ(request.query, "uploadId=x&partNumber=1?#f");
  EXPECT_EQ(request.header("host"), "example.com:9000");
  EXPECT_EQ(request.header("x-amz-meta-name"), "spaces  inside");
  EXPECT_TRUE(request.has_header("empty"));
  EXPECT_EQ(request.header("empty"), "");
  EXPECT_FALSE(request.has_header("none"));
  EXPECT_TRUE(request.has_length);
  EXPECT_EQ(request.content_length, 42U);
  EXPECT_TRUE(request.keep_alive);
  ASSERT_EQ(request.headers.size(), 5U);
  EXPECT_EQ(std::count_if(request.headers.begin(), request.headers.end(),
                          [](const auto& field) { return field.first == "x-amz-meta-name"; }),
            2);
}

TEST(RequestHead, TheConnectionStaysUnlessOneSaysOtherwise) {
  const auto stays = [](const std::string& head) {
    HttpRequest request;
    EXPECT_EQ(parse_head(head, &request), 0);
    return request.keep_alive;
  };
  EXPECT_TRUE(stays(with("A: b")));
  EXPECT_FALSE(stays(with("Connection: close")));
  EXPECT_FALSE(stays(with("Connection: Keep-Alive, Close")));
  EXPECT_FALSE(stays("GET / HTTP/1.0\r\n\r\n"));
  EXPECT_TRUE(stays("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"));
}

TEST(RequestHead, BadRequestLinesAreRefused) {
  for (const std::string& line :
       {""s, "GET"s, "GET /"s, "GET  / HTTP/1.1"s, " GET / HTTP/1.1"s, "/ HTTP/1.1"s,
        "G@T / HTTP/1.1"s, "G(T / HTTP/1.1"s, "GET * HTTP/1.1"s, "GET a HTTP/1.1"s,
        "GET http://h/ HTTP/1.1"s, "CONNECT h:80 HTTP/1.1"s, "GET /a\tb HTTP/1.1"s,
        "GET /a\x01 HTTP/1.1"s, "GET /a\x7f HTTP/1.1"s, "GET /a\0b HTTP/1.1"s,
        "GET /a\rb HTTP/1.1"s, "\0"s}) {
    EXPECT_EQ(status_of(line + "\r\nHost: h\r\n\r\n"), 400) << shown(line);
  }
}

TEST(RequestHead, OtherVersionsAreRefused) {
  for (const std::string& line :
       {"GET / HTTP/2.0"s, "GET / HTTP/1.2"s, "GET / HTTP/0.9"s, "GET / HTTP/11"s,
        "GET / http/1.1"s, "GET / HTTP/1.1 "s, "GET /a b HTTP/1.1"s, "GET / XTTP/1.1"s}) {
    EXPECT_EQ(status_of(line + "\r\nHost: h\r\n\r\n"), 505) << shown(line);
  }
}

TEST(RequestHead, BadHeaderLinesAreRefused) {
  for (const std::string& line :
       {"no colon"s, "NoColon"s, ": no name"s, "A b: c"s, "A : b"s, "Content-Length : 5"s,
        "Transfer-Encoding : chunked"s, "A\t: b"s, "A\x01: b"s, "A\0: b"s, "X-\xff: b"s,
        "A: b\x01"s, "A: b\0c"s, "A: b\x7f"s, "A: b\rc"s, "A: b\nB: c"s, "A: b\n"s, "(A): b"s,
        "\"A\": b"s}) {
    EXPECT_EQ(status_of(with(line)), 400) << shown(line);
  }
}

TEST(RequestHead, AHeadThatDoesNotEndIsRefused) {
  EXPECT_EQ(status_of(""), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n"), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: h\r\n"), 400);
  EXPECT_NE(status_of("GET / HTTP/1.1\nHost: h\n\n"), 0);
}

TEST(RequestHead, ALengthIsOneNumber) {
  const auto length = [](const std::string& lines) -> std::int64_t {
    HttpRequest request;
    if (parse_head(with(lines), &request) != 0) return -1;
    return request.has_length ? static_cast<std::int64_t>(request.content_length) : -2;
  };
  EXPECT_EQ(length("A: b"), -2);
  EXPECT_EQ(length("Content-Length: 0"), 0);
  EXPECT_EQ(length("Content-Length: 5368709120"), 5'368'709'120);
  EXPECT_EQ(length("CONTENT-LENGTH:7"), 7);
  // The same number twice may stand (RFC 9110, section 8.6); two different ones never.
  EXPECT_EQ(length("Content-Length: 5\r\nContent-Length: 5"), 5);
  for (const char* lines :
       {"Content-Length: 5\r\nContent-Length: 6", "Content-Length: 6\r\nContent-Length: 5",
        "Content-Length: 5, 6", "Content-Length: 5\r\nA: b\r\ncontent-length: 50",
        "Content-Length:", "Content-Length: -1", "Content-Length: +5", "Content-Length: 0x5",
        "Content-Length: 5 5", "Content-Length: 5.0", "Content-Length: five", "Content-Length: 5;",
        "Content-Length: 18446744073709551616", "Content-Length: 99999999999999999999999"}) {
    EXPECT_EQ(length(lines), -1) << lines;
  }
}

TEST(RequestHead, ChunksNeedALengthHere) {
  EXPECT_EQ(status_of(with("Transfer-Encoding: chunked")), 411);
  EXPECT_EQ(status_of(with("Transfer-Encoding: gzip, chunked")), 411);
  EXPECT_EQ(status_of(with("transfer-encoding: Chunked")), 411);
}

TEST(RequestHead, ALengthBesideChunksIsRefused) {
  for (const char* lines :
       {"Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nTransfer-Encoding: gzip, chunked",
        "Transfer-Encoding: gzip\r\nTransfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 5\r\nTransfer-Encoding: \x0b"
        "chunked"}) {
    EXPECT_EQ(status_of(with(lines)), 400) << lines;
  }
}

// A front that looks for "chunked" loosely, or takes any coding for chunks, ends such a request
// elsewhere. Source: RFC 9112, sections 6.1 and 6.3.
TEST(RequestHead, AnyOtherTransferCodingIsRefused) {
  for (const char* lines :
       {"Transfer-Encoding: gzip", "Transfer-Encoding: identity", "Transfer-Encoding: xchunked",
        "Transfer-Encoding: gzip\r\nContent-Length: 5",
        "Transfer-Encoding: identity\r\nContent-Length: 5",
        "Transfer-Encoding: chunked, gzip\r\nContent-Length: 5",
        "Transfer-Encoding: xchunked\r\nContent-Length: 5", "Transfer-Encoding:"}) {
    EXPECT_NE(status_of(with(lines)), 0) << lines;
  }
}

// Source: RFC 9112, section 3.2: exactly one Host in HTTP/1.1.
TEST(RequestHead, ExactlyOneHost) {
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nA: b\r\n\r\n"), 400);
  EXPECT_EQ(status_of(with("Host: other")), 400);
  EXPECT_EQ(status_of("GET / HTTP/1.0\r\n\r\n"), 0);
}

TEST(RequestHead, AFoldedLineIsOneValue) {
  HttpRequest request;
  ASSERT_EQ(parse_head(with("A: b\r\n c: d\r\n\tContent-Length: 5"), &request), 0);
  EXPECT_EQ(request.header("a"), "b c: d Content-Length: 5");
  EXPECT_FALSE(request.has_length);
}

TEST(RequestHead, TheHeadIsBounded) {
  const std::size_t frame = with("A: ").size();
  EXPECT_EQ(status_of(with("A: " + std::string(kMaxHeadBytes - frame, 'x'))), 0);
  EXPECT_EQ(status_of(with("A: " + std::string(kMaxHeadBytes + 1, 'x'))), 431);
  EXPECT_EQ(status_of("GET /" + std::string(kMaxHeadBytes + 1, 'x') + " HTTP/1.1\r\n\r\n"), 431);
  std::string many;
  while (many.size() < kMaxHeadBytes) many += "A: b\r\n";
  EXPECT_EQ(status_of(with(many + "A: b")), 431);
}

TEST(RequestHead, EveryByteIsAcceptedOrRefusedAndNothingElse) {
  const std::string head = with("Content-Length: 5\r\nConnection: keep-alive");
  for (std::size_t at = 0; at < head.size(); ++at) {
    for (int byte = 0; byte < 256; ++byte) {
      std::string changed = head;
      changed[at] = static_cast<char>(byte);
      HttpRequest request;
      const int status = parse_head(changed, &request);
      ASSERT_TRUE(status == 0 || status == 400 || status == 411 || status == 431 || status == 505)
          << shown(changed);
      if (status != 0) continue;
      for (const auto& [name, value] : request.headers) {
        ASSERT_EQ(name.find_first_of(std::string(" \t\r\n\0:", 6)), std::string::npos);
        ASSERT_EQ(value.find_first_of(std::string("\r\n\0", 3)), std::string::npos);
      }
      ASSERT_EQ(request.path[0], '/');
    }
  }
}

TEST(Reason, IsThatOfTheStandard) {
  EXPECT_EQ(reason_of(200), "OK");
  EXPECT_EQ(reason_of(206), "Partial Content");
  EXPECT_EQ(reason_of(404), "Not Found");
  EXPECT_EQ(reason_of(507), "Insufficient Storage");
}

}  // namespace
}  // namespace shoal::s3compat
