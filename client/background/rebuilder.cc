#include "client/background/rebuilder.h"

#include <algorithm>

#include "base/log.h"

namespace shoal::client {
namespace {

bool serves(const ClusterMap& map, DriveId id) {
  const DriveInfo* drive = map.drive(id);
  return drive != nullptr &&
         (drive->state == DriveState::kUp || drive->state == DriveState::kDraining);
}

std::uint64_t live_rows(const proto::PackRecord& record) {
  std::uint64_t count = 0;
  for (const std::uint32_t bytes : record.row_live_bytes())
    if (bytes > 0) ++count;
  return count;
}

int unreadable_columns(const ClusterMap& map, const PlacementGroup& group) {
  return static_cast<int>(std::count_if(group.drives.begin(), group.drives.end(),
                                        [&](DriveId id) { return !serves(map, id); }));
}

// Deleted while it was being restored: nothing refers to it any more, the next audit will say.
bool is_gone(const Status& status) { return status.code() == StatusCode::kFenced; }

}  // namespace

void Rebuilder::Outcome::add(const Outcome& other) {
  missing += other.missing;
  restored += other.restored;
  lost_rows += other.lost_rows;
  complete = complete && other.complete;
  open_packs.insert(other.open_packs.begin(), other.open_packs.end());
  last_pack = std::max(last_pack, other.last_pack);
  if (trouble.empty()) trouble = other.trouble;
}

Rebuilder::Rebuilder(RebuilderOptions options)
    : options_(options),
      restorer_(options.router, options.executor),
      closing_wait_(options.limits.first_closing_wait / 2) {
  report_.set_task("repair");
  report_.set_state("starting");
  report_.set_limit_bytes_per_second(options_.limits.bytes_per_second);
}

void Rebuilder::report(proto::TaskReport* out) const { *out = report_; }

void Rebuilder::note_error(const Status& status) {
  if (report_.last_error() != status.message())
    log_warning("worker", "repair does not go on", {{"status", status}});
  report_.set_last_error(status.message());
}

void Rebuilder::note_rate() {
  const MonotonicTime now = options_.executor.now();
  const Duration since = now - rate_at_;
  if (since < std::chrono::seconds(1)) return;
  const double passed = std::chrono::duration<double>(since).count();
  proto::RepairReport* repair = report_.mutable_repair();
  const auto rate = [&](std::uint64_t count, std::uint64_t before) {
    return static_cast<std::uint64_t>(static_cast<double>(count - before) / passed);
  };
  repair->set_bytes_per_second(rate(repair->restored_bytes(), rate_bytes_));
  repair->set_fragments_per_second(rate(repair->restored_fragments(), rate_fragments_));
  rate_at_ = now;
  rate_bytes_ = repair->restored_bytes();
  rate_fragments_ = repair->restored_fragments();
}

Task<Rebuilder::Work> Rebuilder::begin(WorkControl* control) {
  Work work;
  work.control = control;
  work.map = options_.metadata.cluster_map();
  options_.router.set_map(work.map);
  work.source.map = work.map.get();
  work.source.query = [this](proto::Query query) {
    return options_.metadata.query(std::move(query));
  };
  work.source.storage_of = [this](const DriveInfo& drive) -> StorageApi* {
    const auto storage = options_.router.storage(drive.id);
    return storage.ok() ? *storage : nullptr;
  };
  work.openings = co_await collect_openings(&work.source);
  work.damage = co_await collect_damage(&work.source);
  co_return work;
}

std::vector<Rebuilder::Move> Rebuilder::moves(const ClusterMap& map) const {
  std::vector<Move> all;
  for (const PlacementGroup& group : map.groups) {
    for (const ColumnMove& move : group.moves)
      all.push_back({group.id, move, unreadable_columns(map, group)});
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Move& a, const Move& b) { return a.unreadable > b.unreadable; });
  return all;
}

