#include "tests/sim/nemesis.h"

namespace shoal::sim {

using std::chrono::milliseconds;
using std::chrono::seconds;

Nemesis::Nemesis(SimCluster& cluster, std::uint64_t seed)
    : cluster_(cluster), simulator_(cluster.simulator()), random_(seed) {
  for (int fault = 0; fault < static_cast<int>(Fault::kCount); ++fault) {
    if (random_.below(5) < 2) chosen_.push_back(static_cast<Fault>(fault));
  }
  for (const auto* nodes : {&cluster.clients(), &cluster.workers()})
    for (const auto& node : *nodes) clients_.push_back(node.get());
  pause_ = milliseconds(500 + random_.below(4000));
  if (random_.below(2) == 0) {
    usual_network_.loss_per_mille = random_.below(30);
    usual_network_.duplicate_per_mille = random_.below(30);
    usual_network_.late_per_mille = random_.below(10);
  }
  // As many drives as the code can lose may lose what they hold.
  const std::uint64_t bad = random_.below(cluster.options().code.m + 1ULL);
  for (std::uint64_t i = 0; i < bad; ++i) any_storage().may_lose_data = true;
}

void Nemesis::start() {
  cluster_.network().faults() = usual_network_;
  if (!chosen_.empty()) simulator_.world().post([this] { spawn(run()); });
}

Task<void> Nemesis::run() {
  while (!stopped_) {
    co_await sleep_for(Duration(
        static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(2 * pause_.count())))));
    if (stopped_) break;
    begin(chosen_[random_.below(chosen_.size())]);
  }
}

std::optional<PowerLoss> Nemesis::any_loss() {
  const std::uint64_t kind = random_.below(5);
  if (kind == 4) return std::nullopt;
  return kPowerLosses[kind];
}

StorageNode& Nemesis::any_storage() {
  return *cluster_.storage()[random_.below(cluster_.storage().size())];
}

StorageNode* Nemesis::any_bad_storage() {
  std::vector<StorageNode*> bad;
  for (const auto& node : cluster_.storage())
    if (node->may_lose_data) bad.push_back(node.get());
  return bad.empty() ? nullptr : bad[random_.below(bad.size())];
}

SimHost& Nemesis::any_host() {
  const std::uint64_t chosen = random_.below(1 + cluster_.storage().size() + clients_.size());
  if (chosen == 0) return cluster_.metad_host();
  if (chosen <= cluster_.storage().size()) return cluster_.storage()[chosen - 1]->host;
  return clients_[chosen - 1 - cluster_.storage().size()]->host;
}

// Mostly short; sometimes longer than a session lives.
Duration Nemesis::outage() {
  if (random_.below(8) == 0) return seconds(20 + random_.below(40));
  return milliseconds(5 + random_.below(6000));
}

void Nemesis::kill_storage(StorageNode& node) {
  if (!node.host.up()) return;
  cluster_.kill_storage(node, any_loss());
  spawn(restart_storage_later(&node, outage()));
}

void Nemesis::kill_metad() {
  if (!cluster_.metad_host().up()) return;
  cluster_.kill_metad(any_loss());
  spawn(restart_metad_later(outage()));
}

Task<void> Nemesis::restart_storage_later(StorageNode* node, Duration after) {
  co_await sleep_for(after);
  if (!node->host.up()) cluster_.start_storage(*node);
}
Task<void> Nemesis::restart_metad_later(Duration after) {
  co_await sleep_for(after);
  if (!cluster_.metad_host().up()) cluster_.start_metad();
}
Task<void> Nemesis::restart_client_later(ClientNode* node, Duration after) {
  co_await sleep_for(after);
  if (!node->host.up()) cluster_.start_client(*node);
}

Task<void> Nemesis::mend_disk_later(StorageNode* node, Duration after, bool restart) {
  co_await sleep_for(after);
  if (stopped_) co_return;
  DiskFaults& faults = node->disk->faults();
  const bool lies = faults.lies_about_flushes;
  faults = {};
  faults.lies_about_flushes = lies;
  if (restart) kill_storage(*node);
}

Task<void> Nemesis::mend_network_later(Duration after) {
  co_await sleep_for(after);
  if (stopped_) co_return;
  cluster_.network().heal();
  cluster_.network().faults() = usual_network_;
}

void Nemesis::begin(Fault fault) {
  simulator_.trace("fault", static_cast<std::uint64_t>(fault));
  switch (fault) {
    case Fault::kKillStorage: kill_storage(any_storage()); break;
    case Fault::kKillMetad: kill_metad(); break;
    case Fault::kKillClient: {
      ClientNode& node = *clients_[random_.below(clients_.size())];
      if (!node.host.up()) break;
      cluster_.kill_client(node);
      spawn(restart_client_later(&node, outage()));
      break;
    }
    case Fault::kPowerFailure:
      if (random_.below(2) == 0) kill_metad();
      for (const auto& node : cluster_.storage())
        if (random_.below(2) == 0) kill_storage(*node);
      break;
    case Fault::kCut:
      cluster_.network().cut(any_host(), any_host());
      spawn(mend_network_later(outage()));
      break;
    case Fault::kIsolate: {
      SimHost& alone = any_host();
      SimHost& other = any_host();
      cluster_.network().cut(alone, other);
      cluster_.network().cut(other, alone);
      cluster_.network().cut(alone, cluster_.metad_host());
      cluster_.network().cut(cluster_.metad_host(), alone);
      spawn(mend_network_later(outage()));
      break;
    }
    case Fault::kPause: {
      SimHost& host = any_host();
      if (host.up()) host.executor->pause_until(simulator_.now() + outage());
      break;
    }
    case Fault::kBadNetwork: {
      NetworkFaults& faults = cluster_.network().faults();
      faults.loss_per_mille = random_.below(200);
      faults.duplicate_per_mille = random_.below(200);
      faults.late_per_mille = random_.below(100);
      spawn(mend_network_later(outage()));
      break;
    }
    default: begin_disk_fault(fault);
  }
}

void Nemesis::begin_disk_fault(Fault fault) {
  const bool loses_data = fault == Fault::kRot || fault == Fault::kReadErrors ||
                          fault == Fault::kWriteErrors || fault == Fault::kUnplug;
  StorageNode* const node = loses_data ? any_bad_storage() : &any_storage();
  if (node == nullptr) return;
  DiskFaults& faults = node->disk->faults();
  switch (fault) {
    case Fault::kSlowDisk: faults.max_latency = milliseconds(50 + random_.below(2000)); break;
    case Fault::kHangingDisk: faults.hangs = true; break;
    case Fault::kRot: (void)node->disk->rot(); return;
    case Fault::kReadErrors: faults.read_error_per_mille = 10 + random_.below(300); break;
    case Fault::kWriteErrors: faults.write_error_per_mille = 10 + random_.below(100); break;
    case Fault::kUnplug: faults.unplugged = true; break;
    default: CHECK(false);
  }
  const bool restart = fault == Fault::kHangingDisk || fault == Fault::kWriteErrors;
  spawn(mend_disk_later(node, outage(), restart));
}

}  // namespace shoal::sim
