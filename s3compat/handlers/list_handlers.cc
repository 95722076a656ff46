// ListObjects, both versions.
#include <charconv>

#include "base/encoding.h"
#include "s3compat/handlers/request.h"
#include "s3compat/limits.h"

namespace shoal::s3compat {
namespace {

struct Listing {
  proto::ListObjects query;
  bool encode = false;
  std::optional<S3Error> error;
};

Listing read_listing(const S3Request& request) {
  Listing listing;
  listing.query.set_bucket(request.bucket);
  listing.query.set_prefix(request.parameter("prefix").value_or(""));
  listing.query.set_delimiter(request.parameter("delimiter").value_or(""));
  std::uint32_t limit = kMaxListKeys;
  if (const auto text = request.parameter("max-keys"); text && !text->empty()) {
    const auto parsed = std::from_chars(text->data(), text->data() + text->size(), limit);
    if (parsed.ec != std::errc() || parsed.ptr != text->data() + text->size() ||
        limit > INT32_MAX) {
      listing.error =
          s3_error(400, "InvalidArgument", "max-keys must be a whole number from 0 to 2147483647");
    }
  }
  listing.query.set_limit(std::min(limit, kMaxListKeys));
  if (const auto encoding = request.parameter("encoding-type"); encoding && !encoding->empty()) {
    if (*encoding != "url")
      listing.error = s3_error(400, "InvalidArgument", "encoding-type must be url");
    listing.encode = true;
  }
  return listing;
}

std::string shown(const Listing& listing, const std::string& text) {
  return listing.encode ? percent_encode(text, true) : text;
}

void write_entries(XmlWriter& xml, const S3Request& request, const Listing& listing,
                   const proto::ListObjectsReply& reply, bool with_owner) {
  for (const proto::Dentry& entry : reply.objects()) {
    xml.begin("Contents");
    xml.element("Key", shown(listing, entry.key()));
    xml.element("LastModified", iso_time(entry.object().last_modified_ns()));
    xml.element("ETag", quoted(entry.object().etag()));
    xml.element("Size", entry.attributes().size());
    if (with_owner) {
      xml.begin("Owner");
      xml.element("ID", request.signer.access_key);
      xml.element("DisplayName", request.signer.access_key);
      xml.end("Owner");
    }
    xml.element("StorageClass", "STANDARD");
    xml.end("Contents");
  }
  for (const std::string& prefix : reply.common_prefixes()) {
    xml.begin("CommonPrefixes");
    xml.element("Prefix", shown(listing, prefix));
    xml.end("CommonPrefixes");
  }
}

// A page of no keys is never truncated. Source: AWS ListObjects with max-keys=0.
Task<Result<proto::ListObjectsReply>> fetch(S3Request* request, const Listing* listing) {
  if (listing->query.limit() > 0) co_return co_await request->store->list_objects(listing->query);
  auto bucket = co_await request->store->head_bucket(request->bucket);
  if (!bucket.ok()) co_return bucket.status();
  co_return proto::ListObjectsReply();
}

}  // namespace

Task<HttpResponse> list_objects(S3Request* request) {
  Listing listing = read_listing(*request);
  if (listing.error) co_return error_response(*request, *listing.error);
  const std::string marker = request->parameter("marker").value_or("");
  listing.query.set_start_after(marker);
  auto reply = co_await fetch(request, &listing);
  if (!reply.ok()) co_return error_response(*request, reply.status());
  XmlWriter xml;
  xml.begin_root("ListBucketResult");
  xml.element("Name", request->bucket);
  xml.element("Prefix", shown(listing, listing.query.prefix()));
  xml.element("Marker", shown(listing, marker));
  if (reply->truncated()) xml.element("NextMarker", shown(listing, reply->next_start_after()));
  xml.element("MaxKeys", std::uint64_t{listing.query.limit()});
  if (!listing.query.delimiter().empty())
    xml.element("Delimiter", shown(listing, listing.query.delimiter()));
  if (listing.encode) xml.element("EncodingType", "url");
  xml.element("IsTruncated", reply->truncated());
  write_entries(xml, *request, listing, *reply, true);
  xml.end("ListBucketResult");
  co_return xml_response(200, xml.take());
}

Task<HttpResponse> list_objects_v2(S3Request* request) {
  Listing listing = read_listing(*request);
  if (listing.error) co_return error_response(*request, *listing.error);
  const std::string start_after = request->parameter("start-after").value_or("");
  listing.query.set_start_after(start_after);
  const auto token = request->parameter("continuation-token");
  if (token && !token->empty()) {
    const auto decoded = base64_decode(*token);
    if (!decoded || decoded->empty()) {
      co_return error_response(*request, s3_error(400, "InvalidArgument",
                                                  "The continuation token provided is incorrect"));
    }
    listing.query.set_start_after(*decoded);
  }
  auto reply = co_await fetch(request, &listing);
  if (!reply.ok()) co_return error_response(*request, reply.status());
  XmlWriter xml;
  xml.begin_root("ListBucketResult");
  xml.element("Name", request->bucket);
  xml.element("Prefix", shown(listing, listing.query.prefix()));
  if (!start_after.empty()) xml.element("StartAfter", shown(listing, start_after));
  if (token) xml.element("ContinuationToken", *token);
  if (reply->truncated())
    xml.element("NextContinuationToken", base64_encode(reply->next_start_after()));
  xml.element("KeyCount",
              static_cast<std::uint64_t>(reply->objects_size() + reply->common_prefixes_size()));
  xml.element("MaxKeys", std::uint64_t{listing.query.limit()});
  if (!listing.query.delimiter().empty())
    xml.element("Delimiter", shown(listing, listing.query.delimiter()));
  if (listing.encode) xml.element("EncodingType", "url");
  xml.element("IsTruncated", reply->truncated());
  write_entries(xml, *request, listing, *reply,
                request->parameter("fetch-owner").value_or("") == "true");
  xml.end("ListBucketResult");
  co_return xml_response(200, xml.take());
}

}  // namespace shoal::s3compat
