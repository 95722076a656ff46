// Multipart uploads. Parts are kept by upload id, outside the namespace: nobody sees them before
// the completion.
#include <openssl/evp.h>

#include <algorithm>

#include "base/encoding.h"
#include "metad/ops/ops.h"
#include "metad/state/object_record.h"

namespace shoal::metad {
namespace {

constexpr std::uint32_t kMaxPartNumber = 10'000;
constexpr std::uint64_t kMinPartBytes = 5ULL << 20;
constexpr std::uint64_t kMaxPartBytes = 1ULL << 44;  // 10,000 of them are a file that can be

std::string md5(std::string_view bytes) {
  std::string digest(16, '\0');
  unsigned length = 0;
  EVP_Digest(bytes.data(), bytes.size(), reinterpret_cast<unsigned char*>(digest.data()), &length,
             EVP_md5(), nullptr);
  return digest;
}

// AWS's tag of a multipart object: MD5 of the parts' MD5s, and how many they were. A part whose tag
// is no MD5 (a copied range of a file that POSIX wrote) counts with the MD5 of its tag.
std::string combined_etag(const std::vector<const UploadPart*>& parts) {
  std::string digests;
  for (const UploadPart* part : parts) {
    const auto bytes = hex_decode(part->info.etag());
    digests += bytes && bytes->size() == 16 ? *bytes : md5(part->info.etag());
  }
  return hex_encode(md5(digests)) + "-" + std::to_string(parts.size());
}

Result<Upload*> need_upload(State& state, const std::string& bucket_name, const std::string& key,
                            const std::string& id) {
  ASSIGN_OR_RETURN(const Inode* bucket, state.need_bucket(bucket_name));
  const auto found = state.uploads.find(id);
  if (found == state.uploads.end() || found->second.bucket != bucket->id ||
      found->second.key != key) {
    return NoSuchUploadError("upload " + id + " does not exist");
  }
  return &found->second;
}

void release_part(State& state, const UploadPart& part) {
  for (const Extent& extent : part.extents) state.release(extent);
}

void store_part(State& state, Upload& upload, const std::string& id, UploadPart part) {
  auto& slot = upload.parts[part.info.number()];
  release_part(state, slot);
  slot = std::move(part);
  state.note_upload(id);
}

void remove_upload(State& state, const std::string& id) {
  state.uploads.erase(id);
  state.note_upload(id);
}

Result<std::vector<const UploadPart*>> chosen_parts(const Upload& upload,
                                                    const proto::CompleteUpload& op) {
  if (op.parts_size() == 0) return InvalidArgumentError("a completion needs at least one part");
  std::vector<const UploadPart*> parts;
  for (int i = 0; i < op.parts_size(); ++i) {
    const proto::PartReply& wanted = op.parts(i);
    if (i > 0 && wanted.number() <= op.parts(i - 1).number()) {
      return InvalidPartOrderError("parts must be in ascending order");
    }
    const auto found = upload.parts.find(wanted.number());
    if (found == upload.parts.end() || found->second.info.etag() != wanted.etag()) {
      return InvalidPartError("part " + std::to_string(wanted.number()) +
                              " was not uploaded, or with another ETag");
    }
    if (i + 1 < op.parts_size() && found->second.info.size() < kMinPartBytes) {
      return EntityTooSmallError("part " + std::to_string(wanted.number()) +
                                 " is smaller than 5 MiB");
    }
    parts.push_back(&found->second);
  }
  return parts;
}

}  // namespace

Status create_upload(State& state, const proto::CreateUpload& op, const Context& context,
                     proto::CommandReply* reply) {
  ASSIGN_OR_RETURN(const Inode* bucket, state.need_bucket(op.bucket()));
  if (op.key().empty() || op.key().size() > 1024)
    return NameTooLongError("an object key has 1 to 1024 bytes");
  const std::string seed =
      op.key() + "/" + std::to_string(context.position) + "/" + std::to_string(context.time_ns);
  // The position makes it unique; an upload can be used by those only who may use its bucket.
  const std::string id = hex_encode(md5(seed)) + std::to_string(context.position);
  Upload& upload = state.uploads[id];
  upload.bucket = bucket->id;
  upload.key = op.key();
  upload.initiated_ns = context.time_ns;
  upload.object = op.object();
  upload.owner = op.owner();
  state.note_upload(id);
  reply->mutable_upload()->set_upload(id);
  return OkStatus();
}

Status put_part(State& state, const proto::PutPart& op, const Context& context,
                proto::CommandReply* reply) {
  ASSIGN_OR_RETURN(Upload * upload, need_upload(state, op.bucket(), op.key(), op.upload()));
  if (op.number() < 1 || op.number() > kMaxPartNumber)
    return InvalidArgumentError("a part number is 1 to 10000");
  UploadPart part;
  ASSIGN_OR_RETURN(part.extents, extents_from_proto(op.extents()));
  RETURN_IF_ERROR(state.check_extents(part.extents, context));
  if (op.size() > kMaxPartBytes) return TooLargeError("a part of over 2^44 bytes");
  if (!part.extents.empty() && part.extents.back().file_end() > op.size())
    return InvalidArgumentError("extents end behind the part's size");
  state.account(part.extents, true);
  part.info.set_number(op.number());
  part.info.set_etag(op.etag());
  part.info.set_size(op.size());
  part.info.set_last_modified_ns(context.time_ns);
  *part.info.mutable_checksums() = op.checksums();
  *reply->mutable_part() = part.info;
  store_part(state, *upload, op.upload(), std::move(part));
  return OkStatus();
}

Status copy_part(State& state, const proto::CopyPart& op, const Context& context,
                 proto::CommandReply* reply) {
  ASSIGN_OR_RETURN(Upload * upload, need_upload(state, op.bucket(), op.key(), op.upload()));
  if (op.number() < 1 || op.number() > kMaxPartNumber)
    return InvalidArgumentError("a part number is 1 to 10000");
  ASSIGN_OR_RETURN(Inode * source_bucket, state.need_bucket(op.source_bucket()));
  const Inode* source = state.find_object(*source_bucket, op.source_key());
  if (source == nullptr) return NotFoundError("the source object does not exist");
  RETURN_IF_ERROR(check_conditions(op.source_conditions(), source, false));
  const std::uint64_t from = op.has_range() ? op.range().offset() : 0;
  const std::uint64_t length = op.has_range() ? op.range().length() : source->size;
  if (from > source->size || length > source->size - from) {
    return OutOfRangeError(std::to_string(source->size));
  }
  if (length > kMaxPartBytes) return TooLargeError("a part of over 2^44 bytes");
  UploadPart part;
  part.extents = slice_extents(source->extents, from, from + length);
  for (Extent& extent : part.extents) extent.file_offset -= from;
  state.account(part.extents, false);
  part.info.set_number(op.number());
  const proto::ObjectMeta object = object_of(*source);
  // The MD5 of a range is not known without reading it; the tag says which bytes of which version
  // it is.
  const std::string what =
      object.etag() + "/" + std::to_string(from) + "+" + std::to_string(length);
  part.info.set_etag(length == source->size && object.part_count() == 0 ? object.etag()
                                                                        : hex_encode(md5(what)));
  part.info.set_size(length);
  part.info.set_last_modified_ns(context.time_ns);
  *reply->mutable_part() = part.info;
  store_part(state, *upload, op.upload(), std::move(part));
  return OkStatus();
}

Status complete_upload(State& state, const proto::CompleteUpload& op, const Context& context,
                       proto::CommandReply* reply) {
  ASSIGN_OR_RETURN(Inode * bucket, state.need_bucket(op.bucket()));
  auto needed = need_upload(state, op.bucket(), op.key(), op.upload());
  if (!needed.ok()) {
    const Inode* made = state.find_object(*bucket, op.key());
    if (made == nullptr || object_of(*made).upload() != op.upload()) return needed.status();
    // A client that did not hear the first answer asks again.
    *reply->mutable_object()->mutable_attributes() = state.attributes_of(*made);
    *reply->mutable_object()->mutable_object() = object_of(*made);
    return OkStatus();
  }
  Upload* const upload = *needed;
  ASSIGN_OR_RETURN(const std::vector<const UploadPart*> parts, chosen_parts(*upload, op));
  RETURN_IF_ERROR(check_conditions(op.conditions(), state.find_object(*bucket, op.key()), false));
  proto::ObjectMeta object = upload->object;
  object.set_etag(combined_etag(parts));
  object.set_part_count(static_cast<std::uint32_t>(parts.size()));
  object.set_upload(op.upload());
  ExtentList extents;
  std::uint64_t size = 0;
  for (const UploadPart* part : parts) {
    for (Extent extent : part->extents) {
      extent.file_offset += size;
      extents.push_back(extent);
    }
    size += part->info.size();
    object.add_part_sizes(part->info.size());
  }
  state.account(extents, false);
  for (const auto& [number, part] : upload->parts) release_part(state, part);
  const proto::Identity owner = upload->owner;
  remove_upload(state, op.upload());
  Inode& inode = replace_object(state, *bucket, op.key(), owner, context);
  state.set_content(inode, std::move(extents), size);
  inode.mtime_ns = inode.ctime_ns = context.time_ns;
  object.set_last_modified_ns(context.time_ns);
  inode.object = pack_object(object, inode.birth_ns);
  *reply->mutable_object()->mutable_attributes() = state.attributes_of(inode);
  *reply->mutable_object()->mutable_object() = object;
  return OkStatus();
}

Status abort_upload(State& state, const proto::AbortUpload& op) {
  ASSIGN_OR_RETURN(Upload * upload, need_upload(state, op.bucket(), op.key(), op.upload()));
  for (const auto& [number, part] : upload->parts) release_part(state, part);
  remove_upload(state, op.upload());
  return OkStatus();
}

Status list_uploads(State& state, const proto::ListUploads& op, proto::ListUploadsReply* reply) {
  ASSIGN_OR_RETURN(const Inode* bucket, state.need_bucket(op.bucket()));
  // Few at any time: collected and sorted by key, then time of initiation.
  std::vector<std::pair<const std::string*, const Upload*>> found;
  for (const auto& [id, upload] : state.uploads) {
    if (upload.bucket != bucket->id || !upload.key.starts_with(op.prefix())) continue;
    if (upload.key < op.key_marker()) continue;
    if (upload.key == op.key_marker() && (op.upload_marker().empty() || id <= op.upload_marker()))
      continue;
    found.emplace_back(&id, &upload);
  }
  std::sort(found.begin(), found.end(), [](const auto& a, const auto& b) {
    return std::tie(a.second->key, *a.first) < std::tie(b.second->key, *b.first);
  });
  std::uint32_t count = 0;
  for (const auto& [id, upload] : found) {
    const std::size_t cut = op.delimiter().empty()
                                ? std::string::npos
                                : upload->key.find(op.delimiter(), op.prefix().size());
    const std::string common =
        cut == std::string::npos ? "" : upload->key.substr(0, cut + op.delimiter().size());
    const int prefixes = reply->common_prefixes_size();
    if (!common.empty() && prefixes > 0 && reply->common_prefixes(prefixes - 1) == common) continue;
    if (count++ == op.limit()) {
      reply->set_truncated(true);
      break;
    }
    if (!common.empty()) {
      reply->add_common_prefixes(common);
      continue;
    }
    proto::UploadInfo* info = reply->add_uploads();
    info->set_key(upload->key);
    info->set_upload(*id);
    info->set_initiated_ns(upload->initiated_ns);
  }
  return OkStatus();
}

Status list_parts(State& state, const proto::ListParts& op, proto::ListPartsReply* reply) {
  ASSIGN_OR_RETURN(const Upload* upload, need_upload(state, op.bucket(), op.key(), op.upload()));
  reply->mutable_upload()->set_key(upload->key);
  reply->mutable_upload()->set_upload(op.upload());
  reply->mutable_upload()->set_initiated_ns(upload->initiated_ns);
  *reply->mutable_object() = upload->object;
  for (auto part = upload->parts.upper_bound(op.after()); part != upload->parts.end(); ++part) {
    if (static_cast<std::uint32_t>(reply->parts_size()) == op.limit()) {
      reply->set_truncated(true);
      break;
    }
    *reply->add_parts() = part->second.info;
  }
  return OkStatus();
}

}  // namespace shoal::metad
