// Repacker: gives space back that packs waste. It looks for closed packs whose fragments take much
// more than what lives in them would take in full rows (dead objects, short rows, orphans of
// crashed writers: one figure for all), reads what lives, writes it in full rows, and exchanges the
// extents by compare-and-set. Emptied packs are left to metad's collector. Stopping at any point
// loses nothing: what was written and not exchanged is an orphan. Belongs to one executor.
#pragma once

#include <absl/container/flat_hash_map.h>

#include <string>
#include <vector>

#include "client/background/limits.h"
#include "client/background/pack_survey.h"
#include "client/background/repack_plan.h"
#include "client/background/worker.h"
#include "client/extent_reader.h"
#include "client/pack_writer.h"
#include "client/storage_router.h"

namespace shoal::client {

// All of one session, which is the repacker's own: so cold data shares no row with fresh data.
struct RepackerOptions {
  MetadataClient& metadata;
  StorageRouter& router;
  PackWriter& writer;
  ExtentReader& reader;
  Executor& executor;
  RepackLimits limits = {};
};

class Repacker final : public BackgroundTask {
 public:
  explicit Repacker(RepackerOptions options) : options_(options), limits_(options.limits) {}

  Task<Duration> pass(WorkControl* control) override;
  void report(proto::TaskReport* out) const override;

 private:
  struct Pass {
    WorkControl* control = nullptr;
    std::vector<SurveyedPack> packs;
    CodeShape code;  // of the rows to come
    std::vector<Referrer> referrers;
    std::vector<PackReference> references;
    std::vector<StoredRun> runs;
    std::size_t unreadable = 0;
  };
  // A run, its bytes, and where they lie now.
  struct Moved {
    const StoredRun* run = nullptr;
    Result<Buffer> bytes = UnavailableError("not read");
    Extent stored;
    bool written = false;
  };

  // What to do.
  Task<Result<PoolSurvey>> survey();
  void note_emptied(const PoolSurvey& survey);
  std::vector<SurveyedPack> choose(const PoolSurvey& survey, bool hurry);
  Result<CodeShape> target_code() const;
  Task<Status> collect(Pass* pass);
  void take_references(Pass* pass, const proto::Reference& reference);
  void drop_last_pack(Pass* pass) const;
  bool worth_it(const Pass& pass);

  // Doing it.
  Task<Status> empty_packs(Pass* pass);
  Task<Status> move_row(Pass* pass, std::span<const StoredRun> row);
  Task<void> read_row(std::vector<Moved>* row);
  Task<void> read_group(std::span<Moved> group, AsyncSemaphore* slots);
  Task<void> read_one(Moved* moved);
  Task<Status> write_row(Pass* pass, std::vector<Moved>* row);
  Task<Status> exchange(Pass* pass, const std::vector<Moved>* row);
  Task<void> note_unreadable(Pass* pass, const Moved* moved);
  Task<bool> still_refers(Referrer referrer, Extent extent);

  RepackerOptions options_;
  const RepackLimits limits_;
  // Packs that a pass could not empty, and until when they are left alone.
  absl::flat_hash_map<PackId, MonotonicTime> resting_;
  // Live bytes of packs that together were not worth a pass, when that was found out.
  absl::flat_hash_map<PackId, std::uint64_t> hopeless_;
  // Raw bytes of the packs that the last pass was to empty.
  absl::flat_hash_map<PackId, std::uint64_t> emptying_;
  proto::TaskReport report_;
};

}  // namespace shoal::client
