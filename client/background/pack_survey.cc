#include "client/background/pack_survey.h"

#include <absl/container/flat_hash_map.h>

#include <algorithm>
#include <limits>
#include <set>

#include "client/background/limits.h"

namespace shoal::client {
namespace {

constexpr std::uint32_t kPacksPerPage = 1000;
constexpr Duration kSurveyDeadline = std::chrono::seconds(10);

using RawBytes = absl::flat_hash_map<PackId, std::uint64_t>;

MonotonicTime deadline_from_now() { return Executor::current()->now() + kSurveyDeadline; }

Task<Status> list_packs(const SurveySource* source, PoolSurvey* survey) {
  std::uint64_t after = 0;
  for (bool more = true; more;) {
    proto::Query query;
    query.mutable_list_packs()->set_after(after);
    query.mutable_list_packs()->set_limit(kPacksPerPage);
    const auto reply = co_await source->query(std::move(query));
    if (!reply.ok()) co_return reply.status().with_context("listing packs");
    more = reply->list_packs().more() && reply->list_packs().packs_size() > 0;
    for (const proto::PackRecord& record : reply->list_packs().packs()) {
      after = record.pack();
      const PlacementGroup* group = source->map->group(pg_of_pack(PackId(after)));
      if (group == nullptr) continue;  // of a newer map: next time
      SurveyedPack pack;
      pack.id = PackId(after);
      pack.code = group->code;
      pack.closed = record.state() == proto::PACK_CLOSED;
      pack.live_bytes = record.live_bytes();
      survey->packs.push_back(pack);
    }
  }
  co_return OkStatus();
}

Task<Status> list_drive(StorageApi* storage, DriveId drive, RawBytes* raw) {
  PackId after{0};
  while (true) {
    const auto page =
        co_await storage->list_packs(drive, after, kPacksPerPage, deadline_from_now());
    if (!page.ok()) co_return page.status();
    for (const PackInfo& info : *page) {
      (*raw)[info.pack] += info.stored_bytes + info.fragment_count * kFragmentOverheadBytes;
    }
    if (page->size() < kPacksPerPage) co_return OkStatus();
    after = page->back().pack;
  }
}

}  // namespace

std::uint64_t SurveyedPack::waste_permille() const {
  if (live_bytes == 0) return std::numeric_limits<std::uint64_t>::max();
  const std::uint64_t full_rows =
      live_bytes * static_cast<std::uint64_t>(code.width()) / std::max<std::uint64_t>(code.k, 1);
  return raw_bytes * 1000 / std::max<std::uint64_t>(full_rows, 1);
}

std::uint64_t PoolSurvey::least_free_permille() const {
  std::uint64_t least = 1000;
  for (const DriveStatus& drive : drives) {
    if (drive.capacity_bytes > 0)
      least = std::min(least, drive.free_bytes * 1000 / drive.capacity_bytes);
  }
  return least;
}

Task<Result<PoolSurvey>> survey_pool(const SurveySource* source) {
  PoolSurvey survey;
  CO_RETURN_IF_ERROR(co_await list_packs(source, &survey));
  RawBytes raw;
  std::set<StorageApi*> daemons;
  for (const DriveInfo& drive : source->map->drives) {
    StorageApi* const storage = source->storage_of(drive);
    Status listed = UnavailableError("nobody serves it");
    if (storage != nullptr) listed = co_await list_drive(storage, drive.id, &raw);
    if (!listed.ok()) ++survey.silent_drives;
    if (storage == nullptr || !daemons.insert(storage).second) continue;
    auto status = co_await storage->status(deadline_from_now());
    if (!status.ok()) continue;
    survey.drives.insert(survey.drives.end(), status->begin(), status->end());
  }
  std::sort(survey.drives.begin(), survey.drives.end(),
            [](const DriveStatus& a, const DriveStatus& b) { return a.drive < b.drive; });
  for (SurveyedPack& pack : survey.packs) {
    const auto found = raw.find(pack.id);
    if (found != raw.end()) pack.raw_bytes = found->second;
    survey.raw_bytes += pack.raw_bytes;
  }
  co_return survey;
}

}  // namespace shoal::client
