// Space: recycling dead segments, and copying what lives out of mostly dead ones.
#include <algorithm>
#include <limits>
#include <map>
#include <set>
#include <utility>

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
  if (!is_worth_recycling(segment)) return;
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
  const PackId pack = control.key.pack;
  if (control.type == RecordType::kSealPack) return packs_.contains(pack);
  // A free segment is still on the disk as it was until it is used again.
  const auto holders = holders_.find(pack);
  const std::uint32_t here = holder.packs.contains(pack) ? 1 : 0;
  if (holders != holders_.end() && holders->second > here) return true;
  return being_written(pack);  // what is on its way is dead on arrival
}

// What is to be said again of a segment before it is overwritten, each thing once: a crash between
// saying it and overwriting leaves it in both.
std::vector<Record> Drive::controls_to_keep(const Segment& segment) const {
  std::map<std::pair<PackId, RecordType>, Record> kept;
  std::map<PackId, std::set<std::uint32_t>> rows;
  for (const Record& control : segment.controls) {
    if (!control_needed(control, segment)) continue;
    const auto [known, fresh] = kept.try_emplace({control.key.pack, control.type}, control);
    Record& record = known->second;
    record.seal_epoch = std::max(record.seal_epoch, control.seal_epoch);
    record.evict_below_lsn = std::max(record.evict_below_lsn, control.evict_below_lsn);
    rows[control.key.pack].insert(control.rows.begin(), control.rows.end());
  }
  std::vector<Record> records;
  for (auto& [what, record] : kept) {
    const auto& [pack, type] = what;
    if (type != RecordType::kDeletePack && kept.contains({pack, RecordType::kDeletePack})) continue;
    if (type != RecordType::kDeleteRows) {
      records.push_back(std::move(record));
      continue;
    }
    const std::vector<std::uint32_t> all(rows[pack].begin(), rows[pack].end());
    for (std::size_t at = 0; at < all.size(); at += kMaxDeletedRows) {
      const std::size_t end = std::min(all.size(), at + kMaxDeletedRows);
      record.rows.assign(all.begin() + static_cast<std::ptrdiff_t>(at),
                         all.begin() + static_cast<std::ptrdiff_t>(end));
      records.push_back(record);
    }
  }
  return records;
}

// Whether a dead segment holds more than what would be said again of it, which is counted as if it
// shared pages: said once more, it never comes to less.
bool Drive::is_worth_recycling(Segment& segment) const {
  if (segment.kept_at == forgotten_) return false;
  std::size_t bytes = 0;
  bool settled = true;
  for (const Record& control : controls_to_keep(segment)) {
    bytes += record_size_bound(control);
    settled = settled && !being_written(control.key.pack);
  }
  const std::uint64_t pages = bytes == 0 ? 0 : pages_of(sizeof(BatchHeader) + bytes);
  if (pages * 1000 <= std::uint64_t{segment.next_page} * kCleanLivePerMille) return true;
  if (settled) segment.kept_at = forgotten_;
  return false;
}

void Drive::hold_pack(Segment& segment, PackId pack) {
  if (segment.packs.insert(pack).second) ++holders_[pack];
}

void Drive::forget_packs(Segment& segment) {
  for (const PackId pack : segment.packs) {
    const auto held = holders_.find(pack);
    if (--held->second == 0) holders_.erase(held);
  }
  segment.packs.clear();
  ++forgotten_;
}

// The segment holds nothing that lives. What its deletions must go on killing elsewhere is said
// again first.
Task<void> Drive::recycle(SegmentPtr segment) {
  segment->written = segment->written || segment->next_page + 1 >= segment->page_count();
  while (true) {
    Status said = co_await say_controls_again(segment);
    if (said.code() == StatusCode::kNoSpace) {
      const auto in_place = co_await recycle_in_place(segment);
      if (in_place.ok() && *in_place) co_return;
      if (in_place.ok()) continue;
      said = in_place.status();
    }
    segment->state = said.ok() ? SegmentState::kFree : SegmentState::kSealed;
    co_return;
  }
}

// All at once, so that they share summaries and flushes.
Task<Status> Drive::say_controls_again(SegmentPtr segment) {
  std::deque<Pending> again;
  std::vector<Task<Status>> appends;
  for (const Record& control : segment->controls) {
    if (control.type == RecordType::kDeletePack && !control_needed(control, *segment))
      deleted_packs_.erase(control.key.pack);
  }
  for (Record& control : controls_to_keep(*segment)) {
    Pending& pending = again.emplace_back();
    pending.record = std::move(control);
    pending.gives_back = true;
    appends.push_back(append(&pending, kSmallHead));
  }
  const std::vector<Status> said = co_await when_all(std::move(appends));
  Status first = OkStatus();
  segment->controls.clear();
  for (std::size_t i = 0; i < said.size(); ++i) {
    if (said[i].ok()) continue;
    segment->controls.push_back(std::move(again[i].record));
    if (first.ok()) first = said[i];
  }
  co_return first;
}

