#include "s3compat/auth/sigv4.h"

#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

#include <algorithm>
#include <charconv>
#include <ctime>

#include "base/encoding.h"

namespace shoal::s3compat {
namespace {

constexpr std::int64_t kMaxSkewSeconds = 15 * 60;
constexpr std::int64_t kMaxExpirySeconds = 7 * 24 * 3600;
constexpr std::size_t kMaxCachedKeys = 1024;
constexpr std::string_view kAlgorithm = "AWS4-HMAC-SHA256";

std::string_view as_view(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

// "20130524T000000Z" to seconds since 1970; nothing when it is malformed.
std::optional<std::int64_t> parse_timestamp(const std::string& text) {
  std::tm utc{};
  if (text.size() != 16) return std::nullopt;
  const char* end = strptime(text.c_str(), "%Y%m%dT%H%M%SZ", &utc);
  if (end == nullptr || *end != '\0') return std::nullopt;
  return timegm(&utc);
}

// Inner runs of spaces become one; the ends are trimmed.
std::string trim_all(std::string_view text) {
  std::string out;
  for (const char c : text) {
    if (c == ' ' && (out.empty() || out.back() == ' ')) continue;
    out.push_back(c);
  }
  while (!out.empty() && out.back() == ' ') out.pop_back();
  return out;
}

std::vector<std::string> split(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    const std::size_t at = text.find(separator);
    parts.emplace_back(text.substr(0, at));
    if (at == std::string_view::npos) return parts;
    text.remove_prefix(at + 1);
  }
}

std::string canonical_query(const QueryPairs& query) {
  QueryPairs encoded;
  for (const auto& [name, value] : query) {
    if (name == "X-Amz-Signature") continue;
    encoded.emplace_back(percent_encode(name, false), percent_encode(value, false));
  }
  std::sort(encoded.begin(), encoded.end());
  std::string text;
  for (const auto& [name, value] : encoded)
    text.append(text.empty() ? "" : "&").append(name).append("=").append(value);
  return text;
}

// The part of a comma-separated "Name=value" list.
std::string part_of(std::string_view text, std::string_view name) {
  for (const std::string& part : split(text, ',')) {
    const std::string trimmed = trim_all(part);
    if (trimmed.size() > name.size() && trimmed.starts_with(name) && trimmed[name.size()] == '=') {
      return trimmed.substr(name.size() + 1);
    }
  }
  return "";
}

// Whether a header that may change what a request means is left out of its signature. The payload's
// hash and the date are part of what is signed anyway.
bool leaves_unsigned(const HttpRequest& request, const std::vector<std::string>& signed_headers) {
  return std::any_of(request.headers.begin(), request.headers.end(), [&](const auto& header) {
    const std::string& name = header.first;
    return name.starts_with("x-amz-") && name != "x-amz-content-sha256" && name != "x-amz-date" &&
           std::find(signed_headers.begin(), signed_headers.end(), name) == signed_headers.end();
  });
}

S3Error malformed(const std::string& what) {
  return s3_error(400, "AuthorizationHeaderMalformed", what);
}

}  // namespace

// What a request says about itself.
struct SigV4Verifier::Claim {
  std::string access_key;
  std::string scope;
  std::string timestamp;
  std::string signature;
  std::vector<std::string> signed_headers;
  std::string payload_hash;
  bool presigned = false;
  std::int64_t expires_seconds = 0;
};

std::string to_hex(const Digest& digest) { return hex_encode(as_view(digest)); }

std::string sha256_hex(std::string_view bytes) {
  Digest digest{};
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), digest.data());
  return to_hex(digest);
}

Digest hmac_sha256(std::string_view key, std::string_view text) {
  Digest digest{};
  unsigned length = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), digest.data(), &length);
  return digest;
}

std::optional<QueryPairs> parse_query(std::string_view query) {
  QueryPairs pairs;
  if (query.empty()) return pairs;
  for (const std::string& part : split(query, '&')) {
    if (part.empty()) continue;
    const std::size_t equals = part.find('=');
    const auto name = percent_decode(part.substr(0, equals), true);
    const auto value = equals == std::string::npos ? std::optional<std::string>("")
                                                   : percent_decode(part.substr(equals + 1), true);
    if (!name || !value) return std::nullopt;
    pairs.emplace_back(*name, *value);
  }
  return pairs;
}

const Digest& SigV4Verifier::signing_key(const std::string& secret, const std::string& access_key,
                                         const std::string& scope) {
  const std::string id = access_key + "/" + scope;
  const auto found = keys_.find(id);
  if (found != keys_.end()) return found->second;
  if (keys_.size() >= kMaxCachedKeys) keys_.clear();  // a day's keys come back at once
  const std::vector<std::string> parts = split(scope, '/');
  Digest key = hmac_sha256("AWS4" + secret, parts[0]);
  for (std::size_t i = 1; i < parts.size(); ++i) key = hmac_sha256(as_view(key), parts[i]);
  return keys_.emplace(id, key).first->second;
}

