// shoal drive: the drives of the cluster, and what is done with them.
#include <algorithm>
#include <charconv>
#include <map>

#include "base/placement.h"
#include "base/program.h"
#include "proto/wire/convert.h"
#include "tools/admin/commands.h"
#include "tools/json.h"

namespace shoal::tools {
namespace {

constexpr char kPurpose[] =
    "The drives of the cluster.\n\n"
    "  list            their states, and the columns of placement groups that each holds\n"
    "  drain ID        move what it holds to the others; then it can be removed\n"
    "  lost ID --yes   give it up: what it held is restored from the others\n"
    "  up ID           back into service: end draining, or it was not lost after all\n"
    "  remove ID       forget a drive that nothing needs any more\n"
    "  add PATH        make an empty directory or a blank device of this machine a drive\n"
    "  join UUID HOST:PORT [HOST [RACK]]\n"
    "                  a drive becomes part of the cluster that a daemon at this address is to\n"
    "                  serve: shoal-storaged is then started with the id that is said here";

struct Columns {
  std::uint64_t held = 0;
  std::uint64_t arriving = 0;
  std::uint64_t leaving = 0;
};

std::map<DriveId, Columns> count_columns(const ClusterMap& map) {
  std::map<DriveId, Columns> columns;
  for (const PlacementGroup& group : map.groups) {
    for (const DriveId id : group.drives) ++columns[id].held;
    for (const ColumnMove& move : group.moves) {
      ++columns[move.to].arriving;
      ++columns[group.drives[move.column]].leaving;
    }
  }
  return columns;
}

std::string drives_json(const ClusterMap& map) {
  auto columns = count_columns(map);
  JsonWriter writer;
  writer.begin_object();
  writer.field("epoch", map.epoch);
  const Protection protection = protection_of(map);
  writer.field("code", to_string(protection.code));
  writer.field("columns_on_one_host", std::uint64_t{protection.columns_on_one_host});
  writer.field("columns_in_one_rack", std::uint64_t{protection.columns_in_one_rack});
  writer.field("hosts_may_fail", std::uint64_t{protection.hosts_may_fail()});
  writer.field("racks_may_fail", std::uint64_t{protection.racks_may_fail()});
  writer.begin_array("drives");
  for (const DriveInfo& drive : map.drives) {
    writer.begin_object();
    writer.field("id", std::uint64_t{drive.id.value()});
    writer.field("uuid", drive.uuid);
    writer.field("state", to_string(drive.state));
    writer.field("host", drive.host);
    writer.field("rack", drive.rack);
    writer.field("address", drive.address);
    writer.field("columns", columns[drive.id].held);
    writer.field("columns_arriving", columns[drive.id].arriving);
    writer.field("columns_leaving", columns[drive.id].leaving);
    writer.end_object();
  }
  writer.end_array();
  writer.end_object();
  return writer.text() + "\n";
}

std::string number_of(std::uint64_t count, const std::string& what) {
  return (count == 0 ? "no" : std::to_string(count)) + " " + what + (count == 1 ? "" : "s");
}

// As "4+2: 2 drives, 1 host or no racks may fail (of a row up to ...)".
std::string protection_text(const ClusterMap& map) {
  if (map.groups.empty()) return "";
  const Protection protection = protection_of(map);
  return to_string(protection.code) + ": " + number_of(protection.code.m, "drive") + ", " +
         number_of(protection.hosts_may_fail(), "host") + " or " +
         number_of(protection.racks_may_fail(), "rack") + " may fail (of a row up to " +
         number_of(protection.columns_on_one_host, "column") + " on one host, " +
         std::to_string(protection.columns_in_one_rack) + " in one rack)\n";
}

std::string drives_text(const ClusterMap& map) {
  auto columns = count_columns(map);
  std::string text = protection_text(map);
  for (const DriveInfo& drive : map.drives) {
    const Columns& count = columns[drive.id];
    text += "drive " + drive.id.to_string() + "  " + std::string(to_string(drive.state)) +
            ", host " + drive.host + ", rack " + drive.rack + ", " + std::to_string(count.held) +
            " columns";
    if (count.arriving > 0) text += ", " + std::to_string(count.arriving) + " arriving";
    if (count.leaving > 0) text += ", " + std::to_string(count.leaving) + " leaving";
    text += ", " + drive.uuid + "\n";
  }
  return text;
}

Task<int> list_drives(AdminCluster* cluster, bool json, AdminOutput* output) {
  const auto map = co_await fetch_cluster_map(cluster);
  if (!map.ok()) co_return admin_fail(output, map.status());
  output->out(json ? drives_json(*map) : drives_text(*map));
  co_return kExitOk;
}

Task<int> change(AdminCluster* cluster, proto::ChangeCluster change, AdminOutput* output) {
  proto::Command command;
  *command.mutable_change_cluster() = std::move(change);
  const auto reply = co_await admin_execute(cluster, std::move(command));
  if (!reply.ok()) co_return admin_fail(output, reply.status());
  const proto::ClusterReply& done = reply->cluster();
  if (done.drive() != 0) output->out("drive " + std::to_string(done.drive()) + " has joined\n");
  if (done.moves() > 0)
    output->out(std::to_string(done.moves()) +
                " columns of placement groups are to move: shoal repair status\n");
  if (done.stranded_columns() > 0)
    output->out(std::to_string(done.stranded_columns()) +
                " columns have no drive to go to: add a drive\n");
  co_return kExitOk;
}

Result<DriveId> parse_drive(const std::string& text) {
  std::uint32_t id = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), id);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size() || id == 0)
    return InvalidArgumentError(text + " is no drive id");
  return DriveId(id);
}

