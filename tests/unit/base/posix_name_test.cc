// Every key component has a POSIX name that stands for it alone.
#include "base/posix_name.h"

#include <gtest/gtest.h>

#include <map>
#include <tuple>

#include "base/random.h"

namespace shoal {
namespace {

std::string view_of(std::string_view raw, bool is_directory = false, bool shadowed = false) {
  return to_posix_name(raw, is_directory, shadowed);
}

// That the view is a name that a POSIX program can use, and reads back as the entry.
void expect_round_trip(const std::string& raw, bool is_directory, bool shadowed) {
  SCOPED_TRACE(testing::PrintToString(raw) + (is_directory ? " directory" : " file") +
               (shadowed ? " shadowed" : ""));
  const std::string view = to_posix_name(raw, is_directory, shadowed);
  ASSERT_FALSE(view.empty());
  ASSERT_NE(view, ".");
  ASSERT_NE(view, "..");
  ASSERT_LE(view.size(), kMaxPosixName);
  ASSERT_EQ(view.find('/'), std::string::npos);
  ASSERT_EQ(view.find('\0'), std::string::npos);
  const auto back = from_posix_name(view);
  ASSERT_TRUE(back.ok()) << view << ": " << back.status().to_string();
  if (back->is_long) {
    // Found again by search: the prefix is true and the view of the candidate is the same.
    ASSERT_TRUE(raw.starts_with(back->raw)) << view;
    return;
  }
  ASSERT_EQ(back->raw, raw) << view;
  ASSERT_EQ(back->shadowed_file, shadowed) << view;
}

TEST(PosixName, OrdinaryNamesAreThemselves) {
  for (const std::string_view name : {"a", "...", ".hidden", "photo 1.jpg", "100%", "%41", ".shoal",
                                      ".shoal.", "caf\xc3\xa9", "\xff\xfe", "a\nb", "~", "*"}) {
    EXPECT_EQ(view_of(name), name);
    EXPECT_EQ(view_of(name, true), name);
    const auto back = from_posix_name(name);
    ASSERT_TRUE(back.ok()) << name;
    EXPECT_EQ(back->raw, name);
    EXPECT_FALSE(back->shadowed_file || back->is_long);
  }
}

// The table at the head of posix_name.h.
TEST(PosixName, TheTableOfEscapes) {
  const std::string nul("a\0%b", 4);
  EXPECT_EQ(view_of(""), ".shoal~e");
  EXPECT_EQ(view_of("."), ".shoal~d1");
  EXPECT_EQ(view_of(".."), ".shoal~d2");
  EXPECT_EQ(view_of("x", false, true), ".shoal~f~x");
  EXPECT_EQ(view_of(".shoal~x"), ".shoal~q~.shoal~x");
  EXPECT_EQ(view_of(nul), ".shoal~z~a%00%25b");
  EXPECT_EQ(view_of("", false, true), ".shoal~s~");
  EXPECT_EQ(view_of(".", false, true), ".shoal~s~.");
  EXPECT_EQ(view_of("..", false, true), ".shoal~s~..");
  EXPECT_EQ(view_of(nul, false, true), ".shoal~s~a%00%25b");
}

TEST(PosixName, OddComponentsComeBack) {
  using namespace std::string_literals;
  const std::vector<std::string> odd{"",
                                     ".",
                                     "..",
                                     "...",
                                     ".shoal~",
                                     ".shoal~e",
                                     ".shoal~d1",
                                     ".shoal~q~",
                                     ".shoal~q~.shoal~x",
                                     ".shoal~f~a",
                                     ".shoal~s~",
                                     ".shoal~z~%00",
                                     ".shoal~l~x~",
                                     ".Shoal~e",
                                     "\0"s,
                                     "\0\0"s,
                                     "a\0"s,
                                     "%\0"s,
                                     "%00\0"s,
                                     "%2525",
                                     "\xff",
                                     "\xc3",
                                     "\x80\x80",
                                     "a\xff\0b"s,
                                     "\r\n",
                                     "a%00b",
                                     ".\0"s};
  for (const std::string& raw : odd) {
    expect_round_trip(raw, true, false);
    expect_round_trip(raw, false, false);
    expect_round_trip(raw, false, true);
  }
}

TEST(PosixName, LengthsAroundTheLimit) {
  using namespace std::string_literals;
  for (std::size_t size = 235; size <= 300; ++size) {
    for (const std::string& unit : {"x"s, "\0"s, "%"s, "\xc3\xa9"s, "\xf0\x9f\x90\x9f"s, "\x80"s}) {
      std::string raw;
      while (raw.size() < size) raw += unit;
      raw.resize(size);
      expect_round_trip(raw, true, false);
      expect_round_trip(raw, false, false);
      expect_round_trip(raw, false, true);
      expect_round_trip(".shoal~" + raw, false, false);
    }
  }
  expect_round_trip(std::string(1024, '\0'), false, false);
  expect_round_trip(std::string(1024, '\xbf'), false, false);
  EXPECT_EQ(view_of(std::string(255, 'x')), std::string(255, 'x'));
  EXPECT_TRUE(view_of(std::string(256, 'x')).starts_with(".shoal~l~xxx"));
  EXPECT_TRUE(view_of(std::string(247, 'x'), false, true).starts_with(".shoal~l~xxx"));
}

TEST(PosixName, ALongNameIsCutBetweenCharacters) {
  std::string raw = "a";  // so that 128 bytes end inside a character
  for (int i = 0; i < 128; ++i) raw += "\xc3\xa9";
  const auto back = from_posix_name(view_of(raw));
  ASSERT_TRUE(back.ok());
  EXPECT_TRUE(back->is_long);
  EXPECT_EQ(back->raw, raw.substr(0, 127));
}

// Never change these: programs and indexes keep names.
TEST(PosixName, GoldenLongNames) {
  const std::string raw(256, 'x');
  EXPECT_EQ(view_of(raw, false),
            ".shoal~l~" + std::string(128, 'x') + "~947e76858cac6cccc53db852c4e28d27");
  EXPECT_EQ(view_of(raw, true),
            ".shoal~l~" + std::string(128, 'x') + "~5d9f0b61cf0a5a940cad145f89de4148");
}

TEST(PosixName, NoTwoEntriesShareAName) {
  const std::vector<std::string> parts{
      "",   ".",  "..", "a",  "%",  "%00", std::string(1, '\0'),  "~",   ".shoal~", "e",
      "d1", "f~", "q~", "s~", "z~", "l~",  std::string(120, 'y'), "\xff"};
  SeededRandom random(5);
  std::map<std::string, std::tuple<std::string, bool, bool>> owners;
  for (int i = 0; i < 20'000; ++i) {
    std::string raw;
    for (std::uint64_t n = random.below(5); n > 0; --n) raw += parts[random.below(parts.size())];
    const bool is_directory = random.below(2) == 0;
    const bool shadowed = !is_directory && random.below(2) == 0;
    ASSERT_NO_FATAL_FAILURE(expect_round_trip(raw, is_directory, shadowed));
    const auto entry = std::tuple(raw, is_directory, shadowed);
    const auto [owner, first] = owners.emplace(to_posix_name(raw, is_directory, shadowed), entry);
    if (first) continue;
    // Of one raw name there is a directory and no file, or a file, or both and the file shadowed:
    // a long view needs not tell an only file from a shadowed one.
    ASSERT_EQ(std::get<0>(owner->second), raw) << owner->first;
  }
}

TEST(PosixName, AShadowedFileAndItsDirectoryDiffer) {
  for (const std::string& raw : {std::string("a"), std::string(), std::string("."),
                                 std::string(300, 'b'), std::string("\0", 1)}) {
    EXPECT_NE(view_of(raw, true), view_of(raw, false, true)) << raw;
  }
}

TEST(PosixName, WhatNoFileCanBeCalledIsRefused) {
  using namespace std::string_literals;
  for (const std::string& name : {""s, "."s, ".."s, "a/b"s, "/"s, "a\0b"s, "\0"s})
    EXPECT_EQ(from_posix_name(name).status().code(), StatusCode::kInvalidArgument) << name;
  EXPECT_EQ(from_posix_name(std::string(256, 'x')).status().code(), StatusCode::kNameTooLong);
  EXPECT_TRUE(from_posix_name(std::string(255, 'x')).ok());
}

TEST(PosixName, WhatLooksLikeAnEscapeAndIsNoneIsRefused) {
  for (const std::string_view name :
       {".shoal~",      ".shoal~x",        ".shoal~e1",
        ".shoal~d",     ".shoal~d3",       ".shoal~f",
        ".shoal~f~",    ".shoal~q~",       ".shoal~q~plain",
        ".shoal~z~",    ".shoal~z~plain",  ".shoal~z~%0",
        ".shoal~z~%zz", ".shoal~z~%41%00", ".shoal~z~a%2fb%00",
        ".shoal~z~%",   ".shoal~s~%41",    ".shoal~s~%2F",
        ".shoal~l~",    ".shoal~l~x~0123", ".shoal~l~x0123456789abcdef0123456789abcdef",
        ".shoal~E",     ".shoal~x~a"}) {
    EXPECT_EQ(from_posix_name(name).status().code(), StatusCode::kInvalidArgument) << name;
  }
}

// One entry, one name: a second spelling of an escape would be an alias of another entry's name.
TEST(PosixName, AnEscapeThatIsNotTheNamesOwnIsRefused) {
  for (const std::string_view name :
       {".shoal~s~plain", ".shoal~s~.shoal~x", ".shoal~f~.", ".shoal~f~..", ".shoal~s~%25"}) {
    const auto back = from_posix_name(name);
    if (!back.ok()) continue;
    EXPECT_EQ(to_posix_name(back->raw, false, back->shadowed_file), name);
  }
}

}  // namespace
}  // namespace shoal
