#include "metad/state/loader.h"

#include <absl/container/flat_hash_set.h>

#include <vector>

#include "base/compact.h"
#include "metad/state/inode_record.h"
#include "metad/state/object_record.h"
#include "metad/state/records.h"

namespace shoal::metad {

StateLoader::StateLoader(State* state) : state_(*state) { state_.directories.clear(); }

Status StateLoader::load(std::string_view key, std::string_view value) {
  if (key.empty()) return CorruptionError("a checkpoint record without a key");
  switch (key[0]) {
    case kInodeLetter:
      if (key.size() != kNumberKeyBytes || number_of_key(key) == 0)
        return record_error(key, "a key cut short");
      return load_inode(key, value);
    case kEntryLetter:
      if (key.size() <= kNumberKeyBytes) return record_error(key, "a key cut short");
      return load_entry(key, value);
    case kPackLetter:
    case kSessionLetter:
      if (key.size() != kNumberKeyBytes) return record_error(key, "a key cut short");
      break;
    default: break;
  }
  const std::lock_guard lock(mutex_);
  return load_small(key, value);
}

Status StateLoader::load_small(std::string_view key, std::string_view value) {
  RETURN_IF_ERROR(read_small_record(&state_, key, value));
  if (key[0] == kPackLetter) {
    const std::size_t rows = state_.packs[number_of_key(key)].rows.size();
    packs_[number_of_key(key)] = {rows, std::make_unique<std::atomic<std::uint64_t>[]>(rows)};
  }
  if (key[0] != kUploadLetter) return OkStatus();
  for (const auto& [number, part] : state_.uploads[std::string(key.substr(1))].parts)
    RETURN_IF_ERROR(account(key, part.extents));
  return OkStatus();
}

Status StateLoader::account(std::string_view key, const ExtentList& extents) {
  for (const Extent& extent : extents) {
    const auto pack = packs_.find(extent.pack.value());
    if (pack == packs_.end() || extent.row >= pack->second.rows)
      return record_error(key, "refers to row " + std::to_string(extent.row) + " of pack " +
                                   extent.pack.to_string() + ", which is not there");
    pack->second.bytes[extent.row].fetch_add(extent.length, std::memory_order_relaxed);
  }
  return OkStatus();
}

Status StateLoader::load_inode(std::string_view key, std::string_view value) {
  auto inode = std::make_unique<Inode>();
  inode->id = number_of_key(key);
  const Status read = read_inode(value, inode.get());
  if (!read.ok()) return record_error(key, read.message());
  if (!inode->object.empty() && !is_packed_object(inode->object))
    return record_error(key, "an object's metadata does not parse");
  RETURN_IF_ERROR(account(key, inode->extents));
  if (inode->extras != nullptr && !inode->extras->holders.empty()) {
    const std::lock_guard lock(mutex_);
    state_.held.insert(inode->id);
    for (const std::uint64_t holder : inode->extras->holders)
      if (holder == 0) state_.unreaped.insert(inode->id);
  }
  if (inode->is_directory()) {
    const std::lock_guard lock(mutex_);
    const bool fresh = state_.directories.try_emplace(inode->id, std::move(inode)).second;
    return fresh ? OkStatus() : record_error(key, "came twice");
  }
  const std::size_t shard = InodeTable::shard_of(inode->id);
  Stripe& stripe = stripes_[shard % stripes_.size()];
  const std::lock_guard lock(stripe.mutex);
  stripe.links += inode->link_count;
  return state_.files.put(inode->id, value) ? OkStatus() : record_error(key, "came twice");
}

Status StateLoader::load_entry(std::string_view key, std::string_view value) {
  const std::string_view name = key.substr(kNumberKeyBytes);
  CompactReader in(value);
  const std::uint64_t inode = in.varint();
  if (!in.done() || inode == 0 || name.size() > DirectoryEntries::kMaxKeyBytes)
    return record_error(key, "does not parse");
  const auto directory = state_.directories.find(number_of_key(key));
  if (directory == state_.directories.end())
    return record_error(key, "an entry of inode " + std::to_string(number_of_key(key)) +
                                 ", which is no directory that is there");
  if (name.back() == kDirectoryByte) {
    const auto child = state_.directories.find(inode);
    if (child == state_.directories.end())
      return record_error(
          key, "an entry for directory " + std::to_string(inode) + ", which is not there");
    RETURN_IF_ERROR(tie_directory(key, directory->second.get(), child->second.get()));
  } else if (name.back() != kFileByte || state_.files.find(inode).empty()) {
    return record_error(key, "an entry for file " + std::to_string(inode) + ", which is not there");
  }
  directory->second->directory->entries.set(name, inode);
  return OkStatus();
}

Status StateLoader::tie_directory(std::string_view key, Inode* parent, Inode* child) {
  const std::lock_guard lock(mutex_);  // a damaged checkpoint may name it twice
  if (child->directory->parent.value() != parent->id || !child->directory->own_key.empty())
    return record_error(
        key, "directory " + std::to_string(child->id) + " has two names, or another parent");
  child->directory->own_key = key.substr(kNumberKeyBytes);
  ++parent->directory->subdirectories;
  return OkStatus();
}

Status StateLoader::finish() {
  RETURN_IF_ERROR(check_directories());
  RETURN_IF_ERROR(check_links());
  RETURN_IF_ERROR(check_bytes());
  state_.recount_directories();
  state_.changes.clear();
  return OkStatus();
}

// Every directory but the root has a name, and its parents lead to the root.
Status StateLoader::check_directories() const {
  const std::uint64_t root = kRootInode.value();
  if (!state_.directories.contains(root))
    return CorruptionError("checkpoint: there is no root directory");
  absl::flat_hash_set<std::uint64_t> good{root};
  std::vector<std::uint64_t> path;
  for (const auto& [id, inode] : state_.directories) {
    path.clear();
    for (std::uint64_t at = id; !good.contains(at);) {
      const auto found = state_.directories.find(at);
      // A path longer than there are directories is a ring.
      if (found == state_.directories.end() || found->second->directory->own_key.empty() ||
          path.size() > state_.directories.size()) {
        return CorruptionError("checkpoint: directory " + std::to_string(id) +
                               " is not reached from the root");
      }
      path.push_back(at);
      at = found->second->directory->parent.value();
    }
    good.insert(path.begin(), path.end());
  }
  return OkStatus();
}

// Packs count what is referred to of each of their rows.
Status StateLoader::check_bytes() const {
  for (const auto& [id, count] : packs_) {
    const std::vector<std::uint64_t>& rows = state_.packs.at(id).rows;
    for (std::size_t row = 0; row < rows.size(); ++row) {
      const std::uint64_t bytes = count.bytes[row].load(std::memory_order_relaxed);
      if (bytes == rows[row]) continue;
      return CorruptionError("checkpoint: row " + std::to_string(row) + " of pack " +
                             std::to_string(id) + " counts " + std::to_string(rows[row]) +
                             " bytes, but " + std::to_string(bytes) + " are referred to");
    }
  }
  return OkStatus();
}

// As many names as links, in sum; only if not, one by one.
Status StateLoader::check_links() const {
  std::uint64_t links = 0;
  for (const Stripe& stripe : stripes_) links += stripe.links;
  std::uint64_t names = 0;
  for (const auto& [id, inode] : state_.directories)
    names += inode->directory->entries.size() - inode->directory->subdirectories;
  return links == names ? OkStatus() : name_wrong_link();
}

Status StateLoader::name_wrong_link() const {
  absl::flat_hash_map<std::uint64_t, std::uint32_t> names;
  for (const auto& [id, inode] : state_.directories) {
    for (const auto& entry : inode->directory->entries)
      if (entry.key.back() == kFileByte) ++names[entry.inode];
  }
  Status wrong = CorruptionError("checkpoint: files have other link counts than names");
  for (std::size_t shard = 0; shard < InodeTable::kShards; ++shard) {
    state_.files.for_each_in_shard(shard, [&](std::uint64_t id, std::string_view record) {
      Inode inode;
      if (!read_inode(record, &inode).ok() || inode.link_count == names[id]) return;
      wrong = CorruptionError("checkpoint: inode " + std::to_string(id) + " has " +
                              std::to_string(inode.link_count) + " links, but " +
                              std::to_string(names[id]) + " names");
    });
  }
  return wrong;
}

}  // namespace shoal::metad
