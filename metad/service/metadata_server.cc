#include "metad/service/metadata_server.h"

#include <algorithm>
#include <thread>

#include "base/log.h"
#include "metad/backup/dump_stream.h"
#include "proto/wire/convert.h"

namespace shoal::metad {
namespace {

// Of data that a client put into a command.
std::uint64_t data_bytes(const proto::Command& command) {
  const auto sum = [](const auto& extents) {
    std::uint64_t bytes = 0;
    for (const proto::ExtentProto& extent : extents) bytes += extent.length();
    return bytes;
  };
  switch (command.op_case()) {
    case proto::Command::kCommitData: return sum(command.commit_data().extents());
    case proto::Command::kPutObject: return sum(command.put_object().extents());
    case proto::Command::kPutPart: return sum(command.put_part().extents());
    default: return 0;
  }
}

}  // namespace

// On a pool thread.
Status MetadataServer::load(MetadataServer* server) {
  const MetadataOptions& options = server->options_;
  ASSIGN_OR_RETURN(server->store_, options.open_checkpoint
                                       ? options.open_checkpoint()
                                       : CheckpointStore::open(options.checkpoint_path));
  const auto position = server->store_->position();
  if (!position) return OkStatus();
  const unsigned threads =
      options.load_threads != 0
          ? options.load_threads
          : std::clamp(std::thread::hardware_concurrency(), 1U, kMaxLoadThreads);
  StateMachine& machine = *server->machine_;
  machine.begin_load();
  RETURN_IF_ERROR(
      server->store_->load(threads, [&machine](std::string_view key, std::string_view value) {
        return machine.load_record(key, value);
      }));
  return machine.finish_load(*position);
}

Task<Result<std::unique_ptr<MetadataServer>>> MetadataServer::open(
    BlockDirectory& journal_directory, BlockingPool& pool, MetadataOptions options) {
  std::unique_ptr<MetadataServer> server(new MetadataServer(pool, std::move(options)));
  server->machine_ = make_state_machine();
  StateMachine& machine = *server->machine_;
  Status finished = co_await run_blocking(pool, [&] { return load(server.get()); });
  const std::uint64_t loaded = machine.applied_position();
  if (finished.ok()) {
    auto journal = co_await Journal::open(
        journal_directory, server->options_.journal_segment_bytes, loaded,
        [&machine](std::uint64_t position, std::string_view bytes) -> Status {
          proto::Command command;
          if (!command.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) {
            return CorruptionError("the command at position " + std::to_string(position) +
                                   " does not parse");
          }
          if (command.has_change_cluster() && !command.has_plan()) {
            return NotSupportedError(
                "position " + std::to_string(position) +
                " changes the cluster map in the way of an earlier version: start and stop that "
                "one once, so that it leaves nothing to replay");
          }
          machine.apply(command, position);
          return OkStatus();
        });
    if (journal.ok()) {
      server->journal_ = std::move(*journal);
    } else {
      finished = journal.status();
    }
  }
  if (!finished.ok()) {
    server->closing_ = true;
    co_return finished;
  }
  server->checkpoint_position_ = loaded;
  server->next_position_ = server->journal_->last_position() + 1;
  const MonotonicTime now = Executor::current()->now();
  for (const SessionId id : machine.sessions()) server->last_seen_[id.value()] = now;
  server->background_.spawn(server->watch_sessions());
  server->background_.spawn(server->reap_orphans());
  log_info("metad", "open",
           {{"position", server->next_position_ - 1},
            {"replayed", server->next_position_ - 1 - loaded},
            {"sessions", server->last_seen_.size()}});
  co_return server;
}

MetadataServer::~MetadataServer() { CHECK(closing_ && background_.running() == 0); }

Task<Result<proto::CommandReply>> MetadataServer::execute(proto::Command command, MonotonicTime) {
  if (closing_) co_return UnavailableError("the metadata daemon is stopping");
  if (!failed_.ok()) co_return failed_;
  // A session that is gone stays unknown: its client is to learn that it was closed.
  if (const auto seen = last_seen_.find(command.session()); seen != last_seen_.end())
    seen->second = Executor::current()->now();
  const SlotKey slot{command.session(), command.slot()};
  if (const auto twin = by_slot_.find(slot); command.session() != 0 && twin != by_slot_.end()) {
    if (twin->second->command.sequence() != command.sequence()) {
      co_return AbortedError("slot " + std::to_string(command.slot()) +
                             " has another command under way");
    }
    // Sent twice: both get the one outcome. The first may be gone when this one wakes, so it asks
    // the state.
    while (by_slot_.contains(slot)) co_await slot_ended_.wait();
    if (const proto::CommandReply* known = machine_->find_reply(command)) co_return *known;
    co_return UnavailableError("the command was not journaled");
  }
  if (const proto::CommandReply* known = machine_->find_reply(command)) co_return *known;
  Pending pending;
  pending.command = std::move(command);
  // Before it waits for anything: the same one must not get in beside it.
  if (slot.first != 0) by_slot_[slot] = &pending;
  co_await in_flight_.acquire();
  Result<proto::CommandReply> reply = UnavailableError("not run");
  if (pending.command.has_change_cluster()) {
    reply = co_await run_planned(&pending);
  } else {
    reply = co_await run(&pending);
  }
  if (slot.first != 0 && by_slot_.erase(slot) > 0) slot_ended_.notify_all();
  in_flight_.release();
  co_return reply;
}

Task<Result<proto::CommandReply>> MetadataServer::run(Pending* pending) {
  if (const Status refused = machine_->refusal(pending->command); !refused.ok()) {
    proto::CommandReply reply;
    wire::status_to_proto(refused, reply.mutable_status());
    co_return reply;
  }
  stamp(pending);
  if (pending->bytes.size() > kMaxCommandBytes) {
    co_return InvalidArgumentError("a command of " + std::to_string(pending->bytes.size()) +
                                   " bytes is too large");
  }
  submit(pending);
  co_return co_await pending->done.take();
}

// What was planned may be overtaken by leases that were under way: then it is planned again.
Task<Result<proto::CommandReply>> MetadataServer::run_planned(Pending* pending) {
  const auto guard = co_await cluster_mutex_.lock();
  for (int left = kPlanAttempts; !closing_; --left) {
    Pending attempt;
    attempt.command = pending->command;
    Result<proto::CommandReply> reply = co_await run(&attempt);
    // Not what was refused already when it was planned.
    const bool overtaken = reply.ok() &&
                           status_code_from_wire(reply->status().code()) == StatusCode::kAborted &&
                           attempt.command.plan().base_epoch() > 0;
    if (!overtaken || left == 1) co_return reply;
  }
  co_return UnavailableError("the metadata daemon is stopping");
}

void MetadataServer::stamp(Pending* pending) {
  last_time_ns_ = std::max(last_time_ns_ + 1, Executor::current()->clock().wall_now_ns());
  pending->command.set_time_ns(last_time_ns_);
  machine_->stamp(&pending->command);
  pending->command.SerializeToString(&pending->bytes);
}

void MetadataServer::submit(Pending* pending) {
  queue_.push_back(pending);
  if (journal_running_) return;
  journal_running_ = true;
  background_.spawn(run_journal());
}

std::vector<MetadataServer::Pending*> MetadataServer::take_batch() {
  std::vector<Pending*> batch;
  std::size_t bytes = 0;
  while (!queue_.empty() &&
         (batch.empty() || bytes + queue_.front()->bytes.size() <= kMaxJournalBatchBytes)) {
    batch.push_back(queue_.front());
    bytes += queue_.front()->bytes.size();
    queue_.pop_front();
  }
  return batch;
}

// Group commit: what arrived while the last batch was in flight is the next one.
Task<void> MetadataServer::run_journal() {
  // One turn of the loop lets commands that came in together go out together.
  co_await yield();
  while (!queue_.empty()) {
    const std::vector<Pending*> batch = take_batch();
    std::vector<std::string_view> commands;
    commands.reserve(batch.size());
    for (const Pending* pending : batch) commands.push_back(pending->bytes);
    const Status written = co_await journal_->write(next_position_, std::move(commands));
    if (!written.ok()) {
      if (written.code() != StatusCode::kNoSpace) {
        failed_ = written;
        log_error("metad", "the journal has failed: nothing more is taken", {{"status", written}});
      }
      for (Pending* pending : batch) pending->done.set(written);
      continue;
    }
    apply_batch(batch);
  }
  journal_running_ = false;
  if (checkpoint_is_due() && !checkpoint_due_ && !closing_) {
    checkpoint_due_ = true;
    background_.spawn(checkpoint_in_background());
  }
}

void MetadataServer::apply_batch(const std::vector<Pending*>& batch) {
  for (Pending* pending : batch) {
    proto::CommandReply reply = machine_->apply(pending->command, next_position_++);
    ++command_count_;
    if (reply.status().code() == 0) client_bytes_ += data_bytes(pending->command);
    repacked_bytes_ += reply.swap_references().exchanged_bytes();
    if (reply.has_open_session()) {
      const auto lease =
          std::chrono::duration_cast<std::chrono::milliseconds>(options_.session_lease);
      reply.mutable_open_session()->set_lease_ms(static_cast<std::uint64_t>(lease.count()));
      last_seen_[reply.open_session().session()] = Executor::current()->now();
    }
    reply.set_map_epoch(machine_->cluster_map().epoch);
    pending->done.set(std::move(reply));
  }
}

// An open that comes while a reaping is between journal and state, which was stamped without
// knowing of it: it is answered once that has been applied.
Task<void> MetadataServer::settle_open(const proto::Query* query, proto::QueryReply* reply) {
  while (reaping_) co_await reaped_.wait();
  proto::Query again;
  again.mutable_get_attributes()->set_inode(query->open_file().inode());
  proto::QueryReply now;
  machine_->query(again, &now);
  if (now.status().code() == 0) co_return;
  proto::Query close;
  close.set_session(query->session());
  close.mutable_close_file()->set_inode(query->open_file().inode());
  proto::QueryReply closed;
  machine_->query(close, &closed);
  *reply = std::move(now);
}

// Files without a name go a second or two after they lost it, in batches.
Task<void> MetadataServer::reap_orphans() {
  std::vector<InodeId> seen;
  while (!closing_) {
    reap_timer_ = Executor::current()->schedule_at(Executor::current()->now() + kReapInterval,
                                                   [this] { wake_reaper_.notify_all(); });
    co_await wake_reaper_.wait();
    if (closing_) break;
    for (std::size_t at = 0; at < seen.size() && !closing_; at += kReapAtOnce) {
      proto::Command command;
      for (std::size_t i = at; i < std::min(seen.size(), at + kReapAtOnce); ++i) {
        command.mutable_reap_orphans()->add_inodes(seen[i].value());
      }
      reaping_ = true;
      const auto reaped = co_await execute(std::move(command), MonotonicTime::max());
      reaping_ = false;
      reaped_.notify_all();
      if (!reaped.ok()) log_warning("metad", "reaping failed", {{"status", reaped.status()}});
    }
    seen = machine_->orphans();
  }
}

Task<Result<proto::QueryReply>> MetadataServer::query(proto::Query query, MonotonicTime) {
  if (closing_) co_return UnavailableError("the metadata daemon is stopping");
  if (query.session() != 0) {
    const auto seen = last_seen_.find(query.session());
    if (seen == last_seen_.end()) {
      proto::QueryReply fenced;
      wire::status_to_proto(
          FencedError("session " + std::to_string(query.session()) + " is not open"),
          fenced.mutable_status());
      co_return fenced;
    }
    seen->second = Executor::current()->now();
  }
  if (query.has_dump_metadata())
    co_return co_await answer_dump(std::string(query.dump_metadata().path()));
  if (query.has_check_metadata()) co_return co_await answer_check();
  proto::QueryReply reply;
  if (query.has_report_worker()) {
    if (query.session() == 0) {
      wire::status_to_proto(InvalidArgumentError("a worker's report needs its session"),
                            reply.mutable_status());
    } else {
      workers_[query.session()] = std::move(*query.mutable_report_worker()->mutable_report());
    }
    co_return reply;
  }
  machine_->query(query, &reply);
  reply.set_map_epoch(machine_->cluster_map().epoch);
  if (query.has_open_file() && reaping_ && reply.status().code() == 0)
    co_await settle_open(&query, &reply);
  if (reply.has_metadata_status()) {
    proto::MetadataStatus* status = reply.mutable_metadata_status();
    status->set_journal_position(next_position_ - 1);
    status->set_checkpoint_position(checkpoint_position_);
    status->set_command_count(command_count_);
    status->set_journal_flush_count(journal_->flush_count());
    status->set_checkpoint_ns(checkpoint_ns_);
    if (!checkpoint_failure_.ok()) status->set_checkpoint_failure(checkpoint_failure_.message());
    status->set_client_bytes(client_bytes_);
    status->set_repacked_bytes(repacked_bytes_);
    for (const auto& session : status->sessions()) {
      const auto worker = workers_.find(session.session());
      if (worker != workers_.end()) *status->add_workers() = worker->second;
    }
    for (auto& session : *status->mutable_sessions()) {
      const auto idle = Executor::current()->now() - last_seen_[session.session()];
      session.set_idle_ms(static_cast<std::uint64_t>(idle / std::chrono::milliseconds(1)));
    }
  }
  co_return reply;
}

Task<void> MetadataServer::checkpoint_in_background() {
  const Status taken = co_await checkpoint();
  if (!taken.ok()) log_error("metad", "checkpoint failed", {{"status", taken}});
  checkpoint_due_ = false;
}

Task<std::uint64_t> MetadataServer::collect_changes(CheckpointChanges* changes) {
  const auto collect = [changes](std::string_view key, const std::string* value) {
    changes->add(key, value);
  };
  std::size_t budget = kCheckpointSliceRecords;
  while (machine_->drain_changes(budget, collect)) {
    const std::size_t left = machine_->noted();
    co_await yield();
    budget = std::max(kCheckpointSliceRecords, 2 * (machine_->noted() - left));
  }
  co_return machine_->applied_position();
}

Task<void> MetadataServer::note_again(const CheckpointChanges* changes) {
  for (std::size_t block = 0; block < changes->block_count(); ++block) {
    changes->for_each_in_block(
        block, [this](std::string_view key, const auto&) { machine_->note_again(key); });
    co_await yield();
  }
}

Task<Status> MetadataServer::checkpoint() {
  const auto guard = co_await checkpoint_mutex_.lock();
  co_return co_await take_checkpoint();
}

Task<Result<std::uint64_t>> MetadataServer::dump(int fd, std::string name) {
  const auto guard = co_await checkpoint_mutex_.lock();
  CO_RETURN_IF_ERROR(co_await take_checkpoint());
  DumpWriter writer(fd, std::move(name));
  const Status written = co_await run_blocking(pool_, [&]() -> Status {
    RETURN_IF_ERROR(writer.begin(checkpoint_position_));
    RETURN_IF_ERROR(store_->load(1, [&writer](std::string_view key, std::string_view value) {
      return writer.add(key, value);
    }));
    return writer.finish();
  });
  if (!written.ok()) co_return written;
  co_return writer.records();
}

Task<Result<proto::QueryReply>> MetadataServer::answer_dump(std::string path) {
  proto::QueryReply reply;
  auto file = co_await run_blocking(pool_, [&path] { return DumpFile::make(path); });
  Status status = file.status();
  if (file.ok()) {
    ++copies_running_;
    const auto dumped = co_await dump(file->fd(), path);
    if (--copies_running_ == 0) copies_ended_.notify_all();
    if (!dumped.ok()) file->discard();
    status = dumped.status();
    if (dumped.ok()) reply.mutable_dump()->set_records(*dumped);
  }
  wire::status_to_proto(status, reply.mutable_status());
  co_return reply;
}

// The damage is part of the reply; the status is why there is none.
Task<Status> MetadataServer::check_records(proto::CheckMetadataReply* reply) {
  const auto guard = co_await checkpoint_mutex_.lock();
  CO_RETURN_IF_ERROR(co_await take_checkpoint());
  const std::uint64_t position = checkpoint_position_;
  std::uint64_t records = 0;
  const Status damage = co_await run_blocking(pool_, [&]() -> Status {
    const std::unique_ptr<StateMachine> second = make_state_machine();
    second->begin_load();
    RETURN_IF_ERROR(store_->load(1, [&](std::string_view key, std::string_view value) {
      ++records;
      return second->load_record(key, value);
    }));
    return second->finish_load(position);
  });
  if (!damage.ok() && damage.code() != StatusCode::kCorruption) co_return damage;
  reply->set_records(records);
  reply->set_position(position);
  reply->set_damage(damage.message());
  co_return OkStatus();
}

Task<Result<proto::QueryReply>> MetadataServer::answer_check() {
  proto::QueryReply reply;
  ++copies_running_;
  const Status status = co_await check_records(reply.mutable_check());
  if (--copies_running_ == 0) copies_ended_.notify_all();
  machine_->fill_kept_unknown(reply.mutable_check());
  wire::status_to_proto(status, reply.mutable_status());
  co_return reply;
}

Task<Status> MetadataServer::take_checkpoint() {
  const MonotonicTime begin = Executor::current()->now();
  CheckpointChanges changes;
  const std::uint64_t position = co_await collect_changes(&changes);
  checkpoint_failure_ =
      co_await run_blocking(pool_, [&] { return store_->write(changes, position); });
  if (!checkpoint_failure_.ok()) {
    co_await note_again(&changes);
    checkpoint_retry_bytes_ =
        journal_->bytes_since_trim() + options_.checkpoint_after_bytes / kCheckpointRetryFraction;
    co_return checkpoint_failure_;
  }
  checkpoint_retry_bytes_ = 0;
  checkpoint_position_ = position;
  journal_->trim(position);
  checkpoint_ns_ = static_cast<std::uint64_t>((Executor::current()->now() - begin).count());
  co_return OkStatus();
}

bool MetadataServer::checkpoint_is_due() const {
  return journal_->bytes_since_trim() >=
         std::max(options_.checkpoint_after_bytes, checkpoint_retry_bytes_);
}

// Closes sessions that have been silent for longer than their lease.
Task<void> MetadataServer::watch_sessions() {
  while (!closing_) {
    session_timer_ =
        Executor::current()->schedule_at(Executor::current()->now() + options_.session_lease / 3,
                                         [this] { wake_watcher_.notify_all(); });
    co_await wake_watcher_.wait();
    const MonotonicTime now = Executor::current()->now();
    for (const SessionId id : machine_->sessions()) {
      if (closing_) break;
      const auto seen = last_seen_.try_emplace(id.value(), now).first;
      if (now - seen->second <= options_.session_lease) continue;
      proto::Command command;
      command.mutable_close_session()->set_session(id.value());
      const auto closed = co_await execute(std::move(command), MonotonicTime::max());
      if (closed.ok()) log_info("metad", "a silent session was closed", {{"session", id.value()}});
    }
    // Sessions that are gone are forgotten here too.
    absl::flat_hash_map<std::uint64_t, MonotonicTime> kept;
    for (const SessionId id : machine_->sessions()) kept[id.value()] = last_seen_[id.value()];
    last_seen_ = std::move(kept);
    absl::erase_if(workers_, [&](const auto& entry) { return !last_seen_.contains(entry.first); });
  }
}

Task<Status> MetadataServer::close() {
  if (std::exchange(closing_, true)) co_return OkStatus();
  Executor::current()->cancel(session_timer_);
  Executor::current()->cancel(reap_timer_);
  wake_watcher_.notify_all();
  wake_reaper_.notify_all();
  co_await background_.join();
  while (copies_running_ > 0) co_await copies_ended_.wait();
  co_await journal_->close();
  if (!failed_.ok()) co_return failed_;
  co_return co_await checkpoint();
}

}  // namespace shoal::metad
