// FakeStorage: every drive of a test cluster in memory behind one StorageApi. It checks what a real
// daemon checks (page CRCs, shapes, seals, duplicates) and can fail, fill up, slow down, hang, lose
// or corrupt each drive. Belongs to one executor.
#pragma once

#include <algorithm>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <utility>
#include <vector>

#include "base/async/sync.h"
#include "base/crc32c.h"
#include "proto/storage_api.h"

namespace shoal::test {

struct DriveFaults {
  Status write_error;  // answers every write with it unless OK
  Status read_error;   // every read and row_shape
  Duration write_delay{0};
  Duration read_delay{0};
  bool hang_writes = false;  // until the deadline of the call, which then says kDeadlineExceeded
  bool hang_reads = false;
  bool lie_on_read = false;  // flips a bit of what it reads, after the check of the page CRCs
  bool short_reads = false;  // answers one byte less
  bool full = false;
  bool silent = false;                                  // does not say what it holds
  WallTimeNs opened_ns = 1;
  std::uint64_t fail_after_writes = ~std::uint64_t{0};  // then write_error is set to kIoError
};

struct StoredFragment {
  RowShape shape;
  std::vector<std::byte> bytes;
  std::vector<std::uint32_t> page_crcs;
  std::vector<RowObject> directory;
};

class FakeStorage final : public StorageApi {
 public:
  using RowKey = std::pair<PackId, std::uint32_t>;

  // A drive exists once it was named here.
  DriveFaults& faults(DriveId drive) { return drives_[drive].faults; }
  void add_drives(std::uint32_t count) {
    for (std::uint32_t i = 0; i < count; ++i) drives_[DriveId(i)];
  }
  // Everything on it is gone; it takes new fragments.
  void wipe(DriveId drive) { drives_[drive].fragments.clear(); }
  const std::map<FragmentKey, StoredFragment>& fragments(DriveId drive) {
    return drives_[drive].fragments;
  }
  // As if scrub had found it bad.
  void mark_damaged(DriveId drive, FragmentKey key, std::string what) {
    drives_[drive].damaged[key] = std::move(what);
  }
  // Flips one bit on the medium: the page's CRC no longer matches.
  void flip_bit(DriveId drive, FragmentKey key, std::size_t at) {
    drives_[drive].fragments.at(key).bytes.at(at) ^= std::byte{1};
  }
  std::function<void(const ReadFragmentRequest&)> on_read;
  std::function<std::uint32_t(const FragmentKey&)> log_place;  // as FragmentInfo's; unset: 0
  std::uint64_t write_count() const { return write_count_; }
  FragmentDetail last_list_detail() const { return last_list_detail_; }
  std::uint64_t read_count() const { return read_count_; }
  std::uint64_t read_bytes() const { return read_bytes_; }
  std::uint64_t write_calls_in_flight() const { return writes_in_flight_; }
  std::uint64_t list_count() const { return list_count_; }  // of fragments
  std::uint64_t shape_list_count() const { return shape_list_count_; }  // of these, with kShape
  void reset_counts() {
    write_count_ = read_count_ = read_bytes_ = list_count_ = shape_list_count_ = 0;
  }

  Task<Status> write_fragment(WriteFragmentRequest request, MonotonicTime deadline) override {
    ++writes_in_flight_;
    const Status status = co_await write(std::move(request), deadline);
    --writes_in_flight_;
    co_return status;
  }

  Task<Result<Buffer>> read_fragment(ReadFragmentRequest request, MonotonicTime deadline) override {
    ++read_count_;
    if (on_read) on_read(request);
    CO_RETURN_IF_ERROR(co_await before_read(request.drive, deadline));
    Drive& drive = drives_[request.drive];
    const auto found = drive.fragments.find(request.key);
    if (found == drive.fragments.end()) co_return NotFoundError("no such fragment");
    const StoredFragment& fragment = found->second;
    const std::uint64_t end = std::uint64_t{request.offset} + request.length;
    if (end > fragment.bytes.size()) co_return OutOfRangeError("beyond the column's height");
    if (request.verify) {
      const Status verified = verify_pages(fragment, request.offset, end);
      if (!verified.ok()) {
        drive.damaged.try_emplace(request.key, verified.message());
        co_return verified;
      }
    }
    Buffer bytes =
        Buffer::copy_of(std::span(fragment.bytes).subspan(request.offset, request.length));
    if (drive.faults.lie_on_read && !bytes.empty()) bytes.mutable_data()[0] ^= std::byte{4};
    if (drive.faults.short_reads && !bytes.empty()) bytes.resize(bytes.size() - 1);
    read_bytes_ += bytes.size();
    co_return bytes;
  }

  Task<Result<RowShape>> row_shape(DriveId id, PackId pack, std::uint32_t row,
                                   MonotonicTime deadline) override {
    CO_RETURN_IF_ERROR(co_await before_read(id, deadline));
    const Drive& drive = drives_[id];
    const auto found = drive.fragments.lower_bound(FragmentKey{pack, row, 0});
    if (found == drive.fragments.end() || found->first.pack != pack || found->first.row != row) {
      co_return NotFoundError("no fragment of that row");
    }
    co_return found->second.shape;
  }

