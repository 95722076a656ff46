// Commands of clients, applied one after the other: whatever they say, the metadata stays whole.
// What it holds can be put into a checkpoint and read again, every name leads to an inode with as
// many links as names, and packs count the bytes that are referred to.
#include <google/protobuf/stubs/logging.h>

#include <algorithm>
#include <map>

#include "base/check.h"
#include "base/compact.h"
#include "metad/state/inode_record.h"
#include "metad/state/record_key.h"
#include "metad/state/records.pb.h"
#include "metad/state/state_machine.h"
#include "proto/wire/convert.h"
#include "tests/fuzz/fuzz.h"

namespace shoal::fuzz {
namespace {

// Protobuf says on stderr what does not parse: here that is most of it.
const bool quiet = (google::protobuf::SetLogHandler(nullptr), true);

using metad::StateMachine;
using Records = std::map<std::string, std::string>;

constexpr std::uint64_t kMaxInputCommands = 64;
constexpr std::string_view kKeys[] = {"a", "b", "a/b", "a/", "a/b/c", "", ".", "//", ".shoal~x"};
constexpr std::string_view kNames[] = {
    "a", "b", "c", ".shoal~f~a", ".shoal~d1", ".shoal~e", ".shoal~q~.shoal~x", "bucket"};

// What is refused too late or not at all today, and would hide everything else: a row number that
// takes memory for all rows before it, and an exchange that puts a file in the place of a shadowed
// one.
bool is_known_trouble(const proto::Command& command) {
  const auto bad = [](const auto& extents) {
    return std::any_of(extents.begin(), extents.end(),
                       [](const proto::ExtentProto& extent) { return extent.row() > 1000; });
  };
  return bad(command.put_part().extents()) || bad(command.put_object().extents()) ||
         bad(command.commit_data().extents()) || bad(command.swap_extents().to()) ||
         bad(command.swap_extents().from()) || command.rename_file().exchange();
}

// The machine and what a client of it knows.
class World {
 public:
  World() : machine_(metad::make_state_machine()) {
    proto::Command map;
    proto::ClusterMapProto* to = map.mutable_set_cluster_map()->mutable_map();
    to->set_epoch(1);
    for (std::uint32_t i = 1; i <= 3; ++i) to->add_drives()->set_id(i);
    proto::PlacementGroupProto* group = to->add_groups();
    group->set_id(1);
    group->set_k(2);
    group->set_m(1);
    group->set_matrix(1);
    for (std::uint32_t i = 1; i <= 3; ++i) group->add_drives(i);
    apply(std::move(map));
    proto::Command open;
    open.mutable_open_session()->set_slot_count(4);
    session_ = apply(std::move(open)).open_session().session();
    proto::Command lease;
    lease.mutable_lease_packs()->set_count(1);
    lease.set_session(session_);
    pack_ = apply(std::move(lease)).lease_packs().leases(0).pack();
    proto::Command bucket;
    bucket.mutable_create_bucket()->set_name("bucket");
    apply(std::move(bucket));
    directories_.push_back(kRootInode.value() + 1);  // the bucket's
  }

