// Admin commands from the command line: to the program that runs over --data DIR, or straight to
// the daemons of the cluster whose metad is at --metad HOST:PORT.
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "client/remote_cluster.h"
#include "tools/admin/admin.h"
#include "tools/cluster_directory.h"
#include "tools/commands/terminal.h"
#include "tools/control_socket.h"

namespace shoal::tools {
namespace {

Result<int> run_remote(const AdminCommand& command, const std::string& metad,
                       const Arguments& words, AdminOutput* output) {
  ASSIGN_OR_RETURN(const auto loop, EventLoop::create("shoal-admin"));
  loop->start();
  int exit_status = kExitFailed;
  {
    client::RemoteCluster remote(*loop, metad, "shoal " + command.noun);
    AdminCluster cluster{*loop, remote.metadata(),
                         [&](const DriveInfo& drive) { return &remote.storage(drive.address); }};
    exit_status = sync_wait(*loop, command.run(&cluster, words, output));
    sync_wait(*loop, remote.close());
  }
  loop->stop();
  loop->join();
  return exit_status;
}

Task<int> show_help(const AdminCommand* command, Arguments words, AdminOutput* output) {
  co_return co_await command->run(nullptr, std::move(words), output);
}

}  // namespace

int command_admin(const std::string& noun, const Arguments& arguments) {
  const AdminCommand* const command = find_admin_command(noun);
  CHECK(command != nullptr);
  TerminalOutput output;
  Arguments words = arguments;
  const std::string data = take_flag(&words, "--data");
  const std::string metad = take_flag(&words, "--metad");
  if (std::find(words.begin(), words.end(), "--help") != words.end()) {
    const auto loop = EventLoop::create("shoal-admin");
    if (!loop.ok()) return fail(loop.status());
    (*loop)->start();
    const int exit_status = sync_wait(**loop, show_help(command, words, &output));
    (*loop)->stop();
    (*loop)->join();
    return exit_status;
  }
  // It is looked up where the cluster runs, whose working directory is another one.
  if (noun == "drive" && words.size() == 2 && words[0] == "add")
    words[1] = std::filesystem::absolute(words[1]).string();
  const auto has = [&](const char* word) {
    return std::find(words.begin(), words.end(), word) != words.end();
  };
  if (noun == "scrub" && has("--wait") && isatty(STDERR_FILENO) != 0) words.push_back("--progress");
  if (data.empty() == metad.empty()) {
    return fail(InvalidArgumentError("--data DIR of a cluster that runs on this machine is needed, "
                                     "or --metad HOST:PORT"),
                kExitUsage);
  }
  Result<int> exit_status = kExitFailed;
  if (!metad.empty()) {
    exit_status = run_remote(*command, metad, words, &output);
  } else {
    const auto directory = ClusterDirectory::open(data);
    if (!directory.ok()) return fail(directory.status());
    const auto running = directory->running();
    if (!running.ok()) return fail(running.status());
    words.insert(words.begin(), noun);
    exit_status = ask_control_socket(directory->run_path() + "/control", words, &output);
  }
  return exit_status.ok() ? *exit_status : fail(exit_status.status());
}

}  // namespace shoal::tools
