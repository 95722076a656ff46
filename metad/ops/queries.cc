// Queries: read from the state, which holds only what is durable.
#include "base/bucket_name.h"
#include "metad/ops/ops.h"

namespace shoal::metad {
namespace {

constexpr std::uint32_t kMaxEntriesPerPage = 10'000;
constexpr std::size_t kMaxExtentsPerReply = 8192;
constexpr std::uint32_t kMaxPacksPerReply = 10'000;

// Extents of [from, to), at most a page of them; returns whether more follow.
bool fill_extents(const Inode& inode, std::uint64_t from, std::uint64_t to,
                  google::protobuf::RepeatedPtrField<proto::ExtentProto>* out) {
  ExtentList part = slice_extents(inode.extents, from, to);
  const bool more = part.size() > kMaxExtentsPerReply;
  if (more) part.resize(kMaxExtentsPerReply);
  extents_to_proto(part, out);
  return more;
}

Status lookup(State& state, const proto::Lookup& op, proto::EntryReply* reply) {
  ASSIGN_OR_RETURN(Inode * parent, state.need_directory(op.parent()));
  ASSIGN_OR_RETURN(const Entry entry, state.resolve(*parent, op.name()));
  // Its name may have been given to a new directory: who still has the old one looks again.
  if (entry.inode == nullptr && parent->link_count == 0)
    return StaleHandleError("the directory was removed");
  if (entry.inode == nullptr) return NotFoundError(op.name() + " does not exist");
  *reply->mutable_attributes() = state.attributes_of(*entry.inode);
  if (op.with_extents()) {
    reply->set_more_extents(
        fill_extents(*entry.inode, 0, entry.inode->size, reply->mutable_extents()));
  }
  return OkStatus();
}

Status read_directory(State& state, const proto::ReadDirectory& op,
                      proto::ReadDirectoryReply* reply) {
  ASSIGN_OR_RETURN(Inode * directory, state.need_directory(op.inode()));
  const auto& entries = directory->directory->entries;
  const std::uint32_t limit = std::min(op.limit(), kMaxEntriesPerPage);
  auto at = op.marker().empty() ? entries.begin() : entries.upper_bound(op.marker());
  for (; at != entries.end(); ++at) {
    if (static_cast<std::uint32_t>(reply->entries_size()) == limit) {
      reply->set_more(true);
      break;
    }
    proto::DirectoryEntry* entry = reply->add_entries();
    entry->set_name(state.posix_name_of(*directory, at->key));
    entry->set_cookie(std::string(at->key));
    *entry->mutable_attributes() = state.attributes_of(*state.peek(at->inode));
  }
  return OkStatus();
}

Status get_xattr(State& state, const proto::GetXattr& op, proto::BytesReply* reply) {
  ASSIGN_OR_RETURN(const Inode* inode, state.need(op.inode()));
  if (inode->extras != nullptr) {
    const auto found = inode->extras->xattrs.find(op.name());
    if (found != inode->extras->xattrs.end()) {
      reply->set_value(found->second);
      return OkStatus();
    }
  }
  return NoDataError("xattr " + op.name() + " does not exist");
}

Status open_file(State& state, const proto::Query& query, proto::EntryReply* reply) {
  const proto::OpenFile& op = query.open_file();
  ASSIGN_OR_RETURN(const Inode* inode, state.need(op.inode()));
  if (!state.sessions.contains(query.session()))
    return FencedError("opening a file needs a session");
  ++state.open_files[op.inode()][query.session()];
  *reply->mutable_attributes() = state.attributes_of(*inode);
  if (op.with_extents()) {
    reply->set_more_extents(fill_extents(*inode, 0, inode->size, reply->mutable_extents()));
  }
  return OkStatus();
}

void close_file(State& state, std::uint64_t inode, std::uint64_t session) {
  const auto file = state.open_files.find(inode);
  if (file == state.open_files.end()) return;
  const auto count = file->second.find(session);
  if (count != file->second.end() && --count->second == 0) file->second.erase(count);
  if (file->second.empty()) state.open_files.erase(file);
}

Status get_object(State& state, const proto::GetObject& op, proto::GetObjectReply* reply) {
  ASSIGN_OR_RETURN(Inode * bucket, state.need_bucket(op.bucket()));
  const Inode* inode = state.find_object(*bucket, op.key());
  if (inode == nullptr) return NotFoundError("object " + op.key() + " does not exist");
  RETURN_IF_ERROR(check_conditions(op.conditions(), inode, true));
  *reply->mutable_attributes() = state.attributes_of(*inode);
  reply->mutable_attributes()->set_size(inode->size);
  *reply->mutable_object() = object_of(*inode);
  if (op.with_extents()) {
    const std::uint64_t end = op.length() == 0 ? inode->size : op.offset() + op.length();
    reply->set_more_extents(
        fill_extents(*inode, op.offset(), std::min(end, inode->size), reply->mutable_extents()));
  }
  return OkStatus();
}

void fill_bucket(const Inode& inode, const std::string& name, proto::BucketInfo* out) {
  out->set_name(name);
  out->set_created_ns(inode.birth_ns);
  out->set_inode(inode.id);
  out->mutable_owner()->set_uid(inode.uid);
  out->mutable_owner()->set_gid(inode.gid);
}

void list_buckets(State& state, proto::ListBucketsReply* reply) {
  for (const auto& [key, id] : state.find(kRootInode.value())->directory->entries) {
    const std::string name(key.substr(0, key.size() - 1));
    if (key.back() != kDirectoryByte || !is_bucket_name(name)) continue;
    fill_bucket(*state.find(id), name, reply->add_buckets());
  }
}

Status get_bucket(State& state, const proto::GetBucket& op, proto::BucketReply* reply) {
  ASSIGN_OR_RETURN(const Inode* bucket, state.need_bucket(op.name()));
  fill_bucket(*bucket, op.name(), reply->mutable_bucket());
  const auto found = state.bucket_configs.find(std::to_string(bucket->id) + "/" + op.config());
  if (!op.config().empty() && found != state.bucket_configs.end())
    reply->set_document(found->second);
  return OkStatus();
}

void list_packs(State& state, const proto::ListPacks& op, proto::ListPacksReply* reply) {
  const std::uint32_t limit = std::min(op.limit(), kMaxPacksPerReply);
  for (auto at = state.packs.upper_bound(op.after()); at != state.packs.end(); ++at) {
    if (static_cast<std::uint32_t>(reply->packs_size()) == limit) {
      reply->set_more(true);
      break;
    }
    proto::PackRecord* record = reply->add_packs();
    record->set_pack(at->first);
    record->set_state(at->second.state);
    record->set_epoch(at->second.epoch);
    record->set_session(at->second.session);
    record->set_live_bytes(at->second.live_bytes);
    record->set_committed_bytes(at->second.committed_bytes);
    record->set_kept(at->second.kept);
    if (!op.with_rows()) continue;
    for (const std::uint64_t bytes : at->second.rows) {
      record->add_row_live_bytes(
          static_cast<std::uint32_t>(std::min<std::uint64_t>(bytes, UINT32_MAX)));
    }
  }
}

Status answer_file_query(State& state, const proto::Query& query, proto::QueryReply* reply) {
  switch (query.op_case()) {
    case proto::Query::kLookup: return lookup(state, query.lookup(), reply->mutable_entry());
    case proto::Query::kGetAttributes: {
      ASSIGN_OR_RETURN(const Inode* inode, state.need(query.get_attributes().inode()));
      *reply->mutable_entry()->mutable_attributes() = state.attributes_of(*inode);
      return OkStatus();
    }
    case proto::Query::kReadDirectory:
      return read_directory(state, query.read_directory(), reply->mutable_directory());
    case proto::Query::kReadSymlink: {
      ASSIGN_OR_RETURN(const Inode* inode, state.need(query.read_symlink().inode()));
      if (inode->type != proto::SYMLINK) return InvalidArgumentError("not a symlink");
      reply->mutable_bytes()->set_value(inode->extras->symlink_target);
      return OkStatus();
    }
    case proto::Query::kGetXattr:
      return get_xattr(state, query.get_xattr(), reply->mutable_bytes());
    case proto::Query::kListXattrs: {
      ASSIGN_OR_RETURN(const Inode* inode, state.need(query.list_xattrs().inode()));
      reply->mutable_names();
      if (inode->extras == nullptr) return OkStatus();
      for (const auto& [name, value] : inode->extras->xattrs)
        reply->mutable_names()->add_names(name);
      return OkStatus();
    }
    case proto::Query::kGetExtents: {
      const proto::GetExtents& op = query.get_extents();
      ASSIGN_OR_RETURN(const Inode* inode, state.need(op.inode()));
      proto::EntryReply* entry = reply->mutable_entry();
      *entry->mutable_attributes() = state.attributes_of(*inode);
      const std::uint64_t end = op.length() == 0 ? inode->size : op.offset() + op.length();
      entry->set_more_extents(
          fill_extents(*inode, op.offset(), std::min(end, inode->size), entry->mutable_extents()));
      return OkStatus();
    }
    case proto::Query::kOpenFile: return open_file(state, query, reply->mutable_entry());
    case proto::Query::kCloseFile: {
      // The attributes tell whether it was the last hold on an unlinked file.
      close_file(state, query.close_file().inode(), query.session());
      const Inode* inode = state.find(query.close_file().inode());
      if (inode != nullptr)
        *reply->mutable_entry()->mutable_attributes() = state.attributes_of(*inode);
      return OkStatus();
    }
    default:
      return NotSupportedError("query " + std::to_string(query.op_case()) + " is not known here");
  }
}

}  // namespace

void answer_query(State& state, const proto::Query& query, proto::QueryReply* reply) {
  Status status;
  switch (query.op_case()) {
    case proto::Query::kGetClusterMap:
      reply->mutable_cluster_map();
      if (query.get_cluster_map().known_epoch() != state.cluster_map.epoch) {
        *reply->mutable_cluster_map() = state.cluster_map_proto;
      }
      break;
    case proto::Query::kKeepAlive: break;
    case proto::Query::kListPacks:
      list_packs(state, query.list_packs(), reply->mutable_list_packs());
      break;
    case proto::Query::kListReferences:
      status = list_references(state, query.list_references(), reply->mutable_list_references());
      break;
    case proto::Query::kListBuckets: list_buckets(state, reply->mutable_buckets()); break;
    case proto::Query::kGetBucket:
      status = get_bucket(state, query.get_bucket(), reply->mutable_bucket());
      break;
    case proto::Query::kGetObject:
      status = get_object(state, query.get_object(), reply->mutable_object());
      break;
    case proto::Query::kListObjects:
      status = list_objects(state, query.list_objects(), reply->mutable_objects());
      break;
    case proto::Query::kListUploads:
      status = list_uploads(state, query.list_uploads(), reply->mutable_uploads());
      break;
    case proto::Query::kListParts:
      status = list_parts(state, query.list_parts(), reply->mutable_parts());
      break;
    default: status = answer_file_query(state, query, reply); break;
  }
  if (!status.ok()) reply->clear_op();
  wire::status_to_proto(status, reply->mutable_status());
}

}  // namespace shoal::metad