  Task<Result<std::vector<RowObject>>> row_directory(DriveId id, FragmentKey key,
                                                     MonotonicTime deadline) override {
    CO_RETURN_IF_ERROR(co_await before_read(id, deadline));
    const Drive& drive = drives_[id];
    const auto found = drive.fragments.find(key);
    if (found == drive.fragments.end()) co_return NotFoundError("no such fragment");
    co_return found->second.directory;
  }

  Task<Status> seal_pack(DriveId drive, PackId pack, std::uint64_t epoch, MonotonicTime) override {
    std::uint64_t& sealed = drives_[drive].sealed[pack];
    sealed = std::max(sealed, epoch);
    co_return OkStatus();
  }
  Task<Status> delete_pack(DriveId drive, PackId pack, MonotonicTime) override {
    drives_[drive].deleted_packs.insert(pack);
    drop_deleted(drives_[drive]);
    co_return OkStatus();
  }
  Task<Status> evict_pack(DriveId drive, PackId pack, MonotonicTime) override {
    std::erase_if(drives_[drive].fragments,
                  [&](const auto& fragment) { return fragment.first.pack == pack; });
    co_return OkStatus();
  }
  Task<Status> delete_rows(DriveId drive, PackId pack, std::vector<std::uint32_t> rows,
                           MonotonicTime) override {
    for (const std::uint32_t row : rows) drives_[drive].deleted_rows.insert({pack, row});
    drop_deleted(drives_[drive]);
    co_return OkStatus();
  }
  Task<Result<std::vector<PackInfo>>> list_packs(DriveId drive, PackId after, std::uint32_t limit,
                                                 MonotonicTime) override {
    std::map<PackId, PackInfo> packs;
    for (const auto& [key, fragment] : drives_[drive].fragments) {
      if (key.pack <= after) continue;
      PackInfo& info = packs[key.pack];
      info.pack = key.pack;
      info.stored_bytes += fragment.bytes.size();
      ++info.fragment_count;
      const auto sealed = drives_[drive].sealed.find(key.pack);
      if (sealed != drives_[drive].sealed.end()) info.sealed_epoch = sealed->second;
    }
    std::vector<PackInfo> list;
    for (const auto& [pack, info] : packs) {
      if (list.size() < limit) list.push_back(info);
    }
    co_return list;
  }
  Task<Result<std::vector<FragmentInfo>>> list_fragments(DriveId drive, PackId pack,
                                                         std::uint32_t first_row,
                                                         std::uint32_t limit, FragmentDetail detail,
                                                         MonotonicTime) override {
    ++list_count_;
    if (detail != FragmentDetail::kIndexed) ++shape_list_count_;
    last_list_detail_ = detail;
    if (drives_[drive].faults.silent) co_return DeadlineExceededError("no list came");
    std::vector<FragmentInfo> list;
    for (const auto& [key, fragment] : drives_[drive].fragments) {
      if (key.pack != pack || key.row < first_row || list.size() >= limit) continue;
      FragmentInfo info{key, {}, static_cast<std::uint32_t>(fragment.bytes.size())};
      if (detail != FragmentDetail::kIndexed) info.shape = fragment.shape;
      if (log_place) info.log_place = log_place(key);
      list.push_back(info);
    }
    co_return list;
  }
  Task<Result<std::vector<DamagedFragment>>> damaged_fragments(DriveId drive, FragmentKey after,
                                                               std::uint32_t limit,
                                                               MonotonicTime) override {
    std::vector<DamagedFragment> list;
    const auto& damaged = drives_[drive].damaged;
    for (auto at = damaged.upper_bound(after); at != damaged.end() && list.size() < limit; ++at)
      list.push_back({at->first, at->second});
    co_return list;
  }
  // A pass takes no time here.
  Task<Status> scrub(DriveId id, ScrubAction action, std::uint64_t, MonotonicTime) override {
    Drive& drive = drives_[id];
    if (action == ScrubAction::kStop) co_return OkStatus();
    for (const auto& [key, fragment] : drive.fragments) {
      const Status verified = verify_pages(fragment, 0, fragment.bytes.size());
      if (!verified.ok()) drive.damaged.try_emplace(key, verified.message());
    }
    ++drive.scrub_passes;
    co_return OkStatus();
  }
  // What status() answers, when it is not to be what is there.
  std::optional<Result<std::vector<DriveStatus>>> status_answer;
  int status_count = 0;  // calls
  Task<Result<std::vector<DriveStatus>>> status(MonotonicTime) override {
    ++status_count;
    if (status_answer) co_return *status_answer;
    std::vector<DriveStatus> list;
    for (const auto& [id, drive] : drives_) {
      if (drive.faults.write_error.code() == StatusCode::kUnavailable) continue;  // out of reach
      DriveStatus entry;
      entry.drive = id;
      entry.state = drive.faults.full ? "full" : "up";
      entry.capacity_bytes = std::uint64_t{1} << 40;
      entry.fragment_count = drive.fragments.size();
      for (const auto& [key, fragment] : drive.fragments) entry.used_bytes += fragment.bytes.size();
      entry.damaged_fragments = drive.damaged.size();
      entry.opened_ns = drive.faults.opened_ns;
      entry.scrub.passes = drive.scrub_passes;
      entry.free_bytes = entry.capacity_bytes - entry.used_bytes;
      list.push_back(std::move(entry));
    }
    co_return list;
  }

