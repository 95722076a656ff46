#include "base/failure_domains.h"

#include <algorithm>
#include <map>
#include <string>

namespace shoal {

FailureDomains::FailureDomains(const std::vector<DriveInfo>& drives) {
  std::map<std::string, std::size_t> hosts;
  std::map<std::string, std::size_t> racks;
  for (const DriveInfo& drive : drives) {
    const Domain domain{hosts.emplace(drive.host, hosts.size()).first->second,
                        racks.emplace(drive.rack, racks.size()).first->second};
    domains_[drive.id] = domain;
    host_count_ = hosts.size();
    racks_.resize(racks.size());
    if (drive.state != DriveState::kUp && drive.state != DriveState::kDown) continue;
    staying_.push_back(drive.id);
    ++racks_[domain.rack];
  }
}

bool FailureDomains::can_lose_a_rack(const CodeShape& code) const {
  int room = 0;  // for columns when no rack takes more than may be lost
  for (const int drives : racks_) room += std::min<int>(drives, code.m);
  return room >= code.width();
}

std::vector<std::vector<DriveId>> FailureDomains::members(std::size_t Domain::*kind,
                                                          std::size_t count) const {
  std::vector<std::vector<DriveId>> members(count);
  for (const DriveId id : staying_) members[domains_.at(id).*kind].push_back(id);
  std::erase_if(members, [](const auto& drives) { return drives.empty(); });
  return members;
}

int FailureDomains::may_fail(const CodeShape& code) const {
  Row row(*this, code);
  std::vector<DriveId> left = staying_;
  for (int c = 0; c < code.width() && !left.empty(); ++c) {
    const auto best = std::min_element(left.begin(), left.end(), [&](DriveId a, DriveId b) {
      return row.shared_with(a).kept_apart < row.shared_with(b).kept_apart;
    });
    row.add(*best);
    left.erase(best);
  }
  return row.may_fail();
}

FailureDomains::Row::Row(const FailureDomains& domains, const CodeShape& code)
    : domains_(domains),
      parity_(code.m),
      by_rack_(domains.can_lose_a_rack(code)),
      on_host_(domains.host_count_),
      in_rack_(domains.racks_.size()) {}

void FailureDomains::Row::add(DriveId drive) {
  const auto found = domains_.domains_.find(drive);
  if (found == domains_.domains_.end()) return;  // removed from the map: fails with nobody
  ++on_host_[found->second.host];
  ++in_rack_[found->second.rack];
}

FailureDomains::Crowding FailureDomains::Row::shared_with(DriveId drive) const {
  const auto found = domains_.domains_.find(drive);
  if (found == domains_.domains_.end()) return {};
  const int on_host = on_host_[found->second.host];
  const int in_rack = in_rack_[found->second.rack];
  return by_rack_ ? Crowding{in_rack, on_host} : Crowding{on_host, in_rack};
}

int FailureDomains::Row::may_fail(const std::vector<int>& counts) const {
  const auto most = std::max_element(counts.begin(), counts.end());
  return most == counts.end() || *most == 0 ? 0 : parity_ / *most;
}

}  // namespace shoal
