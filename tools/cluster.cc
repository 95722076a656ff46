#include "tools/cluster.h"

#include <algorithm>

#include "base/config.h"
#include "tools/drive_health.h"
#include "tools/json.h"

namespace shoal::tools {
namespace {

std::uint64_t index_bytes_per_file(const proto::MetadataStatus& status) {
  return status.index_bytes() / std::max<std::uint64_t>(status.inode_count(), 1);
}

void add_metadata(JsonWriter* json, const proto::MetadataStatus& status) {
  json->begin_object("metadata");
  json->field("inodes", status.inode_count());
  json->field("directories", status.directory_count());
  json->field("packs", status.pack_count());
  json->field("live_bytes", status.live_bytes());
  json->field("index_bytes", status.index_bytes());
  json->field("index_bytes_per_file", index_bytes_per_file(status));
  json->field("journal_position", status.journal_position());
  json->field("checkpoint_position", status.checkpoint_position());
  json->field("commands", status.command_count());
  json->field("journal_flushes", status.journal_flush_count());
  json->end_object();
  json->begin_array("sessions");
  for (const proto::SessionInfo& session : status.sessions()) {
    json->begin_object();
    json->field("client", session.client_name());
    json->field("idle_ms", session.idle_ms());
    json->field("open_packs", session.open_packs());
    json->field("open_files", session.open_files());
    json->end_object();
  }
  json->end_array();
}

void add_drive(JsonWriter* json, const DriveStatus& drive) {
  json->begin_object();
  json->field("id", std::uint64_t{drive.drive.value()});
  json->field("state", drive.state);
  json->field("path", drive.path);
  json->field("capacity_bytes", drive.capacity_bytes);
  json->field("used_bytes", drive.used_bytes);
  json->field("free_bytes", drive.free_bytes);
  json->field("packs", drive.pack_count);
  json->field("fragments", drive.fragment_count);
  json->field("index_bytes", drive.index_bytes);
  json->field("flushes", drive.flush_count);
  json->field("fragments_written", drive.write_count);
  json->field("fragments_read", drive.read_count);
  add_health(json, drive);
  json->end_object();
}

std::uint64_t total_memory(const ClusterStatus& status) {
  std::uint64_t total = 0;
  for (const DaemonStatus& daemon : status.daemons) total += daemon.memory_bytes;
  return total;
}

}  // namespace

int Cluster::run_admin(const AdminCommand& command, std::vector<std::string> words,
                       AdminOutput* output) {
  AdminCluster cluster = admin();
  return sync_wait(admin_loop(), command.run(&cluster, std::move(words), output));
}

std::string to_json(const ClusterStatus& status) {
  JsonWriter json;
  json.begin_object();
  json.field("data", status.data_path);
  json.field("pid", static_cast<std::uint64_t>(status.daemons.front().pid));
  json.field("processes", status.processes);
  json.field("memory_bytes", total_memory(status));
  json.begin_array("daemons");
  for (const DaemonStatus& daemon : status.daemons) {
    json.begin_object();
    json.field("name", daemon.name);
    json.field("pid", static_cast<std::uint64_t>(daemon.pid));
    json.field("restarts", daemon.restarts);
    json.field("memory_bytes", daemon.memory_bytes);
    json.end_object();
  }
  json.end_array();
  if (status.metadata.ok()) add_metadata(&json, *status.metadata);
  json.begin_array("drives");
  for (const DriveStatus& drive : status.drives) add_drive(&json, drive);
  json.end_array();
  json.begin_array("mounts");
  for (const std::string& mount : status.mounts) json.value(mount);
  json.end_array();
  json.begin_array("troubles");
  for (const std::string& trouble : status.troubles) json.value(trouble);
  json.end_array();
  json.end_object();
  return json.text();
}

std::string to_text(const ClusterStatus& status) {
  std::string text = "cluster  " + status.data_path + ", " +
                     (status.processes ? "every daemon its own process" : "all in one process") +
                     ", " + format_size(total_memory(status)) + " resident\n";
  for (const DaemonStatus& daemon : status.daemons) {
    text += "process  " + daemon.name + ": " +
            (daemon.pid == 0 ? "not running" : "pid " + std::to_string(daemon.pid)) + ", " +
            format_size(daemon.memory_bytes) + " resident";
    if (daemon.restarts > 0)
      text += ", started again " + std::to_string(daemon.restarts) + " times";
    text += "\n";
  }
  if (status.metadata.ok()) {
    const proto::MetadataStatus& metadata = *status.metadata;
    text += "files    " + std::to_string(metadata.inode_count()) + " inodes, " +
            std::to_string(metadata.directory_count()) + " directories, " +
            format_size(metadata.live_bytes()) + " of data in " +
            std::to_string(metadata.pack_count()) + " packs\n";
    text += "index    " + format_size(metadata.index_bytes()) + " of memory, " +
            std::to_string(index_bytes_per_file(metadata)) + " bytes a file\n";
    if (!metadata.checkpoint_failure().empty())
      text += "trouble  the last checkpoint failed: " + metadata.checkpoint_failure() + "\n";
    for (const proto::SessionInfo& session : metadata.sessions()) {
      text += "client   " + session.client_name() + ": " + std::to_string(session.open_files()) +
              " open files, " + std::to_string(session.open_packs()) + " open packs\n";
    }
  }
  for (const std::string& mount : status.mounts) text += "mount    " + mount + "\n";
  for (const DriveStatus& drive : status.drives) {
    text += "drive " + drive.drive.to_string() + "  " + drive.state + ", " +
            format_size(drive.used_bytes) + " used, " + format_size(drive.free_bytes) + " free, " +
            std::to_string(drive.fragment_count) + " fragments, " + health_text(drive) + ", " +
            drive.path + "\n";
  }
  for (const std::string& trouble : status.troubles) text += "trouble  " + trouble + "\n";
  return text;
}

}  // namespace shoal::tools
