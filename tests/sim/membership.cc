#include "tests/sim/membership.h"

#include <algorithm>

namespace shoal::sim {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr std::size_t kMostDrives = 11;
constexpr Duration kWatchInterval = milliseconds(20);
constexpr int kTries = 100;

std::string states_of(const ClusterMap& map) {
  std::string text = "epoch " + std::to_string(map.epoch);
  for (const DriveInfo& drive : map.drives)
    text += ", " + drive.id.to_string() + " " + std::string(to_string(drive.state));
  return text;
}

// Drives that are down, or given up and not yet made good elsewhere.
std::size_t count_missed(const ClusterMap& map) {
  std::size_t count = 0;
  for (const DriveInfo& drive : map.drives) {
    const bool needed =
        std::any_of(map.groups.begin(), map.groups.end(),
                    [&](const PlacementGroup& group) { return group.holds(drive.id); });
    if (drive.state == DriveState::kDown || (drive.state == DriveState::kOut && needed)) ++count;
  }
  return count;
}

}  // namespace

Membership::Membership(SimCluster& cluster, std::uint64_t seed)
    : cluster_(cluster), simulator_(cluster.simulator()), random_(seed) {
  for (int event = 0; event < static_cast<int>(Event::kCount); ++event) {
    if (random_.below(3) < 2) chosen_.push_back(static_cast<Event>(event));
  }
  pause_ = milliseconds(1000 + random_.below(10'000));
  cluster_.operations().on_start = [this](client::ClientStack* client) { spawn(run(client)); };
}

void Membership::start() {
  simulator_.world().post([this] { spawn(watch()); });
}

Task<void> Membership::run(client::ClientStack* client) {
  client_ = client;
  while (!stopped_ && !chosen_.empty()) {
    co_await sleep_for(Duration(
        static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(2 * pause_.count())))));
    if (stopped_) break;
    const Event event = chosen_[random_.below(chosen_.size())];
    co_await begin(event);
  }
}

bool Membership::takes_part(const StorageNode& node) const {
  const auto& groups = map().groups;
  return std::any_of(groups.begin(), groups.end(), [&](const PlacementGroup& group) {
    return group.holds(node.info.id) || group.expects(node.info.id);
  });
}

// What it holds, or is about to hold, may be missing or out of reach for repair.
bool Membership::is_hurt(const StorageNode& node) const {
  const DriveInfo* known = info(node);
  if (known == nullptr) return false;
  if (known->state == DriveState::kOut) return takes_part(node);
  return node.lost || node.may_lose_data;
}

std::size_t Membership::count_hurt_with(const StorageNode* more) const {
  std::size_t count = 0;
  for (const auto& node : cluster_.storage())
    if (node.get() == more || is_hurt(*node)) ++count;
  return count;
}

std::size_t Membership::count_up() const {
  std::size_t count = 0;
  for (const DriveInfo& drive : map().drives) {
    const bool there = !cluster_.storage()[drive.id.value() - 1]->lost;
    if (there && (drive.state == DriveState::kUp || drive.state == DriveState::kDown)) ++count;
  }
  return count;
}

StorageNode* Membership::pick(const std::function<bool(const StorageNode&)>& fits) {
  std::vector<StorageNode*> fitting;
  for (const auto& node : cluster_.storage())
    if (info(*node) != nullptr && fits(*node)) fitting.push_back(node.get());
  return fitting.empty() ? nullptr : fitting[random_.below(fitting.size())];
}

std::vector<StorageNode*> Membership::spare_drives(std::size_t at_most) {
  std::vector<StorageNode*> chosen;
  for (std::size_t i = 0; i < at_most; ++i) {
    StorageNode* const node = pick([&](const StorageNode& candidate) {
      return !candidate.lost && info(candidate)->state == DriveState::kUp &&
             std::find(chosen.begin(), chosen.end(), &candidate) == chosen.end();
    });
    if (node != nullptr) chosen.push_back(node);
  }
  return chosen;
}

Task<Status> Membership::change(proto::ChangeCluster change) {
  simulator_.trace("change", static_cast<std::uint64_t>(change.change_case()));
  proto::Command command;
  *command.mutable_change_cluster() = std::move(change);
  const auto reply = co_await client_->metadata().execute(std::move(command));
  co_return reply.status();
}

