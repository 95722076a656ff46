#include "metad/state/state.h"

#include <algorithm>

#include "base/check.h"
#include "base/crc32c.h"
#include "metad/state/inode_record.h"
#include "metad/state/object_record.h"

namespace shoal::metad {

std::vector<std::string> split_key(const std::string& key) {
  std::vector<std::string> parts;
  std::size_t from = 0;
  while (true) {
    const std::size_t slash = key.find('/', from);
    parts.push_back(key.substr(from, slash - from));
    if (slash == std::string::npos) return parts;
    from = slash + 1;
  }
}

// The tag of bytes that no S3 client hashed: their CRC, where whole pieces give it, else the
// version. Never an MD5.
static std::string derived_etag(const Inode& inode) {
  std::uint32_t crc = 0;
  std::uint64_t end = 0;
  bool whole = true;
  for (const Extent& extent : inode.extents) {
    if (!extent.whole() || extent.file_offset != end) whole = false;
    if (!whole) break;
    crc = crc32c_combine(crc, extent.crc32c, extent.length);
    end = extent.file_end();
  }
  whole = whole && end == inode.size;
  constexpr char kHex[] = "0123456789abcdef";
  std::string tag;
  const auto append = [&](std::uint64_t value, int digits) {
    for (int shift = 4 * (digits - 1); shift >= 0; shift -= 4)
      tag.push_back(kHex[value >> shift & 15]);
  };
  append(whole ? crc : inode.id, whole ? 8 : 16);
  append(whole ? inode.size : inode.data_version, 16);
  return tag + "-0";
}

proto::ObjectMeta stored_object(const Inode& inode) {
  if (inode.object.empty()) return {};
  auto unpacked = unpack_object(inode.object, inode.birth_ns);
  CHECK(unpacked.ok());  // it was packed here, or verified when it was read
  return std::move(*unpacked);
}

proto::ObjectMeta object_of(const Inode& inode) {
  proto::ObjectMeta object = stored_object(inode);
  if (object.etag().empty()) object.set_etag(derived_etag(inode));
  if (object.last_modified_ns() == 0) object.set_last_modified_ns(inode.mtime_ns);
  return object;
}

State::State() {
  auto root = std::make_unique<Inode>();
  root->id = kRootInode.value();
  root->type = proto::DIRECTORY;
  root->mode = 0755;
  root->link_count = 2;
  root->directory = std::make_unique<Directory>();
  root->directory->parent = kRootInode;
  touch(*root);
  note_global();
  directories.emplace(root->id, std::move(root));
}

// Makes a used one as new, but for the memory that it has.
static void wipe(Inode* inode) {
  ExtentList extents = std::move(inode->extents);
  std::string object = std::move(inode->object);
  extents.clear();
  object.clear();
  *inode = Inode();
  inode->extents = std::move(extents);
  inode->object = std::move(object);
}

std::unique_ptr<Inode> State::take_blank(std::uint64_t id) {
  std::unique_ptr<Inode> inode;
  if (blank_.empty()) {
    inode = std::make_unique<Inode>();
  } else {
    inode = std::move(blank_.back());
    blank_.pop_back();
  }
  inode->id = id;
  return inode;
}

Inode* State::find(std::uint64_t id) {
  if (const auto directory = directories.find(id); directory != directories.end())
    return directory->second.get();
  if (const auto known = unpacked_.find(id); known != unpacked_.end()) return known->second.get();
  const std::string_view record = files.find(id);
  if (record.empty()) return nullptr;
  std::unique_ptr<Inode> inode = take_blank(id);
  CHECK(read_inode(record, inode.get()).ok());
  return unpacked_.emplace(id, std::move(inode)).first->second.get();
}

const Inode* State::peek(std::uint64_t id) {
  if (const auto directory = directories.find(id); directory != directories.end())
    return directory->second.get();
  if (const auto known = unpacked_.find(id); known != unpacked_.end()) return known->second.get();
  const std::string_view record = files.find(id);
  if (record.empty()) return nullptr;
  if (peeked_ == nullptr) peeked_ = std::make_unique<Inode>();
  wipe(peeked_.get());
  peeked_->id = id;
  CHECK(read_inode(record, peeked_.get()).ok());
  return peeked_.get();
}

void State::settle() {
  constexpr std::size_t kBlankInodes = 16;
  constexpr std::size_t kBlankExtents = 64;  // more memory than that is given back
  for (auto& [id, inode] : unpacked_) {
    if (inode->touched) {
      packing_.clear();
      write_inode(*inode, &packing_);
      files.put(id, packing_);
      if (inode->extras != nullptr && !inode->extras->holders.empty()) {
        held.insert(id);
      } else if (!held.empty()) {
        held.erase(id);
      }
    }
    if (blank_.size() == kBlankInodes || inode->extents.capacity() > kBlankExtents) continue;
    wipe(inode.get());
    blank_.push_back(std::move(inode));
  }
  unpacked_.clear();
}

std::uint64_t State::for_each_inode(std::size_t shard, std::uint64_t from, std::size_t limit,
                                    const std::function<bool(const Inode&)>& visit) const {
  if (shard == InodeTable::kShards) {
    for (auto at = directories.lower_bound(from); at != directories.end(); ++at) {
      if (limit-- == 0) return at->first;
      if (!visit(*at->second)) return 0;
    }
    return 0;
  }
  std::vector<std::uint64_t> ids;
  files.for_each_in_shard(shard, [&](std::uint64_t id, std::string_view) {
    if (id >= from) ids.push_back(id);
  });
  std::uint64_t next = 0;
  if (ids.size() > limit) {
    const auto end = ids.begin() + static_cast<std::ptrdiff_t>(limit);
    std::nth_element(ids.begin(), end, ids.end());
    next = *end;
    ids.erase(end, ids.end());
  }
  std::sort(ids.begin(), ids.end());
  Inode inode;
  for (const std::uint64_t id : ids) {
    wipe(&inode);
    inode.id = id;
    CHECK(read_inode(files.find(id), &inode).ok());
    if (!visit(inode)) return 0;
  }
  return next;
}

Result<Inode*> State::need(std::uint64_t id) {
  Inode* inode = find(id);
  if (inode == nullptr) return StaleHandleError("inode " + std::to_string(id) + " does not exist");
  return inode;
}

Result<Inode*> State::need_directory(std::uint64_t id) {
  ASSIGN_OR_RETURN(Inode * inode, need(id));
  if (!inode->is_directory())
    return NotDirectoryError("inode " + std::to_string(id) + " is not a directory");
  return inode;
}

void State::touch(Inode& inode) {
  inode.touched = true;
  changes.note_inode(inode.id);
}
void State::note_entry(const Inode& directory, const std::string& key) {
  changes.note(number_key(kEntryLetter, directory.id) + key);
}

Inode& State::create_inode(proto::FileType type, std::uint32_t mode, const proto::Identity& owner,
                           const Context& context) {
  std::unique_ptr<Inode> inode = take_blank(globals.next_inode++);
  note_global();
  inode->type = static_cast<std::uint8_t>(type);
  inode->mode = static_cast<std::uint16_t>(mode & 07777);
  inode->uid = owner.uid();
  inode->gid = owner.gid();
  inode->atime_ns = inode->mtime_ns = inode->ctime_ns = inode->birth_ns = context.time_ns;
  touch(*inode);
  Inode& made = *inode;
  if (type == proto::DIRECTORY) {
    made.directory = std::make_unique<Directory>();
    made.link_count = 1;  // its own "."; add_entry brings the other
    directories.emplace(made.id, std::move(inode));
  } else {
    unpacked_.emplace(made.id, std::move(inode));
  }
  return made;
}

bool State::drop_link(Inode& inode, const Context& context) {
  if (inode.link_count > 0) --inode.link_count;
  inode.ctime_ns = context.time_ns;
  touch(inode);
  if (inode.is_directory() ? inode.link_count > 1 : inode.link_count > 0) return false;
  if (inode.is_directory()) {
    remove_inode(inode);
    return false;
  }
  inode.need_extras().holders.push_back(0);
  unreaped.insert(inode.id);
  return true;
}

void State::remove_inode(Inode& inode) {
  for (const Extent& extent : inode.extents) release(extent);
  const std::uint64_t id = inode.id;
  unreaped.erase(id);
  held.erase(id);
  touch(inode);
  if (inode.is_directory()) {
    directory_bytes_ -= inode.directory->own_key.capacity();
    directories.erase(id);
    return;
  }
  files.erase(id);
  unpacked_.erase(id);
}

proto::Attributes State::attributes_of(const Inode& inode) const {
  proto::Attributes out;
  out.set_inode(inode.id);
  out.set_type(static_cast<proto::FileType>(inode.type));
  out.set_mode(inode.mode);
  out.set_uid(inode.uid);
  out.set_gid(inode.gid);
  out.set_link_count(inode.link_count);
  out.set_size(inode.is_directory() ? inode.directory->entries.size() : inode.size);
  out.set_atime_ns(inode.atime_ns);
  out.set_mtime_ns(inode.mtime_ns);
  out.set_ctime_ns(inode.ctime_ns);
  out.set_birth_ns(inode.birth_ns);
  out.set_data_version(inode.data_version);
  out.set_implicit(inode.implicit);
  std::uint64_t allocated = 0;
  for (const Extent& extent : inode.extents) allocated += extent.length;
  out.set_allocated_bytes(allocated);
  if (inode.extras != nullptr) out.set_device(inode.extras->device);
  if (inode.type == proto::SYMLINK && inode.extras != nullptr)
    out.set_size(inode.extras->symlink_target.size());
  return out;
}

Inode* State::child(const Inode& directory, const std::string& key) {
  const std::uint64_t id = directory.directory->entries.find(key);
  return id == 0 ? nullptr : find(id);
}

void State::add_entry(Inode& directory, const std::string& key, Inode& inode) {
  directory_bytes_ -= directory.directory->entries.bytes();
  directory.directory->entries.set(key, inode.id);
  directory_bytes_ += directory.directory->entries.bytes();
  ++inode.link_count;
  if (inode.is_directory()) {
    inode.directory->parent = InodeId(directory.id);
    directory_bytes_ -= inode.directory->own_key.capacity();
    inode.directory->own_key = key;
    directory_bytes_ += inode.directory->own_key.capacity();
    ++directory.directory->subdirectories;
    ++directory.link_count;
  }
  note_entry(directory, key);
  touch(inode);
  touch(directory);
}

void State::remove_entry(Inode& directory, const std::string& name) {
  const std::string key = name;  // `name` may lie in the entry that goes
  if (key.back() == kDirectoryByte) {
    --directory.directory->subdirectories;
    --directory.link_count;
  }
  directory_bytes_ -= directory.directory->entries.bytes();
  directory.directory->entries.erase(key);
  directory_bytes_ += directory.directory->entries.bytes();
  note_entry(directory, key);
  touch(directory);
}

Result<Entry> State::resolve(Inode& directory, const std::string& name) {
  ASSIGN_OR_RETURN(const RawName raw, from_posix_name(name));
  const auto& entries = directory.directory->entries;
  Entry entry{&directory, entry_key(raw.raw, false), nullptr};
  if (raw.is_long) {
    for (auto at = entries.lower_bound(raw.raw);
         at != entries.end() && at->key.starts_with(raw.raw); ++at) {
      if (posix_name_of(directory, at->key) != name) continue;
      entry.key = at->key;
      entry.inode = find(at->inode);
      break;
    }
    return entry;
  }
  const std::string as_directory = entry_key(raw.raw, true);
  Inode* subdirectory = child(directory, as_directory);
  if (raw.shadowed_file) {
    if (subdirectory != nullptr) entry.inode = child(directory, entry.key);
    return entry;
  }
  if (subdirectory != nullptr) {
    entry.key = as_directory;
    entry.inode = subdirectory;
  } else {
    entry.inode = child(directory, entry.key);
  }
  return entry;
}

std::string State::posix_name_of(const Inode& directory, std::string_view key) const {
  const std::string_view raw(key.data(), key.size() - 1);
  const bool is_directory = key.back() == kDirectoryByte;
  const bool shadowed =
      !is_directory && directory.directory->entries.contains(entry_key(raw, true));
  return to_posix_name(raw, is_directory, shadowed);
}

Inode* State::find_bucket(const std::string& name) {
  return child(*find(kRootInode.value()), entry_key(name, true));
}

Result<Inode*> State::need_bucket(const std::string& name) {
  Inode* bucket = find_bucket(name);
  if (bucket == nullptr) return NoSuchBucketError("bucket " + name + " does not exist");
  return bucket;
}

Inode* State::find_object(Inode& bucket, const std::string& key) {
  const std::vector<std::string> parts = split_key(key);
  Inode* at = &bucket;
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    at = child(*at, entry_key(parts[i], true));
    if (at == nullptr) return nullptr;
  }
  if (parts.back().empty()) return at != &bucket && at->directory->is_object ? at : nullptr;
  Inode* file = child(*at, entry_key(parts.back(), false));
  return file != nullptr && file->is_regular() ? file : nullptr;
}

