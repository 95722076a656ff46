// S3Load: a load of S3 requests against any endpoint, from one thread with many keep-alive
// connections. Contents follow from the object's number, so that what comes back can be verified
// byte by byte without keeping it.
#pragma once

#include <cstdint>
#include <string>

#include "base/result.h"
#include "tools/bench/report.h"

namespace shoal::tools {

struct S3Endpoint {
  std::string host;  // as the Host header has it
  std::string address;
  std::uint16_t port = 80;
  std::string access_key;
  std::string secret_key;
  std::string region = "us-east-1";
};

// "http://127.0.0.1:9000". https is refused by name.
Result<S3Endpoint> parse_endpoint(const std::string& url);
// The first profile's (or [default]'s) keys of a file in the AWS shared-credentials format.
Status load_credentials(const std::string& path, S3Endpoint* endpoint);

enum class S3Operation { kPut, kGet, kHead, kDelete, kList, kMixed };
Result<S3Operation> parse_operation(const std::string& text);

struct S3LoadOptions {
  S3Endpoint endpoint;
  std::string bucket;
  std::string prefix;  // of all keys
  S3Operation operation = S3Operation::kPut;
  std::uint64_t size_bytes = 4096;
  unsigned concurrency = 64;
  double seconds = 10;                  // 0: until `request_limit`
  std::uint64_t request_limit = 0;      // 0: none
  std::uint64_t object_count = 10'000;  // objects that get, head, delete and list find
  std::uint64_t first_object = 0;       // the number of the first object that put makes
  bool verify = true;                   // off for a store that gives nothing back
  bool sign_payload = false;            // SHA-256 of each body instead of UNSIGNED-PAYLOAD
};

// Creates the bucket if it is not there.
Status ensure_bucket(const S3Endpoint& endpoint, const std::string& bucket);
// Runs the load. Errors: kUnavailable when no connection can be made at all.
Result<LoadReport> run_s3_load(const S3LoadOptions& options);

}  // namespace shoal::tools
