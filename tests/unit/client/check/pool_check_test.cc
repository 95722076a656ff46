#include "client/check/pool_check.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "base/random.h"
#include "tests/support/machine_cluster.h"

namespace shoal::client {
namespace {

using test::MachineCluster;
using test::make_cluster_map;
using testing::Contains;
using testing::HasSubstr;

constexpr CodeShape kCode{4, 2};

struct PoolCheckTest : testing::Test {
  SeededRandom random{11};
  MachineCluster cluster{make_cluster_map(8, {kCode}, 8)};
  std::map<std::string, std::string> expected;
  std::vector<std::string> problems;

  void SetUp() override {
    for (int round = 0; round < 20; ++round) {
      std::map<std::string, std::string> together;
      for (int i = 0; i < 10; ++i) {
        std::string body(1 + random.below(20'000), '\0');
        for (char& c : body) c = static_cast<char>(random.next() >> 56);
        together["key/" + std::to_string(round) + "/" + std::to_string(i)] = std::move(body);
      }
      cluster.put_all(together);
      expected.merge(together);
    }
    cluster.close_packs();
  }

  CheckReport check(bool read = true, bool repair = false) {
    problems.clear();
    CheckOptions options;
    options.read = read;
    options.repair = repair;
    options.problem = [this](std::string text) { problems.push_back(std::move(text)); };
    PoolCheck pool(
        map(),
        [this](proto::Query query) -> Task<Result<proto::QueryReply>> {
          return cluster.worker().metadata().query(std::move(query));
        },
        [this](const DriveInfo&) { return &cluster.storage; }, cluster.executor, options);
    auto report = cluster.run(pool.run());
    EXPECT_TRUE(report.ok()) << report.status().to_string();
    return report.ok() ? *report : CheckReport{};
  }
  const ClusterMap& map() { return cluster.metadata.machine().cluster_map(); }
  // One object's place.
  Extent some_extent() { return cluster.extents("key/7/3").front(); }
  DriveId drive_of(PackId pack, std::uint8_t column) {
    return map().group(pg_of_pack(pack))->drives[column];
  }
  // Other bytes of the same length, with CRCs that fit them: what no scrub can see.
  void replace(FragmentKey key) {
    const DriveId drive = drive_of(key.pack, key.column);
    const test::StoredFragment& there = cluster.storage.fragments(drive).at(key);
    Buffer bytes = Buffer::copy_of(std::span<const std::byte>(there.bytes));
    bytes.mutable_data()[bytes.size() / 2] ^= std::byte{1};
    WriteFragmentRequest request;
    request.drive = drive;
    request.key = key;
    request.shape = there.shape;
    request.directory = there.directory;
    request.page_crcs = page_crc32cs(bytes.span());
    request.payload.push_back(std::move(bytes));
    request.repair = true;
    const Status written =
        cluster.run(cluster.storage.write_fragment(std::move(request), MonotonicTime::max()));
    ASSERT_TRUE(written.ok()) << written.to_string();
  }
  void set_state(DriveId drive, DriveState state) {
    proto::Command command;
    auto* change = command.mutable_change_cluster()->mutable_set_drive_state();
    change->set_drive(drive.value());
    change->set_state(static_cast<std::uint32_t>(state));
    ASSERT_EQ(cluster.metadata.apply(std::move(command)).status().code(), 0);
  }
  void verify() {
    for (const auto& [key, body] : expected) {
      const auto got = cluster.get(key);
      ASSERT_TRUE(got.ok()) << key << ": " << got.status().to_string();
      ASSERT_TRUE(*got == body) << key;
    }
  }
};

TEST_F(PoolCheckTest, AWholePoolIsCleanAndAllOfItIsRead) {
  const CheckReport report = check();
  EXPECT_TRUE(report.clean());
  EXPECT_EQ(report.extents_read, expected.size());
  EXPECT_EQ(report.bytes_read, cluster.raw_bytes());
  EXPECT_GE(report.rows, 20U);
  EXPECT_EQ(report.unreferenced_rows, 0U);
  EXPECT_TRUE(problems.empty()) << problems.front();
}

TEST_F(PoolCheckTest, WhatADriveLostIsMissingUntilItIsRepaired) {
  const std::size_t held = cluster.storage.fragments(DriveId(2)).size();
  ASSERT_GT(held, 0U);
  cluster.storage.wipe(DriveId(2));
  CheckReport report = check(false);
  EXPECT_FALSE(report.clean());
  EXPECT_EQ(report.missing_fragments, held);
  EXPECT_EQ(report.lost_rows, 0U);
  EXPECT_THAT(problems, Contains(HasSubstr("is missing on drive 2")));
  report = check(true, true);
  EXPECT_TRUE(report.clean()) << "what was restored is whole";
  EXPECT_EQ(report.restored_fragments, held);
  report = check();
  EXPECT_TRUE(report.clean());
  EXPECT_EQ(report.missing_fragments, 0U);
  verify();
}

TEST_F(PoolCheckTest, ADamagedFragmentCountsAsMissing) {
  const Extent extent = some_extent();
  const FragmentKey key{extent.pack, extent.row, extent.column};
  cluster.storage.flip_bit(drive_of(key.pack, key.column), key, 5);
  EXPECT_TRUE(check(false).clean()) << "nobody has read it yet";
  CheckReport report = check();
  EXPECT_EQ(report.wrong_fragments, 1U);
  EXPECT_FALSE(report.clean());
  report = check(false);
  EXPECT_EQ(report.missing_fragments, 1U) << "now its drive knows";
  EXPECT_THAT(problems, Contains(HasSubstr("is damaged on drive")));
  EXPECT_TRUE(check(true, true).clean());
  EXPECT_EQ(check().missing_fragments, 0U);
}

TEST_F(PoolCheckTest, ContentThatNoChecksumOfADriveCanFaultIsFoundByTheExtentsOwn) {
  const Extent extent = some_extent();
  replace({extent.pack, extent.row, extent.column});
  EXPECT_TRUE(check(false).clean());
  CheckReport report = check();
  EXPECT_FALSE(report.clean());
  EXPECT_EQ(report.wrong_fragments, 1U);
  EXPECT_EQ(report.lost_extents, 0U) << "the other columns give it";
  EXPECT_THAT(problems, Contains(HasSubstr("not those that the metadata promises")));
  EXPECT_TRUE(check(true, true).clean());
  report = check();
  EXPECT_EQ(report.wrong_fragments, 0U);
  verify();
}

TEST_F(PoolCheckTest, ParityOfOtherBytesIsFoundAndMadeAgain) {
  const Extent extent = some_extent();
  replace({extent.pack, extent.row, kCode.k + 1});
  CheckReport report = check();
  EXPECT_EQ(report.wrong_fragments, 1U);
  EXPECT_THAT(problems, Contains(HasSubstr("not the parity of its row")));
  EXPECT_TRUE(check(true, true).clean());
  EXPECT_EQ(check().wrong_fragments, 0U);
}

TEST_F(PoolCheckTest, WrongParityBesideAWrongColumnMisleadsNobody) {
  const Extent extent = some_extent();
  replace({extent.pack, extent.row, extent.column});
  replace({extent.pack, extent.row, kCode.k});  // the first that decoding would use
  CheckReport report = check();
  EXPECT_EQ(report.wrong_fragments, 2U);
  EXPECT_EQ(report.lost_extents, 0U) << "the other parity gives it";
  report = check(true, true);
  EXPECT_TRUE(report.clean());
  EXPECT_EQ(report.restored_fragments, 2U);
  report = check();
  EXPECT_TRUE(report.clean());
  EXPECT_EQ(report.wrong_fragments, 0U);
  verify();
}

TEST_F(PoolCheckTest, MoreThanTheCodeBearsIsLostAndNamed) {
  const Extent extent = some_extent();
  const std::vector<DriveId> drives = map().group(pg_of_pack(extent.pack))->drives;
  for (const std::size_t c : {0U, 1U, 2U, 3U, 4U}) cluster.storage.wipe(drives[c]);
  const CheckReport report = check(true, true);
  EXPECT_FALSE(report.clean());
  EXPECT_GT(report.lost_rows, 0U);
  ASSERT_TRUE(report.hurt_rows.contains(extent.pack));
  EXPECT_TRUE(report.hurt_rows.at(extent.pack).contains(extent.row));
  EXPECT_FALSE(check().clean()) << "and it stays so";
}

TEST_F(PoolCheckTest, ContentThatIsWrongEverywhereIsLost) {
  const Extent extent = some_extent();
  for (std::uint8_t c = 0; c < kCode.width(); ++c) {
    const FragmentKey key{extent.pack, extent.row, c};
    if (cluster.storage.fragments(drive_of(key.pack, c)).contains(key)) replace(key);
  }
  const CheckReport report = check(true, true);
  EXPECT_FALSE(report.clean());
  EXPECT_GT(report.lost_extents, 0U);
  EXPECT_TRUE(report.hurt_rows.at(extent.pack).contains(extent.row));
}

TEST_F(PoolCheckTest, ADriveThatIsDownIsNoLossButNotCleanEither) {
  // Down by the map, though it answers: it has come back.
  set_state(DriveId(5), DriveState::kDown);
  EXPECT_TRUE(check().clean());
  set_state(DriveId(5), DriveState::kUp);
  cluster.storage.faults(DriveId(5)).silent = true;
  const CheckReport report = check(false);
  EXPECT_FALSE(report.clean());
  EXPECT_EQ(report.lost_rows, 0U);
  EXPECT_EQ(report.missing_fragments, 0U) << "nobody knows";
  EXPECT_GT(report.degraded_rows, 0U);
}

TEST_F(PoolCheckTest, ALostDriveLeavesDegradedRowsUntilItsColumnsHaveMoved) {
  cluster.storage.wipe(DriveId(1));
  set_state(DriveId(1), DriveState::kOut);
  const CheckReport report = check();
  EXPECT_FALSE(report.clean());
  EXPECT_EQ(report.absent_drives, 1U);
  EXPECT_GT(report.degraded_rows, 0U);
  EXPECT_EQ(report.missing_fragments, 0U);
}

TEST_F(PoolCheckTest, FragmentsWhereTheyDoNotBelongAreFound) {
  const Extent extent = some_extent();
  const PlacementGroup* group = map().group(pg_of_pack(extent.pack));
  const FragmentKey key{extent.pack, extent.row, extent.column};
  const test::StoredFragment there =
      cluster.storage.fragments(drive_of(key.pack, key.column)).at(key);
  std::uint32_t elsewhere = 0;
  while (group->holds(DriveId(elsewhere))) ++elsewhere;
  const auto put_stray = [&](PackId pack) {
    WriteFragmentRequest request;
    request.drive = DriveId(elsewhere);
    request.key = {pack, key.row, key.column};
    request.shape = there.shape;
    request.page_crcs = there.page_crcs;
    request.payload.push_back(Buffer::copy_of(std::span<const std::byte>(there.bytes)));
    request.repair = true;
    ASSERT_TRUE(
        cluster.run(cluster.storage.write_fragment(std::move(request), MonotonicTime::max())).ok());
  };
  put_stray(extent.pack);
  put_stray(make_pack_id(pg_of_pack(extent.pack), 1'000'000));
  const CheckReport report = check();
  EXPECT_FALSE(report.clean());
  EXPECT_EQ(report.stray_packs, 2U);
  EXPECT_THAT(problems, Contains(HasSubstr("has its place on other drives")));
  EXPECT_THAT(problems, Contains(HasSubstr("which the metadata does not know")));
}

TEST_F(PoolCheckTest, RowsOfClosedPacksThatNothingRefersToAreGarbageAndDropped) {
  const std::uint64_t before = check().rows;
  for (int round = 0; round < 20; ++round) {
    for (int i = 0; i < 10; ++i) {
      const std::string key = "key/" + std::to_string(round) + "/" + std::to_string(i);
      if (key != "key/7/3") cluster.remove(key);
    }
  }
  proto::Command reap;
  for (const InodeId id : cluster.metadata.machine().orphans())
    reap.mutable_reap_orphans()->add_inodes(id.value());
  if (reap.has_reap_orphans()) cluster.metadata.apply(std::move(reap));
  const std::uint64_t raw = cluster.raw_bytes();
  CheckReport report = check();
  EXPECT_TRUE(report.clean()) << "it waits to be given back";
  EXPECT_EQ(report.rows + report.unreferenced_rows, before);
  EXPECT_GT(report.unreferenced_rows, 0U);
  EXPECT_LE(report.unreferenced_bytes, raw);
  EXPECT_EQ(cluster.raw_bytes(), raw) << "a check changes nothing";
  report = check(false, true);
  EXPECT_EQ(report.dropped_rows, report.unreferenced_rows);
  EXPECT_EQ(cluster.raw_bytes(), raw - report.unreferenced_bytes);
  EXPECT_EQ(check().unreferenced_rows, 0U);
  const auto left = cluster.get("key/7/3");
  ASSERT_TRUE(left.ok()) << left.status().to_string();
  EXPECT_EQ(*left, expected["key/7/3"]);
}

TEST_F(PoolCheckTest, WhatWritersHaveUnderWayIsNotGarbage) {
  cluster.put("open", std::string(10'000, 'x'));
  cluster.remove("open");  // its pack is open: more may come
  const CheckReport report = check(true, true);
  EXPECT_TRUE(report.clean());
  EXPECT_GT(report.open_packs, 0U);
  EXPECT_EQ(report.dropped_rows, 0U);
}

}  // namespace
}  // namespace shoal::client
