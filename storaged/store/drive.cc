// The drive's operations. Writing the log, cleaning it and rebuilding the index have files of their
// own.
#include "storaged/store/drive.h"

#include <absl/container/btree_set.h>

#include <algorithm>
#include <cstring>
#include <tuple>

#include "base/crc32c.h"
#include "base/log.h"
#include "storaged/log/record_codec.h"

namespace shoal::storaged {
namespace {

Status validate_request(const WriteFragmentRequest& request) {
  RETURN_IF_ERROR(validate(request.shape));
  if (request.key.column >= request.shape.code.width()) {
    return InvalidArgumentError(describe(request.key) + ": no such column in a " +
                                to_string(request.shape.code) + " row");
  }
  const std::size_t size = total_size(request.payload);
  if (size == 0 || size != request.shape.height(request.key.column)) {
    return InvalidArgumentError(describe(request.key) + ": " + std::to_string(size) +
                                " bytes for a column of " +
                                std::to_string(request.shape.height(request.key.column)));
  }
  if (request.page_crcs.size() != pages_of(size) ||
      request.directory.size() > kMaxDirectoryEntries) {
    return InvalidArgumentError(describe(request.key) +
                                ": wrong number of page CRCs or directory entries");
  }
  return OkStatus();
}

Status verify_payload(const FragmentKey& key, const BufferList& payload,
                      const std::vector<std::uint32_t>& crcs) {
  std::uint32_t crc = 0;
  std::size_t in_page = 0;
  std::size_t page = 0;
  for (const Buffer& piece : payload) {
    for (std::size_t at = 0; at < piece.size();) {
      const std::size_t n = std::min(kPageSize - in_page, piece.size() - at);
      crc = crc32c(piece.span().subspan(at, n), crc);
      at += n;
      in_page += n;
      if (in_page == kPageSize) {
        if (crc != crcs[page++])
          return CorruptionError(describe(key) + ": the payload does not match its CRCs");
        crc = 0;
        in_page = 0;
      }
    }
  }
  if (in_page > 0 && crc != crcs[page]) {
    return CorruptionError(describe(key) + ": the payload does not match its CRCs");
  }
  return OkStatus();
}

}  // namespace

Drive::Drive(std::unique_ptr<BlockDirectory> directory, DriveOptions options)
    : directory_(std::move(directory)),
      options_(std::move(options)),
      scrubber_(options_.scrub_bytes_per_second) {
  heads_[kLargeHead].wants_written = false;
}

Drive::~Drive() { CHECK(closing_ && background_.running() == 0); }

Task<Result<std::unique_ptr<Drive>>> Drive::open(std::unique_ptr<BlockDirectory> directory,
                                                 DriveOptions options) {
  std::unique_ptr<Drive> drive(new Drive(std::move(directory), std::move(options)));
  drive->closing_ = true;  // until it is open there is nothing to close
  auto formatted = co_await is_formatted(*drive->directory_);
  if (!formatted.ok()) co_return formatted.status();
  if (!*formatted && drive->options_.format_if_empty) {
    CO_RETURN_IF_ERROR(co_await format_drive(*drive->directory_, drive->options_.identity,
                                             drive->options_.segment_bytes));
  }
  auto superblock = co_await read_superblock(*drive->directory_, drive->options_.identity);
  if (!superblock.ok()) co_return superblock.status();
  drive->uuid_ = superblock->drive_uuid;
  drive->options_.segment_bytes = superblock->segment_bytes;
  CO_RETURN_IF_ERROR(co_await drive->recover());
  drive->closing_ = false;
  drive->opened_ns_ = Executor::current()->clock().wall_now_ns();
  drive->recycle_dead();
  drive->background_.spawn(drive->keep_spare());
  drive->background_.spawn(drive->run_scrub());
  co_return drive;
}

const Drive::Location* Drive::find(const FragmentKey& key) const {
  const auto pack = packs_.find(key.pack);
  if (pack == packs_.end()) return nullptr;
  const auto found = pack->second.fragments.find(row_column(key));
  return found == pack->second.fragments.end() ? nullptr : &found->second;
}

Status Drive::not_here(const FragmentKey& key) const {
  return NotFoundError(describe(key) + " is not on this drive");
}

bool Drive::is_deleted(const FragmentKey& key) const {
  if (deleted_packs_.contains(key.pack)) return true;
  const auto rows = deleted_rows_.find(key.pack);
  return rows != deleted_rows_.end() && rows->second.contains(key.row);
}

Status Drive::check_writable(const WriteFragmentRequest& request) const {
  const FragmentKey& key = request.key;
  if (!failed_.ok())
    return failed_.with_context("drive " + options_.identity.drive.to_string() +
                                " takes no writes");
  if (closing_)
    return UnavailableError("drive " + options_.identity.drive.to_string() + " is closing");
  if (deleted_packs_.contains(key.pack))
    return FencedError("pack " + key.pack.to_string() + " was deleted");
  if (is_deleted(key)) return FencedError(describe(key) + ": its row was deleted");
  const auto pack = packs_.find(key.pack);
  const std::uint64_t epoch = request.shape.lease_epoch;
  if (!request.repair && pack != packs_.end() && epoch <= pack->second.sealed_epoch) {
    return FencedError("pack " + key.pack.to_string() + " is sealed against lease epoch " +
                       std::to_string(epoch));
  }
  return OkStatus();
}

// Until neither the key is written nor its pack sealed or deleted. Both at once: while the one is
// waited for the other may begin, and what comes in beside an eviction would be dropped with what
// is evicted.
Task<void> Drive::nobody_writes(FragmentKey key) {
  while (controlled_.contains(key.pack) || writing_.contains(key)) {
    if (controlled_.contains(key.pack)) {
      co_await control_ended_.wait();
    } else {
      co_await writing_changed_.wait();
    }
  }
}

Task<Status> Drive::write_fragment(WriteFragmentRequest request) {
  CO_RETURN_IF_ERROR(validate_request(request));
  CO_RETURN_IF_ERROR(verify_payload(request.key, request.payload, request.page_crcs));
  co_await nobody_writes(request.key);
  CO_RETURN_IF_ERROR(check_writable(request));
  const FragmentKey key = request.key;
  const KeyHold hold(this, key);
  if (const Location* there = find(key)) {
    const Location location = *there;
    const auto settled_by_this = co_await settled(&request, location);
    if (!settled_by_this.ok()) co_return settled_by_this.status();
    if (*settled_by_this) co_return OkStatus();
    CO_RETURN_IF_ERROR(check_writable(request));  // it may have been deleted meanwhile
  }
  if (allocatable_segments() <= kept_segments(request.reclaiming)) {
    maybe_clean();
    co_return NoSpaceError("drive " + options_.identity.drive.to_string() + " is full");
  }
  const std::size_t size = total_size(request.payload);
  co_await queued_bytes_.acquire(size);
  // It may have been sealed or deleted while this one waited.
  Status written = check_writable(request);
  Pending pending;
  pending.record.key = key;
  pending.record.shape = request.shape;
  pending.record.payload_bytes = static_cast<std::uint32_t>(size);
  pending.record.page_crcs = std::move(request.page_crcs);
  pending.record.directory = std::move(request.directory);
  pending.payload = std::move(request.payload);
  // A rebuild's writes share their flushes among many, so its segments need not be written twice.
  const bool large = size >= kLargeFragmentBytes || (request.repair && !is_short_of_space());
  const HeadIndex head = large ? kLargeHead : kSmallHead;
  if (written.ok()) written = co_await append(&pending, head);
  queued_bytes_.release(size);
  if (written.ok()) {
    ++write_count_;
    payload_bytes_written_ += size;
  }
  co_return written;
}

// Whether what is there answers the request. The same fragment once more is fine; another one under
// its key is not, unless it is to be replaced.
Task<Result<bool>> Drive::settled(const WriteFragmentRequest* request, Location location) {
  if (request->repair) {
    const bool there = co_await holds_already(request, location);
    if (there) damage_.remove(request->key);
    co_return there;
  }
  auto record = co_await load_record(request->key, location);
  if (!record.ok()) co_return record.status();
  if (record->shape == request->shape && record->page_crcs == request->page_crcs) co_return true;
  co_return AlreadyExistsError(describe(request->key) + " exists with other content");
}

Task<Status> Drive::append(Pending* pending, HeadIndex index) {
  Head& head = heads_[index];
  head.queue.push_back(pending);
  if (!head.running) {
    head.running = true;
    background_.spawn(run_head(&head));
  }
  co_return co_await pending->done.take();
}

Result<std::vector<Record>> Drive::parse_batch(const Segment& segment,
                                               const Buffer& summary) const {
  const auto view = peek_batch(summary.span(), uuid_, segment.id, segment.generation);
  if (!view.ok()) return CorruptionError("its summary is gone: " + view.status().message());
  auto records = parse_summary(summary.span(), *view);
  if (records.ok()) {
    for (Record& record : *records) record.lsn = view->header.lsn;
  }
  return records;
}

// All records of the batch that a fragment came in.
Task<Result<std::vector<Record>>> Drive::load_batch(FragmentKey key, Location location) {
  const SegmentUse use(this, location.segment);
  const Segment& segment = use.segment();
  auto bytes = co_await segment.device->read(std::uint64_t{location.batch_page} * kPageSize,
                                             std::size_t{location.summary_pages} * kPageSize);
  if (!bytes.ok()) co_return bytes.status();
  auto records = parse_batch(segment, *bytes);
  if (!records.ok()) co_return records.status().with_context(describe(key));
  co_return records;
}

Result<Record> Drive::take_record(std::vector<Record>* records, const FragmentKey& key) {
  for (Record& record : *records) {
    if (record.type == RecordType::kFragment && record.key == key) return std::move(record);
  }
  return CorruptionError(describe(key) + " is not in the summary that the index names");
}

Task<Result<Record>> Drive::load_record(FragmentKey key, Location location) {
  auto records = co_await load_batch(key, location);
  if (!records.ok()) co_return records.status();
  co_return take_record(&*records, key);
}

Task<Result<std::shared_ptr<const std::vector<std::uint32_t>>>> Drive::page_crcs(
    FragmentKey key, Location location) {
  if (const auto cached = crc_cache_.find(key); cached != crc_cache_.end())
    co_return cached->second;
  auto record = co_await load_record(key, location);
  if (!record.ok()) co_return record.status();
  if (record->page_crcs.size() != pages_of(location.bytes))
    co_return CorruptionError(describe(key) + ": page CRCs are missing");
  co_return keep_crcs(key, location, std::move(record->page_crcs));
}

std::shared_ptr<const std::vector<std::uint32_t>> Drive::keep_crcs(
    const FragmentKey& key, const Location& location, std::vector<std::uint32_t> page_crcs) {
  auto crcs = std::make_shared<const std::vector<std::uint32_t>>(std::move(page_crcs));
  // Of the fragment that the index names; it may have been replaced meanwhile.
  if (const Location* now = find(key); now == nullptr || *now != location) return crcs;
  if (crc_cache_.emplace(key, crcs).second) {
    crc_cache_order_.push_back(key);
    if (crc_cache_order_.size() > kCrcCacheFragments) {
      crc_cache_.erase(crc_cache_order_.front());
      crc_cache_order_.pop_front();
    }
  }
  return crcs;
}

// Whether one read of the device is to bring the fragment from `first` bytes on and its batch's
// summary: its CRCs are not in memory, and little lies between.
bool Drive::summary_is_near(const FragmentKey& key, const Location& location,
                            std::uint64_t first) const {
  const std::uint32_t summary_end = location.batch_page + location.summary_pages;
  const std::uint64_t between = location.payload_page - summary_end + first / kPageSize;
  return location.payload_page >= summary_end && between <= kReadOverPages &&
         !crc_cache_.contains(key);
}

Task<Result<Buffer>> Drive::read_segment(const Segment& segment, std::uint64_t begin,
                                         std::uint64_t length, bool background) {
  return background ? background_reads_.read(segment, begin, length)
                    : segment.device->read(begin, length);
}

// Bytes `first` to `last` of the fragment, whole pages; the CRCs of the summary that came with them
// are in memory then. A summary that does not verify is left to who asks for the CRCs.
Task<Result<Buffer>> Drive::read_with_summary(FragmentKey key, Location location,
                                              std::uint64_t first, std::uint64_t last,
                                              bool background) {
  const Segment& segment = *segments_.at(location.segment);  // held by the caller
  const std::uint64_t begin = std::uint64_t{location.batch_page} * kPageSize;
  const std::uint64_t payload = std::uint64_t{location.payload_page} * kPageSize - begin;
  auto bytes = co_await read_segment(segment, begin, payload + last, background);
  if (!bytes.ok()) {  // perhaps a page that is not asked for
    co_return co_await segment.device->read(begin + payload + first, last - first);
  }
  auto records =
      parse_batch(segment, bytes->slice(0, std::size_t{location.summary_pages} * kPageSize));
  if (records.ok()) {
    auto record = take_record(&*records, key);
    if (record.ok() && record->page_crcs.size() == pages_of(location.bytes))
      keep_crcs(key, location, std::move(record->page_crcs));
  }
  co_return bytes->slice(payload + first, last - first);
}

Task<Result<Buffer>> Drive::read_fragment(ReadFragmentRequest request) {
  const Location* found = find(request.key);
  if (found == nullptr) co_return not_here(request.key);
  const Location location = *found;
  if (request.length == 0 || request.offset > location.bytes ||
      request.length > location.bytes - request.offset) {
    co_return OutOfRangeError(describe(request.key) + " has " + std::to_string(location.bytes) +
                              " bytes, asked for " + std::to_string(request.length) + " at " +
                              std::to_string(request.offset));
  }
  const SegmentUse use(this, location.segment);
  const std::uint64_t first = round_down(request.offset, kPageSize);
  const std::uint64_t last = round_up(std::uint64_t{request.offset} + request.length, kPageSize);
  ++reads_under_way_;
  Result<Buffer> bytes = UnavailableError("not read");
  if (request.verify && summary_is_near(request.key, location, first)) {
    bytes = co_await read_with_summary(request.key, location, first, last, request.background);
  } else {
    const std::uint64_t begin = std::uint64_t{location.payload_page} * kPageSize + first;
    bytes = co_await read_segment(use.segment(), begin, last - first, request.background);
  }
  --reads_under_way_;
  Status trouble = bytes.ok() ? OkStatus() : bytes.status();
  if (trouble.ok() && request.verify) {
    auto crcs = co_await page_crcs(request.key, location);
    if (!crcs.ok()) trouble = crcs.status();
    for (std::uint64_t at = first; trouble.ok() && at < last; at += kPageSize) {
      const std::size_t n = std::min<std::uint64_t>(kPageSize, location.bytes - at);
      if (crc32c(bytes->span().subspan(at - first, n)) != (**crcs)[at / kPageSize]) {
        trouble =
            CorruptionError(describe(request.key) + ": page " + std::to_string(at / kPageSize) +
                            " on " + use.segment().device->name() + " does not match its CRC");
      }
    }
  }
  if (!trouble.ok()) {
    note_damage(request.key, location, trouble);
    co_return trouble;
  }
  ++read_count_;
  co_return bytes->slice(request.offset - first, request.length);
}

// Fragments of a pack in the index from `from` on, ascending, at most `limit`.
std::vector<Drive::Located> Drive::located(PackId pack, RowColumn from, std::size_t limit) const {
  std::vector<Located> found;
  const auto there = packs_.find(pack);
  if (there == packs_.end() || deleted_packs_.contains(pack)) return found;
  const auto& fragments = there->second.fragments;
  for (auto at = fragments.lower_bound(from); at != fragments.end() && found.size() < limit; ++at) {
    const FragmentKey key{pack, static_cast<std::uint32_t>(at->first >> 8),
                          static_cast<std::uint8_t>(at->first & 0xff)};
    found.push_back({key, at->second});
  }
  return found;
}

Task<Result<RowShape>> Drive::row_shape(PackId pack, std::uint32_t row) {
  Status trouble = NotFoundError("row " + pack.to_string() + "/" + std::to_string(row) +
                                 " has nothing on this drive");
  const auto fragments = located(pack, static_cast<RowColumn>(row) << 8, kMaxColumns);
  for (const auto& [key, location] : fragments) {
    if (key.row != row) break;
    auto record = co_await load_record(key, location);
    if (record.ok()) co_return record->shape;
    trouble = record.status();
    note_damage(key, location, trouble);
  }
  co_return trouble;
}

bool Drive::being_written(PackId pack) const {
  return std::any_of(writing_.begin(), writing_.end(),
                     [&](const FragmentKey& key) { return key.pack == pack; });
}

// One seal or deletion of a pack at a time: who asks for the same once more is answered when it is
// durable, not before.
Task<Status> Drive::append_control(Record control) {
  const PackId pack = control.key.pack;
  controlled_.insert(pack);
  Pending pending;
  pending.record = std::move(control);
  const Status written = co_await append(&pending, kSmallHead);
  controlled_.erase(pack);
  control_ended_.notify_all();
  co_return written;
}

Task<Status> Drive::seal_pack(PackId pack, std::uint64_t epoch) {
  while (controlled_.contains(pack)) co_await control_ended_.wait();
  if (deleted_packs_.contains(pack)) co_return OkStatus();
  const auto there = packs_.find(pack);
  const std::uint64_t before = there == packs_.end() ? 0 : there->second.sealed_epoch;
  if (before < epoch) {
    if (!failed_.ok()) co_return failed_;
    // In memory first: a write that comes in now must not slip in behind the seal.
    packs_[pack].sealed_epoch = epoch;
    Record seal;
    seal.type = RecordType::kSealPack;
    seal.key.pack = pack;
    seal.seal_epoch = epoch;
    const Status written = co_await append_control(std::move(seal));
    if (!written.ok()) {
      packs_[pack].sealed_epoch = before;
      co_return written;
    }
  }
  // What was let in before the seal is there, or has failed, when the seal is answered.
  while (being_written(pack)) co_await writing_changed_.wait();
  co_return OkStatus();
}

Task<Status> Drive::delete_pack(PackId pack) {
  while (controlled_.contains(pack)) co_await control_ended_.wait();
  if (deleted_packs_.contains(pack)) co_return OkStatus();
  if (!packs_.contains(pack) && !being_written(pack)) co_return OkStatus();
  if (!failed_.ok()) co_return failed_;
  deleted_packs_.insert(pack);
  Record deletion;
  deletion.type = RecordType::kDeletePack;
  deletion.key.pack = pack;
  const Status written = co_await append_control(std::move(deletion));
  if (written.ok()) {
    erase_pack(pack);
  } else {
    deleted_packs_.erase(pack);
  }
  maybe_clean();
  co_return written;
}

// What comes later under the same pack counts again, so this kills by position, not by name:
// nothing of the pack may be on its way, or it would be older in memory and newer in the log, or
// the other way round.
Task<Status> Drive::evict_pack(PackId pack) {
  while (true) {
    if (being_written(pack)) {
      co_await writing_changed_.wait();
    } else if (controlled_.contains(pack)) {
      co_await control_ended_.wait();
    } else {
      break;
    }
  }
  if (deleted_packs_.contains(pack) || !packs_.contains(pack)) co_return OkStatus();
  if (!failed_.ok()) co_return failed_;
  Record eviction;
  eviction.type = RecordType::kEvictPack;
  eviction.key.pack = pack;
  eviction.evict_below_lsn = next_lsn_;
  const Status written = co_await append_control(std::move(eviction));
  if (written.ok()) erase_pack(pack);
  co_return written;
}

Task<Status> Drive::delete_rows(PackId pack, std::vector<std::uint32_t> rows) {
  while (controlled_.contains(pack)) co_await control_ended_.wait();
  if (deleted_packs_.contains(pack)) co_return OkStatus();
  auto& gone = deleted_rows_[pack];
  std::erase_if(rows, [&](std::uint32_t row) { return gone.contains(row); });
  if (rows.empty()) co_return OkStatus();
  if (!failed_.ok()) co_return failed_;
  gone.insert(rows.begin(), rows.end());
  Record deletion;
  deletion.type = RecordType::kDeleteRows;
  deletion.key.pack = pack;
  deletion.rows = rows;
  const Status written = co_await append_control(std::move(deletion));
  if (written.ok()) {
    erase_rows(pack, rows);
  } else {
    for (const std::uint32_t row : rows) deleted_rows_[pack].erase(row);
  }
  maybe_clean();
  co_return written;
}

DriveStatus Drive::status() const {
  DriveStatus status;
  status.drive = options_.identity.drive;
  status.uuid = options_.identity.drive_uuid;
  status.path = directory_->path();
  const std::uint32_t free = allocatable_segments();
  const std::uint32_t reserved = kept_segments(/*reclaiming=*/false);
  status.state = !failed_.ok() ? "failed: " + failed_.message() : free <= reserved ? "full" : "up";
  status.capacity_bytes = std::uint64_t{max_segments()} * options_.segment_bytes;
  status.used_bytes = used_bytes_;
  status.free_bytes =
      free <= reserved ? 0 : std::uint64_t{free - reserved} * options_.segment_bytes;
  status.pack_count = packs_.size();
  status.fragment_count = fragment_count_;
  status.index_bytes = fragment_count_ * (sizeof(RowColumn) + sizeof(Location)) * 4 / 3 +
                       packs_.size() * (sizeof(Pack) + sizeof(PackId));
  status.flush_count = closed_flushes_;
  for (const auto& [id, segment] : segments_) {
    status.flush_count += segment->device->flush_count();
    if (segment->incomplete) ++status.damaged_segments;
  }
  status.write_count = write_count_;
  status.opened_ns = opened_ns_;
  status.read_count = read_count_;
  status.damaged_fragments = damage_.size();
  status.damaged_unlisted = damage_.unlisted();
  status.scrub = scrubber_.status();
  status.payload_bytes_written = payload_bytes_written_;
  status.device_bytes_written = device_bytes_written_;
  status.cleaned_bytes = cleaned_bytes_;
  status.segment_bytes = options_.segment_bytes;
  status.segment_count = segments_.size();
  status.free_segment_count = static_cast<std::uint64_t>(
      std::count_if(segments_.begin(), segments_.end(),
                    [](const auto& entry) { return entry.second->state == SegmentState::kFree; }));
  return status;
}

void Drive::index_fragment(const Record& record, const Location& location) {
  Pack& pack = packs_[record.key.pack];
  pack.fragments[row_column(record.key)] = location;
  pack.stored_bytes += location.bytes;
  Segment& segment = *segments_.at(location.segment);
  ++segment.live_fragments;
  segment.live_pages += pages_of(location.bytes);
  used_bytes_ += location.bytes;
  ++fragment_count_;
}

// The newer record of a key takes the place of an older one, if there is one.
void Drive::replace_fragment(const Record& record, const Location& location) {
  const Location* there = find(record.key);
  if (there == nullptr) {
    index_fragment(record, location);
    return;
  }
  const Location old = *there;
  forget_fragment(old);
  packs_[record.key.pack].stored_bytes -= old.bytes;
  index_fragment(record, location);
  crc_cache_.erase(record.key);
  damage_.remove(record.key);
  maybe_recycle(old.segment);
}

void Drive::forget_fragment(const Location& location) {
  Segment& segment = *segments_.at(location.segment);
  --segment.live_fragments;
  segment.live_pages -= pages_of(location.bytes);
  used_bytes_ -= location.bytes;
  --fragment_count_;
}

void Drive::erase_rows(PackId pack, const std::vector<std::uint32_t>& rows) {
  const auto there = packs_.find(pack);
  if (there == packs_.end()) return;
  std::vector<std::uint32_t> touched;
  for (const std::uint32_t row : rows) {
    auto at = there->second.fragments.lower_bound(static_cast<RowColumn>(row) << 8);
    while (at != there->second.fragments.end() && at->first >> 8 == row) {
      forget_fragment(at->second);
      there->second.stored_bytes -= at->second.bytes;
      touched.push_back(at->second.segment);
      damage_.remove({pack, row, static_cast<std::uint8_t>(at->first & 0xff)});
      at = there->second.fragments.erase(at);
    }
  }
  for (const std::uint32_t segment : touched) maybe_recycle(segment);
}

void Drive::erase_pack(PackId pack) {
  const auto there = packs_.find(pack);
  if (there == packs_.end()) return;
  absl::btree_set<std::uint32_t> touched;
  for (const auto& [row, location] : there->second.fragments) {
    forget_fragment(location);
    touched.insert(location.segment);
  }
  packs_.erase(there);
  ++forgotten_;
  deleted_rows_.erase(pack);
  damage_.remove_pack(pack);
  for (const std::uint32_t segment : touched) maybe_recycle(segment);
}

Task<void> Drive::close() {
  if (std::exchange(closing_, true)) co_return;
  scrubber_.close();
  spare_changed_.notify_all();
  co_await background_.join();
}

}  // namespace shoal::storaged
