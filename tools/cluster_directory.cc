#include "tools/cluster_directory.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <climits>
#include <cstdlib>
#include <fstream>
#include <map>
#include <sstream>

#include "base/encoding.h"
#include "base/file_io.h"
#include "base/random.h"

namespace shoal::tools {
namespace {

// The lines of a `key = value` file; a key may come again.
using Entries = std::vector<std::pair<std::string, std::string>>;

std::string trim(const std::string& text) {
  const auto from = text.find_first_not_of(" \t\r");
  if (from == std::string::npos) return "";
  return text.substr(from, text.find_last_not_of(" \t\r") - from + 1);
}

Result<Entries> read_entries(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, read_file(path));
  Entries entries;
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    line = trim(line);
    if (line.empty() || line[0] == '#') continue;
    const std::size_t equals = line.find('=');
    if (equals == std::string::npos) {
      return CorruptionError(path + ", line " + std::to_string(number) + ": expected key = value");
    }
    entries.emplace_back(trim(line.substr(0, equals)), trim(line.substr(equals + 1)));
  }
  return entries;
}

template <typename Number>
Result<Number> parse_number(const std::string& path, const std::string& key,
                            const std::string& text) {
  Number value{};
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), value);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) {
    return CorruptionError(path + ": " + key + " = " + text + " is not a number");
  }
  return value;
}

std::string random_text(std::size_t length, std::string_view alphabet) {
  std::string text;
  while (text.size() < length) text.push_back(alphabet[secure_random_u64() % alphabet.size()]);
  return text;
}

Status make_directory(const std::string& path, mode_t mode) {
  if (mkdir(path.c_str(), mode) == 0 || errno == EEXIST) return OkStatus();
  return ErrnoError(errno, "directory " + path);
}

Result<ClusterDrive> parse_drive(const std::string& path, const std::string& value) {
  // drive = ID UUID PATH
  std::istringstream words(value);
  std::string id;
  ClusterDrive drive;
  words >> id >> drive.uuid >> std::ws;
  std::getline(words, drive.path);
  ASSIGN_OR_RETURN(const auto number, parse_number<std::uint32_t>(path, "drive", id));
  drive.id = DriveId(number);
  if (drive.uuid.empty() || drive.path.empty()) {
    return CorruptionError(path + ": drive = " + value + ": expected ID UUID PATH");
  }
  return drive;
}

}  // namespace

ClusterDirectory::ClusterDirectory(ClusterDirectory&& other) noexcept
    : path_(std::move(other.path_)), lock_fd_(std::exchange(other.lock_fd_, -1)) {}

ClusterDirectory::~ClusterDirectory() {
  if (lock_fd_ >= 0) close(lock_fd_);
}

Result<ClusterDirectory> ClusterDirectory::lock(const std::string& path) {
  RETURN_IF_ERROR(make_directory(path, 0755));
  char resolved[PATH_MAX];
  if (realpath(path.c_str(), resolved) == nullptr)
    return ErrnoError(errno, "data directory " + path);
  const std::string absolute = resolved;
  const std::string lock_path = absolute + "/lock";
  const int fd = ::open(lock_path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644);
  if (fd < 0) return ErrnoError(errno, lock_path);
  if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
    const int err = errno;
    close(fd);
    if (err != EWOULDBLOCK) return ErrnoError(err, "lock of " + lock_path);
    std::string who;
    if (auto asking = open(absolute); asking.ok()) {
      if (auto running = asking->running(); running.ok())
        who = " (process " + std::to_string(running->pid) + ")";
    }
    return BusyError("a cluster runs on " + absolute + " already" + who +
                     "; stop it with: shoal down --data " + absolute);
  }
  ClusterDirectory directory(absolute, fd);
  RETURN_IF_ERROR(make_directory(directory.run_path(), 0700));
  return directory;
}

Result<ClusterDirectory> ClusterDirectory::open(const std::string& path) {
  char resolved[PATH_MAX];
  if (realpath(path.c_str(), resolved) == nullptr)
    return ErrnoError(errno, "data directory " + path);
  ClusterDirectory directory(resolved, -1);
  struct stat st {};
  if (stat((path + "/cluster.conf").c_str(), &st) != 0) {
    return NotFoundError(path + " holds no cluster; make one with: shoal up --data " + path);
  }
  return directory;
}

Result<ClusterConfig> ClusterDirectory::load() const {
  const std::string file = path_ + "/cluster.conf";
  ASSIGN_OR_RETURN(const Entries entries, read_entries(file));
  ClusterConfig config;
  config.made = true;
  int version = 0;
  for (const auto& [key, value] : entries) {
    if (key == "format_version") {
      ASSIGN_OR_RETURN(version, parse_number<int>(file, key, value));
      if (version > kClusterFormatVersion) {
        return NotSupportedError(file + " is of format version " + value +
                                 ", newer than this program knows (" +
                                 std::to_string(kClusterFormatVersion) + "): use a newer shoal");
      }
    } else if (key == "cluster_uuid") {
      config.cluster_uuid = value;
    } else if (key == "code") {
      ASSIGN_OR_RETURN(config.code, parse_code(value));
    } else if (key == "capacity") {
      ASSIGN_OR_RETURN(config.capacity, parse_number<std::uint64_t>(file, key, value));
    } else if (key == "made") {
      config.made = value != "no";
    } else if (key == "drive" || key == "fresh_drive") {
      ASSIGN_OR_RETURN(ClusterDrive drive, parse_drive(file, value));
      drive.fresh = key == "fresh_drive";
      config.drives.push_back(std::move(drive));
    } else {
      return CorruptionError(file + ": unknown key " + key);
    }
  }
  if (version == 0 || config.cluster_uuid.empty() || config.drives.empty()) {
    return CorruptionError(file + " lacks format_version, cluster_uuid or drives");
  }
  return config;
}

