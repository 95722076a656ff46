// Every crash point of small workloads, and that the harness notices a device that lies.
#include <gtest/gtest.h>

#include <cstdlib>
#include <sstream>

#include "base/log.h"
#include "tests/crash/scenarios.h"

// A killed process is left as it is (tests/sim/simulator.h): that is no leak of the program's.
extern "C" const char* __asan_default_options() { return "detect_leaks=0"; }

namespace shoal::crash {
namespace {

// More seeds and every moment: SHOAL_CRASH_SEEDS=100 crash_points_test.
std::uint64_t seed_count(std::uint64_t usual) {
  const char* const wanted = std::getenv("SHOAL_CRASH_SEEDS");
  return wanted == nullptr ? usual : std::strtoull(wanted, nullptr, 10);
}
std::uint64_t stride(std::uint64_t usual) {
  return std::getenv("SHOAL_CRASH_SEEDS") == nullptr ? usual : 1;
}

class CrashPoints : public testing::Test {
 protected:
  // What recovery has to say is not wanted a thousand times.
  static void SetUpTestSuite() {
    if (std::getenv("SHOAL_CRASH_POINT") != nullptr) return;
    LogOptions quiet;
    quiet.file = "/dev/null";
    ASSERT_TRUE(configure_log(quiet).ok());
  }
  static void expect_kept(const MakeScenario& make, std::uint64_t seeds, std::uint64_t stride) {
    // One alone, with log and trace: SHOAL_CRASH_POINT="SEED MOMENT KIND", as a failure says them.
    if (const char* const one = std::getenv("SHOAL_CRASH_POINT")) {
      std::istringstream words(one);
      std::uint64_t seed = 0;
      std::uint64_t moment = 0;
      int kind = 0;
      words >> seed >> moment >> kind;
      ASSERT_EQ(try_crash_point(make, seed, moment, kind), "");
      return;
    }
    for (std::uint64_t seed = 1; seed <= seeds; ++seed) {
      const CrashPointReport report = try_every_crash_point(make, seed, stride);
      ASSERT_EQ(report.failure, "") << "after " << report.runs << " runs";
      ASSERT_GT(report.moments, 50U);
      std::printf("seed %llu: %llu moments, %llu runs\n", static_cast<unsigned long long>(seed),
                  static_cast<unsigned long long>(report.moments),
                  static_cast<unsigned long long>(report.runs));
    }
  }
  static void expect_found(const MakeScenario& make) {
    for (std::uint64_t seed = 1; seed <= 20; ++seed) {
      const CrashPointReport report = try_every_crash_point(make, seed, 3);
      if (report.failure.empty()) continue;
      std::printf("found: %s\n", report.failure.c_str());
      return;
    }
    FAIL() << "a device that loses what it acknowledged was not noticed";
  }
};

TEST_F(CrashPoints, ADriveKeepsItsPromises) {
  const auto make = [](std::uint64_t seed) { return make_drive_scenario(seed, {}); };
  expect_kept(make, seed_count(3), stride(3));
}

TEST_F(CrashPoints, ADriveThatIsNearlyFullKeepsItsPromises) {
  const auto make = [](std::uint64_t seed) {
    DriveScenarioOptions options;
    options.segments = 12;
    options.steps = 40;
    return make_drive_scenario(seed, options);
  };
  expect_kept(make, seed_count(2), stride(5));
}

TEST_F(CrashPoints, ADriveWithBothHeadsKeepsItsPromises) {
  const auto make = [](std::uint64_t seed) {
    DriveScenarioOptions options;
    options.segment_bytes = 512 << 10;
    options.large_bytes = 160 << 10;
    return make_drive_scenario(seed, options);
  };
  expect_kept(make, seed_count(2), stride(5));
}

TEST_F(CrashPoints, AJournalKeepsItsPromises) {
  const auto make = [](std::uint64_t seed) { return make_journal_scenario(seed, {}); };
  expect_kept(make, seed_count(10), stride(1));
}

TEST_F(CrashPoints, TheMetadataKeepsItsPromises) {
  const auto make = [](std::uint64_t seed) { return make_metadata_scenario(seed, {}); };
  expect_kept(make, seed_count(5), stride(2));
}

TEST_F(CrashPoints, CanaryADriveThatAcknowledgesBeforeTheFlushIsFound) {
  expect_found([](std::uint64_t seed) {
    DriveScenarioOptions options;
    options.lies_about_flushes = true;
    return make_drive_scenario(seed, options);
  });
}

TEST_F(CrashPoints, CanaryAJournalThatAcknowledgesBeforeTheFlushIsFound) {
  expect_found([](std::uint64_t seed) {
    JournalScenarioOptions options;
    options.lies_about_flushes = true;
    return make_journal_scenario(seed, options);
  });
}

TEST_F(CrashPoints, CanaryMetadataThatAcknowledgesBeforeTheFlushIsFound) {
  expect_found([](std::uint64_t seed) {
    MetadataScenarioOptions options;
    options.lies_about_flushes = true;
    return make_metadata_scenario(seed, options);
  });
}

}  // namespace
}  // namespace shoal::crash
