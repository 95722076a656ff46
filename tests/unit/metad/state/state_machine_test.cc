#include "metad/state/state_machine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

#include "base/random.h"
#include "proto/wire/convert.h"
#include "tests/support/metadata_driver.h"

namespace shoal::metad {
namespace {

// Runs commands as one session that has leased packs.
class StateMachineTest : public testing::Test {
 protected:
  void SetUp() override {
    ASSERT_EQ(run(test::small_cluster_map()).status().code(), 0);
    proto::Command open;
    open.mutable_open_session()->set_slot_count(4);
    session_ = run(std::move(open)).open_session().session();
    proto::Command lease;
    lease.mutable_lease_packs()->set_count(1);
    const auto leased = run(std::move(lease));
    ASSERT_EQ(leased.status().code(), 0) << leased.status().message();
    pack_ = leased.lease_packs().leases(0).pack();
    proto::Command bucket;
    bucket.mutable_create_bucket()->set_name("bucket");
    ASSERT_EQ(run(std::move(bucket)).status().code(), 0);
  }

  proto::CommandReply run(proto::Command command) {
    command.set_session(session_);
    command.set_sequence(++sequence_);
    command.set_time_ns(static_cast<std::int64_t>(++time_) * 1'000'000'000);
    return machine_->apply(command, ++position_);
  }
  StatusCode code(const proto::CommandReply& reply) { return status_code_from_wire(reply.status().code()); }

  void add_extent(google::protobuf::RepeatedPtrField<proto::ExtentProto>* list, std::uint64_t offset,
                  std::uint32_t length) {
    proto::ExtentProto* extent = list->Add();
    extent->set_file_offset(offset);
    extent->set_length(length);
    extent->set_pack(pack_);
    extent->set_row(next_row_++);
  }
  proto::CommandReply put(const std::string& key, std::uint32_t size = 100, bool must_not_exist = false) {
    proto::Command command;
    proto::PutObject* op = command.mutable_put_object();
    op->set_bucket("bucket");
    op->set_key(key);
    op->set_size(size);
    op->mutable_object()->set_etag("etag-" + key);
    op->mutable_conditions()->set_must_not_exist(must_not_exist);
    if (size > 0) add_extent(op->mutable_extents(), 0, size);
    return run(std::move(command));
  }
  void remove(const std::string& key) {
    proto::Command command;
    command.mutable_delete_objects()->set_bucket("bucket");
    command.mutable_delete_objects()->add_keys(key);
    ASSERT_EQ(run(std::move(command)).delete_objects().statuses(0).code(), 0);
  }
  bool exists(const std::string& key) {
    proto::Query query;
    query.mutable_get_object()->set_bucket("bucket");
    query.mutable_get_object()->set_key(key);
    proto::QueryReply reply;
    machine_->query(query, &reply);
    return reply.status().code() == 0;
  }
  std::vector<std::string> list(std::uint32_t page = 1000, const std::string& prefix = "",
                                const std::string& delimiter = "") {
    std::vector<std::string> keys;
    std::string after;
    while (true) {
      proto::Query query;
      query.mutable_list_objects()->set_bucket("bucket");
      query.mutable_list_objects()->set_prefix(prefix);
      query.mutable_list_objects()->set_delimiter(delimiter);
      query.mutable_list_objects()->set_start_after(after);
      query.mutable_list_objects()->set_limit(page);
      proto::QueryReply reply;
      machine_->query(query, &reply);
      for (const auto& entry : reply.objects().objects()) keys.push_back(entry.key());
      for (const auto& common : reply.objects().common_prefixes()) keys.push_back(common);
      if (!reply.objects().truncated()) break;
      after = reply.objects().next_start_after();
    }
    std::sort(keys.begin(), keys.end());
    return keys;
  }
  // Unlinked files go.
  void reap() {
    proto::Command command;
    for (const InodeId id : machine_->orphans()) {
      command.mutable_reap_orphans()->add_inodes(id.value());
    }
    ASSERT_EQ(run(std::move(command)).status().code(), 0);
  }
  std::uint64_t live_bytes() {
    proto::MetadataStatus status;
    machine_->fill_status(&status);
    return status.live_bytes();
  }
  // A machine made from this one's records.
  std::unique_ptr<StateMachine> reload() {
    while (machine_->drain_changes(1000, [&](std::string_view key, const std::string* value) {
      if (value == nullptr) {
        records_.erase(std::string(key));
      } else {
        records_[std::string(key)] = *value;
      }
    })) {
    }
    auto loaded = make_state_machine();
    loaded->begin_load();
    for (const auto& [key, value] : records_) EXPECT_TRUE(loaded->load_record(key, value).ok());
    const Status finished = loaded->finish_load(position_);
    EXPECT_TRUE(finished.ok()) << finished.to_string();
    return loaded;
  }

  std::unique_ptr<StateMachine> machine_ = make_state_machine();
  std::map<std::string, std::string> records_;
  std::uint64_t session_ = 0;
  std::uint64_t sequence_ = 0;
  std::uint64_t position_ = 0;
  std::uint64_t time_ = 1;
  std::uint64_t pack_ = 0;
  std::uint32_t next_row_ = 0;
};

TEST_F(StateMachineTest, AnyKeysListInByteOrderAndVanishWithTheirImplicitDirectories) {
  const std::vector<std::string> parts{"a", "b", "a-b", "", ".", "..", "a.b", std::string(300, 'x')};
  SeededRandom random(7);
  std::map<std::string, bool> model;
  for (int i = 0; i < 3000; ++i) {
    std::string key = parts[random.below(parts.size())];
    for (std::uint64_t depth = random.below(3); depth > 0; --depth) key += "/" + parts[random.below(parts.size())];
    if (key.empty() || key.size() > 1024) continue;
    if (random.below(3) == 0) {
      remove(key);
      model.erase(key);
    } else {
      ASSERT_EQ(code(put(key)), StatusCode::kOk) << key;
      model[key] = true;
    }
    ASSERT_EQ(exists(key), model.contains(key)) << key;
    if (i % 200 == 0) machine_ = reload();
  }
  std::vector<std::string> expected;
  for (const auto& [key, there] : model) expected.push_back(key);
  EXPECT_EQ(list(), expected);
  EXPECT_EQ(list(7), expected);
  reap();
  EXPECT_EQ(live_bytes(), 100 * expected.size());
  for (const std::string& key : expected) remove(key);
  reap();
  EXPECT_EQ(live_bytes(), 0U);
  proto::MetadataStatus status;
  machine_->fill_status(&status);
  EXPECT_EQ(status.inode_count(), 2U);  // the root and the bucket
}

TEST_F(StateMachineTest, ADelimiterRollsUpWhateverThePageSize) {
  for (const char* key : {"p/a", "p/b/1", "p/b/2", "p/c/1", "p/d", "q"}) put(key);
  for (const std::uint32_t page : {1U, 2U, 1000U}) {
    EXPECT_EQ(list(page, "p/", "/"), (std::vector<std::string>{"p/a", "p/b/", "p/c/", "p/d"})) << page;
  }
}

TEST_F(StateMachineTest, AConditionIsEvaluatedInsideTheCommand) {
  EXPECT_EQ(code(put("once", 10, true)), StatusCode::kOk);
  EXPECT_EQ(code(put("once", 10, true)), StatusCode::kPreconditionFailed);
  EXPECT_EQ(code(put("once", 10)), StatusCode::kOk);
}

TEST_F(StateMachineTest, ACommitUnderAClosedPackIsFencedAndLeavesNothing) {
  proto::Command close;
  close.mutable_close_pack()->add_packs(pack_);
  ASSERT_EQ(run(std::move(close)).status().code(), 0);
  EXPECT_EQ(code(put("late")), StatusCode::kFenced);
  EXPECT_FALSE(exists("late"));
  EXPECT_EQ(live_bytes(), 0U);
}

TEST_F(StateMachineTest, ARetryGetsTheFirstAnswerAlsoAfterAReload) {
  proto::Command command;
  command.set_session(session_);
  command.set_sequence(++sequence_);
  command.set_time_ns(5);
  command.mutable_create_file()->set_parent(kRootInode.value());
  command.mutable_create_file()->set_name("file");
  command.mutable_create_file()->set_type(proto::REGULAR);
  command.mutable_create_file()->set_exclusive(true);
  EXPECT_EQ(machine_->find_reply(command), nullptr);
  const auto first = machine_->apply(command, ++position_);
  ASSERT_EQ(first.status().code(), 0);
  for (int round = 0; round < 2; ++round) {
    const proto::CommandReply* again = machine_->find_reply(command);
    ASSERT_NE(again, nullptr);
    EXPECT_EQ(again->SerializeAsString(), first.SerializeAsString());
    machine_ = reload();
  }
}

TEST_F(StateMachineTest, AFileHeldOpenOutlivesItsNameUntilItIsReleased) {
  put("held", 100);
  proto::Query get;
  get.mutable_get_object()->set_bucket("bucket");
  get.mutable_get_object()->set_key("held");
  proto::QueryReply found;
  machine_->query(get, &found);
  const std::uint64_t inode = found.object().attributes().inode();
  proto::Query open;
  open.set_session(session_);
  open.mutable_open_file()->set_inode(inode);
  proto::QueryReply opened;
  machine_->query(open, &opened);
  ASSERT_EQ(opened.status().code(), 0);
  remove("held");
  proto::Command command;
  command.mutable_reap_orphans()->add_inodes(inode);
  machine_->stamp(&command);
  run(std::move(command));
  EXPECT_EQ(live_bytes(), 100U);
  machine_ = reload();
  proto::Command release;
  release.mutable_release_orphan()->set_inode(inode);
  run(std::move(release));
  EXPECT_EQ(live_bytes(), 0U);
}

TEST_F(StateMachineTest, OverwritesCutExtentsAndKeepTheAccount) {
  proto::Command create;
  create.mutable_create_file()->set_parent(kRootInode.value());
  create.mutable_create_file()->set_name("f");
  create.mutable_create_file()->set_type(proto::REGULAR);
  const std::uint64_t inode = run(std::move(create)).file().attributes().inode();
  SeededRandom random(3);
  std::vector<bool> covered(100'000);
  for (int i = 0; i < 300; ++i) {
    proto::Command commit;
    commit.mutable_commit_data()->set_inode(inode);
    const std::uint64_t offset = random.below(90'000);
    const auto length = static_cast<std::uint32_t>(1 + random.below(9'000));
    add_extent(commit.mutable_commit_data()->mutable_extents(), offset, length);
    if (i % 5 == 0) {
      proto::ByteRange* hole = commit.mutable_commit_data()->add_punch();
      hole->set_offset(random.below(90'000));
      hole->set_length(random.below(9'000));
      for (std::uint64_t at = 0; at < hole->length(); ++at) covered[hole->offset() + at] = false;
    }
    ASSERT_EQ(run(std::move(commit)).status().code(), 0);
    for (std::uint64_t at = 0; at < length; ++at) covered[offset + at] = true;
    ASSERT_EQ(live_bytes(), static_cast<std::uint64_t>(std::count(covered.begin(), covered.end(), true)));
  }
}

TEST_F(StateMachineTest, ADirectoryCannotMoveIntoItself) {
  std::uint64_t parent = kRootInode.value();
  for (const char* name : {"d", "e"}) {
    proto::Command make;
    make.mutable_create_file()->set_parent(parent);
    make.mutable_create_file()->set_name(name);
    make.mutable_create_file()->set_type(proto::DIRECTORY);
    parent = run(std::move(make)).file().attributes().inode();
  }
  proto::Command move;
  move.mutable_rename_file()->set_source_parent(kRootInode.value());
  move.mutable_rename_file()->set_source_name("d");
  move.mutable_rename_file()->set_target_parent(parent);
  move.mutable_rename_file()->set_target_name("x");
  EXPECT_EQ(code(run(std::move(move))), StatusCode::kInvalidArgument);
}

TEST_F(StateMachineTest, ADamagedRecordIsNamed) {
  auto machine = make_state_machine();
  machine->begin_load();
  EXPECT_EQ(machine->load_record(std::string("i\0\0\0\0\0\0\0\5", 9), "garbage").code(), StatusCode::kCorruption);
  EXPECT_EQ(machine->load_record("i", "").code(), StatusCode::kCorruption);
  EXPECT_EQ(machine->load_record("?", "").code(), StatusCode::kCorruption);
}

}  // namespace
}  // namespace shoal::metad
