#include "tests/sim/ledger.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/crc32c.h"
#include "proto/wire/convert.h"

namespace shoal::sim {
namespace {

using RowKey = std::pair<std::uint64_t, std::uint32_t>;  // pack, row

class LedgerCheck {
 public:
  LedgerCheck(SimCluster& cluster, client::ClientStack& client)
      : cluster_(cluster), client_(client), strict_(cluster.options().membership) {}
  Task<void> run();
  const std::string& first_breach() const { return breach_; }

 private:
  Task<void> walk(InodeId directory);
  Task<void> count_extents(InodeId inode);
  Task<void> list_packs();
  void compare_bytes();
  Task<void> list_drive(StorageNode* node);
  Task<void> check_fragment(StorageNode* node, FragmentInfo info);
  void check_rows();
  void check_dead_packs();
  Task<void> check_held(StorageNode* node, PackId pack, std::vector<FragmentInfo> fragments);
  bool is_excused(const StorageNode& node) const { return node.may_lose_data && !strict_; }
  bool is_workers(std::uint64_t session) const {
    return std::any_of(cluster_.workers().begin(), cluster_.workers().end(), [&](const auto& node) {
      return node->stack != nullptr && node->stack->metadata().session().value() == session;
    });
  }
  bool lives(const RowKey& row) const {
    const auto named = referenced_.find(row);
    return named != referenced_.end() && named->second > 0;
  }
  void breach(const std::string& what) {
    if (breach_.empty()) breach_ = "ledger: " + what;
  }
  MonotonicTime deadline() const { return cluster_.simulator().now() + std::chrono::minutes(1); }

