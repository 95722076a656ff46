#include "base/placement.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <set>
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

// `width` of the drives, with as few columns as can be in each domain that they are kept apart by,
// and of equals those that were used least.
DriveIds spread(const FailureDomains& domains, const CodeShape& code, std::size_t width,
                DriveIds left, const std::map<DriveId, int>& uses) {
  FailureDomains::Row row(domains, code);
  DriveIds chosen;
  while (chosen.size() < width) {
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

// The widest row over the drives that are left of which as many domains may fail as of an ordinary
// one, or as near to that as they allow; empty when there is no room for data beside the parity.
DriveIds widest_row(const FailureDomains& domains, const CodeShape& code, const DriveIds& left,
                    const std::map<DriveId, int>& uses) {
  const std::size_t widest =
      std::min<std::size_t>(left.size(), static_cast<std::size_t>(code.width()));
  for (int wanted = domains.may_fail(code); wanted >= 0; --wanted) {
    for (std::size_t width = widest; width > code.m; --width) {
      DriveIds row = spread(domains, code, width, left, uses);
      if (may_fail(domains, code, row) >= wanted) return row;
    }
  }
  return {};
}

// `count` of the sets, all their elements together, in every choice. False, and nothing is added,
// when there are too many.
bool add_unions(const std::vector<DriveIds>& sets, std::size_t count, std::set<DriveIds>* to) {
  double choices = 1;
  for (std::size_t i = 0; i < count; ++i)
    choices *= static_cast<double>(sets.size() - i) / static_cast<double>(i + 1);
  if (count > sets.size()) return true;
  if (choices > static_cast<double>(kMaxLosses)) return false;
  std::vector<bool> chosen(sets.size());
  std::fill_n(chosen.begin(), count, true);
  do {
    DriveIds all;
    for (std::size_t i = 0; i < sets.size(); ++i)
      if (chosen[i]) all.insert(all.end(), sets[i].begin(), sets[i].end());
    std::sort(all.begin(), all.end());
    to->insert(std::move(all));
  } while (std::prev_permutation(chosen.begin(), chosen.end()));
  return true;
}

// Each set of drives that rows survive the loss of, ascending by size. The empty one too where
// there are not enough drives for an ordinary row.
std::vector<DriveIds> losses(const FailureDomains& domains, const CodeShape& code,
                             const DriveIds& drives) {
  std::set<DriveIds> found;
  if (drives.size() < static_cast<std::size_t>(code.width())) found.insert(DriveIds());
  std::vector<DriveIds> single;
  for (const DriveId drive : drives) single.push_back({drive});
  const auto add = [&](const std::vector<DriveIds>& sets, int most) {
    for (int count = 1; count <= most; ++count)
      if (!add_unions(sets, static_cast<std::size_t>(count), &found)) break;
  };
  add(single, code.m);
  add(domains.members(code), domains.may_fail(code));
  std::vector<DriveIds> losses(found.begin(), found.end());
  std::stable_sort(losses.begin(), losses.end(),
                   [](const auto& a, const auto& b) { return a.size() < b.size(); });
  return losses;
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
      group.drives = spread(domains, code, width, order, uses);
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
  std::vector<DriveInfo> up;
  std::copy_if(drives.begin(), drives.end(), std::back_inserter(up),
               [](const DriveInfo& drive) { return drive.state == DriveState::kUp; });
  const FailureDomains domains(up);
  const DriveIds order = interleave_domains(up);
  std::map<DriveId, int> uses;
  std::set<std::set<DriveId>> taken;
  std::vector<PlacementGroup> groups;
  for (const DriveIds& lost : losses(domains, code, order)) {
    if (groups.size() == kMaxFallbackGroups) break;
    DriveIds left;
    std::copy_if(order.begin(), order.end(), std::back_inserter(left),
                 [&](DriveId id) { return std::find(lost.begin(), lost.end(), id) == lost.end(); });
    const auto covered = [&](std::size_t columns) {
      return std::any_of(groups.begin(), groups.end(), [&](const PlacementGroup& group) {
        return group.drives.size() >= columns &&
               std::none_of(lost.begin(), lost.end(), [&](DriveId id) { return group.holds(id); });
      });
    };
    const auto width = static_cast<std::size_t>(code.width());
    if (left.size() > width && covered(width)) continue;
    DriveIds columns = widest_row(domains, code, left, uses);
    if (columns.empty() || (columns.size() < left.size() && covered(columns.size()))) continue;
    // Of all that are left there is but one choice, which is quicker to look up.
    if (!taken.insert(std::set<DriveId>(columns.begin(), columns.end())).second) continue;
    for (const DriveId drive : columns) ++uses[drive];
    // The columns' roles turn from group to group here too.
    const auto turn = static_cast<std::ptrdiff_t>(groups.size() % columns.size());
    std::rotate(columns.begin(), columns.begin() + turn, columns.end());
    PlacementGroup group;
    group.id = PgId(first_id.value() + static_cast<std::uint32_t>(groups.size()));
    group.code = {static_cast<std::uint8_t>(columns.size() - code.m), code.m, code.matrix};
    group.drives = std::move(columns);
    group.fallback = true;
    groups.push_back(std::move(group));
  }
  return groups;
}

Protection protection_of(const ClusterMap& map) {
  Protection found;
  for (const PlacementGroup& group : map.groups) {
    if (group.fallback || group.code.k < found.code.k) continue;
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
