// Start-up: from the segments back to the index.
//
// Only one batch of a segment is ever in flight, so every batch but the last was durable before its
// successor was written; only the last one's payload is verified. A batch that does not verify is
// the torn end of the log, unless a later batch of the same life of the segment follows: then it is
// damage, which is reported, and what follows counts. What is lost here is restored from the rows'
// other columns, so no damage of segments keeps a drive from opening.
#include <algorithm>
#include <utility>

#include "base/log.h"
#include "storaged/store/drive.h"

namespace shoal::storaged {
Task<Status> Drive::recover() {
  auto found = co_await find_segments();
  if (!found.ok()) co_return found.status();
  std::vector<Record> records;
  std::vector<std::uint32_t> owners;
  for (std::size_t at = 0; at < found->size(); at += kRecoverAtOnce) {
    std::vector<Task<Result<std::vector<Record>>>> tasks;
    const std::size_t end = std::min(found->size(), at + kRecoverAtOnce);
    for (std::size_t i = at; i < end; ++i) tasks.push_back(recover_segment((*found)[i]));
    auto results = co_await when_all(std::move(tasks));
    for (std::size_t i = at; i < end; ++i) {
      auto& result = results[i - at];
      if (!result.ok()) co_return result.status();
      owners.insert(owners.end(), result->size(), (*found)[i]->id);
      std::move(result->begin(), result->end(), std::back_inserter(records));
    }
  }
  // A segment that cannot be read now may be readable at the next start: what is written meanwhile
  // must be newer than what is in it.
  for (const SegmentPtr& segment : *found)
    if (segment->incomplete) next_lsn_ += segment->page_count();
  co_await drop_unfinished_file();
  co_await keep_what_was_read();
  apply_recovered(std::move(records), std::move(owners));
  open_heads();
  co_return OkStatus();
}

Task<Result<std::vector<Drive::SegmentPtr>>> Drive::find_segments() {
  auto names = co_await directory_->list();
  if (!names.ok()) co_return names.status();
  std::vector<SegmentPtr> found;
  for (const std::string& name : *names) {
    std::uint32_t id = 0;
    if (!parse_segment_name(name, &id)) continue;
    auto device = co_await directory_->open(name);
    if (!device.ok()) co_return device.status();
    next_segment_id_ = std::max(next_segment_id_, id + 1);
    auto segment = std::make_shared<Segment>();
    segment->id = id;
    segment->device = std::move(*device);
    segment->written = segment->device->was_written();
    segments_[id] = segment;
    found.push_back(std::move(segment));
  }
  co_return found;
}

Task<Result<std::vector<Record>>> Drive::recover_segment(SegmentPtr segment) {
  const auto generation = co_await find_generation(*segment);
  if (!generation.ok()) co_return generation.status();
  segment->generation = *generation;
  next_generation_ = std::max(next_generation_, *generation + 1);
  const std::uint64_t size = segment->device->size_bytes();
  const bool cut = size != options_.segment_bytes;
  if (*generation == 0) {
    // Files are made one after another and have their header once they are whole, so only the
    // newest may be left unfinished by a crash.
    const bool unfinished = cut && !segment->retired && segment->id + 1 == next_segment_id_;
    if (cut && !unfinished)
      retire(*segment, CorruptionError("it has " + std::to_string(size) + " bytes and no header"));
    segment->state = segment->retired ? SegmentState::kSealed : SegmentState::kFree;
    co_return std::vector<Record>();
  }
  if (cut) {
    retire(*segment, CorruptionError("it has " + std::to_string(size) + " bytes, not " +
                                     std::to_string(options_.segment_bytes)));
  }
  auto footer = co_await read_footer(*segment);
  if (footer.ok()) {
    co_await skip_begun_life(*segment);
    segment->state = SegmentState::kSealed;
    co_return footer;
  }
  if (footer.status().code() != StatusCode::kNotFound) retire(*segment, footer.status());
  auto records = co_await scan_segment(*segment);
  segment->state = segment->retired ? SegmentState::kSealed : SegmentState::kActive;
  co_return records;
}

// A crash while a file was made: nothing was ever in it.
Task<void> Drive::drop_unfinished_file() {
  const auto newest = segments_.find(next_segment_id_ - 1);
  if (newest == segments_.end()) co_return;
  const SegmentPtr segment = newest->second;
  if (segment->state != SegmentState::kFree ||
      segment->device->size_bytes() == options_.segment_bytes) {
    co_return;
  }
  segments_.erase(newest);
  const std::string name = segment_name(segment->id);
  segment->device.reset();
  const Status removed = co_await directory_->remove(name);
  if (!removed.ok()) {
    log_warning("storaged", "an unfinished segment file stays",
                {{"segment", name}, {"status", removed}});
  }
}

// What was read of an open segment may be in the device's cache only, left there by a process that
// was killed in the middle of a write. It counts from now on, so it must stay: retries of it are
// answered, and the log goes on behind it.
Task<void> Drive::keep_what_was_read() {
  for (const auto& [id, segment] : segments_) {
    if (segment->state != SegmentState::kActive) continue;
    const Status flushed = co_await segment->device->flush();
    if (flushed.ok()) continue;
    failed_ = flushed;
    log_error("storaged", "a flush at the start has failed: the drive takes no writes",
              {{"segment", segment->device->name()}, {"status", flushed}});
  }
}

// All records of all segments, in the order of the log. Deletions first: they kill older and newer
// alike.
void Drive::apply_recovered(std::vector<Record> records, std::vector<std::uint32_t> owners) {
  absl::flat_hash_map<PackId, std::uint64_t> evicted_below;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const Record& record = records[i];
    Segment& segment = *segments_.at(owners[i]);
    if (record.type == RecordType::kFragment || record.type == RecordType::kSealPack)
      hold_pack(segment, record.key.pack);
    if (record.type != RecordType::kFragment) segment.controls.push_back(record);
    if (record.type == RecordType::kDeletePack) deleted_packs_.insert(record.key.pack);
    if (record.type == RecordType::kEvictPack) {
      std::uint64_t& below = evicted_below[record.key.pack];
      below = std::max(below, record.evict_below_lsn);
    }
    if (record.type == RecordType::kDeleteRows) {
      deleted_rows_[record.key.pack].insert(record.rows.begin(), record.rows.end());
    }
  }
  // Copies by the cleaner and repairs: of two records of one key the newest counts.
  absl::flat_hash_map<FragmentKey, std::uint64_t> newest;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const Record& record = records[i];
    if (deleted_packs_.contains(record.key.pack)) continue;
    if (record.type == RecordType::kSealPack) {
      Pack& pack = packs_[record.key.pack];
      pack.sealed_epoch = std::max(pack.sealed_epoch, record.seal_epoch);
    }
    if (record.type != RecordType::kFragment) continue;
    if (is_deleted(record.key)) continue;
    const auto evicted = evicted_below.find(record.key.pack);
    if (evicted != evicted_below.end() && record.lsn < evicted->second) continue;
    const auto [known, fresh] = newest.try_emplace(record.key, record.lsn);
    if (!fresh && known->second >= record.lsn) continue;
    known->second = record.lsn;
    replace_fragment(record, {owners[i], record.payload_page, record.payload_bytes,
                              record.batch_page, record.summary_pages});
  }
}

// Open segments are appended to again, one for each head; the spare of the last run is one more.
void Drive::open_heads() {
  std::vector<SegmentPtr> open;
  for (const auto& [id, segment] : segments_) {
    if (segment->state == SegmentState::kActive) open.push_back(segment);
  }
  std::sort(open.begin(), open.end(),
            [](const auto& a, const auto& b) { return a->generation < b->generation; });
  for (const SegmentPtr& segment : open) {
    if (segment->records.empty()) {
      segment->state = SegmentState::kFree;
    } else if (segment->closed) {
      background_.spawn(seal_segment(segment));
    } else if (heads_[kSmallHead].segment == nullptr) {
      heads_[kSmallHead].segment = segment.get();
    } else if (heads_[kLargeHead].segment == nullptr) {
      heads_[kLargeHead].segment = segment.get();
    } else {
      background_.spawn(seal_segment(segment));
    }
  }
}

}  // namespace shoal::storaged
