// The commands of `shoal`. Each takes its own arguments and returns the exit status: 0 ok, 1
// failed, 2 usage.
#pragma once

#include <string>
#include <vector>

#include "base/config.h"
#include "base/status.h"

namespace shoal::tools {

using Arguments = std::vector<std::string>;

inline constexpr int kExitOk = 0;
inline constexpr int kExitFailed = 1;
inline constexpr int kExitUsage = 2;

int command_up(const Arguments& arguments);
int command_down(const Arguments& arguments);
int command_status(const Arguments& arguments);
int command_umount(const Arguments& arguments);
int command_bench(const Arguments& arguments);

// Parses flags and environment. Returns whether the command goes on; else `exit_status` is what to
// end with, and help or the error has been printed.
bool parse_arguments(Config* config, const Arguments& arguments, int* exit_status);
// "shoal: MESSAGE" on stderr; gives `exit_status` back.
int fail(const Status& status, int exit_status = kExitFailed);

}  // namespace shoal::tools
