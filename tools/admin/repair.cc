// shoal repair: what is missing, what is being restored, and how long it will take.
#include <algorithm>
#include <map>

#include "base/program.h"
#include "tools/admin/commands.h"
#include "tools/drive_health.h"
#include "tools/json.h"

namespace shoal::tools {
namespace {

struct RepairStatus {
  ClusterMap map;
  proto::TaskReport task;  // of the worker that has restored most
  bool has_worker = false;
  std::uint64_t moves = 0;
  std::uint64_t stranded = 0;
  std::uint64_t damaged = 0;  // that the drives know of
  std::uint64_t silent = 0;   // drives in service whose daemon did not answer
  std::map<DriveId, WallTimeNs> openings;  // of drives in service, as they say now
  // Drives that may lack what nobody knows of: the last audit has not seen them since they were
  // opened.
  std::uint64_t unaudited() const {
    std::map<DriveId, WallTimeNs> audited;
    for (const proto::AuditedDrive& drive : task.repair().audited_drives())
      audited[DriveId(drive.drive())] = drive.opened_ns();
    return static_cast<std::uint64_t>(
        std::count_if(openings.begin(), openings.end(), [&](const auto& opening) {
          const auto found = audited.find(opening.first);
          return found == audited.end() || found->second != opening.second;
        }));
  }
  // Whether all that is known to be wrong has been put right, by an audit since.
  bool whole() const {
    return has_worker && moves == 0 && stranded == 0 && damaged == 0 && silent == 0 &&
           unaudited() == 0 && task.repair().audited_epoch() == map.epoch &&
           task.repair().missing_fragments() == 0 && task.repair().lost_rows() == 0 &&
           task.repair().exposed_rows() == 0;
  }
  std::uint64_t seconds_left() const {
    const proto::RepairReport& repair = task.repair();
    return repair.fragments_per_second() == 0
               ? 0
               : repair.pending_fragments() / repair.fragments_per_second() + 1;
  }
};

void count_moves(RepairStatus* status) {
  for (const PlacementGroup& group : status->map.groups) {
    status->moves += group.moves.size();
    for (std::size_t c = 0; c < group.drives.size(); ++c) {
      const DriveState state = status->map.drive(group.drives[c])->state;
      const bool leaving = state == DriveState::kOut || state == DriveState::kDraining;
      const bool moving = std::any_of(group.moves.begin(), group.moves.end(),
                                      [&](const ColumnMove& move) { return move.column == c; });
      if (leaving && !moving) ++status->stranded;
    }
  }
}

Task<Status> count_damage(AdminCluster* cluster, RepairStatus* status) {
  constexpr std::chrono::seconds kDeadline{5};
  std::vector<StorageApi*> asked;
  for (const DriveInfo& drive : status->map.drives) {
    if (drive.state != DriveState::kUp && drive.state != DriveState::kDraining) continue;
    StorageApi* const storage = cluster->storage_of(drive);
    if (std::find(asked.begin(), asked.end(), storage) != asked.end()) continue;
    asked.push_back(storage);
    const auto drives = co_await storage->status(cluster->executor.now() + kDeadline);
    if (!drives.ok()) ++status->silent;
    if (!drives.ok()) continue;
    for (const DriveStatus& one : *drives) {
      const DriveInfo* known = status->map.drive(one.drive);
      if (known == nullptr || known->state == DriveState::kOut) continue;
      status->damaged += one.damaged_fragments + one.damaged_unlisted;
      if (known->state != DriveState::kDown) status->openings[one.drive] = one.opened_ns;
    }
  }
  co_return OkStatus();
}

Task<Result<RepairStatus>> ask(AdminCluster* cluster) {
  RepairStatus status;
  auto map = co_await fetch_cluster_map(cluster);
  if (!map.ok()) co_return map.status();
  status.map = std::move(*map);
  count_moves(&status);
  CO_RETURN_IF_ERROR(co_await count_damage(cluster, &status));
  proto::Query query;
  query.mutable_get_status();
  const auto reply = co_await admin_query(cluster, std::move(query));
  if (!reply.ok()) co_return reply.status();
  for (const proto::WorkerReport& worker : reply->metadata_status().workers()) {
    for (const proto::TaskReport& task : worker.tasks()) {
      if (task.task() != "repair") continue;
      const bool better = !status.has_worker || task.repair().restored_fragments() >
                                                    status.task.repair().restored_fragments();
      if (better) status.task = task;
      status.has_worker = true;
    }
  }
  co_return status;
}

std::string to_json(const RepairStatus& status) {
  const proto::RepairReport& repair = status.task.repair();
  JsonWriter json;
  json.begin_object();
  json.field("whole", status.whole());
  json.field("map_epoch", status.map.epoch);
  json.field("worker", status.has_worker);
  json.field("state", status.task.state());
  json.field("moves", status.moves);
  json.field("stranded_columns", status.stranded);
  json.field("damaged_fragments", status.damaged);
  json.field("silent_daemons", status.silent);
  json.field("unaudited_drives", status.unaudited());
  json.field("exposed_rows", std::uint64_t{repair.exposed_rows()});
  json.field("missing_fragments", std::uint64_t{repair.missing_fragments()});
  json.field("lost_rows", std::uint64_t{repair.lost_rows()});
  json.field("pending_fragments", std::uint64_t{repair.pending_fragments()});
  json.field("restored_fragments", std::uint64_t{repair.restored_fragments()});
  json.field("restored_bytes", std::uint64_t{repair.restored_bytes()});
  json.field("fragments_per_second", std::uint64_t{repair.fragments_per_second()});
  json.field("bytes_per_second", std::uint64_t{repair.bytes_per_second()});
  json.field("seconds_left", status.seconds_left());
  json.field("audited_packs", std::uint64_t{repair.audited_packs()});
  json.field("last_audit_ns", static_cast<std::uint64_t>(repair.last_audit_ns()));
  json.field("last_error", status.task.last_error());
  json.end_object();
  return json.text() + "\n";
}

std::string audit_text(const proto::RepairReport& repair) {
  if (repair.last_audit_ns() == 0) return "no audit of all packs has ended yet\n";
  return "audit    " + std::to_string(repair.audited_packs()) + " packs, ended " +
         local_time(repair.last_audit_ns()) + ", " +
         std::to_string(repair.missing_fragments()) + " fragments missing, " +
         std::to_string(repair.lost_rows()) + " rows lost\n";
}

std::string to_text(const RepairStatus& status) {
  const proto::RepairReport& repair = status.task.repair();
  std::string text = status.whole() ? "whole    every row is where it belongs\n" : "";
  if (!status.has_worker) text += "worker   none is running: nothing is repaired\n";
  text += "state    " + status.task.state() + "\n";
  if (status.moves > 0 || repair.pending_fragments() > 0) {
    text += "moving   " + std::to_string(status.moves) + " columns, about " +
            std::to_string(repair.pending_fragments()) + " fragments to go, " +
            std::to_string(repair.fragments_per_second()) + "/s, " +
            format_size(repair.bytes_per_second()) + "/s, " +
            std::to_string(status.seconds_left()) + " s left\n";
  }
  if (status.stranded > 0)
    text += "stranded " + std::to_string(status.stranded) +
            " columns have no drive to go to: add a drive\n";
  if (repair.exposed_rows() > 0)
    text += "exposed  " + std::to_string(repair.exposed_rows()) +
            " rows have less than their full protection\n";
  if (status.damaged > 0)
    text += "damaged  " + std::to_string(status.damaged) + " fragments, known to their drives\n";
  if (status.silent > 0)
    text += "silent   " + std::to_string(status.silent) + " storage daemons do not answer\n";
  if (status.unaudited() > 0)
    text += "audit    " + std::to_string(status.unaudited()) +
            " drives were opened since the last audit\n";
  text += "restored " + std::to_string(repair.restored_fragments()) + " fragments, " +
          format_size(repair.restored_bytes()) + " since the worker started\n";
  text += audit_text(repair);
  if (!status.task.last_error().empty()) text += "trouble  " + status.task.last_error() + "\n";
  return text;
}

}  // namespace

Task<int> run_repair(AdminCluster* cluster, std::vector<std::string> words, AdminOutput* output) {
  bool json = false;
  std::vector<std::string> verbs;
  Config config("shoal repair",
                "Shows what is missing, what is being restored, the rate and the time left. The "
                "exit status is 0 when everything is whole, and 1 when not.");
  config.add("json", &json, "as one JSON object");
  config.add_words("status", &verbs, "the one verb");
  int exit_status = kExitOk;
  if (!parse_admin_words(&config, words, output, &exit_status)) co_return exit_status;
  if (verbs != std::vector<std::string>{"status"})
    co_return admin_fail(output, InvalidArgumentError("shoal repair status"));
  const auto status = co_await ask(cluster);
  if (!status.ok()) co_return admin_fail(output, status.status());
  output->out(json ? to_json(*status) : to_text(*status));
  co_return status->whole() ? kExitOk : kExitFailed;
}

}  // namespace shoal::tools
