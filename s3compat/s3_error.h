// S3Error: what goes wrong in S3's own words. Made from a Status through the one table, or named
// directly.
#pragma once

#include <string>

#include "base/status.h"

namespace shoal::s3compat {

struct S3Error {
  int http_status = 500;
  std::string code;
  std::string message;
  std::string region = {};  // the one to sign for, when that is what went wrong
};

S3Error to_s3_error(const Status& status);
// Errors that only S3 has. Source: AWS "Error responses".
inline S3Error s3_error(int http_status, std::string code, std::string message) {
  return {http_status, std::move(code), std::move(message), {}};
}
inline S3Error not_implemented(const std::string& what) {
  return {501, "NotImplemented", what + " is not implemented", {}};
}

}  // namespace shoal::s3compat
