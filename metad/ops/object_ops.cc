// S3 objects and buckets.
#include <algorithm>

#include "metad/ops/ops.h"
#include "metad/state/object_record.h"

namespace shoal::metad {
namespace {

constexpr std::size_t kMaxKeyBytes = 1024;

Status check_key(const std::string& key) {
  if (key.empty()) return InvalidArgumentError("an object key may not be empty");
  if (key.size() > kMaxKeyBytes) return NameTooLongError("an object key may have 1024 bytes");
  return OkStatus();
}

bool matches(const google::protobuf::RepeatedPtrField<std::string>& tags, const std::string& etag) {
  return std::any_of(tags.begin(), tags.end(),
                     [&](const std::string& tag) { return tag == "*" || tag == etag; });
}

void fill_object_reply(State& state, const Inode& inode, proto::CommandReply* reply) {
  *reply->mutable_object()->mutable_attributes() = state.attributes_of(inode);
  *reply->mutable_object()->mutable_object() = object_of(inode);
}

void set_object(Inode& inode, proto::ObjectMeta object, const Context& context) {
  object.set_last_modified_ns(context.time_ns);
  inode.object = pack_object(object, inode.birth_ns);
}

Status delete_one(State& state, Inode& bucket, const std::string& key,
                  const proto::Conditions& conditions, const Context& context) {
  RETURN_IF_ERROR(check_key(key));
  Inode* inode = state.find_object(bucket, key);
  RETURN_IF_ERROR(check_conditions(conditions, inode, false));
  if (inode == nullptr) return OkStatus();
  if (inode->is_directory()) {
    inode->directory->is_object = false;
    inode->object.clear();
    state.set_content(*inode, {}, 0);
    state.collect_implicit(*inode, bucket);
    return OkStatus();
  }
  const std::vector<std::string> parts = split_key(key);
  Inode* parent = &bucket;
  for (std::size_t i = 0; i + 1 < parts.size(); ++i)
    parent = state.child(*parent, State::entry_key(parts[i], true));
  state.remove_entry(*parent, State::entry_key(parts.back(), false));
  parent->mtime_ns = parent->ctime_ns = context.time_ns;
  state.drop_link(*inode, context);
  state.collect_implicit(*parent, bucket);
  return OkStatus();
}

}  // namespace

Status check_conditions(const proto::Conditions& conditions, const Inode* inode, bool reading) {
  if (conditions.must_not_exist() && inode != nullptr)
    return PreconditionFailedError("the object exists");
  if (inode == nullptr) {
    return conditions.if_match_size() > 0 ? NotFoundError("the object does not exist") : OkStatus();
  }
  const proto::ObjectMeta object = object_of(*inode);
  constexpr std::int64_t kSecond = 1'000'000'000;
  const std::int64_t modified =
      object.last_modified_ns() / kSecond;  // HTTP dates know no fractions
  const Status not_modified =
      reading ? NotModifiedError("not modified") : PreconditionFailedError("If-None-Match");
  if (conditions.if_match_size() > 0) {
    if (!matches(conditions.if_match(), object.etag())) return PreconditionFailedError("If-Match");
  } else if (conditions.has_if_unmodified_since() &&
             modified > conditions.if_unmodified_since_ns() / kSecond) {
    return PreconditionFailedError("If-Unmodified-Since");
  }
  if (conditions.if_none_match_size() > 0) {
    if (matches(conditions.if_none_match(), object.etag())) return not_modified;
  } else if (conditions.has_if_modified_since() &&
             modified <= conditions.if_modified_since_ns() / kSecond) {
    return reading ? not_modified : PreconditionFailedError("If-Modified-Since");
  }
  return OkStatus();
}

Status create_bucket(State& state, const proto::CreateBucket& op, const Context& context) {
  RETURN_IF_ERROR(from_posix_name(op.name()).status());
  Inode& root = *state.find(kRootInode.value());
  if (state.find_bucket(op.name()) != nullptr)
    return AlreadyExistsError("bucket " + op.name() + " exists");
  Inode& bucket = state.create_inode(proto::DIRECTORY, 0755, op.owner(), context);
  state.add_entry(root, State::entry_key(op.name(), true), bucket);
  root.mtime_ns = root.ctime_ns = context.time_ns;
  return OkStatus();
}

Status delete_bucket(State& state, const proto::DeleteBucket& op, const Context& context) {
  ASSIGN_OR_RETURN(Inode * bucket, state.need_bucket(op.name()));
  if (!bucket->directory->entries.empty())
    return NotEmptyError("bucket " + op.name() + " is not empty");
  Inode& root = *state.find(kRootInode.value());
  const std::uint64_t id = bucket->id;
  state.remove_entry(root, State::entry_key(op.name(), true));
  root.mtime_ns = root.ctime_ns = context.time_ns;
  state.drop_link(*bucket, context);
  std::vector<std::string> gone;
  for (const auto& [upload_id, upload] : state.uploads) {
    if (upload.bucket == id) gone.push_back(upload_id);
  }
  for (const std::string& upload_id : gone) {
    for (const auto& [number, part] : state.uploads[upload_id].parts) {
      for (const Extent& extent : part.extents) state.release(extent);
    }
    state.uploads.erase(upload_id);
    state.note_upload(upload_id);
  }
  return OkStatus();
}

Status set_bucket_config(State& state, const proto::SetBucketConfig& op) {
  ASSIGN_OR_RETURN(const Inode* bucket, state.need_bucket(op.bucket()));
  const std::string key = std::to_string(bucket->id) + "/" + op.name();
  if (op.document().empty()) {
    state.bucket_configs.erase(key);
  } else {
    state.bucket_configs[key] = op.document();
  }
  state.note_bucket_config(key);
  return OkStatus();
}

Inode& replace_object(State& state, Inode& bucket, const std::string& key,
                      const proto::Identity& owner, const Context& context) {
  Inode& parent = state.make_parents(bucket, key, owner, context);
  const std::string last = key.substr(key.rfind('/') + 1);
  if (last.empty()) {
    parent.directory->is_object = true;
    return parent;
  }
  const std::string name = State::entry_key(last, false);
  Inode* old = state.child(parent, name);
  Inode& inode = state.create_inode(proto::REGULAR, 0644, owner, context);
  if (parent.mode & 02000) inode.gid = parent.gid;
  if (old != nullptr) {
    // Who may read it does not change because its bytes do.
    inode.mode = old->mode;
    inode.uid = old->uid;
    inode.gid = old->gid;
    state.remove_entry(parent, name);
    state.drop_link(*old, context);
  }
  state.add_entry(parent, name, inode);
  parent.mtime_ns = parent.ctime_ns = context.time_ns;
  return inode;
}

Status put_object(State& state, const proto::PutObject& op, const Context& context,
                  proto::CommandReply* reply) {
  ASSIGN_OR_RETURN(Inode * bucket, state.need_bucket(op.bucket()));
  RETURN_IF_ERROR(check_key(op.key()));
  RETURN_IF_ERROR(check_conditions(op.conditions(), state.find_object(*bucket, op.key()), false));
  ASSIGN_OR_RETURN(ExtentList extents, extents_from_proto(op.extents()));
  RETURN_IF_ERROR(state.check_extents(extents, context));
  if (op.size() > kMaxFileBytes) return TooLargeError("an object of over 2^62 bytes");
  if (!extents.empty() && extents.back().file_end() > op.size()) {
    return InvalidArgumentError("extents end behind the object's size");
  }
  state.account(extents, true);
  Inode& inode = replace_object(state, *bucket, op.key(), op.owner(), context);
  state.set_content(inode, std::move(extents), op.size());
  inode.mtime_ns = inode.ctime_ns = context.time_ns;
  set_object(inode, op.object(), context);
  fill_object_reply(state, inode, reply);
  return OkStatus();
}

Status delete_objects(State& state, const proto::DeleteObjects& op, const Context& context,
                      proto::CommandReply* reply) {
  ASSIGN_OR_RETURN(Inode * bucket, state.need_bucket(op.bucket()));
  for (const std::string& key : op.keys()) {
    wire::status_to_proto(delete_one(state, *bucket, key, op.conditions(), context),
                          reply->mutable_delete_objects()->add_statuses());
  }
  return OkStatus();
}

Status copy_object(State& state, const proto::CopyObject& op, const Context& context,
                   proto::CommandReply* reply) {
  ASSIGN_OR_RETURN(Inode * source_bucket, state.need_bucket(op.source_bucket()));
  ASSIGN_OR_RETURN(Inode * bucket, state.need_bucket(op.bucket()));
  RETURN_IF_ERROR(check_key(op.key()));
  Inode* source = state.find_object(*source_bucket, op.source_key());
  if (source == nullptr) return NotFoundError("the source object does not exist");
  RETURN_IF_ERROR(check_conditions(op.source_conditions(), source, false));
  RETURN_IF_ERROR(check_conditions(op.conditions(), state.find_object(*bucket, op.key()), false));
  proto::ObjectMeta object = object_of(*source);
  if (op.replace_metadata()) {
    *object.mutable_headers() = op.object().headers();
    *object.mutable_user() = op.object().user();
  }
  ExtentList extents = source->extents;
  const std::uint64_t size = source->size;
  state.account(extents, false);
  Inode& inode = replace_object(state, *bucket, op.key(), op.owner(), context);
  state.set_content(inode, std::move(extents), size);
  inode.mtime_ns = inode.ctime_ns = context.time_ns;
  set_object(inode, std::move(object), context);
  fill_object_reply(state, inode, reply);
  return OkStatus();
}

}  // namespace shoal::metad