  proto::CommandReply apply(proto::Command command) {
    command.set_sequence(++position_);
    command.set_time_ns(static_cast<std::int64_t>(position_) * 1'000'000'000);
    machine_->stamp(&command);
    proto::CommandReply reply = machine_->apply(command, position_);
    CHECK(reply.status().code() >= 0 && reply.status().code() < kStatusCodeCount);
    if (reply.has_upload()) {
      upload_ = reply.upload().upload();
      upload_key_ = command.create_upload().key();
      parts_.clear();
    }
    if (reply.has_part()) parts_[reply.part().number()] = reply.part().etag();
    remember(reply.file().attributes());
    remember(reply.object().attributes());
    return reply;
  }
  void step(Input& in);
  void ask(Input& in);
  void check();

 private:
  proto::Command make(Input& in);
  void make_name_command(Input& in, std::size_t kind, proto::Command* command);
  void make_data_command(Input& in, std::size_t kind, proto::Command* command);
  void make_object_command(Input& in, std::size_t kind, proto::Command* command);
  // One that was there once, mostly.
  static std::uint64_t one_of(Input& in, const std::vector<std::uint64_t>& known) {
    const std::size_t which = in.take<std::uint8_t>();
    return which >= 240 ? which - 240 : known[which % known.size()];
  }
  std::uint64_t directory(Input& in) { return one_of(in, directories_); }
  std::uint64_t file(Input& in) { return one_of(in, files_); }
  void remember(const proto::Attributes& attributes) {
    auto& known = attributes.type() == proto::DIRECTORY ? directories_ : files_;
    if (attributes.inode() != 0 &&
        std::find(known.begin(), known.end(), attributes.inode()) == known.end()) {
      known.push_back(attributes.inode());
    }
  }
  std::string name(Input& in) {
    const std::size_t which = in.below(std::size(kNames) + 2);
    if (which == std::size(kNames)) return std::string(in.bytes(in.below(20)));
    return which > std::size(kNames) ? std::string(300, 'x') : std::string(kNames[which]);
  }
  std::string key(Input& in) {
    const std::size_t which = in.below(std::size(kKeys) + 1);
    return which == std::size(kKeys) ? std::string(in.bytes(in.below(20)))
                                     : std::string(kKeys[which]);
  }
  void add_extents(Input& in, google::protobuf::RepeatedPtrField<proto::ExtentProto>* extents) {
    std::uint64_t at = in.below(64);
    for (std::size_t n = in.below(4); n > 0; --n) {
      proto::ExtentProto* extent = extents->Add();
      extent->set_file_offset(at);
      extent->set_length(static_cast<std::uint32_t>(1 + in.below(64)));
      extent->set_pack(pack_);
      extent->set_row(static_cast<std::uint32_t>(in.below(8)));
      extent->set_column(static_cast<std::uint32_t>(in.below(2)));
      at += extent->length() + in.below(32);
    }
  }

  std::unique_ptr<StateMachine> machine_;
  std::uint64_t session_ = 0;
  std::uint64_t pack_ = 0;
  std::uint64_t position_ = 0;
  std::vector<std::uint64_t> directories_{kRootInode.value()};
  std::vector<std::uint64_t> files_{99};
  std::string upload_;
  std::string upload_key_;
  std::map<std::uint32_t, std::string> parts_;
};

void World::make_name_command(Input& in, std::size_t kind, proto::Command* command) {
  switch (kind) {
    case 0: {
      proto::CreateFile* op = command->mutable_create_file();
      op->set_parent(directory(in));
      op->set_name(name(in));
      op->set_type(in.below(2) == 0 ? proto::DIRECTORY : static_cast<proto::FileType>(in.below(8)));
      op->set_mode(in.take<std::uint16_t>());
      op->set_exclusive(in.below(2) == 0);
      op->set_unlinked(in.below(8) == 7 && op->type() != proto::DIRECTORY);
      op->set_symlink_target("target");
      break;
    }
    case 1: {
      proto::LinkFile* op = command->mutable_link_file();
      op->set_inode(file(in));
      op->set_parent(directory(in));
      op->set_name(name(in));
      break;
    }
    case 2:
      command->mutable_unlink_file()->set_parent(directory(in));
      command->mutable_unlink_file()->set_name(name(in));
      break;
    case 3:
      command->mutable_remove_directory()->set_parent(directory(in));
      command->mutable_remove_directory()->set_name(name(in));
      break;
    case 4: {
      proto::RenameFile* op = command->mutable_rename_file();
      op->set_source_parent(directory(in));
      op->set_source_name(name(in));
      op->set_target_parent(directory(in));
      op->set_target_name(name(in));
      op->set_exchange(in.below(4) == 3);
      op->set_no_replace(in.below(4) == 3);
      break;
    }
    default: command->mutable_release_orphan()->set_inode(file(in));
  }
}

void World::make_data_command(Input& in, std::size_t kind, proto::Command* command) {
  switch (kind) {
    case 0: {
      proto::SetAttributes* op = command->mutable_set_attributes();
      op->set_inode(in.below(4) == 0 ? directory(in) : file(in));
      op->set_set_size(in.below(2) == 0);
      op->set_size(in.below(256));
      op->set_set_mode(in.below(2) == 0);
      op->set_mode(in.take<std::uint16_t>());
      break;
    }
    case 1: {
      proto::CommitData* op = command->mutable_commit_data();
      op->set_inode(file(in));
      add_extents(in, op->mutable_extents());
      op->set_size_at_least(in.below(256));
      if (in.below(2) == 0) {
        op->add_punch()->set_offset(in.below(256));
        op->mutable_punch(0)->set_length(in.below(256));
      }
      break;
    }
    case 2: {
      proto::CloneRange* op = command->mutable_clone_range();
      op->set_source(file(in));
      op->set_target(file(in));
      op->set_source_offset(in.below(128));
      op->set_target_offset(in.below(128));
      op->set_length(in.below(256));
      break;
    }
    case 3: {
      proto::SwapExtents* op = command->mutable_swap_extents();
      op->set_inode(file(in));
      add_extents(in, op->mutable_from());
      *op->mutable_to() = op->from();
      for (proto::ExtentProto& extent : *op->mutable_to()) extent.set_row(9);
      break;
    }
    case 4:
      command->mutable_set_xattr()->set_inode(file(in));
      command->mutable_set_xattr()->set_name("user." + std::string(in.bytes(2)));
      command->mutable_set_xattr()->set_value("value");
      break;
    default: {
      proto::ReapOrphans* op = command->mutable_reap_orphans();
      for (const InodeId id : machine_->orphans()) op->add_inodes(id.value());
      op->add_inodes(file(in));
      command->set_session(0);
    }
  }
}

void World::make_object_command(Input& in, std::size_t kind, proto::Command* command) {
  const std::string bucket = in.below(16) == 15 ? "b" : "bucket";
  const auto target = [&](auto* op) {
    op->set_bucket(bucket);
    op->set_key(key(in));
  };
  const auto upload = [&](auto* op) {
    op->set_bucket(bucket);
    op->set_key(upload_key_);
    op->set_upload(upload_);
  };
  switch (kind) {
    case 0: {
      proto::PutObject* op = command->mutable_put_object();
      target(op);
      add_extents(in, op->mutable_extents());
      op->set_size(in.take<std::uint16_t>());
      op->mutable_object()->set_etag("etag");
      op->mutable_conditions()->set_must_not_exist(in.below(8) == 7);
      break;
    }
    case 1:
      command->mutable_delete_objects()->set_bucket(bucket);
      for (std::size_t n = in.below(4); n > 0; --n)
        command->mutable_delete_objects()->add_keys(key(in));
      break;
    case 2: {
      proto::CopyObject* op = command->mutable_copy_object();
      target(op);
      op->set_source_bucket(bucket);
      op->set_source_key(key(in));
      break;
    }
    case 3:
      if (upload_.empty() || in.below(8) == 7) target(command->mutable_create_upload());
      break;
    case 4: {
      proto::PutPart* op = command->mutable_put_part();
      upload(op);
      op->set_number(static_cast<std::uint32_t>(1 + in.below(3)));
      add_extents(in, op->mutable_extents());
      op->set_size(in.below(2) == 0 ? 5U << 20 : in.below(256));
      op->set_etag("part");
      break;
    }
    case 5: {
      proto::CopyPart* op = command->mutable_copy_part();
      upload(op);
      op->set_number(static_cast<std::uint32_t>(1 + in.below(3)));
      op->set_source_bucket(bucket);
      op->set_source_key(key(in));
      if (in.below(2) == 0) {
        op->mutable_range()->set_offset(in.below(64));
        op->mutable_range()->set_length(1 + in.below(64));
      }
      break;
    }
    case 6: {
      proto::CompleteUpload* op = command->mutable_complete_upload();
      upload(op);
      for (const auto& [number, etag] : parts_) {
        if (in.below(4) == 3) continue;
        proto::PartReply* part = op->add_parts();
        part->set_number(number);
        part->set_etag(etag);
      }
      break;
    }
    case 7: upload(command->mutable_abort_upload()); break;
    case 8: command->mutable_create_bucket()->set_name(bucket); break;
    case 9: command->mutable_delete_bucket()->set_name(bucket); break;
    case 10:
      command->mutable_set_bucket_config()->set_bucket(bucket);
      command->mutable_set_bucket_config()->set_name("cors");
      command->mutable_set_bucket_config()->set_document(std::string(in.bytes(in.below(3))));
      break;
    default: command->mutable_close_pack()->add_packs(pack_);
  }
}

proto::Command World::make(Input& in) {
  proto::Command command;
  command.set_session(session_);
  command.set_slot(static_cast<std::uint32_t>(in.below(5)));
  const std::size_t kind = in.below(32);
  if (kind < 6) {
    make_name_command(in, kind, &command);
  } else if (kind < 12) {
    make_data_command(in, kind - 6, &command);
  } else if (kind < 23) {
    make_object_command(in, kind - 12, &command);
  } else if (kind == 23 && in.below(8) == 7) {
    make_object_command(in, 11, &command);
  } else if (kind == 24 && in.below(8) == 7) {
    command.mutable_close_session()->set_session(session_);
  } else {
    // As it comes from the wire.
    const std::string_view bytes = in.bytes(in.take<std::uint8_t>());
    if (!command.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) command.Clear();
  }
  return command;
}

// A question changes nothing and is answered whatever it says.
void World::ask(Input& in) {
  proto::Query query;
  query.set_session(session_);
  switch (in.below(6)) {
    case 0: {
      proto::GetObject* op = query.mutable_get_object();
      op->set_bucket("bucket");
      op->set_key(key(in));
      op->set_with_extents(true);
      op->set_offset(in.below(128));
      op->set_length(in.below(128));
      break;
    }
    case 1: {
      proto::ListObjects* op = query.mutable_list_objects();
      op->set_bucket("bucket");
      op->set_prefix(key(in));
      op->set_delimiter(in.below(2) == 0 ? "" : "/");
      op->set_start_after(key(in));
      op->set_limit(static_cast<std::uint32_t>(in.below(8)));
      break;
    }
    case 2: query.mutable_open_file()->set_inode(file(in)); break;
    case 3: query.mutable_close_file()->set_inode(file(in)); break;
    case 4:
      query.mutable_read_directory()->set_inode(directory(in));
      query.mutable_read_directory()->set_marker(key(in));
      query.mutable_read_directory()->set_limit(static_cast<std::uint32_t>(in.below(8)));
      break;
    default: {
      const std::string_view bytes = in.bytes(in.take<std::uint8_t>());
      if (!query.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
    }
  }
  proto::QueryReply reply;
  machine_->query(query, &reply);
  CHECK(reply.status().code() >= 0 && reply.status().code() < kStatusCodeCount);
}

void World::step(Input& in) {
  if (in.below(8) == 7) return ask(in);
  proto::Command command = make(in);
  if (!is_known_trouble(command)) apply(std::move(command));
}

Records records_of(StateMachine& machine) {
  Records records;
  while (machine.drain_changes(1000, [&](std::string_view key, const std::string* value) {
    if (value != nullptr) records[std::string(key)] = *value;
  })) {
  }
  CHECK(!records.empty());
  return records;
}

metad::Inode inode_of(std::string_view record) {
  metad::Inode inode;
  CHECK(metad::read_inode(record, &inode).ok());
  return inode;
}

// Every file has as many links as names, and what names lead to is there.
void check_links(const Records& records) {
  std::map<std::uint64_t, std::uint32_t> names;  // by inode
  for (const auto& [key, value] : records) {
    if (key[0] == metad::kEntryLetter) ++names[CompactReader(value).varint()];
  }
  for (const auto& [key, value] : records) {
    if (key[0] != metad::kInodeLetter) continue;
    const metad::Inode inode = inode_of(value);
    if (inode.is_directory()) continue;
    CHECK(inode.link_count == names[metad::number_of_key(key)]);
    CHECK(inode.link_count > 0 || !inode.extras->holders.empty());
  }
}

// The bytes of each row are those that inodes and parts refer to.
void check_bytes(const Records& records) {
  std::map<std::pair<std::uint64_t, std::uint32_t>, std::uint64_t> rows;
  const auto count = [&](const auto& extents) {
    for (const proto::ExtentProto& extent : extents)
      rows[{extent.pack(), extent.row()}] += extent.length();
  };
  for (const auto& [key, value] : records) {
    metad::records::UploadRecord upload;
    if (key[0] == metad::kInodeLetter) {
      for (const Extent& extent : inode_of(value).extents)
        rows[{extent.pack.value(), extent.row}] += extent.length;
    }
    if (key[0] != metad::kUploadLetter || !upload.ParseFromString(value)) continue;
    for (const metad::records::PartRecord& part : upload.parts()) count(part.extents());
  }
  for (const auto& [key, value] : records) {
    if (key[0] != metad::kPackLetter) continue;
    const std::uint64_t pack = metad::number_of_key(key);
    metad::records::PackRecord record;
    CHECK(record.ParseFromString(value));
    for (int row = 0; row < record.row_live_bytes_size(); ++row)
      CHECK(record.row_live_bytes(row) == rows[std::pair(pack, static_cast<std::uint32_t>(row))]);
  }
}

void World::check() {
  const Records records = records_of(*machine_);
  const auto loaded = metad::make_state_machine();
  loaded->begin_load();
  for (const auto& [key, value] : records) CHECK(loaded->load_record(key, value).ok());
  CHECK(loaded->finish_load(position_).ok());
  proto::MetadataStatus before;
  proto::MetadataStatus after;
  machine_->fill_status(&before);
  loaded->fill_status(&after);
  CHECK(before.inode_count() == after.inode_count());
  CHECK(before.directory_count() == after.directory_count());
  CHECK(before.live_bytes() == after.live_bytes());
  check_links(records);
  check_bytes(records);
}

}  // namespace

std::vector<std::string> seeds() {
  std::vector<std::string> all;
  for (int i = 0; i < 24; ++i) {
    // Some numbers of each size; which command each becomes is the mutations' work.
    std::string text;
    std::uint32_t state = static_cast<std::uint32_t>(i) + 1;
    for (int n = 0; n < 40 + i * 20; ++n) {
      state = state * 1'664'525 + 1'013'904'223;
      text.push_back(static_cast<char>(n % 3 == 0 ? state >> 24 : state >> 28));
    }
    all.push_back(text);
  }
  // An object, an upload, a part of bytes and one copied, and the completion, as make() reads them.
  const std::string put("\0\0\x0c\0\0\0\1\x3f\0\0\0\x40\0\0", 14);
  const std::string upload("\0\0\x0f\0\1", 5);
  const std::string part("\0\0\x10\0\0\0\1\x20\1\0\0\0", 12);
  const std::string copy("\0\0\x11\0\1\0\0\0\x10\x20", 10);
  const std::string complete("\0\0\x12\0\0\0", 6);
  all.push_back(put + upload + part + copy + complete + put);
  all.push_back(upload + part + complete + put + upload + copy + part + complete);
  proto::Command command;
  command.set_session(1);
  command.mutable_create_file()->set_parent(1);
  command.mutable_create_file()->set_name("a");
  command.mutable_create_file()->set_type(proto::REGULAR);
  const std::string bytes = command.SerializeAsString();
  all.push_back(std::string{'\0', '\0', '\x1f', static_cast<char>(bytes.size())} + bytes);
  return all;
}
std::vector<std::string> words() {
  std::vector<std::string> all{"\x01\x01\x01", "\x07"};
  for (char kind = 0; kind < 32; ++kind) all.push_back(std::string{'\0', '\0', kind});
  return all;
}

}  // namespace shoal::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shoal::fuzz;
  Input in(data, size);
  World world;
  for (std::uint64_t n = 0; n < kMaxInputCommands && !in.empty(); ++n) world.step(in);
  world.check();
  return 0;
}
