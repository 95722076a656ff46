#include "base/placement.h"

#include <algorithm>
#include <bit>
#include <map>
#include <string>
#include <tuple>

#include "base/failure_domains.h"

namespace shoal {
namespace {

using DriveIds = std::vector<DriveId>;

// One of each list in turn, until all are used up.
DriveIds interleave(const std::map<std::string, DriveIds>& lists) {
  DriveIds order;
  for (std::size_t i = 0;; ++i) {
    const std::size_t before = order.size();
    for (const auto& [name, ids] : lists) {
      if (i < ids.size()) order.push_back(ids[i]);
    }
    if (order.size() == before) return order;
  }
}

// The drives that are up in an order in which neighbours are in different domains as long as
// possible: one of each rack in turn, of the rack one of each host in turn.
DriveIds interleave_domains(const std::vector<DriveInfo>& drives) {
  std::map<std::string, std::map<std::string, DriveIds>> by_rack;
  for (const DriveInfo& drive : drives) {
    if (drive.state == DriveState::kUp) by_rack[drive.rack][drive.host].push_back(drive.id);
  }
  std::map<std::string, DriveIds> racks;
  for (const auto& [rack, hosts] : by_rack) racks[rack] = interleave(hosts);
  return interleave(racks);
}

int may_fail(const FailureDomains& domains, const CodeShape& code, const DriveIds& columns) {
  FailureDomains::Row row(domains, code);
  for (const DriveId drive : columns) row.add(drive);
  return row.may_fail();
}

// As few columns as can be in each domain that they are kept apart by, and of equals the drives
// that were used least.
DriveIds spread(const FailureDomains& domains, const CodeShape& code, DriveIds left,
                const std::map<DriveId, int>& uses) {
  FailureDomains::Row row(domains, code);
  DriveIds chosen;
  while (chosen.size() < static_cast<std::size_t>(code.width())) {
    const auto cost = [&](DriveId id) {
      const auto used = uses.find(id);
      const auto shared = row.shared_with(id);
      return std::tuple(shared.kept_apart, used == uses.end() ? 0 : used->second, shared.other);
    };
    const auto best = std::min_element(left.begin(), left.end(),
                                       [&](DriveId a, DriveId b) { return cost(a) < cost(b); });
    row.add(*best);
    chosen.push_back(*best);
    left.erase(best);
  }
  return chosen;
}

}  // namespace

Result<std::vector<PlacementGroup>> make_placement_groups(const std::vector<DriveInfo>& drives,
                                                          const CodeShape& code,
                                                          std::uint32_t count, PgId first_id) {
  RETURN_IF_ERROR(validate(code));
  const FailureDomains domains(drives);
  const DriveIds order = interleave_domains(drives);
  const auto width = static_cast<std::size_t>(code.width());
  if (order.size() < width) {
    return InvalidArgumentError("code " + to_string(code) + " needs " + std::to_string(width) +
                                " drives, " + std::to_string(order.size()) + " are up");
  }
  const int wanted = domains.may_fail(code);
  std::map<DriveId, int> uses;
  std::vector<PlacementGroup> groups;
  for (std::uint32_t g = 0; g < count; ++g) {
    PlacementGroup group;
    group.id = PgId(first_id.value() + g);
    group.code = code;
    // In turn each drive has each role equally often; among domains of several sizes that may put
    // too many columns into one.
    for (std::size_t c = 0; c < width; ++c) group.drives.push_back(order[(g + c) % order.size()]);
    if (may_fail(domains, code, group.drives) < wanted) {
      group.drives = spread(domains, code, order, uses);
      const auto turn = static_cast<std::ptrdiff_t>(g % width);
      std::rotate(group.drives.begin(), group.drives.begin() + turn, group.drives.end());
    }
    for (const DriveId drive : group.drives) ++uses[drive];
    groups.push_back(std::move(group));
  }
  return groups;
}

std::vector<PlacementGroup> make_fallback_groups(const std::vector<DriveInfo>& drives,
                                                 const CodeShape& code, PgId first_id) {
  constexpr std::size_t kMaxDrives = 16;
  std::vector<PlacementGroup> groups;
  const DriveIds order = interleave_domains(drives);
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

Protection protection_of(const ClusterMap& map) {
  Protection found;
  for (const PlacementGroup& group : map.groups) {
    if (group.code.k < found.code.k) continue;
    if (group.code.k > found.code.k) found = {.code = group.code};
    std::map<std::string, std::uint32_t> hosts;
    std::map<std::string, std::uint32_t> racks;
    for (const DriveId id : group.drives) {
      const DriveInfo* drive = map.drive(id);
      if (drive == nullptr) continue;
      found.columns_on_one_host = std::max(found.columns_on_one_host, ++hosts[drive->host]);
      found.columns_in_one_rack = std::max(found.columns_in_one_rack, ++racks[drive->rack]);
    }
  }
  return found;
}

}  // namespace shoal
