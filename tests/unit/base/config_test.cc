#include "base/config.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "tests/support/temp_directory.h"

namespace shoal {
namespace {

// Sets an environment variable as long as it lives.
class Environment {
 public:
  Environment(std::string name, const std::string& value) : name_(std::move(name)) {
    setenv(name_.c_str(), value.c_str(), 1);
  }
  ~Environment() { unsetenv(name_.c_str()); }
  Environment(const Environment&) = delete;
  Environment& operator=(const Environment&) = delete;

 private:
  std::string name_;
};

class ConfigTest : public testing::Test {
 protected:
  ConfigTest() {
    config_.add("address", &address_, "where to listen");
    config_.add("threads", &threads_, "how many");
    config_.add("ratio", &ratio_, "how much");
    config_.add("read-only", &read_only_, "whether");
    config_.add_size("segment_size", &segment_bytes_, "how large");
    config_.add_list("drive", &drives_, "again and again");
  }
  std::string file(const std::string& text) {
    const std::string path = directory_.path() + "/shoal.conf";
    std::ofstream(path) << text;
    return path;
  }
  void expect_refused(const Status& status, const std::string& what) {
    EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
    EXPECT_NE(status.message().find(what), std::string::npos) << status.message();
  }

  test::TempDirectory directory_;
  std::string address_ = "localhost:9000";
  std::uint64_t threads_ = 2;
  double ratio_ = 0.5;
  bool read_only_ = false;
  std::uint64_t segment_bytes_ = 64 << 20;
  std::vector<std::string> drives_;
  Config config_{"shoal-test", "Tests."};
};

TEST_F(ConfigTest, FlagsInBothFormsSetEveryKind) {
  ASSERT_TRUE(config_
                  .load_flags({"--address", ":80", "--threads=7", "--ratio", "1.25", "--read-only",
                               "--segment-size", "1GiB", "--drive=/a", "--drive", "/b=c"})
                  .ok());
  EXPECT_EQ(address_, ":80");
  EXPECT_EQ(threads_, 7U);
  EXPECT_EQ(ratio_, 1.25);
  EXPECT_TRUE(read_only_);
  EXPECT_EQ(segment_bytes_, 1ULL << 30);
  EXPECT_EQ(drives_, (std::vector<std::string>{"/a", "/b=c"}));
}

TEST_F(ConfigTest, AFileHasCommentsSpacesAndBothSpellings) {
  const Status loaded =
      config_.load_file(file("# comment\n"
                             "\n"
                             "  address =  host:1 \r\n"
                             "segment-size = 4KiB\n"
                             "read_only=true\n"
                             "   # another\n"
                             "drive = /a = b\n"
                             "drive = /c"));
  ASSERT_TRUE(loaded.ok()) << loaded.to_string();
  EXPECT_EQ(address_, "host:1");
  EXPECT_EQ(segment_bytes_, 4096U);
  EXPECT_TRUE(read_only_);
  EXPECT_EQ(drives_, (std::vector<std::string>{"/a = b", "/c"}));
}

TEST_F(ConfigTest, FlagsWinOverTheEnvironmentAndThatOverTheFile) {
  const std::string path = file("address = file\nthreads = 3\nratio = 3\nsegment-size = 3\n");
  const Environment address("SHOAL_ADDRESS", "environment");
  const Environment threads("SHOAL_THREADS", "4");
  const Environment size("SHOAL_SEGMENT_SIZE", "4");
  ASSERT_TRUE(config_.load({"--threads", "5", "--config", path}).ok());
  EXPECT_EQ(address_, "environment");
  EXPECT_EQ(threads_, 5U);
  EXPECT_EQ(ratio_, 3);
  EXPECT_EQ(segment_bytes_, 4U);
  ASSERT_TRUE(config_.load({"--config=" + path}).ok());
  EXPECT_EQ(threads_, 4U);
}

TEST_F(ConfigTest, AnUnknownNameGetsTheNearestOne) {
  expect_refused(config_.load_flags({"--adress", "x"}),
                 "--adress is not known; did you mean "
                 "--address?");
  expect_refused(config_.load_flags({"--segmentsize=1"}), "--segment-size?");
  expect_refused(config_.load_file(file("\nthreds = 1\n")),
                 "line 2: key threds is not known; did "
                 "you mean --threads?");
  const Status far = config_.load_flags({"--zzzzzzzz"});
  expect_refused(far, "--zzzzzzzz is not known");
  EXPECT_EQ(far.message().find("did you mean"), std::string::npos);
}

TEST_F(ConfigTest, AWrongValueNamesWhereItStandsAndWhatIsAllowed) {
  expect_refused(config_.load_flags({"--threads", "-1"}), "--threads: '-1' is not a whole number");
  expect_refused(config_.load_flags({"--threads", ""}), "whole number");
  expect_refused(config_.load_flags({"--threads", "18446744073709551616"}), "whole number");
  expect_refused(config_.load_flags({"--ratio", "half"}), "not a number");
  expect_refused(config_.load_flags({"--read-only=yes"}), "true or false");
  expect_refused(config_.load_flags({"--segment-size", "4 KiB"}), "not a size");
  expect_refused(config_.load_file(file("address = a\nread-only = 1\n")), "line 2");
  expect_refused(config_.load_file(file("address\n")), "line 1: expected key = value");
  const Environment ratio("SHOAL_RATIO", "x");
  expect_refused(config_.load_environment(), "SHOAL_RATIO");
}

// What was refused leaves the default.
TEST_F(ConfigTest, ARefusedValueChangesNothing) {
  EXPECT_FALSE(config_.load_flags({"--threads", "12x"}).ok());
  EXPECT_EQ(threads_, 2U);
  EXPECT_FALSE(config_.load_flags({"--ratio", "1.5x"}).ok());
  EXPECT_EQ(ratio_, 0.5);
}

TEST_F(ConfigTest, MissingThingsAreSaid) {
  expect_refused(config_.load_flags({"--address"}), "--address needs a value");
  expect_refused(config_.load_flags({"--config"}), "--config needs a file");
  expect_refused(config_.load_flags({"word"}), "'word' is not expected here");
  EXPECT_EQ(config_.load({"--config", directory_.path() + "/none"}).code(), StatusCode::kNotFound);
}

TEST_F(ConfigTest, WordsAreCollectedOnlyWhereTheyAreDeclared) {
  std::vector<std::string> words;
  config_.add_words("FILE...", &words, "what to work on");
  ASSERT_TRUE(config_.load_flags({"a", "--threads", "9", "b", "-x"}).ok());
  EXPECT_EQ(words, (std::vector<std::string>{"a", "b", "-x"}));
  EXPECT_EQ(threads_, 9U);
  EXPECT_NE(config_.help().find("FILE..."), std::string::npos);
}

TEST_F(ConfigTest, HelpNamesEveryOptionAndItsDefault) {
  ASSERT_TRUE(config_.load_flags({"--help", "--nonsense"}).ok());
  EXPECT_TRUE(config_.wants_help());
  const std::string help = config_.help();
  for (const char* part : {"Usage: shoal-test", "Tests.", "--address VALUE", "localhost:9000",
                           "--segment-size VALUE", "64.0 MiB", "--read-only ", "--config FILE"})
    EXPECT_NE(help.find(part), std::string::npos) << part;
}

TEST(Sizes, UnitsArePowersOfTwo) {
  const std::pair<std::string_view, std::uint64_t> sizes[] = {{"0", 0},
                                                              {"4096", 4096},
                                                              {"512B", 512},
                                                              {"4K", 4096},
                                                              {"4KiB", 4096},
                                                              {"64MiB", 64 << 20},
                                                              {"64M", 64 << 20},
                                                              {"1GiB", 1 << 30},
                                                              {"2T", 2ULL << 40},
                                                              {"16777215TiB", 16'777'215ULL << 40},
                                                              {"18446744073709551615", UINT64_MAX}};
  for (const auto& [text, bytes] : sizes) {
    const auto parsed = parse_size(text);
    ASSERT_TRUE(parsed.ok()) << text;
    EXPECT_EQ(*parsed, bytes) << text;
  }
}

TEST(Sizes, WhatIsNoSizeIsRefused) {
  for (const std::string_view text :
       {"", "KiB", "B", "-1", "+1", "1.5GiB", "4kib", "4 KiB", "4KiBs", "0x10", "1EiB",
        "16777216TiB", "18446744073709551616", "18446744073709551615K", "1KK"})
    EXPECT_EQ(parse_size(text).status().code(), StatusCode::kInvalidArgument) << text;
}

TEST(Sizes, AreShownInTheLargestUnitThatFits) {
  EXPECT_EQ(format_size(0), "0 B");
  EXPECT_EQ(format_size(1023), "1023 B");
  EXPECT_EQ(format_size(1024), "1.0 KiB");
  EXPECT_EQ(format_size(67'108'864), "64.0 MiB");
  EXPECT_EQ(format_size(1536ULL << 30), "1.5 TiB");
  EXPECT_EQ(format_size(5000ULL << 40), "5000.0 TiB");
}

TEST(NearestName, IsTheOneWithTheFewestEdits) {
  EXPECT_EQ(nearest_name("lisen", {"listen", "lesson"}), "listen");
  EXPECT_EQ(nearest_name("listen", {"listen", "listens"}), "listen");
  EXPECT_EQ(nearest_name("x", {"listen"}), "");
  EXPECT_EQ(nearest_name("x", {}), "");
}

}  // namespace
}  // namespace shoal
