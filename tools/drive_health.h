// What a drive says of its own health, for people and programs: damage, and how its scrub stands.
#pragma once

#include <string>

#include "proto/storage_api.h"
#include "tools/json.h"

namespace shoal::tools {

// "2026-03-01 12:00:00" of this machine's time zone.
std::string local_time(WallTimeNs ns);

// Fields of an object that is open: damaged_fragments, damaged_unlisted, damaged_segments, scrub.
void add_health(JsonWriter* json, const DriveStatus& drive);
// "scrub 12 % of 3.0GiB at 32MiB/s, 2 damaged fragments"
std::string health_text(const DriveStatus& drive);

}  // namespace shoal::tools
