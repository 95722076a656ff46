// Drives that join and leave a running cluster of `shoal up`: what `shoal drive add PATH` and
// `shoal drive remove ID` do beside the cluster map: the configuration of the data directory, and
// who serves them. One at a time.
#pragma once

#include <mutex>
#include <string>

#include "tools/cluster.h"
#include "tools/cluster_directory.h"

namespace shoal::tools {

class LocalDrives {
 public:
  // All outlive it. `config` is what `directory` holds, and stays so.
  LocalDrives(Cluster& cluster, const ClusterDirectory& directory, ClusterConfig& config)
      : cluster_(cluster), directory_(directory), config_(config) {}

  // Whether these words of `shoal drive` are for here.
  static bool takes(const std::vector<std::string>& words);
  // Any thread. Returns the exit status.
  int run(const std::vector<std::string>& words, AdminOutput* output);

 private:
  // Makes a drive of an empty directory or a blank device, serves it and lets it join. A crash in
  // between is made good by the next start. Errors: kAlreadyExists when the path is a drive of this
  // cluster; why it cannot be made.
  Status add(const std::string& path, AdminOutput* output);
  int remove(const std::vector<std::string>& words, AdminOutput* output);
  Status save_without(DriveId id);

  Cluster& cluster_;
  const ClusterDirectory& directory_;
  ClusterConfig& config_;
  std::mutex mutex_;  // held for a whole run()
};

}  // namespace shoal::tools
