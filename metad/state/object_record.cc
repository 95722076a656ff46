#include "metad/state/object_record.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <vector>

#include "base/compact.h"
#include "base/encoding.h"

namespace shoal::metad {
namespace {

// The first byte: the kind of the ETag, and what else is there.
constexpr unsigned kTagKind = 3;  // its bits
constexpr unsigned kNoTag = 0;
constexpr unsigned kMd5Tag = 1;    // 32 hexadecimal digits
constexpr unsigned kPartsTag = 2;  // the same, '-' and a number
constexpr unsigned kOtherTag = 3;
constexpr unsigned kHasHeaders = 1 << 2;
constexpr unsigned kHasUser = 1 << 3;
constexpr unsigned kHasChecksums = 1 << 4;
constexpr unsigned kHasParts = 1 << 5;
constexpr unsigned kHasUpload = 1 << 6;
constexpr unsigned kNotModified = 1 << 7;  // no time is stored

// A word of the list is 2 * its place + 1; another text is 2 * its length, and its bytes.
constexpr std::string_view kWords[] = {
    "content-type",
    "content-encoding",
    "content-disposition",
    "content-language",
    "cache-control",
    "expires",
    "crc32",
    "crc32c",
    "crc64nvme",
    "sha1",
    "sha256",
    "mtime",
    "binary/octet-stream",
    "application/octet-stream",
    "application/x-directory",
    "application/json",
    "application/gzip",
    "application/zip",
    "application/x-tar",
    "application/pdf",
    "application/xml",
    "application/vnd.apache.parquet",
    "application/x-www-form-urlencoded",
    "text/plain",
    "text/plain; charset=utf-8",
    "text/html",
    "text/csv",
    "image/jpeg",
    "image/png",
    "image/webp",
    "audio/mpeg",
    "audio/x-wav",
    "video/mp4",
    "gzip",
    "no-cache",
};

void put_word(std::string* out, std::string_view text) {
  const auto* const found = std::find(std::begin(kWords), std::end(kWords), text);
  if (found != std::end(kWords)) {
    put_varint(out, 2 * static_cast<std::uint64_t>(found - std::begin(kWords)) + 1);
    return;
  }
  put_varint(out, 2 * std::uint64_t{text.size()});
  out->append(text);
}

std::string_view read_word(CompactReader* in) {
  const std::uint64_t number = in->varint();
  if (number % 2 == 0) return in->take(number / 2);
  if (number / 2 < std::size(kWords)) return kWords[number / 2];
  in->fail();
  return {};
}

using Map = google::protobuf::Map<std::string, std::string>;

void put_map(std::string* out, const Map& map) {
  std::vector<std::pair<std::string_view, std::string_view>> sorted(map.begin(), map.end());
  std::sort(sorted.begin(), sorted.end());
  put_varint(out, sorted.size());
  for (const auto& [name, value] : sorted) {
    put_word(out, name);
    put_word(out, value);
  }
}

// Into `map`, if there is one.
void read_map(CompactReader* in, Map* map) {
  for (std::uint64_t left = in->varint(); left > 0 && in->ok(); --left) {
    const std::string_view name = read_word(in);
    const std::string_view value = read_word(in);
    if (map != nullptr && in->ok()) (*map)[std::string(name)] = std::string(value);
  }
}

struct Tag {
  unsigned kind = kNoTag;
  std::string digest;
  std::uint64_t parts = 0;
};

Tag take_apart(const std::string& etag) {
  constexpr std::size_t kDigits = 32;
  if (etag.empty()) return {};
  const auto digest = hex_decode(std::string_view(etag).substr(0, kDigits));
  if (etag.size() < kDigits || !digest || hex_encode(*digest) != etag.substr(0, kDigits))
    return {kOtherTag, {}, 0};
  if (etag.size() == kDigits) return {kMd5Tag, *digest, 0};
  std::uint64_t parts = 0;
  std::from_chars(etag.data() + kDigits + 1, etag.data() + etag.size(), parts);
  if (etag.substr(kDigits) != "-" + std::to_string(parts)) return {kOtherTag, {}, 0};
  return {kPartsTag, *digest, parts};
}

// Into `etag`, if there is one.
void read_tag(CompactReader* in, unsigned kind, std::string* etag) {
  constexpr std::size_t kDigestBytes = 16;
  if (kind == kNoTag) return;
  const std::string_view bytes = kind == kOtherTag ? in->text() : in->take(kDigestBytes);
  const std::uint64_t parts = kind == kPartsTag ? in->varint() : 0;
  if (etag == nullptr) return;
  *etag = kind == kOtherTag ? std::string(bytes) : hex_encode(bytes);
  if (kind == kPartsTag) *etag += "-" + std::to_string(parts);
}

// Into `object`, if there is one. Returns whether the bytes are whole.
bool read_object(std::string_view packed, std::int64_t birth_ns, proto::ObjectMeta* object) {
  CompactReader in(packed);
  const unsigned flags = in.byte();
  if (!(flags & kNotModified)) {
    const auto difference = static_cast<std::uint64_t>(in.signed_varint());
    if (object != nullptr)
      object->set_last_modified_ns(
          static_cast<std::int64_t>(difference + static_cast<std::uint64_t>(birth_ns)));
  }
  read_tag(&in, flags & kTagKind, object == nullptr ? nullptr : object->mutable_etag());
  if (flags & kHasHeaders) read_map(&in, object == nullptr ? nullptr : object->mutable_headers());
  if (flags & kHasUser) read_map(&in, object == nullptr ? nullptr : object->mutable_user());
  if (flags & kHasChecksums)
    read_map(&in, object == nullptr ? nullptr : object->mutable_checksums());
  if (flags & kHasParts) {
    const std::uint32_t count = in.varint32();
    if (object != nullptr) object->set_part_count(count);
    for (std::uint64_t left = in.varint(); left > 0 && in.ok(); --left) {
      const std::uint64_t size = in.varint();
      if (object != nullptr) object->add_part_sizes(size);
    }
  }
  if (flags & kHasUpload) {
    const std::string_view upload = in.text();
    if (object != nullptr) object->set_upload(std::string(upload));
  }
  return in.done();
}

}  // namespace

std::string pack_object(const proto::ObjectMeta& object, std::int64_t birth_ns) {
  const Tag tag = take_apart(object.etag());
  unsigned flags = tag.kind;
  if (!object.headers().empty()) flags |= kHasHeaders;
  if (!object.user().empty()) flags |= kHasUser;
  if (!object.checksums().empty()) flags |= kHasChecksums;
  if (object.part_count() != 0 || object.part_sizes_size() > 0) flags |= kHasParts;
  if (!object.upload().empty()) flags |= kHasUpload;
  if (object.last_modified_ns() == 0) flags |= kNotModified;
  std::string out(1, static_cast<char>(flags));
  if (!(flags & kNotModified)) {
    // Modulo 2^64: any two times have a difference.
    put_signed(&out,
               static_cast<std::int64_t>(static_cast<std::uint64_t>(object.last_modified_ns()) -
                                         static_cast<std::uint64_t>(birth_ns)));
  }
  out.append(tag.digest);
  if (tag.kind == kPartsTag) put_varint(&out, tag.parts);
  if (tag.kind == kOtherTag) put_text(&out, object.etag());
  if (flags & kHasHeaders) put_map(&out, object.headers());
  if (flags & kHasUser) put_map(&out, object.user());
  if (flags & kHasChecksums) put_map(&out, object.checksums());
  if (flags & kHasParts) {
    put_varint(&out, object.part_count());
    put_varint(&out, static_cast<std::uint64_t>(object.part_sizes_size()));
    for (const std::uint64_t size : object.part_sizes()) put_varint(&out, size);
  }
  if (flags & kHasUpload) put_text(&out, object.upload());
  return out;
}

Result<proto::ObjectMeta> unpack_object(std::string_view packed, std::int64_t birth_ns) {
  proto::ObjectMeta object;
  if (!read_object(packed, birth_ns, &object))
    return CorruptionError("an object's metadata does not parse");
  return object;
}

bool is_packed_object(std::string_view packed) { return read_object(packed, 0, nullptr); }

}  // namespace shoal::metad
