#include <cstdio>

#include "tools/commands/commands.h"

namespace shoal::tools {

int fail(const Status& status, int exit_status) {
  std::fprintf(stderr, "shoal: %s\n",
               status.message().empty() ? status.to_string().c_str() : status.message().c_str());
  return exit_status;
}

bool parse_arguments(Config* config, const Arguments& arguments, int* exit_status) {
  Status parsed = config->load_environment();
  if (parsed.ok()) parsed = config->load_flags(arguments);
  if (!parsed.ok()) {
    *exit_status = fail(parsed, kExitUsage);
    return false;
  }
  if (config->wants_help()) {
    std::fputs(config->help().c_str(), stdout);
    *exit_status = kExitOk;
    return false;
  }
  return true;
}

}  // namespace shoal::tools
