// ShapeCache: the shapes of rows that were read degraded lately, least recently used first out.
// Belongs to one executor.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <list>
#include <optional>
#include <utility>

#include "base/row_layout.h"

namespace shoal::client {

class ShapeCache {
 public:
  explicit ShapeCache(std::size_t max_entries) : max_entries_(max_entries) {}

  std::optional<RowShape> find(PackId pack, std::uint32_t row) {
    const auto found = index_.find(Key(pack, row));
    if (found == index_.end()) return std::nullopt;
    entries_.splice(entries_.begin(), entries_, found->second);
    return found->second->second;
  }
  void insert(PackId pack, std::uint32_t row, const RowShape& shape) {
    const Key key(pack, row);
    erase(pack, row);
    entries_.emplace_front(key, shape);
    index_.emplace(key, entries_.begin());
    if (entries_.size() <= max_entries_) return;
    index_.erase(entries_.back().first);
    entries_.pop_back();
  }
  void erase(PackId pack, std::uint32_t row) {
    const auto found = index_.find(Key(pack, row));
    if (found == index_.end()) return;
    entries_.erase(found->second);
    index_.erase(found);
  }
  std::size_t size() const { return entries_.size(); }

 private:
  using Key = std::pair<PackId, std::uint32_t>;
  using Entries = std::list<std::pair<Key, RowShape>>;
  const std::size_t max_entries_;
  Entries entries_;  // the most recently used first
  absl::flat_hash_map<Key, Entries::iterator> index_;
};

}  // namespace shoal::client
