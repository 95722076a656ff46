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

FailureDomains::Row row_of(const FailureDomains& domains, const CodeShape& code,
                           const DriveIds& columns) {
  FailureDomains::Row row(domains, code);
  for (const DriveId drive : columns) row.add(drive);
  return row;
}

// How often each drive was chosen.
using Uses = std::map<DriveId, int>;
enum class Prefer : std::uint8_t { kEvenUse, kOtherDomains };

// `width` of the drives, with as few columns as can be in each domain that they are kept apart by;
// of equals those that were used least, or those that share least of the other kind of domain
// first.
DriveIds spread(const FailureDomains& domains, const CodeShape& code, std::size_t width,
                DriveIds left, const Uses& uses, Prefer prefer) {
  FailureDomains::Row row(domains, code);
  DriveIds chosen;
  while (chosen.size() < width) {
    const auto cost = [&](DriveId id) {
      const auto found = uses.find(id);
      const int used = found == uses.end() ? 0 : found->second;
      const auto shared = row.shared_with(id);
      return prefer == Prefer::kEvenUse ? std::tuple(shared.kept_apart, used, shared.other)
                                        : std::tuple(shared.kept_apart, shared.other, used);
    };
    const auto best = std::min_element(left.begin(), left.end(),
                                       [&](DriveId a, DriveId b) { return cost(a) < cost(b); });
    row.add(*best);
    chosen.push_back(*best);
    left.erase(best);
  }
  return chosen;
}

// How many hosts may fail of a row, and how many racks where columns are kept apart by them.
struct Survives {
  int hosts = 0;
  int racks = 0;
  bool as_much_as(const Survives& other) const {
    return hosts >= other.hosts && racks >= other.racks;
  }
};

class FallbackMaker {
 public:
  FallbackMaker(const std::vector<DriveInfo>& up, DriveIds order, const CodeShape& code)
      : domains_(up),
        code_(code),
        order_(std::move(order)),
        by_rack_(domains_.can_lose_a_rack(code)) {
    if (order_.size() >= width())
      ordinary_ = survives(spread(domains_, code, width(), order_, {}, Prefer::kOtherDomains));
  }
  std::vector<PlacementGroup> make(PgId first_id);

 private:
  using Mask = std::vector<std::uint64_t>;  // bit i: order_[i]
  struct Made {
    Mask columns;
    std::size_t width;
    GroupUse use;
  };

  std::size_t width() const { return static_cast<std::size_t>(code_.width()); }
  Survives survives(const DriveIds& columns) const {
    const FailureDomains::Row row = row_of(domains_, code_, columns);
    return {row.hosts_may_fail(), by_rack_ ? row.racks_may_fail() : 0};
  }
  Mask mask(const DriveIds& drives) const;
  std::vector<DriveIds> losses() const;
  DriveIds row_over(const DriveIds& left, GroupUse* use) const;
  bool covered(const Mask& lost, std::size_t columns, GroupUse use) const;

  const FailureDomains domains_;
  const CodeShape code_;
  const DriveIds order_;
  const bool by_rack_;
  Survives ordinary_;
  Uses uses_;
  std::vector<Made> made_;
};

FallbackMaker::Mask FallbackMaker::mask(const DriveIds& drives) const {
  Mask mask(order_.size() / 64 + 1);
  for (std::size_t i = 0; i < order_.size(); ++i) {
    if (std::find(drives.begin(), drives.end(), order_[i]) != drives.end())
      mask[i / 64] |= std::uint64_t{1} << (i % 64);
  }
  return mask;
}

bool FallbackMaker::covered(const Mask& lost, std::size_t columns, GroupUse use) const {
  return std::any_of(made_.begin(), made_.end(), [&](const Made& made) {
    if (made.width < columns || made.use > use) return false;
    for (std::size_t i = 0; i < lost.size(); ++i)
      if ((made.columns[i] & lost[i]) != 0) return false;
    return true;
  });
}

