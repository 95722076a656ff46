// What the metadata knows of one file or directory, as operations see it. Plain data, owned by
// State: a directory is kept so; of a file the index keeps the record (inode_record.h), and this is
// its unpacked copy for the time of one command or query.
#pragma once

#include <absl/container/btree_map.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/extent.h"
#include "base/ids.h"
#include "metad/state/directory_entries.h"
#include "proto/metadata.pb.h"

namespace shoal::metad {

// What few inodes have.
struct InodeExtras {
  std::string symlink_target;
  std::uint64_t device = 0;
  absl::btree_map<std::string, std::string> xattrs;
  std::vector<std::uint64_t> holders;  // sessions that keep an unlinked inode; 0: not reaped yet
};

struct Directory {
  DirectoryEntries entries;
  InodeId parent;
  std::string own_key;  // what it is called there
  std::uint32_t subdirectories = 0;
  bool is_object = false;  // it is a key of its own: "dir/" was PUT
};

struct Inode {
  std::uint64_t id = 0;
  std::uint64_t size = 0;
  std::int64_t atime_ns = 0;
  std::int64_t mtime_ns = 0;
  std::int64_t ctime_ns = 0;
  std::int64_t birth_ns = 0;
  std::uint64_t data_version = 0;
  std::uint32_t uid = 0;
  std::uint32_t gid = 0;
  std::uint32_t link_count = 0;
  std::uint16_t mode = 0;
  std::uint8_t type = 0;  // proto::FileType
  bool implicit = false;
  ExtentList extents;
  std::string object;  // packed ObjectMeta (object_record.h); empty: none
  std::unique_ptr<InodeExtras> extras;
  std::unique_ptr<Directory> directory;
  bool touched = false;  // by the command that runs

  bool is_directory() const { return directory != nullptr; }
  bool is_regular() const { return type == proto::REGULAR; }
  InodeExtras& need_extras() {
    if (extras == nullptr) extras = std::make_unique<InodeExtras>();
    return *extras;
  }
};

}  // namespace shoal::metad
