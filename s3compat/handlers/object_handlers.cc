// Objects: put, get, head, delete, copy.
#include <charconv>

#include "s3compat/handlers/request.h"
#include "s3compat/limits.h"

namespace shoal::s3compat {
namespace {

class ObjectBody final : public ResponseBody {
 public:
  explicit ObjectBody(std::unique_ptr<client::ObjectReader> reader) : reader_(std::move(reader)) {}
  Task<Result<Buffer>> next() override { co_return co_await reader_->next(); }

 private:
  std::unique_ptr<client::ObjectReader> reader_;
};

// "bytes=0-9", "bytes=5-", "bytes=-3". Nothing for what is to be ignored: other units, several
// ranges, nonsense.
std::optional<client::ObjectApi::RequestedRange> parse_range(const std::string& text) {
  constexpr std::string_view kUnit = "bytes=";
  if (!text.starts_with(kUnit) || text.find(',') != std::string::npos) return std::nullopt;
  const std::string_view spec = std::string_view(text).substr(kUnit.size());
  const std::size_t dash = spec.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto number = [](std::string_view digits) -> std::optional<std::uint64_t> {
    std::uint64_t value = 0;
    const auto parsed = std::from_chars(digits.data(), digits.data() + digits.size(), value);
    if (parsed.ec != std::errc() || parsed.ptr != digits.data() + digits.size())
      return std::nullopt;
    return value;
  };
  const std::string_view first = spec.substr(0, dash);
  const std::string_view last = spec.substr(dash + 1);
  client::ObjectApi::RequestedRange range;
  if (first.empty()) {
    range.suffix = number(last);
    return range.suffix ? std::optional(range) : std::nullopt;
  }
  range.first = number(first);
  if (!range.first) return std::nullopt;
  if (!last.empty()) {
    range.last = number(last);
    if (!range.last || *range.last < *range.first) return std::nullopt;
  }
  return range;
}

HttpResponse range_error(const S3Request& request, const Status& status) {
  HttpResponse response = error_response(
      request, s3_error(416, "InvalidRange", "The requested range is not satisfiable"));
  response.headers.emplace_back("Content-Range", "bytes */" + status.message());
  return response;
}

Task<HttpResponse> read_error(S3Request* request, Status status) {
  HttpResponse response = error_response(*request, status);
  if (status.code() != StatusCode::kNotModified) co_return response;
  const auto stat =
      co_await request->store->head_object(request->bucket, request->key, proto::Conditions());
  if (stat.ok()) add_version_headers(*stat, &response);
  co_return response;
}

std::optional<S3Error> check_parameters(const S3Request& request, const std::string& operation) {
  for (const char* name : {"partNumber", "versionId"})
    if (request.has(name)) return not_implemented(operation + " with " + name);
  return check_overrides(request);
}

}  // namespace

Task<HttpResponse> put_object(S3Request* request) {
  if (auto unsupported = check_unsupported(*request->http))
    co_return error_response(*request, *unsupported);
  proto::ObjectMeta object;
  if (auto wrong = read_metadata(*request->http, &object))
    co_return error_response(*request, *wrong);
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
  object.set_etag(payload.md5_hex());
  for (const auto& [kind, value] : payload.checksums()) (*object.mutable_checksums())[kind] = value;
  client::ObjectTarget target{request->bucket, request->key};
  auto stored = co_await writer->commit_object(std::move(target), std::move(object),
                                               conditions_of(*request->http, ""), request->owner());
  if (!stored.ok()) co_return error_response(*request, stored.status());
  HttpResponse response;
  response.headers.emplace_back("ETag", quoted(stored->object.etag()));
  for (const auto& [kind, value] : stored->object.checksums()) {
    response.headers.emplace_back("x-amz-checksum-" + kind, value);
  }
  co_return response;
}

Task<HttpResponse> get_object(S3Request* request) {
  if (auto wrong = check_parameters(*request, "GetObject"))
    co_return error_response(*request, *wrong);
  const auto range = parse_range(request->http->header("range"));
  auto opened = co_await request->store->open_object(request->bucket, request->key,
                                                     conditions_of(*request->http, ""), range);
  if (!opened.ok()) {
    if (opened.status().code() == StatusCode::kOutOfRange)
      co_return range_error(*request, opened.status());
    co_return co_await read_error(request, opened.status());
  }
  HttpResponse response;
  add_object_headers(*request, opened->stat, &response);
  response.content_length = opened->range.length;
  if (range) {
    response.status = 206;
    response.headers.emplace_back(
        "Content-Range", "bytes " + std::to_string(opened->range.offset) + "-" +
                             std::to_string(opened->range.offset + opened->range.length - 1) + "/" +
                             std::to_string(opened->stat.attributes.size()));
  } else {
    add_checksums(*request, opened->stat, &response);
  }
  response.stream = std::make_unique<ObjectBody>(std::move(opened->reader));
  co_return response;
}

Task<HttpResponse> head_object(S3Request* request) {
  if (auto wrong = check_parameters(*request, "HeadObject"))
    co_return error_response(*request, *wrong);
  auto stat = co_await request->store->head_object(request->bucket, request->key,
                                                   conditions_of(*request->http, ""));
  if (!stat.ok()) co_return co_await read_error(request, stat.status());
  HttpResponse response;
  add_object_headers(*request, *stat, &response);
  add_checksums(*request, *stat, &response);
  response.content_length = stat->attributes.size();
  response.head_only = true;
  co_return response;
}

Task<HttpResponse> delete_object(S3Request* request) {
  if (request->has("versionId"))
    co_return error_response(*request, not_implemented("DeleteObject with versionId"));
  std::vector<std::string> keys{request->key};
  auto statuses = co_await request->store->delete_objects(request->bucket, std::move(keys),
                                                          conditions_of(*request->http, ""));
  if (!statuses.ok()) co_return error_response(*request, statuses.status());
  if (!statuses->front().ok()) co_return error_response(*request, statuses->front());
  HttpResponse response;
  response.status = 204;
  co_return response;
}

Task<HttpResponse> delete_objects(S3Request* request) {
  std::optional<S3Error> error;
  const auto text = co_await read_text_body(request, &error);
  if (error) co_return error_response(*request, *error);
  const auto document = parse_xml(*text);
  if (!document.ok() || document->name != "Delete") {
    co_return error_response(
        *request, s3_error(400, "MalformedXML",
                           document.ok() ? "expected Delete" : document.status().message()));
  }
  const bool quiet = document->child_text("Quiet") == "true";
  std::vector<std::string> keys;
  for (const XmlElement& child : document->children) {
    if (child.name != "Object") continue;
    for (const char* name : {"VersionId", "ETag", "LastModifiedTime", "Size"}) {
      if (child.child(name) != nullptr)
        co_return error_response(*request,
                                 not_implemented("DeleteObjects with " + std::string(name)));
    }
    keys.push_back(child.child_text("Key"));
  }
  if (keys.empty() || keys.size() > kMaxDeleteKeys) {
    co_return error_response(*request, s3_error(400, "MalformedXML", "1 to 1000 objects at once"));
  }
  auto statuses =
      co_await request->store->delete_objects(request->bucket, keys, proto::Conditions());
  if (!statuses.ok()) co_return error_response(*request, statuses.status());
  XmlWriter xml;
  xml.begin_root("DeleteResult");
  for (std::size_t i = 0; i < keys.size(); ++i) {
    if ((*statuses)[i].ok()) {
      if (quiet) continue;
      xml.begin("Deleted");
      xml.element("Key", keys[i]);
      xml.end("Deleted");
      continue;
    }
    const S3Error failed = to_s3_error((*statuses)[i]);
    xml.begin("Error");
    xml.element("Key", keys[i]);
    xml.element("Code", failed.code);
    xml.element("Message", failed.message);
    xml.end("Error");
  }
  xml.end("DeleteResult");
  co_return xml_response(200, xml.take());
}

Task<HttpResponse> copy_object(S3Request* request) {
  if (auto unsupported = check_unsupported(*request->http))
    co_return error_response(*request, *unsupported);
  proto::CopyObject copy;
  if (auto wrong = read_copy_source(*request->http, copy.mutable_source_bucket(),
                                    copy.mutable_source_key())) {
    co_return error_response(*request, *wrong);
  }
  copy.set_bucket(request->bucket);
  copy.set_key(request->key);
  *copy.mutable_source_conditions() = conditions_of(*request->http, "x-amz-copy-source-");
  *copy.mutable_conditions() = conditions_of(*request->http, "");
  *copy.mutable_owner() = request->owner();
  const std::string& directive = request->http->header("x-amz-metadata-directive");
  if (!directive.empty() && directive != "COPY" && directive != "REPLACE") {
    co_return error_response(
        *request,
        s3_error(400, "InvalidArgument", "x-amz-metadata-directive must be COPY or REPLACE"));
  }
  copy.set_replace_metadata(directive == "REPLACE");
  if (copy.replace_metadata()) {
    if (auto wrong = read_metadata(*request->http, copy.mutable_object()))
      co_return error_response(*request, *wrong);
  } else if (copy.source_bucket() == copy.bucket() && copy.source_key() == copy.key()) {
    co_return error_response(
        *request, s3_error(400, "InvalidRequest",
                           "This copy request is illegal because it is trying to copy an object to "
                           "itself without changing the object's metadata."));
  }
  auto copied = co_await request->store->copy_object(std::move(copy));
  if (!copied.ok()) co_return error_response(*request, copied.status());
  XmlWriter xml;
  xml.begin_root("CopyObjectResult");
  xml.element("LastModified", iso_time(copied->object.last_modified_ns()));
  xml.element("ETag", quoted(copied->object.etag()));
  xml.end("CopyObjectResult");
  co_return xml_response(200, xml.take());
}

}  // namespace shoal::s3compat
