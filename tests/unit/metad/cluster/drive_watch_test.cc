#include "metad/cluster/drive_watch.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <optional>
#include <set>

namespace shoal::metad {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;
using Drives = std::set<std::uint32_t>;

// Eight drives in groups of 4+2, a look each second.
struct DriveWatchTest : testing::Test {
  DriveWatchTest() {
    map.epoch = 1;
    for (std::uint32_t i = 1; i <= 8; ++i) {
      DriveInfo drive;
      drive.id = DriveId(i);
      map.drives.push_back(drive);
    }
    for (std::uint32_t g = 0; g < 8; ++g) {
      PlacementGroup group;
      group.id = PgId(g + 1);
      group.code = {4, 2};
      for (std::uint32_t c = 0; c < 6; ++c) group.drives.push_back(DriveId((g + c) % 8 + 1));
      map.groups.push_back(group);
    }
  }

  // One look in which `silent` do not answer, which takes `takes`. What it changes is in the map
  // afterwards.
  void look(const Drives& silent, Duration takes = milliseconds(1)) {
    now += seconds(1);
    watch->begin_look(map, now);
    for (const DriveInfo& drive : map.drives) {
      if (silent.contains(drive.id.value()))
        watch->unwell(drive.id, "no answer");
      else
        watch->well(drive.id, now + milliseconds(1));
    }
    now += takes;
    for (const auto& change : watch->end_look(map, now)) {
      for (DriveInfo& drive : map.drives)
        if (drive.id == change.drive) drive.state = change.to;
      last_trouble = change.trouble;
    }
  }
  void looks(int count, const Drives& silent, Duration takes = milliseconds(1)) {
    for (int i = 0; i < count; ++i) look(silent, takes);
  }
  Drives in_state(DriveState state) const {
    Drives found;
    for (const DriveInfo& drive : map.drives)
      if (drive.state == state) found.insert(drive.id.value());
    return found;
  }

  ClusterMap map;
  std::optional<DriveWatch> watch{MonitorOptions{seconds(10), seconds(60)}};
  MonotonicTime now{seconds(1000)};
  std::string last_trouble;
};

TEST_F(DriveWatchTest, ASilentDriveIsDownAfterAWhileAndBackAtItsFirstAnswer) {
  looks(3, {});
  looks(9, {3});
  EXPECT_EQ(in_state(DriveState::kDown), Drives{});
  looks(2, {3});
  EXPECT_EQ(in_state(DriveState::kDown), Drives{3});
  EXPECT_EQ(last_trouble, "no answer");
  looks(5, {3});
  look({});
  EXPECT_EQ(in_state(DriveState::kUp).size(), 8U);
}

TEST_F(DriveWatchTest, ADriveThatIsDownForLongIsOut) {
  looks(3, {});
  looks(11, {3, 4});
  EXPECT_EQ(in_state(DriveState::kDown), (Drives{3, 4}));
  looks(58, {3, 4});
  EXPECT_EQ(in_state(DriveState::kOut), Drives{});
  looks(3, {3, 4});
  EXPECT_EQ(in_state(DriveState::kOut), (Drives{3, 4}));
  look({});
  EXPECT_EQ(in_state(DriveState::kOut), (Drives{3, 4})) << "people say when it is back";
}

TEST_F(DriveWatchTest, NeverGivesUpMoreThanTheCodeBears) {
  looks(3, {});
  looks(200, {2, 3, 4});
  EXPECT_EQ(in_state(DriveState::kDown), (Drives{2, 3, 4}));
  // One is back: the other two may be given up.
  looks(2, {3, 4});
  EXPECT_EQ(in_state(DriveState::kOut), (Drives{3, 4}));
  // And they are still missed as long as groups hold them.
  looks(200, {3, 4, 5});
  EXPECT_EQ(in_state(DriveState::kOut), (Drives{3, 4}));
  EXPECT_EQ(in_state(DriveState::kDown), Drives{5});
  for (PlacementGroup& group : map.groups) {
    for (DriveId& drive : group.drives)
      if (drive == DriveId(3) || drive == DriveId(4)) drive = DriveId(1);
  }
  look({3, 4, 5});
  EXPECT_EQ(in_state(DriveState::kOut), (Drives{3, 4, 5}));
}

TEST_F(DriveWatchTest, OneThatIsFoundDownInTheSameLookCounts) {
  looks(3, {});
  looks(60, {3, 4});
  looks(9, {3, 4, 1});
  EXPECT_EQ(in_state(DriveState::kDown), (Drives{3, 4}));
  look({3, 4, 1});  // the time of the two is over when the third is down
  EXPECT_EQ(in_state(DriveState::kDown), (Drives{1, 3, 4}));
  look({3, 4});
  EXPECT_EQ(in_state(DriveState::kOut), (Drives{3, 4}));
}

TEST_F(DriveWatchTest, OneThatKeepsALookWaitingDoesNotMakeTheOthersLookSilent) {
  watch.emplace(MonitorOptions{seconds(1), seconds(60)});
  looks(5, {3}, seconds(3));
  EXPECT_EQ(in_state(DriveState::kDown), Drives{3});
  EXPECT_EQ(in_state(DriveState::kUp).size(), 7U);
}

TEST_F(DriveWatchTest, APauseOfTheOneWhoLooksIsNoFaultOfTheDrives) {
  looks(3, {});
  // Stopped in the middle of a look, for an hour: every answer came too late.
  look({1, 2, 3, 4, 5, 6, 7, 8}, std::chrono::hours(1));
  EXPECT_EQ(in_state(DriveState::kUp).size(), 8U);
  look({});
  EXPECT_EQ(in_state(DriveState::kUp).size(), 8U);
  // But who stays silent is down.
  looks(12, {1, 2, 3, 4, 5, 6, 7, 8});
  EXPECT_EQ(in_state(DriveState::kDown).size(), 8U);
  EXPECT_EQ(in_state(DriveState::kOut).size(), 0U);
  look({});
  EXPECT_EQ(in_state(DriveState::kUp).size(), 8U);
}

TEST_F(DriveWatchTest, AfterARestartADownDriveGetsItsTimeAgain) {
  map.drives[2].state = DriveState::kDown;
  looks(59, {3});
  EXPECT_EQ(in_state(DriveState::kDown), Drives{3});
  looks(3, {3});
  EXPECT_EQ(in_state(DriveState::kOut), Drives{3});
}

TEST_F(DriveWatchTest, WithoutATimeToGiveUpNoneIsGivenUp) {
  watch.emplace(MonitorOptions{seconds(10), seconds(0)});
  looks(1000, {3});
  EXPECT_EQ(in_state(DriveState::kDown), Drives{3});
}

TEST_F(DriveWatchTest, ADriveThatJoinsDuringALookIsJudgedInTheNext) {
  look({});
  watch->begin_look(map, now);
  DriveInfo joined;
  joined.id = DriveId(9);
  map.drives.push_back(joined);
  for (const auto& change : watch->end_look(map, now)) EXPECT_NE(change.drive, DriveId(9));
}

}  // namespace
}  // namespace shoal::metad
