#include "metad/state/change_notes.h"

#include <gtest/gtest.h>

#include <map>

#include "metad/state/record_key.h"

namespace shoal::metad {
namespace {

std::map<std::string, int> take_all(ChangeNotes* notes) {
  std::map<std::string, int> taken;
  for (std::string key; notes->take(&key);) ++taken[key];
  return taken;
}

TEST(ChangeNotesTest, WhatWasNotedIsTakenOnceAndForgotten) {
  ChangeNotes notes;
  EXPECT_TRUE(notes.empty());
  for (int round = 0; round < 3; ++round) {
    notes.note_inode(7);
    notes.note(number_key(kInodeLetter, 8));
    notes.note(number_key(kPackLetter, 1));
    notes.note("g");
    notes.note(number_key(kEntryLetter, 1) + "name" + std::to_string(round));
  }
  EXPECT_EQ(notes.size(), 7U);
  EXPECT_GT(notes.bytes(), 0U);
  const auto taken = take_all(&notes);
  EXPECT_EQ(taken.size(), 7U);
  for (const auto& [key, count] : taken) EXPECT_EQ(count, 1) << key;
  EXPECT_TRUE(notes.empty());
}

TEST(ChangeNotesTest, WhatIsNotedWhileOthersAreTakenIsTakenToo) {
  ChangeNotes notes;
  for (std::uint64_t id = 1; id <= 1000; ++id) {
    notes.note_inode(id);
    notes.note(number_key(kEntryLetter, id) + std::string(300, 'x'));
  }
  std::map<std::string, int> taken;
  std::string key;
  for (int i = 0; i < 1500; ++i) {
    ASSERT_TRUE(notes.take(&key));
    ++taken[key];
    if (i % 100 == 0) notes.note(key);  // it changes again
  }
  for (const auto& [again, count] : take_all(&notes)) taken[again] += count;
  EXPECT_EQ(taken.size(), 2000U);
  int twice = 0;
  for (const auto& [each, count] : taken) twice += count - 1;
  EXPECT_EQ(twice, 15);
}

TEST(ChangeNotesTest, ClearForgetsEverything) {
  ChangeNotes notes;
  notes.note_inode(1);
  notes.note("m");
  notes.note(number_key(kEntryLetter, 1) + "n");
  notes.clear();
  std::string key;
  EXPECT_FALSE(notes.take(&key));
}

}  // namespace
}  // namespace shoal::metad
