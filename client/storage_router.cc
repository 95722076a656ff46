#include "client/storage_router.h"

#include <algorithm>
#include <bit>

namespace shoal::client {
namespace {

const LatencyEstimate kUnknownLatency;

// Faults of the request or of the lease, not of the drive.
bool drive_is_blameless(StatusCode code) {
  switch (code) {
    case StatusCode::kOk:
    case StatusCode::kNoSpace:
    case StatusCode::kFenced:
    case StatusCode::kAlreadyExists:
    case StatusCode::kInvalidArgument:
    case StatusCode::kOutOfRange:
    case StatusCode::kCancelled:
    // One bad or absent fragment does not make a bad drive: its neighbours are most likely well.
    case StatusCode::kCorruption:
    case StatusCode::kNotFound: return true;
    default: return false;
  }
}

}  // namespace

void LatencyEstimate::add(Duration latency) {
  const std::int64_t ns = std::max<std::int64_t>(latency.count(), 0);
  const auto us =
      static_cast<std::uint64_t>(ns / 1000) + 4;  // from 4 on two bits follow the top one
  const int top = static_cast<int>(std::bit_width(us)) - 1;
  const int bucket = (top - 2) * 4 + static_cast<int>((us >> (top - 2)) & 3);
  ++buckets_[static_cast<std::size_t>(std::min(bucket, kBuckets - 1))];
  ++total_;
  mean_ns_ = count_ == 0 ? ns : mean_ns_ + (ns - mean_ns_) / 8;
  ++count_;
  if (++since_refresh_ >= kRefreshEvery) refresh();
}

void LatencyEstimate::refresh() {
  since_refresh_ = 0;
  const std::uint32_t above_p99 = total_ / 100;
  const std::uint32_t above_p95 = total_ / 20;
  std::uint32_t above = 0;
  bool found_p99 = false;
  for (int bucket = kBuckets - 1; bucket >= 0; --bucket) {
    above += buckets_[static_cast<std::size_t>(bucket)];
    const auto upper_us = static_cast<std::int64_t>(4 + bucket % 4 + 1) << (bucket / 4);
    if (!found_p99 && above > above_p99) {
      p99_ = std::chrono::microseconds(upper_us - 4);
      found_p99 = true;
    }
    if (above > above_p95) {
      p95_ = std::chrono::microseconds(upper_us - 4);
      break;
    }
  }
  if (total_ < kFadeAt) return;
  total_ = 0;
  for (std::uint16_t& count : buckets_) {
    count = static_cast<std::uint16_t>(count / 2);
    total_ += count;
  }
}

StorageRouter::StorageRouter(Executor& executor, Factory factory, DriveHealthLimits limits)
    : executor_(executor), factory_(std::move(factory)), limits_(limits), view_(nullptr) {}

void StorageRouter::set_map(const std::shared_ptr<const ClusterMap>& map) {
  if (map == nullptr || map == view_.map()) return;
  if (view_.map() != nullptr && map->epoch <= view_.epoch()) return;
  view_ = PlacementView(map);
}

StorageRouter::Drive& StorageRouter::drive_of(DriveId id) {
  std::unique_ptr<Drive>& slot = drives_[id];
  if (slot == nullptr) slot = std::make_unique<Drive>();
  return *slot;
}

const StorageRouter::Drive* StorageRouter::find(DriveId id) const {
  const auto found = drives_.find(id);
  return found == drives_.end() ? nullptr : found->second.get();
}

Result<StorageApi*> StorageRouter::storage(DriveId id) {
  const DriveInfo* info = view_.map() == nullptr ? nullptr : view_.map()->drive(id);
  if (info == nullptr) {
    return NotFoundError("drive " + id.to_string() + " is not in the cluster map of epoch " +
                         std::to_string(view_.epoch()));
  }
  Drive& drive = drive_of(id);
  if (drive.api != nullptr && drive.node == info->node && drive.address == info->address) {
    return drive.api;
  }
  ASSIGN_OR_RETURN(StorageApi * api, factory_(*info));
  CHECK(api != nullptr);
  drive.api = api;
  drive.node = info->node;
  drive.address = info->address;
  return api;
}

void StorageRouter::note_success(DriveId id, IoKind kind, std::uint64_t bytes, Duration latency) {
  Drive& drive = drive_of(id);
  Health& health = drive.health[index(kind)];
  const MonotonicTime now = executor_.now();
  if (health.failures_in_row > 0 && now - latency > health.penalised_at) health = Health{};
  health.succeeded_at = now;
  // What was sent before it said that it is full proves nothing.
  const bool room_since = now - latency > drive.full_until - limits_.full_penalty;
  if (kind == IoKind::kWrite && room_since) drive.full_until = MonotonicTime{};
  drive.latency[latency_index(kind, bytes)].add(latency);
}

void StorageRouter::note_failure(DriveId id, IoKind kind, const Status& status) {
  if (status.code() == StatusCode::kNoSpace) {
    drive_of(id).full_until = executor_.now() + limits_.full_penalty;
    return;
  }
  if (!drive_is_blameless(status.code())) penalise(drive_of(id).health[index(kind)]);
}

void StorageRouter::note_slow(DriveId id, IoKind kind) {
  penalise(drive_of(id).health[index(kind)]);
}

void StorageRouter::penalise(Health& health) {
  const MonotonicTime now = executor_.now();
  // Many requests that were under way together fail together: that is one failure.
  if (now < health.penalised_until) return;
  const std::uint32_t doublings = std::min<std::uint32_t>(health.failures_in_row, 16);
  ++health.failures_in_row;
  const Duration penalty = std::min(limits_.max_penalty, limits_.first_penalty * (1 << doublings));
  health.penalised_at = now;
  health.penalised_until = now + penalty;
}

bool StorageRouter::penalised(DriveId id, IoKind kind) const {
  const Drive* drive = find(id);
  return drive != nullptr && executor_.now() < drive->health[index(kind)].penalised_until;
}

bool StorageRouter::silent_since(DriveId id, IoKind kind, MonotonicTime since) const {
  const Drive* drive = find(id);
  return drive == nullptr || drive->health[index(kind)].succeeded_at < since;
}

bool StorageRouter::full(DriveId id) const {
  const Drive* drive = find(id);
  return drive != nullptr && executor_.now() < drive->full_until;
}

bool StorageRouter::good_for_writing(DriveId id) const {
  const DriveInfo* info = view_.map() == nullptr ? nullptr : view_.map()->drive(id);
  if (info == nullptr || info->state != DriveState::kUp) return false;
  const Drive* drive = find(id);
  if (drive == nullptr) return true;
  const MonotonicTime now = executor_.now();
  return now >= drive->health[index(IoKind::kWrite)].penalised_until && now >= drive->full_until;
}

bool StorageRouter::good_for_writing(const PlacementGroup& group) const {
  return std::all_of(group.drives.begin(), group.drives.end(),
                     [&](DriveId id) { return good_for_writing(id); });
}

std::vector<DriveId> StorageRouter::bad_for_writing() const {
  std::vector<DriveId> bad;
  if (view_.map() == nullptr) return bad;
  for (const DriveInfo& info : view_.map()->drives) {
    if (!good_for_writing(info.id)) bad.push_back(info.id);
  }
  return bad;
}

const LatencyEstimate& StorageRouter::latency(DriveId id, IoKind kind, std::uint64_t bytes) const {
  const Drive* drive = find(id);
  return drive == nullptr ? kUnknownLatency : drive->latency[latency_index(kind, bytes)];
}

}  // namespace shoal::client
