#include "tools/bench/s3_signer.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <openssl/sha.h>

namespace shoal::tools {
namespace {

using Digest = std::array<unsigned char, 32>;

std::string to_hex(const Digest& digest) {
  constexpr char kHex[] = "0123456789abcdef";
  std::string text;
  text.reserve(64);
  for (const unsigned char byte : digest) {
    text.push_back(kHex[byte >> 4]);
    text.push_back(kHex[byte & 15]);
  }
  return text;
}

Digest hmac(std::string_view key, std::string_view text) {
  Digest out{};
  unsigned length = 0;
  HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
       reinterpret_cast<const unsigned char*>(text.data()), text.size(), out.data(), &length);
  return out;
}

std::string_view as_view(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

}  // namespace

std::string sha256_hex(std::string_view bytes) {
  Digest out{};
  SHA256(reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size(), out.data());
  return to_hex(out);
}

void S3Signer::refresh_clock() {
  const std::time_t now = std::time(nullptr);
  if (now == second_) return;
  second_ = now;
  std::tm utc{};
  gmtime_r(&now, &utc);
  char text[32];
  std::strftime(text, sizeof text, "%Y%m%dT%H%M%SZ", &utc);
  date_ = text;
  const std::string day = date_.substr(0, 8);
  if (day == key_day_) return;
  key_day_ = day;
  Digest key = hmac("AWS4" + endpoint_.secret_key, day);
  key = hmac(as_view(key), endpoint_.region);
  key = hmac(as_view(key), "s3");
  key_ = hmac(as_view(key), "aws4_request");
}

void S3Signer::append_headers(std::string_view method, std::string_view path,
                              std::string_view query, std::string_view payload_hash,
                              std::string* head) {
  refresh_clock();
  std::string canonical;
  canonical.reserve(512);
  canonical.append(method).append("\n").append(path).append("\n").append(query).append("\nhost:");
  canonical.append(endpoint_.host).append("\nx-amz-content-sha256:").append(payload_hash);
  canonical.append("\nx-amz-date:").append(date_);
  canonical.append("\n\nhost;x-amz-content-sha256;x-amz-date\n").append(payload_hash);
  std::string to_sign = "AWS4-HMAC-SHA256\n";
  to_sign.append(date_).append("\n").append(key_day_).append("/").append(endpoint_.region);
  to_sign.append("/s3/aws4_request\n").append(sha256_hex(canonical));
  const std::string signature = to_hex(hmac(as_view(key_), to_sign));
  head->append("Host: ").append(endpoint_.host).append("\r\nx-amz-date: ").append(date_);
  head->append("\r\nx-amz-content-sha256: ").append(payload_hash);
  head->append("\r\nAuthorization: AWS4-HMAC-SHA256 Credential=").append(endpoint_.access_key);
  head->append("/").append(key_day_).append("/").append(endpoint_.region);
  head->append("/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=");
  head->append(signature).append("\r\n");
}

}  // namespace shoal::tools
