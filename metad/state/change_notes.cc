#include "metad/state/change_notes.h"

#include "base/compact.h"
#include "metad/state/record_key.h"

namespace shoal::metad {

void ChangeNotes::note(std::string_view key) {
  if (key[0] == kInodeLetter) return note_inode(number_of_key(key));
  if (key[0] != kEntryLetter) {
    keys_.emplace(key);
    return;
  }
  if (log_.empty() || log_.back().size() + key.size() > kLogBlockBytes) {
    log_.emplace_back();
    log_.back().reserve(kLogBlockBytes);
  }
  put_text(&log_.back(), key);
  ++log_count_;
}

bool ChangeNotes::take(std::string* key) {
  if (taking_.empty() && !inodes_.empty()) {
    taking_.assign(inodes_.begin(), inodes_.end());
    absl::flat_hash_set<std::uint64_t>().swap(inodes_);
  }
  if (!taking_.empty()) {
    *key = number_key(kInodeLetter, taking_.back());
    taking_.pop_back();
    if (taking_.empty()) taking_.shrink_to_fit();
    return true;
  }
  if (log_count_ > 0) {
    --log_count_;
    CompactReader in(std::string_view(log_.front()).substr(log_at_));
    *key = std::string(in.text());
    log_at_ = log_.front().size() - in.left();
    if (in.left() == 0) {
      log_.pop_front();
      log_at_ = 0;
    }
    return true;
  }
  if (keys_.empty()) return false;
  const auto first = keys_.begin();
  *key = *first;
  keys_.erase(first);
  return true;
}

void ChangeNotes::clear() { *this = ChangeNotes(); }

std::uint64_t ChangeNotes::bytes() const {
  return inodes_.capacity() * (sizeof(std::uint64_t) + 1) +
         taking_.capacity() * sizeof(std::uint64_t) + keys_.capacity() * (sizeof(std::string) + 1) +
         log_.size() * kLogBlockBytes;
}

}  // namespace shoal::metad
