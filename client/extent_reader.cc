#include "client/extent_reader.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <string>

#include "base/async/sync.h"
#include "base/crc32c.h"
#include "base/erasure_code.h"
#include "base/log.h"
#include "client/extent_fetch.h"
#include "client/metadata_client.h"
#include "client/shape_cache.h"
#include "client/storage_router.h"

namespace shoal::client {
namespace {

// What one read() is about; the coroutines of one read pass it along by value.
struct ReadPlan {
  Extent extent;
  PlacementGroup group;
  std::uint64_t map_epoch = 0;  // of the map that the group is from
  std::uint32_t start = 0;      // bytes from the start of the column
  std::uint32_t length = 0;
  bool whole = false;      // the extent's CRC covers exactly this range
  bool any_drive = false;  // also those that are down or out by the map
  MonotonicTime deadline{};
};

Task<void> fetch_column(ReadStatePtr state, Fetch* fetch, StorageApi* storage,
                        ReadFragmentRequest request, MonotonicTime deadline) {
  const std::uint32_t length = request.length;
  Result<Buffer> bytes = co_await storage->read_fragment(request, deadline);
  if (bytes.ok() && bytes->size() != length) {
    bytes = CorruptionError("the drive answered " + std::to_string(bytes->size()) +
                            " bytes instead of " + std::to_string(length));
  }
  if (bytes.ok()) {
    fetch->bytes = std::move(*bytes);
    fetch->state = Fetch::State::kDone;
  } else {
    fetch->error = std::move(bytes).status();
    fetch->state = Fetch::State::kFailed;
  }
  if (state->observer->observer != nullptr) state->observer->observer->fetch_ended(*fetch);
  state->wake();
}

bool may_have_moved(const Status& status) {
  return status.code() == StatusCode::kUnavailable || status.code() == StatusCode::kCorruption;
}

class SemaphoreHold {
 public:
  SemaphoreHold(std::weak_ptr<AsyncSemaphore> semaphore, std::uint64_t count)
      : semaphore_(std::move(semaphore)), count_(count) {}
  SemaphoreHold(const SemaphoreHold&) = delete;
  SemaphoreHold& operator=(const SemaphoreHold&) = delete;
  ~SemaphoreHold() {
    if (const auto semaphore = semaphore_.lock()) semaphore->release(count_);
  }

 private:
  std::weak_ptr<AsyncSemaphore> semaphore_;
  std::uint64_t count_;
};

bool has_spare(const ReadState& state) {
  return std::any_of(state.others.begin(), state.others.end(),
                     [](const Fetch& fetch) { return fetch.state == Fetch::State::kIdle; });
}

class Reader final : public ExtentReader, public FetchObserver {
 public:
  explicit Reader(ExtentReaderOptions options)
      : metadata_(options.metadata),
        router_(options.router),
        executor_(options.executor),
        limits_(options.limits),
        bytes_(std::make_shared<AsyncSemaphore>(limits_.max_bytes_in_flight)),
        decode_bytes_(std::make_shared<AsyncSemaphore>(limits_.max_decode_bytes_in_flight)),
        shapes_(limits_.shape_cache_entries),
        hedge_tokens_(limits_.hedge_burst),
        self_(std::make_shared<FetchObserverCell>(FetchObserverCell{this})) {}
  ~Reader() override {
    self_->observer = nullptr;
    executor_.cancel(tick_timer_);
  }

  Task<Result<Buffer>> read(Extent extent, std::uint32_t offset, std::uint32_t length) override;
  Counters counters() const override { return counters_; }

  void fetch_ended(const Fetch& fetch) override;

 private:
  Task<Result<ReadPlan>> plan(Extent extent, std::uint32_t offset, std::uint32_t length);
  Task<Result<Buffer>> read_planned(const ReadPlan* planned);
  bool may_ask(const ReadPlan& plan, DriveId drive) const;

  // Starting one fetch; `verify` is the drive's page check.
  void start_fetch(const ReadPlan& plan, const ReadStatePtr& state, Fetch& fetch, bool verify);
  // The column's own bytes when they have come and are right. A wrong whole piece turns into a
  // failed fetch.
  bool direct_is_good(const ReadPlan& plan, ReadState& state);
  bool may_hedge();
  bool find_hung(Fetch& fetch);

