// What handlers read from a request and give back in an answer.
#include "s3compat/handlers/request.h"

#include <gtest/gtest.h>

#include "base/async/manual_executor.h"
#include "tests/unit/s3compat/requests.h"

namespace shoal::s3compat {
namespace {

using test::Headers;
using Range = client::ObjectApi::RequestedRange;

HttpRequest get_with(Headers headers, const std::string& method = "GET") {
  return test::make_request(method, "/bucket/key", std::move(headers));
}

// Remembers what it was asked for, and answers with an object of `size` bytes.
class RecordingStore final : public client::ObjectApi {
 public:
  Task<Result<client::ObjectStat>> head_object(std::string, std::string,
                                               proto::Conditions) override {
    co_return stat;
  }
  Task<Result<OpenedObject>> open_object(std::string, std::string, proto::Conditions,
                                         std::optional<RequestedRange> asked) override {
    range = asked;
    if (beyond) co_return OutOfRangeError("100");
    OpenedObject opened;
    opened.stat = stat;
    opened.range = asked ? client::ByteRange{2, 3} : client::ByteRange{0, 100};
    opened.reader = nullptr;
    co_return opened;
  }
  Task<Result<std::vector<proto::BucketInfo>>> list_buckets() override { co_return none(); }
  Task<Status> create_bucket(std::string, proto::Identity) override { co_return none(); }
  Task<Status> delete_bucket(std::string) override { co_return none(); }
  Task<Result<proto::BucketInfo>> head_bucket(std::string) override { co_return none(); }
  std::unique_ptr<client::ObjectWriter> create_writer(std::uint64_t) override { return nullptr; }
  Task<Result<std::vector<Status>>> delete_objects(std::string, std::vector<std::string>,
                                                   proto::Conditions) override {
    co_return none();
  }
  Task<Result<client::ObjectStat>> copy_object(proto::CopyObject) override { co_return none(); }
  Task<Result<proto::ListObjectsReply>> list_objects(proto::ListObjects) override {
    co_return none();
  }
  Task<Result<std::string>> create_upload(proto::CreateUpload) override { co_return none(); }
  Task<Result<proto::PartReply>> copy_part(proto::CopyPart) override { co_return none(); }
  Task<Result<client::ObjectStat>> complete_upload(proto::CompleteUpload) override {
    co_return none();
  }
  Task<Status> abort_upload(proto::AbortUpload) override { co_return none(); }
  Task<Result<proto::ListUploadsReply>> list_uploads(proto::ListUploads) override {
    co_return none();
  }
  Task<Result<proto::ListPartsReply>> list_parts(proto::ListParts) override { co_return none(); }

  client::ObjectStat stat;
  bool beyond = false;
  std::optional<RequestedRange> range;

 private:
  static Status none() { return NotSupportedError("not here"); }
};

class HandlerTest : public testing::Test {
 protected:
  HandlerTest() {
    store_.stat.attributes.set_size(100);
    store_.stat.object.set_etag("abc");
  }
  HttpResponse get(Headers headers, QueryPairs query = {}) {
    const HttpRequest http = get_with(std::move(headers));
    S3Request request;
    request.http = &http;
    request.bucket = "bucket";
    request.key = "key";
    request.query = std::move(query);
    request.store = &store_;
    return executor_.run(get_object(&request));
  }
  static std::string header(const HttpResponse& response, std::string_view name) {
    for (const auto& [key, value] : response.headers) {
      if (key == name) return value;
    }
    return "";
  }
  // The range that the store is asked for.
  std::optional<Range> asked(const std::string& text) {
    store_.range.reset();
    EXPECT_LT(get({{"range", text}}).status, 300);
    return store_.range;
  }

