#include "base/bucket_name.h"

#include <gtest/gtest.h>

#include <string>

namespace shoal {
namespace {

TEST(BucketName, WhatS3Allows) {
  for (const std::string& name : {std::string("abc"), std::string("a-b.c-d"), std::string("1.2.3"),
                                  std::string("192.168.5.1234"), std::string(63, 'x')})
    EXPECT_TRUE(is_bucket_name(name)) << name;
}

TEST(BucketName, WhatS3Refuses) {
  for (const std::string& name :
       {std::string(), std::string("ab"), std::string(64, 'x'), std::string("Abc"),
        std::string("a_b"), std::string("-ab"), std::string("ab-"), std::string(".ab"),
        std::string("ab."), std::string("a..b"), std::string("a.-b"), std::string("a-.b"),
        std::string("192.168.5.123"), std::string("a/b"), std::string("a\0b", 3)})
    EXPECT_FALSE(is_bucket_name(name)) << name;
}

}  // namespace
}  // namespace shoal
