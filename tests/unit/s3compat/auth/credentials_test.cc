#include "s3compat/auth/credentials.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

#include "tests/support/temp_directory.h"

namespace shoal::s3compat {
namespace {

class CredentialsTest : public testing::Test {
 protected:
  Result<Credentials> load(const std::string& text) {
    std::ofstream(path_) << text;
    return load_credentials(path_);
  }

  shoal::test::TempDirectory directory_;
  const std::string path_ = directory_.path() + "/credentials";
};

TEST_F(CredentialsTest, EachProfileIsOneKey) {
  const auto loaded = load(
      "# ours\n"
      "[default]\n"
      "aws_access_key_id = AKIAONE\r\n"
      "aws_secret_access_key=one/with+odd=characters==\n"
      "\n"
      "; the other\n"
      "[profile two]\n"
      "region = us-east-1\n"
      "shoal_uid = 1000\n"
      "shoal_gid = 1001\n"
      "aws_secret_access_key = two # not a comment\n"
      "  aws_access_key_id =   AKIATWO   \n");
  ASSERT_TRUE(loaded.ok()) << loaded.status().to_string();
  ASSERT_EQ(loaded->size(), 2U);
  EXPECT_EQ(loaded->at("AKIAONE").secret_key, "one/with+odd=characters==");
  EXPECT_EQ(loaded->at("AKIAONE").uid, getuid());
  EXPECT_EQ(loaded->at("AKIAONE").gid, getgid());
  EXPECT_EQ(loaded->at("AKIATWO").secret_key, "two # not a comment");
  EXPECT_EQ(loaded->at("AKIATWO").uid, 1000U);
  EXPECT_EQ(loaded->at("AKIATWO").gid, 1001U);
}

TEST_F(CredentialsTest, AProfileDoesNotInheritFromTheOneBefore) {
  const auto loaded = load(
      "[a]\nshoal_uid = 7\naws_access_key_id = A\naws_secret_access_key = x\n"
      "[b]\naws_access_key_id = B\naws_secret_access_key = y\n"
      "[half]\naws_access_key_id = HALF\n");
  ASSERT_TRUE(loaded.ok());
  EXPECT_EQ(loaded->at("B").uid, getuid());
  EXPECT_FALSE(loaded->contains("HALF"));
}

TEST_F(CredentialsTest, AFileWithoutKeysIsRefused) {
  for (const char* text : {"", "\n\n# nothing\n", "[default]\n", "aws_access_key_id = A\n",
                           "aws_secret_access_key = x\n", "aws_access_key_id =\n"}) {
    const auto loaded = load(text);
    EXPECT_EQ(loaded.status().code(), StatusCode::kInvalidArgument) << text;
    EXPECT_NE(loaded.status().message().find(path_), std::string::npos);
  }
  EXPECT_EQ(load_credentials(path_ + ".none").status().code(), StatusCode::kNotFound);
}

TEST_F(CredentialsTest, ABadLineIsNamed) {
  const auto loaded = load("[default]\naws_access_key_id AKIA\n");
  EXPECT_EQ(loaded.status().code(), StatusCode::kInvalidArgument);
  EXPECT_NE(loaded.status().message().find("line 2"), std::string::npos);
}

// A uid that is no number must not become 0, which is root.
TEST_F(CredentialsTest, AUidThatIsNoNumberIsRefused) {
  for (const char* uid : {"alice", "", "-1", "1000x", "4294967296", "99999999999999999999"}) {
    const auto loaded = load("[a]\naws_access_key_id = A\naws_secret_access_key = x\nshoal_uid = " +
                             std::string(uid) + "\n");
    EXPECT_EQ(loaded.status().code(), StatusCode::kInvalidArgument) << uid;
  }
}

}  // namespace
}  // namespace shoal::s3compat
