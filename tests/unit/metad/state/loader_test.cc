#include "metad/state/loader.h"

#include <gtest/gtest.h>

#include <map>
#include <thread>

#include "base/compact.h"
#include "metad/state/inode_record.h"
#include "metad/state/records.pb.h"

namespace shoal::metad {
namespace {

using Records = std::map<std::string, std::string>;

std::string inode_key(std::uint64_t id) { return number_key(kInodeLetter, id); }
std::string entry_key(std::uint64_t directory, const std::string& name) {
  return number_key(kEntryLetter, directory) + name;
}
std::string number(std::uint64_t value) {
  std::string bytes;
  put_varint(&bytes, value);
  return bytes;
}
std::string file_record(std::uint32_t links = 1, const std::string& object = "") {
  Inode inode;
  inode.type = proto::REGULAR;
  inode.link_count = links;
  inode.object = object;
  std::string record;
  write_inode(inode, &record);
  return record;
}
std::string directory_record(std::uint64_t parent) {
  Inode inode;
  inode.type = proto::DIRECTORY;
  inode.link_count = 2;
  inode.directory = std::make_unique<Directory>();
  inode.directory->parent = InodeId(parent);
  std::string record;
  write_inode(inode, &record);
  return record;
}

// The root with a directory "d" (2), which holds file "f" (3).
Records good() {
  return {{inode_key(1), directory_record(1)},
          {inode_key(2), directory_record(1)},
          {inode_key(3), file_record()},
          {entry_key(1, "d/"), number(2)},
          {entry_key(2, std::string("f\0", 2)), number(3)}};
}

Status load(const Records& records, State* state) {
  StateLoader loader(state);
  for (const auto& [key, value] : records) RETURN_IF_ERROR(loader.load(key, value));
  return loader.finish();
}
Status load(const Records& records) {
  State state;
  return load(records, &state);
}
void expect_corruption(const Records& records, const std::string& names) {
  const Status loaded = load(records);
  EXPECT_EQ(loaded.code(), StatusCode::kCorruption) << names;
  EXPECT_NE(loaded.message().find(names), std::string::npos) << loaded.message();
}

TEST(LoaderTest, RecordsBecomeDirectoriesAndFiles) {
  State state;
  ASSERT_TRUE(load(good(), &state).ok());
  EXPECT_EQ(state.inode_count(), 3U);
  EXPECT_EQ(state.directories.size(), 2U);
  Inode* root = state.find(1);
  Inode* directory = state.child(*root, "d/");
  ASSERT_NE(directory, nullptr);
  EXPECT_EQ(directory->id, 2U);
  EXPECT_EQ(directory->directory->own_key, "d/");
  EXPECT_EQ(root->directory->subdirectories, 1U);
  EXPECT_EQ(state.child(*directory, std::string("f\0", 2))->id, 3U);
  EXPECT_TRUE(state.changes.empty());
}

TEST(LoaderTest, WhatDoesNotFitTogetherIsNamed) {
  Records records = good();
  records.erase(inode_key(3));
  expect_corruption(records, "file 3");
  records = good();
  records.erase(inode_key(2));
  expect_corruption(records, "directory 2");
  records = good();
  records.erase(inode_key(1));
  expect_corruption(records, "inode 1");
  records = good();
  records.erase(entry_key(1, "d/"));
  expect_corruption(records, "directory 2");
  records = good();
  records.erase(entry_key(2, std::string("f\0", 2)));
  expect_corruption(records, "inode 3 has 1 links, but 0 names");
  records = good();
  records[entry_key(1, std::string("g\0", 2))] = number(3);
  expect_corruption(records, "inode 3 has 1 links, but 2 names");
  records = good();
  records[entry_key(1, "e/")] = number(2);
  expect_corruption(records, "directory 2");
  records = good();
  records[entry_key(2, "d/")] = number(3);
  expect_corruption(records, "directory 3");
  records = good();
  records[entry_key(2, std::string("g\0", 2))] = number(2);
  expect_corruption(records, "file 2");
}

TEST(LoaderTest, PacksCountWhatIsReferredTo) {
  Inode inode;
  inode.type = proto::REGULAR;
  inode.link_count = 1;
  Extent extent;
  extent.length = extent.stored_length = 50;
  extent.pack = make_pack_id(PgId(1), 7);
  extent.row = 2;
  inode.extents.push_back(extent);
  Records records = good();
  records[inode_key(3)].clear();
  write_inode(inode, &records[inode_key(3)]);
  expect_corruption(records, "row 2 of pack " + extent.pack.to_string() + ", which is not there");
  records::PackRecord pack;
  pack.set_state(proto::PACK_CLOSED);
  for (const std::uint64_t bytes : {0U, 0U, 50U}) pack.add_row_live_bytes(bytes);
  std::string& record = records[number_key(kPackLetter, extent.pack.value())];
  record = pack.SerializeAsString();
  State state;
  EXPECT_TRUE(load(records, &state).ok());
  EXPECT_EQ(state.packs.at(extent.pack.value()).live_bytes, 50U);
  pack.set_row_live_bytes(0, 1);
  record = pack.SerializeAsString();
  expect_corruption(records, "row 0 of pack");
  pack.mutable_row_live_bytes()->Truncate(2);
  record = pack.SerializeAsString();
  expect_corruption(records, "which is not there");
}

TEST(LoaderTest, ARingOfDirectoriesIsNamed) {
  Records records = good();
  records[inode_key(10)] = directory_record(11);
  records[inode_key(11)] = directory_record(10);
  records[entry_key(10, "a/")] = number(11);
  records[entry_key(11, "b/")] = number(10);
  expect_corruption(records, "is not reached from the root");
}

TEST(LoaderTest, ADamagedRecordIsNamed) {
  for (const auto& [key, value] : good()) {
    Records records = good();
    records[key] = "";
    expect_corruption(records, "record ");
  }
  Records records = good();
  records[inode_key(3)] = file_record(1, "\x81");
  expect_corruption(records, "object");
  records = good();
  records["i\1"] = file_record();
  expect_corruption(records, "a key cut short");
  records = good();
  records["?"] = "";
  expect_corruption(records, "unknown kind");
  records = good();
  records["m"] = "\xff";
  expect_corruption(records, "does not parse");
}

TEST(LoaderTest, HoldersAndTheUnreapedAreKnownAgain) {
  Inode inode;
  inode.type = proto::REGULAR;
  inode.need_extras().holders = {0, 5};
  Records records = good();
  write_inode(inode, &records[inode_key(4)]);
  State state;
  ASSERT_TRUE(load(records, &state).ok());
  EXPECT_TRUE(state.unreaped.contains(4));
  EXPECT_TRUE(state.held.contains(4));
}

TEST(LoaderTest, ManyThreadsLoadWhatOneWould) {
  constexpr std::uint64_t kDirectories = 40;
  constexpr std::uint64_t kFiles = 200;
  State state;
  StateLoader loader(&state);
  const auto id_of = [](std::uint64_t directory, std::uint64_t file) {
    return 2 + directory * (kFiles + 1) + file;
  };
  ASSERT_TRUE(loader.load(inode_key(1), directory_record(1)).ok());
  const auto in_threads = [&](const auto& work) {
    std::vector<std::thread> threads;
    for (std::uint64_t t = 0; t < 4; ++t) {
      threads.emplace_back([&, t] {
        for (std::uint64_t d = t; d < kDirectories; d += 4) work(d);
      });
    }
    for (std::thread& thread : threads) thread.join();
  };
  in_threads([&](std::uint64_t d) {
    EXPECT_TRUE(loader.load(inode_key(id_of(d, 0)), directory_record(1)).ok());
    for (std::uint64_t f = 1; f <= kFiles; ++f)
      EXPECT_TRUE(loader.load(inode_key(id_of(d, f)), file_record()).ok());
  });
  for (std::uint64_t d = 0; d < kDirectories; ++d)
    EXPECT_TRUE(loader.load(entry_key(1, std::to_string(d) + "/"), number(id_of(d, 0))).ok());
  in_threads([&](std::uint64_t d) {
    for (std::uint64_t f = 1; f <= kFiles; ++f) {
      const std::string name = std::to_string(1000 + f) + std::string(1, '\0');
      EXPECT_TRUE(loader.load(entry_key(id_of(d, 0), name), number(id_of(d, f))).ok());
    }
  });
  const Status finished = loader.finish();
  EXPECT_TRUE(finished.ok()) << finished.to_string();
  EXPECT_EQ(state.inode_count(), 1 + kDirectories * (kFiles + 1));
}

}  // namespace
}  // namespace shoal::metad
