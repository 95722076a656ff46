// StorageRouter: which StorageApi serves a drive of the present cluster map, and how each drive
// behaves as this client sees it: latency quantiles, and a penalty after failures, so that writers
// avoid it and readers decode around it. Belongs to one executor.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/functional/any_invocable.h>

#include <array>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/async/executor.h"
#include "base/cluster_map.h"
#include "base/result.h"
#include "client/limits.h"
#include "client/placement_view.h"
#include "proto/storage_api.h"

namespace shoal::client {

// Quantiles of a stream of latencies: counts in buckets of a quarter octave, halved now and then so
// that old samples fade. Exact to about 19 %.
class LatencyEstimate {
 public:
  void add(Duration latency);
  // Zero until there are kMinSamples.
  Duration mean() const { return count_ < kMinSamples ? Duration(0) : Duration(mean_ns_); }
  Duration p95() const { return p95_; }
  Duration p99() const { return p99_; }

  static constexpr std::uint32_t kMinSamples = 16;

 private:
  static constexpr int kBuckets = 100;  // up to 2^25 us
  static constexpr std::uint32_t kFadeAt = 1024;
  static constexpr std::uint32_t kRefreshEvery = 16;
  void refresh();

  std::array<std::uint16_t, kBuckets> buckets_{};
  std::uint32_t count_ = 0;
  std::uint32_t total_ = 0;
  std::uint32_t since_refresh_ = 0;
  std::int64_t mean_ns_ = 0;
  Duration p95_{0};
  Duration p99_{0};
};

enum class IoKind : std::uint8_t { kRead, kWrite };

class StorageRouter {
 public:
  // Gives the StorageApi of the process that serves `drive` (by node and address). It outlives the
  // router. Called once for each drive, and again when its node or address has changed. The
  // all-in-one program gives the same one always.
  using Factory = absl::AnyInvocable<Result<StorageApi*>(const DriveInfo& drive)>;

  StorageRouter(Executor& executor, Factory factory, DriveHealthLimits limits = {});

  // Takes a newer map; the same or an older one is ignored, so it may be called before every use.
  void set_map(const std::shared_ptr<const ClusterMap>& map);
  const PlacementView& view() const { return view_; }

  // Errors: kNotFound when the map does not know the drive, else what the factory said.
  Result<StorageApi*> storage(DriveId drive);

  // Reads and writes are judged apart: a drive that refuses writes may read well. A success that
  // was begun after the last failure ends the penalty.
  void note_success(DriveId drive, IoKind kind, std::uint64_t bytes, Duration latency);
  // Penalises the drive when the status says that the drive or the way to it is at fault. kNoSpace
  // marks it full.
  void note_failure(DriveId drive, IoKind kind, const Status& status);
  // As a failure: it did not answer when it should have.
  void note_slow(DriveId drive, IoKind kind);

  bool penalised(DriveId drive, IoKind kind) const;  // failed or slow lately
  // No request of the kind has succeeded since.
  bool silent_since(DriveId drive, IoKind kind, MonotonicTime since) const;
  bool full(DriveId drive) const;
  // Whether a new row may go there now: up in the map, not penalised, not full.
  bool good_for_writing(DriveId drive) const;
  bool good_for_writing(const PlacementGroup& group) const;
  std::vector<DriveId> bad_for_writing() const;  // of the map's drives

  const LatencyEstimate& latency(DriveId drive, IoKind kind, std::uint64_t bytes) const;

 private:
  // Large transfers have latencies of their own.
  static constexpr std::uint64_t kLargeTransfer = 64 << 10;
  struct Health {
    MonotonicTime penalised_at{};
    MonotonicTime penalised_until{};
    MonotonicTime succeeded_at{};
    std::uint32_t failures_in_row = 0;
  };
  struct Drive {
    StorageApi* api = nullptr;
    NodeId node;
    std::string address;
    MonotonicTime full_until{};
    std::array<Health, 2> health;            // [kind]
    std::array<LatencyEstimate, 4> latency;  // [kind * 2 + large]
  };
  static std::size_t latency_index(IoKind kind, std::uint64_t bytes) {
    return static_cast<std::size_t>(kind) * 2 + (bytes > kLargeTransfer ? 1 : 0);
  }
  Drive& drive_of(DriveId id);
  const Drive* find(DriveId id) const;
  static std::size_t index(IoKind kind) { return static_cast<std::size_t>(kind); }
  void penalise(Health& health);

  Executor& executor_;
  Factory factory_;
  const DriveHealthLimits limits_;
  PlacementView view_;
  // Pointers, because a drive's record is large and its address must not move.
  absl::flat_hash_map<DriveId, std::unique_ptr<Drive>> drives_;
};

}  // namespace shoal::client
