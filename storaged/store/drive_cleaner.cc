// Space: recycling dead segments, and copying what lives out of mostly dead ones.
#include <algorithm>
#include <limits>

#include "base/log.h"
#include "storaged/log/record_codec.h"
#include "storaged/store/drive.h"

namespace shoal::storaged {

std::uint32_t Drive::max_segments() const {
  if (options_.max_bytes > 0)
    return static_cast<std::uint32_t>(options_.max_bytes / options_.segment_bytes);
  const auto space = directory_->space();
  const std::uint64_t more = space.ok() ? space->free_bytes / options_.segment_bytes : 0;
  return static_cast<std::uint32_t>(segments_.size() + more);
}

// Segments that could still be taken: free ones and files not yet made.
std::uint32_t Drive::allocatable_segments() const {
  std::uint32_t free = 0;
  for (const auto& [id, segment] : segments_) {
    if (segment->state == SegmentState::kFree) ++free;
  }
  if (spare_ != nullptr) ++free;
  std::uint32_t more =
      max_segments() - std::min(max_segments(), static_cast<std::uint32_t>(segments_.size()));
  if (options_.max_bytes > 0 && more > 0) {
    const auto space = directory_->space();
    if (space.ok())
      more = std::min(more, static_cast<std::uint32_t>(space->free_bytes / options_.segment_bytes));
  }
  return free + more;
}

std::uint32_t Drive::reserved_segments() const {
  return std::max(kReservedSegments, max_segments() * kReservedPerMille / 1000);
}

// What a write has to leave free.
std::uint32_t Drive::kept_segments(bool reclaiming) const {
  const std::uint32_t kept = reserved_segments();
  if (reclaiming) return kept;
  return kept + std::max(kReclaimSegments, max_segments() * kReclaimPerMille / 1000);
}

void Drive::maybe_recycle(std::uint32_t id) {
  const auto found = segments_.find(id);
  if (found == segments_.end() || closing_) return;
  Segment& segment = *found->second;
  if (segment.state != SegmentState::kSealed || segment.retired || segment.live_fragments > 0 ||
      segment.readers > 0) {
    return;
  }
  segment.state = SegmentState::kPrepared;  // nobody else takes it meanwhile
  background_.spawn(recycle(found->second));
}

void Drive::recycle_dead() {
  std::vector<std::uint32_t> ids;  // recycling may add a segment
  for (const auto& [id, segment] : segments_) ids.push_back(id);
  for (const std::uint32_t id : ids) maybe_recycle(id);
}

// Whether a deletion or seal in `holder` still means something once `holder` is overwritten.
bool Drive::control_needed(const Record& control, const Segment& holder) const {
  if (control.type == RecordType::kSealPack) return packs_.contains(control.key.pack);
  if (being_written(control.key.pack)) return true;  // what is on its way is dead on arrival
  // A free segment is still on the disk as it was until it is used again.
  return std::any_of(segments_.begin(), segments_.end(), [&](const auto& entry) {
    return entry.second.get() != &holder && entry.second->packs.contains(control.key.pack);
  });
}

// The segment holds nothing that lives. What its deletions must go on killing elsewhere is said
// again first.
Task<void> Drive::recycle(SegmentPtr segment) {
  for (const Record& control : segment->controls) {
    if (!control_needed(control, *segment)) {
      if (control.type == RecordType::kDeletePack) deleted_packs_.erase(control.key.pack);
      continue;
    }
    Pending pending;
    pending.record = control;
    pending.recycling = true;
    const Status written = co_await append(&pending, kSmallHead);
    if (!written.ok()) {
      segment->state = SegmentState::kSealed;
      co_return;
    }
  }
  segment->state = SegmentState::kFree;
  segment->written = segment->written || segment->next_page + 1 >= segment->page_count();
}

// Whether the cleaner is to work: before clients are refused, however small the drive.
bool Drive::is_short_of_space() const {
  const std::uint32_t share = max_segments() * kCleanBelowPerMille / 1000;
  return allocatable_segments() < std::max(share, kept_segments(/*reclaiming=*/false) + 2);
}

void Drive::maybe_clean() {
  if (cleaning_ || closing_ || !failed_.ok()) return;
  if (!is_short_of_space()) return;
  recycle_dead();  // those whose recycling could not be written
  if (pick_victim() == nullptr) return;
  cleaning_ = true;
  background_.spawn(clean());
}

// The segment that gives back the most. What its copies will take counts, their share of summaries
// too: a segment of small fragments with a summary each is worth copying even when all of it lives,
// and its copies are not.
Drive::SegmentPtr Drive::pick_victim() const {
  SegmentPtr best;
  std::uint64_t best_pages = 0;
  for (const auto& [id, segment] : segments_) {
    if (segment->state != SegmentState::kSealed || segment->immovable || segment->retired) continue;
    // One that holds nothing is recycled when its last reader is done: there is nothing to clean.
    if (segment->live_fragments == 0) continue;
    const std::uint64_t pages =
        segment->live_pages + segment->live_fragments / kFragmentsPerSummaryPage;
    // Of what was written into it: copying does not win what was left over at its end.
    if (pages * 1000 > std::uint64_t{segment->next_page} * kCleanLivePerMille) continue;
    if (best != nullptr && pages >= best_pages) continue;
    best = segment;
    best_pages = pages;
  }
  return best;
}

Task<void> Drive::clean() {
  // Each segment once at most: where copies take as much as they give back there is no end.
  for (std::size_t left = segments_.size(); left > 0 && is_short_of_space(); --left) {
    if (closing_ || !failed_.ok()) break;
    const SegmentPtr victim = pick_victim();
    if (victim == nullptr) break;
    const std::uint32_t before = victim->live_fragments;
    Status cleaned = co_await clean_segment(victim);
    if (cleaned.ok() && !victim->immovable && victim->live_fragments >= before)
      cleaned = InternalError("nothing of it could be moved");
    if (!cleaned.ok()) {
      log_warning("storaged", "cleaning stopped", {{"segment", victim->id}, {"status", cleaned}});
      break;
    }
  }
  cleaning_ = false;
}

std::vector<Drive::Located> Drive::live_in(const Segment& segment) const {
  std::vector<Located> live;
  for (const auto& [pack, count] : segment.packs) {
    for (const Located& one : located(pack, 0, std::numeric_limits<std::size_t>::max()))
      if (one.location.segment == segment.id) live.push_back(one);
  }
  return live;
}

// Copies what lives; publish() drops the original from the index when the copy is durable. Several
// at once, so that the copies share summaries and flushes. What is damaged stays, until repair
// replaces it or it is deleted.
Task<Status> Drive::clean_segment(SegmentPtr segment) {
  const std::vector<Located> live = live_in(*segment);
  for (std::size_t at = 0; at < live.size() && !closing_;) {
    std::vector<Task<Status>> copies;
    std::uint64_t bytes = 0;
    for (; at < live.size() && bytes < kCleanBytesAtOnce && copies.size() < kCleanFragmentsAtOnce;
         ++at) {
      bytes += live[at].location.bytes;
      copies.push_back(relocate(live[at].key, live[at].location));
    }
    const std::vector<Status> copied = co_await when_all(std::move(copies));
    for (const Status& status : copied) {
      if (status.code() == StatusCode::kCorruption) {
        segment->immovable = true;
      } else if (!status.ok()) {
        co_return status;
      }
    }
  }
  maybe_recycle(segment->id);
  co_return OkStatus();
}

// Errors: kCorruption when it cannot be read, and those of append().
Task<Status> Drive::relocate(FragmentKey key, Location location) {
  while (controlled_.contains(key.pack)) co_await control_ended_.wait();
  while (writing_.contains(key)) co_await writing_changed_.wait();
  const KeyHold hold(this, key);
  // Also until the copy is published: what was deleted meanwhile must not lose its deletion.
  const SegmentUse use(this, location.segment);
  if (const Location* now = find(key); now == nullptr || *now != location) co_return OkStatus();
  auto record = co_await load_record(key, location);
  if (!record.ok()) {
    note_damage(key, location, record.status());
    co_return CorruptionError(record.status().message());
  }
  ReadFragmentRequest request;
  request.key = key;
  request.length = location.bytes;
  auto payload = co_await read_fragment(request);
  if (!payload.ok()) {
    const bool gone = payload.status().code() == StatusCode::kNotFound;
    co_return gone ? OkStatus() : CorruptionError(payload.status().message());
  }
  Pending pending;
  pending.record = std::move(*record);
  pending.payload.push_back(std::move(*payload));
  CO_RETURN_IF_ERROR(
      co_await append(&pending, location.bytes >= kLargeFragmentBytes ? kLargeHead : kSmallHead));
  cleaned_bytes_ += location.bytes;
  co_return OkStatus();
}

}  // namespace shoal::storaged
