#include "s3compat/auth/payload.h"

#include <isa-l/crc.h>
#include <openssl/crypto.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "base/crc32c.h"
#include "base/crc64nvme.h"
#include "base/encoding.h"
#include "base/row_layout.h"
#include "s3compat/limits.h"

namespace shoal::s3compat {
namespace {

constexpr std::string_view kUnsigned = "UNSIGNED-PAYLOAD";
constexpr std::string_view kStreaming = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
constexpr std::string_view kStreamingTrailer = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
constexpr std::string_view kUnsignedTrailer = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
constexpr std::string_view kChecksumPrefix = "x-amz-checksum-";
constexpr char kEmptySha256[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr std::array<std::string_view, 5> kChecksums{"crc32", "crc32c", "crc64nvme", "sha1",
                                                     "sha256"};

template <typename Number>
std::string big_endian(Number value) {
  std::string bytes;
  for (int shift = 8 * static_cast<int>(sizeof value) - 8; shift >= 0; shift -= 8)
    bytes.push_back(static_cast<char>(value >> shift & 0xff));
  return bytes;
}

bool is_known_checksum(std::string_view name) {
  return std::find(kChecksums.begin(), kChecksums.end(), name) != kChecksums.end();
}

std::string_view as_view(const Digest& digest) {
  return {reinterpret_cast<const char*>(digest.data()), digest.size()};
}

}  // namespace

Hasher::Hasher(const EVP_MD* kind) : context_(EVP_MD_CTX_new()) {
  EVP_DigestInit_ex(context_.get(), kind, nullptr);
}
void Hasher::update(const Buffer& bytes) {
  EVP_DigestUpdate(context_.get(), bytes.data(), bytes.size());
}
std::string Hasher::finish() {
  std::array<unsigned char, EVP_MAX_MD_SIZE> digest{};
  unsigned length = 0;
  EVP_DigestFinal_ex(context_.get(), digest.data(), &length);
  return {reinterpret_cast<const char*>(digest.data()), length};
}

Payload::Payload(const HttpRequest& request, const Signer& signer, RequestBody& body, Md5Batch& md5)
    : request_(request), signer_(signer), body_(body), length_(request.content_length), md5_(md5) {}

std::optional<S3Error> Payload::check_headers() {
  const std::string& hash = signer_.payload_hash;
  if (!request_.has_length)
    return s3_error(411, "MissingContentLength",
                    "You must provide the Content-Length HTTP header.");
  chunked_ = hash == kStreaming || hash == kStreamingTrailer || hash == kUnsignedTrailer;
  chunks_signed_ = hash == kStreaming || hash == kStreamingTrailer;
  has_trailer_ = hash == kStreamingTrailer || hash == kUnsignedTrailer;
  if (chunked_) {
    const std::string& decoded = request_.header("x-amz-decoded-content-length");
    const auto parsed = std::from_chars(decoded.data(), decoded.data() + decoded.size(), length_);
    if (parsed.ec != std::errc() || parsed.ptr != decoded.data() + decoded.size()) {
      return s3_error(411, "MissingContentLength",
                      "x-amz-decoded-content-length is missing or malformed");
    }
    previous_signature_ = signer_.signature;
  } else if (hash != kUnsigned) {
    if (hash.size() != 64 || !hex_decode(hash))
      return not_implemented("payload signing '" + hash + "'");
    sha256_.emplace(EVP_sha256());
  }
  if (length_ > kMaxPutBytes)
    return s3_error(400, "EntityTooLarge", "a single upload may have 5 GiB");
  for (const auto& [name, value] : request_.headers) {
    if (!name.starts_with(kChecksumPrefix) || name == "x-amz-checksum-algorithm" ||
        name == "x-amz-checksum-mode" || name == "x-amz-checksum-type") {
      continue;
    }
    const std::string kind = name.substr(kChecksumPrefix.size());
    if (!is_known_checksum(kind)) return not_implemented("checksum " + kind);
    expected_[kind] = value;
  }
  const std::string& trailer = request_.header("x-amz-trailer");
  if (!trailer.empty()) {
    const std::string kind =
        trailer.starts_with(kChecksumPrefix) ? trailer.substr(kChecksumPrefix.size()) : trailer;
    if (!is_known_checksum(kind)) return not_implemented("trailer " + trailer);
    expected_[kind] = "";
  }
  if (expected_.contains("sha1")) sha1_.emplace(EVP_sha1());
  if (expected_.contains("sha256")) sha256_check_.emplace(EVP_sha256());
  return std::nullopt;
}

Buffer Payload::fail(S3Error error) {
  if (!failed_) failed_ = std::move(error);
  done_ = true;
  return Buffer();
}

void Payload::hash(const Buffer& piece) {
  seen_ += piece.size();
  md5_.update(piece);
  if (sha256_) sha256_->update(piece);
  if (sha1_) sha1_->update(piece);
  if (sha256_check_) sha256_check_->update(piece);
  if (expected_.contains("crc32")) {
    crc32_ =
        crc32_gzip_refl(crc32_, reinterpret_cast<const unsigned char*>(piece.data()), piece.size());
  }
  if (expected_.contains("crc32c")) crc32c_ = crc32c(piece.span(), crc32c_);
  if (expected_.contains("crc64nvme")) crc64nvme_ = crc64nvme(piece.span(), crc64nvme_);
}

Task<Buffer> Payload::next() {
  if (done_) co_return Buffer();
  Buffer piece;
  if (chunked_) {
    piece = co_await next_chunked();
  } else {
    piece = co_await next_raw();
  }
  if (failed_) co_return Buffer();
  if (piece.empty()) {
    co_await finish();
    co_return Buffer();
  }
  hash(piece);
  co_await md5_.wait_for_room();
  if (seen_ > length_)
    co_return fail(s3_error(400, "IncompleteBody", "the body is longer than it said"));
  co_return piece;
}

Task<Buffer> Payload::next_raw() {
  auto piece = co_await body_.next();
  if (!piece.ok()) co_return fail(s3_error(400, "IncompleteBody", piece.status().message()));
  co_return std::move(*piece);
}

Task<bool> Payload::refill() {
  if (!raw_.empty()) co_return true;
  auto piece = co_await body_.next();
  if (!piece.ok() || piece->empty()) {
    fail(s3_error(400, "IncompleteBody",
                  piece.ok() ? "the body ends inside its framing" : piece.status().message()));
    co_return false;
  }
  raw_ = std::move(*piece);
  co_return true;
}

// Up to CR LF, which is taken too.
Task<bool> Payload::read_line(std::string* line) {
  line->clear();
  while (true) {
    const bool more = co_await refill();
    if (!more) co_return false;
    const std::string_view view = raw_.view();
    const std::size_t newline = view.find('\n');
    const std::size_t n = newline == std::string_view::npos ? view.size() : newline + 1;
    line->append(view.substr(0, n));
    raw_ = raw_.slice(n, raw_.size() - n);
    if (line->size() > kMaxChunkLine) {
      fail(s3_error(400, "InvalidRequest", "an endless line in the chunked body"));
      co_return false;
    }
    if (newline == std::string_view::npos) continue;
    while (!line->empty() && (line->back() == '\n' || line->back() == '\r')) line->pop_back();
    co_return true;
  }
}

// "1000;chunk-signature=..." or "1000".
bool Payload::open_chunk(const std::string& line) {
  const std::size_t semicolon = line.find(';');
  const std::string size = line.substr(0, semicolon);
  const auto parsed = std::from_chars(size.data(), size.data() + size.size(), chunk_left_, 16);
  if (size.empty() || parsed.ec != std::errc() || parsed.ptr != size.data() + size.size()) {
    fail(s3_error(400, "InvalidRequest", "a malformed chunk header"));
    return false;
  }
  constexpr std::string_view kField = "chunk-signature=";
  const std::size_t field = line.find(kField);
  chunk_signature_ = field == std::string::npos ? "" : line.substr(field + kField.size(), 64);
  if (chunks_signed_) chunk_hash_.emplace(EVP_sha256());
  in_chunk_ = true;
  return true;
}

bool Payload::close_chunk() {
  in_chunk_ = false;
  if (!chunks_signed_) return true;
  const std::string to_sign = "AWS4-HMAC-SHA256-PAYLOAD\n" + signer_.timestamp + "\n" +
                              signer_.scope + "\n" + previous_signature_ + "\n" + kEmptySha256 +
                              "\n" + hex_encode(chunk_hash_->finish());
  const std::string expected = to_hex(hmac_sha256(as_view(signer_.key), to_sign));
  if (expected != chunk_signature_) {
    fail(s3_error(403, "SignatureDoesNotMatch", "the signature of a chunk does not match"));
    return false;
  }
  previous_signature_ = expected;
  return true;
}

Task<Buffer> Payload::next_chunked() {
  std::string line;
  // Small chunks are put together, so that what goes on is as large as can be.
  const std::size_t wanted =
      static_cast<std::size_t>(std::min<std::uint64_t>(kMaxColumnBytes, length_ - seen_));
  Buffer out = Buffer::allocate(wanted);
  std::size_t have = 0;
  while (have < wanted || wanted == 0) {
    if (!in_chunk_) {
      const bool read = co_await read_line(&line);
      if (!read || !open_chunk(line)) co_return Buffer();
      if (chunk_left_ == 0) break;
    }
    while (chunk_left_ > 0 && have < wanted) {
      const bool more = co_await refill();
      if (!more) co_return Buffer();
      const std::size_t n = std::min({static_cast<std::uint64_t>(raw_.size()), chunk_left_,
                                      static_cast<std::uint64_t>(wanted - have)});
      const Buffer part = raw_.slice(0, n);
      std::memcpy(out.mutable_data() + have, part.data(), n);
      if (chunk_hash_) chunk_hash_->update(part);
      raw_ = raw_.slice(n, raw_.size() - n);
      have += n;
      chunk_left_ -= n;
    }
    if (chunk_left_ > 0) {
      if (wanted == 0)
        co_return fail(s3_error(400, "IncompleteBody", "the body is longer than it said"));
      break;
    }
    if (!close_chunk()) co_return Buffer();
    const bool ended = co_await read_line(&line);
    if (!ended) co_return Buffer();
    if (!line.empty())
      co_return fail(s3_error(400, "InvalidRequest", "a chunk longer than its header says"));
  }
  if (have > 0) {
    out.resize(have);
    co_return out;
  }
  // The last chunk, of no bytes.
  if (wanted > 0)
    co_return fail(
        s3_error(400, "IncompleteBody", "fewer bytes than x-amz-decoded-content-length"));
  if (!close_chunk()) co_return Buffer();
  if (has_trailer_) {
    const bool read = co_await read_trailers();
    if (!read) co_return Buffer();
  }
  co_return Buffer();
}

Task<bool> Payload::read_trailers() {
  std::string signature;
  std::size_t total = 0;
  while (true) {
    std::string line;
    if (raw_.empty() && body_.remaining() == 0) break;
    const bool read = co_await read_line(&line);
    if (!read) co_return false;
    if (line.empty()) {
      if (body_.remaining() == 0) break;
      continue;
    }
    total += line.size();
    const std::size_t colon = line.find(':');
    if (colon == std::string::npos || total > kMaxTrailerBytes) {
      fail(s3_error(400, "MalformedTrailerError", "a malformed trailer"));
      co_return false;
    }
    const std::string name = line.substr(0, colon);
    std::string value = line.substr(colon + 1);
    value.erase(0, value.find_first_not_of(" \t"));
    value.erase(value.find_last_not_of(" \t") + 1);
    if (value.empty()) {
      fail(s3_error(400, "MalformedTrailerError", "the trailer " + name + " has no value"));
      co_return false;
    }
    if (name == "x-amz-trailer-signature") {
      signature = value;
      continue;
    }
    trailers_ += name + ":" + value + "\n";
    if (!name.starts_with(kChecksumPrefix)) continue;
    const auto announced = expected_.find(name.substr(kChecksumPrefix.size()));
    if (announced == expected_.end()) {
      fail(s3_error(400, "MalformedTrailerError", "x-amz-trailer does not announce " + name));
      co_return false;
    }
    announced->second = value;
  }
  if (!chunks_signed_) co_return true;
  const std::string to_sign = "AWS4-HMAC-SHA256-TRAILER\n" + signer_.timestamp + "\n" +
                              signer_.scope + "\n" + previous_signature_ + "\n" +
                              sha256_hex(trailers_);
  if (to_hex(hmac_sha256(as_view(signer_.key), to_sign)) != signature) {
    fail(s3_error(403, "SignatureDoesNotMatch", "the signature of the trailer does not match"));
    co_return false;
  }
  co_return true;
}

Task<void> Payload::finish() {
  done_ = true;
  if (seen_ != length_) {
    fail(s3_error(400, "IncompleteBody",
                  "You did not provide the number of bytes specified by the Content-Length"));
    co_return;
  }
  const std::array<std::byte, 16> digest = co_await md5_.finish();
  const std::string md5(reinterpret_cast<const char*>(digest.data()), digest.size());
  md5_hex_ = hex_encode(md5);
  const std::string& content_md5 = request_.header("content-md5");
  if (!content_md5.empty()) {
    const auto wanted = base64_decode(content_md5);
    if (!wanted || wanted->size() != 16) {
      fail(s3_error(400, "InvalidDigest", "The Content-MD5 you specified was invalid."));
      co_return;
    }
    if (*wanted != md5) {
      fail(s3_error(400, "BadDigest",
                    "The Content-MD5 you specified did not match what we received."));
      co_return;
    }
  }
  if (sha256_ && hex_encode(sha256_->finish()) != signer_.payload_hash) {
    fail(s3_error(400, "XAmzContentSHA256Mismatch",
                  "The provided 'x-amz-content-sha256' header does not match what was computed."));
    co_return;
  }
  for (const auto& [kind, wanted] : expected_) {
    std::string value;
    if (kind == "crc32") value = big_endian(crc32_);
    if (kind == "crc32c") value = big_endian(crc32c_);
    if (kind == "crc64nvme") value = big_endian(crc64nvme_);
    if (kind == "sha1") value = sha1_->finish();
    if (kind == "sha256") value = sha256_check_->finish();
    checksums_[kind] = base64_encode(value);
    if (checksums_[kind] != wanted) {
      fail(s3_error(400, "BadDigest",
                    "The " + kind + " you specified did not match the calculated checksum."));
      co_return;
    }
  }
}

}  // namespace shoal::s3compat