Task<Duration> Rebuilder::pass(WorkControl* control) {
  control->set_rate(options_.limits.bytes_per_second);
  if (follows_map_ == nullptr) {
    follows_map_ = std::make_shared<char>();
    options_.metadata.on_new_map(follows_map_, [control] { control->hurry(); });
  }
  const Status refreshed = co_await options_.metadata.refresh_cluster_map();
  if (!refreshed.ok()) {
    note_error(refreshed);
    co_return options_.limits.interval;
  }
  Work work = co_await begin(control);
  Status status;
  if (work.map->epoch != counted_epoch_ ||
      options_.executor.now() - counted_at_ > options_.limits.retry_interval)
    status = co_await count_exposed(&work);
  const std::vector<Move> all = moves(*work.map);
  if (work.map->epoch != progress_epoch_ || work.openings != progress_openings_) progress_.clear();
  progress_openings_ = work.openings;
  const std::uint64_t finished_before = finished_moves_;
  for (auto wave = all.begin(); wave != all.end();) {
    const auto end = std::find_if(
        wave, all.end(), [&](const Move& move) { return move.unreadable != wave->unreadable; });
    std::vector<Move> moving(wave, end);
    const Status moved = co_await run_wave(&work, std::move(moving));
    if (!moved.ok() && status.ok()) status = moved;
    if (control->stopping()) co_return options_.limits.interval;
    wave = end;
  }
  progress_epoch_ = work.map->epoch + (finished_moves_ - finished_before);
  if (!all.empty()) report_.set_passes(report_.passes() + 1);
  if (all.empty() && audit_due(work)) {
    report_.set_state("auditing");
    const Status audited = co_await audit_all(&work);
    if (status.ok()) status = audited;
  }
  note_rate();
  if (status.ok()) {
    report_.clear_last_error();
    report_.set_state(waits_for_writers_ ? "waiting for clients to close packs of moving groups"
                                         : "idle");
  } else {
    report_.set_state("waiting");
    note_error(status);
  }
  const bool goes_on = status.ok() && finished_moves_ > finished_before;
  if (goes_on) co_return Duration(0);
  // Writers give packs of groups that change back at once, unless they do not hear of it.
  closing_wait_ = std::exchange(waits_for_writers_, false)
                      ? std::min(2 * closing_wait_, options_.limits.interval)
                      : options_.limits.first_closing_wait / 2;
  const bool soon = status.ok() && closing_wait_ >= options_.limits.first_closing_wait;
  co_return soon ? closing_wait_ : options_.limits.interval;
}

// How many rows have less than their full protection now, and how much the moves still have to do.
Task<Status> Rebuilder::count_exposed(const Work* work) {
  std::uint64_t exposed = 0;
  std::uint64_t pending = 0;
  PackId after{0};
  while (!work->control->stopping()) {
    auto packs = co_await fetch_packs(&work->source, after);
    if (!packs.ok()) co_return packs.status();
    if (packs->empty()) break;
    for (const proto::PackRecord& pack : *packs) {
      after = PackId(pack.pack());
      const PlacementGroup* group = work->map->group(pg_of_pack(after));
      if (group == nullptr || pack.live_bytes() == 0) continue;
      const bool hurt = unreadable_columns(*work->map, *group) > 0;
      if (!hurt && group->moves.empty()) continue;
      const std::size_t moving = group->moves.size();
      const auto record = co_await fetch_pack(&work->source, after);
      if (!record.ok()) continue;  // gone meanwhile
      const std::uint64_t rows = live_rows(*record);
      if (hurt) exposed += rows;
      pending += rows * moving;
    }
  }
  report_.mutable_repair()->set_exposed_rows(exposed);
  report_.mutable_repair()->set_pending_fragments(pending);
  counted_epoch_ = work->map->epoch;
  counted_at_ = options_.executor.now();
  co_return OkStatus();
}

