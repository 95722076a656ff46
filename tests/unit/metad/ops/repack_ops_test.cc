// ListReferences and SwapReferences: what repack asks of the metadata.
#include <gtest/gtest.h>

#include <set>

#include "base/random.h"
#include "tests/support/fake_metadata_client.h"
#include "tests/support/machine_metadata.h"

namespace shoal::metad {
namespace {

class RepackOpsTest : public testing::Test {
 protected:
  void SetUp() override {
    proto::Command open;
    open.mutable_open_session()->set_slot_count(1);
    session_ = metadata_.apply(std::move(open)).open_session().session();
    proto::Command lease;
    lease.mutable_lease_packs()->set_count(2);
    const proto::CommandReply leased = run(std::move(lease));
    old_pack_ = leased.lease_packs().leases(0).pack();
    new_pack_ = leased.lease_packs().leases(1).pack();
    proto::Command bucket;
    bucket.mutable_create_bucket()->set_name("bucket");
    run(std::move(bucket));
  }

  proto::CommandReply run(proto::Command command) {
    command.set_session(session_);
    command.set_sequence(++sequence_);
    return metadata_.apply(std::move(command));
  }
  static StatusCode code(const proto::CommandReply& reply) {
    return status_code_from_wire(reply.status().code());
  }

  Extent make_extent(std::uint64_t offset, std::uint32_t length) {
    Extent extent;
    extent.file_offset = offset;
    extent.length = extent.stored_length = length;
    extent.pack = PackId(old_pack_);
    extent.row = next_row_++;
    extent.crc32c = 77 * next_row_;
    return extent;
  }
  // The inode.
  std::uint64_t put(const std::string& key, const ExtentList& extents) {
    proto::Command command;
    proto::PutObject* op = command.mutable_put_object();
    op->set_bucket("bucket");
    op->set_key(key);
    op->set_size(extents.back().file_end());
    op->mutable_object()->set_etag("tag-" + key);
    wire::extents_to_proto(extents, op->mutable_extents());
    return run(std::move(command)).object().attributes().inode();
  }
  proto::GetObjectReply get(const std::string& key) {
    proto::Query query;
    query.mutable_get_object()->set_bucket("bucket");
    query.mutable_get_object()->set_key(key);
    query.mutable_get_object()->set_with_extents(true);
    return metadata_.ask(query).object();
  }
  Extent moved(Extent extent) {
    extent.pack = PackId(new_pack_);
    extent.row = next_row_++;
    return extent;
  }
  static void add_swap(proto::Command* command, std::uint64_t inode, const Extent& from,
                       const Extent& to) {
    proto::SwapExtents* swap = command->mutable_swap_references()->add_swaps();
    swap->set_inode(inode);
    wire::extents_to_proto({from}, swap->mutable_from());
    wire::extents_to_proto({to}, swap->mutable_to());
  }
  std::uint64_t live_bytes(std::uint64_t pack) {
    proto::Query query;
    query.mutable_list_packs()->set_after(pack - 1);
    query.mutable_list_packs()->set_limit(1);
    return metadata_.ask(query).list_packs().packs(0).live_bytes();
  }
  // Pages until there is no next one; CHECKs that each is within `limit`.
  std::vector<proto::Reference> list(proto::ListReferences op, std::uint32_t limit) {
    std::vector<proto::Reference> all;
    do {
      op.set_limit(limit);
      proto::Query query;
      *query.mutable_list_references() = op;
      const proto::QueryReply reply = metadata_.ask(query);
      EXPECT_EQ(reply.status().code(), 0) << reply.status().message();
      std::uint32_t count = 0;
      for (const proto::Reference& reference : reply.list_references().references()) {
        all.push_back(reference);
        count += static_cast<std::uint32_t>(reference.extents_size());
      }
      EXPECT_LE(count, limit);
      op.set_cursor(reply.list_references().next());
    } while (!op.cursor().empty());
    return all;
  }

