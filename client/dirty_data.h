// DirtyData: bytes of a file that were written and are not yet stored, as runs that do not overlap.
// Buffers are shared, never changed, so a snapshot is cheap.
#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "base/buffer.h"

namespace shoal::client {

class DirtyData {
 public:
  using Runs = std::map<std::uint64_t, Buffer>;  // by file offset

  // Puts bytes in, over what is there.
  void write(std::uint64_t offset, Buffer data);
  // Takes [from, to) out.
  void erase(std::uint64_t from, std::uint64_t to);
  // Puts older runs below what is here: where both have bytes, these stay.
  void merge_below(const DirtyData& older);
  void clear();

  bool empty() const { return runs_.empty(); }
  std::uint64_t bytes() const { return bytes_; }
  // The end of the last run; 0 when empty.
  std::uint64_t end() const {
    return runs_.empty() ? 0 : runs_.rbegin()->first + runs_.rbegin()->second.size();
  }
  const Runs& runs() const { return runs_; }
  // The parts of runs that lie in [from, to), cut to it.
  std::vector<std::pair<std::uint64_t, Buffer>> slice(std::uint64_t from, std::uint64_t to) const;
  bool overlaps(std::uint64_t from, std::uint64_t to) const;

 private:
  Runs runs_;
  std::uint64_t bytes_ = 0;
};

// Adjacent runs put together into pieces of at most `limit` bytes that do not cross multiples of
// it.
std::vector<std::pair<std::uint64_t, Buffer>> coalesce(const DirtyData& data, std::uint64_t limit);

}  // namespace shoal::client
