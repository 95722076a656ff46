// Segment: one file of a drive's log, in memory. Plain data of the drive that owns it.
#pragma once

#include <absl/container/btree_set.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/io/block_device.h"
#include "storaged/log/format.h"

namespace shoal::storaged {

enum class SegmentState {
  kFree,      // nothing in it counts
  kPrepared,  // has the header of its next life
  kActive,    // a log head appends to it
  kSealed,    // full
};

// Of the file: "segment-00000007". Ids begin with 1.
std::string segment_name(std::uint32_t id);
bool parse_segment_name(const std::string& name, std::uint32_t* id);

// "fragment 12/3/0", for messages.
std::string describe(const FragmentKey& key);

struct Segment {
  std::uint32_t id = 0;
  std::unique_ptr<BlockDevice> device;
  SegmentState state = SegmentState::kFree;
  bool written = false;  // every page was written once: a durable overwrite is cheap
  std::uint64_t generation = 0;
  std::uint32_t next_page = 1;
  std::uint32_t footer_page = 0;  // of a sealed one that has a footer
  std::uint32_t previous_crc = 0;
  std::uint64_t last_lsn = 0;
  std::uint32_t live_fragments = 0;
  std::uint64_t live_pages = 0;
  int readers = 0;               // reads under way: it is not recycled before they end
  bool immovable = false;        // holds damaged fragments, which the cleaner cannot copy
  bool incomplete = false;       // some of what was written to it is missing from the index
  bool closed = false;           // found open, but nothing may follow what is in it
  bool retired = false;          // a part of the file cannot be read: never written again
  std::vector<Record> records;   // while active: what the footer will hold
  std::size_t footer_bytes = 0;  // of them
  std::vector<Record> controls;  // deletions and seals in it
  // It was dead and not worth being recycled when so much had been forgotten (Drive::forgotten_).
  std::uint64_t kept_at = 0;
  // Fragments and seals it holds, dead ones too: what a deletion must go on killing until the
  // header of its next life is durable.
  absl::btree_set<PackId> packs;

  std::uint32_t page_count() const {
    return static_cast<std::uint32_t>(device->size_bytes() / kPageSize);
  }
  // Pages that a batch may still use when the footer will need room for `more_footer_bytes` more.
  std::uint32_t room(std::size_t more_footer_bytes) const {
    const std::uint64_t kept = 1 + pages_of(sizeof(BatchHeader) + footer_bytes + more_footer_bytes);
    const std::uint64_t used = next_page + kept;
    return used >= page_count() ? 0 : static_cast<std::uint32_t>(page_count() - used);
  }
};

}  // namespace shoal::storaged
