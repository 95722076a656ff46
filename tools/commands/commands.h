// The commands of `shoal`. Each takes its own arguments and returns the exit status: 0 ok, 1
// failed, 2 usage.
#pragma once

#include <string>
#include <vector>

#include "base/program.h"

namespace shoal::tools {

using Arguments = std::vector<std::string>;

int command_up(const Arguments& arguments);
int command_down(const Arguments& arguments);
int command_status(const Arguments& arguments);
int command_mount(const Arguments& arguments);
int command_umount(const Arguments& arguments);
int command_fsck(const Arguments& arguments);
int command_metad(const Arguments& arguments);
int command_bench(const Arguments& arguments);
// One of tools/admin.
int command_admin(const std::string& noun, const Arguments& arguments);

}  // namespace shoal::tools
