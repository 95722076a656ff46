// InodeTable: the records of inodes by id, each in one allocation of its own size. Sharded, so that
// no growth of a hash table stalls its thread for long. Belongs to one thread; while it is filled,
// threads may put into different shards at the same time.
#pragma once

#include <absl/container/flat_hash_set.h>

#include <array>
#include <cstdint>
#include <string_view>

namespace shoal::metad {

class InodeTable {
 public:
  static constexpr std::size_t kShards = 1024;

  InodeTable() = default;
  InodeTable(const InodeTable&) = delete;
  InodeTable& operator=(const InodeTable&) = delete;
  ~InodeTable();

  // As if by chance, so that not all tables grow at the same time. Source: Appleby, MurmurHash3's
  // finalizer.
  static std::size_t shard_of(std::uint64_t id) {
    id = (id ^ id >> 33) * 0xff51afd7ed558ccdULL;
    id = (id ^ id >> 33) * 0xc4ceb9fe1a85ec53ULL;
    return static_cast<std::size_t>((id ^ id >> 33) % kShards);
  }

  // The record of an inode, valid until it is put or erased; empty: there is none.
  std::string_view find(std::uint64_t id) const;
  // Adds or replaces. A record is not empty. Returns whether it is a new one.
  bool put(std::uint64_t id, std::string_view record);
  // Returns whether it was there.
  bool erase(std::uint64_t id);
  std::uint64_t size() const;
  // Memory: records as the allocator rounds them, and the hash tables with what is free in them.
  std::uint64_t bytes() const;

  // Calls `visit(id, record)` for all of a shard, in no order.
  template <typename Visit>
  void for_each_in_shard(std::size_t shard, const Visit& visit) const {
    for (const char* cell : shards_[shard].cells) {
      const Cell read = read_cell(cell);
      visit(read.id, read.record);
    }
  }

 private:
  // A cell: length of the record and id as varints, then the record.
  struct Cell {
    std::uint64_t id;
    std::string_view record;
  };
  static Cell read_cell(const char* cell);
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::uint64_t id) const { return absl::Hash<std::uint64_t>()(id); }
    std::size_t operator()(const char* cell) const { return (*this)(read_cell(cell).id); }
  };
  struct Equal {
    using is_transparent = void;
    bool operator()(const char* a, const char* b) const { return a == b; }
    bool operator()(const char* a, std::uint64_t id) const { return read_cell(a).id == id; }
    bool operator()(std::uint64_t id, const char* a) const { return read_cell(a).id == id; }
  };
  struct Shard {
    absl::flat_hash_set<char*, Hash, Equal> cells;
    std::uint64_t cell_bytes = 0;
  };

  std::array<Shard, kShards> shards_;
};

}  // namespace shoal::metad