Inode& State::make_parents(Inode& bucket, const std::string& key, const proto::Identity& owner,
                           const Context& context) {
  const std::vector<std::string> parts = split_key(key);
  Inode* at = &bucket;
  for (std::size_t i = 0; i + 1 < parts.size(); ++i) {
    const std::string name = entry_key(parts[i], true);
    Inode* next = child(*at, name);
    if (next == nullptr) {
      next = &create_inode(proto::DIRECTORY, 0755, owner, context);
      next->implicit = true;
      if (at->mode & 02000) {
        next->gid = at->gid;
        next->mode |= 02000;
      }
      add_entry(*at, name, *next);
      at->mtime_ns = at->ctime_ns = context.time_ns;
    }
    at = next;
  }
  return *at;
}

void State::collect_implicit(Inode& directory, const Inode& bucket) {
  Inode* at = &directory;
  while (at->id != bucket.id && at->implicit && at->directory->entries.empty() &&
         !at->directory->is_object) {
    Inode* const parent = find(at->directory->parent.value());
    CHECK(parent != nullptr);
    remove_entry(*parent, at->directory->own_key);
    remove_inode(*at);
    at = parent;
  }
}

Status State::check_extents(const ExtentList& extents, const Context& context) const {
  for (const Extent& extent : extents) {
    const auto pack = packs.find(extent.pack.value());
    if (pack == packs.end() || pack->second.state != proto::PACK_OPEN ||
        pack->second.session != context.session) {
      return FencedError("pack " + extent.pack.to_string() + " is not open for this session");
    }
    const PlacementGroup* group = cluster_map.group(pg_of_pack(extent.pack));
    if (group == nullptr || extent.column >= group->code.k) {
      return InvalidArgumentError("pack " + extent.pack.to_string() + " has no data column " +
                                  std::to_string(extent.column));
    }
    constexpr std::uint32_t kMaxRow = 1 << 24;
    if (extent.row >= kMaxRow)
      return InvalidArgumentError("row " + std::to_string(extent.row) + " is out of range");
  }
  return OkStatus();
}