Result<proto::ChangeCluster> parse_change(const std::vector<std::string>& words, bool yes) {
  proto::ChangeCluster change;
  if (words[0] == "join") {
    if (words.size() < 3 || words.size() > 5)
      return InvalidArgumentError("shoal drive join UUID HOST:PORT [HOST [RACK]]");
    proto::DriveProto* drive = change.mutable_add_drive();
    drive->set_uuid(words[1]);
    drive->set_address(words[2]);
    drive->set_host(words.size() > 3 ? words[3] : words[2]);
    drive->set_rack(words.size() > 4 ? words[4] : "default");
    return change;
  }
  if (words[0] == "add")
    return InvalidArgumentError(
        "shoal drive add PATH --data DIR, on the machine of the cluster; elsewhere shoal drive "
        "join");
  const std::map<std::string, DriveState> states{
      {"drain", DriveState::kDraining}, {"lost", DriveState::kOut}, {"up", DriveState::kUp}};
  const auto state = states.find(words[0]);
  if (words.size() != 2 || (state == states.end() && words[0] != "remove"))
    return InvalidArgumentError(
        "shoal drive list | drain ID | lost ID | up ID | remove ID | add PATH | join");
  ASSIGN_OR_RETURN(const DriveId id, parse_drive(words[1]));
  if (words[0] == "remove") {
    change.mutable_forget_drive()->set_drive(id.value());
    return change;
  }
  if (words[0] == "lost" && !yes)
    return InvalidArgumentError("what is only on drive " + id.to_string() +
                                " is given up for good: say --yes");
  change.mutable_set_drive_state()->set_drive(id.value());
  change.mutable_set_drive_state()->set_state(static_cast<std::uint32_t>(state->second));
  return change;
}

}  // namespace

Task<int> run_drive(AdminCluster* cluster, std::vector<std::string> words, AdminOutput* output) {
  bool json = false;
  bool yes = false;
  std::vector<std::string> verbs;
  Config config("shoal drive", kPurpose);
  config.add("json", &json, "list: as one JSON object");
  config.add("yes", &yes, "lost: do not ask");
  config.add_words("VERB", &verbs, "list, drain, lost, up, remove, add, join");
  int exit_status = kExitOk;
  if (!parse_admin_words(&config, words, output, &exit_status)) co_return exit_status;
  if (verbs.empty()) verbs.push_back("list");
  if (verbs == std::vector<std::string>{"list"})
    co_return co_await list_drives(cluster, json, output);
  auto parsed = parse_change(verbs, yes);
  if (!parsed.ok()) co_return admin_fail(output, parsed.status());
  co_return co_await change(cluster, std::move(*parsed), output);
}

}  // namespace shoal::tools
