// Drive: one drive's log of fragments and the index of what is in it. Belongs to one executor and
// needs no lock.
//
// Two log heads append: small batches into segments whose pages were all written before, so that a
// durable write is one device flush; large ones into segments that are only allocated, because
// there the cost is spread over the bytes. Each head has one batch in flight; what arrives
// meanwhile is the next batch. A pack id is never used again, so a deletion kills every fragment of
// the pack, older or newer.
#pragma once

#include <absl/container/btree_map.h>
#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <array>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/async/sync.h"
#include "base/io/block_device.h"
#include "base/result.h"
#include "proto/storage_api.h"
#include "storaged/limits.h"
#include "storaged/log/superblock.h"
#include "storaged/store/damage_list.h"
#include "storaged/store/read_merger.h"
#include "storaged/store/scrubber.h"
#include "storaged/store/segment.h"

namespace shoal::storaged {

struct DriveOptions {
  DriveIdentity identity;
  std::uint64_t max_bytes = 0;  // of all segments; 0: what the file system has
  std::uint64_t segment_bytes = kDefaultSegmentBytes;  // of a new drive
  bool format_if_empty = false;
  std::uint64_t scrub_bytes_per_second = 0;  // 0: only when asked
};

class Drive {
 public:
  // Opens the log and rebuilds the index: footers of sealed segments, a scan of the open ones.
  // Errors: those of read_superblock, kIoError, kCorruption.
  static Task<Result<std::unique_ptr<Drive>>> open(std::unique_ptr<BlockDirectory> directory,
                                                   DriveOptions options);
  // close() first.
  ~Drive();

  // As in StorageApi.
  Task<Status> write_fragment(WriteFragmentRequest request);
  Task<Result<Buffer>> read_fragment(ReadFragmentRequest request);
  Task<Result<RowShape>> row_shape(PackId pack, std::uint32_t row);
  Task<Result<std::vector<RowObject>>> row_directory(FragmentKey key);
  Task<Status> seal_pack(PackId pack, std::uint64_t epoch);
  Task<Status> delete_pack(PackId pack);
  Task<Status> evict_pack(PackId pack);
  Task<Status> delete_rows(PackId pack, std::vector<std::uint32_t> rows);
  std::vector<PackInfo> list_packs(PackId after, std::uint32_t limit) const;
  Task<Result<std::vector<FragmentInfo>>> list_fragments(PackId pack, std::uint32_t first_row,
                                                         std::uint32_t limit,
                                                         FragmentDetail detail);
  std::vector<DamagedFragment> damaged_fragments(FragmentKey after, std::uint32_t limit) const;
  Status scrub(ScrubAction action, std::uint64_t bytes_per_second);
  DriveStatus status() const;
  // As BlockDirectory::check_present.
  Task<Status> check_present() { return directory_->check_present(); }

  // Waits for what is under way. Open segments stay open: the next start scans them and goes on
  // behind their tails.
  Task<void> close();

 private:
  struct Location {
    std::uint32_t segment;
    std::uint32_t payload_page;
    std::uint32_t bytes;
    std::uint32_t batch_page;
    std::uint32_t summary_pages;
    friend bool operator==(const Location&, const Location&) = default;
  };
  using RowColumn = std::uint64_t;  // row << 8 | column: the order of listings
  struct Pack {
    absl::btree_map<RowColumn, Location> fragments;
    std::uint64_t stored_bytes = 0;
    std::uint64_t sealed_epoch = 0;
  };
  struct Located {
    FragmentKey key;
    Location location;
  };
  // Something on its way into the log.
  struct Pending {
    Record record;
    BufferList payload;
    // Said again, or copied into the last segment: once it is written a segment is free.
    bool gives_back = false;
    Completion<Status> done;
    bool is_control() const { return record.type != RecordType::kFragment; }
    std::uint32_t left_segments() const {  // free ones that it may not take
      if (gives_back) return 0;
      return is_control() ? kRecycleSegments : kControlSegments;
    }
  };
  struct Head {
    bool wants_written = true;  // its segments must have been written before
    Segment* segment = nullptr;
    std::deque<Pending*> queue;
    bool running = false;
  };
  enum HeadIndex { kSmallHead = 0, kLargeHead = 1 };
  using SegmentPtr = std::shared_ptr<Segment>;
  // While it lives, other writes of the key wait: the order of two records of one key in the log is
  // the order in which they were indexed.
  class KeyHold {
   public:
    KeyHold(Drive* drive, const FragmentKey& key) : drive_(drive), key_(key) {
      drive_->writing_.insert(key_);
    }
    KeyHold(const KeyHold&) = delete;
    KeyHold& operator=(const KeyHold&) = delete;
    ~KeyHold() {
      drive_->writing_.erase(key_);
      drive_->writing_changed_.notify_all();
    }

