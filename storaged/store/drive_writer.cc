// Writing the log: group commits, new segments, footers.
#include <algorithm>
#include <cstring>

#include "base/crc32c.h"
#include "base/log.h"
#include "storaged/log/record_codec.h"
#include "storaged/store/drive.h"

namespace shoal::storaged {
namespace {

// The payload as whole, aligned pages: in place where it can be, the last partial page and what is
// not aligned copied.
BufferList to_pages(BufferList payload) {
  const bool aligned = std::all_of(payload.begin(), payload.end() - 1, [](const Buffer& piece) {
    return piece.page_aligned() && piece.size() % kPageSize == 0;
  });
  if (!aligned || !payload.back().page_aligned()) {
    Buffer whole = Buffer::zeros(round_up(total_size(payload), kPageSize));
    std::size_t at = 0;
    for (const Buffer& piece : payload) {
      if (!piece.empty()) std::memcpy(whole.mutable_data() + at, piece.data(), piece.size());
      at += piece.size();
    }
    payload.assign(1, std::move(whole));
    return payload;
  }
  const Buffer last = payload.back();
  const std::size_t whole = round_down(last.size(), kPageSize);
  if (whole == last.size()) return payload;
  payload.pop_back();
  if (whole > 0) payload.push_back(last.slice(0, whole));
  Buffer tail = Buffer::zeros(kPageSize);
  std::memcpy(tail.mutable_data(), last.data() + whole, last.size() - whole);
  payload.push_back(std::move(tail));
  return payload;
}

std::size_t footer_size(const Record& record) {
  Record light;
  light.shape = record.shape;
  light.rows = record.rows;
  return record_size_bound(light);
}

}  // namespace

Task<void> Drive::run_head(Head* head) {
  while (!head->queue.empty()) {
    if (!failed_.ok()) {
      fail_queue(head, failed_);
      break;
    }
    std::vector<Pending*> batch = take_batch(head);
    if (batch.empty() && head->segment != nullptr && head->segment->next_page == 1) {
      Pending* const first = head->queue.front();
      head->queue.pop_front();
      first->done.set(InvalidArgumentError(describe(first->record.key) + " of " +
                                           std::to_string(total_size(first->payload)) +
                                           " bytes does not fit into a segment"));
      continue;
    }
    if (batch.empty()) {  // the first one does not fit any more, or there is no segment yet
      const Status rolled = co_await roll(head);
      if (!rolled.ok()) fail_first(head, rolled);
      continue;
    }
    const Status written = co_await write_batch(head, batch);
    if (!written.ok()) {
      fail(written);
      for (Pending* pending : batch) pending->done.set(written);
    }
  }
  head->running = false;
}

// What is there is still read; nothing more is written.
void Drive::fail(const Status& why) {
  if (!failed_.ok()) return;
  failed_ = why;
  log_error("storaged", "the drive has failed and takes no more writes",
            {{"drive", options_.identity.drive.value()}, {"status", why}});
  spare_changed_.notify_all();
}

void Drive::fail_queue(Head* head, const Status& status) {
  for (Pending* pending : std::exchange(head->queue, {})) pending->done.set(status);
}

// The first ones of one kind: those behind them may take a segment that these may not.
void Drive::fail_first(Head* head, const Status& status) {
  const std::uint32_t left = head->queue.front()->left_segments();
  while (!head->queue.empty() && head->queue.front()->left_segments() == left) {
    Pending* const first = head->queue.front();
    head->queue.pop_front();
    first->done.set(status);
  }
}

// As many as fit into one batch of the head's segment.
std::vector<Drive::Pending*> Drive::take_batch(Head* head) {
  std::vector<Pending*> batch;
  if (head->segment == nullptr) return batch;
  std::size_t summary_bytes = sizeof(BatchHeader);
  std::size_t footer_bytes = 0;
  std::uint32_t payload_pages = 0;
  while (!head->queue.empty()) {
    Pending* next = head->queue.front();
    const std::size_t more_summary = record_size_bound(next->record);
    const std::size_t more_footer = footer_size(next->record);
    const std::uint32_t more_pages = pages_of(total_size(next->payload));
    const std::uint32_t needed =
        pages_of(summary_bytes + more_summary) + payload_pages + more_pages;
    if (needed > head->segment->room(footer_bytes + more_footer)) break;
    const bool too_large = payload_pages + more_pages > kMaxBatchPayloadPages ||
                           summary_bytes + more_summary > kMaxSummaryBytes;
    if (too_large && !batch.empty()) break;
    summary_bytes += more_summary;
    footer_bytes += more_footer;
    payload_pages += more_pages;
    batch.push_back(next);
    head->queue.pop_front();
  }
  return batch;
}

std::size_t Drive::summary_size(const std::vector<Pending*>& batch) {
  std::string records;
  for (const Pending* pending : batch) append_record(&records, pending->record, false);
  return sizeof(BatchHeader) + records.size();
}

Task<Status> Drive::write_batch(Head* head, std::vector<Pending*> batch) {
  Segment& segment = *head->segment;
  BatchHeader header{};
  header.drive_uuid = uuid_;
  header.segment_id = segment.id;
  header.generation = segment.generation;
  header.lsn = next_lsn_++;
  header.previous_crc = segment.previous_crc;
  header.record_count = static_cast<std::uint32_t>(batch.size());
  header.kind = BatchKind::kData;
  // Where the payload begins depends on the summary's length, which does not depend on the numbers
  // in it.
  const std::size_t summary_bytes = summary_size(batch);
  const std::uint32_t summary_pages = pages_of(summary_bytes);
  BufferList pieces(1);
  std::string records;
  records.reserve(summary_bytes);
  std::uint32_t page = segment.next_page + summary_pages;
  for (Pending* pending : batch) {
    pending->record.lsn = header.lsn;
    pending->record.payload_page = page;
    append_record(&records, pending->record, false);
    if (pending->payload.empty()) continue;
    page += pages_of(total_size(pending->payload));
    for (Buffer& piece : to_pages(std::move(pending->payload))) pieces.push_back(std::move(piece));
  }
  header.payload_pages = page - segment.next_page - summary_pages;
  pieces[0] = finish_summary(header, std::move(records));
  std::memcpy(&header, pieces[0].data(), sizeof header);
  const std::uint32_t batch_page = segment.next_page;
  const Status written = co_await segment.device->write(std::uint64_t{batch_page} * kPageSize,
                                                        std::move(pieces), WriteMode::kDurable);
  if (!written.ok()) co_return written;
  device_bytes_written_ += std::uint64_t{page - batch_page} * kPageSize;
  segment.next_page = page;
  if (making_spare_) spare_changed_.notify_all();
  segment.previous_crc = header.crc;
  segment.last_lsn = header.lsn;
  publish(segment, batch, batch_page, summary_pages);
  co_return OkStatus();
}

// The batch is durable: into the index, and its writers go on.
void Drive::publish(Segment& segment, const std::vector<Pending*>& batch, std::uint32_t batch_page,
                    std::uint32_t summary_pages) {
  for (Pending* pending : batch) {
    Record& record = pending->record;
    segment.footer_bytes += footer_size(record);
    if (record.type == RecordType::kFragment) {
      const Location location{segment.id, record.payload_page, record.payload_bytes, batch_page,
                              summary_pages};
      record.batch_page = batch_page;
      record.summary_pages = summary_pages;
      hold_pack(segment, record.key.pack);
      // What was deleted while it was on its way is dead.
      if (!is_deleted(record.key)) replace_fragment(record, location);
      record.page_crcs.clear();
      record.directory.clear();
    } else {
      segment.controls.push_back(record);
      if (record.type == RecordType::kSealPack) hold_pack(segment, record.key.pack);
    }
    segment.records.push_back(record);
    pending->done.set(OkStatus());
  }
}

// A new segment for the head; the old one gets its footer in the background.
Task<Status> Drive::roll(Head* head) {
  const SegmentPtr old = head->segment == nullptr ? nullptr : segments_.at(head->segment->id);
  SegmentPtr next;
  const Pending& first = *head->queue.front();
  if (allocatable_segments() <= first.left_segments()) {
    if (first.is_control() && old != nullptr) {
      // It has no room for anything: closed, it can be recycled.
      head->segment = nullptr;
      background_.spawn(seal_segment(old));
    }
    co_return no_free_segment();
  }
  if (head->wants_written) next = co_await take_spare();
  if (next == nullptr) {
    auto prepared = co_await prepare_segment(head->wants_written);
    if (!prepared.ok()) co_return prepared.status();
    next = std::move(*prepared);
    if (head->wants_written) CO_RETURN_IF_ERROR(co_await prewrite(next, /*paced=*/false));
  }
  next->state = SegmentState::kActive;
  head->segment = next.get();
  if (old != nullptr) background_.spawn(seal_segment(old));
  if (head->wants_written) background_.spawn(keep_spare());
  maybe_clean();
  co_return OkStatus();
}

Buffer Drive::header_page(const Segment& segment) const {
  SegmentHeader header{};
  header.magic = kSegmentMagic;
  header.format_version = kFormatVersion;
  header.drive_uuid = uuid_;
  header.segment_id = segment.id;
  header.generation = segment.generation;
  header.crc = struct_crc(header);
  Buffer page = Buffer::zeros(kPageSize);
  std::memcpy(page.mutable_data(), &header, sizeof header);
  return page;
}

Task<Status> Drive::write_header(Segment& segment) {
  BufferList pieces;
  pieces.push_back(header_page(segment));
  const Status written = co_await segment.device->write(0, std::move(pieces), WriteMode::kDurable);
  if (!written.ok()) fail(written);
  co_return written;
}

Status Drive::no_free_segment() const {
  return NoSpaceError("drive " + options_.identity.drive.to_string() + " has no free segment");
}

// A segment with the header of a new life: a free one, or a new file.
Task<Result<Drive::SegmentPtr>> Drive::prepare_segment(bool written) {
  const auto guard = co_await prepare_mutex_.lock();
  SegmentPtr segment;
  for (const auto& [id, candidate] : segments_) {
    if (candidate->state != SegmentState::kFree) continue;
    if (segment == nullptr || (candidate->written == written && segment->written != written))
      segment = candidate;
  }
  if (segment == nullptr) {
    const std::uint32_t taken = spare_ == nullptr ? 0 : 1;
    if (allocatable_segments() <= taken) co_return no_free_segment();
    const std::uint32_t id = next_segment_id_++;
    auto device = co_await directory_->create(segment_name(id), options_.segment_bytes, false);
    if (!device.ok()) {
      const StatusCode code = device.status().code();
      if (code == StatusCode::kIoError || code == StatusCode::kReadOnly) fail(device.status());
      co_return device.status();
    }
    segment = std::make_shared<Segment>();
    segment->id = id;
    segment->device = std::move(*device);
    segment->written = !directory_->prewriting_helps();
    segments_[id] = segment;
  }
  segment->state = SegmentState::kPrepared;
  segment->generation = next_generation_++;
  CO_RETURN_IF_ERROR(co_await write_header(*segment));
  segment->next_page = 1;
  segment->previous_crc = 0;
  segment->records.clear();
  segment->controls.clear();
  forget_packs(*segment);
  segment->immovable = segment->incomplete = segment->closed = false;
  segment->footer_bytes = 0;
  co_return segment;
}

// Keeps one written segment ready for the small head, so that writes do not wait for a prewrite.
Task<void> Drive::keep_spare() {
  if (spare_ != nullptr || making_spare_ || closing_ || !failed_.ok()) co_return;
  if (allocatable_segments() <= reserved_segments()) co_return;
  making_spare_ = true;
  auto prepared = co_await prepare_segment(true);
  Status status = prepared.status();
  if (prepared.ok() && spare_ != nullptr) {
    (*prepared)->state = SegmentState::kFree;
  } else if (prepared.ok()) {
    spare_ = std::move(*prepared);
    status = co_await prewrite(spare_, /*paced=*/true);
  }
  if (!status.ok()) log_warning("storaged", "no spare segment", {{"status", status}});
  making_spare_ = spare_wanted_ = false;
  spare_changed_.notify_all();
}

// Null when there is none and none is being made.
Task<Drive::SegmentPtr> Drive::take_spare() {
  while (making_spare_) {
    spare_wanted_ = true;
    spare_changed_.notify_all();
    co_await spare_changed_.wait();
  }
  co_return std::exchange(spare_, nullptr);
}

// Whether the spare may have so many bytes written: it is to be ready before the head is full, and
// no sooner while the drive is in use, because what is written for it takes time from others.
bool Drive::may_prewrite(std::uint64_t bytes) const {
  const Segment* const head = heads_[kSmallHead].segment;
  if (spare_wanted_ || head == nullptr || is_quiet()) return true;
  const std::uint64_t filled = std::uint64_t{head->next_page} * kPageSize;
  return bytes * kPrewriteLeadPercent <= filled * 100;
}

bool Drive::is_quiet() const { return quiet_use_ == uses() && !is_busy(); }

// Until prewriting may go on, or it is known that nobody used the drive for a while.
Task<void> Drive::look_for_quiet() {
  const std::uint64_t before = uses();
  bool over = false;
  Executor& executor = *Executor::current();
  const TimerId timer = executor.schedule_at(executor.now() + kPrewriteQuiet, [this, &over] {
    over = true;
    spare_changed_.notify_all();
  });
  co_await spare_changed_.wait();
  executor.cancel(timer);
  if (over && uses() == before) quiet_use_ = before;
}

// All of a segment but its header, a piece at a time. One that is closed or fails before its end is
// left as it is.
Task<Status> Drive::prewrite(SegmentPtr segment, bool paced) {
  const Buffer zeros = Buffer::zeros(kPrewritePieceBytes);
  const std::uint64_t size = segment->device->size_bytes();
  for (std::uint64_t at = kPageSize; at < size && !segment->written;) {
    while (paced && !may_prewrite(at) && !closing_ && failed_.ok()) co_await look_for_quiet();
    if (closing_ || !failed_.ok()) co_return OkStatus();
    BufferList piece;
    piece.push_back(zeros.slice(0, std::min<std::uint64_t>(zeros.size(), size - at)));
    const std::uint64_t end = at + piece.back().size();
    Status written = co_await segment->device->write(std::exchange(at, end), std::move(piece),
                                                     WriteMode::kVolatile);
    if (written.ok() && end == size) written = co_await segment->device->flush();
    if (!written.ok()) {
      fail(written);
      co_return written;
    }
    segment->written = end == size;
  }
  co_return OkStatus();
}

Task<void> Drive::seal_segment(SegmentPtr segment) {
  const Status written = co_await write_footer(*segment);
  segment->records.clear();
  segment->records.shrink_to_fit();
  segment->state = SegmentState::kSealed;
  if (!written.ok()) {
    fail(written.with_context("the footer of segment " + std::to_string(segment->id)));
    co_return;
  }
  maybe_recycle(segment->id);
}

Task<Status> Drive::write_footer(Segment& segment) {
  std::string records;
  for (const Record& record : segment.records) append_record(&records, record, true);
  BatchHeader header{};
  header.drive_uuid = uuid_;
  header.segment_id = segment.id;
  header.generation = segment.generation;
  header.lsn = next_lsn_++;
  header.previous_crc = segment.previous_crc;
  header.record_count = static_cast<std::uint32_t>(segment.records.size());
  header.kind = BatchKind::kFooter;
  Buffer summary = finish_summary(header, std::move(records));
  SegmentTrailer trailer{};
  trailer.magic = kTrailerMagic;
  trailer.footer_page = segment.next_page;
  trailer.generation = segment.generation;
  trailer.last_lsn = segment.last_lsn;
  trailer.last_batch_crc = segment.previous_crc;
  trailer.crc = struct_crc(trailer);
  if (segment.next_page + summary.size() / kPageSize >= segment.page_count()) {
    co_return InternalError("segment " + std::to_string(segment.id) +
                            " has no room for its footer");
  }
  Buffer page = Buffer::zeros(kPageSize);
  std::memcpy(page.mutable_data(), &trailer, sizeof trailer);
  const std::size_t summary_bytes = summary.size();
  BufferList footer;
  footer.push_back(std::move(summary));
  CO_RETURN_IF_ERROR(co_await segment.device->write(std::uint64_t{trailer.footer_page} * kPageSize,
                                                    std::move(footer), WriteMode::kVolatile));
  device_bytes_written_ += summary_bytes + kPageSize;
  BufferList last;
  last.push_back(std::move(page));
  CO_RETURN_IF_ERROR(co_await segment.device->write(
      std::uint64_t{segment.page_count() - 1} * kPageSize, std::move(last), WriteMode::kDurable));
  segment.footer_page = trailer.footer_page;
  co_return OkStatus();
}

}  // namespace shoal::storaged
