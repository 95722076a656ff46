#include "client/pack_writer.h"

#include <algorithm>
#include <deque>

#include "client/buffer_pool.h"
#include "client/metadata_client.h"
#include "client/pack_pool.h"
#include "client/row_builder.h"
#include "client/row_flight.h"
#include "client/storage_router.h"

namespace shoal::client {

Task<void> send_fragment(std::shared_ptr<RowAttempt> attempt, StorageApi* storage,
                         WriteFragmentRequest request, MonotonicTime deadline) {
  const int column = request.key.column;
  const Status status = co_await storage->write_fragment(std::move(request), deadline);
  if (attempt->owner->owner != nullptr) {
    attempt->owner->owner->fragment_ended(*attempt, column, status);
  }
}

namespace {

constexpr std::size_t kMaxTroubleText = 400;
// For the answer of a daemon that could not be reached before.
constexpr Duration kProbeDeadline = std::chrono::seconds(1);

// Whether what keeps metad from leasing packs may be over soon.
bool may_pass(const Status& status) {
  return status.ok() || status.code() == StatusCode::kUnavailable ||
         status.code() == StatusCode::kDeadlineExceeded;
}

class Writer final : public PackWriter, public FlightOwner {
 public:
  explicit Writer(PackWriterOptions options)
      : executor_(options.executor),
        router_(options.router),
        random_(options.random),
        limits_(options.limits),
        pool_(options.metadata, options.router, options.executor, options.random, limits_),
        bytes_(limits_.max_bytes_in_flight),
        buffers_(BufferPool::create(limits_.max_idle_buffer_bytes)),
        slow_tokens_(limits_.slow_rewrite_burst),
        next_first_column_(static_cast<std::uint32_t>(random_.below(kMaxDataColumns))),
        self_(std::make_shared<FlightOwnerCell>(FlightOwnerCell{this})) {}
  ~Writer() override {
    CHECK(active_writes_ == 0 && rows_in_flight_ == 0);
    self_->owner = nullptr;
  }

  Task<Result<Extent>> write(Buffer bytes, PieceHint hint) override;
  void settled(std::span<const Extent> extents) override { pool_.settled(extents); }
  Task<Status> close() override;
  Counters counters() const override { return counters_; }

  void fragment_ended(RowAttempt& attempt, int column, const Status& status) override;
  void release_bytes(std::uint64_t bytes) override { bytes_.release(bytes); }

 private:
  using JobPtr = std::shared_ptr<RowJob>;

  // The queue and when it becomes rows.
  void enqueue(PiecePtr piece);
  void schedule_launch();
  void launch();
  bool may_launch() const;
  bool queue_is_stream() const { return queued_stream_pieces_ == queue_.size(); }
  bool keeps_apart() const;
  void launch_row(OpenPackPtr pack);
  OpenPackPtr pick_whole();
  Task<void> back_off(int round);
  Task<void> lease_for_queue();
  void fail_queue(const Status& status, MonotonicTime until);
  void watch_queue();

  // One row.
  Result<std::shared_ptr<const RowData>> take_row(const CodeShape& code,
                                                  std::deque<PiecePtr>* pieces);
  void begin(JobPtr job, OpenPackPtr pack);
  Task<void> run_row(JobPtr job, OpenPackPtr pack);
  void watch_idle_buffers();
  void start_attempt(const JobPtr& job, const OpenPackPtr& pack);
  void send(const std::shared_ptr<RowAttempt>& attempt, std::size_t column, MonotonicTime deadline);
  void arm_slow_timer(const std::shared_ptr<RowAttempt>& attempt);
  void look_again(const std::shared_ptr<RowAttempt>& attempt, MonotonicTime when);
  Status start_with_any_code(const JobPtr& job, const OpenPackPtr& pack);
  Task<Status> rewrite(JobPtr job, bool because_slow);
  Task<OpenPackPtr> find_pack(JobPtr job, bool because_slow);
  Task<void> ask_unreachable(RowJob* job);
  void note_slow_drives(RowJob& job, const RowAttempt& attempt);

  // How an attempt and a job end.
  void note_failure(RowAttempt& attempt, int column, const Status& status);
  void attempt_ended(RowAttempt& attempt);
  void answer(RowAttempt& attempt);
  void finish_piece(Piece& piece);
  Status failure_of(const RowJob& job) const;
  void fail(RowJob& job, const Status& status);
  void wake(RowJob& job);