// Moves of equal urgency, some at a time. Returns the first error.
Task<Status> Rebuilder::run_wave(Work* work, std::vector<Move> moving) {
  report_.set_state("moving " + std::to_string(moving.size()) +
                    " columns of placement groups that miss " +
                    std::to_string(moving.front().unreadable) + " of their drives");
  Status first;
  AsyncSemaphore slots(options_.limits.moves_at_once);
  TaskScope scope;
  for (const Move& move : moving) {
    co_await slots.acquire();
    if (work->control->stopping()) break;
    scope.spawn(run_one(work, move, &slots, &first));
  }
  co_await scope.join();
  co_return first;
}

Task<void> Rebuilder::run_one(Work* work, Move move, AsyncSemaphore* slots, Status* first) {
  const Status moved = co_await run_move(work, move);
  slots->release();
  if (!moved.ok() && first->ok()) *first = moved;
}

// Errors: what keeps it from ending.
Task<Status> Rebuilder::run_move(Work* work, Move move) {
  const MoveKey key{move.group, move.move.column, move.move.to};
  Progress before;
  if (const auto known = progress_.find(key); known != progress_.end()) {
    before = std::move(known->second);
    progress_.erase(known);
  }
  // A round that leaves nothing missing, as the drive says where the column moves to, ends the
  // move.
  for (int round = 0; round < options_.limits.rounds; ++round) {
    // Anew: the last round may have ended some.
    const DamageMap damage = co_await collect_damage(&work->source);
    const auto outcome = co_await move_packs(work, &damage, move, &before);
    if (!outcome.ok()) co_return outcome.status();
    if (work->control->stopping()) co_return OkStatus();
    if (!outcome->complete)
      co_return UnavailableError("a drive of placement group " + move.group.to_string() +
                                 ", or the one a column is to go to, does not answer");
    if (outcome->missing == 0) {
      // Rows may have come into an open pack behind the audit: once it is closed it is audited
      // again.
      if (!outcome->open_packs.empty()) {
        waits_for_writers_ = true;
        progress_[key] = {outcome->last_pack, outcome->open_packs};
        co_return OkStatus();
      }
      const Status finished = co_await finish(move, outcome->last_pack);
      if (finished.ok()) ++finished_moves_;
      co_return finished;
    }
    if (outcome->restored < outcome->missing) {
      co_return UnavailableError(std::to_string(outcome->missing - outcome->restored) +
                                 " fragments of placement group " + move.group.to_string() +
                                 " cannot be restored now: " + outcome->trouble);
    }
  }
  co_return UnavailableError("placement group " + move.group.to_string() +
                             " changes faster than it is restored");
}

// The packs of its group that are to be looked at; what is said of the group's packs goes into
// `outcome`.
Task<Result<std::vector<PackId>>> Rebuilder::packs_to_move(const Work* work, Move move,
                                                           const Progress* before,
                                                           Outcome* outcome) {
  std::vector<PackId> chosen;
  PackId after(make_pack_id(move.group, 0).value() - 1);
  while (true) {
    auto packs = co_await fetch_packs(&work->source, after);
    if (!packs.ok()) co_return packs.status();
    if (packs->empty()) co_return chosen;
    for (const proto::PackRecord& pack : *packs) {
      after = PackId(pack.pack());
      if (pg_of_pack(after) != move.group) co_return chosen;
      outcome->last_pack = after;
      // Asked before its rows are: what was closed then has no more to come.
      const bool open = pack.state() != proto::PACK_CLOSED;
      if (open) outcome->open_packs.insert(after);
      // One that is still open is looked at when it is closed.
      if (before->done(after) || (open && before->open.contains(after))) continue;
      if (pack.live_bytes() == 0 && !open) continue;
      chosen.push_back(after);
    }
  }
}

