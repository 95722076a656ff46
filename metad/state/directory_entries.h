// DirectoryEntries: the names of one directory in the byte order of their keys (raw name and type
// byte, base/posix_name.h, which is S3's order), each with its inode. Names lie packed in leaves of
// at most a kibibyte, so that one of 20 bytes costs about 30 in all. Belongs to one thread.
#pragma once

#include <absl/container/btree_set.h>

#include <cstdint>
#include <iterator>
#include <string_view>

namespace shoal::metad {

class DirectoryEntries {
 public:
  static constexpr std::size_t kMaxKeyBytes = 4096;

  struct Entry {
    std::string_view key;  // valid until the directory changes
    std::uint64_t inode = 0;
  };

  DirectoryEntries() = default;
  DirectoryEntries(const DirectoryEntries&) = delete;
  DirectoryEntries& operator=(const DirectoryEntries&) = delete;
  ~DirectoryEntries();

 private:
  // `used` bytes of entries follow: key length and inode as varints before the key's bytes.
  struct Leaf {
    std::uint16_t used;
    std::uint16_t capacity;
    char* data() { return reinterpret_cast<char*>(this + 1); }
    const char* data() const { return reinterpret_cast<const char*>(this + 1); }
    const char* end() const { return data() + used; }
  };
  // A leaf moves when it grows; its place in the order stays.
  struct LeafPointer {
    mutable Leaf* leaf;
  };
  struct ByFirstKey {
    using is_transparent = void;
    static std::string_view key_of(const LeafPointer& pointer);
    static std::string_view key_of(std::string_view key) { return key; }
    template <typename A, typename B>
    bool operator()(const A& a, const B& b) const {
      return key_of(a) < key_of(b);
    }
  };
  using Leaves = absl::btree_set<LeafPointer, ByFirstKey>;

 public:
  // Forward only; any change ends it.
  class Iterator {
   public:
    using value_type = Entry;
    using difference_type = std::ptrdiff_t;
    const Entry& operator*() const { return entry_; }
    const Entry* operator->() const { return &entry_; }
    Iterator& operator++();
    friend bool operator==(const Iterator& a, const Iterator& b) {
      return a.leaf_ == b.leaf_ && a.at_ == b.at_;
    }

   private:
    friend class DirectoryEntries;
    Iterator(const Leaves* leaves, Leaves::const_iterator leaf, const char* at);
    void settle();  // reads the entry at at_, or moves on to the next leaf

    const Leaves* leaves_;
    Leaves::const_iterator leaf_;
    const char* at_;  // of the entry; null at the end
    const char* next_ = nullptr;
    Entry entry_;
  };

  Iterator begin() const;
  Iterator end() const { return Iterator(&leaves_, leaves_.end(), nullptr); }
  // The first entry whose key is not less than `key`; greater than it.
  Iterator lower_bound(std::string_view key) const;
  Iterator upper_bound(std::string_view key) const;
  // The inode of a key; 0 when there is none.
  std::uint64_t find(std::string_view key) const;
  bool contains(std::string_view key) const { return find(key) != 0; }
  std::uint64_t size() const { return size_; }
  bool empty() const { return size_ == 0; }

  // Adds an entry, or gives a key another inode. A key has 1 to kMaxKeyBytes; the inode is not 0.
  void set(std::string_view key, std::uint64_t inode);
  // Returns whether it was there.
  bool erase(std::string_view key);

  // Memory of the entries: leaves as the allocator rounds them, and an estimate of the tree of
  // leaves (absl gives no figure: nodes of 256 bytes, three quarters full).
  std::uint64_t bytes() const;

 private:
  static Entry read_entry(const char* at, const char** next);
  static char* write_entry(char* at, std::string_view key, std::uint64_t inode);
  Leaf* allocate(std::size_t data_bytes);
  void free_leaf(Leaf* leaf);
  // The leaf that holds the key or would; not for an empty directory.
  Leaves::const_iterator leaf_for(std::string_view key) const;
  // Replaces `old_bytes` at `offset` of the leaf by `new_bytes` that the caller fills.
  char* resize_at(const LeafPointer& pointer, std::size_t offset, std::size_t old_bytes,
                  std::size_t new_bytes);
  void split(Leaves::const_iterator at, std::size_t offset);
  void merge_small(Leaves::const_iterator at);

  Leaves leaves_;
  std::uint64_t size_ = 0;
  std::uint64_t leaf_bytes_ = 0;
};

}  // namespace shoal::metad
