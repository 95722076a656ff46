// shoal scrub: verifying all that the drives hold, on demand, and how it stands.
#include <algorithm>
#include <map>

#include "base/async/sync.h"
#include "base/program.h"
#include "tools/admin/commands.h"
#include "tools/drive_health.h"

namespace shoal::tools {
namespace {

constexpr std::chrono::seconds kDeadline{5};
constexpr std::chrono::milliseconds kPoll{500};
// Polls in a row in which a drive's daemon may be silent while its pass is waited for.
constexpr int kMaxSilentPolls = 60;

struct ScrubOptions {
  std::uint64_t rate = 0;
  std::uint64_t drive = 0;
  bool wait = false;
  bool progress = false;
  bool json = false;
};

struct Drives {
  std::map<DriveId, DriveStatus> answered;
  std::map<DriveId, StorageApi*> storage;
  std::vector<std::string> troubles;  // of those that did not answer
};

// Of the drives in service, or the one that is asked for.
Task<Result<Drives>> ask(AdminCluster* cluster, std::uint64_t only) {
  const auto map = co_await fetch_cluster_map(cluster);
  if (!map.ok()) co_return map.status();
  Drives drives;
  std::map<StorageApi*, Status> asked;
  for (const DriveInfo& info : map->drives) {
    if (info.state == DriveState::kOut || (only != 0 && info.id.value() != only)) continue;
    StorageApi* const storage = cluster->storage_of(info);
    drives.storage[info.id] = storage;
    if (storage == nullptr || asked.contains(storage)) continue;
    const auto answer = co_await storage->status(cluster->executor.now() + kDeadline);
    asked[storage] = answer.status();
    if (!answer.ok()) continue;
    for (const DriveStatus& one : *answer) drives.answered[one.drive] = one;
  }
  std::erase_if(drives.answered,
                [&](const auto& one) { return !drives.storage.contains(one.first); });
  for (const auto& [id, storage] : drives.storage) {
    if (drives.answered.contains(id)) continue;
    const Status why = storage == nullptr ? UnavailableError("nobody serves it") : asked[storage];
    drives.troubles.push_back("drive " + id.to_string() + ": " + why.to_string());
  }
  if (drives.storage.empty()) co_return NotFoundError("there is no such drive in service");
  co_return drives;
}

const DriveStatus* find_drive(const Drives& drives, DriveId id) {
  const auto found = drives.answered.find(id);
  return found == drives.answered.end() ? nullptr : &found->second;
}

std::uint64_t damage_of(const Drives& drives) {
  std::uint64_t damage = 0;
  for (const auto& [id, drive] : drives.answered)
    damage += drive.damaged_fragments + drive.damaged_unlisted;
  return damage;
}

int show(const Drives& drives, bool json, AdminOutput* output) {
  if (json) {
    JsonWriter writer;
    writer.begin_object();
    writer.begin_array("drives");
    for (const auto& [id, drive] : drives.answered) {
      writer.begin_object();
      writer.field("id", std::uint64_t{id.value()});
      writer.field("state", drive.state);
      add_health(&writer, drive);
      writer.end_object();
    }
    writer.end_array();
    writer.begin_array("troubles");
    for (const std::string& trouble : drives.troubles) writer.value(trouble);
    writer.end_array();
    writer.end_object();
    output->out(writer.text() + "\n");
  } else {
    for (const auto& [id, drive] : drives.answered)
      output->out("drive " + id.to_string() + "  " + drive.state + ", " + health_text(drive) +
                  "\n");
    for (const std::string& trouble : drives.troubles) output->err("shoal: " + trouble + "\n");
  }
  return drives.troubles.empty() ? kExitOk : kExitFailed;
}

void show_progress(const Drives& drives, AdminOutput* output) {
  std::uint64_t done = 0;
  std::uint64_t total = 0;
  std::size_t running = 0;
  for (const auto& [id, drive] : drives.answered) {
    done += drive.scrub.bytes_done;
    total += drive.scrub.bytes_total;
    if (drive.scrub.state == ScrubState::kRunning) ++running;
  }
  output->err("\rscrub  " + format_size(done) + " of " + format_size(total) + ", " +
              std::to_string(running) + " drives to go, " + std::to_string(damage_of(drives)) +
              " damaged fragments      ");
}

// Until every pass that was started has ended; fails when damage is left then.
Task<int> wait_for_passes(AdminCluster* cluster, ScrubOptions options, Drives before,
                          AdminOutput* output) {
  int silent_polls = 0;
  while (!output->cancelled()) {
    auto now = co_await ask(cluster, options.drive);
    if (now.ok() && options.progress) show_progress(*now, output);
    std::size_t waiting = 0;
    std::size_t silent = 0;
    for (const auto& [id, drive] : before.answered) {
      const DriveStatus* there = now.ok() ? find_drive(*now, id) : nullptr;
      if (there == nullptr) {
        ++silent;
      } else if (there->scrub.state == ScrubState::kRunning) {
        ++waiting;
      } else if (there->scrub.passes == drive.scrub.passes) {
        co_return admin_fail(output, CancelledError("the pass of drive " + id.to_string() +
                                                    " ended before all was read"));
      }
    }
    silent_polls = silent > 0 ? silent_polls + 1 : 0;
    if (silent_polls > kMaxSilentPolls)
      co_return admin_fail(output, UnavailableError("a drive whose pass is waited for is silent"));
    if (waiting + silent == 0) {
      if (options.progress) output->err("\n");
      const int shown = show(*now, options.json, output);
      co_return damage_of(*now) > 0 ? kExitFailed : shown;
    }
    co_await sleep_for(kPoll);
  }
  co_return admin_fail(output, CancelledError("nobody waits for the scrub any more; it goes on"));
}

Task<int> change(AdminCluster* cluster, ScrubAction action, ScrubOptions options,
                 AdminOutput* output) {
  auto drives = co_await ask(cluster, options.drive);
  if (!drives.ok()) co_return admin_fail(output, drives.status());
  std::vector<DriveId> ids;
  for (const auto& [id, drive] : drives->answered) ids.push_back(id);
  for (const DriveId id : ids) {
    const Status done = co_await drives->storage[id]->scrub(id, action, options.rate,
                                                            cluster->executor.now() + kDeadline);
    if (done.ok()) continue;
    drives->troubles.push_back("drive " + id.to_string() + ": " + done.to_string());
    drives->answered.erase(id);
  }
  for (const std::string& trouble : drives->troubles) output->err("shoal: " + trouble + "\n");
  const bool all = drives->troubles.empty();
  if (action == ScrubAction::kStart && options.wait) {
    const int ended = co_await wait_for_passes(cluster, options, std::move(*drives), output);
    co_return all ? ended : kExitFailed;
  }
  co_return all ? kExitOk : kExitFailed;
}

}  // namespace

Task<int> run_scrub(AdminCluster* cluster, std::vector<std::string> words, AdminOutput* output) {
  ScrubOptions options;
  std::vector<std::string> verbs;
  Config config("shoal scrub",
                "Verifies all that the drives hold against its checksums. They do so by themselves "
                "from time to time.\n\n"
                "  start    a pass over everything, now\n"
                "  stop     end the pass under way\n"
                "  status   how far it is, and the damage that is known; the default");
  config.add("drive", &options.drive, "only the drive of this id");
  config.add_size("rate", &options.rate,
                  "start: bytes a second and drive for this pass; 0: as the drives are set up");
  config.add("wait", &options.wait,
             "start: until the pass has ended; fails when damage is left then");
  config.add("progress", &options.progress,
             "with --wait: show how far it is as it goes, as is done on a terminal");
  config.add("json", &options.json, "status, start --wait: as one JSON object");
  config.add_words("VERB", &verbs, "start, stop or status");
  int exit_status = kExitOk;
  if (!parse_admin_words(&config, words, output, &exit_status)) co_return exit_status;
  if (verbs.empty()) verbs.push_back("status");
  if (verbs.size() > 1)
    co_return admin_fail(output, InvalidArgumentError("shoal scrub start | stop | status"));
  if (verbs[0] == "start") co_return co_await change(cluster, ScrubAction::kStart, options, output);
  if (verbs[0] == "stop") co_return co_await change(cluster, ScrubAction::kStop, options, output);
  if (verbs[0] != "status")
    co_return admin_fail(output, InvalidArgumentError("shoal scrub start | stop | status"));
  const auto drives = co_await ask(cluster, options.drive);
  if (!drives.ok()) co_return admin_fail(output, drives.status());
  co_return show(*drives, options.json, output);
}

}  // namespace shoal::tools
