// DiscardStore: an ObjectApi that swallows what is put and gives zeros for what is got, at once:
// what the front end can do when the store costs nothing. For `shoal bench front`; everything else
// is kNotSupported.
#pragma once

#include "client/object_api.h"

namespace shoal::s3compat {

class DiscardStore final : public client::ObjectApi {
 public:
  // Every GET answers with an object of this size.
  explicit DiscardStore(std::uint64_t object_bytes);

  Task<Result<std::vector<proto::BucketInfo>>> list_buckets() override;
  Task<Status> create_bucket(std::string name, proto::Identity owner) override;
  Task<Status> delete_bucket(std::string name) override;
  Task<Result<proto::BucketInfo>> head_bucket(std::string name) override;
  std::unique_ptr<client::ObjectWriter> create_writer(std::uint64_t size_hint) override;
  Task<Result<client::ObjectStat>> head_object(std::string bucket, std::string key,
                                               proto::Conditions conditions) override;
  Task<Result<OpenedObject>> open_object(std::string bucket, std::string key,
                                         proto::Conditions conditions,
                                         std::optional<RequestedRange> range) override;
  Task<Result<std::vector<Status>>> delete_objects(std::string bucket,
                                                   std::vector<std::string> keys,
                                                   proto::Conditions conditions) override;
  Task<Result<client::ObjectStat>> copy_object(proto::CopyObject request) override;
  Task<Result<proto::ListObjectsReply>> list_objects(proto::ListObjects request) override;
  Task<Result<std::string>> create_upload(proto::CreateUpload request) override;
  Task<Result<proto::PartReply>> copy_part(proto::CopyPart request) override;
  Task<Result<client::ObjectStat>> complete_upload(proto::CompleteUpload request) override;
  Task<Status> abort_upload(proto::AbortUpload request) override;
  Task<Result<proto::ListUploadsReply>> list_uploads(proto::ListUploads request) override;
  Task<Result<proto::ListPartsReply>> list_parts(proto::ListParts request) override;

 private:
  client::ObjectStat stat() const;
  const std::uint64_t object_bytes_;
  const Buffer zeros_;
};

}  // namespace shoal::s3compat