// Two at a time: while the last fragments of one are restored, the next one is listed.
Task<Result<Rebuilder::Outcome>> Rebuilder::move_packs(Work* work, const DamageMap* damage,
                                                       Move move, const Progress* before) {
  Outcome all;
  const auto packs = co_await packs_to_move(work, move, before, &all);
  if (!packs.ok()) co_return packs.status();
  Status first;
  AsyncSemaphore slots(kPacksOfMoveAtOnce);
  TaskScope moving;
  for (const PackId pack : *packs) {
    co_await slots.acquire();
    if (work->control->stopping() || !first.ok()) break;
    MovingPack one{work, damage, move, pack, &all, &first, &slots};
    moving.spawn(move_pack(one));
  }
  co_await moving.join();
  if (!first.ok()) co_return first;
  co_return all;
}

Task<void> Rebuilder::move_pack(MovingPack one) {
  const Status moved = co_await restore_moving(&one);
  if (!moved.ok() && one.first->ok()) *one.first = moved;
  one.slots->release();
}

Task<Status> Rebuilder::restore_moving(const MovingPack* one) {
  const SurveySource* const source = &one->work->source;
  const auto record = co_await fetch_pack(source, one->pack);
  if (!record.ok()) co_return OkStatus();  // gone meanwhile
  co_await listing_.acquire();
  auto audit = co_await audit_move(source, one->damage, &*record, one->move.move);
  listing_.release();
  if (!audit.ok()) co_return audit.status();
  co_await forget_dead_rows(one->work, &*audit);
  Outcome found;
  std::vector<RestoreJob> jobs;
  find_jobs(*audit, &one->move, &jobs, &found);
  found.add(co_await restore_all(one->work->control, std::move(jobs)));
  if (found.restored > 0 && found.restored == found.missing) {
    const bool arrived = co_await has_arrived(source, one->damage, &*audit, one->move.move);
    if (arrived) found.missing = found.restored = 0;
  }
  one->all->add(found);
  co_return OkStatus();
}

Task<Status> Rebuilder::finish(Move move, PackId last_pack) {
  proto::Command command;
  proto::FinishMove* change = command.mutable_change_cluster()->mutable_finish_move();
  change->set_group(move.group.value());
  change->set_column(move.move.column);
  change->set_to(move.move.to.value());
  change->set_last_pack(last_pack.value());
  const auto reply = co_await options_.metadata.execute(std::move(command));
  if (!reply.ok()) co_return reply.status();
  log_info("worker", "a column has moved",
           {{"group", move.group.value()},
            {"column", int{move.move.column}},
            {"to", move.move.to.value()}});
  co_return OkStatus();
}

// What is missing: with a move, of its column at its target; without, of every column in its place.
void Rebuilder::find_jobs(const PackAudit& audit, const Move* move, std::vector<RestoreJob>* jobs,
                          Outcome* outcome) const {
  if (move != nullptr ? (audit.silent_targets >> move->move.column & 1) != 0 : audit.unexpected())
    outcome->complete = false;
  for (const AuditedRow& row : audit.rows) {
    if (!row.shape_known) {  // nobody who answered has anything of it
      ++outcome->missing;
      if (audit.silent == 0) ++outcome->lost_rows;
      if (outcome->trouble.empty())
        outcome->trouble = "no drive that answers has anything of row " + std::to_string(row.row) +
                           " of pack " + audit.pack.to_string();
      continue;
    }
    if (!row.readable(row.present | audit.silent)) ++outcome->lost_rows;
    std::uint32_t missing = audit.missing(row);
    if (move != nullptr) {
      missing = row.wanted & ~row.at_target & (std::uint32_t{1} << move->move.column);
    }
    add_jobs(audit, row, missing, move, jobs);
  }
  // Nothing is lost with them, and no move waits for them; but what can be put right is, so that no
  // damage is left to know of.
  for (const AuditedRow& row : audit.damaged_rows) {
    if (move == nullptr && row.shape_known && row.readable(row.present))
      add_jobs(audit, row, audit.missing(row), nullptr, jobs);
  }
  outcome->missing += jobs->size();
}

