// Admin commands: what an operator asks of a cluster (`shoal NOUN VERB --flags`). They are
// coroutines over the daemons' interfaces and run where those are at hand: in the program of
// `shoal up`, reached through its control socket, or in the `shoal` command itself when it is told
// where metad is (--metad HOST:PORT). One file per noun.
#pragma once

#include <atomic>
#include <functional>
#include <string>
#include <vector>

#include "base/async/executor.h"
#include "base/async/task.h"
#include "base/config.h"
#include "proto/metadata_api.h"
#include "proto/storage_api.h"

namespace shoal::tools {

// The daemons as one executor reaches them.
struct AdminCluster {
  Executor& executor;
  MetadataApi& metadata;
  // Null when nobody serves the drive. What it gives outlives the command.
  std::function<StorageApi*(const DriveInfo& drive)> storage_of;
};

// Where a command's words go as they come. Any thread.
class AdminOutput {
 public:
  virtual ~AdminOutput() = default;
  virtual void out(const std::string& text) = 0;  // stdout
  virtual void err(const std::string& text) = 0;  // stderr
  // Whether nobody listens any more, or the cluster stops: long work then ends early.
  virtual bool cancelled() const = 0;
};

struct AdminCommand {
  std::string noun;
  std::string purpose;  // one line, for the usage
  // Runs on cluster->executor; `words` are what follows the noun. Returns the exit status
  // (base/program.h). `cluster` is null when the words ask for help.
  Task<int> (*run)(AdminCluster* cluster, std::vector<std::string> words, AdminOutput* output);
};
// In alphabetical order.
const std::vector<AdminCommand>& admin_commands();
const AdminCommand* find_admin_command(const std::string& noun);  // null: there is none

// Takes the flags of `words` into what `config` declares. Returns whether the command goes on; else
// help or the error has been said and `exit_status` is what to end with.
bool parse_admin_words(Config* config, const std::vector<std::string>& words, AdminOutput* output,
                       int* exit_status);
// Says the error; gives the exit status.
int admin_fail(AdminOutput* output, const Status& status);

// The newest cluster map. Errors: as MetadataApi::query.
Task<Result<ClusterMap>> fetch_cluster_map(AdminCluster* cluster);
// A query or a command outside any session, with the admin commands' deadline; what the reply says
// comes back as the status.
Task<Result<proto::QueryReply>> admin_query(AdminCluster* cluster, proto::Query query);
Task<Result<proto::CommandReply>> admin_execute(AdminCluster* cluster, proto::Command command);

}  // namespace shoal::tools
