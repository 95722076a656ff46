// Scrub: reading everything the drive holds and checking it, in the background. Segment after
// segment in the order of their generations, batch after batch as the footer names them: summaries,
// what they say against the index, and the pages of every fragment that lives.
#include <algorithm>
#include <map>

#include "base/crc32c.h"
#include "base/log.h"
#include "storaged/log/record_codec.h"
#include "storaged/store/drive.h"

namespace shoal::storaged {

Status Drive::scrub(ScrubAction action, std::uint64_t bytes_per_second) {
  if (action == ScrubAction::kStart) {
    scrubber_.start(bytes_per_second);
  } else {
    scrubber_.stop();
  }
  return OkStatus();
}

Task<void> Drive::run_scrub() {
  bool found = false;
  const ScrubRecord record = co_await read_scrub_record(*directory_, uuid_, &found);
  scrubber_.restore(record, found, Executor::current()->clock());
  // Without a record, a daemon that is started often would never come to scrub.
  if (!found) co_await save_scrub();
  while (true) {
    const bool due = co_await scrubber_.next_pass();
    if (!due) break;
    co_await scrub_pass();
  }
}

Task<void> Drive::save_scrub() {
  if (!failed_.ok()) co_return;
  const Status saved = co_await write_scrub_record(*directory_, scrubber_.record());
  if (!saved.ok())
    log_warning("storaged", "the scrub's progress is not kept",
                {{"drive", options_.identity.drive.value()}, {"status", saved}});
}

Task<void> Drive::scrub_pass() {
  const bool goes_on_from_before = scrubber_.record().pass_end > 0;
  const std::uint64_t end =
      goes_on_from_before ? scrubber_.record().pass_end : next_generation_;
  std::vector<SegmentPtr> segments;
  std::uint64_t total = 0;
  for (const auto& [id, segment] : segments_) {
    if (segment->generation <= scrubber_.record().cursor_generation || segment->generation >= end)
      continue;
    segments.push_back(segment);
    total += segment->live_pages * kPageSize;
  }
  std::sort(segments.begin(), segments.end(),
            [](const auto& a, const auto& b) { return a->generation < b->generation; });
  scrubber_.begin_pass(end, total);
  log_info("storaged", goes_on_from_before ? "scrub goes on" : "scrub begins",
           {{"drive", options_.identity.drive.value()}, {"bytes", total}});
  const Status superblock = co_await mend_superblock(*directory_);
  if (!superblock.ok())
    log_error("storaged", "the superblock's copies are damaged",
              {{"drive", options_.identity.drive.value()}, {"status", superblock}});
  std::uint64_t done = 0;
  std::uint64_t saved_at = 0;
  for (const SegmentPtr& segment : segments) {
    if (!scrubber_.goes_on()) break;
    const std::uint64_t planned = segment->live_pages * kPageSize;
    const std::uint64_t generation = segment->generation;
    co_await scrub_segment(segment);
    if (!scrubber_.goes_on()) break;
    done += planned;
    scrubber_.finish_segment(generation, std::min(done, total));
    if (done - saved_at >= kScrubSaveBytes) {
      co_await save_scrub();
      saved_at = done;
    }
  }
  scrubber_.end_pass(scrubber_.goes_on(), Executor::current()->clock());
  co_await save_scrub();
  log_info("storaged", "scrub ends",
           {{"drive", options_.identity.drive.value()},
            {"bytes", done},
            {"damaged_fragments", damage_.size()}});
}

// Every batch of the segment that still has something that lives.
Task<void> Drive::scrub_segment(SegmentPtr segment) {
  if (segment->state != SegmentState::kActive && segment->state != SegmentState::kSealed)
    co_return;
  const std::uint64_t generation = segment->generation;
  co_await scrub_header(segment);
  auto listed = co_await scrub_listing(segment);
  const bool lost_footer = !listed.ok();
  if (lost_footer) {
    log_error("storaged", "a footer does not verify: what lives in the segment is moved",
              {{"segment", segment->device->name()}, {"status", listed.status()}});
    listed = indexed_records(*segment);
  }
  std::map<std::uint32_t, std::vector<Record>> batches;
  for (Record& record : *listed)
    if (record.type == RecordType::kFragment)
      batches[record.batch_page].push_back(std::move(record));
  ScrubWindow window;
  for (auto& [page, records] : batches) {
    if (!scrubber_.goes_on() || segment->generation != generation) co_return;
    co_await scrub_batch(segment, &window, std::move(records));
  }
  if (!lost_footer || segment->retired || segment->generation != generation) co_return;
  const Status moved = co_await clean_segment(segment, CleanInto::kUnreserved);
  if (!moved.ok())
    log_warning("storaged", "a segment without a footer could not be emptied",
                {{"segment", segment->device->name()}, {"status", moved}});
}

// What the segment should hold: its footer, or while it has none what the footer will say.
Task<Result<std::vector<Record>>> Drive::scrub_listing(SegmentPtr segment) {
  if (segment->state == SegmentState::kActive) co_return segment->records;
  if (segment->retired) co_return indexed_records(*segment);
  const SegmentUse use(this, segment->id);
  auto footer = co_await read_footer(*segment);
  if (footer.ok()) co_await scrubber_.pace(kPageSize * 2, is_busy());
  co_return footer;
}

// The same from the index alone.
std::vector<Record> Drive::indexed_records(const Segment& segment) const {
  std::vector<Record> records;
  for (const Located& one : live_in(segment)) {
    Record record;
    record.key = one.key;
    record.payload_page = one.location.payload_page;
    record.payload_bytes = one.location.bytes;
    record.batch_page = one.location.batch_page;
    record.summary_pages = one.location.summary_pages;
    records.push_back(std::move(record));
  }
  return records;
}

// A header that went bad is written again: all of it is known.
Task<void> Drive::scrub_header(SegmentPtr segment) {
  if (segment->retired) co_return;
  const SegmentUse use(this, segment->id);
  const auto page = co_await segment->device->read(0, kPageSize);
  const Buffer expected = header_page(*segment);
  if (page.ok() && page->view() == expected.view()) co_return;
  if (!failed_.ok()) co_return;
  BufferList pieces;
  pieces.push_back(expected);
  const Status written =
      co_await segment->device->write(0, std::move(pieces), WriteMode::kDurable);
  log_error("storaged", "a segment's header did not verify and was written again",
            {{"segment", segment->device->name()}, {"status", written}});
}

bool Drive::is_busy() const {
  return reads_under_way_ > 0 || heads_[kSmallHead].running || heads_[kLargeHead].running;
}

// `pages` of the segment from `page` on, out of the window or read with what follows.
Task<Result<Buffer>> Drive::scrub_read(SegmentPtr segment, ScrubWindow* window, std::uint32_t page,
                                       std::uint32_t pages) {
  const std::uint32_t held = pages_of(window->bytes.size());
  if (page < window->page || page + pages > window->page + held) {
    const std::uint32_t at_once =
        std::max(pages, std::min(kScrubReadPages, segment->page_count() - page));
    auto bytes = co_await segment->device->read(std::uint64_t{page} * kPageSize,
                                                std::size_t{at_once} * kPageSize);
    if (!bytes.ok() && at_once > pages) {
      bytes = co_await segment->device->read(std::uint64_t{page} * kPageSize,
                                             std::size_t{pages} * kPageSize);
    }
    if (!bytes.ok()) co_return bytes.status();
    window->page = page;
    window->bytes = std::move(*bytes);
    co_await scrubber_.pace(window->bytes.size(), is_busy());
  }
  co_return window->bytes.slice(std::size_t{page - window->page} * kPageSize,
                                std::size_t{pages} * kPageSize);
}

// The fragments of one batch that live, `records` as the segment's listing has them.
Task<void> Drive::scrub_batch(SegmentPtr segment, ScrubWindow* window,
                              std::vector<Record> records) {
  const auto location_of = [&](const Record& record) {
    return Location{segment->id, record.payload_page, record.payload_bytes, record.batch_page,
                    record.summary_pages};
  };
  const auto lives = [&](const Record& record) {
    const Location* now = find(record.key);
    return now != nullptr && *now == location_of(record);
  };
  std::erase_if(records, [&](const Record& record) { return !lives(record); });
  if (records.empty()) co_return;
  std::sort(records.begin(), records.end(),
            [](const Record& a, const Record& b) { return a.payload_page < b.payload_page; });
  const SegmentUse use(this, segment->id);
  const Record& first = records.front();
  const auto summary = co_await scrub_read(segment, window, first.batch_page, first.summary_pages);
  Result<std::vector<Record>> stored = summary.status().ok()
                                           ? parse_batch(*segment, *summary)
                                           : Result<std::vector<Record>>(summary.status());
  for (const Record& record : records) {
    if (!lives(record)) continue;
    const Status verified = co_await scrub_fragment(segment, window, &stored, &record);
    if (!scrubber_.goes_on()) co_return;
    scrubber_.add_verified(std::uint64_t{pages_of(record.payload_bytes)} * kPageSize);
    if (verified.ok()) {
      if (lives(record)) damage_.remove(record.key);  // it could not be read for a while
    } else {
      note_damage(record.key, location_of(record), verified.with_context(describe(record.key)));
    }
  }
}

// One fragment against its record in the batch, and that against the listing. Errors: kCorruption,
// kIoError.
Task<Status> Drive::scrub_fragment(SegmentPtr segment, ScrubWindow* window,
                                   const Result<std::vector<Record>>* stored,
                                   const Record* listed) {
  if (!stored->ok()) co_return stored->status();
  const auto found =
      std::find_if((*stored)->begin(), (*stored)->end(), [&](const Record& one) {
        return one.type == RecordType::kFragment && one.key == listed->key &&
               one.payload_page == listed->payload_page &&
               one.payload_bytes == listed->payload_bytes &&
               (listed->shape.code.k == 0 || one.shape == listed->shape);
      });
  if (found == (*stored)->end())
    co_return CorruptionError("its record is not in the summary that the index names");
  const std::vector<std::uint32_t>& crcs = found->page_crcs;
  const std::uint32_t pages = pages_of(listed->payload_bytes);
  if (crcs.size() != pages) co_return CorruptionError("page CRCs are missing");
  for (std::uint32_t at = 0; at < pages && scrubber_.goes_on();) {
    const std::uint32_t count = std::min(kScrubReadPages, pages - at);
    const auto bytes = co_await scrub_read(segment, window, listed->payload_page + at, count);
    if (!bytes.ok()) co_return bytes.status();
    for (std::uint32_t i = 0; i < count; ++i, ++at) {
      const std::size_t n =
          std::min<std::size_t>(kPageSize, listed->payload_bytes - std::size_t{at} * kPageSize);
      if (crc32c(bytes->span().subspan(std::size_t{i} * kPageSize, n)) != crcs[at]) {
        co_return CorruptionError("page " + std::to_string(at) + " on " +
                                  segment->device->name() + " does not match its CRC");
      }
    }
  }
  co_return OkStatus();
}

}  // namespace shoal::storaged
