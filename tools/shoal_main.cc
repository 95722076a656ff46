// The `shoal` program: shoal COMMAND --flags.
#include <cstdio>
#include <functional>
#include <map>

#include "tools/admin/admin.h"
#include "tools/commands/commands.h"

namespace {

constexpr char kVersion[] = "0.1.0";

std::string usage() {
  std::string text =
      "Usage: shoal COMMAND [--flag VALUE]...\n\n"
      "  up        start a whole cluster on this machine\n"
      "  down      stop it\n"
      "  status    show it: drives, space, mounts, memory\n"
      "  mount     mount its file system\n"
      "  umount    unmount it\n"
      "  bench     loads and their figures\n\n"
      "Of a running cluster (--data DIR, or --metad HOST:PORT):\n\n";
  for (const auto& command : shoal::tools::admin_commands()) {
    std::string name = command.noun;
    name.resize(10, ' ');
    text.append("  ").append(name).append(command.purpose).append("\n");
  }
  return text + "\nshoal COMMAND --help tells the flags.\n";
}

}  // namespace

int main(int argc, char** argv) {
  using namespace shoal;
  using namespace shoal::tools;
  const std::map<std::string, std::function<int(const Arguments&)>> commands{
      {"up", command_up},       {"down", command_down},     {"status", command_status},
      {"mount", command_mount}, {"umount", command_umount}, {"metad", command_metad},
      {"fsck", command_fsck},   {"bench", command_bench}};
  if (argc < 2) {
    std::fputs(usage().c_str(), stderr);
    return kExitUsage;
  }
  const std::string name = argv[1];
  if (name == "--help" || name == "-h" || name == "help") {
    std::fputs(usage().c_str(), stdout);
    return kExitOk;
  }
  if (name == "--version") {
    std::printf("shoal %s\n", kVersion);
    return kExitOk;
  }
  const auto found = commands.find(name);
  if (found != commands.end()) return found->second(Arguments(argv + 2, argv + argc));
  if (find_admin_command(name) != nullptr)
    return command_admin(name, Arguments(argv + 2, argv + argc));
  std::vector<std::string> known;
  for (const auto& [command, function] : commands) known.push_back(command);
  for (const AdminCommand& command : admin_commands()) known.push_back(command.noun);
  const std::string near = shoal::nearest_name(name, known);
  std::fprintf(stderr, "shoal: command %s is not known%s\n", name.c_str(),
               near.empty() ? "" : ("; did you mean " + near + "?").c_str());
  return kExitUsage;
}