void Rebuilder::add_jobs(const PackAudit& audit, const AuditedRow& row, std::uint32_t columns,
                         const Move* move, std::vector<RestoreJob>* jobs) {
  for (std::uint8_t c = 0; c < audit.group.drives.size(); ++c) {
    if ((columns >> c & 1) == 0) continue;
    RestoreJob job;
    job.group = audit.group;
    job.key = {audit.pack, row.row, c};
    job.shape = row.shape;
    job.present = row.present;
    job.to = move != nullptr ? move->move.to : audit.group.drives[c];
    job.log_place = row.log_place;
    jobs->push_back(std::move(job));
  }
}

// A row that no drive has may have been deleted since the metadata was asked for the rows that
// live.
Task<void> Rebuilder::forget_dead_rows(const Work* work, PackAudit* audit) {
  const bool suspect = std::any_of(audit->rows.begin(), audit->rows.end(),
                                   [](const AuditedRow& row) { return !row.shape_known; });
  if (!suspect) co_return;
  const auto now = co_await fetch_pack(&work->source, audit->pack);
  if (!now.ok() && now.status().code() != StatusCode::kNotFound) co_return;
  std::erase_if(audit->rows, [&](const AuditedRow& row) {
    const bool lives = now.ok() && static_cast<int>(row.row) < now->row_live_bytes_size() &&
                       now->row_live_bytes(static_cast<int>(row.row)) > 0;
    return !row.shape_known && !lives;
  });
}

Task<Rebuilder::Outcome> Rebuilder::restore_all(WorkControl* control,
                                                std::vector<RestoreJob> jobs) {
  Batch batch;
  for (RestoreJob& job : jobs) {
    while (batch.left >= options_.limits.queued_per_batch) co_await batch.ended.wait();
    const bool goes_on = co_await control->take(job.shape.height(job.key.column));
    if (!goes_on) break;
    ++batch.left;
    const std::uint32_t place = job.log_place;
    waiting_.emplace(place, Restore{std::move(job), &batch});
    start_restores();
  }
  while (batch.left > 0) co_await batch.ended.wait();
  co_await batch.scope.join();
  co_return batch.outcome;
}

void Rebuilder::start_restores() {
  if (std::exchange(starting_, true)) return;  // one that ends at once: the loop goes on below
  while (!waiting_.empty()) {
    const std::uint64_t more = cost(waiting_.begin()->second.job);
    if (bytes_under_way_ > 0 && bytes_under_way_ + more > options_.limits.bytes_in_flight) break;
    bytes_under_way_ += more;
    Restore next = std::move(waiting_.extract(waiting_.begin()).mapped());
    TaskScope& scope = next.batch->scope;
    scope.spawn(restore_one(std::move(next)));
  }
  starting_ = false;
}

// The columns that it is decoded from, and its own.
std::uint64_t Rebuilder::cost(const RestoreJob& job) const {
  const std::uint64_t columns = std::uint64_t{job.shape.code.k} + 1;
  return std::max(columns * job.shape.height(job.key.column), options_.limits.min_fragment_cost);
}

Task<void> Rebuilder::restore_one(Restore restore) {
  Batch& batch = *restore.batch;
  const std::uint64_t taken = cost(restore.job);
  const auto restored = co_await restorer_.restore(std::move(restore.job));
  note_restored(restored, &batch.outcome);
  bytes_under_way_ -= taken;
  --batch.left;
  batch.ended.notify_all();
  start_restores();
}

void Rebuilder::note_restored(const Result<std::uint64_t>& restored, Outcome* outcome) {
  proto::RepairReport* repair = report_.mutable_repair();
  if (restored.ok() || is_gone(restored.status())) {
    ++outcome->restored;
    repair->set_pending_fragments(repair->pending_fragments() -
                                  std::min<std::uint64_t>(1, repair->pending_fragments()));
  } else {
    if (outcome->trouble.empty()) outcome->trouble = restored.status().message();
    note_error(restored.status());
  }
  if (restored.ok()) {
    repair->set_restored_fragments(repair->restored_fragments() + 1);
    repair->set_restored_bytes(repair->restored_bytes() + *restored);
    report_.set_written_bytes(repair->restored_bytes());
    note_rate();
  }
}

