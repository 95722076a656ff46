// Rebuilder: sees to it that every row that the metadata refers to is whole. It carries out the
// moves of the cluster map (copies what a draining drive holds, restores what a lost one held), the
// groups that have lost most first; it audits all packs against the drives and restores what is
// missing or damaged. A move is finished only when the drive that it goes to lists every fragment;
// stopping at any point loses nothing, and what is there already is not done again. Belongs to one
// executor.
#pragma once

#include <map>
#include <memory>
#include <set>
#include <string>
#include <tuple>
#include <vector>

#include "client/background/fragment_restorer.h"
#include "client/background/limits.h"
#include "client/background/pack_audit.h"
#include "client/background/worker.h"

namespace shoal::client {

struct RebuilderOptions {
  MetadataClient& metadata;
  StorageRouter& router;
  Executor& executor;
  RebuildLimits limits = {};
};

class Rebuilder final : public BackgroundTask {
 public:
  explicit Rebuilder(RebuilderOptions options);

  Task<Duration> pass(WorkControl* control) override;
  void report(proto::TaskReport* out) const override;

 private:
  struct Move {
    PgId group;
    ColumnMove move;
    int unreadable = 0;  // columns of the group on drives that do not serve
  };
  // One audit and what is to be done after it.
  struct Work {
    WorkControl* control = nullptr;
    std::shared_ptr<const ClusterMap> map;  // one for the whole piece of work
    SurveySource source;
    DriveOpenings openings;  // said before anything else was asked
    DamageMap damage;
  };
  struct Outcome {
    std::uint64_t missing = 0;   // found
    std::uint64_t restored = 0;  // of them
    std::uint64_t lost_rows = 0;
    bool complete = true;     // every drive that matters answered
    std::set<PackId> open_packs;  // somebody may still add rows to them
    PackId last_pack;         // the highest that was looked at
    std::string trouble;      // why something was not restored: the first of it
    void add(const Outcome& other);
  };

  // What a move that cannot end yet has done: all closed packs up to `last_pack`. Others may come
  // to the open ones, and new packs.
  struct Progress {
    PackId last_pack;
    std::set<PackId> open;
    bool done(PackId pack) const { return pack <= last_pack && !open.contains(pack); }
  };
  using MoveKey = std::tuple<PgId, std::uint8_t, DriveId>;

  // One pack of a move, and what its move gathers.
  struct MovingPack {
    Work* work;
    const DamageMap* damage;
    Move move;
    PackId pack;
    Outcome* all;
    Status* first;  // error
    AsyncSemaphore* slots;
  };

  // Jobs that are waited for together.
  struct Batch {
    Outcome outcome;
    std::size_t left = 0;
    Signal ended;  // one of them
    TaskScope scope;
  };
  struct Restore {
    RestoreJob job;
    Batch* batch;
  };

  Task<Work> begin(WorkControl* control);
  std::vector<Move> moves(const ClusterMap& map) const;
  Task<Status> run_wave(Work* work, std::vector<Move> moving);
  Task<void> run_one(Work* work, Move move, AsyncSemaphore* slots, Status* first);
  Task<Status> run_move(Work* work, Move move);
  Task<Result<std::vector<PackId>>> packs_to_move(const Work* work, Move move,
                                                  const Progress* before, Outcome* outcome);
  Task<void> move_pack(MovingPack one);
  Task<Status> restore_moving(const MovingPack* one);
  Task<Result<Outcome>> move_packs(Work* work, const DamageMap* damage, Move move,
                                   const Progress* before);
  Task<Status> finish(Move move, PackId last_pack);
  Task<Status> audit_all(Work* work);
  bool audit_due(const Work& work) const;
  Task<Result<Outcome>> heal_pack(Work* work, PackId pack);
  void find_jobs(const PackAudit& audit, const Move* move, std::vector<RestoreJob>* jobs,
                 Outcome* outcome) const;
  static void add_jobs(const PackAudit& audit, const AuditedRow& row, std::uint32_t columns,
                       const Move* move, std::vector<RestoreJob>* jobs);
  Task<void> forget_dead_rows(const Work* work, PackAudit* audit);
  Task<Outcome> restore_all(WorkControl* control, std::vector<RestoreJob> jobs);
  void start_restores();
  std::uint64_t cost(const RestoreJob& job) const;
  Task<void> restore_one(Restore restore);
  void note_restored(const Result<std::uint64_t>& restored, Outcome* outcome);
  Task<Status> count_exposed(const Work* work);
  void note_error(const Status& status);
  void note_rate();

  RebuilderOptions options_;
  // While it lives, a new map ends the rest between passes, by the control of the first one.
  std::shared_ptr<void> follows_map_;
  FragmentRestorer restorer_;
  // Of all moves together, by their place in the drives' logs, so that what is under way lies close
  // together there.
  std::multimap<std::uint32_t, Restore> waiting_;
  std::uint64_t bytes_under_way_ = 0;
  AsyncSemaphore listing_{kPacksListedAtOnce};  // packs of moves
  bool starting_ = false;
  // A move cannot end yet, only because packs of its group are open; how long that was waited for
  // last.
  bool waits_for_writers_ = false;
  Duration closing_wait_;
  // As long as the map changes by finished moves only, and no drive is opened again.
  std::map<MoveKey, Progress> progress_;
  std::uint64_t progress_epoch_ = 0;
  DriveOpenings progress_openings_;
  proto::TaskReport report_;
  std::uint64_t finished_moves_ = 0;
  std::uint64_t audited_epoch_ = 0;  // of the map
  DamageMap audited_damage_;
  DriveOpenings audited_openings_;
  bool audited_whole_ = false;
  int retries_ = 0;  // audits in a row that left something undone
  MonotonicTime audited_at_{};
  std::uint64_t counted_epoch_ = 0;  // of the map, when exposed rows were counted
  MonotonicTime counted_at_{};
  MonotonicTime rate_at_{};
  std::uint64_t rate_bytes_ = 0;
  std::uint64_t rate_fragments_ = 0;
};

}  // namespace shoal::client
