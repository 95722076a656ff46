// Workload: what a client does, with one invariant that must hold whatever fails. Its ledger of
// what was acknowledged outlives the client, which may be killed at any moment and starts again
// where the ledger says. To add one: derive, list it in workloads.cc and in tests/sim/README.md.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/random.h"
#include "tests/sim/sim_cluster.h"

namespace shoal::sim {

class Workload {
 public:
  // `name` is unique in the run: what it makes is called so.
  Workload(SimCluster& cluster, std::string name, std::uint64_t seed)
      : cluster_(cluster), name_(std::move(name)), random_(seed) {}
  virtual ~Workload() = default;

  // Works until stopping(); in each life of its client anew. May end at any co_await for good.
  virtual Task<void> run(client::ClientStack* client) = 0;
  // The invariant, at rest: every error is a breach.
  virtual Task<void> check(client::ClientStack* client) = 0;

  const std::string& name() const { return name_; }
  void stop() { stopping_ = true; }
  // Operations that were acknowledged.
  std::uint64_t acknowledged() const { return acknowledged_; }
  bool running = false;

 protected:
  bool stopping() const { return stopping_ || !cluster_.failure().empty(); }
  void breach(const std::string& what) { cluster_.fail(name_ + ": " + what); }
  void note_acknowledged(std::string_view what) {
    ++acknowledged_;
    cluster_.simulator().trace(what, acknowledged_);
  }
  // A pause between operations, so that a run has room for faults.
  auto think() {
    const Duration longest = cluster_.options().load.longest_pause;
    return sleep_for(Duration(
        static_cast<std::int64_t>(random_.below(static_cast<std::uint64_t>(longest.count())))));
  }
  // How long a command that was given up may still arrive and be run: past it the outcome stands.
  static constexpr Duration kOutcomeStands = std::chrono::minutes(2);

  SimCluster& cluster_;
  const std::string name_;
  SeededRandom random_;

 private:
  bool stopping_ = false;
  std::uint64_t acknowledged_ = 0;
};

// Bytes that nobody else writes: `size` of them for (seed, version).
Buffer content_of(std::uint64_t seed, std::uint64_t version, std::size_t size);

// A directory under the root, made if it is not there; tries until it has it or `stopping` says no.
Task<std::uint64_t> need_directory(client::ClientStack* client, std::string name);

std::unique_ptr<Workload> make_objects_workload(SimCluster& cluster, std::string name,
                                                std::uint64_t seed);
std::unique_ptr<Workload> make_files_workload(SimCluster& cluster, std::string name,
                                              std::uint64_t seed);
std::unique_ptr<Workload> make_ring_workload(SimCluster& cluster, std::string name,
                                             std::uint64_t seed);
std::unique_ptr<Workload> make_names_workload(SimCluster& cluster, std::string name,
                                              std::uint64_t seed);

// One or two of them for each client, as the seed says, given to the cluster's clients.
std::vector<std::unique_ptr<Workload>> make_workloads(SimCluster& cluster, Random& random);

}  // namespace shoal::sim
