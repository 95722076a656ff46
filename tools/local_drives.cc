#include "tools/local_drives.h"

#include <algorithm>
#include <filesystem>

#include "base/program.h"

namespace shoal::tools {
namespace {

Task<Result<ClusterMap>> fetch(AdminCluster cluster) {
  co_return co_await fetch_cluster_map(&cluster);
}

Task<Status> join(AdminCluster cluster, ClusterDrive drive, std::string address) {
  proto::Command command;
  proto::DriveProto* joining = command.mutable_change_cluster()->mutable_add_drive();
  joining->set_id(drive.id.value());
  joining->set_uuid(drive.uuid);
  joining->set_address(address);
  joining->set_host("local");
  joining->set_rack("local");
  const auto reply = co_await admin_execute(&cluster, std::move(command));
  co_return reply.status();
}

}  // namespace

bool LocalDrives::takes(const std::vector<std::string>& words) {
  return words.size() == 3 && words[0] == "drive" && (words[1] == "add" || words[1] == "remove") &&
         !words[2].starts_with("-");
}

int LocalDrives::run(const std::vector<std::string>& words, AdminOutput* output) {
  const std::lock_guard lock(mutex_);
  if (words[1] == "remove") return remove(words, output);
  const Status added = add(words[2], output);
  return added.ok() ? kExitOk : admin_fail(output, added);
}

Status LocalDrives::add(const std::string& path, AdminOutput* output) {
  std::error_code error;
  const std::string whole = std::filesystem::weakly_canonical(path, error).string();
  if (error) return ErrnoError(error.value(), "drive " + path);
  for (const ClusterDrive& drive : config_.drives) {
    if (drive.path == whole)
      return AlreadyExistsError(whole + " is drive " + drive.id.to_string() + " already");
  }
  ASSIGN_OR_RETURN(const ClusterMap map, sync_wait(cluster_.admin_loop(), fetch(cluster_.admin())));
  ClusterDrive drive = ClusterDirectory::new_drive(DriveId(map.last_drive.value() + 1), whole);
  config_.drives.push_back(drive);
  RETURN_IF_ERROR(directory_.save(config_));
  const auto address = cluster_.serve_drive(config_, drive);
  if (!address.ok()) {
    RETURN_IF_ERROR(save_without(drive.id));
    return address.status();
  }
  RETURN_IF_ERROR(sync_wait(cluster_.admin_loop(), join(cluster_.admin(), drive, *address)));
  config_.drives.back().fresh = false;
  RETURN_IF_ERROR(directory_.save(config_));
  output->out("drive " + drive.id.to_string() + " has joined: " + whole +
              "\nwhat moves to it: shoal repair status\n");
  return OkStatus();
}

int LocalDrives::remove(const std::vector<std::string>& words, AdminOutput* output) {
  const int exit_status =
      cluster_.run_admin(*find_admin_command("drive"), {words.begin() + 1, words.end()}, output);
  if (exit_status != kExitOk) return exit_status;
  const Status saved = save_without(
      DriveId(static_cast<std::uint32_t>(std::strtoul(words[2].c_str(), nullptr, 10))));
  return saved.ok() ? kExitOk : admin_fail(output, saved);
}

Status LocalDrives::save_without(DriveId id) {
  std::erase_if(config_.drives, [&](const ClusterDrive& drive) { return drive.id == id; });
  return directory_.save(config_);
}

}  // namespace shoal::tools
