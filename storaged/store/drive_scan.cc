// Reading one segment at the start: footer, or batch after batch. What cannot be read or does
// not verify does not keep the rest from being found.
#include <algorithm>
#include <cstring>

#include "base/crc32c.h"
#include "base/log.h"
#include "storaged/log/record_codec.h"
#include "storaged/store/drive.h"

namespace shoal::storaged {
namespace {

bool is_zero(std::span<const std::byte> bytes) {
  return std::all_of(bytes.begin(), bytes.end(), [](std::byte b) { return b == std::byte{0}; });
}

// What a copy of a segment inside somebody's payload does not have: fragments within their own
// batch.
bool is_in_place(const std::vector<Record>& records, std::uint32_t payload_page,
                 std::uint32_t end_page) {
  return std::all_of(records.begin(), records.end(), [&](const Record& record) {
    return record.type != RecordType::kFragment ||
           (record.payload_page >= payload_page && record.payload_page <= end_page &&
            pages_of(record.payload_bytes) <= end_page - record.payload_page);
  });
}

}  // namespace

void Drive::retire(Segment& segment, const Status& why) {
  segment.incomplete = true;
  if (std::exchange(segment.retired, true)) return;
  log_error("storaged", "a segment cannot be read in full: it is kept and not written again",
            {{"segment", segment.device->name()}, {"status", why}});
}

// Of the segment's present life; 0 when it was never used, or nothing of it is left. Errors:
// kNotSupported.
//
// A header is one page, written over zeros or over the header of an earlier life whose fragments
// were all dead. A crash leaves the old or the new one, so a header that is neither zeros nor
// verifies is damage, and what lies behind it was acknowledged: the batches themselves say of which
// life they are. Should it be the life before after all, its fragments do no harm: a relocated or
// repaired one has a newer record elsewhere, which counts; a pack whose deletion is forgotten
// already is unknown to the metadata, which drops it as it does after any crash; a pack that moved
// to other drives is evicted once more; a deleted row of a pack that is still here is referenced by
// nobody and goes with its pack.
Task<Result<std::uint64_t>> Drive::find_generation(Segment& segment) {
  if (segment.page_count() == 0) co_return std::uint64_t{0};
  auto page = co_await segment.device->read(0, kPageSize);
  if (page.ok()) {
    SegmentHeader header{};
    std::memcpy(&header, page->data(), sizeof header);
    const bool verifies = header.magic == kSegmentMagic && header.crc == struct_crc(header) &&
                          header.drive_uuid == uuid_ && header.segment_id == segment.id;
    if (verifies && header.format_version > kFormatVersion) {
      co_return NotSupportedError(segment.device->name() + " is of format version " +
                                  std::to_string(header.format_version) +
                                  ", newer than this program knows");
    }
    if (verifies) co_return header.generation;
  } else {
    retire(segment, page.status());
  }
  const std::uint64_t generation = co_await newest_generation(segment);
  if (page.ok() && is_zero(page->span()) && generation == 0) co_return std::uint64_t{0};
  if (generation == 0) {
    retire(segment, CorruptionError("neither its header nor any batch verifies"));
    co_return std::uint64_t{0};
  }
  segment.closed = segment.incomplete = true;
  log_error("storaged", "a segment's header does not verify: its batches are taken as they are",
            {{"segment", segment.device->name()}, {"generation", generation}});
  co_return generation;
}

// kNotFound when the segment was not sealed, or its footer does not verify: then it is scanned.
// Errors: kIoError.
Task<Result<std::vector<Record>>> Drive::read_footer(Segment& segment) {
  if (segment.page_count() < 3) co_return NotFoundError("no trailer");
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
      view->summary_pages > segment.page_count() - trailer.footer_page) {
    co_return NotFoundError("no footer");
  }
  auto summary = co_await segment.device->read(std::uint64_t{trailer.footer_page} * kPageSize,
                                               std::size_t{view->summary_pages} * kPageSize);
  if (!summary.ok()) co_return summary.status();
  auto records = parse_summary(summary->span(), *view);
  if (!records.ok()) co_return NotFoundError("footer: " + records.status().message());
  segment.next_page = trailer.footer_page + view->summary_pages;
  segment.footer_page = trailer.footer_page;
  segment.last_lsn = trailer.last_lsn;
  next_lsn_ = std::max(next_lsn_, view->header.lsn + 1);
  co_return records;
}

