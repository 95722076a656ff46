// shoal metad: a dump of the metadata of a cluster that runs. The rest of the noun is of clusters
// that do not: tools/commands/metad.cc.
#include "base/program.h"
#include "proto/wire/convert.h"
#include "tools/admin/commands.h"

namespace shoal::tools {
namespace {

constexpr std::chrono::hours kDeadline{2};  // a billion files

}  // namespace

Task<int> run_metad(AdminCluster* cluster, std::vector<std::string> words, AdminOutput* output) {
  std::string out;
  std::vector<std::string> verbs;
  Config config("shoal metad", "Writes the metadata of a cluster that runs as one stream.");
  config.add("out", &out, "file to make on the machine of the metadata daemon");
  config.add_words("dump", &verbs, "what to do");
  int exit_status = kExitOk;
  if (!parse_admin_words(&config, words, output, &exit_status)) co_return exit_status;
  if (verbs != std::vector<std::string>{"dump"} || out.empty())
    co_return admin_fail(output, InvalidArgumentError("shoal metad dump --out FILE"));
  proto::Query query;
  query.mutable_dump_metadata()->set_path(out);
  const auto reply =
      co_await cluster->metadata.query(std::move(query), cluster->executor.now() + kDeadline);
  Status status = reply.status();
  if (reply.ok()) status = wire::status_from_proto(reply->status());
  if (!status.ok()) co_return admin_fail(output, status);
  output->err(std::to_string(reply->dump().records()) + " records were dumped.\n");
  co_return kExitOk;
}

}  // namespace shoal::tools