std::optional<S3Error> SigV4Verifier::check_time(const Claim& claim) const {
  const auto sent = parse_timestamp(claim.timestamp);
  if (!sent) return s3_error(403, "AccessDenied", "the request carries no valid date");
  const std::int64_t now = clock_.wall_now_ns() / 1'000'000'000;
  if (claim.presigned) {
    if (claim.expires_seconds < 1 || claim.expires_seconds > kMaxExpirySeconds) {
      return s3_error(400, "AuthorizationQueryParametersError",
                      "X-Amz-Expires must be 1 to 604800 seconds");
    }
    if (now > *sent + claim.expires_seconds)
      return s3_error(403, "AccessDenied", "Request has expired");
    if (now < *sent - kMaxSkewSeconds)
      return s3_error(403, "AccessDenied", "Request is not valid yet");
    return std::nullopt;
  }
  if (std::abs(now - *sent) > kMaxSkewSeconds) {
    return s3_error(403, "RequestTimeTooSkewed",
                    "The difference between the request time and the current time is too large.");
  }
  return std::nullopt;
}

std::optional<S3Error> SigV4Verifier::verify(const HttpRequest& request, const std::string& path,
                                             const QueryPairs& query, Signer* signer) {
  Claim claim;
  const auto parameter = [&](std::string_view name) -> std::string {
    for (const auto& [key, value] : query) {
      if (key == name) return value;
    }
    return "";
  };
  std::string credential;
  const std::string& authorization = request.header("authorization");
  if (!authorization.empty()) {
    if (!authorization.starts_with(kAlgorithm)) {
      return s3_error(400, "InvalidRequest", "only AWS4-HMAC-SHA256 signatures are accepted");
    }
    const std::string_view fields = std::string_view(authorization).substr(kAlgorithm.size());
    credential = part_of(fields, "Credential");
    claim.signature = part_of(fields, "Signature");
    claim.signed_headers = split(part_of(fields, "SignedHeaders"), ';');
    claim.timestamp = request.header("x-amz-date");
    claim.payload_hash = request.header("x-amz-content-sha256");
    if (claim.payload_hash.empty())
      return s3_error(400, "InvalidRequest", "x-amz-content-sha256 is missing");
  } else if (!parameter("X-Amz-Signature").empty()) {
    claim.presigned = true;
    if (parameter("X-Amz-Algorithm") != kAlgorithm) {
      return s3_error(400, "AuthorizationQueryParametersError",
                      "X-Amz-Algorithm must be AWS4-HMAC-SHA256");
    }
    credential = parameter("X-Amz-Credential");
    claim.signature = parameter("X-Amz-Signature");
    claim.signed_headers = split(parameter("X-Amz-SignedHeaders"), ';');
    claim.timestamp = parameter("X-Amz-Date");
    claim.expires_seconds = std::strtoll(parameter("X-Amz-Expires").c_str(), nullptr, 10);
    const std::string& hash = request.header("x-amz-content-sha256");
    claim.payload_hash = hash.empty() ? "UNSIGNED-PAYLOAD" : hash;
  } else {
    return s3_error(403, "AccessDenied", "the request is not signed");
  }
  const std::size_t slash = credential.find('/');
  if (slash == std::string::npos || claim.signature.size() != 64)
    return malformed("Credential or Signature is missing");
  claim.access_key = credential.substr(0, slash);
  claim.scope = credential.substr(slash + 1);
  const std::vector<std::string> scope = split(claim.scope, '/');
  if (scope.size() != 4 || scope[2] != "s3" || scope[3] != "aws4_request")
    return malformed("the scope is malformed");
  if (scope[1] != region_) {
    S3Error wrong =
        malformed("the region '" + scope[1] + "' is wrong; expecting '" + region_ + "'");
    wrong.region = region_;
    return wrong;
  }
  if (claim.timestamp.substr(0, 8) != scope[0])
    return malformed("the date does not match the scope");
  const auto known = credentials_.find(claim.access_key);
  if (known == credentials_.end()) {
    return s3_error(403, "InvalidAccessKeyId",
                    "The AWS Access Key Id you provided does not exist in our records.");
  }
  if (auto late = check_time(claim)) return late;
  if (std::find(claim.signed_headers.begin(), claim.signed_headers.end(), "host") ==
      claim.signed_headers.end()) {
    return malformed("the Host header must be signed");
  }
  if (leaves_unsigned(request, claim.signed_headers)) {
    return s3_error(403, "AccessDenied",
                    "There were headers present in the request which were not signed");
  }

  std::string canonical =
      request.method + "\n" + percent_encode(path, true) + "\n" + canonical_query(query) + "\n";
  std::string names;
  for (const std::string& name : claim.signed_headers) {
    std::string values;
    for (const auto& [key, value] : request.headers) {
      if (key == name) values += (values.empty() ? "" : ",") + trim_all(value);
    }
    canonical += name + ":" + values + "\n";
    names += (names.empty() ? "" : ";") + name;
  }
  canonical += "\n" + names + "\n" + claim.payload_hash;
  const std::string to_sign = std::string(kAlgorithm) + "\n" + claim.timestamp + "\n" +
                              claim.scope + "\n" + sha256_hex(canonical);
  const Digest& key = signing_key(known->second.secret_key, claim.access_key, claim.scope);
  const std::string expected = to_hex(hmac_sha256(as_view(key), to_sign));
  if (CRYPTO_memcmp(expected.data(), claim.signature.data(), expected.size()) != 0) {
    return s3_error(
        403, "SignatureDoesNotMatch",
        "The request signature we calculated does not match the signature you provided.");
  }
  *signer = {claim.access_key,
             known->second,
             claim.payload_hash,
             claim.scope,
             claim.timestamp,
             claim.signature,
             key};
  return std::nullopt;
}

}  // namespace shoal::s3compat
