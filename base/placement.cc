#include "base/placement.h"

#include <algorithm>
#include <bit>
#include <map>
#include <set>

namespace shoal {
namespace {

using HostOf = std::map<DriveId, std::string>;  // of the drives that are up

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

// The most columns of a group that one host has.
int most_on_one_host(const PlacementGroup& group, const HostOf& host_of) {
  std::map<std::string, int> columns;
  int most = 0;
  for (const DriveId drive : group.drives) most = std::max(most, ++columns[host_of.at(drive)]);
  return most;
}

// The least that most_on_one_host() can be.
int fewest_on_one_host(const HostOf& host_of, int width) {
  std::map<std::string, int> sizes;
  for (const auto& [drive, host] : host_of) ++sizes[host];
  for (int most = 1;; ++most) {
    int room = 0;
    for (const auto& [host, drives] : sizes) room += std::min(drives, most);
    if (room >= width) return most;
  }
}

// As few columns as can be on each host, and of equals the drives that were used least.
std::vector<DriveId> spread_over_hosts(const std::vector<DriveId>& order, const HostOf& host_of,
                                       const std::map<DriveId, int>& uses, std::size_t width) {
  std::map<std::string, int> columns;
  std::vector<DriveId> left = order;
  std::vector<DriveId> chosen;
  while (chosen.size() < width) {
    const auto best = std::min_element(left.begin(), left.end(), [&](DriveId a, DriveId b) {
      const auto cost = [&](DriveId id) {
        const auto used = uses.find(id);
        return std::pair(columns[host_of.at(id)], used == uses.end() ? 0 : used->second);
      };
      return cost(a) < cost(b);
    });
    ++columns[host_of.at(*best)];
    chosen.push_back(*best);
    left.erase(best);
  }
  return chosen;
}

std::string host_warning(int per_host, std::size_t hosts, const CodeShape& code) {
  if (per_host <= 1) return "";
  if (per_host > code.m) {
    return "a " + to_string(code) + " row has " + std::to_string(per_host) +
           " columns on one host of " + std::to_string(hosts) +
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
  HostOf host_of;
  std::set<std::string> hosts;
  for (const DriveInfo& drive : drives) {
    if (drive.state != DriveState::kUp) continue;
    host_of[drive.id] = drive.host;
    hosts.insert(drive.host);
  }
  const int fewest = fewest_on_one_host(host_of, code.width());
  std::map<DriveId, int> uses;
  PlacementResult result;
  for (std::uint32_t g = 0; g < count; ++g) {
    PlacementGroup group;
    group.id = PgId(first_id.value() + g);
    group.code = code;
    // In turn each drive has each role equally often; among hosts of several sizes that may put
    // more columns on one host than need be.
    for (std::size_t c = 0; c < width; ++c) group.drives.push_back(order[(g + c) % order.size()]);
    if (most_on_one_host(group, host_of) > fewest) {
      group.drives = spread_over_hosts(order, host_of, uses, width);
      const auto turn = static_cast<std::ptrdiff_t>(g % width);
      std::rotate(group.drives.begin(), group.drives.begin() + turn, group.drives.end());
    }
    for (const DriveId drive : group.drives) ++uses[drive];
    result.groups.push_back(std::move(group));
  }
  result.warning = host_warning(fewest, hosts.size(), code);
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