Status ClusterDirectory::save(const ClusterConfig& config) const {
  std::string text =
      "# What this cluster is. Written by shoal; to be changed through shoal only.\n";
  text += "format_version = " + std::to_string(kClusterFormatVersion) + "\n";
  text += "cluster_uuid = " + config.cluster_uuid + "\n";
  text += "code = " + to_string(config.code) + "\n";
  text += "capacity = " + std::to_string(config.capacity) + "\n";
  if (!config.made) text += "made = no\n";
  for (const ClusterDrive& drive : config.drives) {
    text += (drive.fresh ? "fresh_drive = " : "drive = ") + drive.id.to_string() + " " +
            drive.uuid + " " + drive.path + "\n";
  }
  return write_file_durably(path_ + "/cluster.conf", text, 0644);
}

ClusterDrive ClusterDirectory::new_drive(DriveId id, const std::string& path) {
  return {id, random_uuid(), path, true};
}

Result<ClusterConfig> ClusterDirectory::load_or_draft(
    const CodeShape& code, std::uint64_t capacity, std::uint32_t drive_count,
    const std::vector<std::string>& drive_paths) const {
  auto old = load();
  if (!old.ok() && old.status().code() != StatusCode::kNotFound) return old.status();
  if (old.ok() && old->made) return old;
  ClusterConfig config;
  config.cluster_uuid = old.ok() ? old->cluster_uuid : random_uuid();
  config.code = code;
  config.capacity = capacity;
  std::vector<std::string> paths = drive_paths;
  for (std::uint32_t i = 0; drive_paths.empty() && i < drive_count; ++i)
    paths.push_back(path_ + "/drives/" + std::to_string(i + 1));
  for (std::uint32_t i = 0; i < paths.size(); ++i) {
    std::string uuid = random_uuid();
    if (old.ok()) {
      for (const ClusterDrive& drive : old->drives)
        if (drive.path == paths[i]) uuid = drive.uuid;
    }
    config.drives.push_back({DriveId(i + 1), std::move(uuid), paths[i], false});
  }
  RETURN_IF_ERROR(save(config));
  return config;
}

Result<bool> ClusterDirectory::ensure_credentials() const {
  struct stat st {};
  if (stat(credentials_path().c_str(), &st) == 0) return false;
  constexpr std::string_view kUpper = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
  constexpr std::string_view kAny =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
  const std::string text = "[default]\naws_access_key_id = " + random_text(20, kUpper) +
                           "\naws_secret_access_key = " + random_text(40, kAny) + "\n";
  RETURN_IF_ERROR(write_file_durably(credentials_path(), text, 0600));
  return true;
}

Status ClusterDirectory::publish(const RunningCluster& running) const {
  std::string text = "pid = " + std::to_string(running.pid) + "\n";
  text += "processes = " + std::string(running.processes ? "1" : "0") + "\n";
  text += "metad = " + running.metad_address + "\n";
  for (const std::string& address : running.storage_addresses)
    text += "storage = " + address + "\n";
  text += "s3 = " + running.s3_address + "\n";
  text += "admin = " + running.admin_address + "\n";
  return write_file_durably(run_path() + "/cluster", text, 0600);
}

void ClusterDirectory::unpublish() const { unlink((run_path() + "/cluster").c_str()); }

Result<RunningCluster> ClusterDirectory::running() const {
  const std::string file = run_path() + "/cluster";
  auto entries = read_entries(file);
  if (!entries.ok()) return NotFoundError("no cluster runs on " + path_);
  RunningCluster running;
  for (const auto& [key, value] : *entries) {
    if (key == "pid") {
      ASSIGN_OR_RETURN(running.pid, parse_number<std::uint64_t>(file, key, value));
    } else if (key == "processes") {
      running.processes = value == "1";
    } else if (key == "metad") {
      running.metad_address = value;
    } else if (key == "storage") {
      running.storage_addresses.push_back(value);
    } else if (key == "s3") {
      running.s3_address = value;
    } else if (key == "admin") {
      running.admin_address = value;
    }
  }
  // A program that was killed leaves the file behind, but not the lock.
  const int fd = ::open((path_ + "/lock").c_str(), O_RDWR | O_CLOEXEC);
  if (fd >= 0) {
    const bool free = flock(fd, LOCK_EX | LOCK_NB) == 0;
    close(fd);
    if (free) return NotFoundError("no cluster runs on " + path_);
  }
  return running;
}

}  // namespace shoal::tools
