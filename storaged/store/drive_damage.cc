// What the drive knows to be bad, and what repair asks of it.
#include "base/crc32c.h"
#include "base/log.h"
#include "storaged/store/drive.h"

namespace shoal::storaged {

// Only if the bad bytes are still what the index names: a read may end after its fragment was
// replaced or deleted.
void Drive::note_damage(const FragmentKey& key, const Location& location, const Status& why) {
  const Location* now = find(key);
  if (now == nullptr || *now != location) return;
  if (!damage_.add(key, why.message())) return;
  log_error("storaged", "a fragment is damaged",
            {{"drive", options_.identity.drive.value()}, {"status", why}});
}

std::vector<DamagedFragment> Drive::damaged_fragments(FragmentKey after,
                                                      std::uint32_t limit) const {
  return damage_.list(after, limit);
}

Task<Result<std::vector<RowObject>>> Drive::row_directory(FragmentKey key) {
  const Location* found = find(key);
  if (found == nullptr) co_return not_here(key);
  const Location location = *found;
  auto record = co_await load_record(key, location);
  if (!record.ok()) {
    note_damage(key, location, record.status());
    co_return record.status();
  }
  co_return std::move(record->directory);
}

// Whether the fragment that a repair brings is there already, whole. Whatever keeps it from being
// read is a reason to write it.
Task<bool> Drive::holds_already(const WriteFragmentRequest* request, Location location) {
  const auto record = co_await load_record(request->key, location);
  if (!record.ok() || record->shape != request->shape || record->page_crcs != request->page_crcs)
    co_return false;
  const SegmentUse use(this, location.segment);
  const auto bytes = co_await use.segment().device->read(
      std::uint64_t{location.payload_page} * kPageSize, round_up(location.bytes, kPageSize));
  co_return bytes.ok() && page_crc32cs(bytes->span().first(location.bytes)) == request->page_crcs;
}

}  // namespace shoal::storaged