  SimCluster& cluster_;
  client::ClientStack& client_;
  const bool strict_;
  std::string breach_;
  std::set<std::uint64_t> seen_;                           // inodes
  std::map<RowKey, std::uint64_t> referenced_;             // bytes, by the extents
  std::map<std::uint64_t, proto::PackRecord> packs_;       // as metad says
  std::map<RowKey, std::map<int, RowShape>> stored_;       // by column
  std::map<std::uint32_t, std::set<std::uint64_t>> held_;  // packs on each drive
  bool all_drives_serve_ = true;
  std::string states_;  // of the drives, for messages
};

std::string name_of(const RowKey& row) {
  return "row " + std::to_string(row.first) + "/" + std::to_string(row.second);
}

Task<void> LedgerCheck::walk(InodeId directory) {
  std::string marker;
  bool more = true;
  while (more) {
    const auto page = co_await client_.files().read_directory(directory, marker, 500);
    if (!page.ok()) {
      breach("reading directory " + directory.to_string() + ": " + page.status().to_string());
      co_return;
    }
    for (const proto::DirectoryEntry& entry : page->entries()) {
      marker = entry.cookie();
      const InodeId inode(entry.attributes().inode());
      if (!seen_.insert(inode.value()).second) continue;
      if (entry.attributes().type() == proto::DIRECTORY) co_await walk(inode);
      if (entry.attributes().type() == proto::REGULAR) co_await count_extents(inode);
    }
    more = page->more();
  }
}

Task<void> LedgerCheck::count_extents(InodeId inode) {
  std::uint64_t from = 0;
  bool more = true;
  while (more) {
    proto::Query query;
    query.mutable_get_extents()->set_inode(inode.value());
    query.mutable_get_extents()->set_offset(from);
    const auto reply = co_await client_.metadata().query(std::move(query));
    if (!reply.ok()) {
      breach("extents of inode " + inode.to_string() + ": " + reply.status().to_string());
      co_return;
    }
    const auto extents = wire::extents_from_proto(reply->entry().extents());
    if (!extents.ok()) {
      breach("extents of inode " + inode.to_string() + ": " + extents.status().to_string());
      co_return;
    }
    for (const Extent& extent : *extents) {
      referenced_[{extent.pack.value(), extent.row}] += extent.length;
      from = extent.file_end();
    }
    more = reply->entry().more_extents() && !extents->empty();
  }
}

Task<void> LedgerCheck::list_packs() {
  std::uint64_t after = 0;
  bool more = true;
  while (more) {
    proto::Query query;
    query.mutable_list_packs()->set_after(after);
    query.mutable_list_packs()->set_limit(100);
    query.mutable_list_packs()->set_with_rows(true);
    const auto reply = co_await client_.metadata().query(std::move(query));
    if (!reply.ok()) {
      breach("listing packs: " + reply.status().to_string());
      co_return;
    }
    for (const proto::PackRecord& pack : reply->list_packs().packs()) {
      packs_[pack.pack()] = pack;
      after = pack.pack();
    }
    more = reply->list_packs().more();
  }
}

void LedgerCheck::compare_bytes() {
  for (const auto& [row, bytes] : referenced_) {
    const auto pack = packs_.find(row.first);
    const bool there =
        pack != packs_.end() && static_cast<int>(row.second) < pack->second.row_live_bytes_size();
    if (!there) breach(name_of(row) + " is named by extents and unknown");
  }
  for (const auto& [id, pack] : packs_) {
    std::uint64_t sum = 0;
    for (int row = 0; row < pack.row_live_bytes_size(); ++row) {
      const RowKey key{id, static_cast<std::uint32_t>(row)};
      const auto named = referenced_.find(key);
      const std::uint64_t bytes = named == referenced_.end() ? 0 : named->second;
      sum += pack.row_live_bytes(row);
      if (bytes != pack.row_live_bytes(row)) {
        breach(name_of(key) + " has " + std::to_string(pack.row_live_bytes(row)) +
               " live bytes, extents name " + std::to_string(bytes));
      }
    }
    if (sum != pack.live_bytes()) breach("pack " + std::to_string(id) + " does not add up");
  }
}

Task<void> LedgerCheck::check_fragment(StorageNode* node, FragmentInfo info) {
  const RowKey row{info.key.pack.value(), info.key.row};
  stored_[row][info.key.column] = *info.shape;
  // What nothing refers to is not repaired.
  if (is_excused(*node) || (strict_ && !lives(row))) co_return;
  ReadFragmentRequest request;
  request.drive = node->info.id;
  request.key = info.key;
  request.length = info.stored_bytes;
  const auto read = co_await node->server->read_fragment(request, deadline());
  if (!read.ok()) breach("a fragment on " + node->host.name + ": " + read.status().to_string());
  if (info.stored_bytes != info.shape->height(info.key.column))
    breach("a fragment on " + node->host.name + " has another length than its shape says");
}

// On the daemon's executor: what is said of a drive is not to be disturbed by the network.
Task<void> LedgerCheck::list_drive(StorageNode* node) {
  const DriveId id = node->info.id;
  if (!node->server->trouble().ok()) {
    all_drives_serve_ = false;
    if (!is_excused(*node))
      breach(node->host.name + " does not serve: " + node->server->trouble().to_string());
    co_return;
  }
  const auto status = co_await node->server->status(deadline());
  if (status.ok() && !status->empty())
    states_ += id.to_string() + " " + (*status)[0].state + (node->may_lose_data ? " (bad) " : " ");
  const auto packs = co_await node->server->list_packs(id, PackId(0), 1'000'000, deadline());
  if (!packs.ok()) {
    breach("listing " + node->host.name + ": " + packs.status().to_string());
    co_return;
  }
  for (const PackInfo& pack : *packs) {
    held_[id.value()].insert(pack.pack.value());
    const auto fragments = co_await node->server->list_fragments(
        id, pack.pack, 0, 1'000'000, FragmentDetail::kRecord, deadline());
    if (!fragments.ok()) {
      if (!is_excused(*node))
        breach("listing " + node->host.name + ": " + fragments.status().to_string());
      continue;
    }
    co_await check_held(node, pack.pack, *fragments);
  }
}

// A fragment counts where the map names its drive; anywhere else it has no business.
Task<void> LedgerCheck::check_held(StorageNode* node, PackId pack,
                                   std::vector<FragmentInfo> fragments) {
  const auto map = client_.metadata().cluster_map();
  const PlacementGroup* group = map->group(pg_of_pack(pack));
  for (const FragmentInfo& info : fragments) {
    const bool named = group != nullptr && info.key.column < group->drives.size() &&
                       group->drives[info.key.column] == node->info.id;
    // A drive that gave one column of the group away and got another keeps what it had until the
    // pack goes: the collector evicts whole packs.
    const bool left_over = group != nullptr && !named && group->holds(node->info.id);
    if (strict_ && left_over) continue;
    if (strict_ && !named) {
      breach("drive " + node->info.id.to_string() + " holds " + pack.to_string() + "/" +
             std::to_string(info.key.row) + "/" + std::to_string(info.key.column) +
             ", which belongs elsewhere");
    } else {
      co_await check_fragment(node, info);
    }
  }
}

void LedgerCheck::check_rows() {
  const auto map = client_.metadata().cluster_map();
  for (const auto& [row, bytes] : referenced_) {
    const PlacementGroup* group = map->group(pg_of_pack(PackId(row.first)));
    const auto& columns = stored_[row];
    if (bytes == 0) continue;
    if (group == nullptr || columns.empty()) {
      breach(name_of(row) + " has live bytes and no fragment at all");
      continue;
    }
    const RowShape shape = columns.begin()->second;
    for (int column = 0; column < shape.code.width(); ++column) {
      if (shape.height(column) == 0 || columns.contains(column)) continue;
      const DriveId drive = group->drives[static_cast<std::size_t>(column)];
      if (is_excused(*cluster_.storage()[drive.value() - 1])) continue;
      breach(name_of(row) + " lacks column " + std::to_string(column) + " on drive " +
             drive.to_string());
    }
  }
}

void LedgerCheck::check_dead_packs() {
  for (const auto& [id, pack] : packs_) {
    // Workers go on, and may hold packs for what they write next.
    if (pack.state() != proto::PACK_CLOSED && pack.live_bytes() == 0 && is_workers(pack.session()))
      continue;
    if (pack.state() != proto::PACK_CLOSED)
      breach("pack " + std::to_string(id) + " of session " + std::to_string(pack.session()) +
             " is open although no client is there; it has " + std::to_string(pack.live_bytes()) +
             " live bytes");
    // A drive that does not serve keeps its part, and with it the pack, for later.
    if (pack.live_bytes() == 0 && all_drives_serve_) {
      std::string holders;
      for (const auto& [drive, packs] : held_) {
        if (packs.contains(id)) holders += " " + std::to_string(drive);
      }
      breach("pack " + std::to_string(id) + " is dead and was not collected; on drives" + holders +
             "; " + states_);
    }
  }
  for (const auto& [drive, packs] : held_) {
    if (is_excused(*cluster_.storage()[drive - 1])) continue;
    for (const std::uint64_t id : packs) {
      if (!packs_.contains(id))
        breach("drive " + std::to_string(drive) + " holds pack " + std::to_string(id) +
               ", which the metadata does not know");
    }
  }
}

Task<void> LedgerCheck::run() {
  co_await walk(kRootInode);
  co_await list_packs();
  compare_bytes();
  Executor* const home = Executor::current();
  if (strict_) (void)co_await client_.metadata().refresh_cluster_map();
  for (const auto& node : cluster_.storage()) {
    if (node->lost || client_.metadata().cluster_map()->drive(node->info.id) == nullptr) continue;
    co_await hop_to(*node->host.executor);
    co_await list_drive(node.get());
    co_await hop_to(*home);
  }
  check_rows();
  check_dead_packs();
}

}  // namespace

Task<std::string> check_ledger(SimCluster* cluster, client::ClientStack* client) {
  LedgerCheck check(*cluster, *client);
  co_await check.run();
  co_return check.first_breach();
}

}  // namespace shoal::sim
