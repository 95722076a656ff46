// Signs the benchmark's own requests (AWS Signature Version 4, header form). Written for speed and
// for one purpose; the server's verification in s3compat/auth is independent of it, so that neither
// can hide the other's mistake.
#pragma once

#include <array>
#include <ctime>
#include <string>
#include <string_view>

#include "tools/bench/s3_load.h"

namespace shoal::tools {

class S3Signer {
 public:
  explicit S3Signer(const S3Endpoint& endpoint) : endpoint_(endpoint) {}

  // Appends Host, x-amz-date, x-amz-content-sha256 and Authorization header lines for a request.
  // `path` is percent-encoded as on the request line; `query` is canonical (sorted, encoded,
  // without '?'). `payload_hash`: 64 hex digits or UNSIGNED-PAYLOAD.
  void append_headers(std::string_view method, std::string_view path, std::string_view query,
                      std::string_view payload_hash, std::string* head);

 private:
  void refresh_clock();

  const S3Endpoint& endpoint_;
  std::time_t second_ = 0;
  std::string date_;     // 20261123T101112Z
  std::string key_day_;  // 20261123
  std::array<unsigned char, 32> key_{};
};

std::string sha256_hex(std::string_view bytes);

}  // namespace shoal::tools
