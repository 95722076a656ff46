// How much of a file system a drive directory may fill.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"

namespace shoal::storaged {

// Bytes for each of these directories, which share one file system: an equal part of what is free
// there and what they hold already, less a little that is the file system's own. A directory that
// is not there yet counts as empty; its parent must exist. Errors: as statvfs(2).
Result<std::uint64_t> share_of_space(const std::vector<std::string>& directories);

}  // namespace shoal::storaged