  VirtualClock clock_;
  ManualExecutor executor_{clock_};
  RecordingStore store_;
};

TEST_F(HandlerTest, RangesOfTheThreeForms) {
  const auto both = asked("bytes=2-4");
  ASSERT_TRUE(both.has_value());
  EXPECT_EQ(both->first, 2U);
  EXPECT_EQ(both->last, 4U);
  EXPECT_FALSE(both->suffix.has_value());
  const auto open = asked("bytes=18446744073709551615-");
  ASSERT_TRUE(open.has_value());
  EXPECT_EQ(open->first, UINT64_MAX);
  EXPECT_FALSE(open->last.has_value());
  const auto suffix = asked("bytes=-7");
  ASSERT_TRUE(suffix.has_value());
  EXPECT_EQ(suffix->suffix, 7U);
  EXPECT_FALSE(suffix->first.has_value());
  EXPECT_EQ(asked("bytes=5-5")->last, 5U);
}

// Source: RFC 9110, section 14.2: what is not understood is ignored.
TEST_F(HandlerTest, OtherRangesAreIgnored) {
  for (const char* text :
       {"", "bytes", "bytes=", "bytes=-", "bytes=a-b", "bytes=1", "bytes=4-2", "bytes=1-2,4-5",
        "bytes=1--2", "bytes=--2", "bytes=+1-2", "bytes= 1-2", "bytes=1-2 ", "items=1-2",
        "bytes 1-2", "bytes=0x1-2", "bytes=18446744073709551616-"}) {
    EXPECT_FALSE(asked(text).has_value()) << text;
    EXPECT_EQ(get({{"range", text}}).status, 200) << text;
  }
}

TEST_F(HandlerTest, APartSaysWhichOneItIs) {
  const HttpResponse part = get({{"range", "bytes=2-4"}});
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.content_length, 3U);
  EXPECT_EQ(header(part, "Content-Range"), "bytes 2-4/100");
  store_.beyond = true;
  const HttpResponse beyond = get({{"range", "bytes=200-"}});
  EXPECT_EQ(beyond.status, 416);
  EXPECT_EQ(header(beyond, "Content-Range"), "bytes */100");
  EXPECT_NE(beyond.body.find("<Code>InvalidRange</Code>"), std::string::npos);
}

TEST_F(HandlerTest, AnObjectsHeadersAndTheirOverrides) {
  (*store_.stat.object.mutable_headers())["content-type"] = "text/plain";
  (*store_.stat.object.mutable_user())["name"] = "value";
  (*store_.stat.object.mutable_checksums())["crc32"] = "AAAA";
  store_.stat.object.set_last_modified_ns(1'369'353'600'000'000'000);
  HttpResponse response = get({}, {{"response-content-language", "de"}});
  EXPECT_EQ(header(response, "ETag"), "\"abc\"");
  EXPECT_EQ(header(response, "Last-Modified"), "Fri, 24 May 2013 00:00:00 GMT");
  EXPECT_EQ(header(response, "content-type"), "text/plain");
  EXPECT_EQ(header(response, "content-language"), "de");
  EXPECT_EQ(header(response, "x-amz-meta-name"), "value");
  EXPECT_EQ(header(response, "x-amz-checksum-crc32"), "");
  response = get({{"x-amz-checksum-mode", "ENABLED"}}, {{"response-content-type", "text/html"}});
  EXPECT_EQ(header(response, "content-type"), "text/html");
  EXPECT_EQ(header(response, "x-amz-checksum-crc32"), "AAAA");
  store_.stat.object.clear_headers();
  EXPECT_EQ(header(get({}), "Content-Type"), "binary/octet-stream");
}

// A line end in an override would begin a header, or a body, of the caller's choice.
TEST_F(HandlerTest, AnOverrideCannotEndItsLine) {
  for (const char* value : {"text/html\r\nSet-Cookie: a=b", "a\nb", "a\r\n\r\n<script>"}) {
    const HttpResponse response = get({}, {{"response-content-type", value}});
    for (const auto& [name, text] : response.headers)
      EXPECT_EQ(text.find_first_of("\r\n"), std::string::npos) << name;
  }
}

TEST(Conditions, EtagsInAllTheirForms) {
  const auto conditions = conditions_of(
      get_with({{"if-match", "\"abc\", \"d-2\",efg"}, {"if-none-match", "W/\"x\",\"y\""}}), "");
  EXPECT_EQ(conditions.if_match_size(), 3);
  EXPECT_EQ(conditions.if_match(0), "abc");
  EXPECT_EQ(conditions.if_match(1), "d-2");
  EXPECT_EQ(conditions.if_match(2), "efg");
  EXPECT_EQ(conditions.if_none_match_size(), 2);
  EXPECT_EQ(conditions.if_none_match(0), "x");
  EXPECT_FALSE(conditions.must_not_exist() || conditions.has_if_modified_since() ||
               conditions.has_if_unmodified_since());
  EXPECT_EQ(conditions_of(get_with({{"if-match", "*"}}), "").if_match(0), "*");
  EXPECT_EQ(conditions_of(get_with({{"if-match", ","}}), "").if_match_size(), 0);
  EXPECT_EQ(conditions_of(get_with({}), "").ByteSizeLong(), 0U);
}

TEST(Conditions, NoneOfAnyIsAConditionOfWrites) {
  EXPECT_TRUE(conditions_of(get_with({{"if-none-match", "*"}}, "PUT"), "").must_not_exist());
  EXPECT_TRUE(conditions_of(get_with({{"if-none-match", "*"}}, "POST"), "").must_not_exist());
  const auto read = conditions_of(get_with({{"if-none-match", "*"}}), "");
  EXPECT_FALSE(read.must_not_exist());
  EXPECT_EQ(read.if_none_match(0), "*");
}

TEST(Conditions, DatesAndThePrefixOfACopy) {
  const HttpRequest request =
      get_with({{"if-modified-since", "Fri, 24 May 2013 00:00:00 GMT"},
                {"if-unmodified-since", "yesterday"},
                {"x-amz-copy-source-if-match", "\"abc\""},
                {"x-amz-copy-source-if-unmodified-since", "Friday, 24-May-13 00:00:01 GMT"}});
  const auto own = conditions_of(request, "");
  EXPECT_TRUE(own.has_if_modified_since());
  EXPECT_EQ(own.if_modified_since_ns(), 1'369'353'600'000'000'000);
  EXPECT_FALSE(own.has_if_unmodified_since()) << "a date that cannot be read is ignored";
  EXPECT_EQ(own.if_match_size(), 0);
  const auto source = conditions_of(request, "x-amz-copy-source-");
  EXPECT_EQ(source.if_match(0), "abc");
  EXPECT_EQ(source.if_unmodified_since_ns(), 1'369'353'601'000'000'000);
  EXPECT_FALSE(source.has_if_modified_since());
}

TEST(Times, AreShownAndReadInBothForms) {
  constexpr std::int64_t kNs = 1'139'000'709'123'456'789;  // 2006-02-03 21:05:09.123
  EXPECT_EQ(iso_time(kNs), "2006-02-03T21:05:09.123Z");
  EXPECT_EQ(http_time(kNs), "Fri, 03 Feb 2006 21:05:09 GMT");
  EXPECT_EQ(iso_time(0), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(parse_http_time(http_time(kNs)), 1'139'000'709'000'000'000);
  EXPECT_EQ(parse_http_time("2006-02-03T21:05:09Z"), 1'139'000'709'000'000'000);
  EXPECT_EQ(parse_http_time("Thu, 01 Jan 1970 00:00:00 GMT"), 0);
  for (const char* text : {"", "0", "Fri, 03 Feb 2006 21:05:09", "Fri, 03 Feb 2006 21:05:09 CET",
                           "Fri, 03 Xxx 2006 21:05:09 GMT", "Fri, 03 Feb 2006 25:05:09 GMT",
                           "Fri, 03 Feb 2006 21:05:09 GMTx", "2006-02-03"})
    EXPECT_EQ(parse_http_time(text), std::nullopt) << text;
}

// Nanoseconds of 64 bits end in the year 2262: a date behind that is later than any, not earlier.
TEST(Times, ADateFarAheadStaysAhead) {
  const auto far = parse_http_time("Fri, 31 Dec 9999 23:59:59 GMT");
  EXPECT_TRUE(!far || *far > 4'000'000'000'000'000'000) << *far;
}

TEST(Times, ATimeBefore1970HasAFractionToo) {
  EXPECT_EQ(iso_time(-1'500'000'000), "1969-12-31T23:59:58.500Z");
  EXPECT_EQ(iso_time(-1), "1969-12-31T23:59:59.999Z");
}

TEST(Metadata, ContentHeadersAndUserHeadersAreKept) {
  proto::ObjectMeta object;
  EXPECT_FALSE(read_metadata(get_with({{"content-type", "text/plain"},
                                       {"content-encoding", "aws-chunked,gzip"},
                                       {"cache-control", "no-cache"},
                                       {"x-amz-meta-a", "1"},
                                       {"x-amz-meta-", "2"},
                                       {"accept", "*/*"},
                                       {"content-length", "5"}}),
                             &object));
  EXPECT_EQ(object.headers().size(), 3U);
  EXPECT_EQ(object.headers().at("content-encoding"), "gzip");
  EXPECT_EQ(object.user().at("a"), "1");
  EXPECT_EQ(object.user().at(""), "2");
  proto::ObjectMeta plain;
  EXPECT_FALSE(read_metadata(get_with({{"content-encoding", "aws-chunked"}}), &plain));
  EXPECT_TRUE(plain.headers().empty());
}

TEST(Metadata, UserHeadersAreBounded) {
  proto::ObjectMeta object;
  EXPECT_FALSE(read_metadata(get_with({{"x-amz-meta-a", std::string(2047, 'x')}}), &object));
  const auto wrong = read_metadata(get_with({{"x-amz-meta-a", std::string(2048, 'x')}}), &object);
  ASSERT_TRUE(wrong.has_value());
  EXPECT_EQ(wrong->code, "MetadataTooLarge");
}

// Text of the protocol's messages is UTF-8, and a message that is not cannot be parsed again: it
// must not reach the journal.
TEST(Metadata, WhatIsKeptCanBeReadAgain) {
  const HttpRequest request = get_with(
      {{"content-type", "\xff"}, {"x-amz-meta-a", "\xfe"}, {"if-match", "\"\xfd\""}}, "PUT");
  proto::ObjectMeta object;
  if (!read_metadata(request, &object)) {
    EXPECT_TRUE(proto::ObjectMeta().ParseFromString(object.SerializeAsString()));
  }
  EXPECT_TRUE(proto::Conditions().ParseFromString(conditions_of(request, "").SerializeAsString()));
}

TEST(Unsupported, IsSaidByName) {
  const auto code = [](const char* name, const char* value) {
    const auto wrong = check_unsupported(get_with({{name, value}}));
    return wrong ? wrong->code : "";
  };
  EXPECT_EQ(code("x-amz-acl", "public-read"), "NotImplemented");
  EXPECT_EQ(code("x-amz-acl", "private"), "");
  EXPECT_EQ(code("x-amz-grant-read", "x"), "NotImplemented");
  EXPECT_EQ(code("x-amz-server-side-encryption", "AES256"), "NotImplemented");
  EXPECT_EQ(code("x-amz-storage-class", "GLACIER"), "NotImplemented");
  EXPECT_EQ(code("x-amz-storage-class", "STANDARD"), "");
  EXPECT_EQ(code("x-amz-tagging", "a=b"), "NotImplemented");
  EXPECT_EQ(code("x-amz-object-lock-mode", "x"), "NotImplemented");
}

TEST(CopySource, BucketAndKeyInAllTheirForms) {
  const auto read = [](const std::string& source) -> std::string {
    std::string bucket;
    std::string key;
    const auto wrong = read_copy_source(get_with({{"x-amz-copy-source", source}}), &bucket, &key);
    return wrong ? wrong->code : bucket + "|" + key;
  };
  EXPECT_EQ(read("/bucket/key"), "bucket|key");
  EXPECT_EQ(read("bucket/a/b//c"), "bucket|a/b//c");
  EXPECT_EQ(read("bucket/a%20b%2Fc%3Fd+e"), "bucket|a b/c?d+e");
  EXPECT_EQ(read("bucket/key?other=1"), "bucket|key");
  EXPECT_EQ(read("bucket/key?versionId=1"), "NotImplemented");
  for (const char* source : {"", "/", "bucket", "/bucket", "bucket/", "bucket/%4", "%zz/key"})
    EXPECT_EQ(read(source), "InvalidArgument") << source;
}

TEST(Errors, AreXmlWithTheNamesEscaped) {
  const HttpRequest http = get_with({});
  S3Request request;
  request.http = &http;
  request.bucket = "bucket";
  request.key = "a<b>&c";
  request.request_id = "1";
  const HttpResponse response = error_response(request, NotFoundError("no \"such\" key"));
  EXPECT_EQ(response.status, 404);
  const auto parsed = parse_xml(response.body);
  ASSERT_TRUE(parsed.ok()) << response.body;
  EXPECT_EQ(parsed->name, "Error");
  EXPECT_EQ(parsed->child_text("Code"), "NoSuchKey");
  EXPECT_EQ(parsed->child_text("Message"), "no \"such\" key");
  EXPECT_EQ(parsed->child_text("Key"), "a<b>&c");
  EXPECT_EQ(parsed->child_text("Resource"), "/bucket/key");
  EXPECT_EQ(parsed->child_text("RequestId"), "1");
  // A 304 has no body, a HEAD only its length.
  EXPECT_EQ(error_response(request, NotModifiedError("")).body, "");
  const HttpRequest head = get_with({}, "HEAD");
  request.http = &head;
  const HttpResponse bodiless = error_response(request, NotFoundError("x"));
  EXPECT_TRUE(bodiless.head_only);
  EXPECT_GT(bodiless.content_length, 0U);
}

}  // namespace
}  // namespace shoal::s3compat
