// Multipart uploads.
#include <charconv>

#include "base/encoding.h"
#include "s3compat/handlers/request.h"
#include "s3compat/limits.h"

namespace shoal::s3compat {
namespace {

std::optional<std::uint32_t> parse_number(const std::string& text) {
  std::uint32_t number = 0;
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return std::nullopt;
  return number;
}

std::optional<std::uint32_t> part_number(const S3Request& request) {
  const auto number = parse_number(request.parameter("partNumber").value_or(""));
  return number && *number >= 1 && *number <= 10'000 ? number : std::nullopt;
}

S3Error bad_part_number() {
  return s3_error(400, "InvalidArgument",
                  "Part number must be an integer between 1 and 10000, inclusive");
}

std::uint32_t page_limit(const S3Request& request, std::string_view name) {
  const auto number = parse_number(request.parameter(name).value_or(""));
  return number ? std::min(*number, kMaxListKeys) : kMaxListKeys;
}

// "bytes=0-9" of x-amz-copy-source-range: both ends are needed.
bool parse_source_range(const std::string& text, proto::ByteRange* range) {
  constexpr std::string_view kUnit = "bytes=";
  if (!text.starts_with(kUnit)) return false;
  std::uint64_t first = 0;
  std::uint64_t last = 0;
  const char* end = text.data() + text.size();
  const auto one = std::from_chars(text.data() + kUnit.size(), end, first);
  if (one.ec != std::errc() || one.ptr == end || *one.ptr != '-') return false;
  const auto two = std::from_chars(one.ptr + 1, end, last);
  if (two.ec != std::errc() || two.ptr != end || last < first) return false;
  range->set_offset(first);
  range->set_length(last - first + 1);
  return true;
}

}  // namespace

Task<HttpResponse> create_upload(S3Request* request) {
  if (auto unsupported = check_unsupported(*request->http))
    co_return error_response(*request, *unsupported);
  proto::CreateUpload create;
  create.set_bucket(request->bucket);
  create.set_key(request->key);
  if (auto wrong = read_metadata(*request->http, create.mutable_object()))
    co_return error_response(*request, *wrong);
  *create.mutable_owner() = request->owner();
  auto upload = co_await request->store->create_upload(std::move(create));
  if (!upload.ok()) co_return error_response(*request, upload.status());
  XmlWriter xml;
  xml.begin_root("InitiateMultipartUploadResult");
  xml.element("Bucket", request->bucket);
  xml.element("Key", request->key);
  xml.element("UploadId", *upload);
  xml.end("InitiateMultipartUploadResult");
  co_return xml_response(200, xml.take());
}

Task<HttpResponse> upload_part(S3Request* request) {
  const auto number = part_number(*request);
  if (!number) co_return error_response(*request, bad_part_number());
  if (auto unsupported = check_unsupported(*request->http))
    co_return error_response(*request, *unsupported);
  Payload payload(*request->http, request->signer, *request->body, *request->md5);
  if (auto wrong = payload.check_headers()) co_return error_response(*request, *wrong);
  auto writer = request->store->create_writer(payload.length());
  while (true) {
    Buffer piece = co_await payload.next();
    if (payload.failed()) co_return error_response(*request, *payload.failed());
    if (piece.empty()) break;
    const Status taken = co_await writer->append(std::move(piece));
    if (!taken.ok()) co_return error_response(*request, taken);
  }
  proto::ObjectMeta checksums;
  for (const auto& [kind, value] : payload.checksums())
    (*checksums.mutable_checksums())[kind] = value;
  client::ObjectTarget target{request->bucket, request->key};
  auto part = co_await writer->commit_part(std::move(target), *request->parameter("uploadId"),
                                           *number, payload.md5_hex(), std::move(checksums));
  if (!part.ok()) co_return error_response(*request, part.status());
  HttpResponse response;
  response.headers.emplace_back("ETag", quoted(part->etag()));
  for (const auto& [kind, value] : part->checksums())
    response.headers.emplace_back("x-amz-checksum-" + kind, value);
  co_return response;
}

Task<HttpResponse> upload_part_copy(S3Request* request) {
  const auto number = part_number(*request);
  if (!number) co_return error_response(*request, bad_part_number());
  proto::CopyPart copy;
  if (auto wrong = read_copy_source(*request->http, copy.mutable_source_bucket(),
                                    copy.mutable_source_key())) {
    co_return error_response(*request, *wrong);
  }
  copy.set_bucket(request->bucket);
  copy.set_key(request->key);
  copy.set_upload(*request->parameter("uploadId"));
  copy.set_number(*number);
  *copy.mutable_source_conditions() = conditions_of(*request->http, "x-amz-copy-source-");
  const std::string& range = request->http->header("x-amz-copy-source-range");
  if (!range.empty() && !parse_source_range(range, copy.mutable_range())) {
    co_return error_response(
        *request,
        s3_error(400, "InvalidArgument", "x-amz-copy-source-range must be bytes=FIRST-LAST"));
  }
  auto part = co_await request->store->copy_part(std::move(copy));
  if (!part.ok()) co_return error_response(*request, part.status());
  XmlWriter xml;
  xml.begin_root("CopyPartResult");
  xml.element("LastModified", iso_time(part->last_modified_ns()));
  xml.element("ETag", quoted(part->etag()));
  xml.end("CopyPartResult");
  co_return xml_response(200, xml.take());
}

Task<HttpResponse> complete_upload(S3Request* request) {
  std::optional<S3Error> error;
  const auto text = co_await read_text_body(request, &error);
  if (error) co_return error_response(*request, *error);
  const auto document = parse_xml(*text);
  if (!document.ok())
    co_return error_response(*request, s3_error(400, "MalformedXML", document.status().message()));
  proto::CompleteUpload complete;
  complete.set_bucket(request->bucket);
  complete.set_key(request->key);
  complete.set_upload(*request->parameter("uploadId"));
  *complete.mutable_conditions() = conditions_of(*request->http, "");
  for (const XmlElement& child : document->children) {
    if (child.name != "Part") continue;
    const auto number = parse_number(child.child_text("PartNumber"));
    if (!number)
      co_return error_response(*request, s3_error(400, "MalformedXML", "a part without a number"));
    std::string etag = child.child_text("ETag");
    std::erase(etag, '"');
    proto::PartReply* part = complete.add_parts();
    part->set_number(*number);
    part->set_etag(etag);
  }
  if (complete.parts_size() == 0)
    co_return error_response(*request, s3_error(400, "MalformedXML", "no parts"));
  auto stored = co_await request->store->complete_upload(std::move(complete));
  if (!stored.ok()) co_return error_response(*request, stored.status());
  XmlWriter xml;
  xml.begin_root("CompleteMultipartUploadResult");
  xml.element("Location", "http://" + request->http->header("host") + request->http->path);
  xml.element("Bucket", request->bucket);
  xml.element("Key", request->key);
  xml.element("ETag", quoted(stored->object.etag()));
  xml.end("CompleteMultipartUploadResult");
  co_return xml_response(200, xml.take());
}

Task<HttpResponse> abort_upload(S3Request* request) {
  proto::AbortUpload abort;
  abort.set_bucket(request->bucket);
  abort.set_key(request->key);
  abort.set_upload(*request->parameter("uploadId"));
  const Status aborted = co_await request->store->abort_upload(std::move(abort));
  if (!aborted.ok()) co_return error_response(*request, aborted);
  HttpResponse response;
  response.status = 204;
  co_return response;
}

Task<HttpResponse> list_parts(S3Request* request) {
  proto::ListParts list;
  list.set_bucket(request->bucket);
  list.set_key(request->key);
  list.set_upload(*request->parameter("uploadId"));
  list.set_after(parse_number(request->parameter("part-number-marker").value_or("")).value_or(0));
  list.set_limit(page_limit(*request, "max-parts"));
  const std::uint32_t after = list.after();
  const std::uint32_t limit = list.limit();
  auto reply = co_await request->store->list_parts(std::move(list));
  if (!reply.ok()) co_return error_response(*request, reply.status());
  XmlWriter xml;
  xml.begin_root("ListPartsResult");
  xml.element("Bucket", request->bucket);
  xml.element("Key", request->key);
  xml.element("UploadId", reply->upload().upload());
  xml.element("PartNumberMarker", std::uint64_t{after});
  if (reply->truncated() && reply->parts_size() > 0) {
    xml.element("NextPartNumberMarker",
                std::uint64_t{reply->parts(reply->parts_size() - 1).number()});
  }
  xml.element("MaxParts", std::uint64_t{limit});
  xml.element("IsTruncated", reply->truncated());
  xml.element("StorageClass", "STANDARD");
  for (const proto::PartReply& part : reply->parts()) {
    xml.begin("Part");
    xml.element("PartNumber", std::uint64_t{part.number()});
    xml.element("LastModified", iso_time(part.last_modified_ns()));
    xml.element("ETag", quoted(part.etag()));
    xml.element("Size", part.size());
    xml.end("Part");
  }
  xml.end("ListPartsResult");
  co_return xml_response(200, xml.take());
}

Task<HttpResponse> list_uploads(S3Request* request) {
  proto::ListUploads list;
  list.set_bucket(request->bucket);
  list.set_prefix(request->parameter("prefix").value_or(""));
  list.set_delimiter(request->parameter("delimiter").value_or(""));
  list.set_key_marker(request->parameter("key-marker").value_or(""));
  list.set_upload_marker(request->parameter("upload-id-marker").value_or(""));
  list.set_limit(page_limit(*request, "max-uploads"));
  const proto::ListUploads asked = list;
  auto reply = co_await request->store->list_uploads(std::move(list));
  if (!reply.ok()) co_return error_response(*request, reply.status());
  XmlWriter xml;
  xml.begin_root("ListMultipartUploadsResult");
  xml.element("Bucket", request->bucket);
  xml.element("KeyMarker", asked.key_marker());
  xml.element("UploadIdMarker", asked.upload_marker());
  if (reply->truncated() && reply->uploads_size() > 0) {
    const proto::UploadInfo& last = reply->uploads(reply->uploads_size() - 1);
    xml.element("NextKeyMarker", last.key());
    xml.element("NextUploadIdMarker", last.upload());
  }
  xml.element("Prefix", asked.prefix());
  if (!asked.delimiter().empty()) xml.element("Delimiter", asked.delimiter());
  xml.element("MaxUploads", std::uint64_t{asked.limit()});
  xml.element("IsTruncated", reply->truncated());
  for (const proto::UploadInfo& upload : reply->uploads()) {
    xml.begin("Upload");
    xml.element("Key", upload.key());
    xml.element("UploadId", upload.upload());
    xml.element("StorageClass", "STANDARD");
    xml.element("Initiated", iso_time(upload.initiated_ns()));
    xml.end("Upload");
  }
  for (const std::string& prefix : reply->common_prefixes()) {
    xml.begin("CommonPrefixes");
    xml.element("Prefix", prefix);
    xml.end("CommonPrefixes");
  }
  xml.end("ListMultipartUploadsResult");
  co_return xml_response(200, xml.take());
}

}  // namespace shoal::s3compat