  // Decoding from other columns.
  Task<Result<Buffer>> decode(ReadPlan plan, ReadStatePtr state);
  Task<Result<RowShape>> row_shape(ReadPlan plan, ReadStatePtr state);
  Status check_shape(const ReadPlan& plan, const RowShape& shape) const;
  std::uint32_t choose_columns(const ReadPlan& plan, const RowShape& shape, ReadState& state) const;
  Task<Result<Buffer>> gather(ReadPlan plan, ReadStatePtr state, std::uint32_t zero_columns);
  Result<Buffer> restore(const ReadPlan& plan, const ReadState& state, std::uint32_t zero_columns);
  Status beyond_repair(const ReadPlan& plan, const ReadState& state) const;

  // Reads that are watched for slowness share one timer: a timer for each would cost more than the
  // read.
  void watch(const ReadStatePtr& state, MonotonicTime hedge_at);
  void unwatch(ReadState& state);
  void tick();
  Duration hedge_delay(DriveId drive, std::uint32_t length) const;

  MetadataClient& metadata_;
  StorageRouter& router_;
  Executor& executor_;
  const ExtentReaderLimits limits_;
  std::shared_ptr<AsyncSemaphore> bytes_;
  std::shared_ptr<AsyncSemaphore> decode_bytes_;
  ShapeCache shapes_;
  int hedge_tokens_;
  std::vector<ReadStatePtr> watched_;
  TimerId tick_timer_;
  Counters counters_;
  std::shared_ptr<FetchObserverCell> self_;
};

std::string name_of(const Extent& extent) {
  return "pack " + extent.pack.to_string() + " row " + std::to_string(extent.row) + " column " +
         std::to_string(extent.column);
}

Task<Result<Buffer>> Reader::read(Extent extent, std::uint32_t offset, std::uint32_t length) {
  if (offset > extent.length || length > extent.length - offset) {
    co_return OutOfRangeError("bytes " + std::to_string(offset) + "+" + std::to_string(length) +
                              " of an extent of " + std::to_string(extent.length));
  }
  if (length == 0) co_return Buffer();
  Result<ReadPlan> planned = co_await plan(extent, offset, length);
  if (!planned.ok()) co_return planned.status();
  ++counters_.reads;
  hedge_tokens_ = std::min(hedge_tokens_ + 1, limits_.hedge_burst);
  if (!bytes_->try_acquire(length)) co_await bytes_->acquire(length);
  const SemaphoreHold hold(bytes_, length);
  Result<Buffer> bytes = co_await read_planned(&*planned);
  for (int attempt = 0; attempt < kMovedAttempts && may_have_moved(bytes.status()); ++attempt) {
    // Columns may have moved since this map was made, and what they left behind is dropped; or
    // drives that it shows down are back.
    const Status refreshed = co_await metadata_.refresh_cluster_map();
    if (!refreshed.ok()) break;
    Result<ReadPlan> newer = co_await plan(extent, offset, length);
    if (!newer.ok() || newer->map_epoch == planned->map_epoch) break;
    planned = std::move(newer);
    bytes = co_await read_planned(&*planned);
  }
  // The map may be wrong about drives that are down: before the read fails they are asked.
  const bool again = bytes.status().code() == StatusCode::kUnavailable &&
                     executor_.now() < planned->deadline &&
                     std::any_of(planned->group.drives.begin(), planned->group.drives.end(),
                                 [&](DriveId drive) { return !router_.view().readable(drive); });
  if (!again) co_return bytes;
  planned->any_drive = true;
  co_return co_await read_planned(&*planned);
}

bool Reader::may_ask(const ReadPlan& plan, DriveId drive) const {
  return plan.any_drive || router_.view().readable(drive);
}

Task<Result<ReadPlan>> Reader::plan(Extent extent, std::uint32_t offset, std::uint32_t length) {
  router_.set_map(metadata_.cluster_map());
  const PgId pg = pg_of_pack(extent.pack);
  const PlacementGroup* group = router_.view().group(pg);
  if (group == nullptr) {
    CO_RETURN_IF_ERROR(co_await metadata_.refresh_cluster_map());
    router_.set_map(metadata_.cluster_map());
    group = router_.view().group(pg);
  }
  if (group == nullptr) {
    co_return UnavailableError(name_of(extent) + ": placement group " + pg.to_string() +
                               " is not in the cluster map of epoch " +
                               std::to_string(router_.view().epoch()));
  }
  const std::uint64_t end = std::uint64_t{extent.column_offset} + extent.length;
  if (extent.column >= group->code.k || end > kMaxColumnBytes) {
    co_return CorruptionError(name_of(extent) + " bytes " + std::to_string(extent.column_offset) +
                              "+" + std::to_string(extent.length) + " cannot be in a row of " +
                              to_string(group->code));
  }
  ReadPlan plan;
  plan.extent = extent;
  plan.group = *group;
  plan.map_epoch = router_.view().epoch();
  plan.start = extent.column_offset + offset;
  plan.length = length;
  plan.whole = extent.whole() && length == extent.length;
  plan.deadline = executor_.now() + limits_.read_deadline;
  co_return plan;
}

Task<Result<Buffer>> Reader::read_planned(const ReadPlan* planned) {
  const ReadPlan& plan = *planned;
  auto state = std::make_shared<ReadState>();
  state->observer = self_;
  Fetch& direct = state->direct;
  direct.column = plan.extent.column;
  direct.drive = plan.group.drives[plan.extent.column];
  direct.length = plan.length;
  if (may_ask(plan, direct.drive)) {
    start_fetch(plan, state, direct, !plan.whole);
  } else {
    direct.state = Fetch::State::kFailed;
    direct.error = UnavailableError("it is not up");
  }
  // A drive that failed just now is asked, but not waited for.
  bool hedge = plan.group.code.m > 0 && router_.penalised(direct.drive, IoKind::kRead);
  if (plan.group.code.m > 0 && !hedge && direct.state == Fetch::State::kRunning) {
    watch(state, direct.started + hedge_delay(direct.drive, plan.length));
  }
  while (direct.state == Fetch::State::kRunning && !hedge) {
    if (std::exchange(state->hedge_due, false)) {
      if (find_hung(direct) || may_hedge()) {
        hedge = true;
        break;
      }
      watch(state, executor_.now() + hedge_delay(direct.drive, plan.length));
    }
    co_await ReadStateAwaiter{*state};
  }
  unwatch(*state);
  if (direct_is_good(plan, *state)) co_return std::move(direct.bytes);
  if (plan.group.code.m == 0) co_return beyond_repair(plan, *state);
  if (direct.state == Fetch::State::kFailed) {
    ++counters_.degraded_reads;
  } else {
    ++counters_.hedged_reads;
  }
  co_return co_await decode(plan, state);
}

void Reader::start_fetch(const ReadPlan& plan, const ReadStatePtr& state, Fetch& fetch,
                         bool verify) {
  fetch.started = executor_.now();
  const Result<StorageApi*> storage = router_.storage(fetch.drive);
  if (!storage.ok()) {
    fetch.state = Fetch::State::kFailed;
    fetch.error = storage.status();
    return;
  }
  fetch.state = Fetch::State::kRunning;
  ReadFragmentRequest request;
  request.drive = fetch.drive;
  request.key = FragmentKey{plan.extent.pack, plan.extent.row, fetch.column};
  request.offset = plan.start;
  request.length = fetch.length;
  request.verify = verify;
  request.background = limits_.background;
  const MonotonicTime deadline = std::min(plan.deadline, fetch.started + limits_.fragment_deadline);
  spawn(fetch_column(state, &fetch, *storage, std::move(request), deadline));
}

void Reader::fetch_ended(const Fetch& fetch) {
  if (fetch.state == Fetch::State::kDone) {
    router_.note_success(fetch.drive, IoKind::kRead, fetch.length, executor_.now() - fetch.started);
    return;
  }
  router_.note_failure(fetch.drive, IoKind::kRead, fetch.error);
  if (fetch.error.code() == StatusCode::kCorruption) ++counters_.corrupt_columns;
}

bool Reader::direct_is_good(const ReadPlan& plan, ReadState& state) {
  Fetch& direct = state.direct;
  if (direct.state != Fetch::State::kDone) return false;
  if (!plan.whole || crc32c(direct.bytes.span()) == plan.extent.crc32c) return true;
  direct.state = Fetch::State::kFailed;
  direct.error = CorruptionError("the bytes do not match the extent's CRC32C");
  direct.bytes = Buffer();
  ++counters_.corrupt_columns;
  log_warning("client", "a column is corrupt and is decoded from others",
              {{"extent", name_of(plan.extent)}, {"drive", direct.drive.value()}});
  return false;
}

bool Reader::may_hedge() {
  if (hedge_tokens_ < limits_.hedge_cost) return false;
  hedge_tokens_ -= limits_.hedge_cost;
  return true;
}

// A drive that answers nobody is not merely slow: to ask others instead of it does not double the
// load, so it costs no tokens, and who comes next does not wait for it. Background reads are held
// back for others, which says nothing of the drive.
bool Reader::find_hung(Fetch& fetch) {
  if (limits_.background) return false;
  if (fetch.state != Fetch::State::kRunning || fetch.hung) return false;
  const bool late = executor_.now() - fetch.started >= limits_.hedge_ceiling;
  fetch.hung = late && router_.silent_since(fetch.drive, IoKind::kRead, fetch.started);
  if (fetch.hung) router_.note_slow(fetch.drive, IoKind::kRead);
  return fetch.hung;
}

Duration Reader::hedge_delay(DriveId drive, std::uint32_t length) const {
  const Duration p95 = router_.latency(drive, IoKind::kRead, length).p95();
  const Duration transfer(std::int64_t{length} * 1'000'000'000 /
                          static_cast<std::int64_t>(limits_.hedge_bytes_per_second));
  return std::max(limits_.hedge_floor, std::min(p95, limits_.hedge_ceiling)) + transfer;
}

// Restores the range from other columns, unless the direct read comes back well after all.
Task<Result<Buffer>> Reader::decode(ReadPlan plan, ReadStatePtr state) {
  const Result<RowShape> shape = co_await row_shape(plan, state);
  if (direct_is_good(plan, *state)) co_return std::move(state->direct.bytes);
  if (!shape.ok()) {
    // The direct read is the only hope left.
    while (state->direct.state == Fetch::State::kRunning) co_await ReadStateAwaiter{*state};
    if (direct_is_good(plan, *state)) co_return std::move(state->direct.bytes);
    co_return shape.status();
  }
  const std::uint32_t zero_columns = choose_columns(plan, *shape, *state);
  const auto needed = static_cast<std::uint64_t>(plan.group.code.k - std::popcount(zero_columns));
  const std::uint64_t cost = needed * plan.length;
  if (!decode_bytes_->try_acquire(cost)) co_await decode_bytes_->acquire(cost);
  const SemaphoreHold hold(decode_bytes_, cost);
  Result<Buffer> bytes = co_await gather(plan, state, zero_columns);
  unwatch(*state);
  // A shape that led nowhere may itself have been wrong.
  if (!bytes.ok()) shapes_.erase(plan.extent.pack, plan.extent.row);
  co_return bytes;
}

Status Reader::check_shape(const ReadPlan& plan, const RowShape& shape) const {
  RETURN_IF_ERROR(validate(shape));
  if (shape.code != plan.group.code) {
    return CorruptionError("a row of code " + to_string(shape.code) + " in a group of " +
                           to_string(plan.group.code));
  }
  if (shape.height(plan.extent.column) < plan.start + plan.length) {
    return CorruptionError("the column ends at " +
                           std::to_string(shape.height(plan.extent.column)) + ", before byte " +
                           std::to_string(plan.start + plan.length));
  }
  return OkStatus();
}

// From any other drive of the group; parity drives first, because they hold a fragment of every
// row.
Task<Result<RowShape>> Reader::row_shape(ReadPlan plan, ReadStatePtr state) {
  const PackId pack = plan.extent.pack;
  const std::uint32_t row = plan.extent.row;
  if (const std::optional<RowShape> known = shapes_.find(pack, row)) {
    if (check_shape(plan, *known).ok()) co_return *known;
  }
  std::vector<std::size_t> columns;
  for (std::size_t c = plan.group.drives.size(); c-- > 0;) {
    if (c != plan.extent.column) columns.push_back(c);
  }
  std::stable_partition(columns.begin(), columns.end(), [&](std::size_t c) {
    return !router_.penalised(plan.group.drives[c], IoKind::kRead);
  });
  std::string trouble;
  bool corrupt = false;
  for (const std::size_t column : columns) {
    if (state->direct.state == Fetch::State::kDone) break;
    const DriveId drive = plan.group.drives[column];
    Status status;
    if (!may_ask(plan, drive)) {
      status = UnavailableError("it is not up");
    } else if (const Result<StorageApi*> storage = router_.storage(drive); !storage.ok()) {
      status = storage.status();
    } else {
      const MonotonicTime deadline =
          std::min(plan.deadline, executor_.now() + limits_.shape_deadline);
      Result<RowShape> shape = co_await (*storage)->row_shape(drive, pack, row, deadline);
      status = shape.ok() ? check_shape(plan, *shape) : shape.status();
      if (status.ok()) {
        shapes_.insert(pack, row, *shape);
        co_return *shape;
      }
      router_.note_failure(drive, IoKind::kRead, status);
      corrupt = corrupt || status.code() == StatusCode::kCorruption;
    }
    if (!trouble.empty()) trouble += "; ";
    trouble += router_.view().describe(drive) + ": " + status.to_string();
  }
  const std::string text = name_of(plan.extent) + ": its own drive failed (" +
                           state->direct.error.to_string() +
                           ") and no other drive gives the row's shape (" + trouble + ")";
  if (executor_.now() >= plan.deadline) co_return DeadlineExceededError(text);
  if (corrupt) co_return CorruptionError(text);
  co_return UnavailableError(text);
}

// Fills state.others with the columns worth reading, the best first, and returns those known to be
// zero in the range.
std::uint32_t Reader::choose_columns(const ReadPlan& plan, const RowShape& shape,
                                     ReadState& state) const {
  std::uint32_t zero_columns = 0;
  state.others.reserve(plan.group.drives.size());
  for (std::size_t c = 0; c < plan.group.drives.size(); ++c) {
    if (c == plan.extent.column) continue;
    const std::uint32_t height = shape.height(static_cast<int>(c));
    if (height <= plan.start) {
      // A parity column is as high as the highest, so this is a data column that ends before the
      // range.
      zero_columns |= std::uint32_t{1} << c;
      continue;
    }
    Fetch fetch;
    fetch.column = static_cast<std::uint8_t>(c);
    fetch.drive = plan.group.drives[c];
    fetch.length = std::min(plan.length, height - plan.start);
    if (!may_ask(plan, fetch.drive)) {
      fetch.state = Fetch::State::kFailed;
      fetch.error = UnavailableError("it is not up");
    }
    state.others.push_back(std::move(fetch));
  }
  std::stable_sort(state.others.begin(), state.others.end(), [&](const Fetch& a, const Fetch& b) {
    const bool bad_a = router_.penalised(a.drive, IoKind::kRead);
    const bool bad_b = router_.penalised(b.drive, IoKind::kRead);
    if (bad_a != bad_b) return bad_b;
    return a.length < b.length;
  });
  return zero_columns;
}

Task<Result<Buffer>> Reader::gather(ReadPlan plan, ReadStatePtr state, std::uint32_t zero_columns) {
  const auto needed = static_cast<std::size_t>(plan.group.code.k - std::popcount(zero_columns));
  std::size_t wanted = needed;  // side by side; one more for each hedge
  while (true) {
    if (direct_is_good(plan, *state)) co_return std::move(state->direct.bytes);
    if (std::exchange(state->hedge_due, false)) {
      std::size_t hung = 0;
      for (Fetch& fetch : state->others) hung += find_hung(fetch) ? 1 : 0;
      wanted += hung > 0 ? hung : has_spare(*state) && may_hedge() ? 1 : 0;
    }
    std::size_t done = 0;
    std::size_t running = 0;
    for (Fetch& fetch : state->others) {
      if (fetch.state == Fetch::State::kIdle && done + running < wanted) {
        start_fetch(plan, state, fetch, /*verify=*/true);
      }
      if (fetch.state == Fetch::State::kDone) ++done;
      if (fetch.state == Fetch::State::kRunning) ++running;
    }
    if (done >= needed) co_return restore(plan, *state, zero_columns);
    const bool direct_running = state->direct.state == Fetch::State::kRunning;
    if (done + running < needed && !direct_running) co_return beyond_repair(plan, *state);
    if (has_spare(*state)) {
      Duration delay = limits_.hedge_floor;
      for (const Fetch& fetch : state->others) {
        if (fetch.state != Fetch::State::kRunning || fetch.hung) continue;
        delay = std::max(delay, hedge_delay(fetch.drive, fetch.length));
      }
      watch(state, executor_.now() + delay);
    }
    co_await ReadStateAwaiter{*state};
  }
}

Result<Buffer> Reader::restore(const ReadPlan& plan, const ReadState& state,
                               std::uint32_t zero_columns) {
  ASSIGN_OR_RETURN(const auto code, ErasureCode::get(plan.group.code));
  std::array<const std::byte*, kMaxColumns> have{};
  BufferList padded;
  for (const Fetch& fetch : state.others) {
    if (fetch.state != Fetch::State::kDone) continue;
    have[fetch.column] = fetch.bytes.data();
    if (fetch.bytes.size() == plan.length) continue;
    Buffer longer = Buffer::allocate(plan.length);
    std::memcpy(longer.mutable_data(), fetch.bytes.data(), fetch.bytes.size());
    std::memset(longer.mutable_data() + fetch.bytes.size(), 0, plan.length - fetch.bytes.size());
    have[fetch.column] = longer.data();
    padded.push_back(std::move(longer));
  }
  Buffer restored = Buffer::allocate(plan.length);
  const int wanted = plan.extent.column;
  std::byte* const out = restored.mutable_data();
  const auto width = static_cast<std::size_t>(plan.group.code.width());
  RETURN_IF_ERROR(
      code->reconstruct({have.data(), width}, zero_columns, {&wanted, 1}, {&out, 1}, plan.length));
  if (plan.whole && crc32c(restored.span()) != plan.extent.crc32c) {
    return CorruptionError(name_of(plan.extent) + ": its own drive failed (" +
                           state.direct.error.to_string() +
                           ") and what the other columns decode to does not match its CRC32C");
  }
  return restored;
}

// Says what is missing. Corruption only when nothing that may come back would help.
Status Reader::beyond_repair(const ReadPlan& plan, const ReadState& state) const {
  std::string text =
      name_of(plan.extent) + " cannot be restored (" + to_string(plan.group.code) + "); missing: ";
  bool corrupt = false;
  bool may_return = false;
  bool first = true;
  const auto add = [&](const Fetch& fetch) {
    if (fetch.state != Fetch::State::kFailed) return;
    const StatusCode code = fetch.error.code();
    corrupt = corrupt || code == StatusCode::kCorruption;
    may_return = may_return || (code != StatusCode::kCorruption && code != StatusCode::kNotFound);
    if (!std::exchange(first, false)) text += "; ";
    text += "column " + std::to_string(fetch.column) + " on " +
            router_.view().describe(fetch.drive) + ": " + fetch.error.to_string();
  };
  add(state.direct);
  for (const Fetch& fetch : state.others) add(fetch);
  if (executor_.now() >= plan.deadline) return DeadlineExceededError(text);
  if (corrupt && !may_return) return CorruptionError(text);
  return UnavailableError(text);
}

void Reader::watch(const ReadStatePtr& state, MonotonicTime hedge_at) {
  if (state->watch_index != ReadState::kNotWatched) return;
  state->hedge_at = hedge_at;
  state->watch_index = watched_.size();
  watched_.push_back(state);
  if (tick_timer_.value == 0) {
    tick_timer_ = executor_.schedule_at(executor_.now() + limits_.hedge_tick, [this] { tick(); });
  }
}

void Reader::unwatch(ReadState& state) {
  if (state.watch_index == ReadState::kNotWatched) return;
  const std::size_t index = std::exchange(state.watch_index, ReadState::kNotWatched);
  if (index + 1 != watched_.size()) {
    watched_[index] = std::move(watched_.back());
    watched_[index]->watch_index = index;
  }
  watched_.pop_back();
}

void Reader::tick() {
  tick_timer_ = TimerId{};
  const MonotonicTime now = executor_.now();
  for (std::size_t i = 0; i < watched_.size();) {
    const ReadStatePtr state = watched_[i];
    if (state->hedge_at > now) {
      ++i;
      continue;
    }
    unwatch(*state);  // moves another one to i
    state->hedge_due = true;
    state->wake();
  }
  if (watched_.empty()) return;
  tick_timer_ = executor_.schedule_at(now + limits_.hedge_tick, [this] { tick(); });
}

}  // namespace

std::unique_ptr<ExtentReader> make_extent_reader(ExtentReaderOptions options) {
  return std::make_unique<Reader>(std::move(options));
}

}  // namespace shoal::client
