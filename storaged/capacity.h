// How much of a file system a drive directory may fill.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace shoal::storaged {

// Bytes that each of these drives may use: what is configured, or for 0 all of a block device
// (which reads as 0) and for directories an equal part of what is free in the one file system they
// share and what they hold already, less a little that is the file system's own. A directory that
// is not there yet counts as empty. Errors: as statvfs(2).
Result<std::vector<std::uint64_t>> drive_capacities(std::uint64_t configured,
                                                    const std::vector<std::string>& paths);

}  // namespace shoal::storaged
