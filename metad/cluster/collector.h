// Collector: gives back the space of packs, and of rows of packs, that nothing refers to. Order,
// never clocks: a pack's lease is closed in the journal first, so that no later commit can name it;
// then the pack is sealed on its drives, so that no late fragment arrives; then it is deleted
// there; then the metadata forgets it. Belongs to metad's executor.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "base/async/sync.h"
#include "metad/service/metadata_server.h"
#include "proto/storage_api.h"

namespace shoal::metad {

class Collector {
 public:
  // Null when nobody serves the drive now.
  using StorageOf = std::function<StorageApi*(const DriveInfo& drive)>;

  Collector(MetadataServer& server, StorageOf storage_of)
      : server_(server), storage_of_(std::move(storage_of)) {}
  // Collects every kCollectInterval until stop().
  void start();
  Task<void> stop();
  // One round. Returns how many packs were dropped.
  Task<std::uint64_t> collect();

 private:
  Task<void> run();
  std::vector<DriveInfo> drives_of(PackId pack) const;
  Task<bool> drop_pack(PackId pack, std::uint64_t epoch);
  Task<void> drop_rows(PackId pack);
  Task<bool> drop_rows_on_drives(PackId pack, std::vector<std::uint32_t> rows);
  Task<void> drop_unknown_packs(const DriveInfo* drive);

  MetadataServer& server_;
  StorageOf storage_of_;
  // What was dropped of closed packs since the start; a restart forgets it and drops the same
  // again.
  struct Dropped {
    std::vector<bool> rows;
    std::uint64_t live_bytes = 0;  // when the pack was last looked at
  };
  absl::flat_hash_map<PackId, Dropped> dropped_;
  bool stopping_ = false;
  TimerId timer_;
  Signal wake_;
  TaskScope scope_;
};

}  // namespace shoal::metad
