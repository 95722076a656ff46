// Messages of peers: what is taken is in range and goes back into the same message.
#include <google/protobuf/stubs/logging.h>

#include "base/check.h"
#include "proto/wire/convert.h"
#include "proto/wire/storage_convert.h"
#include "tests/fuzz/fuzz.h"

namespace shoal::fuzz {
namespace {

// Protobuf says on stderr what does not parse: here that is most of it.
const bool quiet = (google::protobuf::SetLogHandler(nullptr), true);

// Extents near the end of 64 bits and columns longer than a column can be are taken today; the
// checks below leave those out.
bool is_known_trouble(const Extent& extent) {
  return extent.file_end() < extent.file_offset ||
         std::uint64_t{extent.column_offset} + extent.length > kMaxColumnBytes;
}

void check_extents(std::string_view bytes) {
  proto::CommitData message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  const auto extents = wire::extents_from_proto(message.extents());
  if (!extents.ok()) {
    CHECK(extents.status().code() == StatusCode::kInvalidArgument);
    return;
  }
  google::protobuf::RepeatedPtrField<proto::ExtentProto> again;
  wire::extents_to_proto(*extents, &again);
  const auto back = wire::extents_from_proto(again);
  CHECK(back.ok() && *back == *extents);
  std::uint64_t end = 0;
  for (const Extent& extent : *extents) {
    if (is_known_trouble(extent)) return;
    CHECK(extent.length > 0 && extent.file_offset >= end);
    end = extent.file_end();
    CHECK(extent.column < kMaxDataColumns);
    CHECK(std::uint64_t{extent.stored_offset} + extent.length <= extent.stored_length);
  }
}

void check_cluster_map(std::string_view bytes) {
  proto::ClusterMapProto message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  const auto map = wire::cluster_map_from_proto(message);
  if (!map.ok()) {
    CHECK(map.status().code() == StatusCode::kInvalidArgument);
    return;
  }
  for (const PlacementGroup& group : map->groups) {
    CHECK(map->group(group.id) == &group);
    CHECK(validate(group.code).ok());
    CHECK(group.drives.size() == static_cast<std::size_t>(group.code.width()));
    for (const DriveId id : group.drives) CHECK(map->drive(id) != nullptr);
    CHECK(pg_of_pack(make_pack_id(group.id, 1)) == group.id);
  }
  const proto::ClusterMapProto again = wire::cluster_map_to_proto(*map);
  const auto back = wire::cluster_map_from_proto(again);
  CHECK(back.ok() &&
        wire::cluster_map_to_proto(*back).SerializeAsString() == again.SerializeAsString());
}

void check_write(std::string_view bytes) {
  proto::WriteFragment message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  const auto write = wire::write_fragment_from_proto(DriveId(1), message);
  if (!write.ok()) {
    CHECK(write.status().code() == StatusCode::kInvalidArgument);
    return;
  }
  CHECK(validate(write->shape).ok());
  CHECK(write->key.column < write->shape.code.width());
  proto::WriteFragment again;
  wire::write_fragment_to_proto(*write, &again);
  const auto back = wire::write_fragment_from_proto(DriveId(1), again);
  CHECK(back.ok() && back->key == write->key && back->shape == write->shape &&
        back->page_crcs == write->page_crcs && back->directory.size() == write->directory.size() &&
        back->repair == write->repair);
}

void check_reply(std::string_view bytes) {
  proto::StorageReply message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  for (const FragmentDetail detail :
       {FragmentDetail::kIndexed, FragmentDetail::kShape, FragmentDetail::kRecord}) {
    const auto fragments = wire::fragments_from_proto(PackId(1), detail, message);
    if (!fragments.ok()) continue;
    for (const FragmentInfo& info : *fragments) {
      CHECK(info.shape || detail == FragmentDetail::kIndexed);
      CHECK(!info.shape || validate(*info.shape).ok());
    }
  }
  const auto damaged = wire::damaged_from_proto(message);
  if (damaged.ok()) {
    for (const DamagedFragment& one : *damaged) CHECK(one.key.column < kMaxColumns);
    proto::StorageReply again;
    wire::damaged_to_proto(*damaged, &again);
    CHECK(again.damaged_size() == message.damaged_size());
  }
  const auto directory = wire::directory_from_proto(message);
  if (directory.ok()) {
    for (const RowObject& object : *directory) CHECK(object.column < kMaxColumns);
  }
  CHECK(wire::packs_from_proto(message).size() == static_cast<std::size_t>(message.packs_size()));
  CHECK(wire::drives_from_proto(message).size() == static_cast<std::size_t>(message.drives_size()));
  const Status status = wire::status_from_proto(message.status());
  CHECK(!status_code_name(status.code()).empty());
}

void check_read(std::string_view bytes) {
  proto::ReadFragment message;
  if (!message.ParseFromArray(bytes.data(), static_cast<int>(bytes.size()))) return;
  const auto read = wire::read_fragment_from_proto(DriveId(1), message);
  if (!read.ok()) return;
  CHECK(read->length <= kMaxColumnBytes && read->offset <= kMaxColumnBytes);
  CHECK(read->key.column < kMaxColumns);
}

}  // namespace

std::vector<std::string> seeds() {
  proto::CommitData data;
  for (std::uint32_t i = 0; i < 3; ++i) {
    proto::ExtentProto* extent = data.add_extents();
    extent->set_file_offset(i * 200);
    extent->set_length(100);
    extent->set_pack(5);
    extent->set_row(i);
    extent->set_column(i);
    extent->set_column_offset(50);
    extent->set_stored_offset(i * 10);
    extent->set_stored_length(200);
    extent->set_crc32c(7);
  }
  proto::ClusterMapProto map;
  map.set_epoch(1);
  for (std::uint32_t i = 1; i <= 3; ++i) map.add_drives()->set_id(i);
  proto::PlacementGroupProto* group = map.add_groups();
  group->set_id(1);
  group->set_k(2);
  group->set_m(1);
  group->set_matrix(1);
  for (std::uint32_t i = 1; i <= 3; ++i) group->add_drives(i);
  proto::WriteFragment write;
  write.set_pack(5);
  write.mutable_shape()->set_k(2);
  write.mutable_shape()->set_m(1);
  write.mutable_shape()->set_matrix(1);
  write.mutable_shape()->add_heights(4096);
  write.mutable_shape()->add_heights(10);
  write.add_page_crcs(1);
  write.add_directory()->set_length(3);
  proto::StorageReply reply;
  *reply.add_fragments()->mutable_shape() = write.shape();
  reply.add_packs()->set_pack(5);
  reply.add_drives()->set_drive(1);
  reply.add_damaged()->set_column(3);
  reply.add_directory()->set_column(2);
  reply.mutable_status()->set_code(2);
  proto::ReadFragment read;
  read.set_pack(5);
  read.set_length(4096);
  return {std::string(1, '\0') + data.SerializeAsString(),
          std::string(1, '\x01') + map.SerializeAsString(),
          std::string(1, '\x02') + write.SerializeAsString(),
          std::string(1, '\x03') + reply.SerializeAsString(),
          std::string(1, '\x04') + read.SerializeAsString()};
}
std::vector<std::string> words() {
  // Numbers of many bytes, as protobuf spells them.
  return {"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",
          "\xff\xff\xff\xff\x0f",
          "\x80\x80\x40",
          "\x08",
          "\x10",
          "\x12"};
}

}  // namespace shoal::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shoal::fuzz;
  Input in(data, size);
  switch (in.below(5)) {
    case 0: check_extents(in.rest()); break;
    case 1: check_cluster_map(in.rest()); break;
    case 2: check_write(in.rest()); break;
    case 3: check_reply(in.rest()); break;
    default: check_read(in.rest());
  }
  return 0;
}
