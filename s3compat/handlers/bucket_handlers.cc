// Buckets.
#include "base/bucket_name.h"
#include "s3compat/handlers/request.h"

namespace shoal::s3compat {
namespace {

void write_owner(XmlWriter& xml, const S3Request& request, std::string_view element) {
  xml.begin(element);
  xml.element("ID", request.signer.access_key);
  xml.element("DisplayName", request.signer.access_key);
  xml.end(element);
}

}  // namespace

Task<HttpResponse> list_buckets(S3Request* request) {
  auto buckets = co_await request->store->list_buckets();
  if (!buckets.ok()) co_return error_response(*request, buckets.status());
  XmlWriter xml;
  xml.begin_root("ListAllMyBucketsResult");
  write_owner(xml, *request, "Owner");
  xml.begin("Buckets");
  for (const proto::BucketInfo& bucket : *buckets) {
    xml.begin("Bucket");
    xml.element("Name", bucket.name());
    xml.element("CreationDate", iso_time(bucket.created_ns()));
    xml.end("Bucket");
  }
  xml.end("Buckets");
  xml.end("ListAllMyBucketsResult");
  co_return xml_response(200, xml.take());
}

Task<HttpResponse> create_bucket(S3Request* request) {
  if (auto unsupported = check_unsupported(*request->http))
    co_return error_response(*request, *unsupported);
  if (!is_bucket_name(request->bucket)) {
    co_return error_response(
        *request, s3_error(400, "InvalidBucketName", "The specified bucket is not valid."));
  }
  std::optional<S3Error> error;
  const auto text = co_await read_text_body(request, &error);
  if (error) co_return error_response(*request, *error);
  if (!text->empty()) {
    const auto document = parse_xml(*text);
    if (!document.ok())
      co_return error_response(*request,
                               s3_error(400, "MalformedXML", document.status().message()));
    const std::string where = document->child_text("LocationConstraint");
    if (!where.empty() && where != request->region) {
      co_return error_response(*request, s3_error(400, "InvalidLocationConstraint",
                                                  "this store is in " + request->region));
    }
  }
  const Status made = co_await request->store->create_bucket(request->bucket, request->owner());
  if (made.code() == StatusCode::kAlreadyExists) {
    const auto bucket = co_await request->store->head_bucket(request->bucket);
    if (bucket.ok() && bucket->owner().uid() != request->owner().uid())
      co_return error_response(*request, s3_error(409, "BucketAlreadyExists", made.message()));
  }
  if (!made.ok()) co_return error_response(*request, made);
  HttpResponse response;
  response.headers.emplace_back("Location", "/" + request->bucket);
  co_return response;
}

Task<HttpResponse> head_bucket(S3Request* request) {
  const auto bucket = co_await request->store->head_bucket(request->bucket);
  if (!bucket.ok()) co_return error_response(*request, bucket.status());
  HttpResponse response;
  response.headers.emplace_back("x-amz-bucket-region", request->region);
  response.head_only = true;
  co_return response;
}

Task<HttpResponse> delete_bucket(S3Request* request) {
  const Status deleted = co_await request->store->delete_bucket(request->bucket);
  if (!deleted.ok()) co_return error_response(*request, deleted);
  HttpResponse response;
  response.status = 204;
  co_return response;
}

Task<HttpResponse> get_bucket_location(S3Request* request) {
  const auto bucket = co_await request->store->head_bucket(request->bucket);
  if (!bucket.ok()) co_return error_response(*request, bucket.status());
  XmlWriter xml;
  // us-east-1 is told as nothing. Source: AWS GetBucketLocation.
  xml.begin_root("LocationConstraint");
  std::string text = xml.take();
  if (request->region != "us-east-1") text += request->region;
  co_return xml_response(200, text + "</LocationConstraint>");
}

Task<HttpResponse> get_bucket_versioning(S3Request* request) {
  const auto bucket = co_await request->store->head_bucket(request->bucket);
  if (!bucket.ok()) co_return error_response(*request, bucket.status());
  XmlWriter xml;
  xml.begin_root("VersioningConfiguration");  // never enabled
  xml.end("VersioningConfiguration");
  co_return xml_response(200, xml.take());
}

}  // namespace shoal::s3compat
