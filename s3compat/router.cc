#include "s3compat/router.h"

#include <array>

namespace shoal::s3compat {
namespace {

// Subresources that are not implemented, and what they are called.
struct Subresource {
  std::string_view parameter;
  std::string_view name;
};
constexpr std::array<Subresource, 25> kBucketSubresources{
    {{"acl", "BucketAcl"},
     {"policy", "BucketPolicy"},
     {"policyStatus", "BucketPolicyStatus"},
     {"tagging", "BucketTagging"},
     {"lifecycle", "BucketLifecycleConfiguration"},
     {"cors", "BucketCors"},
     {"website", "BucketWebsite"},
     {"notification", "BucketNotificationConfiguration"},
     {"replication", "BucketReplication"},
     {"encryption", "BucketEncryption"},
     {"logging", "BucketLogging"},
     {"accelerate", "BucketAccelerateConfiguration"},
     {"requestPayment", "BucketRequestPayment"},
     {"object-lock", "ObjectLockConfiguration"},
     {"ownershipControls", "BucketOwnershipControls"},
     {"publicAccessBlock", "PublicAccessBlock"},
     {"analytics", "BucketAnalyticsConfiguration"},
     {"inventory", "BucketInventoryConfiguration"},
     {"metrics", "BucketMetricsConfiguration"},
     {"intelligent-tiering", "BucketIntelligentTieringConfiguration"},
     {"versions", "ObjectVersions"},
     {"session", "Session"},
     {"metadataTable", "BucketMetadataTableConfiguration"},
     {"abac", "BucketAbac"},
     {"metadataConfiguration", "BucketMetadataConfiguration"}}};
constexpr std::array<Subresource, 9> kObjectSubresources{{{"acl", "ObjectAcl"},
                                                          {"tagging", "ObjectTagging"},
                                                          {"retention", "ObjectRetention"},
                                                          {"legal-hold", "ObjectLegalHold"},
                                                          {"torrent", "ObjectTorrent"},
                                                          {"attributes", "ObjectAttributes"},
                                                          {"restore", "RestoreObject"},
                                                          {"select", "SelectObjectContent"},
                                                          {"renameObject", "RenameObject"}}};

std::string verb_of(const std::string& method) {
  if (method == "PUT") return "Put";
  if (method == "DELETE") return "Delete";
  if (method == "POST") return "Post";
  return "Get";
}

template <std::size_t N>
std::string subresource_name(const S3Request& request, const std::array<Subresource, N>& table) {
  for (const Subresource& entry : table) {
    if (request.has(entry.parameter))
      return verb_of(request.http->method) + std::string(entry.name);
  }
  return "";
}

Route bucket_route(const S3Request& request) {
  const std::string& method = request.http->method;
  if (const std::string name = subresource_name(request, kBucketSubresources); !name.empty())
    return {nullptr, name};
  if (method == "GET") {
    if (request.has("location")) return {get_bucket_location, "GetBucketLocation"};
    if (request.has("versioning")) return {get_bucket_versioning, "GetBucketVersioning"};
    if (request.has("uploads")) return {list_uploads, "ListMultipartUploads"};
    if (request.parameter("list-type").value_or("") == "2")
      return {list_objects_v2, "ListObjectsV2"};
    return {list_objects, "ListObjects"};
  }
  if (method == "HEAD") return {head_bucket, "HeadBucket"};
  if (method == "PUT") {
    if (request.has("versioning")) return {nullptr, "PutBucketVersioning"};
    return {create_bucket, "CreateBucket"};
  }
  if (method == "DELETE") return {delete_bucket, "DeleteBucket"};
  if (method == "POST" && request.has("delete")) return {delete_objects, "DeleteObjects"};
  return {nullptr, method == "POST" ? "PostObject" : method + " of a bucket"};
}

Route object_route(const S3Request& request) {
  const std::string& method = request.http->method;
  if (const std::string name = subresource_name(request, kObjectSubresources); !name.empty())
    return {nullptr, name};
  const bool copies = request.http->has_header("x-amz-copy-source");
  const bool upload = request.has("uploadId");
  if (method == "GET")
    return upload ? Route{list_parts, "ListParts"} : Route{get_object, "GetObject"};
  if (method == "HEAD") return {head_object, "HeadObject"};
  if (method == "PUT") {
    if (upload)
      return copies ? Route{upload_part_copy, "UploadPartCopy"} : Route{upload_part, "UploadPart"};
    return copies ? Route{copy_object, "CopyObject"} : Route{put_object, "PutObject"};
  }
  if (method == "POST") {
    if (request.has("uploads")) return {create_upload, "CreateMultipartUpload"};
    if (upload) return {complete_upload, "CompleteMultipartUpload"};
  }
  if (method == "DELETE") {
    return upload ? Route{abort_upload, "AbortMultipartUpload"}
                  : Route{delete_object, "DeleteObject"};
  }
  return {nullptr, method + " of an object"};
}

}  // namespace

Route route(const S3Request& request) {
  if (!request.key.empty()) return object_route(request);
  if (!request.bucket.empty()) return bucket_route(request);
  if (request.http->method == "GET") return {list_buckets, "ListBuckets"};
  return {nullptr, request.http->method + " of the service"};
}

}  // namespace shoal::s3compat