  test::MachineMetadata metadata_{test::make_cluster_map(6, {{4, 2}}, 6)};
  std::uint64_t session_ = 0;
  std::uint64_t sequence_ = 0;
  std::uint64_t old_pack_ = 0;
  std::uint64_t new_pack_ = 0;
  std::uint32_t next_row_ = 0;
};

TEST_F(RepackOpsTest, EveryReferenceIsListedOnceWhateverThePageSize) {
  SeededRandom random(3);
  std::multiset<std::uint32_t> rows;
  for (int i = 0; i < 500; ++i) {
    ExtentList extents;
    for (std::uint64_t n = 0; n <= random.below(6); ++n)
      extents.push_back(make_extent(n * 1000, 1000));
    for (const Extent& extent : extents) rows.insert(extent.row);
    put("key" + std::to_string(i), extents);
  }
  proto::Command create;
  create.mutable_create_upload()->set_bucket("bucket");
  create.mutable_create_upload()->set_key("upload");
  const std::string upload = run(std::move(create)).upload().upload();
  for (std::uint32_t number = 1; number <= 5; ++number) {
    proto::Command part;
    proto::PutPart* op = part.mutable_put_part();
    op->set_bucket("bucket");
    op->set_key("upload");
    op->set_upload(upload);
    op->set_number(number);
    op->set_size(2000);
    const ExtentList extents{make_extent(0, 1000), make_extent(1000, 1000)};
    for (const Extent& extent : extents) rows.insert(extent.row);
    wire::extents_to_proto(extents, op->mutable_extents());
    ASSERT_EQ(code(run(std::move(part))), StatusCode::kOk);
  }
  for (const std::uint32_t limit : {1U, 3U, 100U, 100'000U}) {
    for (const bool by_pack : {false, true}) {
      proto::ListReferences op;
      if (by_pack) op.add_packs(old_pack_);
      std::multiset<std::uint32_t> listed;
      for (const proto::Reference& reference : list(op, std::min(limit, 8192U))) {
        for (const proto::ExtentProto& extent : reference.extents()) listed.insert(extent.row());
      }
      EXPECT_EQ(listed, rows) << limit;
    }
  }
  proto::ListReferences other;
  other.add_packs(new_pack_);
  EXPECT_TRUE(list(other, 100).empty());
  proto::ListReferences one;
  one.set_upload(upload);
  EXPECT_EQ(list(one, 3).size(), 7U);  // parts of two extents each, in pages of three
}

TEST_F(RepackOpsTest, ACursorThatIsNotOneIsRefused) {
  for (const char* cursor : {"x", "i", "i 1025 0 0", "i 1 2", "i a b c", "i 1 2 3 4", "u", "u 1"}) {
    proto::Query query;
    query.mutable_list_references()->set_cursor(cursor);
    EXPECT_EQ(status_code_from_wire(metadata_.ask(query).status().code()),
              StatusCode::kInvalidArgument)
        << cursor;
  }
}

TEST_F(RepackOpsTest, ExtentsAreExchangedWhereTheyStillAre) {
  const Extent a = make_extent(0, 100);
  const Extent b = make_extent(0, 200);
  const Extent c = make_extent(0, 300);
  const std::uint64_t inode_a = put("a", {a});
  const std::uint64_t inode_b = put("b", {b});
  const std::uint64_t gone = put("c", {c});
  const Extent newer = make_extent(0, 200);
  put("b", {newer});
  proto::Command remove;
  remove.mutable_delete_objects()->set_bucket("bucket");
  remove.mutable_delete_objects()->add_keys("c");
  run(std::move(remove));
  for (const InodeId orphan : metadata_.machine().orphans()) {
    proto::Command reap;
    reap.mutable_reap_orphans()->add_inodes(orphan.value());
    metadata_.apply(std::move(reap));
  }
  const std::uint64_t version = get("a").attributes().data_version();
  const std::int64_t mtime = get("a").attributes().mtime_ns();
  proto::Command command;
  const Extent to = moved(a);
  add_swap(&command, inode_a, a, to);
  add_swap(&command, inode_b, b, moved(b));
  add_swap(&command, gone, c, moved(c));
  const proto::CommandReply reply = run(std::move(command));
  ASSERT_EQ(code(reply), StatusCode::kOk) << reply.status().message();
  EXPECT_EQ(reply.swap_references().exchanged_extents(), 1U);
  EXPECT_EQ(reply.swap_references().exchanged_bytes(), 100U);
  EXPECT_EQ(reply.swap_references().lost_extents(), 2U);
  EXPECT_EQ(get("a").extents(0).pack(), new_pack_);
  EXPECT_EQ(get("a").extents(0).row(), to.row);
  EXPECT_EQ(get("b").extents(0).row(), newer.row);
  EXPECT_EQ(get("a").attributes().data_version(), version);
  EXPECT_EQ(get("a").attributes().mtime_ns(), mtime);
  EXPECT_EQ(get("a").object().etag(), "tag-a");
  EXPECT_EQ(live_bytes(old_pack_), 200U);
  EXPECT_EQ(live_bytes(new_pack_), 100U);
}

TEST_F(RepackOpsTest, ASwapThatIsWrongChangesNothing) {
  const Extent a = make_extent(0, 100);
  const std::uint64_t inode = put("a", {a});
  proto::Command shorter;
  Extent to = moved(a);
  to.length = to.stored_length = 50;
  add_swap(&shorter, inode, a, moved(a));
  add_swap(&shorter, inode, a, to);
  EXPECT_EQ(code(run(std::move(shorter))), StatusCode::kInvalidArgument);
  proto::Command unknown_pack;
  to = moved(a);
  to.pack = PackId(12345);
  add_swap(&unknown_pack, inode, a, to);
  EXPECT_EQ(code(run(std::move(unknown_pack))), StatusCode::kFenced);
  proto::Command empty;
  empty.mutable_swap_references()->add_swaps()->set_inode(inode);
  EXPECT_EQ(code(run(std::move(empty))), StatusCode::kOk);
  EXPECT_EQ(get("a").extents(0).row(), a.row);
  EXPECT_EQ(live_bytes(old_pack_), 100U);
  EXPECT_EQ(live_bytes(new_pack_), 0U);
}

TEST_F(RepackOpsTest, AClosedPackTakesNoSwap) {
  const Extent a = make_extent(0, 100);
  const std::uint64_t inode = put("a", {a});
  proto::Command close;
  close.mutable_close_pack()->add_packs(new_pack_);
  run(std::move(close));
  proto::Command command;
  add_swap(&command, inode, a, moved(a));
  EXPECT_EQ(code(run(std::move(command))), StatusCode::kFenced);
  EXPECT_EQ(get("a").extents(0).row(), a.row);
}

}  // namespace
}  // namespace shoal::metad