Task<Status> Membership::set_state(StorageNode* node, DriveState state) {
  if (state == DriveState::kOut) declared_.insert(node->info.id);
  proto::ChangeCluster op;
  op.mutable_set_drive_state()->set_drive(node->info.id.value());
  op.mutable_set_drive_state()->set_state(static_cast<std::uint32_t>(state));
  simulator_.trace("set drive state", node->info.id.value(), static_cast<std::uint64_t>(state));
  const Status done = co_await change(std::move(op));
  if (done.ok() && state == DriveState::kUp) declared_.erase(node->info.id);
  co_return done;
}

Task<void> Membership::set_state_surely(StorageNode* node, DriveState state) {
  for (int i = 0; i < kTries; ++i) {
    const Status done = co_await set_state(node, state);
    if (done.ok() || done.code() == StatusCode::kNotFound) co_return;
    co_await sleep_for(seconds(1));
  }
  breach("the state of drive " + node->info.id.to_string() + " cannot be changed");
}

Task<void> Membership::add_drive() {
  StorageNode& node = cluster_.make_drive();
  cluster_.start_storage(node);
  node.joined = true;
  simulator_.trace("add drive", node.info.id.value());
  proto::ChangeCluster op;
  proto::DriveProto* drive = op.mutable_add_drive();
  drive->set_id(node.info.id.value());
  drive->set_node(node.info.node.value());
  drive->set_uuid(node.info.uuid);
  drive->set_address(node.info.address);
  drive->set_host(node.info.host);
  drive->set_rack(node.info.rack);
  // An unknown outcome is fine: the next start of metad finds it in the configuration.
  (void)co_await change(std::move(op));
}

Task<void> Membership::forget(StorageNode* node) {
  proto::ChangeCluster op;
  op.mutable_forget_drive()->set_drive(node->info.id.value());
  (void)co_await change(std::move(op));  // refused as long as it is needed
}

Task<void> Membership::declare_later(StorageNode* node, Duration after) {
  co_await sleep_for(after);
  if (!stopped_) (void)co_await set_state(node, DriveState::kOut);
}

