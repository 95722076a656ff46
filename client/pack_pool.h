// PackPool: the packs leased to this client. Leases them in bulk ahead of need on several placement
// groups, says which one the next row goes to, and gives them back once they are full and their
// extents settled. A pack belongs to the session that leased it: when the session's generation
// changes, all packs are void. Belongs to one executor.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/async/sync.h"
#include "base/cluster_map.h"
#include "base/extent.h"
#include "base/random.h"
#include "client/limits.h"
#include "client/metadata_client.h"
#include "client/storage_router.h"

namespace shoal::client {

struct OpenPack {
  PackId id;
  std::uint64_t epoch = 0;
  std::uint64_t generation = 0;  // of the session
  PlacementGroup group;
  std::uint32_t next_row = 0;
  std::uint64_t data_bytes = 0;  // of rows begun
  std::uint32_t rows_in_flight = 0;
  std::uint64_t unsettled_extents = 0;  // answered, and not known to be committed or abandoned
  std::uint64_t last_used = 0;
  bool retired = false;  // takes no more rows
  MonotonicTime retired_at{};
};
using OpenPackPtr = std::shared_ptr<OpenPack>;

using DriveSet = std::vector<DriveId>;  // small: searched linearly
bool contains(const DriveSet& drives, DriveId drive);

class PackPool {
 public:
  PackPool(MetadataClient& metadata, StorageRouter& router, Executor& executor, Random& random,
           const PackWriterLimits& limits);

  // Forgets packs of an older session and takes the newest cluster map. Before every row.
  void refresh();

  enum class Want {
    kHealthy,   // only groups whose drives are all up, not penalised and not full
    kAnyWhole,  // penalised drives too: they are guesses, and the last resort; full ones never
  };
  // The pack for the next row: of the largest k with enough parity, on a fall-back only where there
  // is no other, the least busy one, in turn; none of its drives in `avoid`. Null when there is
  // none. Leases more in the background when few are left.
  OpenPackPtr pick(const DriveSet& avoid, Want want);

  // Asks metad for packs on groups without the drives in `avoid` and without those known to be bad.
  // One request at a time; a call that comes meanwhile waits for the answer and then returns OK,
  // and so does one that comes too soon after a fruitless one. Errors: metad's.
  Task<Status> lease(DriveSet avoid);

  // A row of so many bytes is under way; retires the pack when it is full.
  void row_begun(OpenPack& pack, std::uint64_t data_bytes);
  // All its fragments have ended; gives the pack back when nothing needs it any more.
  void row_ended(OpenPack& pack);
  void retire(OpenPack& pack);
  void settled(std::span<const Extent> extents);
  bool current(const OpenPack& pack) const;

  // The k of the pack that would be picked; 0 when none is open.
  int preferred_k() const;
  // Why no group can take a row, naming drives.
  std::string describe_trouble() const;
  // Whether groups are only missing because drives are full.
  bool only_full_drives() const;

  // Gives every pack back. Nothing may be picked afterwards.
  Task<Status> close();

 private:
  static bool better(const OpenPack& pack, const OpenPack& than);
  bool usable(const OpenPack& pack, const DriveSet& avoid, Want want) const;
  std::uint32_t wanted_packs() const;
  void accept(const proto::LeasePacksReply& reply, std::uint64_t generation);
  void release_unneeded();
  bool changes(const PlacementGroup& group) const;  // its columns move, or are to
  void retire_unwanted_packs();
  void watch_idle_packs();
  void retire_idle_packs();
  void give_back_later(PackId pack);
  void start_giving_back();
  Task<void> give_back();
  void look_for_lost_leases();
  Task<void> give_back_lost_leases();
  void give_back_after_pause();
  Task<void> lease_in_background();
  Task<Status> lease_once(DriveSet avoid);

  MetadataClient& metadata_;
  StorageRouter& router_;
  Executor& executor_;
  const PackWriterLimits& limits_;
  std::vector<OpenPackPtr> packs_;  // open and retired ones that are not given back
  absl::flat_hash_map<PackId, OpenPackPtr> by_id_;
  std::uint64_t generation_ = 0;
  std::uint64_t use_counter_ = 0;
  std::uint64_t map_seen_ = 0;  // the epoch when packs of groups that move were last looked for
  bool leasing_ = false;
  bool refill_scheduled_ = false;
  MonotonicTime no_refill_before_{};
  MonotonicTime no_lease_before_{};
  MonotonicTime next_release_check_{};
  std::shared_ptr<char> listening_ = std::make_shared<char>();  // for news of the map
  TimerId idle_timer_;
  std::uint64_t idle_mark_ = 0;  // use_counter_ when idle packs were last looked for
  std::vector<PackId> to_give_back_;
  TimerId give_back_timer_;  // after a failure
  TimerId lost_leases_timer_;
  bool giving_back_ = false;
  bool closing_ = false;
  Signal leased_;
  TaskScope background_;
};

}  // namespace shoal::client
