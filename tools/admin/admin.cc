#include "tools/admin/admin.h"

#include <algorithm>

#include "base/program.h"
#include "proto/wire/convert.h"
#include "tools/admin/commands.h"

namespace shoal::tools {
namespace {

constexpr std::chrono::seconds kDeadline{30};

}  // namespace

const std::vector<AdminCommand>& admin_commands() {
  static const std::vector<AdminCommand> commands{
      {"drive", "the drives of the cluster and their placement", run_drive},
      {"fsck", "the metadata against the drives, in both directions; also of a stopped cluster",
       run_fsck},
      {"metad", "back-ups of the metadata: dump, and load into a stopped cluster", run_metad},
      {"repair", "what is missing, and what is being restored", run_repair},
      {"scrub", "verifying what the drives hold", run_scrub},
      {"space", "what the data takes, what is wasted, and repack", run_space},
  };
  return commands;
}

const AdminCommand* find_admin_command(const std::string& noun) {
  const auto& commands = admin_commands();
  const auto found =
      std::find_if(commands.begin(), commands.end(), [&](const auto& c) { return c.noun == noun; });
  return found == commands.end() ? nullptr : &*found;
}

bool parse_admin_words(Config* config, const std::vector<std::string>& words, AdminOutput* output,
                       int* exit_status) {
  const Status parsed = config->load_flags(words);
  if (!parsed.ok()) {
    output->err("shoal: " + parsed.message() + "\n");
    *exit_status = kExitUsage;
    return false;
  }
  if (config->wants_help()) {
    output->out(config->help());
    *exit_status = kExitOk;
    return false;
  }
  return true;
}

int admin_fail(AdminOutput* output, const Status& status) {
  output->err("shoal: " + (status.message().empty() ? status.to_string() : status.message()) +
              "\n");
  return status.code() == StatusCode::kInvalidArgument ? kExitUsage : kExitFailed;
}

Task<Result<proto::QueryReply>> admin_query(AdminCluster* cluster, proto::Query query) {
  auto reply =
      co_await cluster->metadata.query(std::move(query), cluster->executor.now() + kDeadline);
  if (!reply.ok()) co_return reply;
  CO_RETURN_IF_ERROR(wire::status_from_proto(reply->status()));
  co_return reply;
}

Task<Result<proto::CommandReply>> admin_execute(AdminCluster* cluster, proto::Command command) {
  auto reply =
      co_await cluster->metadata.execute(std::move(command), cluster->executor.now() + kDeadline);
  if (!reply.ok()) co_return reply;
  CO_RETURN_IF_ERROR(wire::status_from_proto(reply->status()));
  co_return reply;
}

Task<Result<ClusterMap>> fetch_cluster_map(AdminCluster* cluster) {
  proto::Query query;
  query.mutable_get_cluster_map();
  auto reply = co_await admin_query(cluster, std::move(query));
  if (!reply.ok()) co_return reply.status();
  co_return wire::cluster_map_from_proto(reply->cluster_map());
}

}  // namespace shoal::tools