  Executor& executor_;
  StorageRouter& router_;
  Random& random_;
  const PackWriterLimits limits_;
  PackPool pool_;
  AsyncSemaphore bytes_;
  const std::shared_ptr<BufferPool> buffers_;
  TimerId idle_timer_;
  std::deque<PiecePtr> queue_;
  std::uint64_t queued_bytes_ = 0;
  std::size_t queued_stream_pieces_ = 0;
  bool launch_scheduled_ = false;
  bool leasing_for_queue_ = false;
  TimerId queue_timer_;   // while it is leased for
  Status queue_trouble_;  // why there is no lease yet
  int rows_in_flight_ = 0;
  int small_rows_in_flight_ = 0;
  DriveSet small_row_drives_;  // where these began, as often as there are rows
  MonotonicTime last_small_row_{};
  std::uint64_t rows_begun_ = 0;
  std::uint64_t active_writes_ = 0;
  int slow_tokens_;
  std::uint32_t next_first_column_;
  bool closing_ = false;
  Signal drained_;
  TaskScope scope_;
  Counters counters_;
  FlightOwnerRef self_;
};

// Suspends until the piece is done. The waiter is resumed through the executor's queue.
struct PieceAwaiter {
  Piece& piece;
  bool await_ready() const noexcept { return piece.done; }
  void await_suspend(std::coroutine_handle<> self) const noexcept { piece.waiter = self; }
  void await_resume() const noexcept {}
};
struct JobAwaiter {
  RowJob& job;
  bool await_ready() const noexcept { return false; }
  void await_suspend(std::coroutine_handle<> self) const noexcept { job.waiter = self; }
  void await_resume() const noexcept {}
};

Task<Result<Extent>> Writer::write(Buffer bytes, PieceHint hint) {
  if (closing_) co_return CancelledError("the pack writer is closed");
  if (bytes.empty() || bytes.size() > kMaxColumnBytes) {
    co_return InvalidArgumentError("a piece has 1 to " + std::to_string(kMaxColumnBytes) +
                                   " bytes, not " + std::to_string(bytes.size()));
  }
  ++active_writes_;
  const MonotonicTime entered = executor_.now();
  const std::uint64_t cost = bytes.size() + kPieceOverheadBytes;
  if (!bytes_.try_acquire(cost)) co_await bytes_.acquire(cost);
  const MonotonicTime deadline =
      std::max(entered + limits_.piece_deadline, executor_.now() + limits_.queued_deadline);
  auto piece = std::make_shared<Piece>(self_, std::move(bytes), hint, deadline);
  enqueue(piece);
  co_await PieceAwaiter{*piece};
  if (--active_writes_ == 0) drained_.notify_all();
  if (!piece->status.ok()) co_return piece->status;
  co_return piece->extent;
}

void Writer::enqueue(PiecePtr piece) {
  queued_bytes_ += piece->bytes.size();
  if (piece->bytes.size() >= kStreamPieceBytes) ++queued_stream_pieces_;
  queue_.push_back(std::move(piece));
  if (leasing_for_queue_) watch_queue();
  if (may_launch()) schedule_launch();
}

// Through the executor's queue: what is ready to run writes its pieces first, and all of them
// become one row.
void Writer::schedule_launch() {
  if (std::exchange(launch_scheduled_, true)) return;
  executor_.post([owner = self_, this] {
    if (owner->owner == nullptr) return;
    launch_scheduled_ = false;
    launch();
  });
}

bool Writer::may_launch() const {
  if (queue_.empty() || leasing_for_queue_) return false;
  if (!queue_is_stream()) return small_rows_in_flight_ < limits_.max_rows_in_flight;
  if (rows_in_flight_ == 0) return true;
  const auto columns = static_cast<std::uint64_t>(std::max(pool_.preferred_k(), 1));
  const bool fills_a_row = queued_bytes_ >= columns * kMaxColumnBytes;
  return fills_a_row && rows_in_flight_ < limits_.max_full_rows_in_flight;
}

void Writer::launch() {
  pool_.refresh();
  while (may_launch()) {
    const bool apart = keeps_apart();
    static const DriveSet kAnywhere;
    OpenPackPtr pack = pool_.pick(apart ? small_row_drives_ : kAnywhere, PackPool::Want::kHealthy);
    if (apart && (pack == nullptr || pack->group.code.k < pool_.preferred_k())) return;
    if (pack == nullptr) {
      leasing_for_queue_ = true;
      scope_.spawn(lease_for_queue());
      return;
    }
    launch_row(std::move(pack));
  }
}

// Whether the next row may not go where small rows are under way.
bool Writer::keeps_apart() const {
  return !queue_is_stream() && small_rows_in_flight_ > 0 &&
         executor_.now() - last_small_row_ < limits_.overlap_after;
}

OpenPackPtr Writer::pick_whole() {
  OpenPackPtr pack = pool_.pick({}, PackPool::Want::kHealthy);
  return pack != nullptr ? pack : pool_.pick({}, PackPool::Want::kAnyWhole);
}

Task<void> Writer::back_off(int round) {
  const Duration most =
      std::min(limits_.max_backoff, limits_.first_backoff * (1 << std::min(round, 10)));
  const auto half = static_cast<std::uint64_t>(most.count() / 2);
  co_await sleep_for(Duration(half + random_.below(half + 1)));
}

// Daemons that restart, and drives that metad is about to take for up again, are waited for until
// the deadline of the pieces.
Task<void> Writer::lease_for_queue() {
  queue_trouble_ = DeadlineExceededError("metad leased no pack in time");
  watch_queue();
  Status status = co_await pool_.lease({});
  OpenPackPtr pack = pick_whole();
  for (int round = 0; pack == nullptr && !queue_.empty(); ++round) {
    co_await back_off(round);
    status = co_await pool_.lease({});
    pack = pick_whole();
    if (pack != nullptr) break;
    if (pool_.only_full_drives()) {
      fail_queue(NoSpaceError("no placement group has room: " + pool_.describe_trouble()),
                 MonotonicTime::max());
    } else if (!may_pass(status)) {
      fail_queue(status, MonotonicTime::max());
    } else {
      std::string text = "no whole placement group to write to: " + pool_.describe_trouble();
      if (!status.ok()) text += "; " + status.message();
      queue_trouble_ = UnavailableError(std::move(text));
    }
  }
  leasing_for_queue_ = false;
  executor_.cancel(std::exchange(queue_timer_, TimerId{}));
  if (pack != nullptr && !queue_.empty()) launch_row(std::move(pack));
  schedule_launch();
}

// Ends what waits for a lease at its deadline, also when metad does not answer.
void Writer::watch_queue() {
  if (queue_timer_.value != 0 || queue_.empty()) return;
  queue_timer_ = executor_.schedule_at(queue_.front()->deadline, [this] {
    queue_timer_ = {};
    fail_queue(queue_trouble_, executor_.now());
    watch_queue();
  });
}

// The pieces whose deadline is not after `until`; the oldest are in front.
void Writer::fail_queue(const Status& status, MonotonicTime until) {
  while (!queue_.empty() && queue_.front()->deadline <= until) {
    const PiecePtr piece = std::move(queue_.front());
    queue_.pop_front();
    queued_bytes_ -= piece->bytes.size();
    if (piece->bytes.size() >= kStreamPieceBytes) --queued_stream_pieces_;
    piece->status = status;
    finish_piece(*piece);
  }
}

void Writer::launch_row(OpenPackPtr pack) {
  const std::size_t before = queue_.size();
  auto data = take_row(pack->group.code, &queue_);
  if (!data.ok()) {
    fail_queue(data.status(), MonotonicTime::max());
    return;
  }
  for (const PiecePtr& piece : (*data)->pieces) {
    queued_bytes_ -= piece->bytes.size();
    if (piece->bytes.size() >= kStreamPieceBytes) --queued_stream_pieces_;
  }
  CHECK(queue_.size() < before);
  auto job = std::make_shared<RowJob>();
  job->deadline = (*data)->pieces.front()->deadline;
  job->data = std::move(*data);
  begin(std::move(job), std::move(pack));
}

// Takes from the front what fits into one row of `code`, and encodes it. Nothing is taken on an
// error.
Result<std::shared_ptr<const RowData>> Writer::take_row(const CodeShape& code,
                                                        std::deque<PiecePtr>* pieces) {
  RowLayout layout(code, next_first_column_++);
  auto data = std::make_shared<RowData>();
  std::vector<PieceSource> sources;
  for (const PiecePtr& piece : *pieces) {
    if (sources.size() >= limits_.max_pieces_per_row) break;
    if (!layout.place(static_cast<std::uint32_t>(piece->bytes.size()))) break;
    sources.push_back(PieceSource{&piece->bytes, piece->hint.inode, piece->hint.file_offset});
  }
  ASSIGN_OR_RETURN(data->row, encode_row(layout, sources, *buffers_));
  const auto end = pieces->begin() + static_cast<std::ptrdiff_t>(sources.size());
  data->pieces.assign(std::make_move_iterator(pieces->begin()), std::make_move_iterator(end));
  pieces->erase(pieces->begin(), end);
  return std::shared_ptr<const RowData>(std::move(data));
}

void Writer::begin(JobPtr job, OpenPackPtr pack) {
  ++rows_in_flight_;
  const auto& pieces = job->data->pieces;
  job->small = std::any_of(pieces.begin(), pieces.end(), [](const PiecePtr& piece) {
    return piece->bytes.size() < kStreamPieceBytes;
  });
  if (job->small) {
    ++small_rows_in_flight_;
    last_small_row_ = executor_.now();
    job->first_drives = pack->group.drives;
    small_row_drives_.insert(small_row_drives_.end(), job->first_drives.begin(),
                             job->first_drives.end());
  }
  scope_.spawn(run_row(std::move(job), std::move(pack)));
}

Task<void> Writer::run_row(JobPtr job, OpenPackPtr pack) {
  start_attempt(job, pack);
  pack.reset();
  Status status;
  while (!job->answered) {
    RowAttempt& newest = *job->newest;
    if (newest.failed && !newest.failure_seen) {
      newest.failure_seen = true;
      status = co_await rewrite(job, /*because_slow=*/false);
    } else if (newest.slow && !newest.failed && !newest.slowness_seen) {
      newest.slowness_seen = true;
      status = co_await rewrite(job, /*because_slow=*/true);
    } else if (job->live == 0) {
      fail(*job, status.ok() ? failure_of(*job) : status);
      break;
    } else {
      co_await JobAwaiter{*job};
    }
  }
  job->newest.reset();  // it holds the job
  --rows_in_flight_;
  if (job->small) --small_rows_in_flight_;
  for (const DriveId drive : job->first_drives) {
    small_row_drives_.erase(std::find(small_row_drives_.begin(), small_row_drives_.end(), drive));
  }
  slow_tokens_ = std::min(slow_tokens_ + 1, limits_.slow_rewrite_burst);
  if (may_launch()) schedule_launch();
}

void Writer::start_attempt(const JobPtr& job, const OpenPackPtr& pack) {
  auto attempt = std::make_shared<RowAttempt>();
  attempt->owner = self_;
  attempt->job = job;
  attempt->data = job->data;
  attempt->pack = pack;
  attempt->row = pack->next_row++;
  attempt->started = executor_.now();
  const EncodedRow& row = attempt->data->row;
  for (std::size_t c = 0; c < row.columns.size(); ++c) {
    if (!row.columns[c].payload.empty()) attempt->pending_columns |= std::uint32_t{1} << c;
  }
  pool_.row_begun(*pack, row.data_bytes);
  ++rows_begun_;
  watch_idle_buffers();
  ++job->attempts;
  ++job->live;
  job->newest = attempt;
  counters_.fragment_bytes += row.fragment_bytes;
  const MonotonicTime deadline =
      std::min(attempt->started + limits_.fragment_deadline, job->deadline);
  for (std::size_t c = 0; c < row.columns.size(); ++c) {
    if (!row.columns[c].payload.empty()) send(attempt, c, deadline);
  }
  if (attempt->pending_columns != 0) arm_slow_timer(attempt);
}

void Writer::send(const std::shared_ptr<RowAttempt>& attempt, std::size_t column,
                  MonotonicTime deadline) {
  const EncodedRow& row = attempt->data->row;
  const DriveId drive = attempt->pack->group.drives[column];
  const Result<StorageApi*> storage = router_.storage(drive);
  if (!storage.ok()) {
    fragment_ended(*attempt, static_cast<int>(column), storage.status());
    return;
  }
  WriteFragmentRequest request;
  request.drive = drive;
  request.key = FragmentKey{attempt->pack->id, attempt->row, static_cast<std::uint8_t>(column)};
  request.shape = row.shape;
  request.shape.lease_epoch = attempt->pack->epoch;
  request.reclaiming = limits_.reclaiming;
  request.payload = row.columns[column].payload;
  request.page_crcs = row.columns[column].page_crcs;
  if (column >= row.shape.code.k) request.directory = row.directory;
  spawn(send_fragment(attempt, *storage, std::move(request), deadline));
}

void Writer::arm_slow_timer(const std::shared_ptr<RowAttempt>& attempt) {
  // A lone group leaves no choice but to wait.
  if (router_.view().whole_group_count() < 2) return;
  const std::uint32_t height = attempt->data->row.shape.parity_height();
  Duration patience{0};
  for (const DriveId drive : attempt->pack->group.drives) {
    patience = std::max(patience, 4 * router_.latency(drive, IoKind::kWrite, height).p99());
  }
  patience = std::max(limits_.slow_floor, std::min(patience, limits_.slow_ceiling));
  patience +=
      Duration(attempt->data->row.fragment_bytes * 1'000'000'000 / limits_.slow_bytes_per_second);
  look_again(attempt, attempt->started + patience);
}

// At `when` the attempt is slow unless it has ended.
void Writer::look_again(const std::shared_ptr<RowAttempt>& attempt, MonotonicTime when) {
  attempt->slow_timer =
      executor_.schedule_at(when, [weak = std::weak_ptr<RowAttempt>(attempt), this] {
        const std::shared_ptr<RowAttempt> late = weak.lock();
        if (late == nullptr || late->owner->owner == nullptr) return;
        late->slow_timer = TimerId{};
        late->slow = true;
        late->slowness_seen = false;
        wake(*late->job);
      });
}

void Writer::fragment_ended(RowAttempt& attempt, int column, const Status& status) {
  attempt.pending_columns &= ~(std::uint32_t{1} << column);
  const DriveId drive = attempt.pack->group.drives[static_cast<std::size_t>(column)];
  if (status.ok()) {
    router_.note_success(drive, IoKind::kWrite, attempt.data->row.shape.height(column),
                         executor_.now() - attempt.started);
  } else {
    note_failure(attempt, column, status);
  }
  if (attempt.pending_columns != 0) return;
  if (!attempt.failed) answer(attempt);
  attempt_ended(attempt);
}

void Writer::note_failure(RowAttempt& attempt, int column, const Status& status) {
  const DriveId drive = attempt.pack->group.drives[static_cast<std::size_t>(column)];
  RowJob& job = *attempt.job;
  router_.note_failure(drive, IoKind::kWrite, status);
  const StatusCode code = status.code();
  const bool lease_is_void = code == StatusCode::kFenced || code == StatusCode::kAlreadyExists;
  if (lease_is_void) {
    pool_.retire(*attempt.pack);
  } else {
    if (code == StatusCode::kNotFound)
      router_.note_slow(drive, IoKind::kWrite);  // it does not serve this drive
    if (!contains(job.tried, drive)) job.tried.push_back(drive);
  }
  ++job.failures;
  if (code == StatusCode::kNoSpace) ++job.full_failures;
  if (code == StatusCode::kFenced) ++job.fenced_failures;
  if (job.trouble.size() < kMaxTroubleText) {
    if (!job.trouble.empty()) job.trouble += "; ";
    job.trouble += router_.view().describe(drive) + ": " + status.to_string();
  }
  if (attempt.failed) return;
  if (code == StatusCode::kUnavailable) {
    ++job.out_of_reach;
    if (!contains(job.unreachable, drive)) job.unreachable.push_back(drive);
  }
  attempt.failed = true;
  attempt.error = status;
  --job.live;
  wake(job);
}

void Writer::attempt_ended(RowAttempt& attempt) {
  executor_.cancel(std::exchange(attempt.slow_timer, TimerId{}));
  pool_.row_ended(*attempt.pack);
}

void Writer::answer(RowAttempt& attempt) {
  RowJob& job = *attempt.job;
  --job.live;
  if (!pool_.current(*attempt.pack)) {
    // A commit under the new session could not name this pack.
    attempt.failed = true;
    attempt.error = FencedError("the session that leased the pack has ended");
    ++job.failures;
    ++job.fenced_failures;
    wake(job);
    return;
  }
  const EncodedRow& row = attempt.data->row;
  for (std::size_t i = 0; i < attempt.data->pieces.size(); ++i) {
    Piece& piece = *attempt.data->pieces[i];
    if (piece.done) continue;
    Extent& extent = piece.extent;
    extent.file_offset = piece.hint.file_offset;
    extent.length = row.places[i].length;
    extent.pack = attempt.pack->id;
    extent.row = attempt.row;
    extent.column = row.places[i].column;
    extent.column_offset = row.places[i].offset;
    extent.stored_length = extent.length;
    extent.crc32c = row.piece_crcs[i];
    ++attempt.pack->unsettled_extents;
    ++counters_.pieces;
    counters_.piece_bytes += extent.length;
    finish_piece(piece);
  }
  if (!job.answered) {
    ++counters_.rows;
    job.answered = true;
    wake(job);
  }
}

void Writer::finish_piece(Piece& piece) {
  piece.done = true;
  if (piece.waiter) executor_.resume(std::exchange(piece.waiter, nullptr));
}

void Writer::wake(RowJob& job) {
  if (job.waiter) executor_.resume(std::exchange(job.waiter, nullptr));
}

void Writer::fail(RowJob& job, const Status& status) {
  for (const PiecePtr& piece : job.data->pieces) {
    if (piece->done) continue;
    piece->status = status;
    finish_piece(*piece);
  }
}

Status Writer::failure_of(const RowJob& job) const {
  const std::string text = "the row could not be stored in " + std::to_string(job.attempts) +
                           " attempts (" + job.trouble + ")";
  // The marks of full drives come and go with what else is written; what this row met counts too.
  const bool met_only_full = job.full_failures + job.fenced_failures == job.failures;
  if (job.full_failures > 0 && (met_only_full || pool_.only_full_drives()))
    return NoSpaceError(text);
  if (job.failures > 0 && job.fenced_failures == job.failures) return FencedError(text);
  if (executor_.now() >= job.deadline) return DeadlineExceededError(text);
  return UnavailableError(text);
}

void Writer::note_slow_drives(RowJob& job, const RowAttempt& attempt) {
  for (std::size_t c = 0; c < attempt.pack->group.drives.size(); ++c) {
    if ((attempt.pending_columns >> c & 1) == 0) continue;
    const DriveId drive = attempt.pack->group.drives[c];
    router_.note_slow(drive, IoKind::kWrite);
    if (!contains(job.tried, drive)) job.tried.push_back(drive);
  }
}

// Starts another attempt somewhere else. OK without one when the job is merely slow and has nowhere
// to go, or no tokens: that is looked at again.
Task<Status> Writer::rewrite(JobPtr job, bool because_slow) {
  if (job->attempts - job->out_of_reach >= limits_.max_row_attempts ||
      job->attempts >= 2 * limits_.max_row_attempts || executor_.now() >= job->deadline) {
    co_return failure_of(*job);
  }
  OpenPackPtr pack;
  if (because_slow) note_slow_drives(*job, *job->newest);
  if (!because_slow || slow_tokens_ >= limits_.slow_rewrite_cost) {
    pack = co_await find_pack(job, because_slow);
    if (job->answered) co_return OkStatus();
  }
  if (pack == nullptr) {
    if (!because_slow) co_return failure_of(*job);
    const bool runs = job->newest->pending_columns != 0 && !job->newest->failed;
    if (runs) look_again(job->newest, executor_.now() + limits_.slow_ceiling);
    co_return OkStatus();
  }
  if (because_slow) slow_tokens_ -= limits_.slow_rewrite_cost;
  ++counters_.rows_rewritten;
  co_return start_with_any_code(job, pack);
}

// A group without the drives that failed this row; when there is none and nothing is under way any
// more, any whole group again, after a pause and until the row's deadline.
Task<OpenPackPtr> Writer::find_pack(JobPtr job, bool because_slow) {
  pool_.refresh();
  OpenPackPtr pack = pool_.pick(job->tried, PackPool::Want::kHealthy);
  if (pack != nullptr) co_return pack;
  (void)co_await pool_.lease(job->tried);  // what it brought shows in the next line
  if (job->answered) co_return nullptr;
  pack = pool_.pick(job->tried, PackPool::Want::kHealthy);
  if (pack != nullptr || because_slow) co_return pack;
  pack = pool_.pick(job->tried, PackPool::Want::kAnyWhole);
  if (pack != nullptr || job->live > 0 || pool_.only_full_drives()) co_return pack;
  for (int round = job->attempts - 1; executor_.now() < job->deadline; ++round) {
    co_await back_off(round);
    if (!job->unreachable.empty()) co_await ask_unreachable(job.get());
    if (job->answered) break;
    job->tried = job->unreachable;
    pool_.refresh();
    pack = pool_.pick(job->tried, PackPool::Want::kAnyWhole);
    if (pack != nullptr) co_return pack;
    const Status leased = co_await pool_.lease(job->tried);
    if (job->answered) break;
    pack = pool_.pick(job->tried, PackPool::Want::kAnyWhole);
    if (pack != nullptr || !may_pass(leased) || pool_.only_full_drives()) co_return pack;
  }
  co_return nullptr;
}

// The whole row is sent with each attempt, so not to a drive that would refuse it: it is asked
// first. Each daemon in its own time, side by side.
Task<void> Writer::ask_unreachable(RowJob* job) {
  struct Question {
    static Task<void> run(Writer* writer, DriveId drive, DriveSet* found) {
      const auto storage = writer->router_.storage(drive);
      if (!storage.ok()) co_return;
      const auto drives = co_await (*storage)->status(writer->executor_.now() + kProbeDeadline);
      if (!drives.ok()) co_return;
      for (const DriveStatus& status : *drives)
        if (status.drive == drive && status.well()) found->push_back(drive);
    }
  };
  DriveSet found;
  TaskScope asking;
  for (const DriveId drive : job->unreachable) asking.spawn(Question::run(this, drive, &found));
  co_await asking.join();
  std::erase_if(job->unreachable, [&](DriveId drive) { return contains(found, drive); });
}

// The same bytes under another pack; for a narrower code the pieces are laid out anew, in as many
// rows as they need.
Status Writer::start_with_any_code(const JobPtr& job, const OpenPackPtr& pack) {
  if (pack->group.code == job->data->row.shape.code) {
    start_attempt(job, pack);
    return OkStatus();
  }
  std::deque<PiecePtr> left;
  for (const PiecePtr& piece : job->data->pieces) {
    if (!piece->done) left.push_back(piece);
  }
  std::vector<std::shared_ptr<const RowData>> rows;
  while (!left.empty()) {
    ASSIGN_OR_RETURN(std::shared_ptr<const RowData> row, take_row(pack->group.code, &left));
    rows.push_back(std::move(row));
  }
  CHECK(!rows.empty());
  for (std::size_t i = 1; i < rows.size(); ++i) {
    auto other = std::make_shared<RowJob>();
    other->deadline = job->deadline;
    other->data = rows[i];
    other->tried = job->tried;
    begin(std::move(other), pack);
  }
  job->data = rows.front();
  start_attempt(job, pack);
  return OkStatus();
}

void Writer::watch_idle_buffers() {
  if (idle_timer_.value != 0 || closing_) return;
  const std::uint64_t begun = rows_begun_;
  idle_timer_ = executor_.schedule_at(executor_.now() + limits_.idle_buffer_grace, [this, begun] {
    idle_timer_ = {};
    if (rows_begun_ == begun) {
      buffers_->trim();
    } else {
      watch_idle_buffers();
    }
  });
}

Task<Status> Writer::close() {
  closing_ = true;
  executor_.cancel(std::exchange(idle_timer_, {}));
  while (active_writes_ > 0) co_await drained_.wait();
  co_await scope_.join();
  co_return co_await pool_.close();
}

}  // namespace

std::unique_ptr<PackWriter> make_pack_writer(PackWriterOptions options) {
  return std::make_unique<Writer>(std::move(options));
}

}  // namespace shoal::client
