// StateLoader: fills a State from the records of a checkpoint, from several threads, and checks
// that they fit together.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <array>
#include <atomic>
#include <memory>
#include <mutex>
#include <string_view>

#include "metad/state/state.h"

namespace shoal::metad {

class StateLoader {
 public:
  // Empties `state`, which is nobody else's until finish() has returned.
  explicit StateLoader(State* state);

  // Takes one record. Any thread; those of packs come before the first inode, those of inodes
  // before the first entry, the entries of one directory from one thread. Errors: kCorruption
  // naming the record.
  Status load(std::string_view key, std::string_view value);
  // After the last record. Errors: kCorruption naming the inode that does not fit.
  Status finish();

 private:
  // What one lock guards of the table of files.
  struct Stripe {
    std::mutex mutex;
    std::uint64_t links = 0;
  };
  // What inodes and parts refer to of each row of a pack.
  struct PackCount {
    std::size_t rows = 0;
    std::unique_ptr<std::atomic<std::uint64_t>[]> bytes;
  };
  Status load_small(std::string_view key, std::string_view value);
  Status account(std::string_view key, const ExtentList& extents);
  Status check_bytes() const;
  Status load_inode(std::string_view key, std::string_view value);
  Status load_entry(std::string_view key, std::string_view value);
  Status tie_directory(std::string_view key, Inode* parent, Inode* child);
  Status check_directories() const;
  Status check_links() const;
  Status name_wrong_link() const;

  State& state_;
  std::array<Stripe, 64> stripes_;
  absl::flat_hash_map<std::uint64_t, PackCount> packs_;
  std::mutex mutex_;  // all tables but files; entries have one thread each
};

}  // namespace shoal::metad
