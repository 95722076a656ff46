#include "metad/state/inode_table.h"

#include <malloc.h>

#include <cstdlib>
#include <cstring>

#include "base/check.h"
#include "base/compact.h"

namespace shoal::metad {
InodeTable::~InodeTable() {
  for (Shard& shard : shards_) {
    for (char* cell : shard.cells) std::free(cell);
  }
}

InodeTable::Cell InodeTable::read_cell(const char* cell) {
  std::uint64_t length = 0;
  Cell read{};
  const char* at = read_trusted_varint(cell, &length);
  at = read_trusted_varint(at, &read.id);
  read.record = {at, length};
  return read;
}

std::string_view InodeTable::find(std::uint64_t id) const {
  const Shard& shard = shards_[shard_of(id)];
  const auto found = shard.cells.find(id);
  return found == shard.cells.end() ? std::string_view() : read_cell(*found).record;
}

bool InodeTable::put(std::uint64_t id, std::string_view record) {
  CHECK(!record.empty());
  char head[2 * kMaxVarintBytes];
  const auto head_bytes =
      static_cast<std::size_t>(write_varint(write_varint(head, record.size()), id) - head);
  const std::size_t bytes = head_bytes + record.size();
  Shard& shard = shards_[shard_of(id)];
  const auto found = shard.cells.find(id);
  char* cell = found == shard.cells.end() ? nullptr : *found;
  const std::size_t old_bytes = cell == nullptr ? 0 : malloc_usable_size(cell);
  if (old_bytes < bytes || old_bytes > 2 * bytes) {
    char* const made = static_cast<char*>(std::malloc(bytes));
    CHECK(made != nullptr);
    std::memcpy(made, head, head_bytes);
    std::memcpy(made + head_bytes, record.data(), record.size());
    shard.cell_bytes += malloc_usable_size(made) - old_bytes;
    if (cell == nullptr) {
      shard.cells.insert(made);
      return true;
    }
    shard.cells.erase(found);
    shard.cells.insert(made);
    std::free(cell);
    return false;
  }
  std::memcpy(cell, head, head_bytes);
  std::memmove(cell + head_bytes, record.data(), record.size());
  return false;
}

bool InodeTable::erase(std::uint64_t id) {
  Shard& shard = shards_[shard_of(id)];
  const auto found = shard.cells.find(id);
  if (found == shard.cells.end()) return false;
  char* const cell = *found;
  shard.cells.erase(found);
  shard.cell_bytes -= malloc_usable_size(cell);
  std::free(cell);
  return true;
}

std::uint64_t InodeTable::size() const {
  std::uint64_t count = 0;
  for (const Shard& shard : shards_) count += shard.cells.size();
  return count;
}

std::uint64_t InodeTable::bytes() const {
  constexpr std::uint64_t kSlotBytes = sizeof(char*) + 1;  // and absl's control byte
  std::uint64_t bytes = sizeof *this;
  for (const Shard& shard : shards_)
    bytes += shard.cell_bytes + shard.cells.capacity() * kSlotBytes;
  return bytes;
}

}  // namespace shoal::metad
