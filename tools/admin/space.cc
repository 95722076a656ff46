// shoal space: what the pool's data takes, what is wasted, and what is being done about it.
#include <cstdio>

#include "base/program.h"
#include "client/background/limits.h"
#include "client/background/pack_survey.h"
#include "tools/admin/commands.h"
#include "tools/json.h"

namespace shoal::tools {
namespace {

struct PackCount {
  std::uint64_t packs = 0;
  std::uint64_t live_bytes = 0;
  std::uint64_t raw_bytes = 0;
  void add(const client::SurveyedPack& pack) {
    ++packs;
    live_bytes += pack.live_bytes;
    raw_bytes += pack.raw_bytes;
  }
};

struct Space {
  PackCount open;
  PackCount closed;
  PackCount dead;      // closed, nothing refers to them: the collector's
  PackCount wasteful;  // of the closed ones, over the threshold
  std::uint64_t threshold_permille = 0;
  std::uint64_t live_bytes = 0;     // a byte that two files share counts once for each
  std::uint64_t payload_bytes = 0;  // of fragments on the drives
  std::uint64_t segment_bytes = 0;  // of segments that hold anything, or may soon
  std::uint64_t capacity_bytes = 0;
  std::uint64_t free_bytes = 0;
  std::uint64_t payload_bytes_written = 0;
  std::uint64_t cleaned_bytes = 0;
  std::uint64_t device_bytes_written = 0;
  std::uint64_t silent_drives = 0;
  proto::MetadataStatus metadata;
};

double ratio(std::uint64_t a, std::uint64_t b) {
  return b == 0 ? 0.0 : static_cast<double>(a) / static_cast<double>(b);
}

std::string decimal(double number) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f", number);
  return text;
}

Space add_up(const client::PoolSurvey& survey, proto::MetadataStatus metadata) {
  Space space;
  space.metadata = std::move(metadata);
  space.threshold_permille = client::RepackLimits().threshold_permille;
  for (const proto::WorkerReport& worker : space.metadata.workers()) {
    for (const proto::TaskReport& task : worker.tasks()) {
      if (task.threshold_permille() > 0) space.threshold_permille = task.threshold_permille();
    }
  }
  for (const client::SurveyedPack& pack : survey.packs) {
    space.live_bytes += pack.live_bytes;
    if (!pack.closed) {
      space.open.add(pack);
      continue;
    }
    space.closed.add(pack);
    if (pack.live_bytes == 0) {
      space.dead.add(pack);
    } else if (pack.waste_permille() > space.threshold_permille) {
      space.wasteful.add(pack);
    }
  }
  for (const DriveStatus& drive : survey.drives) {
    space.payload_bytes += drive.used_bytes;
    space.segment_bytes +=
        (drive.segment_count - std::min(drive.segment_count, drive.free_segment_count)) *
        drive.segment_bytes;
    space.capacity_bytes += drive.capacity_bytes;
    space.free_bytes += drive.free_bytes;
    space.payload_bytes_written += drive.payload_bytes_written;
    space.cleaned_bytes += drive.cleaned_bytes;
    space.device_bytes_written += drive.device_bytes_written;
  }
  space.silent_drives = survey.silent_drives;
  return space;
}

void add_packs(JsonWriter* json, const char* name, const PackCount& count) {
  json->begin_object(name);
  json->field("packs", count.packs);
  json->field("live_bytes", count.live_bytes);
  json->field("raw_bytes", count.raw_bytes);
  json->end_object();
}

void add_task(JsonWriter* json, const std::string& worker, const proto::TaskReport& task) {
  json->begin_object();
  json->field("worker", worker);
  json->field("task", task.task());
  json->field("state", task.state());
  json->field("passes", task.passes());
  json->field("last_pass_ms", task.last_pass_ms());
  json->field("last_pass_bytes", task.last_pass_bytes());
  json->field("moved_bytes", task.moved_bytes());
  json->field("written_bytes", task.written_bytes());
  json->field("emptied_bytes", task.emptied_bytes());
  json->field("limit_bytes_per_second", task.limit_bytes_per_second());
  json->field("candidate_packs", task.candidate_packs());
  json->field("candidate_raw_bytes", task.candidate_raw_bytes());
  json->field("candidate_live_bytes", task.candidate_live_bytes());
  json->field("unreadable_extents", task.unreadable_extents());
  json->field("lost_extents", task.lost_extents());
  json->field("last_error", task.last_error());
  json->end_object();
}

std::string to_json(const Space& space) {
  JsonWriter json;
  json.begin_object();
  json.field("live_bytes", space.live_bytes);
  json.field("payload_bytes", space.payload_bytes);
  json.field("payload_ratio", ratio(space.payload_bytes, space.live_bytes));
  json.field("segment_bytes", space.segment_bytes);
  json.field("capacity_bytes", space.capacity_bytes);
  json.field("free_bytes", space.free_bytes);
  json.field("silent_drives", space.silent_drives);
  json.field("threshold_permille", space.threshold_permille);
  add_packs(&json, "open", space.open);
  add_packs(&json, "closed", space.closed);
  add_packs(&json, "dead", space.dead);
  add_packs(&json, "wasteful", space.wasteful);
  json.begin_object("written");
  json.field("client_bytes", space.metadata.client_bytes());
  json.field("repacked_bytes", space.metadata.repacked_bytes());
  json.field("payload_bytes", space.payload_bytes_written);
  json.field("cleaned_bytes", space.cleaned_bytes);
  json.field("device_bytes", space.device_bytes_written);
  json.field("amplification", ratio(space.device_bytes_written, space.metadata.client_bytes()));
  json.end_object();
  json.begin_array("tasks");
  for (const proto::WorkerReport& worker : space.metadata.workers())
    for (const proto::TaskReport& task : worker.tasks()) add_task(&json, worker.worker(), task);
  json.end_array();
  json.end_object();
  return json.text() + "\n";
}

std::string pack_line(const char* name, const PackCount& count) {
  return std::string(name) + std::to_string(count.packs) + " packs, " +
         format_size(count.live_bytes) + " live of " + format_size(count.raw_bytes) + " raw\n";
}

std::string to_text(const proto::TaskReport& task) {
  std::string text = task.task() + ": " + task.state() + ", " + std::to_string(task.passes()) +
                     " passes, " + format_size(task.moved_bytes()) + " moved, " +
                     format_size(task.emptied_bytes()) + " emptied, at most " +
                     format_size(task.limit_bytes_per_second()) + "/s\n";
  if (task.last_pass_ms() > 0) {
    text += "          last pass: " + format_size(task.last_pass_bytes()) + " at " +
            format_size(task.last_pass_bytes() * 1000 / task.last_pass_ms()) + "/s\n";
  }
  if (task.unreadable_extents() > 0)
    text += "          " + std::to_string(task.unreadable_extents()) +
            " extents could not be read and were left alone\n";
  if (!task.last_error().empty()) text += "          last error: " + task.last_error() + "\n";
  return text;
}

std::string to_text(const Space& space) {
  std::string text = "data      " + format_size(space.live_bytes) + " live, " +
                     format_size(space.payload_bytes) + " on the drives (" +
                     decimal(ratio(space.payload_bytes, space.live_bytes)) + "x), in " +
                     format_size(space.segment_bytes) + " of segments\n";
  text += "pool      " + format_size(space.free_bytes) + " free of " +
          format_size(space.capacity_bytes) + "\n";
  text += pack_line("open      ", space.open) + pack_line("closed    ", space.closed) +
          pack_line("dead      ", space.dead);
  text += pack_line("wasteful  ", space.wasteful) + "          over " +
          decimal(static_cast<double>(space.threshold_permille) / 1000) +
          " times what full rows take\n";
  text += "written   " + format_size(space.metadata.client_bytes()) + " of data by clients, " +
          format_size(space.metadata.repacked_bytes()) + " repacked, " +
          format_size(space.cleaned_bytes) + " cleaned, " +
          format_size(space.device_bytes_written) + " to the drives (" +
          decimal(ratio(space.device_bytes_written, space.metadata.client_bytes())) +
          "x), since the daemons' start\n";
  for (const proto::WorkerReport& worker : space.metadata.workers()) {
    for (const proto::TaskReport& task : worker.tasks())
      text += worker.worker() + "  " + to_text(task);
  }
  if (space.silent_drives > 0)
    text += std::to_string(space.silent_drives) + " drives did not answer and are not counted\n";
  return text;
}

}  // namespace

Task<int> run_space(AdminCluster* cluster, std::vector<std::string> words, AdminOutput* output) {
  bool json = false;
  Config config("shoal space",
                "Shows what the pool's data takes on the drives, what is wasted, and what the "
                "background work on it does.");
  config.add("json", &json, "as one JSON object");
  int exit_status = kExitOk;
  if (!parse_admin_words(&config, words, output, &exit_status)) co_return exit_status;
  const auto map = co_await fetch_cluster_map(cluster);
  if (!map.ok()) co_return admin_fail(output, map.status());
  client::SurveySource source;
  source.map = &*map;
  source.query = [cluster](proto::Query query) { return admin_query(cluster, std::move(query)); };
  source.storage_of = cluster->storage_of;
  const auto survey = co_await client::survey_pool(&source);
  if (!survey.ok()) co_return admin_fail(output, survey.status());
  proto::Query query;
  query.mutable_get_status();
  auto status = co_await admin_query(cluster, std::move(query));
  if (!status.ok()) co_return admin_fail(output, status.status());
  const Space space = add_up(*survey, std::move(*status->mutable_metadata_status()));
  output->out(json ? to_json(space) : to_text(space));
  co_return kExitOk;
}

}  // namespace shoal::tools
