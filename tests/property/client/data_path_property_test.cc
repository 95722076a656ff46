// Random pieces are written while drives fail, fill up, hang and come back; then up to m drives of
// each group are lost and random ranges of every extent are read. Whatever write() said was stored
// must come back byte for byte, and a write may fail only when no group could take it.
// SHOAL_PROPERTY_SEED replays one run.
#include <gtest/gtest.h>

#include <cstdlib>

#include "tests/support/data_path_cluster.h"

namespace shoal::client {
namespace {

using test::DataPathCluster;
using test::make_cluster_map;
using test::random_bytes;

struct Stored {
  Buffer bytes;
  Extent extent;
};

std::size_t random_size(Random& random) {
  switch (random.below(6)) {
    case 0: return 1 + random.below(64);
    case 1: return 1 + random.below(2048);
    case 2: return 2040 + random.below(20);
    case 3: return 4096;
    case 4: return 1 + random.below(100'000);
    default: return random.below(20) == 0 ? kMaxColumnBytes : 4096 * (1 + random.below(8));
  }
}

struct Run {
  explicit Run(std::uint64_t seed)
      : random(seed), code(pick_code(random)), cluster(make_map(random, code)) {}

  static CodeShape pick_code(Random& random) {
    static constexpr CodeShape kCodes[] = {{4, 2}, {2, 1}, {1, 1}, {3, 2}, {8, 3}, {1, 2}};
    return kCodes[random.below(std::size(kCodes))];
  }
  static ClusterMap make_map(Random& random, const CodeShape& code) {
    const auto width = static_cast<std::uint32_t>(code.width());
    const auto drives = static_cast<std::uint32_t>(width + random.below(2 * width));
    std::vector<CodeShape> codes = {code};
    if (code.k > 1 && random.below(2) == 0) {
      codes.push_back(CodeShape{static_cast<std::uint8_t>(code.k - 1), code.m});
    }
    return make_cluster_map(drives, codes, drives);
  }

  std::uint32_t drive_count() const {
    return static_cast<std::uint32_t>(cluster.metadata.cluster_map()->drives.size());
  }

  // At most one drive misbehaves at a time, so that on a large enough cluster every write must
  // succeed.
  void change_faults() {
    for (std::uint32_t d = 0; d < drive_count(); ++d) cluster.storage.faults(DriveId(d)) = {};
    cluster.clock.advance(seconds(31));  // penalties end
    troubled = random.below(3) != 0;
    if (!troubled) return;
    test::DriveFaults& faults =
        cluster.storage.faults(DriveId(static_cast<std::uint32_t>(random.below(drive_count()))));
    switch (random.below(5)) {
      case 0: faults.write_error = IoErrorError("broken"); break;
      case 1: faults.hang_writes = true; break;
      case 2: faults.full = true; break;
      case 3: faults.fail_after_writes = random.below(10); break;
      default: faults.write_delay = milliseconds(400); break;
    }
    if (random.below(4) == 0) cluster.metadata.new_session();
  }

  void write_some() {
    std::vector<Buffer> pieces;
    const std::size_t count = 1 + random.below(random.below(3) == 0 ? 100 : 10);
    for (std::size_t i = 0; i < count; ++i)
      pieces.push_back(random_bytes(random, random_size(random)));
    const auto results = cluster.write_all(pieces);
    // With a drive more than the narrowest code needs, one bad drive leaves a whole group.
    int width = code.width();
    for (const PlacementGroup& group : cluster.metadata.cluster_map()->groups)
      width = std::min(width, group.code.width());
    const bool must_succeed = !troubled || drive_count() > static_cast<std::uint32_t>(width);
    for (std::size_t i = 0; i < count; ++i) {
      if (results[i].ok()) {
        stored.push_back({pieces[i], *results[i]});
      } else {
        ASSERT_FALSE(must_succeed) << results[i].status().to_string();
      }
    }
  }

  void lose_drives() {
    for (std::uint32_t d = 0; d < drive_count(); ++d) cluster.storage.faults(DriveId(d)) = {};
    for (int i = 0; i < code.m; ++i) {
      const DriveId drive(static_cast<std::uint32_t>(random.below(drive_count())));
      switch (random.below(4)) {
        case 0: cluster.storage.wipe(drive); break;
        case 1: cluster.storage.faults(drive).read_error = IoErrorError("broken"); break;
        case 2: cluster.storage.faults(drive).hang_reads = true; break;
        default: cluster.metadata.set_drive_state(drive, DriveState::kDown); break;
      }
    }
  }

  void read_everything() {
    for (const Stored& s : stored) {
      const auto offset = static_cast<std::uint32_t>(random.below(s.extent.length + 1));
      const auto length = static_cast<std::uint32_t>(random.below(s.extent.length - offset + 1));
      const auto part = cluster.read(s.extent, offset, length);
      ASSERT_TRUE(part.ok()) << part.status().to_string();
      ASSERT_EQ(part->view(), s.bytes.view().substr(offset, length));
      const auto whole = cluster.read(s.extent);
      ASSERT_TRUE(whole.ok()) << whole.status().to_string();
      ASSERT_EQ(whole->view(), s.bytes.view());
    }
  }

  SeededRandom random;
  CodeShape code;
  DataPathCluster cluster;
  std::vector<Stored> stored;
  bool troubled = false;
};

void run_seed(std::uint64_t seed) {
  SCOPED_TRACE("SHOAL_PROPERTY_SEED=" + std::to_string(seed));
  Run run(seed);
  for (int round = 0; round < 8; ++round) {
    run.change_faults();
    run.write_some();
    if (testing::Test::HasFatalFailure()) return;
  }
  run.lose_drives();
  run.read_everything();
}

TEST(DataPathProperty, WhatWasStoredComesBackWhateverIsLost) {
  if (const char* seed = std::getenv("SHOAL_PROPERTY_SEED")) {
    run_seed(std::strtoull(seed, nullptr, 10));
    return;
  }
  for (std::uint64_t seed = 1; seed <= 40 && !HasFatalFailure(); ++seed) run_seed(seed);
}

}  // namespace
}  // namespace shoal::client
