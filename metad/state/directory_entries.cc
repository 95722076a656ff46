#include "metad/state/directory_entries.h"

#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "base/check.h"
#include "base/compact.h"

namespace shoal::metad {
namespace {

// With the leaf's header a size that allocators have a class for.
constexpr std::size_t kMaxLeafBytes = 1020;
// A leaf that becomes smaller joins its neighbour if both fit in half a leaf.
constexpr std::size_t kSmallLeafBytes = 200;

std::size_t entry_bytes(std::string_view key, std::uint64_t inode) {
  return varint_bytes(key.size()) + varint_bytes(inode) + key.size();
}

}  // namespace

DirectoryEntries::Entry DirectoryEntries::read_entry(const char* at, const char** next) {
  std::uint64_t length = 0;
  Entry entry;
  at = read_trusted_varint(at, &length);
  at = read_trusted_varint(at, &entry.inode);
  entry.key = {at, length};
  *next = at + length;
  return entry;
}

char* DirectoryEntries::write_entry(char* at, std::string_view key, std::uint64_t inode) {
  at = write_varint(at, key.size());
  at = write_varint(at, inode);
  std::memcpy(at, key.data(), key.size());
  return at + key.size();
}

std::string_view DirectoryEntries::ByFirstKey::key_of(const LeafPointer& pointer) {
  const char* next = nullptr;
  return read_entry(pointer.leaf->data(), &next).key;
}

DirectoryEntries::~DirectoryEntries() {
  for (const LeafPointer& pointer : leaves_) std::free(pointer.leaf);
}

DirectoryEntries::Leaf* DirectoryEntries::allocate(std::size_t data_bytes) {
  auto* leaf = static_cast<Leaf*>(std::malloc(sizeof(Leaf) + data_bytes));
  CHECK(leaf != nullptr);
  const std::size_t usable = malloc_usable_size(leaf);
  leaf_bytes_ += usable;
  leaf->used = 0;
  leaf->capacity =
      static_cast<std::uint16_t>(std::min<std::size_t>(usable - sizeof(Leaf), UINT16_MAX));
  return leaf;
}

void DirectoryEntries::free_leaf(Leaf* leaf) {
  leaf_bytes_ -= malloc_usable_size(leaf);
  std::free(leaf);
}

DirectoryEntries::Iterator::Iterator(const Leaves* leaves, Leaves::const_iterator leaf,
                                     const char* at)
    : leaves_(leaves), leaf_(leaf), at_(at) {
  if (at_ != nullptr) settle();
}

void DirectoryEntries::Iterator::settle() {
  if (at_ == leaf_->leaf->end()) {
    ++leaf_;
    at_ = leaf_ == leaves_->end() ? nullptr : leaf_->leaf->data();
  }
  if (at_ != nullptr) entry_ = read_entry(at_, &next_);
}

DirectoryEntries::Iterator& DirectoryEntries::Iterator::operator++() {
  at_ = next_;
  settle();
  return *this;
}

DirectoryEntries::Iterator DirectoryEntries::begin() const {
  if (leaves_.empty()) return end();
  return Iterator(&leaves_, leaves_.begin(), leaves_.begin()->leaf->data());
}

DirectoryEntries::Leaves::const_iterator DirectoryEntries::leaf_for(std::string_view key) const {
  auto at = leaves_.upper_bound(key);
  if (at != leaves_.begin()) --at;
  return at;
}

DirectoryEntries::Iterator DirectoryEntries::lower_bound(std::string_view key) const {
  if (leaves_.empty()) return end();
  const auto leaf = leaf_for(key);
  const char* at = leaf->leaf->data();
  for (const char* next = nullptr; at != leaf->leaf->end(); at = next) {
    if (read_entry(at, &next).key >= key) break;
  }
  return Iterator(&leaves_, leaf, at);
}

DirectoryEntries::Iterator DirectoryEntries::upper_bound(std::string_view key) const {
  Iterator at = lower_bound(key);
  if (at != end() && at->key == key) ++at;
  return at;
}

std::uint64_t DirectoryEntries::find(std::string_view key) const {
  const Iterator at = lower_bound(key);
  return at != end() && at->key == key ? at->inode : 0;
}

char* DirectoryEntries::resize_at(const LeafPointer& pointer, std::size_t offset,
                                  std::size_t old_bytes, std::size_t new_bytes) {
  Leaf* const leaf = pointer.leaf;
  const std::size_t used = leaf->used - old_bytes + new_bytes;
  const std::size_t behind = leaf->used - offset - old_bytes;
  const char* const rest = leaf->data() + offset + old_bytes;
  const bool moves = used > leaf->capacity || used * 2 < leaf->capacity;
  Leaf* const to = moves ? allocate(used) : leaf;
  if (moves) std::memcpy(to->data(), leaf->data(), offset);
  std::memmove(to->data() + offset + new_bytes, rest, behind);
  to->used = static_cast<std::uint16_t>(used);
  if (moves) {
    pointer.leaf = to;
    free_leaf(leaf);
  }
  return to->data() + offset;
}

// Everything from `offset` on goes into a leaf of its own.
void DirectoryEntries::split(Leaves::const_iterator at, std::size_t offset) {
  Leaf* const leaf = at->leaf;
  const std::size_t tail = leaf->used - offset;
  if (tail == 0) return;
  Leaf* const made = allocate(tail);
  std::memcpy(made->data(), leaf->data() + offset, tail);
  made->used = static_cast<std::uint16_t>(tail);
  resize_at(*at, offset, tail, 0);
  leaves_.insert(std::next(at), LeafPointer{made});
}

void DirectoryEntries::set(std::string_view key, std::uint64_t inode) {
  CHECK(inode != 0 && !key.empty() && key.size() <= kMaxKeyBytes);
  const std::size_t bytes = entry_bytes(key, inode);
  if (leaves_.empty()) {
    Leaf* const leaf = allocate(bytes);
    leaf->used = static_cast<std::uint16_t>(bytes);
    write_entry(leaf->data(), key, inode);
    leaves_.insert(LeafPointer{leaf});
    ++size_;
    return;
  }
  auto leaf = leaf_for(key);
  std::size_t offset = 0;
  std::size_t replaced = 0;
  std::size_t middle = 0;  // of the leaf, between two entries
  const char* const data = leaf->leaf->data();
  for (const char* next = nullptr; offset < leaf->leaf->used;
       offset = static_cast<std::size_t>(next - data)) {
    const Entry entry = read_entry(data + offset, &next);
    if (entry.key >= key) {
      if (entry.key == key) replaced = static_cast<std::size_t>(next - data) - offset;
      break;
    }
  }
  const std::size_t used = leaf->leaf->used;
  if (used - replaced + bytes > kMaxLeafBytes && used > replaced) {
    const bool appends = offset == used && std::next(leaf) == leaves_.end();
    if (appends) {  // names that come in order leave full leaves behind
      Leaf* const made = allocate(bytes);
      made->used = static_cast<std::uint16_t>(bytes);
      write_entry(made->data(), key, inode);
      leaves_.insert(leaves_.end(), LeafPointer{made});
      ++size_;
      return;
    }
    for (const char* next = data; middle < used / 2; middle = static_cast<std::size_t>(next - data))
      (void)read_entry(data + middle, &next);
    if (middle < used) {
      split(leaf, middle);
      return set(key, inode);  // each half has room, or holds one name alone
    }
  }
  write_entry(resize_at(*leaf, offset, replaced, bytes), key, inode);
  if (replaced == 0) ++size_;
}

bool DirectoryEntries::erase(std::string_view key) {
  const Iterator found = lower_bound(key);
  if (found == end() || found->key != key) return false;
  const auto leaf = found.leaf_;
  const auto offset = static_cast<std::size_t>(found.at_ - leaf->leaf->data());
  const auto length = static_cast<std::size_t>(found.next_ - found.at_);
  --size_;
  if (leaf->leaf->used == length) {
    Leaf* const gone = leaf->leaf;
    leaves_.erase(leaf);
    free_leaf(gone);
    return true;
  }
  resize_at(*leaf, offset, length, 0);
  if (leaf->leaf->used < kSmallLeafBytes) merge_small(leaf);
  return true;
}

void DirectoryEntries::merge_small(Leaves::const_iterator at) {
  const auto next = std::next(at);
  if (next == leaves_.end()) return;
  Leaf* const gone = next->leaf;
  if (std::size_t{at->leaf->used} + gone->used > kMaxLeafBytes / 2) return;
  std::memcpy(resize_at(*at, at->leaf->used, 0, gone->used), gone->data(), gone->used);
  leaves_.erase(next);
  free_leaf(gone);
}

std::uint64_t DirectoryEntries::bytes() const {
  return leaf_bytes_ + leaves_.size() * (sizeof(LeafPointer) * 4 / 3) +
         (leaves_.empty() ? 0 : 2 * sizeof(void*));
}

}  // namespace shoal::metad
