// AWS Signature Version 4, the server's side. Source: AWS "Authenticating Requests (AWS Signature
// Version 4)".
#pragma once

#include <array>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/clock.h"
#include "s3compat/auth/credentials.h"
#include "s3compat/http/http_server.h"
#include "s3compat/s3_error.h"

namespace shoal::s3compat {

using Digest = std::array<unsigned char, 32>;
std::string sha256_hex(std::string_view bytes);
Digest hmac_sha256(std::string_view key, std::string_view text);
std::string to_hex(const Digest& digest);

// Decoded name and value pairs of a query, in the order sent. Nothing for a broken escape.
using QueryPairs = std::vector<std::pair<std::string, std::string>>;
std::optional<QueryPairs> parse_query(std::string_view query);

// Who sent a request, and what the signatures of its body's chunks need.
struct Signer {
  std::string access_key;
  Credential credential;
  std::string payload_hash;  // x-amz-content-sha256, UNSIGNED-PAYLOAD for presigned URLs
  std::string scope;         // 20130524/us-east-1/s3/aws4_request
  std::string timestamp;     // 20130524T000000Z
  std::string signature;     // of the head: the seed of chunk signatures
  Digest key{};
};

class SigV4Verifier {
 public:
  SigV4Verifier(const Credentials& credentials, std::string region, const Clock& clock)
      : credentials_(credentials), region_(std::move(region)), clock_(clock) {}
  // Verifies the Authorization header or the presigned query. `path` is decoded. Returns the error,
  // or nothing.
  std::optional<S3Error> verify(const HttpRequest& request, const std::string& path,
                                const QueryPairs& query, Signer* signer);

 private:
  struct Claim;
  std::optional<S3Error> check_time(const Claim& claim) const;
  const Digest& signing_key(const std::string& secret, const std::string& access_key,
                            const std::string& scope);

  const Credentials& credentials_;
  const std::string region_;
  const Clock& clock_;
  std::unordered_map<std::string, Digest> keys_;  // by access key and scope
};

}  // namespace shoal::s3compat
