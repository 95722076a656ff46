#include "storaged/capacity.h"

#include <filesystem>

#include "base/io/raw_device.h"

namespace shoal::storaged {

namespace fs = std::filesystem;

namespace {

Result<std::uint64_t> share_of_space(const std::vector<std::string>& directories) {
  constexpr std::uint64_t kUsedPercent = 95;
  std::error_code error;
  std::uint64_t used = 0;
  for (const std::string& directory : directories) {
    std::error_code absent;
    for (const auto& entry : fs::directory_iterator(directory, absent)) {
      std::error_code gone;
      const auto size = entry.is_regular_file(gone) ? entry.file_size(gone) : 0;
      if (!gone) used += size;
    }
  }
  fs::path place = directories.front();
  while (!fs::exists(place, error) && place.has_relative_path()) place = place.parent_path();
  const fs::space_info space = fs::space(place, error);
  if (error) return ErrnoError(error.value(), "space of " + place.string());
  return (space.available + used) / 100 * kUsedPercent / directories.size();
}

}  // namespace

Result<std::vector<std::uint64_t>> drive_capacities(std::uint64_t configured,
                                                    const std::vector<std::string>& paths) {
  std::vector<std::string> directories;
  for (const std::string& path : paths)
    if (!is_block_device(path)) directories.push_back(path);
  std::uint64_t share = configured;
  if (share == 0 && !directories.empty()) {
    ASSIGN_OR_RETURN(share, share_of_space(directories));
  }
  std::vector<std::uint64_t> capacities;
  for (const std::string& path : paths)
    capacities.push_back(is_block_device(path) ? configured : share);
  return capacities;
}

}  // namespace shoal::storaged
