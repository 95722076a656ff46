// shoal drive: the drives of the cluster and their states.
#include "base/program.h"
#include "tools/admin/commands.h"
#include "tools/json.h"

namespace shoal::tools {
namespace {

Task<int> list_drives(AdminCluster* cluster, bool json, AdminOutput* output) {
  const auto map = co_await fetch_cluster_map(cluster);
  if (!map.ok()) co_return admin_fail(output, map.status());
  if (json) {
    JsonWriter writer;
    writer.begin_object();
    writer.field("epoch", map->epoch);
    writer.begin_array("drives");
    for (const DriveInfo& drive : map->drives) {
      writer.begin_object();
      writer.field("id", std::uint64_t{drive.id.value()});
      writer.field("uuid", drive.uuid);
      writer.field("state", to_string(drive.state));
      writer.field("host", drive.host);
      writer.field("rack", drive.rack);
      writer.field("address", drive.address);
      writer.end_object();
    }
    writer.end_array();
    writer.end_object();
    output->out(writer.text() + "\n");
    co_return kExitOk;
  }
  for (const DriveInfo& drive : map->drives) {
    output->out("drive " + drive.id.to_string() + "  " + std::string(to_string(drive.state)) +
                ", host " + drive.host + ", rack " + drive.rack + ", " + drive.uuid + "\n");
  }
  co_return kExitOk;
}

}  // namespace

Task<int> run_drive(AdminCluster* cluster, std::vector<std::string> words, AdminOutput* output) {
  bool json = false;
  std::vector<std::string> verbs;
  Config config("shoal drive", "Shows the drives of the cluster map and their states.");
  config.add("json", &json, "as one JSON object");
  config.add_words("list", &verbs, "what to do");
  int exit_status = kExitOk;
  if (!parse_admin_words(&config, words, output, &exit_status)) co_return exit_status;
  if (verbs != std::vector<std::string>{"list"})
    co_return admin_fail(output, InvalidArgumentError("shoal drive list"));
  co_return co_await list_drives(cluster, json, output);
}

}  // namespace shoal::tools
