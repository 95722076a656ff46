#include "client/background/repacker.h"

#include <algorithm>

#include "base/crc32c.h"
#include "base/log.h"
#include "proto/wire/convert.h"

namespace shoal::client {
namespace {

constexpr Duration kPauseWhenMore = std::chrono::milliseconds(200);
constexpr int kNamedUnreadable = 5;  // of a pass, in the log

// Coarse, so that packs that were filled side by side, and share segments, are emptied together.
int waste_class(const SurveyedPack& pack) {
  const std::uint64_t waste = pack.waste_permille();
  return waste >= 4000 ? 0 : waste >= 2000 ? 1 : 2;
}

std::uint64_t full_rows_bytes(const SurveyedPack& pack) {
  return pack.live_bytes * static_cast<std::uint64_t>(pack.code.width()) / pack.code.k;
}

// What the reader takes for a part of a piece, which the drive verifies by its pages, or for a
// whole one.
Extent extent_of(const StoredRun& run) {
  Extent extent;
  extent.length = run.length;
  extent.pack = run.pack;
  extent.row = run.row;
  extent.column = run.column;
  extent.column_offset = run.column_offset;
  extent.stored_length = run.whole_piece ? run.length : run.length + 1;
  extent.crc32c = run.crc32c;
  return extent;
}

bool intact(const StoredRun& run, const Buffer& bytes) {
  return !run.whole_piece || crc32c(bytes.span()) == run.crc32c;
}

std::string name_of(const Referrer& referrer) {
  return referrer.upload.empty()
             ? "inode " + std::to_string(referrer.inode)
             : "upload " + referrer.upload + " part " + std::to_string(referrer.part);
}

}  // namespace

Task<Duration> Repacker::pass(WorkControl* control) {
  const auto surveyed = co_await survey();
  if (!surveyed.ok()) {
    report_.set_last_error(surveyed.status().to_string());
    co_return limits_.interval;
  }
  const bool hurry = surveyed->least_free_permille() < limits_.hurry_permille;
  control->set_rate(limits_.bytes_per_second * (hurry ? limits_.hurry : 1));
  report_.set_limit_bytes_per_second(control->rate());
  note_emptied(*surveyed);
  Pass pass;
  pass.control = control;
  pass.packs = choose(*surveyed, hurry);
  if (pass.packs.empty() || control->stopping()) co_return limits_.interval;

  const MonotonicTime begin = options_.executor.now();
  const std::uint64_t moved_before = report_.moved_bytes();
  const Status status = co_await empty_packs(&pass);
  report_.set_state("idle");
  const std::uint64_t moved = report_.moved_bytes() - moved_before;
  if (!status.ok()) {
    report_.set_last_error(status.to_string());
    log_warning("repack", "a pass ended early", {{"moved_bytes", moved}, {"status", status}});
    co_return limits_.interval;
  }
  if (moved == 0) co_return limits_.interval;
  report_.set_passes(report_.passes() + 1);
  report_.set_last_pass_ns(options_.executor.clock().wall_now_ns());
  report_.set_last_pass_ms(
      static_cast<std::uint64_t>((options_.executor.now() - begin) / std::chrono::milliseconds(1)));
  report_.set_last_pass_bytes(moved);
  log_info("repack", "packs were emptied",
           {{"packs", pass.packs.size()}, {"bytes", moved}, {"unreadable", pass.unreadable}});
  co_return kPauseWhenMore;
}

void Repacker::report(proto::TaskReport* out) const {
  *out = report_;
  out->set_task("repack");
  if (out->state().empty()) out->set_state("idle");
  out->set_threshold_permille(limits_.threshold_permille);
  out->set_written_bytes(options_.writer.counters().fragment_bytes);
}

Task<Result<PoolSurvey>> Repacker::survey() {
  const std::shared_ptr<const ClusterMap> map = options_.metadata.cluster_map();
  options_.router.set_map(map);
  SurveySource source;
  source.map = map.get();
  source.query = [this](proto::Query query) { return options_.metadata.query(std::move(query)); };
  source.storage_of = [this](const DriveInfo& drive) -> StorageApi* {
    const Result<StorageApi*> storage = options_.router.storage(drive.id);
    return storage.ok() ? *storage : nullptr;
  };
  co_return co_await survey_pool(&source);
}

void Repacker::note_emptied(const PoolSurvey& survey) {
  for (const SurveyedPack& pack : survey.packs) {
    if (pack.live_bytes > 0) emptying_.erase(pack.id);
  }
  for (const auto& [pack, raw_bytes] : emptying_)
    report_.set_emptied_bytes(report_.emptied_bytes() + raw_bytes);
  emptying_.clear();
}

// Packs worth the work, the most wasteful first, as many as one pass may take; none if all of them
// together do not win enough.
std::vector<SurveyedPack> Repacker::choose(const PoolSurvey& survey, bool hurry) {
  const MonotonicTime now = options_.executor.now();
  absl::erase_if(resting_, [&](const auto& entry) { return entry.second <= now; });
  std::vector<SurveyedPack> chosen;
  std::uint64_t raw_bytes = 0;
  std::uint64_t live_bytes = 0;
  std::uint64_t full_bytes = 0;
  bool all_hopeless = true;
  for (const SurveyedPack& pack : survey.packs) {
    if (!pack.closed || pack.live_bytes == 0 || resting_.contains(pack.id)) continue;
    if (pack.waste_permille() <= limits_.threshold_permille) continue;
    raw_bytes += pack.raw_bytes;
    live_bytes += pack.live_bytes;
    full_bytes += full_rows_bytes(pack);
    const auto known = hopeless_.find(pack.id);
    all_hopeless = all_hopeless && known != hopeless_.end() && known->second == pack.live_bytes;
    chosen.push_back(pack);
  }
  report_.set_candidate_packs(chosen.size());
  report_.set_candidate_raw_bytes(raw_bytes);
  report_.set_candidate_live_bytes(live_bytes);
  const std::uint64_t least =
      std::max(limits_.min_gain_bytes, survey.raw_bytes * limits_.min_gain_of_pool_permille / 1000);
  const std::uint64_t gain = raw_bytes - std::min(raw_bytes, full_bytes);
  if (all_hopeless || (gain < least && !hurry)) return {};
  std::sort(chosen.begin(), chosen.end(), [](const SurveyedPack& a, const SurveyedPack& b) {
    return std::pair(waste_class(a), a.id) < std::pair(waste_class(b), b.id);
  });
  std::uint64_t taken = 0;
  std::size_t count = 0;
  while (count < chosen.size() && count < limits_.max_pass_packs &&
         (count == 0 || taken + chosen[count].live_bytes <= limits_.max_pass_bytes)) {
    taken += chosen[count++].live_bytes;
  }
  chosen.resize(count);
  return chosen;
}

Result<CodeShape> Repacker::target_code() const {
  const PlacementView& view = options_.router.view();
  const PlacementGroup* best = nullptr;
  for (const PlacementGroup& group : view.map()->groups) {
    if (!view.whole(group) || group.code.m < view.required_parity()) continue;
    if (best == nullptr || group.code.k > best->code.k) best = &group;
  }
  if (best == nullptr) return UnavailableError("no placement group has all its drives up");
  return best->code;
}

Task<Status> Repacker::empty_packs(Pass* pass) {
  auto code = target_code();
  if (!code.ok()) co_return code.status();
  pass->code = *code;
  report_.set_state("looking for what refers to " + std::to_string(pass->packs.size()) + " packs");
  CO_RETURN_IF_ERROR(co_await collect(pass));
  if (pass->control->stopping()) co_return OkStatus();
  pass->runs = plan_runs(&pass->references);
  if (!worth_it(*pass)) co_return OkStatus();
  report_.set_state("moving what lives in " + std::to_string(pass->packs.size()) + " packs");
  for (const SurveyedPack& pack : pass->packs) emptying_[pack.id] = pack.raw_bytes;
  std::span<const StoredRun> left = pass->runs;
  while (!left.empty()) {
    const std::span<const StoredRun> row =
        left.first(runs_of_a_row(pass->code, left, limits_.max_pieces_per_row));
    left = left.subspan(row.size());
    std::uint64_t bytes = 0;
    for (const StoredRun& run : row) bytes += run.length;
    const bool goes_on = co_await pass->control->take(bytes);
    if (!goes_on) co_return OkStatus();
    CO_RETURN_IF_ERROR(co_await move_row(pass, row));
    if (pass->unreadable > kMaxUnreadablePerPass)
      co_return UnavailableError("too much cannot be read now");
  }
  co_return OkStatus();
}

// Everything that refers to the packs: a piece that several share must be moved once.
Task<Status> Repacker::collect(Pass* pass) {
  std::string cursor;
  do {
    proto::Query query;
    proto::ListReferences* request = query.mutable_list_references();
    for (const SurveyedPack& pack : pass->packs) request->add_packs(pack.id.value());
    request->set_cursor(cursor);
    const MonotonicTime begin = options_.executor.now();
    const auto reply = co_await options_.metadata.query(std::move(query));
    if (!reply.ok()) co_return reply.status().with_context("listing references");
    for (const proto::Reference& reference : reply->list_references().references())
      take_references(pass, reference);
    while (pass->references.size() > limits_.max_pass_references && pass->packs.size() > 1)
      drop_last_pack(pass);
    cursor = reply->list_references().next();
    const Duration rest = (options_.executor.now() - begin) * kScanRestFactor;
    const bool goes_on = co_await pass->control->pause(rest);
    if (!goes_on) co_return OkStatus();
  } while (!cursor.empty());
  co_return OkStatus();
}

void Repacker::take_references(Pass* pass, const proto::Reference& reference) {
  const auto extents = wire::extents_from_proto(reference.extents());
  if (!extents.ok()) {
    log_error("repack", "metad lists malformed extents",
              {{"inode", reference.inode()}, {"status", extents.status()}});
    return;
  }
  Referrer referrer{reference.inode(), reference.upload(), reference.part()};
  if (pass->referrers.empty() || pass->referrers.back() != referrer)
    pass->referrers.push_back(std::move(referrer));
  const auto index = static_cast<std::uint32_t>(pass->referrers.size() - 1);
  for (const Extent& extent : *extents) pass->references.push_back({index, extent});
}

void Repacker::drop_last_pack(Pass* pass) const {
  const PackId dropped = pass->packs.back().id;
  pass->packs.pop_back();
  std::erase_if(pass->references,
                [&](const PackReference& reference) { return reference.extent.pack == dropped; });
}

// Now that the pieces are known: whether they take much less room in full rows. Large pieces that
// are alone, for one, do not.
bool Repacker::worth_it(const Pass& pass) {
  std::uint64_t before = 0;
  for (const SurveyedPack& pack : pass.packs) before += pack.raw_bytes;
  const std::uint64_t after = raw_bytes_in_rows(pass.code, pass.runs, limits_.max_pieces_per_row);
  hopeless_.clear();
  if (after * 1000 <= before * (1000 - limits_.min_gain_permille)) return true;
  for (const SurveyedPack& pack : pass.packs) hopeless_[pack.id] = pack.live_bytes;
  return false;
}

Task<Status> Repacker::move_row(Pass* pass, std::span<const StoredRun> runs) {
  std::vector<Moved> row(runs.size());
  for (std::size_t i = 0; i < runs.size(); ++i) row[i].run = &runs[i];
  co_await read_row(&row);
  for (const Moved& moved : row) {
    if (!moved.bytes.ok()) co_await note_unreadable(pass, &moved);
  }
  if (pass->control->stopping()) co_return OkStatus();
  const Status written = co_await write_row(pass, &row);
  // What could be written is exchanged, whatever became of the rest.
  const Status exchanged = co_await exchange(pass, &row);
  ExtentList settled;
  for (const Moved& moved : row) {
    if (moved.written) settled.push_back(moved.stored);
  }
  options_.writer.settled(settled);
  co_return written.ok() ? exchanged : written;
}

Task<void> Repacker::read_row(std::vector<Moved>* row) {
  AsyncSemaphore slots(kRepackReadsAtOnce);
  TaskScope reads;
  const std::span<Moved> all(*row);
  for (std::size_t from = 0; from < all.size();) {
    std::size_t to = from + 1;
    const StoredRun& first = *all[from].run;
    for (; to < all.size(); ++to) {
      const StoredRun& last = *all[to - 1].run;
      const StoredRun& next = *all[to].run;
      const bool near = next.pack == first.pack && next.row == first.row &&
                        next.column == first.column && next.column_offset >= last.column_end() &&
                        next.column_offset - last.column_end() <= kRepackReadGapBytes;
      if (!near) break;
    }
    reads.spawn(read_group(all.subspan(from, to - from), &slots));
    from = to;
  }
  co_await reads.join();
}

// Runs of one column that lie next to each other, with one read.
Task<void> Repacker::read_group(std::span<Moved> group, AsyncSemaphore* slots) {
  co_await slots->acquire();
  bool together = group.size() > 1;
  if (together) {
    StoredRun span = *group.front().run;
    span.length = group.back().run->column_end() - span.column_offset;
    span.whole_piece = false;
    const auto bytes = co_await options_.reader.read(extent_of(span), 0, span.length);
    together = bytes.ok();
    for (std::size_t i = 0; together && i < group.size(); ++i) {
      const StoredRun& run = *group[i].run;
      Buffer piece = bytes->slice(run.column_offset - span.column_offset, run.length);
      together = intact(run, piece);
      group[i].bytes = std::move(piece);
    }
  }
  if (!together) {
    for (Moved& moved : group) co_await read_one(&moved);
  }
  slots->release();
}

Task<void> Repacker::read_one(Moved* moved) {
  moved->bytes = co_await options_.reader.read(extent_of(*moved->run), 0, moved->run->length);
}

Task<Status> Repacker::write_row(Pass* pass, std::vector<Moved>* row) {
  // Handed over within one turn of the loop, so that they become one row.
  std::vector<Task<Result<Extent>>> writes;
  std::vector<Moved*> writing;
  for (Moved& moved : *row) {
    if (!moved.bytes.ok()) continue;
    const PackReference& first = pass->references[moved.run->first_reference];
    PieceHint hint;
    hint.inode = InodeId(pass->referrers[first.referrer].inode);
    hint.file_offset = first.extent.file_offset;
    writes.push_back(options_.writer.write(*moved.bytes, hint));
    writing.push_back(&moved);
  }
  const std::vector<Result<Extent>> written = co_await when_all(std::move(writes));
  Status failed;
  for (std::size_t i = 0; i < written.size(); ++i) {
    Moved& moved = *writing[i];
    if (!written[i].ok()) {
      if (failed.ok()) failed = written[i].status();
      continue;
    }
    moved.stored = *written[i];
    moved.written = true;
    // The new CRC was made from the bytes in memory, the old one when they were new.
    if (moved.run->whole_piece && moved.stored.crc32c != moved.run->crc32c) {
      moved.bytes = CorruptionError("the bytes changed in memory");
      failed = moved.bytes.status();
    }
  }
  co_return failed;
}

Task<Status> Repacker::exchange(Pass* pass, const std::vector<Moved>* row) {
  struct Pair {
    std::uint32_t referrer;
    Extent from;
    Extent to;
  };
  std::vector<Pair> pairs;
  for (const Moved& moved : *row) {
    if (!moved.written || !moved.bytes.ok()) continue;
    for (std::size_t i = 0; i < moved.run->reference_count; ++i) {
      const PackReference& reference = pass->references[moved.run->first_reference + i];
      pairs.push_back({reference.referrer, reference.extent,
                       moved_extent(reference.extent, *moved.run, moved.stored)});
    }
  }
  std::sort(pairs.begin(), pairs.end(), [](const Pair& a, const Pair& b) {
    return std::pair(a.referrer, a.from.file_offset) < std::pair(b.referrer, b.from.file_offset);
  });
  for (std::size_t at = 0; at < pairs.size();) {
    proto::Command command;
    proto::SwapExtents* swap = nullptr;
    const std::size_t end = std::min(pairs.size(), at + kExtentsPerSwap);
    for (std::size_t i = at; i < end; ++i) {
      if (swap == nullptr || pairs[i].referrer != pairs[i - 1].referrer) {
        const Referrer& referrer = pass->referrers[pairs[i].referrer];
        swap = command.mutable_swap_references()->add_swaps();
        swap->set_inode(referrer.inode);
        swap->set_upload(referrer.upload);
        swap->set_part(referrer.part);
      }
      wire::extents_to_proto({pairs[i].from}, swap->mutable_from());
      wire::extents_to_proto({pairs[i].to}, swap->mutable_to());
    }
    at = end;
    const auto reply = co_await options_.metadata.execute(std::move(command));
    if (!reply.ok()) co_return reply.status().with_context("exchanging extents");
    const proto::SwapReferencesReply& done = reply->swap_references();
    report_.set_moved_bytes(report_.moved_bytes() + done.exchanged_bytes());
    report_.set_lost_extents(report_.lost_extents() + done.lost_extents());
  }
  co_return OkStatus();
}

// A read fails for nothing when the bytes were deleted meanwhile.
Task<void> Repacker::note_unreadable(Pass* pass, const Moved* moved) {
  const StoredRun& run = *moved->run;
  for (std::size_t i = 0; i < run.reference_count; ++i) {
    const PackReference reference = pass->references[run.first_reference + i];
    const Referrer referrer = pass->referrers[reference.referrer];
    const bool there = co_await still_refers(referrer, reference.extent);
    if (!there) continue;
    resting_[run.pack] = options_.executor.now() + kUnreadableRest;
    report_.set_unreadable_extents(report_.unreadable_extents() + 1);
    report_.set_last_error(name_of(referrer) + ": " + moved->bytes.status().to_string());
    if (++pass->unreadable > kNamedUnreadable) continue;
    log_error("repack", "an extent cannot be read and stays where it is",
              {{"of", name_of(referrer)},
               {"file_offset", reference.extent.file_offset},
               {"status", moved->bytes.status()}});
  }
}

Task<bool> Repacker::still_refers(Referrer referrer, Extent extent) {
  std::string cursor;
  do {
    proto::Query query;
    query.mutable_list_references()->add_packs(extent.pack.value());
    query.mutable_list_references()->set_inode(referrer.inode);
    query.mutable_list_references()->set_upload(referrer.upload);
    query.mutable_list_references()->set_cursor(cursor);
    const auto reply = co_await options_.metadata.query(std::move(query));
    if (!reply.ok()) co_return true;
    for (const proto::Reference& reference : reply->list_references().references()) {
      const auto extents = wire::extents_from_proto(reference.extents());
      if (!extents.ok() || reference.part() != referrer.part) continue;
      if (std::find(extents->begin(), extents->end(), extent) != extents->end()) co_return true;
    }
    cursor = reply->list_references().next();
  } while (!cursor.empty());
  co_return false;
}

}  // namespace shoal::client
