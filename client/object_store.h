// ObjectStore: ObjectApi over the data path and a metadata session. Belongs to one executor.
#pragma once

#include "client/extent_reader.h"
#include "client/metadata_client.h"
#include "client/object_api.h"
#include "client/pack_writer.h"

namespace shoal::client {

class ObjectStore final : public ObjectApi {
 public:
  ObjectStore(MetadataClient& metadata, PackWriter& writer, ExtentReader& reader)
      : metadata_(metadata), writer_(writer), reader_(reader) {}

  Task<Result<std::vector<proto::BucketInfo>>> list_buckets() override;
  Task<Status> create_bucket(std::string name, proto::Identity owner) override;
  Task<Status> delete_bucket(std::string name) override;
  Task<Result<proto::BucketInfo>> head_bucket(std::string name) override;
  std::unique_ptr<ObjectWriter> create_writer(std::uint64_t size_hint) override;
  Task<Result<ObjectStat>> head_object(std::string bucket, std::string key,
                                       proto::Conditions conditions) override;
  Task<Result<OpenedObject>> open_object(std::string bucket, std::string key,
                                         proto::Conditions conditions,
                                         std::optional<RequestedRange> range) override;
  Task<Result<std::vector<Status>>> delete_objects(std::string bucket,
                                                   std::vector<std::string> keys,
                                                   proto::Conditions conditions) override;
  Task<Result<ObjectStat>> copy_object(proto::CopyObject request) override;
  Task<Result<proto::ListObjectsReply>> list_objects(proto::ListObjects request) override;
  Task<Result<std::string>> create_upload(proto::CreateUpload request) override;
  Task<Result<proto::PartReply>> copy_part(proto::CopyPart request) override;
  Task<Result<ObjectStat>> complete_upload(proto::CompleteUpload request) override;
  Task<Status> abort_upload(proto::AbortUpload request) override;
  Task<Result<proto::ListUploadsReply>> list_uploads(proto::ListUploads request) override;
  Task<Result<proto::ListPartsReply>> list_parts(proto::ListParts request) override;

 private:
  MetadataClient& metadata_;
  PackWriter& writer_;
  ExtentReader& reader_;
};

}  // namespace shoal::client
