#include "metad/state/records.h"

#include "base/encoding.h"
#include "metad/state/records.pb.h"

namespace shoal::metad {
namespace {

std::uint64_t number_of(std::string_view key) {
  std::uint64_t number = 0;
  for (std::size_t i = 1; i < 9 && i < key.size(); ++i) {
    number = number << 8 | static_cast<unsigned char>(key[i]);
  }
  return number;
}

Status corrupt(std::string_view key, const std::string& what) {
  return CorruptionError("checkpoint record " + hex_encode(key) + ": " + what);
}

std::string write_inode(const State& state, const Inode& inode) {
  records::InodeRecord record;
  *record.mutable_attributes() = state.attributes_of(inode);
  record.mutable_attributes()->clear_allocated_bytes();
  record.mutable_attributes()->set_size(inode.size);
  if (inode.is_directory()) {
    record.set_parent(inode.directory->parent.value());
    record.set_is_object(inode.directory->is_object);
  }
  extents_to_proto(inode.extents, record.mutable_extents());
  record.set_object(inode.object);
  if (inode.extras != nullptr) {
    record.set_symlink_target(inode.extras->symlink_target);
    for (const auto& [name, value] : inode.extras->xattrs) (*record.mutable_xattrs())[name] = value;
    for (const std::uint64_t holder : inode.extras->holders) record.add_holders(holder);
  }
  return record.SerializeAsString();
}

Status read_inode(State* state, std::string_view key, std::string_view value) {
  records::InodeRecord record;
  if (!record.ParseFromArray(value.data(), static_cast<int>(value.size())))
    return corrupt(key, "does not parse");
  const proto::Attributes& attributes = record.attributes();
  if (attributes.inode() != number_of(key) || attributes.inode() == 0)
    return corrupt(key, "names another inode");
  auto inode = std::make_unique<Inode>();
  inode->id = attributes.inode();
  inode->type = static_cast<std::uint8_t>(attributes.type());
  inode->mode = static_cast<std::uint16_t>(attributes.mode());
  inode->uid = attributes.uid();
  inode->gid = attributes.gid();
  inode->link_count = attributes.link_count();
  inode->size = attributes.size();
  inode->atime_ns = attributes.atime_ns();
  inode->mtime_ns = attributes.mtime_ns();
  inode->ctime_ns = attributes.ctime_ns();
  inode->birth_ns = attributes.birth_ns();
  inode->data_version = attributes.data_version();
  inode->implicit = attributes.implicit();
  auto extents = extents_from_proto(record.extents());
  if (!extents.ok()) return corrupt(key, extents.status().message());
  inode->extents = std::move(*extents);
  inode->extents.shrink_to_fit();
  inode->object = record.object();
  if (attributes.type() == proto::DIRECTORY) {
    inode->directory = std::make_unique<Directory>();
    inode->directory->parent = InodeId(record.parent());
    inode->directory->is_object = record.is_object();
    if (inode->id != kRootInode.value()) ++state->directory_count;
  }
  if (!record.symlink_target().empty())
    inode->need_extras().symlink_target = record.symlink_target();
  if (attributes.device() != 0) inode->need_extras().device = attributes.device();
  for (const auto& [name, xattr] : record.xattrs()) inode->need_extras().xattrs[name] = xattr;
  for (const std::uint64_t holder : record.holders()) {
    inode->need_extras().holders.push_back(holder);
    if (holder == 0) state->unreaped.insert(inode->id);
  }
  if (inode->id != kRootInode.value()) ++state->inode_count;
  auto& slot = state->inodes[inode->id % State::kShards][inode->id];
  slot = std::move(inode);
  return OkStatus();
}

std::string write_session(const Session& session) {
  records::SessionRecord record;
  record.set_client_name(session.client_name);
  record.set_slot_count(static_cast<std::uint32_t>(session.slots.size()));
  for (std::size_t i = 0; i < session.slots.size(); ++i) {
    if (session.slots[i].sequence == 0) continue;
    records::SlotRecord* slot = record.add_slots();
    slot->set_slot(static_cast<std::uint32_t>(i));
    slot->set_sequence(session.slots[i].sequence);
    slot->set_reply(session.slots[i].reply);
  }
  return record.SerializeAsString();
}

Status read_session(State* state, std::string_view key, std::string_view value) {
  records::SessionRecord record;
  if (!record.ParseFromArray(value.data(), static_cast<int>(value.size())))
    return corrupt(key, "does not parse");
  Session& session = state->sessions[number_of(key)];
  session.client_name = record.client_name();
  session.slots.resize(record.slot_count());
  for (const records::SlotRecord& slot : record.slots()) {
    if (slot.slot() >= session.slots.size()) return corrupt(key, "a slot out of range");
    session.slots[slot.slot()] = {slot.sequence(), slot.reply()};
  }
  return OkStatus();
}

std::string write_pack(const PackEntry& pack) {
  records::PackRecord record;
  record.set_state(pack.state);
  record.set_epoch(pack.epoch);
  record.set_session(pack.session);
  record.set_committed_bytes(pack.committed_bytes);
  for (const std::uint64_t bytes : pack.rows) record.add_row_live_bytes(bytes);
  return record.SerializeAsString();
}

Status read_pack(State* state, std::string_view key, std::string_view value) {
  records::PackRecord record;
  if (!record.ParseFromArray(value.data(), static_cast<int>(value.size())))
    return corrupt(key, "does not parse");
  PackEntry& pack = state->packs[number_of(key)];
  pack.state = static_cast<proto::PackState>(record.state());
  pack.epoch = record.epoch();
  pack.session = record.session();
  pack.committed_bytes = record.committed_bytes();
  for (const std::uint64_t bytes : record.row_live_bytes()) {
    pack.rows.push_back(bytes);
    pack.live_bytes += bytes;
  }
  return OkStatus();
}

std::string write_upload(const Upload& upload) {
  records::UploadRecord record;
  record.set_bucket(upload.bucket);
  record.set_key(upload.key);
  record.set_initiated_ns(upload.initiated_ns);
  *record.mutable_object() = upload.object;
  *record.mutable_owner() = upload.owner;
  for (const auto& [number, part] : upload.parts) {
    records::PartRecord* out = record.add_parts();
    *out->mutable_part() = part.info;
    extents_to_proto(part.extents, out->mutable_extents());
  }
  return record.SerializeAsString();
}

Status read_upload(State* state, std::string_view key, std::string_view value) {
  records::UploadRecord record;
  if (!record.ParseFromArray(value.data(), static_cast<int>(value.size())))
    return corrupt(key, "does not parse");
  Upload& upload = state->uploads[std::string(key.substr(1))];
  upload.bucket = record.bucket();
  upload.key = record.key();
  upload.initiated_ns = record.initiated_ns();
  upload.object = record.object();
  upload.owner = record.owner();
  for (const records::PartRecord& part : record.parts()) {
    auto extents = extents_from_proto(part.extents());
    if (!extents.ok()) return corrupt(key, extents.status().message());
    upload.parts[part.part().number()] = {part.part(), std::move(*extents)};
  }
  return OkStatus();
}

std::string write_globals(const State::Globals& globals) {
  records::GlobalRecord record;
  record.set_format_version(kStateFormatVersion);
  record.set_next_inode(globals.next_inode);
  record.set_next_pack(globals.next_pack);
  record.set_next_session(globals.next_session);
  record.set_next_group(globals.next_group);
  record.set_last_time_ns(globals.last_time_ns);
  return record.SerializeAsString();
}

Status read_globals(State* state, std::string_view key, std::string_view value) {
  records::GlobalRecord record;
  if (!record.ParseFromArray(value.data(), static_cast<int>(value.size())))
    return corrupt(key, "does not parse");
  if (record.format_version() > kStateFormatVersion) {
    return NotSupportedError(
        "the metadata is of format version " + std::to_string(record.format_version()) +
        ", newer than this program knows (" + std::to_string(kStateFormatVersion) + ")");
  }
  state->globals = {record.next_inode(), record.next_pack(), record.next_session(),
                    record.next_group(), record.last_time_ns()};
  return OkStatus();
}

// A record whose table is a map by number.
template <typename Map, typename Write>
std::optional<std::string> find_numbered(const Map& map, const std::string& key,
                                         const Write& write) {
  const auto found = map.find(number_of(key));
  if (found == map.end()) return std::nullopt;
  return write(found->second);
}

}  // namespace

std::optional<std::string> make_record(State& state, const std::string& key) {
  switch (key[0]) {
    case 'i': {
      const Inode* inode = state.find(number_of(key));
      if (inode == nullptr) return std::nullopt;
      return write_inode(state, *inode);
    }
    case 'd': {
      const Inode* directory = state.find(number_of(key));
      if (directory == nullptr || !directory->is_directory()) return std::nullopt;
      const auto found = directory->directory->entries.find(key.substr(9));
      if (found == directory->directory->entries.end()) return std::nullopt;
      return std::to_string(found->second);
    }
    case 's': return find_numbered(state.sessions, key, write_session);
    case 'p': return find_numbered(state.packs, key, write_pack);
    case 'u': {
      const auto found = state.uploads.find(key.substr(1));
      if (found == state.uploads.end()) return std::nullopt;
      return write_upload(found->second);
    }
    case 'c': {
      const auto found = state.bucket_configs.find(key.substr(1));
      if (found == state.bucket_configs.end()) return std::nullopt;
      return found->second;
    }
    case 'm': return state.cluster_map_proto.SerializeAsString();
    default: return write_globals(state.globals);
  }
}

Status read_record(State* state, std::string_view key, std::string_view value,
                   std::vector<PendingDentry>* dentries) {
  if (key.empty()) return CorruptionError("a checkpoint record without a key");
  const bool numbered = key[0] == 'i' || key[0] == 's' || key[0] == 'p';
  if ((numbered && key.size() != 9) || (key[0] == 'd' && key.size() < 10))
    return corrupt(key, "a key cut short");
  switch (key[0]) {
    case 'i': return read_inode(state, key, value);
    case 'd':
      dentries->push_back({number_of(key), std::string(key.substr(9)),
                           std::strtoull(std::string(value).c_str(), nullptr, 10)});
      return OkStatus();
    case 's': return read_session(state, key, value);
    case 'p': return read_pack(state, key, value);
    case 'u': return read_upload(state, key, value);
    case 'c':
      state->bucket_configs[std::string(key.substr(1))] = std::string(value);
      return OkStatus();
    case 'g': return read_globals(state, key, value);
    case 'm': {
      if (!state->cluster_map_proto.ParseFromArray(value.data(), static_cast<int>(value.size()))) {
        return corrupt(key, "does not parse");
      }
      ASSIGN_OR_RETURN(state->cluster_map, wire::cluster_map_from_proto(state->cluster_map_proto));
      return OkStatus();
    }
    default: return corrupt(key, "of an unknown kind");
  }
}

Status finish_records(State* state, std::vector<PendingDentry>* dentries) {
  for (PendingDentry& dentry : *dentries) {
    Inode* directory = state->find(dentry.directory);
    Inode* inode = state->find(dentry.inode);
    if (directory == nullptr || !directory->is_directory() || inode == nullptr) {
      return CorruptionError("checkpoint: dentry " + hex_encode(dentry.key) + " of inode " +
                             std::to_string(dentry.directory) + " leads to inode " +
                             std::to_string(dentry.inode) + ", one of which is not there");
    }
    if (inode->is_directory() != (dentry.key.back() == kDirectoryByte)) {
      return CorruptionError("checkpoint: a dentry of inode " + std::to_string(dentry.directory) +
                             " is of another type than its inode");
    }
    if (inode->is_directory()) {
      ++directory->directory->subdirectories;
      inode->directory->own_key = dentry.key;
    }
    directory->directory->entries.emplace(std::move(dentry.key), dentry.inode);
  }
  dentries->clear();
  dentries->shrink_to_fit();
  return OkStatus();
}

}  // namespace shoal::metad