   private:
    Drive* const drive_;
    const FragmentKey key_;
  };
  // While it lives, the segment is not recycled.
  class SegmentUse {
   public:
    SegmentUse(Drive* drive, std::uint32_t segment)
        : drive_(drive), segment_(drive->segments_.at(segment)) {
      ++segment_->readers;
    }
    SegmentUse(const SegmentUse&) = delete;
    SegmentUse& operator=(const SegmentUse&) = delete;
    ~SegmentUse() {
      --segment_->readers;
      drive_->maybe_recycle(segment_->id);
    }
    Segment& segment() const { return *segment_; }

   private:
    Drive* const drive_;
    const SegmentPtr segment_;
  };

  Drive(std::unique_ptr<BlockDirectory> directory, DriveOptions options);

  // drive.cc
  static RowColumn row_column(const FragmentKey& key) {
    return static_cast<RowColumn>(key.row) << 8 | key.column;
  }
  const Location* find(const FragmentKey& key) const;
  std::vector<Located> located(PackId pack, RowColumn from, std::size_t limit) const;
  Status not_here(const FragmentKey& key) const;
  bool is_deleted(const FragmentKey& key) const;
  bool being_written(PackId pack) const;
  Task<Status> append_control(Record control);
  Status check_writable(const WriteFragmentRequest& request) const;
  Task<Result<bool>> settled(const WriteFragmentRequest* request, Location location);
  Result<std::vector<Record>> parse_batch(const Segment& segment, const Buffer& summary) const;
  Task<Result<std::vector<Record>>> load_batch(FragmentKey key, Location location);
  static Result<Record> take_record(std::vector<Record>* records, const FragmentKey& key);
  Task<Result<Record>> load_record(FragmentKey key, Location location);
  Task<Result<std::shared_ptr<const std::vector<std::uint32_t>>>> page_crcs(FragmentKey key,
                                                                            Location location);
  std::shared_ptr<const std::vector<std::uint32_t>> keep_crcs(const FragmentKey& key,
                                                              const Location& location,
                                                              std::vector<std::uint32_t> page_crcs);
  bool summary_is_near(const FragmentKey& key, const Location& location, std::uint64_t first) const;
  Task<Result<Buffer>> read_segment(const Segment& segment, std::uint64_t begin,
                                    std::uint64_t length, bool background);
  Task<Result<Buffer>> read_with_summary(FragmentKey key, Location location, std::uint64_t first,
                                         std::uint64_t last, bool background);
  void index_fragment(const Record& record, const Location& location);
  void replace_fragment(const Record& record, const Location& location);
  void forget_fragment(const Location& location);
  void erase_rows(PackId pack, const std::vector<std::uint32_t>& rows);
  void erase_pack(PackId pack);
  Task<void> nobody_writes(FragmentKey key);
  Task<Status> append(Pending* pending, HeadIndex head);

  // drive_damage.cc
  void note_damage(const FragmentKey& key, const Location& location, const Status& why);
  Task<bool> holds_already(const WriteFragmentRequest* request, Location location);

