// PoolCheck: compares what the metadata refers to with what the drives hold, in both directions:
// every row that lives is whole on the drives of its group, and what the drives hold is referred to
// or waits to be collected. With `read` also the content: every extent against its CRC, every
// parity column against its row. The checker behind `shoal fsck`; beside traffic or without.
// Belongs to one executor.
#pragma once

#include <absl/container/flat_hash_map.h>
#include <absl/container/flat_hash_set.h>

#include <functional>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "base/async/sync.h"
#include "client/background/fragment_restorer.h"
#include "client/background/pack_audit.h"
#include "client/check/row_check.h"

namespace shoal::client {

struct CheckOptions {
  bool read = false;    // all bytes, not only what the drives list
  bool repair = false;  // restores what can be restored, and drops what nothing refers to
  // What looks wrong may be a row on its way: it counts when it looks the same after these.
  Duration settle = std::chrono::milliseconds(500);
  int looks = 4;
  // How long what metad is to collect may still be there.
  Duration collect_wait = std::chrono::seconds(15);
  // Said once for each problem, for people.
  std::function<void(std::string)> problem = [](std::string) {};
  std::function<bool()> cancelled = [] { return false; };
  // Packs that metad does not know and keeps all the same: a dump was loaded.
  std::function<bool(PackId)> kept_unknown = [](PackId) { return false; };
};

struct CheckReport {
  std::uint64_t packs = 0;
  std::uint64_t open_packs = 0;
  std::uint64_t rows = 0;               // that anything refers to
  std::uint64_t degraded_rows = 0;      // with a column on a drive that is down or out
  std::uint64_t unreadable_rows = 0;    // fewer than k columns now, but drives that do not answer
  std::uint64_t lost_rows = 0;          // fewer than k columns, and no drive to hope for
  std::uint64_t lost_extents = 0;       // of rows that are there: no column gives their bytes
  std::uint64_t missing_fragments = 0;  // or known to be damaged, where a drive answered
  std::uint64_t wrong_fragments = 0;    // whose content does not fit the row (`read`)
  std::uint64_t restored_fragments = 0;
  std::uint64_t unreferenced_rows = 0;   // of closed packs: space that waits to be given back
  std::uint64_t unreferenced_bytes = 0;  // on all drives
  std::uint64_t dropped_rows = 0;        // of them
  std::uint64_t stray_packs = 0;         // on drives where the metadata has nothing of them
  std::uint64_t unwell_drives = 0;       // in service, and without an answer
  std::uint64_t absent_drives = 0;       // down or out, and groups still count on them
  std::uint64_t extents_read = 0;
  std::uint64_t bytes_read = 0;  // from drives
  // Rows with bytes that cannot be had, for whoever wants to name the files.
  std::map<PackId, std::set<std::uint32_t>> hurt_rows;

  bool clean() const {
    return degraded_rows + unreadable_rows + lost_rows + lost_extents + stray_packs +
                   unwell_drives + absent_drives ==
               0 &&
           missing_fragments + wrong_fragments == restored_fragments;
  }
};

class PoolCheck {
 public:
  // `query` as SurveySource's. All of it outlives the check.
  PoolCheck(ClusterMap map, std::function<Task<Result<proto::QueryReply>>(proto::Query)> query,
            std::function<StorageApi*(const DriveInfo&)> storage_of, Executor& executor,
            CheckOptions options);
  // Errors: metad's, and kCancelled.
  Task<Result<CheckReport>> run();

 private:
  // Of a pack as it was seen last.
  struct Look {
    proto::PackRecord record;
    PackAudit audit;
  };
  Task<void> find_drives();
  Task<Status> check_packs();
  Task<Status> check_pack(PackId pack);
  // kNotFound: the pack is gone.
  Task<Result<Look>> look(PackId pack);
  static bool suspicious(const Look& look);
  void count_rows(const Look& look);
  Task<void> restore_missing(Look* look);
  Task<bool> restore(RestoreJob job);
  Task<void> note_unreferenced(const Look* look);

  Task<Status> read_batch();
  Task<Status> collect_extents(std::map<PackId, RowExtents>* extents);
  Task<void> read_row(const Look* look, const AuditedRow* row, const std::vector<Extent>* extents,
                      AsyncSemaphore* slots);
  Task<bool> row_lives(PackId pack, std::uint32_t row);
  Task<bool> restore_wrong(const PackAudit* audit, const AuditedRow* row, std::uint32_t wrong);

  Task<Status> check_strays();
  struct Stray {
    DriveId drive;
    PackId pack;
    bool known = false;  // to metad, but on other drives
    friend auto operator<=>(const Stray&, const Stray&) = default;
  };
  Task<Status> list_strays(std::vector<Stray>* strays);

  ClusterMap map_;
  Executor& executor_;
  const CheckOptions options_;
  SurveySource source_;
  StorageRouter router_;
  FragmentRestorer restorer_;
  DamageMap damage_;
  CheckReport report_;
  absl::flat_hash_set<DriveId> silent_;
  std::vector<Look> batch_;  // whose content is still to be read
  std::uint64_t batch_bytes_ = 0;
};

}  // namespace shoal::client
