// S3Request: one authenticated request on its way through a handler, and what handlers share.
#pragma once

#include <optional>
#include <string>

#include "client/object_api.h"
#include "s3compat/auth/payload.h"
#include "s3compat/auth/sigv4.h"
#include "s3compat/http/http_server.h"
#include "s3compat/s3_error.h"
#include "s3compat/xml/xml.h"

namespace shoal::s3compat {

struct S3Request {
  const HttpRequest* http = nullptr;
  RequestBody* body = nullptr;
  QueryPairs query;
  std::string bucket;
  std::string key;
  std::string request_id;
  Signer signer;
  Md5Batch* md5 = nullptr;
  client::ObjectApi* store = nullptr;
  std::string region;

  // The value of a query parameter; nothing when it is not there.
  std::optional<std::string> parameter(std::string_view name) const;
  bool has(std::string_view name) const { return parameter(name).has_value(); }
  proto::Identity owner() const;
};

HttpResponse xml_response(int status, std::string body);
HttpResponse error_response(const S3Request& request, const S3Error& error);
inline HttpResponse error_response(const S3Request& request, const Status& status) {
  return error_response(request, to_s3_error(status));
}

// "2006-02-03T16:45:09.000Z" and "Fri, 03 Feb 2006 16:45:09 GMT".
std::string iso_time(std::int64_t ns);
std::string http_time(std::int64_t ns);
std::optional<std::int64_t> parse_http_time(const std::string& text);
inline std::string quoted(const std::string& etag) { return "\"" + etag + "\""; }

// The conditional headers, with `prefix` "" or "x-amz-copy-source-".
proto::Conditions conditions_of(const HttpRequest& request, const std::string& prefix);
// What a client sent along to be kept: content headers and x-amz-meta-*. Errors as AWS has them.
std::optional<S3Error> read_metadata(const HttpRequest& request, proto::ObjectMeta* object);
// Headers of the request that ask for what is not there.
std::optional<S3Error> check_unsupported(const HttpRequest& request);
// ETag and Last-Modified, which a 304 has too.
void add_version_headers(const client::ObjectStat& stat, HttpResponse* response);
// Whether the response-... parameters can be headers.
std::optional<S3Error> check_overrides(const S3Request& request);
// The headers of GET and HEAD.
void add_object_headers(const S3Request& request, const client::ObjectStat& stat,
                        HttpResponse* response);
// Those of the whole object, when the client asks for them: not for a range, with which clients
// would compare them.
void add_checksums(const S3Request& request, const client::ObjectStat& stat,
                   HttpResponse* response);
// The whole, verified body of a request that carries XML; bounded.
Task<Result<std::string>> read_text_body(const S3Request* request, std::optional<S3Error>* error);
// "/bucket/key?versionId=..." of x-amz-copy-source. Errors as AWS has them.
std::optional<S3Error> read_copy_source(const HttpRequest& request, std::string* bucket,
                                        std::string* key);

// One handler per operation.
Task<HttpResponse> list_buckets(S3Request* request);
Task<HttpResponse> create_bucket(S3Request* request);
Task<HttpResponse> head_bucket(S3Request* request);
Task<HttpResponse> delete_bucket(S3Request* request);
Task<HttpResponse> get_bucket_location(S3Request* request);
Task<HttpResponse> get_bucket_versioning(S3Request* request);
Task<HttpResponse> list_objects(S3Request* request);
Task<HttpResponse> list_objects_v2(S3Request* request);
Task<HttpResponse> put_object(S3Request* request);
Task<HttpResponse> get_object(S3Request* request);
Task<HttpResponse> head_object(S3Request* request);
Task<HttpResponse> delete_object(S3Request* request);
Task<HttpResponse> delete_objects(S3Request* request);
Task<HttpResponse> copy_object(S3Request* request);
Task<HttpResponse> create_upload(S3Request* request);
Task<HttpResponse> upload_part(S3Request* request);
Task<HttpResponse> upload_part_copy(S3Request* request);
Task<HttpResponse> complete_upload(S3Request* request);
Task<HttpResponse> abort_upload(S3Request* request);
Task<HttpResponse> list_parts(S3Request* request);
Task<HttpResponse> list_uploads(S3Request* request);

}  // namespace shoal::s3compat
