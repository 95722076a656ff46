// FailureDomains: which drives may fail together, by the labels of the cluster map: those of one
// host, and those of one rack. Columns of a row are kept apart by racks where there are enough of
// them for a row to survive the loss of a whole one, else by hosts. That comes before even shares;
// the other kind after them.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <vector>

#include "base/cluster_map.h"

namespace shoal {

class FailureDomains {
 public:
  // How many columns of one row share a domain.
  struct Crowding {
    int kept_apart = 0;  // of the kind by which they are kept apart
    int other = 0;
  };
  // The columns of one row, as they are laid. The domains outlive it.
  class Row {
   public:
    Row(const FailureDomains& domains, const CodeShape& code);
    void add(DriveId drive);
    // How many of the columns fail with `drive`.
    Crowding shared_with(DriveId drive) const;
    // Of the kind by which they are kept apart, how many domains may fail and the row is readable.
    int may_fail() const { return by_rack_ ? racks_may_fail() : hosts_may_fail(); }
    int hosts_may_fail() const { return may_fail(on_host_); }
    int racks_may_fail() const { return may_fail(in_rack_); }

   private:
    int may_fail(const std::vector<int>& counts) const;

    const FailureDomains& domains_;
    const int parity_;
    const bool by_rack_;
    std::vector<int> on_host_;
    std::vector<int> in_rack_;
  };

  // What rows can survive is counted with the drives that are up, or down and expected back.
  explicit FailureDomains(const std::vector<DriveInfo>& drives);

  // The most that a row of this code can have of may_fail().
  int may_fail(const CodeShape& code) const;
  // Whether a row of this code can be laid so that a whole rack may fail.
  bool can_lose_a_rack(const CodeShape& code) const;
  // The drives, of those that stay, of each host; of each rack.
  std::vector<std::vector<DriveId>> hosts() const { return members(&Domain::host, host_count_); }
  std::vector<std::vector<DriveId>> racks() const { return members(&Domain::rack, racks_.size()); }

 private:
  struct Domain {
    std::size_t host = 0;
    std::size_t rack = 0;
  };
  std::vector<std::vector<DriveId>> members(std::size_t Domain::*kind, std::size_t count) const;

  absl::flat_hash_map<DriveId, Domain> domains_;
  std::vector<DriveId> staying_;
  std::size_t host_count_ = 0;
  std::vector<int> racks_;  // drives of each that stay
};

}  // namespace shoal
