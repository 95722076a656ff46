#include "base/placement.h"

#include <algorithm>
#include <bit>
#include <map>

namespace shoal {
namespace {

// Drives in an order in which neighbours are on different hosts as long as possible: one of each
// host in turn.
std::vector<DriveId> interleave_hosts(const std::vector<DriveInfo>& drives) {
  std::map<std::string, std::vector<DriveId>> by_host;
  for (const DriveInfo& drive : drives) {
    if (drive.state == DriveState::kUp) by_host[drive.host].push_back(drive.id);
  }
  std::vector<DriveId> order;
  for (std::size_t i = 0;; ++i) {
    const std::size_t before = order.size();
    for (const auto& [host, ids] : by_host) {
      if (i < ids.size()) order.push_back(ids[i]);
    }
    if (order.size() == before) return order;
  }
}

std::string host_warning(const std::vector<DriveInfo>& drives, const CodeShape& code) {
  std::map<std::string, int> hosts;
  for (const DriveInfo& drive : drives) ++hosts[drive.host];
  const int host_count = static_cast<int>(hosts.size());
  const int per_host = (code.width() + host_count - 1) / host_count;
  if (per_host <= 1) return "";
  if (per_host > code.m) {
    return "a " + to_string(code) + " row has " + std::to_string(per_host) +
           " columns on one host of " + std::to_string(host_count) +
           ": drives may fail, but not a whole host";
  }
  return "a " + to_string(code) + " row has up to " + std::to_string(per_host) +
         " columns on one host: " + std::to_string(code.m / per_host) + " host(s) may fail";
}

}  // namespace

Result<PlacementResult> make_placement_groups(const std::vector<DriveInfo>& drives,
                                              const CodeShape& code, std::uint32_t count,
                                              PgId first_id) {
  RETURN_IF_ERROR(validate(code));
  const std::vector<DriveId> order = interleave_hosts(drives);
  const auto width = static_cast<std::size_t>(code.width());
  if (order.size() < width) {
    return InvalidArgumentError("code " + to_string(code) + " needs " + std::to_string(width) +
                                " drives, " + std::to_string(order.size()) + " are up");
  }
  PlacementResult result;
  for (std::uint32_t g = 0; g < count; ++g) {
    PlacementGroup group;
    group.id = PgId(first_id.value() + g);
    group.code = code;
    for (std::size_t c = 0; c < width; ++c) group.drives.push_back(order[(g + c) % order.size()]);
    result.groups.push_back(std::move(group));
  }
  result.warning = host_warning(drives, code);
  return result;
}

std::vector<PlacementGroup> make_fallback_groups(const std::vector<DriveInfo>& drives,
                                                 const CodeShape& code, PgId first_id) {
  constexpr std::size_t kMaxDrives = 16;
  std::vector<PlacementGroup> groups;
  const std::vector<DriveId> order = interleave_hosts(drives);
  if (order.size() > kMaxDrives) return groups;
  for (std::uint32_t lost = 1; lost < 1U << order.size(); ++lost) {
    const auto lost_count = static_cast<std::size_t>(std::popcount(lost));
    const std::size_t left = order.size() - lost_count;
    if (lost_count > code.m || left >= static_cast<std::size_t>(code.width()) || left <= code.m)
      continue;
    PlacementGroup group;
    group.id = PgId(first_id.value() + static_cast<std::uint32_t>(groups.size()));
    group.code = {static_cast<std::uint8_t>(left - code.m), code.m, code.matrix};
    for (std::size_t i = 0; i < order.size(); ++i) {
      if ((lost >> i & 1) == 0) group.drives.push_back(order[i]);
    }
    // The columns' roles turn from group to group here too.
    const auto turn = static_cast<std::ptrdiff_t>(groups.size() % group.drives.size());
    std::rotate(group.drives.begin(), group.drives.begin() + turn, group.drives.end());
    groups.push_back(std::move(group));
  }
  return groups;
}

}  // namespace shoal
