// What is tried at every crash point. Each scenario's file says what it does.
#pragma once

#include "tests/crash/scenario.h"

namespace shoal::crash {

struct DriveScenarioOptions {
  std::uint64_t segment_bytes = 64 << 10;
  std::uint64_t segments = 40;
  std::uint32_t large_bytes = 12'000;
  int steps = 24;
  bool lies_about_flushes = false;  // a canary
};
std::unique_ptr<Scenario> make_drive_scenario(std::uint64_t seed, DriveScenarioOptions options);

struct JournalScenarioOptions {
  std::uint64_t segment_bytes = 32 << 10;
  int batches = 30;
  bool lies_about_flushes = false;
};
std::unique_ptr<Scenario> make_journal_scenario(std::uint64_t seed, JournalScenarioOptions options);

struct MetadataScenarioOptions {
  std::uint64_t journal_segment_bytes = 32 << 10;
  std::uint64_t checkpoint_after_bytes = 24 << 10;
  int steps = 30;
  bool lies_about_flushes = false;
};
std::unique_ptr<Scenario> make_metadata_scenario(std::uint64_t seed,
                                                 MetadataScenarioOptions options);

}  // namespace shoal::crash
