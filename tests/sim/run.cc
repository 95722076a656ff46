#include "tests/sim/run.h"

#include "tests/sim/ledger.h"
#include "tests/sim/membership.h"
#include "tests/sim/nemesis.h"
#include "tests/sim/workloads/workload.h"

namespace shoal::sim {
namespace {

using std::chrono::minutes;
using std::chrono::seconds;

// Longer than a session lives, and than the collector needs for what it left.
constexpr Duration kCollectorPatience = minutes(3);
constexpr Duration kRestPatience = minutes(20);
// In which repair ends once nothing fails any more, and every row is whole.
constexpr Duration kRepairPatience = minutes(20);
constexpr Duration kAuditInterval = seconds(20);
constexpr std::uint64_t kMaxSteps = 20'000'000;

class Run {
 public:
  explicit Run(const RunOptions& options)
      : simulator_(options.seed), random_(options.seed ^ 0x5bd1e995) {
    simulator_.print_trace(options.print_trace);
    ClusterOptions cluster;
    cluster.canary = options.canary;
    if (options.quick) cluster.load = kQuickLoad;
    cluster.drives = static_cast<int>(4 + random_.below(3));
    cluster.clients = static_cast<int>(1 + random_.below(3));
    if (cluster.drives >= 6 && random_.below(2) == 0) cluster.code = {3, 2, MatrixId::kCauchy};
    if (random_.below(4) == 0) cluster.drive_bytes = 5 << 20;  // it fills up
    if (options.membership) choose_membership(&cluster);
    cluster_ = std::make_unique<SimCluster>(simulator_, cluster);
    nemesis_ = std::make_unique<Nemesis>(*cluster_, random_.next());
    if (options.membership) membership_ = std::make_unique<Membership>(*cluster_, random_.next());
  }
  RunResult run();

 private:
  void choose_membership(ClusterOptions* cluster);
  void settle_membership();
  void wait_for_repair();
  void audit(client::ClientStack* checker);
  void lose_as_many_as_it_bears(client::ClientStack* checker);
  void work();
  void come_to_rest();
  void check();
  std::uint64_t dead_packs();
  void wait_for_collector();
  void close_clients();
  void check_workloads(client::ClientStack* checker);
  template <typename Done>
  bool wait(Done done, Duration patience) {
    return simulator_.run_until(
        [&] { return done() || !cluster_->failure().empty() || simulator_.steps() > kMaxSteps; },
        simulator_.now() + patience);
  }
  // A step of the checks, on the checker's executor.
  void run_check(Task<void> task) { run_check(cluster_->checker_executor(), std::move(task)); }
  void run_check(SimExecutor& executor, Task<void> task);