// Where no segment is free, a dead one begins its next life with what it has to say again: before
// its header is of that life, and short of its footer, which counts until then. It becomes the
// spare. False: another segment is free meanwhile. Errors: kNoSpace when that does not fit before
// its footer, and those of the device.
Task<Result<bool>> Drive::recycle_in_place(SegmentPtr segment) {
  const auto guard = co_await prepare_mutex_.lock();
  if (!failed_.ok()) co_return failed_;
  if (allocatable_segments() > 0) co_return false;
  std::deque<Pending> said;
  Head head;
  head.segment = segment.get();
  for (Record& control : controls_to_keep(*segment)) {
    said.emplace_back().record = std::move(control);
    head.queue.push_back(&said.back());
  }
  const std::uint32_t end_page = std::exchange(segment->next_page, 1);
  segment->footer_bytes = 0;
  std::vector<std::vector<Pending*>> batches;
  std::uint32_t pages = 0;
  while (!head.queue.empty()) {
    batches.push_back(take_batch(&head));
    if (batches.back().empty()) break;
    pages += pages_of(summary_size(batches.back()));
  }
  if (!head.queue.empty() || 1 + pages > segment->footer_page) {
    segment->next_page = end_page;
    co_return no_free_segment();
  }
  segment->generation = next_generation_++;
  segment->previous_crc = 0;
  segment->records.clear();
  segment->controls.clear();
  for (std::vector<Pending*>& batch : batches) {
    const Status written = co_await write_batch(&head, std::move(batch));
    if (!written.ok()) {
      fail(written);
      co_return written;
    }
  }
  CO_RETURN_IF_ERROR(co_await write_header(*segment));
  forget_packs(*segment);
  for (const Record& record : segment->records)
    if (record.type == RecordType::kSealPack) hold_pack(*segment, record.key.pack);
  segment->immovable = segment->incomplete = segment->closed = false;
  spare_ = std::move(segment);
  co_return true;
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
    Status cleaned = co_await clean_segment(victim, CleanInto::kUnreserved);
    if (cleaned.code() == StatusCode::kNoSpace) cleaned = co_await clean_into_last_segment(victim);
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
  for (const PackId pack : segment.packs) {
    for (const Located& one : located(pack, 0, std::numeric_limits<std::size_t>::max()))
      if (one.location.segment == segment.id) live.push_back(one);
  }
  return live;
}

// Copies what lives; publish() drops the original from the index when the copy is durable. Several
// at once, so that the copies share summaries and flushes. What is damaged stays, until repair
// replaces it or it is deleted.
Task<Status> Drive::clean_segment(SegmentPtr segment, CleanInto into) {
  const std::vector<Located> live = live_in(*segment);
  for (std::size_t at = 0; at < live.size() && !closing_;) {
    std::vector<Task<Status>> copies;
    std::uint64_t bytes = 0;
    for (; at < live.size() && bytes < kCleanBytesAtOnce && copies.size() < kCleanFragmentsAtOnce;
         ++at) {
      bytes += live[at].location.bytes;
      copies.push_back(relocate(live[at].key, live[at].location, into));
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

// Where nothing is left to copies, and perhaps not to deletions either, every segment may still
// hold a little that lives: then only this gives space back. The segment that the copies take is
// made good by the one that they empty, so all of it has to be readable, and to fit with a summary
// for each fragment.
Task<Status> Drive::clean_into_last_segment(SegmentPtr segment) {
  const std::uint64_t pages = std::uint64_t{segment->live_pages} + segment->live_fragments;
  const std::uint64_t footer = pages_of(sizeof(BatchHeader) + segment->footer_bytes);
  if (pages + footer + 2 > segment->page_count()) co_return no_free_segment();
  for (const Located& one : live_in(*segment)) {
    if (closing_) co_return OkStatus();
    const SegmentUse use(this, segment->id);
    const auto loaded = co_await load(one.key, one.location);
    if (loaded.ok() || loaded.status().code() == StatusCode::kNotFound) continue;
    segment->immovable = true;
    co_return OkStatus();
  }
  co_return co_await clean_segment(std::move(segment), CleanInto::kLastSegment);
}

// A fragment with its record. Errors: kNotFound when it is gone or elsewhere, kCorruption when it
// cannot be read.
Task<Result<Drive::Loaded>> Drive::load(FragmentKey key, Location location) {
  if (const Location* now = find(key); now == nullptr || *now != location)
    co_return NotFoundError(describe(key) + " is not there any more");
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
    if (payload.status().code() == StatusCode::kNotFound) co_return payload.status();
    co_return CorruptionError(payload.status().message());
  }
  co_return Loaded{std::move(*record), std::move(*payload)};
}

// Errors: kCorruption when it cannot be read, and those of append().
Task<Status> Drive::relocate(FragmentKey key, Location location, CleanInto into) {
  co_await nobody_writes(key);
  const KeyHold hold(this, key);
  // Also until the copy is published: what was deleted meanwhile must not lose its deletion.
  const SegmentUse use(this, location.segment);
  const auto loaded = co_await load(key, location);
  if (loaded.status().code() == StatusCode::kNotFound) co_return OkStatus();
  if (!loaded.ok()) co_return loaded.status();
  const bool large = location.bytes >= kLargeFragmentBytes;
  Status copied;
  for (const HeadIndex head : {large ? kLargeHead : kSmallHead, large ? kSmallHead : kLargeHead}) {
    Pending pending;
    pending.record = loaded->record;
    pending.payload.push_back(loaded->payload);
    pending.gives_back = into == CleanInto::kLastSegment;
    copied = co_await append(&pending, head);
    if (copied.code() != StatusCode::kNoSpace) break;  // else the other may have room left
  }
  CO_RETURN_IF_ERROR(copied);
  cleaned_bytes_ += location.bytes;
  co_return OkStatus();
}

}  // namespace shoal::storaged
