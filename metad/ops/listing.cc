// Listings: a range scan over the tree in the byte order of whole keys. A directory's map is in
// that order already, so the next key from any marker is one seek per level, and a delimiter or
// prefix skips a subtree with another seek.
#include "metad/ops/ops.h"

namespace shoal::metad {
namespace {

struct Found {
  std::string key;
  const Inode* inode = nullptr;  // until the next is looked for
};

// The first object below `directory` whose key, without `prefix`, is at least `bound`. `prefix` is
// the directory's own key with its slash.
bool next_object(State& state, const Inode& directory, const std::string& prefix,
                 const std::string& bound, Found* found) {
  const auto& entries = directory.directory->entries;
  if (bound.empty() && directory.directory->is_object && !prefix.empty()) {
    *found = {prefix, &directory};
    return true;
  }
  const std::size_t slash = bound.find('/');
  std::string inner;  // the bound inside the subdirectory that it leads into
  auto at = entries.begin();
  if (slash == std::string::npos) {
    at = entries.lower_bound(bound + kFileByte);
  } else {
    const std::string into = bound.substr(0, slash + 1);
    at = entries.lower_bound(into);
    if (at != entries.end() && at->key == into) inner = bound.substr(slash + 1);
  }
  for (; at != entries.end(); ++at, inner.clear()) {
    const Inode* inode = state.peek(at->inode);
    std::string key = prefix;
    if (at->key.back() == kFileByte) {
      if (!inode->is_regular()) continue;
      *found = {key.append(at->key, 0, at->key.size() - 1), inode};
      return true;
    }
    if (next_object(state, *inode, key.append(at->key), inner, found)) return true;
  }
  return false;
}

// The smallest string greater than everything that starts with `text`; empty when there is none.
std::string behind_prefix(std::string text) {
  while (!text.empty() && text.back() == '\xff') text.pop_back();
  if (!text.empty()) text.back() = static_cast<char>(text.back() + 1);
  return text;
}

}  // namespace

bool has_objects(State& state, Inode& bucket) {
  Found found;
  return next_object(state, bucket, "", "", &found);
}

Status list_objects(State& state, const proto::ListObjects& op, proto::ListObjectsReply* reply) {
  ASSIGN_OR_RETURN(const Inode* bucket, state.need_bucket(op.bucket()));
  std::string bound = op.prefix();
  if (!op.start_after().empty()) bound = std::max(bound, op.start_after() + '\0');
  std::uint32_t count = 0;
  Found found;
  while (next_object(state, *bucket, "", bound, &found)) {
    if (!found.key.starts_with(op.prefix())) break;
    const std::size_t cut = op.delimiter().empty()
                                ? std::string::npos
                                : found.key.find(op.delimiter(), op.prefix().size());
    std::string common;
    if (cut != std::string::npos) {
      common = found.key.substr(0, cut + op.delimiter().size());
      bound = behind_prefix(common);
      if (common <= op.start_after()) {  // listed on an earlier page
        if (bound.empty()) break;
        continue;
      }
    }
    if (count == op.limit()) {
      reply->set_truncated(true);
      break;
    }
    ++count;
    if (!common.empty()) {
      reply->add_common_prefixes(common);
      reply->set_next_start_after(common);
      if (bound.empty()) break;
      continue;
    }
    proto::Dentry* entry = reply->add_objects();
    entry->set_key(found.key);
    *entry->mutable_attributes() = state.attributes_of(*found.inode);
    entry->mutable_attributes()->set_size(found.inode->size);
    const proto::ObjectMeta object = object_of(*found.inode);
    entry->mutable_object()->set_etag(object.etag());
    entry->mutable_object()->set_last_modified_ns(object.last_modified_ns());
    reply->set_next_start_after(found.key);
    bound = found.key + '\0';
  }
  return OkStatus();
}

}  // namespace shoal::metad