void State::account(const ExtentList& extents, bool fresh) {
  for (const Extent& extent : extents) {
    PackEntry& pack = packs.at(extent.pack.value());
    if (pack.rows.size() <= extent.row) pack.rows.resize(extent.row + 1);
    pack.rows[extent.row] += extent.length;
    pack.live_bytes += extent.length;
    if (fresh) pack.committed_bytes += extent.length;
    note_pack(extent.pack.value());
  }
}

void State::release(const Extent& extent) {
  PackEntry& pack = packs.at(extent.pack.value());
  CHECK(pack.rows.at(extent.row) >= extent.length);
  pack.rows[extent.row] -= extent.length;
  pack.live_bytes -= extent.length;
  note_pack(extent.pack.value());
}

void State::set_content(Inode& inode, ExtentList extents, std::uint64_t size) {
  for (const Extent& extent : inode.extents) release(extent);
  inode.extents = std::move(extents);
  inode.size = size;
  ++inode.data_version;
  touch(inode);
}

void State::recount_directories() {
  directory_bytes_ = 0;
  for (const auto& [id, inode] : directories)
    directory_bytes_ += inode->directory->entries.bytes() + inode->directory->own_key.capacity();
}

std::uint64_t State::index_bytes() const {
  constexpr std::uint64_t kSlot = sizeof(std::uint64_t) + sizeof(void*) + 1;
  constexpr std::uint64_t kTreeSlot = sizeof(std::uint64_t) * 4 / 3;  // nodes three quarters full
  constexpr std::uint64_t kDirectory = 2 * kTreeSlot + sizeof(Inode) + sizeof(Directory);
  std::uint64_t bytes = sizeof *this + files.bytes() + changes.bytes() + directory_bytes_ +
                        directories.size() * kDirectory;
  for (const auto& [id, pack] : packs)
    bytes += (sizeof id + sizeof pack) * 4 / 3 + pack.rows.capacity() * sizeof(std::uint64_t);
  for (const auto& [id, session] : sessions) {
    bytes += sizeof session;
    for (const Session::Slot& slot : session.slots) bytes += sizeof slot + slot.reply.capacity();
  }
  for (const auto& [id, upload] : uploads) {
    bytes += sizeof upload + upload.object.SpaceUsedLong();
    for (const auto& [number, part] : upload.parts)
      bytes += part.info.SpaceUsedLong() + part.extents.capacity() * sizeof(Extent);
  }
  for (const auto& [key, document] : bucket_configs) bytes += key.capacity() + document.capacity();
  bytes += (unreaped.capacity() + held.size()) * kTreeSlot;
  return bytes + open_files.capacity() * (kSlot + sizeof(void*) * 3);
}

}  // namespace shoal::metad