  // drive_scrub.cc
  // What was read last: batches that lie one behind the other are read together.
  struct ScrubWindow {
    std::uint32_t page = 0;
    Buffer bytes;
  };
  Task<void> run_scrub();
  Task<void> save_scrub();
  Task<void> scrub_pass();
  Task<void> scrub_segment(SegmentPtr segment);
  Task<void> scrub_header(SegmentPtr segment);
  Task<Result<std::vector<Record>>> scrub_listing(SegmentPtr segment);
  std::vector<Record> indexed_records(const Segment& segment) const;
  bool is_busy() const;
  std::uint64_t uses() const { return read_count_ + write_count_; }
  Task<Result<Buffer>> scrub_read(SegmentPtr segment, ScrubWindow* window, std::uint32_t page,
                                  std::uint32_t pages);
  Task<void> scrub_batch(SegmentPtr segment, ScrubWindow* window, std::vector<Record> records);
  Task<Status> scrub_fragment(SegmentPtr segment, ScrubWindow* window,
                              const Result<std::vector<Record>>* stored, const Record* listed);

  // drive_writer.cc
  Task<void> run_head(Head* head);
  Task<Status> write_batch(Head* head, std::vector<Pending*> batch);
  std::vector<Pending*> take_batch(Head* head);
  static std::size_t summary_size(const std::vector<Pending*>& batch);
  void publish(Segment& segment, const std::vector<Pending*>& batch, std::uint32_t batch_page,
               std::uint32_t summary_pages);
  void fail_queue(Head* head, const Status& status);
  void fail(const Status& why);
  void fail_first(Head* head, const Status& status);
  Status no_free_segment() const;
  Task<Status> roll(Head* head);
  Buffer header_page(const Segment& segment) const;
  Task<Status> write_header(Segment& segment);
  Task<Result<SegmentPtr>> prepare_segment(bool written);
  Task<void> keep_spare();
  Task<SegmentPtr> take_spare();
  bool may_prewrite(std::uint64_t bytes) const;
  bool is_quiet() const;
  Task<void> look_for_quiet();
  Task<Status> prewrite(SegmentPtr segment, bool paced);
  Task<void> seal_segment(SegmentPtr segment);
  Task<Status> write_footer(Segment& segment);

  // drive_cleaner.cc
  std::uint32_t max_segments() const;
  std::uint32_t allocatable_segments() const;
  std::uint32_t reserved_segments() const;
  std::uint32_t kept_segments(bool reclaiming) const;
  void maybe_recycle(std::uint32_t segment);
  void recycle_dead();
  std::vector<Record> controls_to_keep(const Segment& segment) const;
  bool is_worth_recycling(Segment& segment) const;
  void hold_pack(Segment& segment, PackId pack);
  void forget_packs(Segment& segment);
  Task<void> recycle(SegmentPtr segment);
  Task<Status> say_controls_again(SegmentPtr segment);
  Task<Result<bool>> recycle_in_place(SegmentPtr segment);
  bool control_needed(const Record& control, const Segment& holder) const;
  bool is_short_of_space() const;
  void maybe_clean();
  Task<void> clean();
  std::vector<Located> live_in(const Segment& segment) const;
  enum class CleanInto { kUnreserved, kLastSegment };
  Task<Status> clean_segment(SegmentPtr segment, CleanInto into);
  Task<Status> clean_into_last_segment(SegmentPtr segment);
  struct Loaded {
    Record record;
    Buffer payload;
  };
  Task<Result<Loaded>> load(FragmentKey key, Location location);
  Task<Status> relocate(FragmentKey key, Location location, CleanInto into);
  SegmentPtr pick_victim() const;

  // drive_list.cc
  struct Listing {
    std::vector<FragmentInfo>* infos;
    std::vector<Located> left;  // not yet listed
    AsyncSemaphore slots;
  };
  static std::pair<std::uint32_t, std::uint32_t> batch_of(const Located& fragment) {
    return {fragment.location.segment, fragment.location.batch_page};
  }
  Task<void> list_segments(std::span<const Located> fragments, Listing* listing);
  bool is_listed_by_footer(std::span<const Located> fragments) const;
  Task<void> list_segment(std::span<const Located> fragments, Listing* listing);
  Task<void> list_batches(Listing* listing);
  Task<void> list_batch(std::span<const Located> fragments, Listing* listing);
  std::uint32_t log_place(std::uint64_t lsn) const;

