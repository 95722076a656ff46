// What is one command or query each. Bodies on their way in and out: object_writer.cc,
// object_reader.cc.
#include "client/object_store.h"

#include <algorithm>

#include "client/object_io.h"
#include "proto/wire/convert.h"

namespace shoal::client {
namespace {

// The range of an object of `size` bytes that a request asks for. Source: RFC 9110, section 14.1.2.
Result<ByteRange> resolve_range(const ObjectApi::RequestedRange& wanted, std::uint64_t size) {
  const Status unsatisfiable = OutOfRangeError(std::to_string(size));
  if (wanted.suffix) {
    if (*wanted.suffix == 0 || size == 0) return unsatisfiable;
    const std::uint64_t length = std::min(*wanted.suffix, size);
    return ByteRange{size - length, length};
  }
  const std::uint64_t first = wanted.first.value_or(0);
  if (first >= size) return unsatisfiable;
  const std::uint64_t last = std::min(wanted.last.value_or(size - 1), size - 1);
  if (last < first) return unsatisfiable;
  return ByteRange{first, last - first + 1};
}

ObjectStat to_stat(proto::ObjectReply* reply) {
  return {std::move(*reply->mutable_attributes()), std::move(*reply->mutable_object())};
}

}  // namespace

Task<Result<std::vector<proto::BucketInfo>>> ObjectStore::list_buckets() {
  proto::Query query;
  query.mutable_list_buckets();
  auto reply = co_await metadata_.query(std::move(query));
  if (!reply.ok()) co_return reply.status();
  co_return std::vector<proto::BucketInfo>(reply->buckets().buckets().begin(),
                                           reply->buckets().buckets().end());
}

Task<Status> ObjectStore::create_bucket(std::string name, proto::Identity owner) {
  proto::Command command;
  command.mutable_create_bucket()->set_name(std::move(name));
  *command.mutable_create_bucket()->mutable_owner() = std::move(owner);
  const auto reply = co_await metadata_.execute(std::move(command));
  co_return reply.status();
}

Task<Status> ObjectStore::delete_bucket(std::string name) {
  proto::Command command;
  command.mutable_delete_bucket()->set_name(std::move(name));
  const auto reply = co_await metadata_.execute(std::move(command));
  co_return reply.status();
}

Task<Result<proto::BucketInfo>> ObjectStore::head_bucket(std::string name) {
  proto::Query query;
  query.mutable_get_bucket()->set_name(std::move(name));
  auto reply = co_await metadata_.query(std::move(query));
  if (!reply.ok()) co_return reply.status();
  co_return std::move(*reply->mutable_bucket()->mutable_bucket());
}

std::unique_ptr<ObjectWriter> ObjectStore::create_writer(std::uint64_t) {
  return make_object_writer(metadata_, writer_);
}

Task<Result<ObjectStat>> ObjectStore::head_object(std::string bucket, std::string key,
                                                  proto::Conditions conditions) {
  proto::Query query;
  proto::GetObject* get = query.mutable_get_object();
  get->set_bucket(std::move(bucket));
  get->set_key(std::move(key));
  *get->mutable_conditions() = std::move(conditions);
  auto reply = co_await metadata_.query(std::move(query));
  if (!reply.ok()) co_return reply.status();
  proto::GetObjectReply* object = reply->mutable_object();
  co_return ObjectStat{std::move(*object->mutable_attributes()),
                       std::move(*object->mutable_object())};
}

Task<Result<ObjectApi::OpenedObject>> ObjectStore::open_object(
    std::string bucket, std::string key, proto::Conditions conditions,
    std::optional<RequestedRange> range) {
  proto::Query query;
  proto::GetObject* get = query.mutable_get_object();
  get->set_bucket(std::move(bucket));
  get->set_key(std::move(key));
  *get->mutable_conditions() = std::move(conditions);
  get->set_with_extents(true);
  if (range && range->first) {
    get->set_offset(*range->first);
    if (range->last && *range->last >= *range->first)
      get->set_length(*range->last - *range->first + 1);
  }
  auto reply = co_await metadata_.query(std::move(query));
  if (!reply.ok()) co_return reply.status();
  proto::GetObjectReply* object = reply->mutable_object();
  OpenedObject opened;
  opened.stat = {std::move(*object->mutable_attributes()), std::move(*object->mutable_object())};
  opened.range = {0, opened.stat.attributes.size()};
  if (range) {
    auto resolved = resolve_range(*range, opened.range.length);
    if (!resolved.ok()) co_return resolved.status();
    opened.range = *resolved;
  }
  auto extents = wire::extents_from_proto(object->extents());
  if (!extents.ok()) co_return extents.status();
  opened.reader =
      co_await make_object_reader(metadata_, reader_, opened.stat.attributes, opened.range,
                                  std::move(*extents), object->more_extents());
  co_return opened;
}

Task<Result<std::vector<Status>>> ObjectStore::delete_objects(std::string bucket,
                                                              std::vector<std::string> keys,
                                                              proto::Conditions conditions) {
  proto::Command command;
  proto::DeleteObjects* op = command.mutable_delete_objects();
  op->set_bucket(std::move(bucket));
  for (const std::string& key : keys) op->add_keys(key);
  *op->mutable_conditions() = std::move(conditions);
  const auto reply = co_await metadata_.execute(std::move(command));
  if (!reply.ok()) co_return reply.status();
  std::vector<Status> statuses;
  for (const proto::StatusProto& status : reply->delete_objects().statuses()) {
    statuses.push_back(wire::status_from_proto(status));
  }
  if (statuses.size() != keys.size())
    co_return InternalError("metad answered for another number of keys");
  co_return statuses;
}

Task<Result<ObjectStat>> ObjectStore::copy_object(proto::CopyObject request) {
  proto::Command command;
  *command.mutable_copy_object() = std::move(request);
  auto reply = co_await metadata_.execute(std::move(command));
  if (!reply.ok()) co_return reply.status();
  co_return to_stat(reply->mutable_object());
}

Task<Result<proto::ListObjectsReply>> ObjectStore::list_objects(proto::ListObjects request) {
  proto::Query query;
  *query.mutable_list_objects() = std::move(request);
  auto reply = co_await metadata_.query(std::move(query));
  if (!reply.ok()) co_return reply.status();
  co_return std::move(*reply->mutable_objects());
}

Task<Result<std::string>> ObjectStore::create_upload(proto::CreateUpload request) {
  proto::Command command;
  *command.mutable_create_upload() = std::move(request);
  const auto reply = co_await metadata_.execute(std::move(command));
  if (!reply.ok()) co_return reply.status();
  co_return reply->upload().upload();
}

Task<Result<proto::PartReply>> ObjectStore::copy_part(proto::CopyPart request) {
  proto::Command command;
  *command.mutable_copy_part() = std::move(request);
  const auto reply = co_await metadata_.execute(std::move(command));
  if (!reply.ok()) co_return reply.status();
  co_return reply->part();
}

Task<Result<ObjectStat>> ObjectStore::complete_upload(proto::CompleteUpload request) {
  proto::Command command;
  *command.mutable_complete_upload() = std::move(request);
  auto reply = co_await metadata_.execute(std::move(command));
  if (!reply.ok()) co_return reply.status();
  co_return to_stat(reply->mutable_object());
}

Task<Status> ObjectStore::abort_upload(proto::AbortUpload request) {
  proto::Command command;
  *command.mutable_abort_upload() = std::move(request);
  const auto reply = co_await metadata_.execute(std::move(command));
  co_return reply.status();
}

Task<Result<proto::ListUploadsReply>> ObjectStore::list_uploads(proto::ListUploads request) {
  proto::Query query;
  *query.mutable_list_uploads() = std::move(request);
  auto reply = co_await metadata_.query(std::move(query));
  if (!reply.ok()) co_return reply.status();
  co_return std::move(*reply->mutable_uploads());
}

Task<Result<proto::ListPartsReply>> ObjectStore::list_parts(proto::ListParts request) {
  proto::Query query;
  *query.mutable_list_parts() = std::move(request);
  auto reply = co_await metadata_.query(std::move(query));
  if (!reply.ok()) co_return reply.status();
  co_return std::move(*reply->mutable_parts());
}

}  // namespace shoal::client
