#include "storaged/capacity.h"

#include <filesystem>

namespace shoal::storaged {

namespace fs = std::filesystem;

Result<std::uint64_t> drive_capacity(std::uint64_t configured,
                                     const std::vector<std::string>& directories) {
  if (configured > 0) return configured;
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

}  // namespace shoal::storaged
