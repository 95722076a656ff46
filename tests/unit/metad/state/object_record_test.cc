#include "metad/state/object_record.h"

#include <gtest/gtest.h>

namespace shoal::metad {
namespace {

constexpr std::int64_t kBirth = 1'700'000'000'123'456'789;
constexpr char kMd5[] = "d41d8cd98f00b204e9800998ecf8427e";

void expect_same(const proto::ObjectMeta& object) {
  const std::string packed = pack_object(object, kBirth);
  EXPECT_EQ(packed, pack_object(object, kBirth));
  EXPECT_TRUE(is_packed_object(packed));
  const auto back = unpack_object(packed, kBirth);
  ASSERT_TRUE(back.ok()) << back.status().to_string();
  EXPECT_EQ(back->etag(), object.etag());
  EXPECT_EQ(back->last_modified_ns(), object.last_modified_ns());
  EXPECT_EQ(back->part_count(), object.part_count());
  EXPECT_EQ(back->upload(), object.upload());
  EXPECT_EQ(pack_object(*back, kBirth), packed);  // maps and part sizes too
  EXPECT_EQ(back->headers().size(), object.headers().size());
  EXPECT_EQ(back->user().size(), object.user().size());
  EXPECT_EQ(back->checksums().size(), object.checksums().size());
}

proto::ObjectMeta full_object() {
  proto::ObjectMeta object;
  object.set_etag(std::string(kMd5) + "-12");
  object.set_last_modified_ns(kBirth + 5);
  (*object.mutable_headers())["content-type"] = "image/jpeg";
  (*object.mutable_headers())["x-odd"] = std::string("a\0\xff", 3);
  (*object.mutable_user())["mtime"] = "1700000000.5";
  (*object.mutable_checksums())["crc64nvme"] = "AAAAAAAAAAA=";
  object.set_part_count(2);
  object.add_part_sizes(5 << 20);
  object.add_part_sizes(0);
  object.set_upload("upload");
  return object;
}

TEST(ObjectRecordTest, EveryKindOfETagComesBackAsItWas) {
  const std::string md5 = kMd5;
  for (const std::string& etag :
       {std::string(), md5, md5 + "-1", md5 + "-10000", md5 + "-", md5 + "-01", md5 + "-x",
        md5 + "-18446744073709551615", md5 + "-18446744073709551616", md5 + "0",
        std::string("D41D8CD98F00B204E9800998ECF8427E"), std::string("etag"),
        std::string("\0\xff\"", 3), std::string(31, 'a'), std::string(32, 'g')}) {
    proto::ObjectMeta object;
    object.set_etag(etag);
    object.set_last_modified_ns(kBirth);
    expect_same(object);
  }
}

TEST(ObjectRecordTest, EverythingElseComesBackAsItWas) {
  expect_same(full_object());
  for (const std::int64_t modified : {std::int64_t{0}, INT64_MIN, INT64_MAX}) {
    proto::ObjectMeta object;
    object.set_last_modified_ns(modified);
    expect_same(object);
  }
}

TEST(ObjectRecordTest, AnObjectAsClientsPutItTakesFewBytes) {
  proto::ObjectMeta object;
  object.set_etag(kMd5);
  object.set_last_modified_ns(kBirth);
  (*object.mutable_headers())["content-type"] = "binary/octet-stream";
  EXPECT_LE(pack_object(object, kBirth).size(), 21U);
}

TEST(ObjectRecordTest, CutOrForeignBytesAreCorruption) {
  const std::string packed = pack_object(full_object(), kBirth);
  for (std::size_t length = 0; length < packed.size(); ++length) {
    EXPECT_FALSE(is_packed_object(packed.substr(0, length))) << length;
    EXPECT_EQ(unpack_object(packed.substr(0, length), kBirth).status().code(),
              StatusCode::kCorruption);
  }
  EXPECT_FALSE(is_packed_object(packed + "x"));
  EXPECT_FALSE(is_packed_object("\x81"));
}

}  // namespace
}  // namespace shoal::metad