// The widest row over the drives that are left that survives as much as an ordinary one; else one
// that survives as much as can be, as the last resort. Empty when there is no room for data beside
// the parity.
DriveIds FallbackMaker::row_over(const DriveIds& left, GroupUse* use) const {
  const std::size_t widest = std::min(left.size(), width());
  *use = GroupUse::kFallback;
  for (std::size_t columns = widest; columns > code_.m; --columns) {
    DriveIds row = spread(domains_, code_, columns, left, uses_, Prefer::kOtherDomains);
    if (survives(row).as_much_as(ordinary_)) return row;
  }
  *use = GroupUse::kLastResort;
  for (int wanted = code_.m; wanted >= 0; --wanted) {
    for (std::size_t columns = widest; columns > code_.m; --columns) {
      DriveIds row = spread(domains_, code_, columns, left, uses_, Prefer::kOtherDomains);
      if (row_of(domains_, code_, row).may_fail() >= wanted) return row;
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
std::vector<DriveIds> FallbackMaker::losses() const {
  std::set<DriveIds> found;
  if (order_.size() < width()) found.insert(DriveIds());
  std::vector<DriveIds> single;
  for (const DriveId drive : order_) single.push_back({drive});
  const auto add = [&](const std::vector<DriveIds>& sets, int most) {
    for (int count = 1; count <= most; ++count)
      if (!add_unions(sets, static_cast<std::size_t>(count), &found)) break;
  };
  add(single, code_.m);
  add(domains_.hosts(), ordinary_.hosts);
  add(domains_.racks(), ordinary_.racks);
  std::vector<DriveIds> losses(found.begin(), found.end());
  std::stable_sort(losses.begin(), losses.end(),
                   [](const auto& a, const auto& b) { return a.size() < b.size(); });
  return losses;
}

std::vector<PlacementGroup> FallbackMaker::make(PgId first_id) {
  std::vector<PlacementGroup> groups;
  for (const DriveIds& lost : losses()) {
    if (groups.size() == kMaxFallbackGroups) break;
    const Mask lost_mask = mask(lost);
    if (covered(lost_mask, width(), GroupUse::kFallback)) continue;
    DriveIds left;
    std::copy_if(order_.begin(), order_.end(), std::back_inserter(left),
                 [&](DriveId id) { return std::find(lost.begin(), lost.end(), id) == lost.end(); });
    GroupUse use = GroupUse::kFallback;
    DriveIds columns = row_over(left, &use);
    if (columns.empty() || covered(lost_mask, columns.size(), use)) continue;
    for (const DriveId drive : columns) ++uses_[drive];
    made_.push_back({mask(columns), columns.size(), use});
    // The columns' roles turn from group to group here too.
    const auto turn = static_cast<std::ptrdiff_t>(groups.size() % columns.size());
    std::rotate(columns.begin(), columns.begin() + turn, columns.end());
    PlacementGroup group;
    group.id = PgId(first_id.value() + static_cast<std::uint32_t>(groups.size()));
    group.code = {static_cast<std::uint8_t>(columns.size() - code_.m), code_.m, code_.matrix};
    group.drives = std::move(columns);
    group.use = use;
    groups.push_back(std::move(group));
  }
  return groups;
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
  Uses uses;
  std::vector<PlacementGroup> groups;
  for (std::uint32_t g = 0; g < count; ++g) {
    PlacementGroup group;
    group.id = PgId(first_id.value() + g);
    group.code = code;
    // In turn each drive has each role equally often; among domains of several sizes that may put
    // too many columns into one.
    for (std::size_t c = 0; c < width; ++c) group.drives.push_back(order[(g + c) % order.size()]);
    if (row_of(domains, code, group.drives).may_fail() < wanted) {
      group.drives = spread(domains, code, width, order, uses, Prefer::kEvenUse);
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
  return FallbackMaker(up, interleave_domains(up), code).make(first_id);
}

Protection protection_of(const ClusterMap& map) {
  Protection found;
  found.code = map.code;
  for (const PlacementGroup& group : map.groups) {
    if (group.is_fallback() || group.code.k < found.code.k) continue;
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
