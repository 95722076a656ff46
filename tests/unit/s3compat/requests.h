// Requests and bodies made by hand, and the credentials that AWS's documents sign with.
#pragma once

#include <deque>
#include <string>
#include <utility>
#include <vector>

#include "base/clock.h"
#include "s3compat/auth/credentials.h"
#include "s3compat/auth/sigv4.h"
#include "s3compat/http/http_server.h"

namespace shoal::s3compat::test {

inline constexpr char kAccessKey[] = "AKIAIOSFODNN7EXAMPLE";
inline constexpr char kSecretKey[] = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY";
inline constexpr char kScope[] = "20130524/us-east-1/s3/aws4_request";
inline constexpr char kTimestamp[] = "20130524T000000Z";
inline constexpr std::int64_t kSeconds = 1'369'353'600;  // kTimestamp

inline Credentials example_credentials() { return {{kAccessKey, {kSecretKey, 1000, 1001}}}; }

// A clock that stands where it is put.
class StandingClock final : public Clock {
 public:
  explicit StandingClock(std::int64_t seconds) : seconds_(seconds) {}
  MonotonicTime now() const override { return {}; }
  WallTimeNs wall_now_ns() const override { return seconds_ * 1'000'000'000; }
  void set(std::int64_t seconds) { seconds_ = seconds; }

 private:
  std::int64_t seconds_;
};

using Headers = std::vector<std::pair<std::string, std::string>>;

inline HttpRequest make_request(std::string method, const std::string& target, Headers headers) {
  HttpRequest request;
  request.method = std::move(method);
  const std::size_t question = target.find('?');
  request.path = target.substr(0, question);
  if (question != std::string::npos) request.query = target.substr(question + 1);
  request.headers = std::move(headers);
  return request;
}

inline Digest signing_key() {
  const auto view = [](const Digest& digest) {
    return std::string_view(reinterpret_cast<const char*>(digest.data()), digest.size());
  };
  Digest key = hmac_sha256("AWS4" + std::string(kSecretKey), "20130524");
  for (const char* part : {"us-east-1", "s3", "aws4_request"}) key = hmac_sha256(view(key), part);
  return key;
}

// A body that comes in the pieces it was cut into.
class PieceBody final : public RequestBody {
 public:
  explicit PieceBody(const std::vector<std::string>& pieces) {
    for (const std::string& piece : pieces) {
      if (!piece.empty()) pieces_.push_back(Buffer::copy_of(piece));
      remaining_ += piece.size();
    }
  }
  Task<Result<Buffer>> next() override {
    if (pieces_.empty()) co_return Buffer();
    Buffer piece = std::move(pieces_.front());
    pieces_.pop_front();
    remaining_ -= piece.size();
    co_return piece;
  }
  std::uint64_t remaining() const override { return remaining_; }

 private:
  std::deque<Buffer> pieces_;
  std::uint64_t remaining_ = 0;
};

}  // namespace shoal::s3compat::test
