#include "tools/drive_health.h"

#include <ctime>

#include "base/config.h"

namespace shoal::tools {
namespace {

const char* name_of(ScrubState state) {
  switch (state) {
    case ScrubState::kOff: return "off";
    case ScrubState::kWaiting: return "waiting";
    case ScrubState::kRunning: return "running";
  }
  return "unknown";
}

}  // namespace

std::string local_time(WallTimeNs ns) {
  const std::time_t at = ns / 1'000'000'000;
  char when[32];
  std::tm broken{};
  std::strftime(when, sizeof when, "%Y-%m-%d %H:%M:%S", localtime_r(&at, &broken));
  return when;
}

void add_health(JsonWriter* json, const DriveStatus& drive) {
  json->field("damaged_fragments", drive.damaged_fragments);
  json->field("damaged_unlisted", drive.damaged_unlisted);
  json->field("damaged_segments", drive.damaged_segments);
  json->begin_object("scrub");
  json->field("state", name_of(drive.scrub.state));
  json->field("bytes_done", drive.scrub.bytes_done);
  json->field("bytes_total", drive.scrub.bytes_total);
  json->field("bytes_per_second", drive.scrub.bytes_per_second);
  json->field("passes", drive.scrub.passes);
  json->field("last_finished_ns", static_cast<std::uint64_t>(drive.scrub.last_finished_ns));
  json->end_object();
}

std::string health_text(const DriveStatus& drive) {
  const ScrubStatus& scrub = drive.scrub;
  std::string text = "scrub ";
  if (scrub.state == ScrubState::kRunning) {
    const std::uint64_t percent =
        scrub.bytes_total == 0 ? 0 : scrub.bytes_done * 100 / scrub.bytes_total;
    text += std::to_string(percent) + " % of " + format_size(scrub.bytes_total) + " at " +
            format_size(scrub.bytes_per_second) + "/s";
  } else {
    text += name_of(scrub.state);
    text += scrub.last_finished_ns == 0 ? ", never finished"
                                        : ", last finished " + local_time(scrub.last_finished_ns);
  }
  if (drive.damaged_fragments + drive.damaged_unlisted > 0)
    text += ", " + std::to_string(drive.damaged_fragments + drive.damaged_unlisted) +
            " damaged fragments";
  if (drive.damaged_segments > 0)
    text += ", " + std::to_string(drive.damaged_segments) + " damaged segments";
  return text;
}

}  // namespace shoal::tools
