// ObjectApi: the store as the S3 door sees it. client::FileSystem implements it; `shoal bench
// front` puts a discarding store in its place; handler tests use one in memory. All calls belong to
// one executor. Protobuf's ObjectMeta and Conditions are used as they are, because they go into the
// command unchanged.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/async/task.h"
#include "base/buffer.h"
#include "base/result.h"
#include "proto/metadata.pb.h"

namespace shoal::client {

// Where in the namespace a new object lands when it is committed.
struct ObjectTarget {
  std::string bucket;
  std::string key;
};

struct ObjectStat {
  proto::Attributes attributes;
  proto::ObjectMeta object;
};

// The bytes of one object or part on their way in. Bytes are packed and made durable while they
// arrive; nothing is visible until a commit. Dropping the writer before a commit leaves nothing
// that can be seen.
class ObjectWriter {
 public:
  virtual ~ObjectWriter() = default;
  // Appends a piece; waits while too much is in flight. Pieces of kMaxColumnBytes that are
  // page-aligned are stored without a copy. The caller must not change the bytes afterwards.
  // Errors: kNoSpace, kUnavailable, kIoError.
  virtual Task<Status> append(Buffer piece) = 0;
  virtual std::uint64_t size() const = 0;
  // Waits until every piece is durable, then commits in one metadata command. Called at most once,
  // one of the two. *Durable:* the object and its metadata, once OK. Errors: kNoSuchBucket,
  // kPreconditionFailed, kNoSpace, ...
  virtual Task<Result<ObjectStat>> commit_object(ObjectTarget target, proto::ObjectMeta object,
                                                 proto::Conditions conditions,
                                                 proto::Identity owner) = 0;
  virtual Task<Result<proto::PartReply>> commit_part(ObjectTarget target, std::string upload,
                                                     std::uint32_t number, std::string etag,
                                                     proto::ObjectMeta checksums) = 0;
};

// The bytes of one version of an object, in order. It reads ahead by itself, boundedly.
class ObjectReader {
 public:
  virtual ~ObjectReader() = default;
  // The next piece of the range, an empty Buffer at its end. Verified against the extents'
  // checksums. Errors: kCorruption, kUnavailable when more columns are gone than the code can
  // restore.
  virtual Task<Result<Buffer>> next() = 0;
};

struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
};

class ObjectApi {
 public:
  virtual ~ObjectApi() = default;

  virtual Task<Result<std::vector<proto::BucketInfo>>> list_buckets() = 0;
  // Errors: kAlreadyExists, kInvalidArgument (name).
  virtual Task<Status> create_bucket(std::string name, proto::Identity owner) = 0;
  // Errors: kNoSuchBucket, kNotEmpty.
  virtual Task<Status> delete_bucket(std::string name) = 0;
  virtual Task<Result<proto::BucketInfo>> head_bucket(std::string name) = 0;

  // `size_hint`: bytes to come if known, else 0.
  virtual std::unique_ptr<ObjectWriter> create_writer(std::uint64_t size_hint) = 0;

  // Attributes and metadata. Errors: kNotFound, kNoSuchBucket, kPreconditionFailed, kNotModified.
  virtual Task<Result<ObjectStat>> head_object(std::string bucket, std::string key,
                                               proto::Conditions conditions) = 0;

  struct OpenedObject {
    ObjectStat stat;
    ByteRange range;  // what the reader will give: resolved against the object's size
    std::unique_ptr<ObjectReader> reader;  // never null
  };
  // A range as the request names it: first and last byte, or the last `suffix` bytes.
  struct RequestedRange {
    std::optional<std::uint64_t> first;
    std::optional<std::uint64_t> last;
    std::optional<std::uint64_t> suffix;
  };
  // Opens the object's current version for reading; an overwrite that comes later does not disturb
  // the reader. With `range` beyond the end: kOutOfRange, whose message is the object's size in
  // decimal.
  virtual Task<Result<OpenedObject>> open_object(std::string bucket, std::string key,
                                                 proto::Conditions conditions,
                                                 std::optional<RequestedRange> range) = 0;

  // One status for each key; a key that was not there is OK.
  virtual Task<Result<std::vector<Status>>> delete_objects(std::string bucket,
                                                           std::vector<std::string> keys,
                                                           proto::Conditions conditions) = 0;
  // Shares the bytes; no data moves.
  virtual Task<Result<ObjectStat>> copy_object(proto::CopyObject request) = 0;
  virtual Task<Result<proto::ListObjectsReply>> list_objects(proto::ListObjects request) = 0;

  virtual Task<Result<std::string>> create_upload(proto::CreateUpload request) = 0;
  virtual Task<Result<proto::PartReply>> copy_part(proto::CopyPart request) = 0;
  virtual Task<Result<ObjectStat>> complete_upload(proto::CompleteUpload request) = 0;
  virtual Task<Status> abort_upload(proto::AbortUpload request) = 0;
  virtual Task<Result<proto::ListUploadsReply>> list_uploads(proto::ListUploads request) = 0;
  virtual Task<Result<proto::ListPartsReply>> list_parts(proto::ListParts request) = 0;
};

}  // namespace shoal::client
