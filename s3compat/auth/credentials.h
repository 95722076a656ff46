// Credentials: who may come in. Read from a file in the AWS shared-credentials format; each profile
// is one key.
#pragma once

#include <cstdint>
#include <map>
#include <string>

#include "base/result.h"

namespace shoal::s3compat {

struct Credential {
  std::string secret_key;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
};
using Credentials = std::map<std::string, Credential>;  // by access key

// Profiles with aws_access_key_id, aws_secret_access_key and, of our own, shoal_uid and shoal_gid
// (default: the owner of this process). Errors: as read_file; kInvalidArgument naming the line.
Result<Credentials> load_credentials(const std::string& path);

}  // namespace shoal::s3compat
