// ChangeNotes: which records changed since they were last taken for a checkpoint. What changes
// often (inodes, packs, sessions) is noted once; a directory's entry, which seldom changes twice,
// as often as it does. Belongs to one thread.
#pragma once

#include <absl/container/flat_hash_set.h>

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

namespace shoal::metad {

class ChangeNotes {
 public:
  // Keys of records (metad/state/records.h) that are a letter and a number.
  void note_inode(std::uint64_t id) { inodes_.insert(id); }
  // Any key.
  void note(std::string_view key);

  // Takes some key that was noted and forgets it. Returns false when there is none. Each costs the
  // same, however many there are.
  bool take(std::string* key);
  bool empty() const { return size() == 0; }
  // Notes; of an entry that changed twice, two.
  std::size_t size() const { return inodes_.size() + taking_.size() + keys_.size() + log_count_; }
  void clear();
  std::uint64_t bytes() const;

 private:
  static constexpr std::size_t kLogBlockBytes = 64 * 1024;

  absl::flat_hash_set<std::uint64_t> inodes_;
  std::vector<std::uint64_t> taking_;      // inodes that a checkpoint has begun to take
  absl::flat_hash_set<std::string> keys_;  // of tables that are small
  std::deque<std::string> log_;            // blocks of entries' keys, each behind its length
  std::size_t log_count_ = 0;
  std::size_t log_at_ = 0;  // what of the first block was taken
};

}  // namespace shoal::metad
