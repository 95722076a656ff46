// Listing what a drive has.
#include <algorithm>
#include <unordered_map>

#include "storaged/limits.h"
#include "storaged/store/drive.h"

namespace shoal::storaged {

std::vector<PackInfo> Drive::list_packs(PackId after, std::uint32_t limit) const {
  std::vector<PackInfo> infos;
  for (const auto& [id, pack] : packs_) {
    if (id <= after || deleted_packs_.contains(id)) continue;
    infos.push_back({id, pack.stored_bytes, static_cast<std::uint32_t>(pack.fragments.size()),
                     pack.sealed_epoch});
  }
  const auto by_id = [](const PackInfo& a, const PackInfo& b) { return a.pack < b.pack; };
  const std::size_t count = std::min<std::size_t>(limit, infos.size());
  std::partial_sort(infos.begin(), infos.begin() + static_cast<std::ptrdiff_t>(count), infos.end(),
                    by_id);
  infos.resize(count);
  return infos;
}

Task<Result<std::vector<FragmentInfo>>> Drive::list_fragments(PackId pack, std::uint32_t first_row,
                                                              std::uint32_t limit,
                                                              FragmentDetail detail) {
  std::vector<FragmentInfo> infos;
  RowColumn from = RowColumn{first_row} << 8;
  if (detail == FragmentDetail::kIndexed) {
    for (const auto& [key, location] : located(pack, from, limit))
      infos.push_back({key, {}, location.bytes, 0});
    co_return infos;
  }
  while (infos.size() < limit) {
    auto fragments = located(pack, from, limit - infos.size());
    if (fragments.empty()) break;
    from = row_column(fragments.back().key) + 1;
    std::sort(fragments.begin(), fragments.end(),
              [](const Located& a, const Located& b) { return batch_of(a) < batch_of(b); });
    Listing listing{&infos, {}, AsyncSemaphore(kListReadsAtOnce)};
    if (detail == FragmentDetail::kShape) {
      co_await list_segments(fragments, &listing);
    } else {
      listing.left = std::move(fragments);
    }
    co_await list_batches(&listing);
  }
  std::sort(infos.begin(), infos.end(),
            [](const FragmentInfo& a, const FragmentInfo& b) { return a.key < b.key; });
  co_return infos;
}

// Those that many others of their segment are listed with: by its footer, in one read. The others
// stay for list_batches(), and what a footer does not say.
Task<void> Drive::list_segments(std::span<const Located> fragments, Listing* listing) {
  TaskScope reads;
  for (auto first = fragments.begin(); first != fragments.end();) {
    const auto last = std::find_if(first, fragments.end(), [&](const Located& fragment) {
      return fragment.location.segment != first->location.segment;
    });
    const std::span<const Located> ours(first, last);
    first = last;
    if (!is_listed_by_footer(ours)) {
      listing->left.insert(listing->left.end(), ours.begin(), ours.end());
      continue;
    }
    co_await listing->slots.acquire();
    reads.spawn(list_segment(ours, listing));
  }
  co_await reads.join();
}

// Whether its footer costs less than the summaries of the batches.
bool Drive::is_listed_by_footer(std::span<const Located> fragments) const {
  const Segment& segment = *segments_.at(fragments.front().location.segment);
  if (segment.state == SegmentState::kActive) return true;
  if (segment.retired || segment.footer_page == 0) return false;
  std::size_t batches = 0;
  for (std::size_t i = 0; i < fragments.size(); ++i)
    if (i == 0 || batch_of(fragments[i]) != batch_of(fragments[i - 1])) ++batches;
  return batches * kSummaryReadPages > segment.next_page - segment.footer_page;
}

// What the segment's footer says of them, or will say.
Task<void> Drive::list_segment(std::span<const Located> fragments, Listing* listing) {
  const SegmentUse use(this, fragments.front().location.segment);
  Segment& segment = use.segment();
  Result<std::vector<Record>> records = NotFoundError("it has a new life");
  if (segment.state == SegmentState::kActive) records = segment.records;
  if (segment.state == SegmentState::kSealed) records = co_await read_footer(segment);
  std::unordered_map<std::uint32_t, const Record*> at_page;
  if (records.ok()) {
    for (const Record& record : *records)
      if (record.type == RecordType::kFragment) at_page.emplace(record.payload_page, &record);
  }
  for (const Located& one : fragments) {
    const Location* const there = find(one.key);
    if (there == nullptr) continue;
    const auto found = at_page.find(one.location.payload_page);
    const bool said =
        *there == one.location && found != at_page.end() && found->second->key == one.key;
    if (said) {
      const Record& record = *found->second;
      listing->infos->push_back({one.key, record.shape, there->bytes, log_place(record.lsn)});
    } else {
      listing->left.push_back({one.key, *there});
    }
  }
  listing->slots.release();
}

// Batch by batch: a batch holds many rows of a busy pack, and its summary is read once.
Task<void> Drive::list_batches(Listing* listing) {
  std::vector<Located>& left = listing->left;
  std::sort(left.begin(), left.end(),
            [](const Located& a, const Located& b) { return batch_of(a) < batch_of(b); });
  TaskScope reads;
  for (auto first = left.begin(); first != left.end();) {
    const auto last = std::find_if(first, left.end(), [&](const Located& fragment) {
      return batch_of(fragment) != batch_of(*first);
    });
    co_await listing->slots.acquire();
    reads.spawn(list_batch({first, last}, listing));
    first = last;
  }
  co_await reads.join();
}

std::uint32_t Drive::log_place(std::uint64_t lsn) const {
  constexpr double kWhole = 4294967296.0;
  return static_cast<std::uint32_t>(static_cast<double>(lsn) / static_cast<double>(next_lsn_) *
                                    kWhole);
}

// Adds fragments of one batch to the listing.
Task<void> Drive::list_batch(std::span<const Located> fragments, Listing* listing) {
  // The cleaner may move them, or they may go, while others are read.
  const auto stays = std::find_if(fragments.begin(), fragments.end(), [this](const Located& one) {
    const Location* const there = find(one.key);
    return there != nullptr && *there == one.location;
  });
  const bool loaded = stays != fragments.end();
  Result<std::vector<Record>> batch = std::vector<Record>();
  if (loaded) batch = co_await load_batch(stays->key, stays->location);
  for (const auto& [key, location] : fragments) {
    const Location* const there = find(key);
    if (there == nullptr) continue;
    const Location now = *there;
    Result<Record> record = NotFoundError("not read");
    if (!loaded || now != location) {
      record = co_await load_record(key, now);
    } else {
      record = batch.ok() ? take_record(&*batch, key) : Result<Record>(batch.status());
    }
    if (record.ok()) {
      listing->infos->push_back({key, record->shape, now.bytes, log_place(record->lsn)});
    } else {
      note_damage(key, now, record.status());
    }
  }
  listing->slots.release();
}

}  // namespace shoal::storaged
