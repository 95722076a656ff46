// The admin commands by noun; AdminCommand::run of each.
#pragma once

#include "tools/admin/admin.h"

namespace shoal::tools {

Task<int> run_drive(AdminCluster* cluster, std::vector<std::string> words, AdminOutput* output);
Task<int> run_fsck(AdminCluster* cluster, std::vector<std::string> words, AdminOutput* output);
Task<int> run_metad(AdminCluster* cluster, std::vector<std::string> words, AdminOutput* output);
Task<int> run_repair(AdminCluster* cluster, std::vector<std::string> words, AdminOutput* output);
Task<int> run_scrub(AdminCluster* cluster, std::vector<std::string> words, AdminOutput* output);
Task<int> run_space(AdminCluster* cluster, std::vector<std::string> words, AdminOutput* output);

}  // namespace shoal::tools