 private:
  struct Drive {
    DriveFaults faults;
    std::map<FragmentKey, StoredFragment> fragments;
    std::map<FragmentKey, std::string> damaged;
    std::uint64_t scrub_passes = 0;
    std::map<PackId, std::uint64_t> sealed;
    std::set<PackId> deleted_packs;
    std::set<RowKey> deleted_rows;
    std::uint64_t writes = 0;
  };

  static bool is_deleted(const Drive& drive, const FragmentKey& key) {
    return drive.deleted_packs.contains(key.pack) ||
           drive.deleted_rows.contains({key.pack, key.row});
  }
  static void drop_deleted(Drive& drive) {
    const auto deleted = [&](const auto& entry) { return is_deleted(drive, entry.first); };
    std::erase_if(drive.fragments, deleted);
    std::erase_if(drive.damaged, deleted);
  }

  Task<Status> write(WriteFragmentRequest request, MonotonicTime deadline) {
    ++write_count_;
    const auto found = drives_.find(request.drive);
    if (found == drives_.end()) co_return NotFoundError("no such drive here");
    Drive& drive = found->second;
    if (drive.faults.hang_writes) {
      co_await sleep_until(deadline);
      co_return DeadlineExceededError("the drive did not answer");
    }
    if (drive.faults.write_delay > Duration(0)) co_await sleep_for(drive.faults.write_delay);
    if (++drive.writes > drive.faults.fail_after_writes) {
      drive.faults.write_error = IoErrorError("the drive has failed");
    }
    if (!drive.faults.write_error.ok()) co_return drive.faults.write_error;
    if (drive.faults.full) co_return NoSpaceError("the drive is full");
    CO_RETURN_IF_ERROR(validate(request.shape));
    if (is_deleted(drive, request.key)) co_return FencedError("the pack or row was deleted");
    const auto sealed = drive.sealed.find(request.key.pack);
    if (!request.repair && sealed != drive.sealed.end() &&
        request.shape.lease_epoch <= sealed->second) {
      co_return FencedError("the pack is sealed");
    }
    StoredFragment fragment;
    fragment.shape = request.shape;
    for (const Buffer& piece : request.payload) {
      fragment.bytes.insert(fragment.bytes.end(), piece.data(), piece.data() + piece.size());
    }
    fragment.page_crcs = std::move(request.page_crcs);
    fragment.directory = std::move(request.directory);
    if (fragment.bytes.size() != request.shape.height(request.key.column) ||
        fragment.bytes.empty()) {
      co_return InvalidArgumentError("the payload is not as long as the column");
    }
    if (fragment.page_crcs != page_crc32cs(fragment.bytes)) {
      co_return CorruptionError("the payload does not match its page CRCs");
    }
    const auto [at, inserted] = drive.fragments.try_emplace(request.key, fragment);
    if (!inserted && request.repair) at->second = fragment;
    if (at->second.page_crcs != fragment.page_crcs || at->second.shape != fragment.shape)
      co_return AlreadyExistsError("another fragment has this key");
    if (request.repair) drive.damaged.erase(request.key);
    co_return OkStatus();
  }

  Task<Status> before_read(DriveId id, MonotonicTime deadline) {
    const auto found = drives_.find(id);
    if (found == drives_.end()) co_return NotFoundError("no such drive here");
    const DriveFaults& faults = found->second.faults;
    if (faults.hang_reads) {
      co_await sleep_until(deadline);
      co_return DeadlineExceededError("the drive did not answer");
    }
    if (faults.read_delay > Duration(0)) co_await sleep_for(faults.read_delay);
    co_return faults.read_error;
  }

  static Status verify_pages(const StoredFragment& fragment, std::uint64_t from, std::uint64_t to) {
    for (std::uint64_t page = from / kPageSize; page * kPageSize < to; ++page) {
      const std::size_t at = page * kPageSize;
      const std::size_t length = std::min(kPageSize, fragment.bytes.size() - at);
      if (crc32c(std::span(fragment.bytes).subspan(at, length)) != fragment.page_crcs[page]) {
        return CorruptionError("page " + std::to_string(page) + " does not match its CRC");
      }
    }
    return OkStatus();
  }

  std::map<DriveId, Drive> drives_;
  std::uint64_t write_count_ = 0;
  FragmentDetail last_list_detail_ = FragmentDetail::kIndexed;
  std::uint64_t read_count_ = 0;
  std::uint64_t read_bytes_ = 0;
  std::uint64_t list_count_ = 0;
  std::uint64_t shape_list_count_ = 0;
  std::uint64_t writes_in_flight_ = 0;
};

}  // namespace shoal::test