Task<void> Membership::begin(Event event) {
  const std::size_t m = cluster_.options().code.m;
  const auto width = static_cast<std::size_t>(cluster_.options().code.width());
  const auto state_is = [&](const StorageNode& node, DriveState state) {
    return info(node)->state == state;
  };
  StorageNode* node = nullptr;
  switch (event) {
    case Event::kLose:
      node = pick([&](const StorageNode& one) { return !one.lost && count_hurt_with(&one) <= m; });
      if (node == nullptr) break;
      simulator_.trace("lose drive", node->info.id.value());
      cluster_.lose_drive(*node);
      if (random_.below(2) == 0) spawn(declare_later(node, milliseconds(random_.below(20'000))));
      break;
    case Event::kGiveUp:
      node = pick([&](const StorageNode& one) {
        return !state_is(one, DriveState::kOut) && count_hurt_with(&one) <= m;
      });
      if (node != nullptr) (void)co_await set_state(node, DriveState::kOut);
      break;
    case Event::kTakeBack:
      node = pick([&](const StorageNode& one) {
        return !one.lost &&
               (state_is(one, DriveState::kOut) || state_is(one, DriveState::kDraining));
      });
      if (node != nullptr) (void)co_await set_state(node, DriveState::kUp);
      break;
    case Event::kDrain:
      if (count_up() <= width) break;
      node = pick([&](const StorageNode& one) { return state_is(one, DriveState::kUp); });
      if (node != nullptr) (void)co_await set_state(node, DriveState::kDraining);
      break;
    case Event::kAdd:
      if (cluster_.storage().size() < kMostDrives) co_await add_drive();
      break;
    case Event::kForget:
      node = pick([&](const StorageNode& one) {
        return state_is(one, DriveState::kOut) || state_is(one, DriveState::kDraining);
      });
      if (node != nullptr) co_await forget(node);
      break;
    case Event::kCount: break;
  }
}

// Everything that is there is up and well. Whatever the code bears is then left to repair; what is
// more than that, people bring back.
Task<void> Membership::settle() {
  const std::size_t m = cluster_.options().code.m;
  const auto width = static_cast<std::size_t>(cluster_.options().code.width());
  co_await sleep_for(seconds(5));
  for (std::size_t i = 0; i < cluster_.storage().size(); ++i) {
    StorageNode* const node = cluster_.storage()[i].get();
    const bool is_known = info(*node) != nullptr;
    if (is_known && node->lost && info(*node)->state != DriveState::kOut)
      co_await set_state_surely(node, DriveState::kOut);
  }
  const bool too_many = count_hurt_with(nullptr) > m;
  for (std::size_t i = 0; i < cluster_.storage().size(); ++i) {
    StorageNode* const node = cluster_.storage()[i].get();
    const bool away =
        info(*node) != nullptr && !node->lost &&
        (info(*node)->state == DriveState::kOut || info(*node)->state == DriveState::kDraining);
    if (away && (too_many || random_.below(2) == 0))
      co_await set_state_surely(node, DriveState::kUp);
  }
  for (int i = 0; i < kTries && count_up() < width; ++i) co_await add_drive();
  for (const auto& node : cluster_.storage()) {
    if (node->server == nullptr) continue;
    StorageApi* const storage = cluster_.link_to_drive(cluster_.operations().host, node->info.id);
    (void)co_await storage->scrub(node->info.id, ScrubAction::kStart, 1 << 30,
                                  simulator_.now() + seconds(30));
  }
}

// Which keep the group from moving, for messages.
std::string Membership::open_packs(PgId group) const {
  proto::Query query;
  query.mutable_list_packs()->set_after(make_pack_id(group, 0).value() - 1);
  query.mutable_list_packs()->set_limit(10'000);
  proto::QueryReply reply;
  cluster_.machine()->query(query, &reply);
  std::string text;
  for (const proto::PackRecord& pack : reply.list_packs().packs()) {
    if (pg_of_pack(PackId(pack.pack())) != group || pack.state() == proto::PACK_CLOSED) continue;
    text += ", pack " + std::to_string(pack.pack()) + " open in session " +
            std::to_string(pack.session()) + " with " + std::to_string(pack.live_bytes()) + "/" +
            std::to_string(pack.committed_bytes()) + " bytes";
  }
  return text;
}

bool Membership::is_settled() const { return describe().empty(); }

std::string Membership::describe() const {
  std::string text;
  for (const PlacementGroup& group : map().groups) {
    for (std::size_t c = 0; c < group.drives.size(); ++c) {
      const DriveInfo* drive = map().drive(group.drives[c]);
      const auto move = std::find_if(group.moves.begin(), group.moves.end(),
                                     [&](const ColumnMove& one) { return one.column == c; });
      const bool moves = move != group.moves.end();
      if (!moves && drive != nullptr && drive->state == DriveState::kUp) continue;
      text += " group " + group.id.to_string() + " column " + std::to_string(c) + " on drive " +
              group.drives[c].to_string() + " (" +
              std::string(drive == nullptr ? "unknown" : to_string(drive->state)) + ")";
      if (moves) text += " to " + move->to.to_string();
      text += open_packs(group.id) + ";";
    }
  }
  return text;
}

// --- what must hold whenever the map changes

Task<void> Membership::watch() {
  ClusterMap before;
  while (cluster_.failure().empty()) {
    co_await sleep_for(kWatchInterval);
    if (cluster_.machine() == nullptr || map().epoch == before.epoch) continue;
    if (map().epoch < before.epoch) breach("the cluster map went back in time");
    if (before.epoch > 0) compare(before, map());
    check_groups(map());
    before = map();
    simulator_.trace(states_of(before));
  }
}

void Membership::compare(const ClusterMap& before, const ClusterMap& now) {
  check_given_up(before, now);
  for (const PlacementGroup& group : now.groups) {
    const PlacementGroup* old = before.group(group.id);
    if (old == nullptr) continue;
    if (!(old->code == group.code)) breach("the code of a placement group has changed");
    for (std::size_t c = 0; c < group.drives.size(); ++c) {
      if (old->drives[c] == group.drives[c]) continue;
      StorageNode* const node = cluster_.storage()[group.drives[c].value() - 1].get();
      simulator_.trace("column moved", group.id.value(), c);
      spawn(check_finished(group.id, static_cast<std::uint8_t>(c), node));
    }
  }
}

// Two columns of a group on one drive would be lost with it.
void Membership::check_groups(const ClusterMap& now) {
  for (const PlacementGroup& group : now.groups) {
    const std::set<DriveId> drives(group.drives.begin(), group.drives.end());
    if (drives.size() != group.drives.size())
      breach("two columns of placement group " + group.id.to_string() + " are on one drive");
  }
}

void Membership::check_given_up(const ClusterMap& before, const ClusterMap& now) {
  const std::size_t m = cluster_.options().code.m;
  if (now.epoch != before.epoch + 1) return;  // what was between them is not known
  for (const DriveInfo& drive : now.drives) {
    const DriveInfo* old = before.drive(drive.id);
    const bool given_up = drive.state == DriveState::kOut &&
                          (old == nullptr || old->state != DriveState::kOut) &&
                          !declared_.contains(drive.id);
    if (given_up && count_missed(before) > m && count_missed(now) > m)
      breach("drive " + drive.id.to_string() + " was given up although " +
             std::to_string(count_missed(before)) + " are missed: " + states_of(before) +
             "; then " + states_of(now));
  }
}

std::vector<std::uint32_t> Membership::living_rows(PackId pack) const {
  std::vector<std::uint32_t> rows;
  const auto record = cluster_.pack_record(pack);
  for (int row = 0; record.ok() && row < record->row_live_bytes_size(); ++row)
    if (record->row_live_bytes(row) > 0) rows.push_back(static_cast<std::uint32_t>(row));
  return rows;
}

// Whether the row lives and has something in the column, as another drive's shape of it says.
Task<bool> Membership::lacks(PackId pack, std::uint32_t row, std::uint8_t column) {
  const PlacementGroup* group = map().group(pg_of_pack(pack));
  const std::vector<DriveId> drives = group == nullptr ? std::vector<DriveId>() : group->drives;
  bool has_something = false;
  for (const DriveId id : drives) {
    StorageNode* const node = cluster_.storage()[id.value() - 1].get();
    if (has_something || node->server == nullptr || !node->host.up()) continue;
    co_await hop_to(*node->host.executor);
    const auto shape =
        co_await node->server->row_shape(id, pack, row, simulator_.now() + seconds(60));
    co_await hop_to(simulator_.world());
    has_something = shape.ok() && shape->height(column) > 0;
  }
  const std::vector<std::uint32_t> living = living_rows(pack);
  co_return has_something&& std::find(living.begin(), living.end(), row) != living.end();
}

// Every row that lives has its fragment where the move has ended. The rows may die meanwhile, and
// the drive too: then there is nothing to say.
Task<void> Membership::check_finished(PgId group, std::uint8_t column, StorageNode* node) {
  const auto is_there = [this, group, column, node] {
    const PlacementGroup* now = map().group(group);
    return now != nullptr && now->drives[column] == node->info.id && node->server != nullptr &&
           !node->lost && !node->may_lose_data;
  };
  proto::Query query;
  query.mutable_list_packs()->set_after(make_pack_id(group, 0).value() - 1);
  query.mutable_list_packs()->set_limit(10'000);
  proto::QueryReply reply;
  cluster_.machine()->query(query, &reply);
  for (const proto::PackRecord& record : reply.list_packs().packs()) {
    const PackId pack(record.pack());
    if (pg_of_pack(pack) != group || !is_there()) co_return;
    if (record.live_bytes() == 0) continue;
    std::set<std::uint32_t> held;
    const std::uint64_t life = node->host.lives;
    if (!node->host.up()) co_return;
    co_await hop_to(*node->host.executor);
    const auto fragments = co_await node->server->list_fragments(
        node->info.id, pack, 0, 1'000'000, FragmentDetail::kRecord, simulator_.now() + seconds(60));
    co_await hop_to(simulator_.world());
    if (!fragments.ok() || life != node->host.lives) co_return;
    for (const FragmentInfo& fragment : *fragments)
      if (fragment.key.column == column) held.insert(fragment.key.row);
    const std::vector<std::uint32_t> living = living_rows(pack);
    for (const std::uint32_t row : living) {
      if (held.contains(row)) continue;
      const bool missing = co_await lacks(pack, row, column);
      if (missing && is_there())
        breach("column " + std::to_string(column) + " of placement group " + group.to_string() +
               " has moved to drive " + node->info.id.to_string() + ", which lacks row " +
               pack.to_string() + "/" + std::to_string(row));
    }
  }
}

}  // namespace shoal::sim
