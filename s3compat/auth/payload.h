// Payload: a request's body as the object's bytes. Takes aws-chunked framing off, verifies chunk
// signatures, the signed SHA-256, Content-MD5, the length and x-amz-checksum-*; hashes while the
// bytes pass. Source: AWS "Signature calculations for the Authorization header: transferring
// payload in multiple chunks", "Checking object integrity".
#pragma once

#include <openssl/evp.h>

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "base/async/task.h"
#include "base/buffer.h"
#include "s3compat/auth/md5_batch.h"
#include "s3compat/auth/sigv4.h"
#include "s3compat/http/http_server.h"
#include "s3compat/s3_error.h"

namespace shoal::s3compat {

// One running digest of OpenSSL's.
class Hasher {
 public:
  explicit Hasher(const EVP_MD* kind);
  void update(const Buffer& bytes);
  std::string finish();  // raw bytes; once

 private:
  struct Free {
    void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  };
  std::unique_ptr<EVP_MD_CTX, Free> context_;
};

class Payload {
 public:
  Payload(const HttpRequest& request, const Signer& signer, RequestBody& body, Md5Batch& md5);
  // What is wrong with the request's headers, if anything; before the first next().
  std::optional<S3Error> check_headers();

  // The object's bytes expected; for aws-chunked bodies x-amz-decoded-content-length.
  std::uint64_t length() const { return length_; }
  // The next piece; empty at the end, when everything was verified. Otherwise failed() says why.
  Task<Buffer> next();
  const std::optional<S3Error>& failed() const { return failed_; }
  // After the end: the MD5 as 32 hex digits; verified checksums by name ("crc32c") in base64.
  const std::string& md5_hex() const { return md5_hex_; }
  const std::map<std::string, std::string>& checksums() const { return checksums_; }

 private:
  Task<Buffer> next_raw();
  Task<Buffer> next_chunked();
  Task<bool> read_line(std::string* line);
  Task<bool> refill();
  bool open_chunk(const std::string& line);
  bool close_chunk();
  Task<bool> read_trailers();
  void hash(const Buffer& piece);
  Task<void> finish();
  Buffer fail(S3Error error);

  const HttpRequest& request_;
  const Signer& signer_;
  RequestBody& body_;
  std::uint64_t length_ = 0;
  std::uint64_t seen_ = 0;
  bool done_ = false;
  std::optional<S3Error> failed_;

  bool chunked_ = false;
  bool chunks_signed_ = false;
  bool has_trailer_ = false;
  Buffer raw_;  // received, framing and all
  std::uint64_t chunk_left_ = 0;
  bool in_chunk_ = false;
  std::string chunk_signature_;
  std::string previous_signature_;
  std::optional<Hasher> chunk_hash_;
  std::string trailers_;  // canonical lines, for their signature

  Md5Stream md5_;
  std::optional<Hasher> sha256_;  // when the head signs it
  std::optional<Hasher> sha1_;
  std::optional<Hasher> sha256_check_;
  std::uint32_t crc32_ = 0;
  std::uint32_t crc32c_ = 0;
  std::uint64_t crc64nvme_ = 0;
  std::map<std::string, std::string> expected_;  // checksums by name; "" until the trailer comes
  std::string md5_hex_;
  std::map<std::string, std::string> checksums_;
};

}  // namespace shoal::s3compat