  Simulator simulator_;
  SeededRandom random_;
  std::unique_ptr<SimCluster> cluster_;
  std::unique_ptr<Nemesis> nemesis_;
  std::unique_ptr<Membership> membership_;  // null: the drives stay what they are
  std::vector<std::unique_ptr<Workload>> workloads_;
};

void Run::choose_membership(ClusterOptions* cluster) {
  cluster->membership = true;
  cluster->workers = static_cast<int>(1 + random_.below(2));
  cluster->segment_bytes = 1280 << 10;  // repack fills whole columns
  cluster->drive_bytes = 32 * cluster->segment_bytes;
  cluster->load.least_seconds *= 2;
  cluster->load.more_seconds *= 2;
  cluster->monitor.down_after = seconds(2 + random_.below(8));
  cluster->monitor.out_after = seconds(5 + random_.below(60));
}

void Run::work() {
  workloads_ = make_workloads(*cluster_, random_);
  const Status started = cluster_->start();
  if (!started.ok()) {
    cluster_->fail("start: " + started.to_string());
    return;
  }
  nemesis_->start();
  if (membership_ != nullptr) membership_->start();
  const Load& load = cluster_->options().load;
  (void)wait([] { return false; }, seconds(load.least_seconds + random_.below(load.more_seconds)));
}

void Run::come_to_rest() {
  nemesis_->stop();
  if (membership_ != nullptr) membership_->stop();
  if (!cluster_->heal()) {
    cluster_->fail("the cluster does not come up again");
    return;
  }
  for (const auto& workload : workloads_) workload->stop();
  const auto all_ended = [&] {
    for (const auto& node : cluster_->clients())
      if (node->stack == nullptr) return false;
    for (const auto& workload : workloads_)
      if (workload->running) return false;
    return true;
  };
  if (!wait(all_ended, kRestPatience) || !all_ended()) {
    std::string who;
    for (const auto& workload : workloads_)
      if (workload->running) who += " " + workload->name();
    cluster_->fail("it does not come to rest:" + who);
  }
}

Task<void> mark_end(Task<void> task, std::shared_ptr<bool> ended) {
  co_await std::move(task);
  *ended = true;
}

Task<void> close_client(SimCluster* cluster, ClientNode* node) {
  const Status closed = co_await node->stack->close();
  if (!closed.ok()) cluster->fail("closing " + node->host.name + ": " + closed.to_string());
}

void Run::run_check(SimExecutor& executor, Task<void> task) {
  const auto ended = std::make_shared<bool>(false);
  executor.post(
      [task = std::move(task), ended]() mutable { spawn(mark_end(std::move(task), ended)); });
  if (!wait([&] { return *ended; }, kRestPatience)) cluster_->fail("a check does not end");
}

std::uint64_t Run::dead_packs() {
  std::uint64_t dead = 0;
  std::uint64_t after = 0;
  bool more = cluster_->metadata() != nullptr;
  while (more) {
    proto::Query query;
    query.mutable_list_packs()->set_after(after);
    query.mutable_list_packs()->set_limit(1000);
    proto::QueryReply reply;
    cluster_->metadata()->machine().query(query, &reply);
    more = reply.list_packs().more();
    for (const proto::PackRecord& pack : reply.list_packs().packs()) {
      after = pack.pack();
      if (pack.live_bytes() == 0) ++dead;
    }
  }
  return dead;
}

// As long as there are fewer dead packs each time.
void Run::wait_for_collector() {
  std::uint64_t before = 0;
  std::uint64_t now = dead_packs();
  do {
    before = now;
    (void)wait([] { return false; }, kCollectorPatience);
    now = dead_packs();
  } while (now > 0 && now < before && cluster_->failure().empty());
}

void Run::close_clients() {
  for (const auto& node : cluster_->clients()) {
    if (!cluster_->failure().empty()) return;
    run_check(*node->host.executor, close_client(cluster_.get(), node.get()));
  }
}

void Run::check_workloads(client::ClientStack* checker) {
  for (const auto& workload : workloads_) {
    if (!cluster_->failure().empty()) return;
    run_check(workload->check(checker));
  }
}

void Run::settle_membership() {
  if (!cluster_->failure().empty()) return;
  run_check(*cluster_->operations().host.executor, membership_->settle());
}

void Run::wait_for_repair() {
  if (!cluster_->failure().empty()) return;
  (void)wait([&] { return membership_->is_settled(); }, kRepairPatience);
  if (!membership_->is_settled()) cluster_->fail("repair does not end:" + membership_->describe());
}

namespace {
Task<void> audit_once(SimCluster* cluster, client::ClientStack* checker,
                      std::shared_ptr<std::string> breach) {
  *breach = co_await check_ledger(cluster, checker);
}
}  // namespace

// Without membership nothing is under way any more: the first look counts. With it repair may still
// find something, but not for long.
void Run::audit(client::ClientStack* checker) {
  const auto breach = std::make_shared<std::string>();
  const MonotonicTime begin = simulator_.now();
  do {
    if (!cluster_->failure().empty()) return;
    run_check(audit_once(cluster_.get(), checker, breach));
    if (breach->empty()) return;
    simulator_.trace("not yet whole: " + *breach);
    if (membership_ != nullptr) (void)wait([] { return false; }, kAuditInterval);
  } while (membership_ != nullptr && simulator_.now() - begin < kRepairPatience);
  cluster_->fail(*breach);
}

// What was restored is worth something only if it gives the bytes when it is all that is left.
void Run::lose_as_many_as_it_bears(client::ClientStack* checker) {
  if (!cluster_->failure().empty()) return;
  for (StorageNode* const node : membership_->spare_drives(cluster_->options().code.m)) {
    simulator_.trace("lose drive at the end", node->info.id.value());
    cluster_->lose_drive(*node);
  }
  check_workloads(checker);
}

void Run::check() {
  client::ClientStack* const checker = cluster_->open_checker();
  if (checker == nullptr) return;
  if (membership_ != nullptr) {
    settle_membership();
    wait_for_repair();
  }
  check_workloads(checker);
  close_clients();
  wait_for_collector();
  audit(checker);
  check_workloads(checker);
  if (membership_ != nullptr) lose_as_many_as_it_bears(checker);
}

RunResult Run::run() {
  work();
  if (cluster_->failure().empty()) come_to_rest();
  if (cluster_->failure().empty()) check();
  if (simulator_.steps() > kMaxSteps) cluster_->fail("it goes in circles");
  RunResult result;
  result.failure = cluster_->failure();
  result.trace_hash = simulator_.trace_hash();
  result.steps = simulator_.steps();
  for (const auto& workload : workloads_) result.acknowledged += workload->acknowledged();
  result.virtual_seconds = static_cast<double>(simulator_.now().time_since_epoch().count()) / 1e9;
  return result;
}

}  // namespace

RunResult run_seed(const RunOptions& options) {
  // Left as it is at its end, like the processes in it.
  Run* const run = new Run(options);
  return run->run();
}

}  // namespace shoal::sim
