// Records of a checkpoint: what is read as an inode or an object is written and read again as the
// same; and whatever a checkpoint says, loading it gives a state that fits together or
// kCorruption.
#include <google/protobuf/stubs/logging.h>

#include "base/check.h"
#include "base/compact.h"
#include "metad/state/inode_record.h"
#include "metad/state/loader.h"
#include "metad/state/object_record.h"
#include "tests/fuzz/fuzz.h"

namespace shoal::fuzz {
namespace {

using metad::Inode;

// Protobuf says on stderr what does not parse: here that is most of it.
const bool quiet = (google::protobuf::SetLogHandler(nullptr), true);

std::string record_of(const Inode& inode) {
  std::string record;
  metad::write_inode(inode, &record);
  return record;
}

Inode some_inode(proto::FileType type) {
  Inode inode;
  inode.type = static_cast<std::uint8_t>(type);
  inode.mode = 0644;
  inode.link_count = 1;
  inode.size = 4096;
  inode.mtime_ns = 1'700'000'000'000'000'000;
  if (type == proto::DIRECTORY) {
    inode.link_count = 2;
    inode.directory = std::make_unique<metad::Directory>();
    inode.directory->parent = kRootInode;
    return inode;
  }
  Extent extent;
  extent.length = 4096;
  extent.stored_length = 5000;
  extent.pack = make_pack_id(PgId(3), 77);
  extent.column_offset = extent.stored_offset = 16;
  inode.extents.push_back(extent);
  proto::ObjectMeta object;
  object.set_etag("d41d8cd98f00b204e9800998ecf8427e-2");
  object.set_last_modified_ns(inode.mtime_ns);
  (*object.mutable_headers())["content-type"] = "text/plain";
  object.add_part_sizes(5);
  inode.object = metad::pack_object(object, inode.birth_ns);
  inode.need_extras().xattrs["user.a"] = "b";
  inode.extras->holders = {0, 4};
  return inode;
}

void check_inode(std::string_view bytes) {
  Inode inode;
  const Status read = metad::read_inode(bytes, &inode);
  CHECK(read.ok() || read.code() == StatusCode::kCorruption);
  if (!read.ok()) return;
  const std::string record = record_of(inode);
  Inode again;
  CHECK(metad::read_inode(record, &again).ok());
  CHECK(record_of(again) == record);
}

void check_object(std::string_view bytes) {
  const auto object = metad::unpack_object(bytes, 5);
  CHECK(object.ok() == metad::is_packed_object(bytes));
  if (!object.ok()) return;
  const std::string packed = metad::pack_object(*object, 5);
  const auto again = metad::unpack_object(packed, 5);
  CHECK(again.ok() && metad::pack_object(*again, 5) == packed);
}

// Pairs of texts are records, in the order of their keys.
void check_load(std::string_view bytes) {
  std::map<std::string, std::string> records;
  for (CompactReader in(bytes); in.left() > 0;) {
    const std::string key(in.text());
    records[key] = in.text();
  }
  metad::State state;
  metad::StateLoader loader(&state);
  Status loaded;
  for (const auto& [key, value] : records) {
    if (loaded.ok()) loaded = loader.load(key, value);
  }
  if (loaded.ok()) loaded = loader.finish();
  CHECK(loaded.ok() || loaded.code() == StatusCode::kCorruption);
  if (!loaded.ok()) return;
  CHECK(state.find(kRootInode.value()) != nullptr);
  for (const auto& [id, inode] : state.directories) {
    for (const auto& entry : inode->directory->entries) CHECK(state.find(entry.inode) != nullptr);
  }
}

std::string small_checkpoint() {
  std::string bytes;
  const auto add = [&bytes](const std::string& key, const std::string& value) {
    put_text(&bytes, key);
    put_text(&bytes, value);
  };
  const auto number = [](std::uint64_t value) {
    std::string text;
    put_varint(&text, value);
    return text;
  };
  add(metad::number_key(metad::kInodeLetter, 1), record_of(some_inode(proto::DIRECTORY)));
  add(metad::number_key(metad::kInodeLetter, 2), record_of(some_inode(proto::DIRECTORY)));
  add(metad::number_key(metad::kInodeLetter, 3), record_of(some_inode(proto::REGULAR)));
  add(metad::number_key(metad::kEntryLetter, 1) + "d/", number(2));
  add(metad::number_key(metad::kEntryLetter, 2) + std::string("f\0", 2), number(3));
  return bytes;
}

}  // namespace

std::vector<std::string> seeds() {
  return {"\1" + record_of(some_inode(proto::REGULAR)),
          "\1" + record_of(some_inode(proto::DIRECTORY)), "\2" + some_inode(proto::REGULAR).object,
          "\3" + small_checkpoint()};
}
std::vector<std::string> words() {
  return {"\x80", "\xff\xff\xff\xff\x0f", std::string(1, '\0'), "i", "n", "g", "p"};
}

}  // namespace shoal::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shoal::fuzz;
  Input in(data, size);
  switch (in.take<std::uint8_t>() % 4) {
    case 1: check_inode(in.rest()); break;
    case 2: check_object(in.rest()); break;
    default: check_load(in.rest()); break;
  }
  return 0;
}
