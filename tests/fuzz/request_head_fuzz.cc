// The head of a request and what handlers read from it.
#include "s3compat/http/request_head.h"

#include <algorithm>

#include "base/check.h"
#include "base/encoding.h"
#include "s3compat/auth/sigv4.h"
#include "s3compat/handlers/request.h"
#include "tests/fuzz/fuzz.h"

namespace shoal::fuzz {
namespace {

using s3compat::HttpRequest;

class StandingClock final : public Clock {
 public:
  MonotonicTime now() const override { return {}; }
  WallTimeNs wall_now_ns() const override { return 1'369'353'600'000'000'000; }
};

// Whatever else it says, it was not signed with the key.
void check_signature(const HttpRequest& request, const std::string& path,
                     const s3compat::QueryPairs& query) {
  static const StandingClock clock;
  static const s3compat::Credentials credentials{{"AKIA", {"a secret nobody knows", 0, 0}}};
  s3compat::SigV4Verifier verifier(credentials, "us-east-1", clock);
  s3compat::Signer signer;
  CHECK(verifier.verify(request, path, query, &signer).has_value());
}

void read_headers(const HttpRequest& request) {
  proto::ObjectMeta object;
  (void)s3compat::read_metadata(request, &object);
  for (const char* prefix : {"", "x-amz-copy-source-"})
    (void)s3compat::conditions_of(request, prefix);
  (void)s3compat::check_unsupported(request);
  std::string bucket;
  std::string key;
  if (!s3compat::read_copy_source(request, &bucket, &key)) CHECK(!key.empty());
}

void check_fields(const HttpRequest& request) {
  CHECK(!request.method.empty() && request.path.starts_with('/'));
  CHECK(request.path.find('?') == std::string::npos);
  for (const auto& [name, value] : request.headers) {
    CHECK(!name.empty() && name.find_first_of(std::string(" \t\r\n:\0", 6)) == std::string::npos);
    CHECK(std::none_of(name.begin(), name.end(), [](char c) { return c >= 'A' && c <= 'Z'; }));
    CHECK(value.find_first_of(std::string("\r\n\0", 3)) == std::string::npos);
  }
}

// Written down again, it reads as the same.
void check_again(const HttpRequest& request) {
  std::string head = request.method + " " + request.path;
  if (!request.query.empty()) head += "?" + request.query;
  head += request.header("host").empty() ? " HTTP/1.0\r\n" : " HTTP/1.1\r\n";
  for (const auto& [name, value] : request.headers) head += name + ": " + value + "\r\n";
  HttpRequest again;
  const int status = s3compat::parse_head(head + "\r\n", &again);
  CHECK(status == 0 || status == 431);
  if (status != 0) return;
  CHECK(again.method == request.method && again.path == request.path);
  CHECK(again.query == request.query && again.headers == request.headers);
  CHECK(again.has_length == request.has_length && again.content_length == request.content_length);
}

}  // namespace

std::vector<std::string> seeds() {
  return {
      "GET /bucket/key?partNumber=1&x HTTP/1.1\r\nHost: h:9000\r\nRange: bytes=0-9\r\n"
      "If-None-Match: \"a\", W/\"b\"\r\nIf-Modified-Since: Fri, 24 May 2013 00:00:00 GMT\r\n"
      "\r\n",
      "PUT /bucket/a%20b HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n"
      "x-amz-copy-source: /b/k%2Fl?versionId=3\r\nx-amz-meta-a: b\r\nConnection: close\r\n\r\n",
      "GET / HTTP/1.1\r\nHost: h\r\nx-amz-date: 20130524T000000Z\r\nx-amz-content-sha256: "
      "UNSIGNED-PAYLOAD\r\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIA/20130524/us-east-1/"
      "s3/aws4_request,SignedHeaders=host;x-amz-date,Signature=" +
          std::string(64, 'a') + "\r\n\r\n",
      "GET /?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20130524%2Fus-east-1%2Fs3"
      "%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&"
      "X-Amz-Signature=" +
          std::string(64, 'b') + " HTTP/1.0\r\nhost: h\r\n\r\n",
      "POST /b?delete HTTP/1.1\r\nTransfer-Encoding: chunked\r\nA: b\r\n c\r\n\r\n"};
}
std::vector<std::string> words() {
  return {"\r\n",
          "\r\n\r\n",
          "\r\n ",
          ": ",
          " HTTP/1.1",
          "Content-Length: ",
          "chunked",
          "Transfer-Encoding: ",
          "Host: ",
          "%00",
          "%",
          "?",
          "&",
          "=",
          "\x7f",
          "\xff",
          std::string(1, '\0')};
}

}  // namespace shoal::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shoal;
  using namespace shoal::fuzz;
  HttpRequest request;
  const int status = s3compat::parse_head({reinterpret_cast<const char*>(data), size}, &request);
  CHECK(status == 0 || status == 400 || status == 411 || status == 431 || status == 501 ||
        status == 505);
  CHECK(!s3compat::reason_of(status == 0 ? 200 : status).empty());
  if (status != 0) return 0;
  check_fields(request);
  check_again(request);
  read_headers(request);
  const auto path = percent_decode(request.path, false);
  const auto query = s3compat::parse_query(request.query);
  if (path && query) check_signature(request, *path, *query);
  return 0;
}
