// A state machine and one session that sends it commands: a small cluster of three drives with a
// bucket, for tests of what is made of a state.
#pragma once

#include <gtest/gtest.h>

#include <map>
#include <memory>
#include <string>

#include "metad/state/state_machine.h"

namespace shoal::test {

// Three drives and one group of 2+1 on them.
inline proto::Command small_cluster_map() {
  proto::Command command;
  proto::ClusterMapProto* map = command.mutable_set_cluster_map()->mutable_map();
  map->set_epoch(1);
  map->set_cluster_uuid("cluster");
  for (std::uint32_t i = 1; i <= 3; ++i) map->add_drives()->set_id(i);
  proto::PlacementGroupProto* group = map->add_groups();
  group->set_id(1);
  group->set_k(2);
  group->set_m(1);
  group->set_matrix(1);
  for (std::uint32_t i = 1; i <= 3; ++i) group->add_drives(i);
  return command;
}

class MetadataDriver {
 public:
  MetadataDriver() : machine(metad::make_state_machine()) {
    run(small_cluster_map());
    proto::Command open;
    open.mutable_open_session()->set_slot_count(4);
    session = run(std::move(open)).open_session().session();
    pack = lease();
    proto::Command bucket;
    bucket.mutable_create_bucket()->set_name("bucket");
    run(std::move(bucket));
  }

  // One that must succeed.
  proto::CommandReply run(proto::Command command) {
    command.set_session(session);
    command.set_sequence(++position);
    command.set_time_ns(static_cast<std::int64_t>(position) * 1'000'000'007);
    proto::CommandReply reply = machine->apply(command, position);
    EXPECT_EQ(reply.status().code(), 0) << reply.status().message();
    return reply;
  }
  std::uint64_t lease() {
    proto::Command command;
    command.mutable_lease_packs()->set_count(1);
    return run(std::move(command)).lease_packs().leases(0).pack();
  }
  void close_pack(std::uint64_t id) {
    proto::Command command;
    command.mutable_close_pack()->add_packs(id);
    run(std::move(command));
  }
  void add_extent(google::protobuf::RepeatedPtrField<proto::ExtentProto>* list,
                  std::uint64_t offset, std::uint32_t length) {
    proto::ExtentProto* extent = list->Add();
    extent->set_file_offset(offset);
    extent->set_length(length);
    extent->set_pack(pack);
    extent->set_row(row++);
  }
  void put(const std::string& key, std::uint32_t size = 100) {
    proto::Command command;
    proto::PutObject* op = command.mutable_put_object();
    op->set_bucket("bucket");
    op->set_key(key);
    op->set_size(size);
    op->mutable_object()->set_etag("etag-" + key);
    (*op->mutable_object()->mutable_headers())["content-type"] = "text/plain";
    if (size > 0) add_extent(op->mutable_extents(), 0, size);
    run(std::move(command));
  }
  void remove(const std::string& key) {
    proto::Command command;
    command.mutable_delete_objects()->set_bucket("bucket");
    command.mutable_delete_objects()->add_keys(key);
    run(std::move(command));
  }
  std::uint64_t make_file(std::uint64_t parent, const std::string& name, proto::FileType type) {
    proto::Command command;
    command.mutable_create_file()->set_parent(parent);
    command.mutable_create_file()->set_name(name);
    command.mutable_create_file()->set_type(type);
    command.mutable_create_file()->set_mode(0640);
    command.mutable_create_file()->set_symlink_target("target");
    return run(std::move(command)).file().attributes().inode();
  }

  std::unique_ptr<metad::StateMachine> machine;
  std::uint64_t session = 0;
  std::uint64_t position = 0;
  std::uint64_t pack = 0;
  std::uint32_t row = 0;
};

}  // namespace shoal::test