// A crash may have left a life that was begun in place and has no header: no other life of the
// segment may be of its generation.
Task<void> Drive::skip_begun_life(Segment& segment) {
  const auto page = co_await segment.device->read(kPageSize, kPageSize);
  if (!page.ok()) co_return;
  BatchHeader header{};
  std::memcpy(&header, page->data(), sizeof header);
  if (header.generation < next_generation_) co_return;
  const auto batch = co_await read_batch(segment, 1, header.generation);
  if (batch.ok()) next_generation_ = std::max(next_generation_, header.generation + 1);
}

// The data batch that begins at `page`. Errors: kNotFound when there is none of this generation,
// kNotSupported for one of a newer format, kCorruption, kIoError.
Task<Result<Drive::Batch>> Drive::read_batch(Segment& segment, std::uint32_t page,
                                             std::uint64_t generation) {
  auto first = co_await segment.device->read(std::uint64_t{page} * kPageSize, kPageSize);
  if (!first.ok()) co_return first.status();
  Batch batch;
  std::memcpy(&batch.header, first->data(), sizeof batch.header);
  const auto view = peek_batch(first->span(), uuid_, segment.id, generation);
  // A flipped bit of the version is damage; only a whole summary can be of a newer format.
  const bool newer = view.status().code() == StatusCode::kNotSupported;
  if (!view.ok() && !newer) co_return view.status();
  batch.summary_pages = pages_of(batch.header.summary_bytes);
  const std::uint32_t behind = segment.page_count() - page;
  if (batch.summary_pages == 0 || batch.summary_pages >= behind ||
      batch.header.payload_pages >= behind - batch.summary_pages) {
    co_return CorruptionError("a batch that ends behind its segment");
  }
  auto summary = co_await segment.device->read(std::uint64_t{page} * kPageSize,
                                               std::size_t{batch.summary_pages} * kPageSize);
  if (!summary.ok()) co_return summary.status();
  if (newer) {
    if (summary_crc_matches(summary->span(), batch.header)) co_return view.status();
    co_return CorruptionError("a summary whose CRC does not match");
  }
  if (view->header.kind != BatchKind::kData) co_return NotFoundError("no data batch");
  auto records = parse_summary(summary->span(), *view);
  if (!records.ok()) co_return records.status();
  batch.end_page = page + batch.summary_pages + batch.header.payload_pages;
  if (!is_in_place(*records, page + batch.summary_pages, batch.end_page))
    co_return CorruptionError("a batch that belongs elsewhere");
  batch.records = std::move(*records);
  for (Record& record : batch.records) {
    record.lsn = batch.header.lsn;
    record.batch_page = page;
    record.summary_pages = batch.summary_pages;
  }
  co_return batch;
}

Task<Result<std::vector<Record>>> Drive::scan_segment(Segment& segment) {
  std::vector<Record> all;
  Batch last;  // its payload is still to be verified
  std::uint32_t page = 1;
  while (page + 1 < segment.page_count()) {
    auto batch = co_await read_batch(segment, page, segment.generation);
    if (!batch.ok()) {
      const StatusCode code = batch.status().code();
      if (code == StatusCode::kNotSupported) co_return batch.status();
      if (code == StatusCode::kIoError) retire(segment, batch.status());
      const std::uint32_t later = co_await find_later_batch(segment, page + 1);
      if (later == 0) break;
      segment.incomplete = true;
      log_error("storaged", "damage inside the log: a batch does not verify, later ones do",
                {{"segment", segment.device->name()}, {"page", page}, {"next", later}});
      page = later;
      continue;
    }
    std::move(last.records.begin(), last.records.end(), std::back_inserter(all));
    last = std::move(*batch);
    segment.last_lsn = last.header.lsn;
    segment.previous_crc = last.header.crc;
    page = last.end_page;
  }
  segment.next_page = page;
  next_lsn_ = std::max(next_lsn_, last.header.lsn + 1);
  const std::size_t written = last.records.size();
  const std::uint32_t last_page = written == 0 ? page : last.records.front().batch_page;
  std::vector<Record> whole = co_await verified_records(segment, std::move(last.records));
  if (whole.size() < written) {
    log_info("storaged", "the last batch of the log is torn",
             {{"segment", segment.device->name()},
              {"page", last_page},
              {"records", written},
              {"whole", whole.size()}});
    if (whole.empty() && !segment.retired) {
      segment.next_page = last_page;
      segment.previous_crc = last.header.previous_crc;
    } else {
      segment.closed = true;  // a batch behind it would make its torn part count
    }
  }
  std::move(whole.begin(), whole.end(), std::back_inserter(all));
  for (const Record& record : all) {
    Record light = record;
    light.page_crcs.clear();
    light.directory.clear();
    segment.footer_bytes += record_size_bound(light);
    segment.records.push_back(std::move(light));
  }
  co_return all;
}

