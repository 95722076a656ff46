// Start-up: from the segments back to the index.
//
// Only one batch of a segment is ever in flight, so every batch but the last was durable before its
// successor was written; only the last one's payload is verified. A batch that does not verify is
// the torn end of the log, unless a later batch of the same life of the segment follows: then it is
// damage, which is reported, and what follows counts.
#include <algorithm>
#include <charconv>
#include <cstring>

#include "base/crc32c.h"
#include "base/log.h"
#include "storaged/log/record_codec.h"
#include "storaged/store/drive.h"

namespace shoal::storaged {
namespace {

bool parse_segment_name(const std::string& name, std::uint32_t* id) {
  constexpr std::string_view kPrefix = "segment-";
  if (!name.starts_with(kPrefix)) return false;
  const char* end = name.data() + name.size();
  const auto parsed = std::from_chars(name.data() + kPrefix.size(), end, *id);
  return parsed.ec == std::errc() && parsed.ptr == end && *id > 0;
}

}  // namespace

Task<Status> Drive::recover() {
  auto names = co_await directory_->list();
  if (!names.ok()) co_return names.status();
  std::vector<SegmentPtr> found;
  for (const std::string& name : *names) {
    std::uint32_t id = 0;
    if (!parse_segment_name(name, &id)) continue;
    auto device = co_await directory_->open(name);
    if (!device.ok()) co_return device.status();
    next_segment_id_ = std::max(next_segment_id_, id + 1);
    if ((*device)->size_bytes() != options_.segment_bytes) {
      // A crash while it was made: nothing was ever in it.
      device->reset();
      CO_RETURN_IF_ERROR(co_await directory_->remove(name));
      continue;
    }
    auto segment = std::make_shared<Segment>();
    segment->id = id;
    segment->device = std::move(*device);
    segment->written = true;
    segments_[id] = segment;
    found.push_back(std::move(segment));
  }
  std::vector<Record> records;
  std::vector<std::uint32_t> owners;
  for (std::size_t at = 0; at < found.size(); at += kRecoverAtOnce) {
    std::vector<Task<Result<std::vector<Record>>>> tasks;
    const std::size_t end = std::min(found.size(), at + kRecoverAtOnce);
    for (std::size_t i = at; i < end; ++i) tasks.push_back(recover_segment(found[i]));
    auto results = co_await when_all(std::move(tasks));
    for (std::size_t i = at; i < end; ++i) {
      auto& result = results[i - at];
      if (!result.ok()) co_return result.status();
      owners.insert(owners.end(), result->size(), found[i]->id);
      std::move(result->begin(), result->end(), std::back_inserter(records));
    }
  }
  apply_recovered(std::move(records), std::move(owners));
  co_return OkStatus();
}

Task<Result<std::vector<Record>>> Drive::recover_segment(SegmentPtr segment) {
  auto page = co_await segment->device->read(0, kPageSize);
  if (!page.ok()) co_return page.status();
  SegmentHeader header{};
  std::memcpy(&header, page->data(), sizeof header);
  if (header.magic == kSegmentMagic && header.format_version > kFormatVersion) {
    co_return NotSupportedError(segment->device->name() + " is of format version " +
                                std::to_string(header.format_version) +
                                ", newer than this program knows");
  }
  if (header.magic != kSegmentMagic || header.crc != struct_crc(header) ||
      header.drive_uuid != uuid_ || header.segment_id != segment->id) {
    co_return std::vector<Record>();  // never used, or the header itself was torn: nothing was
                                      // acknowledged in it
  }
  segment->generation = header.generation;
  next_generation_ = std::max(next_generation_, header.generation + 1);
  auto footer = co_await read_footer(*segment);
  if (footer.ok()) {
    segment->state = SegmentState::kSealed;
    co_return footer;
  }
  if (footer.status().code() != StatusCode::kNotFound) co_return footer;
  segment->state = SegmentState::kActive;
  co_return co_await scan_segment(*segment);
}

// kNotFound when the segment was not sealed, or its footer does not verify: then it is scanned.
Task<Result<std::vector<Record>>> Drive::read_footer(Segment& segment) {
  const std::uint64_t last = std::uint64_t{segment.page_count() - 1} * kPageSize;
  auto page = co_await segment.device->read(last, kPageSize);
  if (!page.ok()) co_return page.status();
  SegmentTrailer trailer{};
  std::memcpy(&trailer, page->data(), sizeof trailer);
  if (trailer.magic != kTrailerMagic || trailer.crc != struct_crc(trailer) ||
      trailer.generation != segment.generation || trailer.footer_page >= segment.page_count()) {
    co_return NotFoundError("no trailer");
  }
  auto bytes =
      co_await segment.device->read(std::uint64_t{trailer.footer_page} * kPageSize, kPageSize);
  if (!bytes.ok()) co_return bytes.status();
  const auto view = peek_batch(bytes->span(), uuid_, segment.id, segment.generation);
  if (!view.ok() || view->header.kind != BatchKind::kFooter ||
      trailer.footer_page + view->summary_pages > segment.page_count()) {
    co_return NotFoundError("no footer");
  }
  auto summary = co_await segment.device->read(std::uint64_t{trailer.footer_page} * kPageSize,
                                               std::size_t{view->summary_pages} * kPageSize);
  if (!summary.ok()) co_return summary.status();
  auto records = parse_summary(summary->span(), *view);
  if (!records.ok()) co_return NotFoundError("footer: " + records.status().message());
  segment.next_page = trailer.footer_page + view->summary_pages;
  segment.last_lsn = trailer.last_lsn;
  next_lsn_ = std::max(next_lsn_, view->header.lsn + 1);
  co_return records;
}

Task<Result<std::vector<Record>>> Drive::scan_segment(Segment& segment) {
  std::vector<Record> all;
  std::vector<Record> last;  // of the batch whose payload is still to be verified
  BatchHeader last_header{};
  std::uint32_t page = 1;
  while (page + 1 < segment.page_count()) {
    auto first = co_await segment.device->read(std::uint64_t{page} * kPageSize, kPageSize);
    if (!first.ok()) co_return first.status();
    const auto view = peek_batch(first->span(), uuid_, segment.id, segment.generation);
    if (!view.ok() && view.status().code() == StatusCode::kNotSupported) co_return view.status();
    Result<std::vector<Record>> records = NotFoundError("no batch");
    std::uint32_t end = 0;
    if (view.ok() && view->header.kind == BatchKind::kData) {
      end = page + view->summary_pages + view->header.payload_pages;
      if (end < segment.page_count()) {
        auto summary = co_await segment.device->read(std::uint64_t{page} * kPageSize,
                                                     std::size_t{view->summary_pages} * kPageSize);
        if (!summary.ok()) co_return summary.status();
        records = parse_summary(summary->span(), *view);
      }
    }
    if (!records.ok()) {
      const std::uint32_t later = co_await find_later_batch(segment, page + 1, segment.last_lsn);
      if (later == 0) break;
      log_error("storaged", "damage inside the log: a batch does not verify, later ones do",
                {{"segment", segment.device->name()}, {"page", page}, {"next", later}});
      page = later;
      continue;
    }
    for (Record& record : *records) {
      record.lsn = view->header.lsn;
      record.batch_page = page;
      record.summary_pages = view->summary_pages;
    }
    std::move(last.begin(), last.end(), std::back_inserter(all));
    last = std::move(*records);
    last_header = view->header;
    segment.last_lsn = view->header.lsn;
    segment.previous_crc = view->header.crc;
    page = end;
  }
  segment.next_page = page;
  const bool whole = co_await payload_verifies(segment, last);
  if (!whole) {
    // Its writer was never told that it was durable.
    log_info("storaged", "a torn batch is the end of the log",
             {{"segment", segment.device->name()}, {"page", last.front().batch_page}});
    segment.next_page = last.front().batch_page;
    segment.previous_crc = last_header.previous_crc;
    last.clear();
  }
  std::move(last.begin(), last.end(), std::back_inserter(all));
  next_lsn_ = std::max(next_lsn_, last_header.lsn + 1);
  for (Record& record : all) {
    Record light = record;
    light.page_crcs.clear();
    light.directory.clear();
    segment.footer_bytes += record_size_bound(light);
    segment.records.push_back(std::move(light));
  }
  co_return all;
}

Task<bool> Drive::payload_verifies(Segment& segment, const std::vector<Record>& records) {
  for (const Record& record : records) {
    if (record.type != RecordType::kFragment) continue;
    auto bytes = co_await segment.device->read(std::uint64_t{record.payload_page} * kPageSize,
                                               round_up(record.payload_bytes, kPageSize));
    if (!bytes.ok()) co_return false;
    if (page_crc32cs(bytes->span().first(record.payload_bytes)) != record.page_crcs)
      co_return false;
  }
  co_return true;
}

// The page of the next batch of this life that verifies and is newer, within one batch's length; 0
// if there is none.
Task<std::uint32_t> Drive::find_later_batch(Segment& segment, std::uint32_t from_page,
                                            std::uint64_t after_lsn) {
  const std::uint32_t window = kMaxBatchPayloadPages + pages_of(kMaxSummaryBytes) + 2;
  const std::uint32_t end = std::min(segment.page_count() - 1, from_page + window);
  if (from_page >= end) co_return 0;
  auto bytes = co_await segment.device->read(std::uint64_t{from_page} * kPageSize,
                                             std::size_t{end - from_page} * kPageSize);
  if (!bytes.ok()) co_return 0;
  for (std::uint32_t page = from_page; page < end; ++page) {
    const auto rest = bytes->span().subspan(std::size_t{page - from_page} * kPageSize);
    const auto view = peek_batch(rest, uuid_, segment.id, segment.generation);
    if (!view.ok() || view->header.lsn <= after_lsn + 1 || view->header.kind != BatchKind::kData)
      continue;
    if (rest.size() < std::size_t{view->summary_pages} * kPageSize) continue;
    if (parse_summary(rest, *view).ok()) co_return page;
  }
  co_return 0;
}

// All records of all segments, in the order of the log. Deletions first: they kill older and newer
// alike.
void Drive::apply_recovered(std::vector<Record> records, std::vector<std::uint32_t> owners) {
  absl::flat_hash_map<PackId, std::uint64_t> evicted_below;
  for (std::size_t i = 0; i < records.size(); ++i) {
    const Record& record = records[i];
    Segment& segment = *segments_.at(owners[i]);
    if (record.type == RecordType::kFragment) {
      ++segment.packs[record.key.pack];
    } else {
      segment.controls.push_back(record);
    }
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
  // Open segments are appended to again, one for each head; the spare of the last run is one more.
  std::vector<SegmentPtr> open;
  for (const auto& [id, segment] : segments_) {
    if (segment->state == SegmentState::kActive) open.push_back(segment);
  }
  std::sort(open.begin(), open.end(),
            [](const auto& a, const auto& b) { return a->generation < b->generation; });
  for (const SegmentPtr& segment : open) {
    if (segment->records.empty()) {
      segment->state = SegmentState::kFree;
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
