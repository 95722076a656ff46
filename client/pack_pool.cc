#include "client/pack_pool.h"

#include <algorithm>

#include "base/log.h"

namespace shoal::client {
namespace {

// After a background refill failed or brought nothing, the next one waits: foreground leases do
// not.
constexpr Duration kRefillPause = milliseconds(200);
// A lease that left no healthy pack is not asked for again at once, as long as there are packs at
// all.
constexpr Duration kFruitlessLeasePause = milliseconds(200);
constexpr Duration kReleaseCheckEvery = seconds(1);
// After a lease without an answer: longer than a command stays under way.
constexpr Duration kLostLeasePause = seconds(15);
constexpr std::uint32_t kPacksPerPage = 1000;
// When metad did not take packs back.
constexpr Duration kGiveBackPause = seconds(1);

}  // namespace

bool contains(const DriveSet& drives, DriveId drive) {
  return std::find(drives.begin(), drives.end(), drive) != drives.end();
}

PackPool::PackPool(MetadataClient& metadata, StorageRouter& router, Executor& executor,
                   Random& random, const PackWriterLimits& limits)
    : metadata_(metadata),
      router_(router),
      executor_(executor),
      limits_(limits),
      use_counter_(random.below(1 << 16)) {
  metadata_.on_new_map(listening_, [this] {
    if (!closing_) refresh();
  });
}

void PackPool::refresh() {
  router_.set_map(metadata_.cluster_map());
  const std::uint64_t generation = metadata_.session_generation();
  if (generation != generation_) {
    // metad closed them with the session that held them.
    packs_.clear();
    by_id_.clear();
    to_give_back_.clear();
    generation_ = generation;
  }
  if (map_seen_ != router_.view().epoch() && !closing_) {
    map_seen_ = router_.view().epoch();
    retire_unwanted_packs();
  }
}

bool PackPool::changes(const PlacementGroup& group) const {
  return !group.moves.empty() || router_.view().leaving(group);
}

// A group that changes waits until nobody writes to it, and one that is not preferred is no longer
// written to once others are whole. What is under way there ends as it began.
void PackPool::retire_unwanted_packs() {
  const PlacementView& view = router_.view();
  const auto best = view.best_preference();
  bool any = false;
  for (const OpenPackPtr& pack : packs_) {
    const PlacementGroup* group = view.group(pg_of_pack(pack->id));
    if (group != nullptr && !changes(*group) && group->preference() >= best) continue;
    any = any || !pack->retired;
    retire(*pack);
  }
  if (any) release_unneeded();
}

bool PackPool::current(const OpenPack& pack) const {
  return pack.generation == metadata_.session_generation();
}

bool PackPool::usable(const OpenPack& pack, const DriveSet& avoid, Want want) const {
  if (pack.retired || !current(pack)) return false;
  if (pack.group.code.m < router_.view().required_parity()) return false;
  for (const DriveId drive : pack.group.drives) {
    if (contains(avoid, drive)) return false;
  }
  if (want == Want::kHealthy) return router_.good_for_writing(pack.group);
  if (!router_.view().whole(pack.group)) return false;
  return std::none_of(pack.group.drives.begin(), pack.group.drives.end(),
                      [&](DriveId drive) { return router_.full(drive); });
}

std::uint32_t PackPool::wanted_packs() const {
  const std::size_t groups = std::max<std::size_t>(router_.view().whole_group_count(), 2);
  return static_cast<std::uint32_t>(std::min<std::size_t>(groups, limits_.open_packs));
}

bool PackPool::better(const OpenPack& pack, const OpenPack& than) {
  if (pack.group.preference() != than.group.preference())
    return pack.group.preference() > than.group.preference();
  if (pack.rows_in_flight != than.rows_in_flight) return pack.rows_in_flight < than.rows_in_flight;
  return pack.last_used < than.last_used;
}

OpenPackPtr PackPool::pick(const DriveSet& avoid, Want want) {
  const OpenPackPtr* best = nullptr;
  for (const OpenPackPtr& pack : packs_) {
    // The cheap question first: looking at every drive's health costs more.
    if (best != nullptr && !better(*pack, **best)) continue;
    if (usable(*pack, avoid, want)) best = &pack;
  }
  if (best == nullptr) return nullptr;
  OpenPackPtr picked = *best;
  picked->last_used = ++use_counter_;
  // Others are no stock: they are for when there are none of these.
  const auto open = std::count_if(packs_.begin(), packs_.end(), [&](const OpenPackPtr& pack) {
    return !pack->retired && pack->group.preference() == picked->group.preference();
  });
  if (static_cast<std::uint32_t>(open) * 2 <= wanted_packs() && !leasing_ && !refill_scheduled_ &&
      !closing_ && executor_.now() >= no_refill_before_) {
    refill_scheduled_ = true;
    background_.spawn(lease_in_background());
  }
  return picked;
}

int PackPool::preferred_k() const {
  int k = 0;
  for (const OpenPackPtr& pack : packs_) {
    if (!pack->retired) k = std::max<int>(k, pack->group.code.k);
  }
  return k;
}

Task<void> PackPool::lease_in_background() {
  co_await yield();  // the row that noticed goes first
  const std::size_t before = packs_.size();
  const Status status = co_await lease({});
  refill_scheduled_ = false;
  if (!status.ok() || packs_.size() <= before) no_refill_before_ = executor_.now() + kRefillPause;
}

Task<Status> PackPool::lease(DriveSet avoid) {
  if (leasing_) {
    while (leasing_) co_await leased_.wait();
    co_return OkStatus();
  }
  const MonotonicTime now = executor_.now();
  if (now < no_lease_before_ && preferred_k() > 0) co_return OkStatus();
  if (packs_.size() >= 2 * limits_.max_open_packs) co_return OkStatus();
  leasing_ = true;
  const DriveSet asked = avoid;
  Status status = co_await lease_once(std::move(avoid));
  const bool helped = std::any_of(packs_.begin(), packs_.end(), [&](const OpenPackPtr& pack) {
    return usable(*pack, asked, Want::kHealthy);
  });
  if (!helped) no_lease_before_ = executor_.now() + kFruitlessLeasePause;
  leasing_ = false;
  leased_.notify_all();
  co_return status;
}

Task<Status> PackPool::lease_once(DriveSet avoid) {
  refresh();
  release_unneeded();
  for (const DriveId drive : router_.bad_for_writing()) {
    if (!contains(avoid, drive)) avoid.push_back(drive);
  }
  // Without the bad drives first; when that leaves no group, metad may know better than we do.
  for (int round = 0; round < 2; ++round) {
    const bool avoiding = round == 0;
    if (!avoiding && avoid.empty()) break;
    proto::Command command;
    proto::LeasePacks* request = command.mutable_lease_packs();
    request->set_count(wanted_packs());
    if (avoiding) {
      for (const DriveId drive : avoid) request->add_avoid_drives(drive.value());
    }
    const std::uint64_t generation = metadata_.session_generation();
    Result<proto::CommandReply> reply = co_await metadata_.execute(std::move(command));
    if (!reply.ok()) {
      const StatusCode code = reply.status().code();
      const bool no_answer = code == StatusCode::kDeadlineExceeded ||
                             code == StatusCode::kCancelled || code == StatusCode::kFenced;
      if (no_answer) look_for_lost_leases();
      if (avoiding && !avoid.empty() && !no_answer) continue;
      co_return reply.status().with_context("leasing packs");
    }
    refresh();
    if (metadata_.session_generation() != generation) {
      // The command may have been run under the new session, which has nobody who knows of them.
      for (const proto::PackLease& lease : reply->lease_packs().leases())
        give_back_later(PackId(lease.pack()));
      co_return FencedError("the session changed while packs were being leased");
    }
    // With an older map a row could go to drives that the group no longer is on.
    bool unknown = router_.view().epoch() < reply->lease_packs().map_epoch();
    for (const proto::PackLease& lease : reply->lease_packs().leases()) {
      unknown = unknown || router_.view().group(pg_of_pack(PackId(lease.pack()))) == nullptr;
    }
    if (unknown) {
      const Status refreshed = co_await metadata_.refresh_cluster_map();
      refresh();
      if (!refreshed.ok()) {
        for (const proto::PackLease& lease : reply->lease_packs().leases())
          give_back_later(PackId(lease.pack()));
        co_return refreshed;
      }
    }
    accept(reply->lease_packs(), generation);
    if (reply->lease_packs().leases_size() > 0) break;
  }
  co_return OkStatus();
}

void PackPool::accept(const proto::LeasePacksReply& reply, std::uint64_t generation) {
  if (generation != generation_) return;
  for (const proto::PackLease& lease : reply.leases()) {
    const PackId id(lease.pack());
    const PlacementGroup* group = router_.view().group(pg_of_pack(id));
    if (group == nullptr || router_.view().epoch() < reply.map_epoch()) {
      log_warning("client", "a pack was leased on a placement group that the cluster map lacks",
                  {{"pack", id.value()}, {"map_epoch", router_.view().epoch()}});
      give_back_later(id);
      continue;
    }
    if (by_id_.contains(id)) continue;
    // The map that says so may have come before this answer: then nobody looks for such packs again
    // until the next map, which waits for this one to be given back.
    if (changes(*group)) {
      give_back_later(id);
      continue;
    }
    auto pack = std::make_shared<OpenPack>();
    pack->id = id;
    pack->epoch = lease.epoch();
    pack->generation = generation;
    pack->group = *group;
    pack->last_used = ++use_counter_;
    by_id_.emplace(id, pack);
    packs_.push_back(std::move(pack));
  }
}

void PackPool::row_begun(OpenPack& pack, std::uint64_t data_bytes) {
  pack.data_bytes += data_bytes;
  const bool rows_used_up = pack.next_row == std::uint32_t(-1);
  if (pack.data_bytes >= limits_.pack_bytes_per_column * pack.group.code.k || rows_used_up) {
    retire(pack);
  }
  ++pack.rows_in_flight;
  if (executor_.now() >= next_release_check_) release_unneeded();
  watch_idle_packs();
}

void PackPool::row_ended(OpenPack& pack) {
  if (--pack.rows_in_flight == 0 && pack.retired) release_unneeded();
}

void PackPool::watch_idle_packs() {
  if (idle_timer_.value != 0 || closing_) return;
  idle_mark_ = use_counter_;
  idle_timer_ = executor_.schedule_at(executor_.now() + limits_.idle_pack_grace, [this] {
    idle_timer_ = {};
    retire_idle_packs();
  });
}

void PackPool::retire_idle_packs() {
  bool in_use = false;
  for (const OpenPackPtr& pack : packs_) {
    if (pack->retired || pack->data_bytes == 0) continue;
    if (pack->last_used <= idle_mark_ && pack->rows_in_flight == 0) {
      retire(*pack);
    } else {
      in_use = true;
    }
  }
  release_unneeded();
  if (in_use) watch_idle_packs();
}

void PackPool::retire(OpenPack& pack) {
  if (pack.retired) return;
  pack.retired = true;
  pack.retired_at = executor_.now();
}

void PackPool::settled(std::span<const Extent> extents) {
  bool emptied = false;
  for (const Extent& extent : extents) {
    const auto found = by_id_.find(extent.pack);
    if (found == by_id_.end() || found->second->unsettled_extents == 0) continue;
    --found->second->unsettled_extents;
    emptied = emptied || (found->second->retired && found->second->unsettled_extents == 0);
  }
  if (emptied) release_unneeded();
}

// Gives back retired packs that nothing needs any more, and packs that cannot be written when there
// are too many.
void PackPool::release_unneeded() {
  const MonotonicTime now = executor_.now();
  next_release_check_ = now + kReleaseCheckEvery;
  // What cannot be written because drives are full may hold what was deleted: it has to be closed
  // to be collected.
  for (const OpenPackPtr& pack : packs_) {
    const bool full = std::any_of(pack->group.drives.begin(), pack->group.drives.end(),
                                  [&](DriveId drive) { return router_.full(drive); });
    if (full && pack->data_bytes > 0) retire(*pack);
  }
  std::size_t surplus =
      packs_.size() > limits_.max_open_packs ? packs_.size() - limits_.max_open_packs : 0;
  for (std::size_t i = 0; i < packs_.size() && surplus > 0; ++i) {
    if (packs_[i]->retired || router_.good_for_writing(packs_[i]->group)) continue;
    retire(*packs_[i]);
    --surplus;
  }
  std::erase_if(packs_, [&](const OpenPackPtr& pack) {
    if (!pack->retired || pack->rows_in_flight > 0) return false;
    const bool settled = pack->unsettled_extents == 0;
    if (!settled && now - pack->retired_at < limits_.retired_pack_grace) return false;
    by_id_.erase(pack->id);
    give_back_later(pack->id);
    return true;
  });
}

void PackPool::give_back_later(PackId pack) {
  to_give_back_.push_back(pack);
  start_giving_back();
}

void PackPool::start_giving_back() {
  if (giving_back_ || closing_ || give_back_timer_.value != 0) return;
  giving_back_ = true;
  background_.spawn(give_back());
}

Task<void> PackPool::give_back() {
  co_await yield();  // so that several go in one command
  while (!to_give_back_.empty()) {
    const std::vector<PackId> packs = std::exchange(to_give_back_, {});
    const std::uint64_t generation = generation_;
    proto::Command command;
    for (const PackId pack : packs) command.mutable_close_pack()->add_packs(pack.value());
    Result<proto::CommandReply> reply = co_await metadata_.execute(std::move(command));
    if (!reply.ok()) {
      log_warning("client", "packs could not be given back", {{"status", reply.status()}});
      // An open pack keeps its group's moves from ending, and metad closes it by itself only with
      // the session: so again, until metad answers. To close one twice does no harm.
      if (generation == metadata_.session_generation()) {
        to_give_back_.insert(to_give_back_.end(), packs.begin(), packs.end());
      }
      give_back_after_pause();
      break;
    }
  }
  giving_back_ = false;
}

void PackPool::give_back_after_pause() {
  if (closing_) return;
  give_back_timer_ = executor_.schedule_at(executor_.now() + kGiveBackPause, [this] {
    give_back_timer_ = {};
    refresh();
    if (!to_give_back_.empty()) start_giving_back();
  });
}

// A lease without an answer may have been given all the same: open packs that nobody knows of,
// which keep their groups from moving for as long as the session lives.
void PackPool::look_for_lost_leases() {
  if (closing_ || lost_leases_timer_.value != 0) return;
  lost_leases_timer_ = executor_.schedule_at(
      executor_.now() + kLostLeasePause, [this] { background_.spawn(give_back_lost_leases()); });
}

Task<void> PackPool::give_back_lost_leases() {
  refresh();
  const std::uint64_t generation = generation_;
  std::vector<PackId> held;  // by this session, as metad says
  Status listed;
  std::uint64_t after = 0;
  for (bool more = true; more && !closing_;) {
    proto::Query query;
    query.mutable_list_packs()->set_after(after);
    query.mutable_list_packs()->set_limit(kPacksPerPage);
    auto reply = co_await metadata_.query(std::move(query));
    listed = reply.status();
    if (!listed.ok()) break;
    more = reply->list_packs().more() && reply->list_packs().packs_size() > 0;
    for (const proto::PackRecord& pack : reply->list_packs().packs()) {
      after = pack.pack();
      if (pack.state() == proto::PACK_OPEN && pack.session() == metadata_.session().value())
        held.emplace_back(pack.pack());
    }
  }
  // What was leased while the list was made is known once no lease is under way.
  while (leasing_) co_await leased_.wait();
  refresh();
  lost_leases_timer_ = {};
  if (closing_ || generation != generation_) co_return;
  for (const PackId pack : held)
    if (!by_id_.contains(pack)) give_back_later(pack);
  if (!listed.ok()) look_for_lost_leases();
}

std::string PackPool::describe_trouble() const {
  const PlacementView& view = router_.view();
  if (view.map() == nullptr || view.map()->drives.empty()) return "the cluster map has no drives";
  if (view.map()->groups.empty()) return "the cluster map has no placement groups";
  std::string text;
  for (const DriveInfo& drive : view.map()->drives) {
    std::string_view why;
    if (drive.state != DriveState::kUp) {
      why = " is not up";
    } else if (router_.full(drive.id)) {
      why = " is full";
    } else if (router_.penalised(drive.id, IoKind::kWrite)) {
      why = " failed or was slow just now";
    } else {
      continue;
    }
    if (!text.empty()) text += ", ";
    text.append(view.describe(drive.id)).append(why);
  }
  return text.empty() ? "metad leased no pack on a whole placement group" : text;
}

bool PackPool::only_full_drives() const {
  const PlacementView& view = router_.view();
  if (view.map() == nullptr) return false;
  bool any_full = false;
  for (const PlacementGroup& group : view.map()->groups) {
    if (!view.whole(group) || group.code.m < view.required_parity()) continue;
    bool full = false;
    for (const DriveId drive : group.drives) full = full || router_.full(drive);
    if (!full) return false;
    any_full = true;
  }
  return any_full;
}

Task<Status> PackPool::close() {
  closing_ = true;
  executor_.cancel(std::exchange(idle_timer_, {}));
  executor_.cancel(std::exchange(give_back_timer_, {}));
  executor_.cancel(std::exchange(lost_leases_timer_, {}));
  co_await background_.join();
  while (leasing_) co_await leased_.wait();
  refresh();
  std::vector<PackId> all = std::exchange(to_give_back_, {});
  for (const OpenPackPtr& pack : packs_) all.push_back(pack->id);
  packs_.clear();
  by_id_.clear();
  if (all.empty()) co_return OkStatus();
  proto::Command command;
  for (const PackId pack : all) command.mutable_close_pack()->add_packs(pack.value());
  Result<proto::CommandReply> reply = co_await metadata_.execute(std::move(command));
  // A session that is gone has taken its packs with it.
  if (!reply.ok() && reply.status().code() != StatusCode::kFenced)
    co_return reply.status().with_context("giving packs back");
  co_return OkStatus();
}

}  // namespace shoal::client
