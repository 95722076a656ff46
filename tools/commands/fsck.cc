// shoal fsck of a cluster that does not run; one that runs is asked like any admin command.
#include <algorithm>

#include "tools/admin/commands.h"
#include "tools/all_in_one.h"
#include "tools/cluster_directory.h"
#include "tools/commands/terminal.h"

namespace shoal::tools {
namespace {

// Its drives and metadata in this process, without doors and without work of their own, for the
// time of the check.
Result<int> check_stopped(const std::string& data, const Arguments& words) {
  ASSIGN_OR_RETURN(const ClusterDirectory there, ClusterDirectory::open(data));
  ASSIGN_OR_RETURN(const ClusterDirectory directory, ClusterDirectory::lock(data));
  ASSIGN_OR_RETURN(const ClusterConfig config, directory.load());
  if (!config.made) return NotFoundError("the cluster in " + data + " was never started");
  prepare_process();
  ClusterOptions options;
  options.maintenance = true;
  options.collect = std::any_of(words.begin(), words.end(), [](const std::string& word) {
    return word == "--repair" || word == "--repair=true";
  });
  ASSIGN_OR_RETURN(const auto cluster, AllInOne::start(directory, config, options));
  TerminalOutput output;
  const int exit_status = cluster->run_admin(*find_admin_command("fsck"), words, &output);
  const Status stopped = cluster->stop();
  if (!stopped.ok()) return stopped;
  return exit_status;
}

}  // namespace

int command_fsck(const Arguments& arguments) {
  Arguments words = arguments;
  const std::string data = take_flag(&words, "--data");
  const bool help = std::find(words.begin(), words.end(), "--help") != words.end();
  const auto directory = ClusterDirectory::open(data);
  if (help || data.empty() || !directory.ok() || directory->running().ok())
    return command_admin("fsck", arguments);
  const auto exit_status = check_stopped(data, words);
  return exit_status.ok() ? *exit_status : fail(exit_status.status());
}

}  // namespace shoal::tools
