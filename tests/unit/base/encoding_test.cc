#include "base/encoding.h"

#include <gtest/gtest.h>

#include "base/random.h"

namespace shoal {
namespace {

using namespace std::string_literals;

std::string every_byte() {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes.push_back(static_cast<char>(i));
  return bytes;
}

// Source: RFC 4648, section 10.
TEST(Base64, RfcVectors) {
  const std::pair<std::string_view, std::string_view> vectors[] = {{"", ""},
                                                                   {"f", "Zg=="},
                                                                   {"fo", "Zm8="},
                                                                   {"foo", "Zm9v"},
                                                                   {"foob", "Zm9vYg=="},
                                                                   {"fooba", "Zm9vYmE="},
                                                                   {"foobar", "Zm9vYmFy"}};
  for (const auto& [bytes, text] : vectors) {
    EXPECT_EQ(base64_encode(bytes), text);
    EXPECT_EQ(base64_decode(text), bytes);
  }
  EXPECT_EQ(base64_encode("\xfb\xff\xbf"), "+/+/");
}

TEST(Base64, AnyBytesComeBack) {
  SeededRandom random(64);
  EXPECT_EQ(base64_decode(base64_encode(every_byte())), every_byte());
  for (std::size_t size = 0; size < 100; ++size) {
    std::string bytes(size, '\0');
    for (char& c : bytes) c = static_cast<char>(random.below(256));
    ASSERT_EQ(base64_decode(base64_encode(bytes)), bytes);
  }
}

TEST(Base64, BadTextIsRefused) {
  for (const std::string& text :
       {"A"s, "AB"s, "ABC"s, "ABCDE"s, "===="s, "A==="s, "=AAA"s, "A=AA"s, "AA=A"s, "Zg==Zg=="s,
        "Zm8=AAAA"s, "AA A"s, "AAA\n"s, "Zg-_"s, "AAA\0"s, "AAA\xff"s, "Zm9v===="s}) {
    EXPECT_EQ(base64_decode(text), std::nullopt) << testing::PrintToString(text);
  }
}

// Source: RFC 4648, section 10 (base16; ours is lower case).
TEST(Hex, RfcVectorsInLowerCase) {
  EXPECT_EQ(hex_encode("foobar"), "666f6f626172");
  EXPECT_EQ(hex_encode(""), "");
  EXPECT_EQ(hex_encode("\x00\xff\x0a"s), "00ff0a");
  EXPECT_EQ(hex_decode("666F6f626172"), "foobar");
  EXPECT_EQ(hex_decode(hex_encode(every_byte())), every_byte());
}

TEST(Hex, BadTextIsRefused) {
  for (const std::string& text : {"0"s, "abc"s, "0g"s, "g0"s, "0x"s, " 0"s, "0:"s, "\0\0"s, "0@"s})
    EXPECT_EQ(hex_decode(text), std::nullopt) << testing::PrintToString(text);
  EXPECT_EQ(hex_decode(""), "");
}

TEST(Percent, OnlyTheUnreservedStayAsTheyAre) {
  const std::string unreserved =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
  EXPECT_EQ(percent_encode(unreserved, false), unreserved);
  EXPECT_EQ(percent_encode("a b+c/d%e*", false), "a%20b%2Bc%2Fd%25e%2A");
  EXPECT_EQ(percent_encode("a b+c/d%e*", true), "a%20b%2Bc/d%25e%2A");
  EXPECT_EQ(percent_encode("\x00\xc3\xa9"s, false), "%00%C3%A9");
  std::size_t kept = 0;
  for (const char c : every_byte()) kept += percent_encode({&c, 1}, false).size() == 1;
  EXPECT_EQ(kept, unreserved.size());
}

TEST(Percent, AnyBytesComeBack) {
  for (const bool keep_slash : {false, true}) {
    for (const bool plus : {false, true})
      EXPECT_EQ(percent_decode(percent_encode(every_byte(), keep_slash), plus), every_byte());
  }
}

TEST(Percent, APlusIsASpaceOnlyInAForm) {
  EXPECT_EQ(percent_decode("a+b%2bc", true), "a b+c");
  EXPECT_EQ(percent_decode("a+b%2Bc", false), "a+b+c");
  EXPECT_EQ(percent_decode("", true), "");
}

TEST(Percent, ABrokenEscapeIsRefused) {
  for (const std::string_view text : {"%", "a%", "%4", "a%4", "%zz", "%4z", "%z4", "%%41", "%-1"})
    EXPECT_EQ(percent_decode(text, false), std::nullopt) << text;
  EXPECT_EQ(percent_decode("%41", false), "A");
  EXPECT_EQ(percent_decode("%2541", false), "%41");  // decoded once
}

}  // namespace
}  // namespace shoal
