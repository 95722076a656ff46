#include "metad/state/inode_record.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace shoal::metad {
namespace {

std::string record_of(const Inode& inode) {
  std::string record;
  write_inode(inode, &record);
  return record;
}

void expect_same(const Inode& inode) {
  const std::string record = record_of(inode);
  Inode back;
  const Status read = read_inode(record, &back);
  ASSERT_TRUE(read.ok()) << read.to_string();
  EXPECT_EQ(record_of(back), record);
  EXPECT_EQ(type_of_record(record), inode.type);
  EXPECT_EQ(back.type, inode.type);
  EXPECT_EQ(back.mode, inode.mode);
  EXPECT_EQ(back.uid, inode.uid);
  EXPECT_EQ(back.gid, inode.gid);
  EXPECT_EQ(back.link_count, inode.link_count);
  EXPECT_EQ(back.size, inode.size);
  EXPECT_EQ(back.data_version, inode.data_version);
  EXPECT_EQ(back.atime_ns, inode.atime_ns);
  EXPECT_EQ(back.mtime_ns, inode.mtime_ns);
  EXPECT_EQ(back.ctime_ns, inode.ctime_ns);
  EXPECT_EQ(back.birth_ns, inode.birth_ns);
  EXPECT_EQ(back.implicit, inode.implicit);
  EXPECT_EQ(back.extents, inode.extents);
  EXPECT_EQ(back.object, inode.object);
}

Inode plain_file() {
  constexpr std::int64_t kNow = 1'700'000'000'123'456'789;
  Inode inode;
  inode.type = proto::REGULAR;
  inode.mode = 0644;
  inode.uid = inode.gid = 1000;
  inode.link_count = 1;
  inode.size = 4096;
  inode.data_version = 1;
  inode.birth_ns = inode.atime_ns = kNow;
  inode.mtime_ns = inode.ctime_ns = kNow + 3'000'000;
  Extent extent;
  extent.length = extent.stored_length = 4096;
  extent.pack = make_pack_id(PgId(12), 100'000);
  extent.row = 1000;
  extent.column = 3;
  extent.column_offset = 64 << 10;
  extent.crc32c = 0xdeadbeef;
  inode.extents.push_back(extent);
  return inode;
}

TEST(InodeRecordTest, AFileWithOneExtentFitsIn48BytesWithItsIdAndLength) {
  const std::string record = record_of(plain_file());
  expect_same(plain_file());
  EXPECT_LE(record.size() + 1 + 4, 56U);
}

TEST(InodeRecordTest, TheExtremesComeBackAsTheyWere) {
  Inode inode = plain_file();
  inode.mode = 07777;
  inode.uid = inode.gid = inode.link_count = UINT32_MAX;
  inode.size = inode.data_version = UINT64_MAX;
  inode.atime_ns = INT64_MIN;
  inode.mtime_ns = INT64_MAX;
  inode.ctime_ns = -1;
  inode.birth_ns = 0;
  expect_same(inode);
  for (const proto::FileType type :
       {proto::SYMLINK, proto::FIFO, proto::SOCKET, proto::CHARACTER_DEVICE, proto::BLOCK_DEVICE}) {
    inode.type = static_cast<std::uint8_t>(type);
    expect_same(inode);
  }
}

TEST(InodeRecordTest, ManyExtentsWithHolesAndCutPiecesComeBackAsTheyWere) {
  SeededRandom random(3);
  Inode inode = plain_file();
  inode.extents.clear();
  std::uint64_t end = 0;
  for (int i = 0; i < 500; ++i) {
    Extent extent;
    extent.file_offset = end + (random.below(2) == 0 ? 0 : random.below(1 << 20));
    extent.length = static_cast<std::uint32_t>(1 + random.below(1 << 19));
    extent.pack = make_pack_id(PgId(static_cast<std::uint32_t>(random.below(1 << 24))),
                               random.below(std::uint64_t{1} << 40));
    extent.row = static_cast<std::uint32_t>(random.next());
    extent.column = static_cast<std::uint8_t>(random.below(16));
    extent.column_offset = static_cast<std::uint32_t>(random.below(1 << 19));
    extent.stored_length = extent.length;
    if (random.below(3) == 0) {
      extent.stored_offset = static_cast<std::uint32_t>(random.below(extent.column_offset + 1));
      extent.stored_length += extent.stored_offset + static_cast<std::uint32_t>(random.below(100));
    }
    extent.crc32c = static_cast<std::uint32_t>(random.next());
    inode.extents.push_back(extent);
    end = extent.file_end();
  }
  expect_same(inode);
}

TEST(InodeRecordTest, WhatFewInodesHaveComesBackToo) {
  Inode inode = plain_file();
  inode.link_count = 0;
  inode.object = "packed";
  inode.need_extras().symlink_target = "target";
  inode.extras->device = 0x1234567890;
  inode.extras->xattrs["user.a"] = std::string("\0\xff", 2);
  inode.extras->xattrs["user.\xff"] = "";
  inode.extras->holders = {0, 7, 8};
  expect_same(inode);
  Inode back;
  ASSERT_TRUE(read_inode(record_of(inode), &back).ok());
  EXPECT_EQ(back.extras->symlink_target, "target");
  EXPECT_EQ(back.extras->device, inode.extras->device);
  EXPECT_EQ(back.extras->xattrs, inode.extras->xattrs);
  EXPECT_EQ(back.extras->holders, inode.extras->holders);
}

TEST(InodeRecordTest, ADirectoryHasItsParentAndItsMarks) {
  Inode inode = plain_file();
  inode.type = proto::DIRECTORY;
  inode.extents.clear();
  inode.implicit = true;
  inode.link_count = 5;
  inode.directory = std::make_unique<Directory>();
  inode.directory->parent = InodeId(77);
  inode.directory->is_object = true;
  expect_same(inode);
  Inode back;
  ASSERT_TRUE(read_inode(record_of(inode), &back).ok());
  EXPECT_EQ(back.directory->parent, InodeId(77));
  EXPECT_TRUE(back.directory->is_object);
}

TEST(InodeRecordTest, ACutOrMalformedRecordIsCorruption) {
  Inode inode = plain_file();
  inode.need_extras().xattrs["user.a"] = "b";
  inode.object = "packed";
  const std::string record = record_of(inode);
  for (std::size_t length = 0; length < record.size(); ++length) {
    Inode back;
    EXPECT_EQ(read_inode(record.substr(0, length), &back).code(), StatusCode::kCorruption);
  }
  Inode more;
  EXPECT_EQ(read_inode(record + "x", &more).code(), StatusCode::kCorruption);
  for (const auto& spoil : std::vector<void (*)(Extent*)>{
           [](Extent* extent) { extent->length = 0; },
           [](Extent* extent) { extent->length = 2 << 20; },
           [](Extent* extent) { extent->column = 16; },
           [](Extent* extent) { extent->stored_offset = extent->column_offset + 1; },
           [](Extent* extent) { extent->stored_length = extent->length - 1; },
           [](Extent* extent) { extent->file_offset = UINT64_MAX; }}) {
    Inode bad = plain_file();
    spoil(&bad.extents[0]);
    Inode back;
    EXPECT_EQ(read_inode(record_of(bad), &back).code(), StatusCode::kCorruption);
  }
}

TEST(InodeRecordTest, NoBytesCrashTheReader) {
  SeededRandom random(9);
  const std::string record = record_of(plain_file());
  for (int i = 0; i < 20'000; ++i) {
    std::string damaged = record;
    for (std::uint64_t n = 1 + random.below(4); n > 0; --n)
      damaged[random.below(damaged.size())] = static_cast<char>(random.next());
    Inode back;
    const Status read = read_inode(damaged, &back);
    EXPECT_TRUE(read.ok() || read.code() == StatusCode::kCorruption);
  }
}

}  // namespace
}  // namespace shoal::metad
