// A ring of names over a ring of files: every step exchanges two names, or moves one to a free name
// and back. Invariant: the names always stand for the same files, each exactly once, and after
// every acknowledged step for exactly those that the steps so far make of it: one that was run
// twice, or not at all, shows at once.
#include <algorithm>
#include <map>

#include "tests/sim/workloads/workload.h"

namespace shoal::sim {
namespace {

constexpr int kNames = 6;

using Ring = std::map<std::string, std::uint64_t>;  // name to inode

class RingWorkload final : public Workload {
 public:
  RingWorkload(SimCluster& cluster, std::string name, std::uint64_t seed)
      : Workload(cluster, std::move(name), seed) {}

  Task<void> run(client::ClientStack* client) override;
  Task<void> check(client::ClientStack* client) override;

 private:
  Task<bool> build(client::ClientStack* client);
  Task<void> step(client::ClientStack* client);
  Task<void> find_out(client::ClientStack* client);
  Task<Result<Ring>> list(client::ClientStack* client);
  static std::string ring_name(std::uint64_t number) { return "seat-" + std::to_string(number); }

  std::uint64_t directory_ = 0;
  Ring ring_;
  Ring maybe_;  // what a step without a known outcome would have made of it
};

Task<bool> RingWorkload::build(client::ClientStack* client) {
  if (directory_ == 0) directory_ = co_await need_directory(client, name_);
  while (ring_.size() < kNames && !stopping()) {
    proto::CreateFile request;
    request.set_parent(directory_);
    request.set_name(ring_name(ring_.size()));
    request.set_type(proto::REGULAR);
    const auto made = co_await client->files().create(std::move(request));
    if (made.ok()) {
      ring_[ring_name(ring_.size())] = made->inode();
    } else {
      co_await sleep_for(std::chrono::milliseconds(300));
    }
  }
  co_return ring_.size() == kNames;
}

Task<Result<Ring>> RingWorkload::list(client::ClientStack* client) {
  const auto page = co_await client->files().read_directory(InodeId(directory_), "", 1000);
  if (!page.ok()) co_return page.status();
  Ring found;
  for (const proto::DirectoryEntry& entry : page->entries())
    found[entry.name()] = entry.attributes().inode();
  co_return found;
}

Task<void> RingWorkload::run(client::ClientStack* client) {
  const bool built = co_await build(client);
  if (!built) co_return;
  while (!stopping()) {
    if (!maybe_.empty()) {
      co_await find_out(client);
    } else {
      co_await step(client);
    }
    co_await think();
  }
}

Task<void> RingWorkload::step(client::ClientStack* client) {
  auto from = ring_.begin();
  std::advance(from, static_cast<std::ptrdiff_t>(random_.below(kNames)));
  auto to = ring_.begin();
  std::advance(to, static_cast<std::ptrdiff_t>(random_.below(kNames)));
  if (from == to) co_return;
  Ring after = ring_;
  proto::RenameFile request;
  request.set_source_parent(directory_);
  request.set_target_parent(directory_);
  request.set_source_name(from->first);
  const bool exchange = random_.below(3) != 0;
  if (exchange) {
    std::swap(after[from->first], after[to->first]);
    request.set_target_name(to->first);
    request.set_exchange(true);
  } else {
    const std::string free = ring_name(kNames + random_.below(1000));
    if (ring_.contains(free)) co_return;
    after[free] = from->second;
    after.erase(from->first);
    request.set_target_name(free);
    request.set_no_replace(true);
  }
  maybe_ = after;
  const Status renamed = co_await client->files().rename(std::move(request));
  if (renamed.ok()) {
    ring_ = std::exchange(maybe_, {});
    note_acknowledged("rename");
  } else if (renamed.code() == StatusCode::kNotFound ||
             renamed.code() == StatusCode::kAlreadyExists) {
    breach("a rename was run twice: " + renamed.to_string());
  }
  if (!renamed.ok() || random_.below(4) != 0) co_return;
  const auto found = co_await list(client);
  if (found.ok() && *found != ring_) breach("the ring is not what the renames made of it");
}

// After the time in which it could still be run, it was or it was not.
Task<void> RingWorkload::find_out(client::ClientStack* client) {
  co_await sleep_for(kOutcomeStands);
  const auto found = co_await list(client);
  if (!found.ok()) co_return;
  if (*found != ring_ && *found != maybe_) breach("the ring is neither as before nor as after");
  ring_ = *found;
  maybe_.clear();
}

Task<void> RingWorkload::check(client::ClientStack* client) {
  if (ring_.size() < kNames) co_return;
  const auto found = co_await list(client);
  if (!found.ok()) {
    breach("listing: " + found.status().to_string());
  } else if (*found != ring_ && (maybe_.empty() || *found != maybe_)) {
    breach("the ring is broken");
  }
}

}  // namespace

std::unique_ptr<Workload> make_ring_workload(SimCluster& cluster, std::string name,
                                             std::uint64_t seed) {
  return std::make_unique<RingWorkload>(cluster, std::move(name), seed);
}

}  // namespace shoal::sim
