#include "base/file_io.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>

#include "tests/support/temp_directory.h"

namespace shoal {
namespace {

class FileIoTest : public testing::Test {
 protected:
  test::TempDirectory directory_;
  const std::string path_ = directory_.path() + "/file";
};

TEST_F(FileIoTest, WhatIsWrittenIsReadBack) {
  std::string text("with\0 all bytes\xff\n", 17);
  text.append(100'000, 'x');
  ASSERT_TRUE(write_file_durably(path_, text, 0600).ok());
  EXPECT_EQ(read_file(path_).value(), text);
  struct stat attributes {};
  ASSERT_EQ(stat(path_.c_str(), &attributes), 0);
  EXPECT_EQ(attributes.st_mode & 07777U, 0600U);
  ASSERT_TRUE(write_file_durably(path_, "", 0600).ok());
  EXPECT_EQ(read_file(path_).value(), "");
}

TEST_F(FileIoTest, AFileBeyondTheBoundIsRefused) {
  ASSERT_TRUE(write_file_durably(path_, std::string(100, 'x'), 0600).ok());
  EXPECT_EQ(read_file(path_, 100).value().size(), 100U);
  EXPECT_EQ(read_file(path_, 99).status().code(), StatusCode::kTooLarge);
}

TEST_F(FileIoTest, FailuresNameThePathAndLeaveTheOldText) {
  EXPECT_EQ(read_file(path_).status().code(), StatusCode::kNotFound);
  EXPECT_NE(read_file(path_).status().message().find(path_), std::string::npos);
  EXPECT_FALSE(read_file(directory_.path()).ok());
  EXPECT_EQ(write_file_durably(directory_.path() + "/none/file", "x", 0600).code(),
            StatusCode::kNotFound);
  // A directory in the way: the rename fails, nothing is left over.
  std::filesystem::create_directory(path_);
  EXPECT_FALSE(write_file_durably(path_, "x", 0600).ok());
  EXPECT_FALSE(std::filesystem::exists(path_ + ".new"));
  EXPECT_TRUE(sync_directory(directory_.path()).ok());
  EXPECT_EQ(sync_directory(directory_.path() + "/none").code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace shoal
