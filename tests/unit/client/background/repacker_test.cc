#include "client/background/repacker.h"

#include <gtest/gtest.h>

#include "base/random.h"
#include "tests/support/machine_cluster.h"

namespace shoal::client {
namespace {

using test::MachineCluster;
using test::make_cluster_map;

std::string random_body(Random& random, std::size_t size) {
  std::string body(size, '\0');
  for (char& c : body) c = static_cast<char>(random.next() >> 56);
  return body;
}

struct RepackerTest : testing::Test {
  SeededRandom random{5};
  MachineCluster cluster{make_cluster_map(8, {{4, 2}, {2, 2}}, 8)};
  std::map<std::string, std::string> expected;

  void put_alone(int count, std::size_t size) {
    for (int i = 0; i < count; ++i) {
      const std::string key = "alone/" + std::to_string(expected.size());
      expected[key] = random_body(random, size);
      cluster.put(key, expected[key]);
    }
  }
  void put_together(int count, std::size_t size) {
    std::map<std::string, std::string> objects;
    for (int i = 0; i < count; ++i)
      objects["together/" + std::to_string(expected.size() + objects.size())] =
          random_body(random, size);
    cluster.put_all(objects);
    expected.insert(objects.begin(), objects.end());
  }
  void verify() {
    for (const auto& [key, body] : expected) {
      const auto got = cluster.get(key);
      ASSERT_TRUE(got.ok()) << key << ": " << got.status().to_string();
      ASSERT_TRUE(*got == body) << key;
    }
  }
};

TEST_F(RepackerTest, ShortRowsBecomeFullOnes) {
  put_alone(300, 4096);
  cluster.close_packs();
  EXPECT_EQ(cluster.raw_bytes(), 3 * cluster.live_bytes());
  const std::uint64_t live = cluster.live_bytes();
  const proto::TaskReport report = cluster.repack();
  EXPECT_EQ(report.moved_bytes(), live);
  EXPECT_EQ(report.lost_extents(), 0U);
  cluster.collect();
  EXPECT_EQ(cluster.live_bytes(), live);
  EXPECT_LE(cluster.raw_bytes() * 100, live * 155);
  verify();
  // Each still lies on a page of its own: one aligned read.
  for (const auto& [key, body] : expected) {
    const std::vector<Extent> extents = cluster.extents(key);
    ASSERT_EQ(extents.size(), 1U);
    EXPECT_EQ(extents[0].column_offset % 4096, 0U);
    EXPECT_TRUE(extents[0].whole());
  }
}

TEST_F(RepackerTest, WhatWasRepackedStays) {
  put_alone(100, 4096);
  cluster.close_packs();
  const proto::TaskReport first = cluster.repack();
  EXPECT_GT(first.moved_bytes(), 0U);
  cluster.collect();
  cluster.wait();
  const proto::TaskReport second = cluster.repack();
  EXPECT_EQ(second.moved_bytes(), first.moved_bytes());
  EXPECT_EQ(second.candidate_packs(), 0U);
  EXPECT_EQ(second.emptied_bytes(), 3 * 100 * (4096 + kFragmentOverheadBytes));
}

TEST_F(RepackerTest, DeadBytesComeBack) {
  put_together(400, 5000);
  cluster.close_packs();
  for (auto at = expected.begin(); at != expected.end();) {
    if (random.below(4) == 0) {
      ++at;
      continue;
    }
    cluster.remove(at->first);
    at = expected.erase(at);
  }
  cluster.collect();
  const std::uint64_t before = cluster.raw_bytes();
  cluster.repack();
  cluster.collect();
  EXPECT_LT(cluster.raw_bytes() * 3, before);
  verify();
}

TEST_F(RepackerTest, OpenPacksAreLeftAlone) {
  put_alone(50, 4096);
  EXPECT_EQ(cluster.repack().moved_bytes(), 0U);
  cluster.wait();
  EXPECT_GT(cluster.repack().moved_bytes(), 0U);
  verify();
}

TEST_F(RepackerTest, ALoneLargePieceIsNotMovedAround) {
  put_alone(1, 1 << 20);
  cluster.close_packs();
  const proto::TaskReport report = cluster.repack();
  EXPECT_EQ(report.moved_bytes(), 0U);
  EXPECT_EQ(report.candidate_packs(), 1U);
  // Together with others it is worth it.
  put_alone(3, 1 << 20);
  cluster.close_packs();
  EXPECT_EQ(cluster.repack().moved_bytes(), 4U << 20);
  cluster.collect();
  verify();
}

TEST_F(RepackerTest, SharedBytesAreWrittenOnce) {
  put_alone(20, 8192);
  const std::map<std::string, std::string> originals = expected;
  for (const auto& [key, body] : originals) {
    cluster.copy(key, key + ".copy");
    expected[key + ".copy"] = body;
  }
  cluster.close_packs();
  const std::uint64_t live = cluster.live_bytes();
  EXPECT_EQ(live, 2U * 20 * 8192);
  const proto::TaskReport report = cluster.repack();
  EXPECT_EQ(report.moved_bytes(), live);
  cluster.collect();
  EXPECT_LE(cluster.raw_bytes(), 20U * 8192 * 16 / 10);
  verify();
  EXPECT_EQ(cluster.extents("alone/0")[0].pack, cluster.extents("alone/0.copy")[0].pack);
  EXPECT_EQ(cluster.extents("alone/0")[0].column_offset,
            cluster.extents("alone/0.copy")[0].column_offset);
}

TEST_F(RepackerTest, TheTagOfAFileStaysAsItWas) {
  const std::string body = random_body(random, 50'000);
  std::map<std::string, std::string> bodies;
  const auto make = [&](const std::string& name) {
    bodies[name] = body;
    FileHandlePtr file = cluster.open_file(name);
    cluster.write(file, 0, body);
    return file;
  };
  FileHandlePtr whole = make("whole");
  FileHandlePtr shorter = make("shorter");
  cluster.truncate(shorter, 30'000);
  bodies["shorter"] = body.substr(0, 30'000);
  FileHandlePtr patched = make("patched");
  cluster.write(patched, 10'000, "patch");
  bodies["patched"].replace(10'000, 5, "patch");
  FileHandlePtr sparse = cluster.open_file("sparse");
  cluster.write(sparse, 100'000, body);
  bodies["sparse"] = std::string(100'000, '\0') + body;
  for (auto* file : {&whole, &shorter, &patched, &sparse}) cluster.close(std::move(*file));
  cluster.close_packs();

  std::map<std::string, std::string> tags;
  for (const auto& [name, bytes] : bodies) tags[name] = cluster.etag(name);
  const std::uint64_t live = cluster.live_bytes();
  EXPECT_EQ(cluster.repack().moved_bytes(), live);
  cluster.collect();
  for (const auto& [name, bytes] : bodies) {
    EXPECT_EQ(cluster.etag(name), tags[name]) << name;
    const auto got = cluster.get(name);
    ASSERT_TRUE(got.ok()) << got.status().to_string();
    EXPECT_TRUE(*got == bytes) << name;
  }
  // Until its bytes change.
  FileHandlePtr file = cluster.open_file("patched");
  cluster.write(file, 20'000, "more");
  cluster.close(file);
  EXPECT_NE(cluster.etag("patched"), tags["patched"]);
}

TEST_F(RepackerTest, PartsOfAnUploadAreMovedToo) {
  proto::CreateUpload create;
  create.set_bucket("bucket");
  create.set_key("big");
  const auto upload = cluster.run(cluster.user().objects().create_upload(create));
  ASSERT_TRUE(upload.ok());
  const std::string body = random_body(random, 30'000);
  struct Part {
    static Task<Result<proto::PartReply>> put(ClientStack* stack, std::string id,
                                              std::string bytes) {
      const auto writer = stack->objects().create_writer(bytes.size());
      CO_RETURN_IF_ERROR(co_await writer->append(Buffer::copy_of(bytes)));
      ObjectTarget target{"bucket", "big"};
      co_return co_await writer->commit_part(std::move(target), std::move(id), 1,
                                             "00000000000000000000000000000000", {});
    }
  };
  ASSERT_TRUE(cluster.run(Part::put(&cluster.user(), *upload, body)).ok());
  put_alone(20, 4096);
  cluster.close_packs();
  const std::uint64_t live = cluster.live_bytes();
  EXPECT_EQ(cluster.repack().moved_bytes(), live);
  cluster.collect();
  proto::CompleteUpload complete;
  complete.set_bucket("bucket");
  complete.set_key("big");
  complete.set_upload(*upload);
  complete.add_parts()->set_number(1);
  complete.mutable_parts(0)->set_etag("00000000000000000000000000000000");
  ASSERT_TRUE(cluster.run(cluster.user().objects().complete_upload(complete)).ok());
  expected["big"] = body;
  verify();
}

TEST_F(RepackerTest, AFileThatIsOpenIsFoundWhereItIsNow) {
  const std::string body = random_body(random, 20'000);
  FileHandlePtr file = cluster.open_file("open");
  cluster.write(file, 0, body);
  put_alone(30, 4096);
  cluster.wait();
  const auto before = cluster.read(file);  // knows the extents now
  ASSERT_TRUE(before.ok());
  const auto opened =
      cluster.run(cluster.user().objects().open_object("bucket", "alone/3", {}, std::nullopt));
  ASSERT_TRUE(opened.ok());
  EXPECT_GT(cluster.repack().moved_bytes(), 20'000U);
  cluster.collect();
  const auto after = cluster.read(file);
  ASSERT_TRUE(after.ok()) << after.status().to_string();
  EXPECT_TRUE(*after == body);
  const auto object = cluster.run(MachineCluster::read_all(opened->reader.get()));
  ASSERT_TRUE(object.ok()) << object.status().to_string();
  EXPECT_TRUE(*object == expected["alone/3"]);
  cluster.close(file);
}

TEST_F(RepackerTest, UnreadableBytesAreReportedAndLeftWhereTheyAre) {
  put_alone(20, 4096);
  cluster.close_packs();
  const Extent bad = cluster.extents("alone/7")[0];
  for (std::uint32_t d = 0; d < 8; ++d) {
    std::vector<FragmentKey> keys;
    for (const auto& [key, fragment] : cluster.storage.fragments(DriveId(d))) {
      if (key.pack == bad.pack && key.row == bad.row) keys.push_back(key);
    }
    for (const FragmentKey& key : keys) cluster.storage.flip_bit(DriveId(d), key, 100);
  }
  const proto::TaskReport report = cluster.repack();
  EXPECT_EQ(report.unreadable_extents(), 1U);
  EXPECT_EQ(report.moved_bytes(), 19U * 4096);
  EXPECT_FALSE(report.last_error().empty());
  cluster.collect();
  EXPECT_EQ(cluster.extents("alone/7")[0], bad);
  EXPECT_FALSE(cluster.get("alone/7").ok());
  expected.erase("alone/7");
  verify();
}

TEST_F(RepackerTest, AColumnThatIsLostIsDecodedAndMoved) {
  put_together(40, 4096);
  cluster.close_packs();
  for (int i = 0; i < 30; ++i) {
    cluster.remove(expected.begin()->first);
    expected.erase(expected.begin());
  }
  cluster.collect();
  cluster.storage.faults(DriveId(2)).lie_on_read = true;
  cluster.storage.faults(DriveId(5)).read_error = IoErrorError("gone");
  const std::uint64_t live = cluster.live_bytes();
  EXPECT_EQ(cluster.repack().moved_bytes(), live);
  cluster.storage.faults(DriveId(2)) = {};
  cluster.storage.faults(DriveId(5)) = {};
  cluster.collect();
  verify();
}

TEST_F(RepackerTest, StoppingAtAnyMomentLosesNothing) {
  put_alone(60, 4096);
  put_together(200, 3000);
  cluster.close_packs();
  for (int round = 0; round < 40; ++round) {
    for (std::uint32_t d = 0; d < 8; ++d) {
      cluster.storage.faults(DriveId(d)).read_delay = std::chrono::milliseconds(1);
      cluster.storage.faults(DriveId(d)).write_delay = std::chrono::milliseconds(3);
    }
    WorkControl control(cluster.executor);
    const auto stop_after = std::chrono::microseconds(random.below(40'000));
    cluster.executor.schedule_at(cluster.executor.now() + stop_after, [&] { control.stop(); });
    cluster.run(cluster.repacker->pass(&control));
    if (!control.stopping()) cluster.wait();
    if (round % 10 == 0) {
      for (std::uint32_t d = 0; d < 8; ++d) cluster.storage.faults(DriveId(d)) = {};
      cluster.collect();
      verify();
      const std::string key = "alone/" + std::to_string(random.below(60));
      expected[key] = random_body(random, 4096);
      cluster.put(key, expected[key]);
      cluster.close_packs();
    }
  }
  verify();
}

TEST_F(RepackerTest, ReferencesBeyondTheBoundWaitForTheNextPass) {
  RepackLimits limits = test::eager_repack();
  limits.max_pass_references = 30;
  MachineCluster small(make_cluster_map(6, {{4, 2}}, 6), limits);
  std::map<std::string, std::string> bodies;
  for (int i = 0; i < 100; ++i) {
    const std::string key = "k" + std::to_string(i);
    bodies[key] = random_body(random, 4096);
    small.put(key, bodies[key]);
  }
  small.close_packs();
  EXPECT_EQ(small.repack().moved_bytes(), 100U * 4096);
  small.collect();
  for (const auto& [key, body] : bodies) EXPECT_TRUE(*small.get(key) == body);
}

}  // namespace
}  // namespace shoal::client