// Those of the last batch that count. It was torn before anybody was told that it is durable, or
// something flipped in it later: that cannot be told apart here. What verifies is kept, which does
// no harm if it was torn; what does not is missing then, as the rows that want it will find.
Task<std::vector<Record>> Drive::verified_records(Segment& segment, std::vector<Record> records) {
  std::vector<Record> whole;
  for (Record& record : records) {
    if (record.type == RecordType::kFragment) {
      const auto bytes =
          co_await segment.device->read(std::uint64_t{record.payload_page} * kPageSize,
                                        round_up(record.payload_bytes, kPageSize));
      if (!bytes.ok()) retire(segment, bytes.status());
      if (!bytes.ok() ||
          page_crc32cs(bytes->span().first(record.payload_bytes)) != record.page_crcs) {
        continue;
      }
    }
    whole.push_back(std::move(record));
  }
  co_return whole;
}

// Pages that look like the beginning of a batch of this segment, of any life, among the next
// kSearchPages. Adds to `unreadable` those that cannot be read.
Task<std::vector<std::uint32_t>> Drive::batch_like_pages(Segment& segment, std::uint32_t page,
                                                         std::uint32_t* unreadable) {
  std::vector<std::uint32_t> found;
  const std::uint32_t end = std::min(segment.page_count(), page + kSearchPages);
  std::uint32_t at_once = end - page;
  while (page < end && *unreadable < kMaxUnreadablePages) {
    at_once = std::min(at_once, end - page);
    const auto bytes = co_await segment.device->read(std::uint64_t{page} * kPageSize,
                                                     std::size_t{at_once} * kPageSize);
    if (!bytes.ok() && at_once > 1) {
      at_once = 1;  // page by page, to find which
      continue;
    }
    if (!bytes.ok()) {
      retire(segment, bytes.status());
      ++*unreadable;
    }
    for (std::uint32_t i = 0; bytes.ok() && i < at_once; ++i) {
      BatchHeader header{};
      std::memcpy(&header, bytes->data() + std::size_t{i} * kPageSize, sizeof header);
      if (header.magic == kBatchMagic && header.drive_uuid == uuid_ &&
          header.segment_id == segment.id) {
        found.push_back(page + i);
      }
    }
    page += at_once;
  }
  co_return found;
}

// The page of the next batch of this life that verifies and is newer; 0 if there is none. The end
// of the log looks like damage, so where nothing else tells of damage only as far is searched as
// one batch that does not verify may reach.
Task<std::uint32_t> Drive::find_later_batch(Segment& segment, std::uint32_t from_page) {
  const std::uint32_t reach = kMaxBatchPayloadPages + pages_of(kMaxSummaryBytes) + 2;
  std::uint32_t unreadable = 0;
  for (std::uint32_t page = from_page; page < segment.page_count(); page += kSearchPages) {
    if (!segment.incomplete && page >= from_page + reach) break;
    if (unreadable >= kMaxUnreadablePages) break;
    const auto candidates = co_await batch_like_pages(segment, page, &unreadable);
    for (const std::uint32_t candidate : candidates) {
      const auto batch = co_await read_batch(segment, candidate, segment.generation);
      if (batch.ok() && batch->header.lsn > segment.last_lsn + 1) co_return candidate;
    }
  }
  co_return 0;
}

// The newest life of which a batch verifies; 0 if there is none.
Task<std::uint64_t> Drive::newest_generation(Segment& segment) {
  std::uint64_t newest = 0;
  std::uint32_t unreadable = 0;
  for (std::uint32_t page = 1; page < segment.page_count(); page += kSearchPages) {
    if (unreadable >= kMaxUnreadablePages) break;
    const auto candidates = co_await batch_like_pages(segment, page, &unreadable);
    for (const std::uint32_t candidate : candidates) {
      const auto bytes =
          co_await segment.device->read(std::uint64_t{candidate} * kPageSize, kPageSize);
      if (!bytes.ok()) continue;
      BatchHeader header{};
      std::memcpy(&header, bytes->data(), sizeof header);
      if (header.generation <= newest) continue;
      const auto batch = co_await read_batch(segment, candidate, header.generation);
      if (batch.ok()) newest = header.generation;
    }
  }
  co_return newest;
}

}  // namespace shoal::storaged
