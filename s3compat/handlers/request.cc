#include "s3compat/handlers/request.h"

#include <algorithm>
#include <array>
#include <ctime>
#include <limits>

#include "base/encoding.h"
#include "s3compat/limits.h"

namespace shoal::s3compat {
namespace {

// Content headers that are kept with an object and given back.
constexpr std::array<std::string_view, 6> kKeptHeaders{"content-type",        "content-encoding",
                                                       "content-disposition", "content-language",
                                                       "cache-control",       "expires"};
constexpr std::string_view kUserPrefix = "x-amz-meta-";

constexpr std::int64_t kNsPerSecond = 1'000'000'000;

// Rounded down, also before 1970.
std::int64_t whole_seconds(std::int64_t ns) {
  return ns / kNsPerSecond - (ns % kNsPerSecond < 0 ? 1 : 0);
}

std::string format_time(std::int64_t ns, const char* format) {
  const std::time_t seconds = whole_seconds(ns);
  std::tm utc{};
  gmtime_r(&seconds, &utc);
  char text[64];
  std::strftime(text, sizeof text, format, &utc);
  return text;
}

// Without aws-chunked, which is the framing's name and not the content's.
std::string content_encoding(std::string_view list) {
  std::string kept;
  while (!list.empty()) {
    const std::size_t comma = std::min(list.find(','), list.size());
    std::string_view coding = list.substr(0, comma);
    list.remove_prefix(std::min(comma + 1, list.size()));
    while (coding.starts_with(' ')) coding.remove_prefix(1);
    while (coding.ends_with(' ')) coding.remove_suffix(1);
    if (coding.empty() || coding == "aws-chunked") continue;
    kept.append(kept.empty() ? "" : ",").append(coding);
  }
  return kept;
}

// "\"a\", \"b\"" or "*".
void read_tags(const std::string& text, google::protobuf::RepeatedPtrField<std::string>* tags) {
  std::string tag;
  for (const char c : text + ",") {
    if (c == ',') {
      if (tag.starts_with("W/")) tag.erase(0, 2);
      if (!tag.empty()) *tags->Add() = tag;
      tag.clear();
    } else if (c != '"' && c != ' ') {
      tag.push_back(c);
    }
  }
}

}  // namespace

std::optional<std::string> S3Request::parameter(std::string_view name) const {
  for (const auto& [key_, value] : query) {
    if (key_ == name) return value;
  }
  return std::nullopt;
}

proto::Identity S3Request::owner() const {
  proto::Identity identity;
  identity.set_uid(signer.credential.uid);
  identity.set_gid(signer.credential.gid);
  return identity;
}

HttpResponse xml_response(int status, std::string body) {
  HttpResponse response;
  response.status = status;
  response.headers.emplace_back("Content-Type", "application/xml");
  response.body = std::move(body);
  return response;
}

HttpResponse error_response(const S3Request& request, const S3Error& error) {
  HttpResponse response;
  response.status = error.http_status;
  if (error.http_status == 304) return response;
  XmlWriter xml;
  xml.begin("Error");
  xml.element("Code", error.code);
  xml.element("Message", error.message);
  if (!error.region.empty()) xml.element("Region", error.region);
  if (!request.bucket.empty()) xml.element("BucketName", request.bucket);
  if (!request.key.empty()) xml.element("Key", request.key);
  xml.element("Resource", request.http == nullptr ? "" : std::string_view(request.http->path));
  xml.element("RequestId", request.request_id);
  xml.end("Error");
  response.headers.emplace_back("Content-Type", "application/xml");
  response.body = xml.take();
  response.head_only = request.http != nullptr && request.http->method == "HEAD";
  if (response.head_only) response.content_length = response.body.size();
  return response;
}

std::string iso_time(std::int64_t ns) {
  char millis[8];
  const std::int64_t fraction = ns - whole_seconds(ns) * kNsPerSecond;
  std::snprintf(millis, sizeof millis, ".%03dZ", static_cast<int>(fraction / 1'000'000));
  return format_time(ns, "%Y-%m-%dT%H:%M:%S") + millis;
}

std::string http_time(std::int64_t ns) { return format_time(ns, "%a, %d %b %Y %H:%M:%S GMT"); }

std::optional<std::int64_t> parse_http_time(const std::string& text) {
  std::tm utc{};
  for (const char* format :
       {"%a, %d %b %Y %H:%M:%S GMT", "%Y-%m-%dT%H:%M:%SZ", "%A, %d-%b-%y %H:%M:%S GMT"}) {
    utc = {};
    const char* end = strptime(text.c_str(), format, &utc);
    if (end == nullptr || *end != '\0') continue;
    // What 64 bits of nanoseconds cannot hold is later, or earlier, than anything there is.
    constexpr std::int64_t kLast = std::numeric_limits<std::int64_t>::max() / kNsPerSecond;
    return std::clamp<std::int64_t>(timegm(&utc), -kLast, kLast) * kNsPerSecond;
  }
  return std::nullopt;
}

proto::Conditions conditions_of(const HttpRequest& request, const std::string& prefix) {
  proto::Conditions conditions;
  read_tags(request.header(prefix + "if-match"), conditions.mutable_if_match());
  const std::string& none = request.header(prefix + "if-none-match");
  if (none == "*" && request.method != "GET" && request.method != "HEAD") {
    conditions.set_must_not_exist(true);
  } else {
    read_tags(none, conditions.mutable_if_none_match());
  }
  if (const auto since = parse_http_time(request.header(prefix + "if-modified-since"))) {
    conditions.set_has_if_modified_since(true);
    conditions.set_if_modified_since_ns(*since);
  }
  if (const auto since = parse_http_time(request.header(prefix + "if-unmodified-since"))) {
    conditions.set_has_if_unmodified_since(true);
    conditions.set_if_unmodified_since_ns(*since);
  }
  return conditions;
}

std::optional<S3Error> read_metadata(const HttpRequest& request, proto::ObjectMeta* object) {
  std::size_t user_bytes = 0;
  for (const auto& [name, value] : request.headers) {
    if (std::find(kKeptHeaders.begin(), kKeptHeaders.end(), name) != kKeptHeaders.end()) {
      std::string kept = value;
      if (name == "content-encoding") kept = content_encoding(value);
      if (kept.empty()) continue;
      (*object->mutable_headers())[name] = kept;
    } else if (name.starts_with(kUserPrefix)) {
      const std::string short_name = name.substr(kUserPrefix.size());
      user_bytes += short_name.size() + value.size();
      (*object->mutable_user())[short_name] = value;
    }
  }
  if (user_bytes > kMaxUserMetadataBytes) {
    return s3_error(400, "MetadataTooLarge",
                    "Your metadata headers exceed the maximum allowed metadata size.");
  }
  return std::nullopt;
}

std::optional<S3Error> check_unsupported(const HttpRequest& request) {
  for (const auto& [name, value] : request.headers) {
    if (name == "x-amz-acl" && value != "private") return not_implemented("x-amz-acl " + value);
    if (name.starts_with("x-amz-grant-")) return not_implemented(name);
    if (name.starts_with("x-amz-server-side-encryption")) return not_implemented(name);
    if (name == "x-amz-storage-class" && value != "STANDARD")
      return not_implemented("x-amz-storage-class " + value);
    if (name == "x-amz-tagging" || name.starts_with("x-amz-object-lock-") ||
        name == "x-amz-website-redirect-location") {
      return not_implemented(name);
    }
  }
  return std::nullopt;
}

void add_version_headers(const client::ObjectStat& stat, HttpResponse* response) {
  response->headers.emplace_back("ETag", quoted(stat.object.etag()));
  response->headers.emplace_back("Last-Modified", http_time(stat.object.last_modified_ns()));
}

std::optional<S3Error> check_overrides(const S3Request& request) {
  for (const auto& [name, value] : request.query) {
    if (!name.starts_with("response-")) continue;
    const bool breaks_out =
        std::any_of(value.begin(), value.end(), [](char c) { return c >= 0 && c < ' '; });
    if (breaks_out)
      return s3_error(400, "InvalidArgument", name + " cannot be a header: control characters");
  }
  return std::nullopt;
}

void add_object_headers(const S3Request& request, const client::ObjectStat& stat,
                        HttpResponse* response) {
  const proto::ObjectMeta& object = stat.object;
  add_version_headers(stat, response);
  response->headers.emplace_back("Accept-Ranges", "bytes");
  bool typed = false;
  for (const auto& [name, value] : object.headers()) {
    const auto asked = request.parameter("response-" + name);
    typed = typed || name == "content-type";
    response->headers.emplace_back(name, asked.value_or(value));
  }
  for (const std::string_view name : kKeptHeaders) {
    const auto asked = request.parameter("response-" + std::string(name));
    if (!asked || object.headers().contains(std::string(name))) continue;
    typed = typed || name == "content-type";
    response->headers.emplace_back(std::string(name), *asked);
  }
  if (!typed) response->headers.emplace_back("Content-Type", "binary/octet-stream");
  for (const auto& [name, value] : object.user()) {
    response->headers.emplace_back(std::string(kUserPrefix) + name, value);
  }
}

void add_checksums(const S3Request& request, const client::ObjectStat& stat,
                   HttpResponse* response) {
  if (request.http->header("x-amz-checksum-mode") != "ENABLED") return;
  for (const auto& [kind, value] : stat.object.checksums())
    response->headers.emplace_back("x-amz-checksum-" + kind, value);
}

Task<Result<std::string>> read_text_body(const S3Request* request, std::optional<S3Error>* error) {
  Payload payload(*request->http, request->signer, *request->body, *request->md5);
  *error = payload.check_headers();
  if (!*error && payload.length() > kMaxXmlBytes)
    *error = s3_error(400, "MaxMessageLengthExceeded", "Your request was too big.");
  std::string text;
  while (!*error) {
    const Buffer piece = co_await payload.next();
    if (payload.failed()) *error = payload.failed();
    if (piece.empty()) break;
    text.append(piece.view());
  }
  if (*error) co_return InvalidArgumentError((*error)->message);
  co_return text;
}

std::optional<S3Error> read_copy_source(const HttpRequest& request, std::string* bucket,
                                        std::string* key) {
  std::string source = request.header("x-amz-copy-source");
  if (const std::size_t question = source.find('?'); question != std::string::npos) {
    if (source.find("versionId", question) != std::string::npos)
      return not_implemented("a versionId in the copy source");
    source.resize(question);
  }
  const auto decoded = percent_decode(source, false);
  if (!decoded) return s3_error(400, "InvalidArgument", "the copy source is malformed");
  source = *decoded;
  if (source.starts_with('/')) source.erase(0, 1);
  const std::size_t slash = source.find('/');
  if (slash == std::string::npos || slash + 1 == source.size()) {
    return s3_error(400, "InvalidArgument", "the copy source must be bucket/key");
  }
  *bucket = source.substr(0, slash);
  *key = source.substr(slash + 1);
  return std::nullopt;
}

}  // namespace shoal::s3compat
