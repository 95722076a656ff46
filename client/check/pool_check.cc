#include "client/check/pool_check.h"

#include <algorithm>
#include <bit>

#include "base/async/sync.h"
#include "proto/wire/convert.h"

namespace shoal::client {
namespace {

constexpr Duration kDeadline = std::chrono::seconds(30);
constexpr std::uint32_t kPacksPerPage = 1000;
constexpr std::uint64_t kBatchBytes = std::uint64_t{2} << 30;  // live, of packs read together
constexpr std::size_t kBatchPacks = 64;
constexpr std::uint64_t kRowsAtOnce = 8;  // each of at most 20 MiB
constexpr std::size_t kDroppedAtOnce = 10'000;

MonotonicTime deadline_from_now() { return Executor::current()->now() + kDeadline; }

bool is_absent(const DriveInfo& drive) {
  return drive.state == DriveState::kDown || drive.state == DriveState::kOut;
}

// Data columns that are empty, and so known.
int empty_columns(const AuditedRow& row) {
  const std::uint32_t data = (std::uint32_t{1} << row.shape.code.k) - 1;
  return row.shape.code.k - std::popcount(row.wanted & data);
}

bool decodable(const AuditedRow& row, std::uint32_t columns) {
  return row.shape_known &&
         std::popcount(row.wanted & columns) + empty_columns(row) >= row.shape.code.k;
}

RestoreJob job_for(const PackAudit& audit, const AuditedRow& row, std::uint8_t column) {
  RestoreJob job;
  job.group = audit.group;
  job.key = {audit.pack, row.row, column};
  job.shape = row.shape;
  job.present = row.present;
  job.to = audit.group.drives[column];
  return job;
}

std::string row_name(PackId pack, std::uint32_t row) {
  return "row " + pack.to_string() + "/" + std::to_string(row);
}

}  // namespace

PoolCheck::PoolCheck(ClusterMap map,
                     std::function<Task<Result<proto::QueryReply>>(proto::Query)> query,
                     std::function<StorageApi*(const DriveInfo&)> storage_of, Executor& executor,
                     CheckOptions options)
    : map_(std::move(map)),
      executor_(executor),
      options_(std::move(options)),
      source_{&map_, std::move(query), std::move(storage_of)},
      router_(executor,
              [this](const DriveInfo& drive) -> Result<StorageApi*> {
                StorageApi* const storage = source_.storage_of(drive);
                if (storage == nullptr) return UnavailableError("nobody serves the drive");
                return storage;
              }),
      restorer_(router_, executor) {}

Task<Result<CheckReport>> PoolCheck::run() {
  co_await find_drives();
  CO_RETURN_IF_ERROR(co_await check_packs());
  CO_RETURN_IF_ERROR(co_await check_strays());
  co_return std::move(report_);
}

// A drive that answers counts as there, even if the map says that it is down: it has only just come
// back, or the metadata has not run since. One that was given up stays out.
Task<void> PoolCheck::find_drives() {
  absl::flat_hash_map<DriveId, DriveStatus> states;
  absl::flat_hash_set<StorageApi*> asked;
  for (const DriveInfo& drive : map_.drives) {
    StorageApi* const storage = source_.storage_of(drive);
    if (storage == nullptr || !asked.insert(storage).second) continue;
    const auto status = co_await storage->status(deadline_from_now());
    if (!status.ok()) continue;
    for (const DriveStatus& one : *status) states[one.drive] = one;
  }
  for (DriveInfo& drive : map_.drives) {
    const auto state = states.find(drive.id);
    const bool well = state != states.end() && state->second.well();
    if (well && drive.state == DriveState::kDown) drive.state = DriveState::kUp;
    const bool counted_on =
        std::any_of(map_.groups.begin(), map_.groups.end(),
                    [&](const PlacementGroup& group) { return group.holds(drive.id); });
    if (is_absent(drive)) {
      if (!counted_on) continue;
      ++report_.absent_drives;
      options_.problem("drive " + drive.id.to_string() + " is " +
                       (drive.state == DriveState::kOut ? "lost" : "down") +
                       ", and placement groups still count on it");
    } else if (!well) {
      silent_.insert(drive.id);
      ++report_.unwell_drives;
      options_.problem("drive " + drive.id.to_string() +
                       (state == states.end() ? " does not answer" : ": " + state->second.state));
    }
  }
  router_.set_map(std::make_shared<ClusterMap>(map_));
}

Task<Status> PoolCheck::check_packs() {
  damage_ = co_await collect_damage(&source_);
  PackId after{0};
  while (true) {
    const auto packs = co_await fetch_packs(&source_, after);
    if (!packs.ok()) co_return packs.status();
    if (packs->empty()) break;
    for (const proto::PackRecord& pack : *packs) {
      after = PackId(pack.pack());
      if (options_.cancelled()) co_return CancelledError("the check was ended");
      CO_RETURN_IF_ERROR(co_await check_pack(after));
    }
  }
  co_return co_await read_batch();
}

Task<Result<PoolCheck::Look>> PoolCheck::look(PackId pack) {
  auto record = co_await fetch_pack(&source_, pack);
  if (!record.ok()) co_return record.status();
  Look look{std::move(*record), {}};
  auto audit = co_await audit_pack(&source_, &damage_, &look.record, FragmentDetail::kRecord);
  if (!audit.ok()) {
    // Not kNotFound, which is that the pack has gone.
    co_return CorruptionError("pack " + pack.to_string() + ": " + audit.status().message());
  }
  look.audit = std::move(*audit);
  co_return look;
}

bool PoolCheck::suspicious(const Look& look) {
  return look.audit.unexpected() ||
         std::any_of(look.audit.rows.begin(), look.audit.rows.end(), [&](const AuditedRow& row) {
           return !row.shape_known || (look.audit.missing(row) & ~row.at_target) != 0;
         });
}

Task<Status> PoolCheck::check_pack(PackId pack) {
  auto seen = co_await look(pack);
  for (int i = 1; i < options_.looks && seen.ok(); ++i) {
    const bool again = suspicious(*seen);
    if (!again) break;
    co_await sleep_for(options_.settle);
    damage_ = co_await collect_damage(&source_);
    seen = co_await look(pack);
  }
  if (!seen.ok()) {
    if (seen.status().code() == StatusCode::kNotFound) co_return OkStatus();
    co_return seen.status();
  }
  ++report_.packs;
  if (seen->record.state() != proto::PACK_CLOSED) ++report_.open_packs;
  count_rows(*seen);
  co_await restore_missing(&*seen);
  co_await note_unreferenced(&*seen);
  if (!options_.read) co_return OkStatus();
  batch_bytes_ += seen->record.live_bytes();
  batch_.push_back(std::move(*seen));
  if (batch_bytes_ >= kBatchBytes || batch_.size() >= kBatchPacks) co_return co_await read_batch();
  co_return OkStatus();
}

void PoolCheck::count_rows(const Look& look) {
  const PackAudit& audit = look.audit;
  report_.rows += audit.rows.size();
  for (const AuditedRow& row : audit.rows) {
    const std::uint32_t here = row.present | row.at_target;
    if (!row.shape_known || !decodable(row, here)) {
      const bool hope =
          audit.silent != 0 && (!row.shape_known || decodable(row, here | audit.silent));
      ++(hope ? report_.unreadable_rows : report_.lost_rows);
      report_.hurt_rows[audit.pack].insert(row.row);
      options_.problem(row_name(audit.pack, row.row) +
                       (hope ? " cannot be read until drives come back"
                             : " is lost: too few of its columns are left"));
      continue;
    }
    if ((row.wanted & ~here & audit.silent) != 0) ++report_.degraded_rows;
    const std::uint32_t missing = audit.missing(row) & ~row.at_target;
    for (std::size_t c = 0; c < audit.group.drives.size(); ++c) {
      if ((missing >> c & 1) == 0) continue;
      ++report_.missing_fragments;
      const DriveId drive = audit.group.drives[c];
      const FragmentKey key{audit.pack, row.row, static_cast<std::uint8_t>(c)};
      options_.problem("fragment " + audit.pack.to_string() + "/" + std::to_string(row.row) + "/" +
                       std::to_string(c) + " is " +
                       (damage_.contains(drive, key) ? "damaged on" : "missing on") + " drive " +
                       drive.to_string());
    }
  }
}

Task<void> PoolCheck::restore_missing(Look* look) {
  if (!options_.repair) co_return;
  PackAudit& audit = look->audit;
  for (AuditedRow& row : audit.rows) {
    const std::uint32_t missing = audit.missing(row) & ~row.at_target;
    const bool possible = decodable(row, row.present);
    if (missing == 0 || !possible) continue;
    for (std::uint8_t c = 0; c < audit.group.drives.size(); ++c) {
      if ((missing >> c & 1) == 0) continue;
      RestoreJob job = job_for(audit, row, c);
      const bool restored = co_await restore(std::move(job));
      if (restored) row.present |= std::uint32_t{1} << c;
    }
  }
}

Task<bool> PoolCheck::restore(RestoreJob job) {
  const std::string name = "fragment " + job.key.pack.to_string() + "/" +
                           std::to_string(job.key.row) + "/" + std::to_string(job.key.column);
  const auto restored = co_await restorer_.restore(std::move(job));
  if (restored.ok()) {
    ++report_.restored_fragments;
    co_return true;
  }
  options_.problem(name + " cannot be restored: " + restored.status().message());
  co_return false;
}

// What is in a closed pack and not referred to will never be: no commit can name it any more.
Task<void> PoolCheck::note_unreferenced(const Look* look) {
  const PackAudit& audit = look->audit;
  if (look->record.state() != proto::PACK_CLOSED || look->record.kept()) co_return;
  report_.unreferenced_rows += audit.unreferenced_rows.size();
  report_.unreferenced_bytes += audit.unreferenced_bytes;
  if (!options_.repair || audit.unreferenced_rows.empty()) co_return;
  const std::vector<std::uint32_t> rows(audit.unreferenced_rows.begin(),
                                        audit.unreferenced_rows.end());
  bool all = true;
  for (const DriveInfo& drive : map_.drives) {
    const bool concerned = audit.group.holds(drive.id) || audit.group.expects(drive.id);
    if (!concerned || is_absent(drive) || silent_.contains(drive.id)) continue;
    StorageApi* const storage = source_.storage_of(drive);
    for (std::size_t from = 0; from < rows.size(); from += kDroppedAtOnce) {
      const auto begin = rows.begin() + static_cast<std::ptrdiff_t>(from);
      const auto end =
          begin + static_cast<std::ptrdiff_t>(std::min(kDroppedAtOnce, rows.size() - from));
      std::vector<std::uint32_t> some(begin, end);
      const Status dropped =
          co_await storage->delete_rows(drive.id, audit.pack, std::move(some), deadline_from_now());
      all = all && dropped.ok();
    }
  }
  if (all) report_.dropped_rows += rows.size();
}

// --- content

Task<Status> PoolCheck::read_batch() {
  std::vector<Look> batch = std::exchange(batch_, {});
  batch_bytes_ = 0;
  if (batch.empty()) co_return OkStatus();
  std::map<PackId, RowExtents> extents;
  for (const Look& look : batch) extents[look.audit.pack];
  CO_RETURN_IF_ERROR(co_await collect_extents(&extents));
  AsyncSemaphore slots(kRowsAtOnce);
  TaskScope reads;
  for (const Look& look : batch) {
    const RowExtents& of_pack = extents[look.audit.pack];
    for (const AuditedRow& row : look.audit.rows) {
      const auto found = of_pack.find(row.row);
      // Without one it has died meanwhile; one that cannot be decoded has been counted.
      if (found == of_pack.end() || !decodable(row, row.present)) continue;
      co_await slots.acquire();
      if (options_.cancelled()) {
        slots.release();
        co_await reads.join();
        co_return CancelledError("the check was ended");
      }
      reads.spawn(read_row(&look, &row, &found->second, &slots));
    }
  }
  co_await reads.join();
  co_return OkStatus();
}

Task<Status> PoolCheck::collect_extents(std::map<PackId, RowExtents>* extents) {
  std::string cursor;
  do {
    proto::Query query;
    proto::ListReferences* list = query.mutable_list_references();
    for (const auto& [pack, rows] : *extents) list->add_packs(pack.value());
    list->set_cursor(cursor);
    const auto reply = co_await source_.query(std::move(query));
    if (!reply.ok()) co_return reply.status().with_context("listing references");
    for (const proto::Reference& reference : reply->list_references().references()) {
      const auto list_of = wire::extents_from_proto(reference.extents());
      if (!list_of.ok()) co_return list_of.status();
      for (const Extent& extent : *list_of) (*extents)[extent.pack][extent.row].push_back(extent);
    }
    cursor = reply->list_references().next();
  } while (!cursor.empty());
  co_return OkStatus();
}

Task<bool> PoolCheck::row_lives(PackId pack, std::uint32_t row) {
  const auto record = co_await fetch_pack(&source_, pack);
  if (!record.ok()) co_return record.status().code() != StatusCode::kNotFound;
  co_return static_cast<int>(
      row)<record->row_live_bytes_size() && record->row_live_bytes(static_cast<int>(row))> 0;
}

Task<void> PoolCheck::read_row(const Look* look, const AuditedRow* row,
                               const std::vector<Extent>* extents, AsyncSemaphore* slots) {
  const PackAudit& audit = look->audit;
  report_.extents_read += extents->size();
  // What was restored is looked at again: that, and no answer of a drive, ends it.
  for (int round = 0; round < options_.looks; ++round) {
    const RowCheck check = co_await check_row(&source_, &audit, row, extents);
    report_.bytes_read += check.bytes_read;
    if (check.troubles.empty()) break;
    const bool lives = co_await row_lives(audit.pack, row->row);
    if (!lives) break;  // deleted while it was read
    for (const std::string& trouble : check.troubles) options_.problem(trouble);
    report_.wrong_fragments += static_cast<std::uint64_t>(std::popcount(check.wrong));
    report_.lost_extents += check.lost_extents;
    if (check.lost_extents > 0) report_.hurt_rows[audit.pack].insert(row->row);
    const bool possible = check.lost_extents == 0 && decodable(*row, row->present & ~check.wrong);
    if (!options_.repair || !possible || round + 1 == options_.looks) break;
    const bool restored = co_await restore_wrong(&audit, row, check.wrong);
    if (!restored) break;
  }
  slots->release();
}

// False: not all.
Task<bool> PoolCheck::restore_wrong(const PackAudit* audit, const AuditedRow* row,
                                    std::uint32_t wrong) {
  bool all = true;
  for (std::uint8_t c = 0; c < audit->group.drives.size(); ++c) {
    if ((wrong >> c & 1) == 0) continue;
    RestoreJob job = job_for(*audit, *row, c);
    job.present &= ~wrong;
    const bool restored = co_await restore(std::move(job));
    all = all && restored;
  }
  co_return all;
}

// --- the other direction

// First the drives, then metad: what it knows then and did not when a drive was asked does no harm.
Task<Status> PoolCheck::list_strays(std::vector<Stray>* strays) {
  std::vector<Stray> held;
  for (const DriveInfo& drive : map_.drives) {
    if (silent_.contains(drive.id) || drive.state == DriveState::kDown) continue;
    StorageApi* const storage = source_.storage_of(drive);
    PackId after{0};
    while (storage != nullptr) {
      const auto page =
          co_await storage->list_packs(drive.id, after, kPacksPerPage, deadline_from_now());
      // One that was given up need not answer.
      if (!page.ok() && drive.state != DriveState::kOut && silent_.insert(drive.id).second) {
        ++report_.unwell_drives;
        options_.problem("drive " + drive.id.to_string() +
                         " does not list what it holds: " + page.status().message());
      }
      if (!page.ok() || page->empty()) break;
      for (const PackInfo& info : *page) held.push_back({drive.id, info.pack, false});
      after = page->back().pack;
    }
  }
  absl::flat_hash_map<PackId, bool> known;  // and whether it is kept
  PackId after{0};
  while (true) {
    const auto packs = co_await fetch_packs(&source_, after);
    if (!packs.ok()) co_return packs.status();
    if (packs->empty()) break;
    for (const proto::PackRecord& pack : *packs) known[PackId(pack.pack())] = pack.kept();
    after = PackId(packs->back().pack());
  }
  for (Stray& stray : held) {
    const auto record = known.find(stray.pack);
    const PlacementGroup* group = map_.group(pg_of_pack(stray.pack));
    stray.known = record != known.end();
    const bool belongs = stray.known ? record->second || group == nullptr ||
                                           group->holds(stray.drive) || group->expects(stray.drive)
                                     : options_.kept_unknown(stray.pack);
    if (!belongs) strays->push_back(stray);
  }
  co_return OkStatus();
}

// metad collects them by itself within seconds; what stays is a problem.
Task<Status> PoolCheck::check_strays() {
  const MonotonicTime end = executor_.now() + options_.collect_wait;
  std::vector<Stray> strays;
  while (true) {
    strays.clear();
    CO_RETURN_IF_ERROR(co_await list_strays(&strays));
    if (options_.cancelled()) co_return CancelledError("the check was ended");
    if (strays.empty() || executor_.now() >= end) break;
    co_await sleep_for(options_.settle);
  }
  report_.stray_packs = strays.size();
  for (const Stray& stray : strays) {
    options_.problem("drive " + stray.drive.to_string() + " holds fragments of pack " +
                     stray.pack.to_string() +
                     (stray.known ? ", which has its place on other drives"
                                  : ", which the metadata does not know"));
  }
  co_return OkStatus();
}

}  // namespace shoal::client