  // drive_recovery.cc
  Task<Status> recover();
  Task<Result<std::vector<SegmentPtr>>> find_segments();
  Task<Result<std::vector<Record>>> recover_segment(SegmentPtr segment);
  Task<void> drop_unfinished_file();
  Task<void> keep_what_was_read();
  void apply_recovered(std::vector<Record> records, std::vector<std::uint32_t> owners);
  void open_heads();

  // drive_scan.cc
  struct Batch {
    BatchHeader header{};
    std::uint32_t summary_pages = 0;
    std::uint32_t end_page = 0;
    std::vector<Record> records;
  };
  void retire(Segment& segment, const Status& why);
  Task<Result<std::uint64_t>> find_generation(Segment& segment);
  Task<Result<std::vector<Record>>> read_footer(Segment& segment);
  Task<void> skip_begun_life(Segment& segment);
  Task<Result<Batch>> read_batch(Segment& segment, std::uint32_t page, std::uint64_t generation);
  Task<Result<std::vector<Record>>> scan_segment(Segment& segment);
  Task<std::vector<Record>> verified_records(Segment& segment, std::vector<Record> records);
  Task<std::uint32_t> find_later_batch(Segment& segment, std::uint32_t from_page);
  Task<std::uint64_t> newest_generation(Segment& segment);
  Task<std::vector<std::uint32_t>> batch_like_pages(Segment& segment, std::uint32_t page,
                                                    std::uint32_t* unreadable);

  const std::unique_ptr<BlockDirectory> directory_;
  DriveOptions options_;
  Uuid uuid_{};
  std::uint64_t next_generation_ = 1;
  std::uint64_t next_lsn_ = 1;
  std::uint32_t next_segment_id_ = 1;
  Status failed_;  // why the drive takes no more writes
  bool closing_ = false;

  absl::btree_map<std::uint32_t, SegmentPtr> segments_;  // in order: it decides which is taken next
  absl::flat_hash_map<PackId, Pack> packs_;
  absl::flat_hash_set<PackId> deleted_packs_;
  absl::flat_hash_map<PackId, absl::flat_hash_set<std::uint32_t>> deleted_rows_;
  absl::flat_hash_map<PackId, std::uint32_t> holders_;  // how many segments hold something of it
  std::uint64_t forgotten_ = 1;  // counts packs that are gone, and segments that were overwritten
  std::array<Head, 2> heads_;
  SegmentPtr spare_;  // prepared for the small head
  bool making_spare_ = false;
  bool spare_wanted_ = false;  // somebody waits for it
  Signal spare_changed_;       // it is there, or may go on: the head has filled, or it is wanted
  std::uint64_t quiet_use_ =
      ~std::uint64_t{0};  // uses() when nobody had used the drive for a while
  AsyncMutex prepare_mutex_;
  AsyncSemaphore queued_bytes_{kMaxQueuedBytes};
  bool cleaning_ = false;
  TaskScope background_;
  absl::flat_hash_set<FragmentKey>
      writing_;  // keys on their way: a retry that overtakes its first try waits
  Signal writing_changed_;
  absl::flat_hash_set<PackId> controlled_;  // a seal or deletion of it is on its way
  Signal control_ended_;
  DamageList damage_;
  Scrubber scrubber_;
  std::uint32_t reads_under_way_ = 0;
  ReadMerger background_reads_;

  absl::flat_hash_map<FragmentKey, std::shared_ptr<const std::vector<std::uint32_t>>> crc_cache_;
  std::deque<FragmentKey> crc_cache_order_;

  std::uint64_t used_bytes_ = 0;
  std::uint64_t fragment_count_ = 0;
  WallTimeNs opened_ns_ = 0;
  std::uint64_t write_count_ = 0;
  std::uint64_t read_count_ = 0;
  std::uint64_t closed_flushes_ = 0;
  std::uint64_t payload_bytes_written_ = 0;
  std::uint64_t device_bytes_written_ = 0;
  std::uint64_t cleaned_bytes_ = 0;
};

}  // namespace shoal::storaged
