#include "s3compat/discard_store.h"

#include <algorithm>

#include "base/row_layout.h"

namespace shoal::s3compat {
namespace {

Status not_here() {
  return NotSupportedError("the discarding store only puts, gets and deletes objects");
}

class DiscardWriter final : public client::ObjectWriter {
 public:
  Task<Status> append(Buffer piece) override {
    size_ += piece.size();
    co_return OkStatus();
  }
  std::uint64_t size() const override { return size_; }
  Task<Result<client::ObjectStat>> commit_object(client::ObjectTarget, proto::ObjectMeta object,
                                                 proto::Conditions, proto::Identity) override {
    client::ObjectStat stat;
    stat.attributes.set_size(size_);
    stat.object = std::move(object);
    co_return stat;
  }
  Task<Result<proto::PartReply>> commit_part(client::ObjectTarget, std::string, std::uint32_t,
                                             std::string, proto::ObjectMeta) override {
    co_return not_here();
  }

 private:
  std::uint64_t size_ = 0;
};

class ZeroReader final : public client::ObjectReader {
 public:
  ZeroReader(Buffer zeros, std::uint64_t left) : zeros_(std::move(zeros)), left_(left) {}
  Task<Result<Buffer>> next() override {
    const std::uint64_t n = std::min<std::uint64_t>(left_, zeros_.size());
    left_ -= n;
    co_return zeros_.slice(0, n);
  }

 private:
  const Buffer zeros_;
  std::uint64_t left_;
};

}  // namespace

DiscardStore::DiscardStore(std::uint64_t object_bytes)
    : object_bytes_(object_bytes),
      zeros_(Buffer::zeros(std::clamp<std::uint64_t>(object_bytes, 1, kMaxColumnBytes))) {}

client::ObjectStat DiscardStore::stat() const {
  client::ObjectStat stat;
  stat.attributes.set_size(object_bytes_);
  stat.object.set_etag("00000000000000000000000000000000");
  return stat;
}

Task<Status> DiscardStore::create_bucket(std::string, proto::Identity) { co_return OkStatus(); }
Task<Result<proto::BucketInfo>> DiscardStore::head_bucket(std::string) {
  co_return proto::BucketInfo();
}
std::unique_ptr<client::ObjectWriter> DiscardStore::create_writer(std::uint64_t) {
  return std::make_unique<DiscardWriter>();
}
Task<Result<client::ObjectStat>> DiscardStore::head_object(std::string, std::string,
                                                           proto::Conditions) {
  co_return stat();
}
Task<Result<client::ObjectApi::OpenedObject>> DiscardStore::open_object(
    std::string, std::string, proto::Conditions, std::optional<RequestedRange> range) {
  if (range) co_return not_here();
  OpenedObject opened;
  opened.stat = stat();
  opened.range = {0, object_bytes_};
  opened.reader = std::make_unique<ZeroReader>(zeros_, object_bytes_);
  co_return opened;
}
Task<Result<std::vector<Status>>> DiscardStore::delete_objects(std::string,
                                                               std::vector<std::string> keys,
                                                               proto::Conditions) {
  co_return std::vector<Status>(keys.size());
}

Task<Result<std::vector<proto::BucketInfo>>> DiscardStore::list_buckets() { co_return not_here(); }
Task<Status> DiscardStore::delete_bucket(std::string) { co_return not_here(); }
Task<Result<client::ObjectStat>> DiscardStore::copy_object(proto::CopyObject) {
  co_return not_here();
}
Task<Result<proto::ListObjectsReply>> DiscardStore::list_objects(proto::ListObjects) {
  co_return not_here();
}
Task<Result<std::string>> DiscardStore::create_upload(proto::CreateUpload) { co_return not_here(); }
Task<Result<proto::PartReply>> DiscardStore::copy_part(proto::CopyPart) { co_return not_here(); }
Task<Result<client::ObjectStat>> DiscardStore::complete_upload(proto::CompleteUpload) {
  co_return not_here();
}
Task<Status> DiscardStore::abort_upload(proto::AbortUpload) { co_return not_here(); }
Task<Result<proto::ListUploadsReply>> DiscardStore::list_uploads(proto::ListUploads) {
  co_return not_here();
}
Task<Result<proto::ListPartsReply>> DiscardStore::list_parts(proto::ListParts) {
  co_return not_here();
}

}  // namespace shoal::s3compat
