// MetadataServer: the state machine behind its journal. A command is stamped, journaled in a group
// commit, applied in order and answered; a query reads the state, which holds only what is durable.
// Belongs to one executor.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <deque>
#include <functional>
#include <memory>
#include <string>

#include "base/async/sync.h"
#include "base/io/block_device.h"
#include "base/io/blocking_pool.h"
#include "metad/checkpoint/checkpoint_store.h"
#include "metad/journal/journal.h"
#include "metad/limits.h"
#include "metad/state/state_machine.h"
#include "proto/metadata_api.h"

namespace shoal::metad {

struct MetadataOptions {
  // Where the checkpoint is, in RocksDB; or how to open another kind of store.
  std::string checkpoint_path;
  std::function<Result<std::unique_ptr<CheckpointStore>>()> open_checkpoint;
  // Threads that read the checkpoint at the start; 0: as many as there are cores, up to
  // kMaxLoadThreads.
  unsigned load_threads = 0;
  Duration session_lease = kSessionLease;
  std::uint64_t journal_segment_bytes = kJournalSegmentBytes;
  std::uint64_t checkpoint_after_bytes = kCheckpointAfterBytes;
  // Where checkpoints, dumps and checks run beside commands; null: as everything else. Outlives the
  // server.
  BlockingPool* background_pool = nullptr;
};

class MetadataServer final : public MetadataApi {
 public:
  // Loads the checkpoint and replays the journal. `journal_directory` and `pool` outlive the
  // server. Errors: those of CheckpointStore and Journal, each naming what is damaged.
  static Task<Result<std::unique_ptr<MetadataServer>>> open(BlockDirectory& journal_directory,
                                                            BlockingPool& pool,
                                                            MetadataOptions options);
  // Ends what is under way and takes a checkpoint, so that the next start has nothing to replay.
  Task<Status> close();
  ~MetadataServer() override;

  Task<Result<proto::CommandReply>> execute(proto::Command command,
                                            MonotonicTime deadline) override;
  Task<Result<proto::QueryReply>> query(proto::Query query, MonotonicTime deadline) override;

  // Takes a checkpoint now, while commands go on. Changed records are collected in slices, with
  // commands between them, until a slice leaves none: by then every record that changed since the
  // last checkpoint was collected, and a command that changed one again afterwards had it noted and
  // collected again. So the last value collected of each is its value at the position applied at
  // that moment, and all of them are the state at that position, though none of the slices before
  // was. A slice is at least twice what was noted since the one before, so it comes to an end.
  // *Durable:* the state; the journal up to it is given back. When it fails, what was collected is
  // noted again and the journal kept: nothing is lost, and the next one is tried after more
  // journal.
  Task<Status> checkpoint();
  // Takes a checkpoint and writes it to `fd` as a dump (metad/backup/dump_stream.h), of one moment,
  // while commands go on; no other checkpoint is taken meanwhile. Returns how many records. Errors:
  // of the checkpoint; as write(2), with `name`.
  Task<Result<std::uint64_t>> dump(int fd, std::string name);
  StateMachine& machine() { return *machine_; }
  bool closing() const { return closing_; }

 private:
  struct Pending {
    proto::Command command;
    std::string bytes;
    std::uint64_t position = 0;
    Completion<Result<proto::CommandReply>> done;
  };
  using SlotKey = std::pair<std::uint64_t, std::uint32_t>;

  MetadataServer(BlockingPool& pool, MetadataOptions options)
      : pool_(options.background_pool != nullptr ? *options.background_pool : pool),
        options_(std::move(options)) {}
  Task<Result<proto::CommandReply>> run(Pending* pending);
  Task<Result<proto::CommandReply>> run_planned(Pending* pending);
  void submit(Pending* pending);
  Task<void> run_journal();
  std::vector<Pending*> take_batch();
  void apply_batch(const std::vector<Pending*>& batch);
  Task<void> checkpoint_in_background();
  Task<std::uint64_t> collect_changes(CheckpointChanges* changes);
  Task<void> note_again(const CheckpointChanges* changes);
  Task<Result<proto::QueryReply>> answer_dump(std::string path);
  Task<Result<proto::QueryReply>> answer_check();
  Task<Status> check_records(proto::CheckMetadataReply* reply);
  Task<Status> take_checkpoint();  // with checkpoint_mutex_ held
  bool checkpoint_is_due() const;
  static Status load(MetadataServer* server);
  Task<void> watch_sessions();
  Task<void> reap_orphans();
  void stamp(Pending* pending);
  Task<void> settle_open(const proto::Query* query, proto::QueryReply* reply);

  BlockingPool& pool_;  // for what runs beside commands
  MetadataOptions options_;
  std::unique_ptr<StateMachine> machine_;
  std::unique_ptr<Journal> journal_;
  std::unique_ptr<CheckpointStore> store_;
  std::deque<Pending*> queue_;
  bool journal_running_ = false;
  bool closing_ = false;
  Status failed_;
  std::uint64_t next_position_ = 1;
  WallTimeNs last_time_ns_ = 0;
  AsyncSemaphore in_flight_{kMaxCommandsInFlight};
  bool reaping_ = false;
  Signal reaped_;
  TimerId reap_timer_;
  Signal wake_reaper_;
  absl::flat_hash_map<SlotKey, Pending*> by_slot_;  // commands under way, for those that come twice
  Signal slot_ended_;
  AsyncMutex
      cluster_mutex_;  // one change of the cluster map at a time: each is planned on the last
  absl::flat_hash_map<std::uint64_t, MonotonicTime> last_seen_;
  AsyncMutex checkpoint_mutex_;
  bool checkpoint_due_ = false;
  std::uint64_t checkpoint_position_ = 0;
  std::uint64_t checkpoint_ns_ = 0;
  std::uint64_t copies_running_ = 0;
  Signal copies_ended_;
  Status checkpoint_failure_;  // of the last one; OK after one that was taken
  std::uint64_t checkpoint_retry_bytes_ = 0;
  std::uint64_t command_count_ = 0;
  std::uint64_t client_bytes_ = 0;
  std::uint64_t repacked_bytes_ = 0;
  absl::flat_hash_map<std::uint64_t, proto::WorkerReport> workers_;  // by session
  TimerId session_timer_;
  Signal wake_watcher_;
  TaskScope background_;
};

}  // namespace shoal::metad