// A new map may bring back a drive that lacks something, and so may a drive that was opened again,
// however short it was away; other damage is known than before; or it is time, sooner when the last
// audit left something undone.
bool Rebuilder::audit_due(const Work& work) const {
  if (audited_epoch_ != work.map->epoch || audited_damage_ != work.damage) return true;
  const auto opened_again = [this](const auto& opening) {
    const auto audited = audited_openings_.find(opening.first);
    return audited == audited_openings_.end() || audited->second != opening.second;
  };
  if (std::any_of(work.openings.begin(), work.openings.end(), opened_again)) return true;
  // Soon at first: what failed was perhaps only busy.
  const Duration retry = std::min(options_.limits.retry_interval,
                                  options_.limits.interval * (1 << std::min(retries_, 10)));
  const Duration pause = audited_whole_ ? options_.limits.audit_interval : retry;
  return options_.executor.now() - audited_at_ > pause;
}

Task<Status> Rebuilder::audit_all(Work* work) {
  Outcome all;
  std::uint64_t audited = 0;
  PackId after{0};
  while (!work->control->stopping()) {
    auto packs = co_await fetch_packs(&work->source, after);
    if (!packs.ok()) co_return packs.status();
    if (packs->empty()) break;
    for (const proto::PackRecord& pack : *packs) {
      after = PackId(pack.pack());
      const bool dead = pack.live_bytes() == 0 && work->damage.rows(after) == nullptr;
      if (dead || work->control->stopping()) continue;
      const auto healed = co_await heal_pack(work, after);
      if (!healed.ok()) co_return healed.status();
      all.add(*healed);
      ++audited;
    }
  }
  if (work->control->stopping()) co_return OkStatus();
  proto::RepairReport* repair = report_.mutable_repair();
  repair->set_audited_packs(audited);
  repair->set_last_audit_ns(options_.executor.clock().wall_now_ns());
  repair->set_missing_fragments(all.missing - all.restored);
  repair->set_lost_rows(all.lost_rows);
  audited_whole_ = all.missing == all.restored && all.complete;
  retries_ = audited_whole_ ? 0 : retries_ + 1;
  audited_epoch_ = work->map->epoch;
  audited_damage_ = work->damage;
  audited_openings_ = work->openings;
  audited_at_ = options_.executor.now();
  repair->set_audited_epoch(all.complete ? audited_epoch_ : 0);
  repair->clear_audited_drives();
  for (const auto& [drive, opened_ns] : work->openings) {
    proto::AuditedDrive* said = repair->add_audited_drives();
    said->set_drive(drive.value());
    said->set_opened_ns(opened_ns);
  }
  if (!all.complete)
    co_return UnavailableError("drives that are in service did not answer the audit");
  if (!audited_whole_)
    co_return UnavailableError(std::to_string(all.missing - all.restored) +
                               " fragments cannot be restored now: " + all.trouble);
  co_return OkStatus();
}

Task<Result<Rebuilder::Outcome>> Rebuilder::heal_pack(Work* work, PackId pack) {
  Outcome outcome;
  const auto record = co_await fetch_pack(&work->source, pack);
  if (!record.ok()) co_return outcome;
  auto audit =
      co_await audit_pack(&work->source, &work->damage, &*record, FragmentDetail::kIndexed);
  if (!audit.ok()) {
    if (audit.status().code() == StatusCode::kNotFound) co_return outcome;
    co_return audit.status();
  }
  const bool goes_on = co_await work->control->take(audit->records_read * kAuditedFragmentBytes);
  if (!goes_on) co_return outcome;
  co_await forget_dead_rows(work, &*audit);
  std::vector<RestoreJob> jobs;
  find_jobs(*audit, nullptr, &jobs, &outcome);
  outcome.add(co_await restore_all(work->control, std::move(jobs)));
  co_return outcome;
}

}  // namespace shoal::client
