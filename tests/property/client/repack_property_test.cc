// Files and objects are written, cut, cloned, copied and deleted at random while repack runs beside
// them, is stopped, and dead packs are collected: every body is what the model says, at every
// moment and at the end, and no tag of a file changes by itself. SHOAL_PROPERTY_SEED replays one
// run.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/machine_cluster.h"

namespace shoal::client {
namespace {

using test::MachineCluster;

constexpr std::uint64_t kNames = 12;

struct World {
  explicit World(std::uint64_t seed) : random(seed), cluster(make_map(random)) {
    for (std::uint32_t d = 0; d < 8; ++d) {
      cluster.storage.faults(DriveId(d)).read_delay = std::chrono::microseconds(300);
      cluster.storage.faults(DriveId(d)).write_delay = std::chrono::microseconds(700);
    }
  }
  static ClusterMap make_map(Random& random) {
    static constexpr CodeShape kCodes[] = {{4, 2}, {2, 1}, {3, 2}};
    return test::make_cluster_map(8, {kCodes[random.below(std::size(kCodes))]}, 8);
  }

  std::string body(std::size_t size) {
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(random.next() >> 56);
    return bytes;
  }
  std::string name(const char* kind) { return kind + std::to_string(random.below(kNames)); }
  std::size_t size() { return 1 + random.below(random.below(4) == 0 ? 100'000 : 6000); }

  void step() {
    switch (random.below(9)) {
      case 0:
      case 1: put_some(); break;
      case 2: write_file(); break;
      case 3: truncate_file(); break;
      case 4: clone(); break;
      case 5: copy(); break;
      case 6: remove(); break;
      case 7: read_one(); break;
      default: cluster.close_packs(); break;
    }
  }
  void put_some() {
    std::map<std::string, std::string> objects;
    for (std::uint64_t n = random.below(6); n > 0; --n) objects[name("o")] = body(size());
    cluster.put_all(objects);
    for (const auto& [key, bytes] : objects) model[key] = bytes;
  }
  void write_file() {
    const std::string file_name = name("f");
    FileHandlePtr file = cluster.open_file(file_name);
    std::string& bytes = model[file_name];
    for (std::uint64_t n = 1 + random.below(3); n > 0; --n) {
      const std::string piece = body(size());
      const std::uint64_t offset = random.below(bytes.size() + 2000);
      cluster.write(file, offset, piece);
      bytes.resize(std::max<std::size_t>(bytes.size(), offset + piece.size()));
      bytes.replace(offset, piece.size(), piece);
    }
    cluster.close(std::move(file));
  }
  void truncate_file() {
    const std::string file_name = name("f");
    if (!model.contains(file_name)) return;
    FileHandlePtr file = cluster.open_file(file_name);
    const std::uint64_t now = random.below(model[file_name].size() + 100);
    cluster.truncate(file, now);
    model[file_name].resize(now);
    cluster.close(std::move(file));
  }
  void clone() {
    const std::string from = name("f");
    const std::string to = name("f");
    if (from == to || !model.contains(from) || model[from].empty()) return;
    FileHandlePtr source = cluster.open_file(from);
    FileHandlePtr target = cluster.open_file(to);
    std::string& bytes = model[to];
    const std::uint64_t at = random.below(model[from].size());
    const std::uint64_t length = 1 + random.below(model[from].size() - at);
    const std::uint64_t where = random.below(bytes.size() + 1);
    const auto copied =
        cluster.run(cluster.user().files().copy_range(source, at, target, where, length));
    ASSERT_TRUE(copied.ok()) << copied.status().to_string();
    bytes.resize(std::max<std::size_t>(bytes.size(), where + length));
    bytes.replace(where, length, model[from].substr(at, length));
    cluster.close(std::move(source));
    cluster.close(std::move(target));
  }
  void copy() {
    const std::string from = name(random.below(2) == 0 ? "o" : "f");
    if (!model.contains(from)) return;
    const std::string to = name("o");
    if (from == to) return;
    cluster.copy(from, to);
    model[to] = model[from];
  }
  void remove() {
    const std::string gone = name(random.below(2) == 0 ? "o" : "f");
    cluster.remove(gone);
    model.erase(gone);
  }
  void read_one() {
    if (model.empty()) return;
    auto at = model.begin();
    std::advance(at, static_cast<std::ptrdiff_t>(random.below(model.size())));
    const auto got = cluster.get(at->first);
    ASSERT_TRUE(got.ok()) << at->first << ": " << got.status().to_string();
    ASSERT_TRUE(*got == at->second) << at->first;
  }
  void verify() {
    for (const auto& [key, bytes] : model) {
      const auto got = cluster.get(key);
      ASSERT_TRUE(got.ok()) << key << ": " << got.status().to_string();
      ASSERT_TRUE(*got == bytes) << key;
    }
  }

  static Task<void> run_pass(Repacker* repacker, WorkControl* control) {
    while (!control->stopping()) {
      co_await repacker->pass(control);
      co_await control->pause(std::chrono::milliseconds(5));
    }
  }
  // Steps with passes beside them, which are stopped in the middle.
  void work(int steps) {
    WorkControl control(cluster.executor);
    TaskScope scope;
    cluster.executor.post([&] { scope.spawn(run_pass(cluster.repacker.get(), &control)); });
    for (int i = 0; i < steps && !testing::Test::HasFatalFailure(); ++i) {
      step();
      if (random.below(4) == 0) cluster.collect();
    }
    cluster.executor.post([&] { control.stop(); });
    cluster.run(scope.join());
  }
  // With nothing else going on, tags stay and what is wasted comes back.
  void settle() {
    cluster.close_packs();
    cluster.collect();
    std::map<std::string, std::string> tags;
    for (const auto& [key, bytes] : model) tags[key] = cluster.etag(key);
    cluster.repack();
    cluster.collect();
    for (const auto& [key, bytes] : model) ASSERT_EQ(cluster.etag(key), tags[key]) << key;
    verify();
  }

  SeededRandom random;
  MachineCluster cluster;
  std::map<std::string, std::string> model;
};

// Returns how many extents were written over while they were moved.
std::uint64_t run_seed(std::uint64_t seed) {
  SCOPED_TRACE("SHOAL_PROPERTY_SEED=" + std::to_string(seed));
  World world(seed);
  for (int round = 0; round < 4; ++round) {
    world.work(40);
    if (!testing::Test::HasFatalFailure()) world.settle();
  }
  const proto::TaskReport report = world.cluster.repack();
  EXPECT_GT(report.moved_bytes(), 0U);
  EXPECT_EQ(report.unreadable_extents(), 0U);
  return report.lost_extents();
}

TEST(RepackProperty, EveryBodyIsWhatWasWrittenWhateverIsMoved) {
  if (const char* seed = std::getenv("SHOAL_PROPERTY_SEED")) {
    (void)run_seed(std::strtoull(seed, nullptr, 10));
    return;
  }
  std::uint64_t lost = 0;
  for (std::uint64_t seed = 1; seed <= 100 && !HasFatalFailure(); ++seed) lost += run_seed(seed);
  EXPECT_GT(lost, 0U);  // else nothing ran into a pass
}

}  // namespace
}  // namespace shoal::client
