#include "s3compat/auth/credentials.h"

#include <unistd.h>

#include <charconv>
#include <sstream>

#include "base/file_io.h"

namespace shoal::s3compat {
namespace {

std::string trim(const std::string& text) {
  const auto from = text.find_first_not_of(" \t\r");
  if (from == std::string::npos) return "";
  return text.substr(from, text.find_last_not_of(" \t\r") - from + 1);
}

}  // namespace

Result<Credentials> load_credentials(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, read_file(path));
  Credentials credentials;
  std::string access_key;
  Credential credential{"", getuid(), getgid()};
  const auto finish = [&] {
    if (!access_key.empty() && !credential.secret_key.empty()) credentials[access_key] = credential;
    access_key.clear();
    credential = {"", getuid(), getgid()};
  };
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    line = trim(line);
    if (line.empty() || line[0] == '#' || line[0] == ';') continue;
    if (line[0] == '[') {
      finish();
      continue;
    }
    const std::size_t equals = line.find('=');
    if (equals == std::string::npos) {
      return InvalidArgumentError(path + ", line " + std::to_string(number) +
                                  ": expected key = value");
    }
    const std::string key = trim(line.substr(0, equals));
    const std::string value = trim(line.substr(equals + 1));
    if (key == "aws_access_key_id") access_key = value;
    if (key == "aws_secret_access_key") credential.secret_key = value;
    if (key == "shoal_uid" || key == "shoal_gid") {
      std::uint32_t* const id = key == "shoal_uid" ? &credential.uid : &credential.gid;
      const auto parsed = std::from_chars(value.data(), value.data() + value.size(), *id);
      if (parsed.ec != std::errc() || parsed.ptr != value.data() + value.size()) {
        return InvalidArgumentError(path + ", line " + std::to_string(number) + ": " + key +
                                    " must be a whole number");
      }
    }
  }
  finish();
  if (credentials.empty()) return InvalidArgumentError(path + " holds no keys");
  return credentials;
}

}  // namespace shoal::s3compat
