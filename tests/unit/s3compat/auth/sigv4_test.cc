// Signature Version 4 against the examples in AWS's documents. Source: AWS S3 API reference,
// "Examples: Signature Calculations in AWS Signature Version 4" and "Authenticating Requests: Using
// Query Parameters".
#include "s3compat/auth/sigv4.h"

#include <gtest/gtest.h>

#include "base/encoding.h"
#include "tests/unit/s3compat/requests.h"

namespace shoal::s3compat {
namespace {

using test::Headers;
using test::make_request;

constexpr char kEmptyHash[] = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
constexpr char kHost[] = "examplebucket.s3.amazonaws.com";

std::string authorization(const std::string& signed_headers, const std::string& signature,
                          const std::string& scope = test::kScope) {
  return "AWS4-HMAC-SHA256 Credential=" + std::string(test::kAccessKey) + "/" + scope +
         ",SignedHeaders=" + signed_headers + ",Signature=" + signature;
}

class SigV4Test : public testing::Test {
 protected:
  // The error's code, or "" when the request is what it says.
  std::string refused(const HttpRequest& request) {
    const auto path = percent_decode(request.path, false);
    const auto query = parse_query(request.query);
    if (!path || !query) return "InvalidURI";
    const auto error = verifier_.verify(request, *path, *query, &signer_);
    return error ? error->code : "";
  }
  // The request of "GET Object", which several tests spoil.
  HttpRequest get_object() {
    return make_request(
        "GET", "/test.txt",
        {{"host", kHost},
         {"authorization",
          authorization("host;range;x-amz-content-sha256;x-amz-date",
                        "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41")},
         {"range", "bytes=0-9"},
         {"x-amz-content-sha256", kEmptyHash},
         {"x-amz-date", test::kTimestamp}});
  }
  HttpRequest presigned(const std::string& expires = "86400") {
    return make_request(
        "GET",
        "/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F"
        "20130524%2Fus-east-1%2Fs3%2Faws4_request&X-Amz-Date=20130524T000000Z&X-Amz-Expires=" +
            expires +
            "&X-Amz-SignedHeaders=host&X-Amz-Signature="
            "aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404",
        {{"host", kHost}});
  }
  static std::string& header(HttpRequest& request, std::string_view name) {
    for (auto& [key, value] : request.headers) {
      if (key == name) return value;
    }
    return request.headers.emplace_back(name, "").second;
  }
  // Signs `request` as a client does; `canonical_query` by its own rules.
  static void sign(HttpRequest* request, const std::string& canonical_query) {
    header(*request, "host") = kHost;
    header(*request, "x-amz-date") = test::kTimestamp;
    header(*request, "x-amz-content-sha256") = "UNSIGNED-PAYLOAD";
    const std::string names = "host;x-amz-content-sha256;x-amz-date";
    const std::string canonical =
        request->method + "\n" + request->path + "\n" + canonical_query + "\nhost:" + kHost +
        "\nx-amz-content-sha256:UNSIGNED-PAYLOAD\nx-amz-date:" + test::kTimestamp + "\n\n" + names +
        "\nUNSIGNED-PAYLOAD";
    const Digest key = test::signing_key();
    const std::string to_sign = "AWS4-HMAC-SHA256\n" + std::string(test::kTimestamp) + "\n" +
                                test::kScope + "\n" + sha256_hex(canonical);
    header(*request, "authorization") = authorization(
        names,
        to_hex(hmac_sha256({reinterpret_cast<const char*>(key.data()), key.size()}, to_sign)));
  }

  const Credentials credentials_ = test::example_credentials();
  test::StandingClock clock_{test::kSeconds};
  SigV4Verifier verifier_{credentials_, "us-east-1", clock_};
  Signer signer_;
};

TEST_F(SigV4Test, GetObjectOfTheDocuments) {
  EXPECT_EQ(refused(get_object()), "");
  EXPECT_EQ(signer_.access_key, test::kAccessKey);
  EXPECT_EQ(signer_.credential.uid, 1000U);
  EXPECT_EQ(signer_.payload_hash, kEmptyHash);
  EXPECT_EQ(signer_.scope, test::kScope);
  EXPECT_EQ(signer_.timestamp, test::kTimestamp);
  EXPECT_EQ(to_hex(signer_.key),
            "dbb893acc010964918f1fd433add87c70e8b0db6be30c1fbeafefa5ec6ba8378");
}

TEST_F(SigV4Test, PutObjectOfTheDocuments) {
  const std::string body_hash = sha256_hex("Welcome to Amazon S3.");
  EXPECT_EQ(body_hash, "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072");
  const HttpRequest request = make_request(
      "PUT", "/test%24file.text",
      {{"host", kHost},
       {"date", "Fri, 24 May 2013 00:00:00 GMT"},
       {"authorization",
        authorization("date;host;x-amz-content-sha256;x-amz-date;x-amz-storage-class",
                      "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd")},
       {"x-amz-date", test::kTimestamp},
       {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
       {"x-amz-content-sha256", body_hash}});
  EXPECT_EQ(refused(request), "");
}

TEST_F(SigV4Test, GetBucketLifecycleAndListObjectsOfTheDocuments) {
  const auto request = [](const std::string& target, const std::string& signature) {
    return make_request(
        "GET", target,
        {{"host", kHost},
         {"authorization", authorization("host;x-amz-content-sha256;x-amz-date", signature)},
         {"x-amz-date", test::kTimestamp},
         {"x-amz-content-sha256", kEmptyHash}});
  };
  EXPECT_EQ(refused(request("/?lifecycle",
                            "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543")),
            "");
  EXPECT_EQ(refused(request("/?max-keys=2&prefix=J",
                            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")),
            "");
  EXPECT_EQ(refused(request("/?prefix=J&max-keys=2",
                            "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7")),
            "")
      << "the order sent does not matter";
}

TEST_F(SigV4Test, PresignedUrlOfTheDocuments) {
  EXPECT_EQ(refused(presigned()), "");
  EXPECT_EQ(signer_.payload_hash, "UNSIGNED-PAYLOAD");
}

TEST_F(SigV4Test, WhatWasSignedCannotBeChanged) {
  HttpRequest request = get_object();
  request.method = "PUT";
  EXPECT_EQ(refused(request), "SignatureDoesNotMatch");
  request = get_object();
  request.path = "/test.txs";
  EXPECT_EQ(refused(request), "SignatureDoesNotMatch");
  request = get_object();
  request.query = "acl";
  EXPECT_EQ(refused(request), "SignatureDoesNotMatch");
  request = get_object();
  header(request, "range") = "bytes=0-8";
  EXPECT_EQ(refused(request), "SignatureDoesNotMatch");
  request = get_object();
  header(request, "x-amz-content-sha256") = "UNSIGNED-PAYLOAD";
  EXPECT_EQ(refused(request), "SignatureDoesNotMatch");
  request = get_object();
  header(request, "host") = "other.s3.amazonaws.com";
  EXPECT_EQ(refused(request), "SignatureDoesNotMatch");
  request = get_object();
  header(request, "x-amz-date") = "20130524T000001Z";
  EXPECT_EQ(refused(request), "SignatureDoesNotMatch");
  // A second value of a signed header counts.
  request = get_object();
  request.headers.emplace_back("range", "bytes=0-9");
  EXPECT_EQ(refused(request), "SignatureDoesNotMatch");
  HttpRequest query = presigned("86401");
  EXPECT_EQ(refused(query), "SignatureDoesNotMatch");
  query = presigned();
  query.query += "&versionId=1";
  EXPECT_EQ(refused(query), "SignatureDoesNotMatch");
}

TEST_F(SigV4Test, EveryDigitOfTheSignatureCounts) {
  const std::string original = get_object().header("authorization");
  const std::size_t digits = original.size() - 64;
  for (std::size_t at = digits; at < original.size(); ++at) {
    HttpRequest request = get_object();
    char& digit = header(request, "authorization")[at];
    digit = digit == 'f' ? '0' : 'f';
    EXPECT_EQ(refused(request), "SignatureDoesNotMatch") << at;
  }
}

TEST_F(SigV4Test, SpacesInHeaderValuesAreOne) {
  HttpRequest request = get_object();
  header(request, "range") = "  bytes=0-9 ";
  EXPECT_EQ(refused(request), "");
  header(request, "authorization") =
      "AWS4-HMAC-SHA256   Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,   "
      "SignedHeaders=host;range;x-amz-content-sha256;x-amz-date , "
      "Signature=f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41";
  EXPECT_EQ(refused(request), "");
}

TEST_F(SigV4Test, TheClockMayBeFifteenMinutesOff) {
  for (const int minutes : {-15, 15}) {
    clock_.set(test::kSeconds + minutes * 60);
    EXPECT_EQ(refused(get_object()), "");
    clock_.set(test::kSeconds + minutes * 60 + (minutes > 0 ? 1 : -1));
    EXPECT_EQ(refused(get_object()), "RequestTimeTooSkewed");
  }
}

TEST_F(SigV4Test, APresignedUrlIsValidFromItsDateUntilItExpires) {
  clock_.set(test::kSeconds + 86'400);
  EXPECT_EQ(refused(presigned()), "");
  clock_.set(test::kSeconds + 86'401);
  EXPECT_EQ(refused(presigned()), "AccessDenied");
  clock_.set(test::kSeconds - 15 * 60 - 1);
  EXPECT_EQ(refused(presigned()), "AccessDenied");
  clock_.set(test::kSeconds);
  for (const char* expires : {"0", "-1", "604801", "", "x", "99999999999999999999"})
    EXPECT_EQ(refused(presigned(expires)), "AuthorizationQueryParametersError") << expires;
}

TEST_F(SigV4Test, ARequestWithoutASignatureIsRefused) {
  EXPECT_EQ(refused(make_request("GET", "/", {{"host", kHost}})), "AccessDenied");
  HttpRequest request = get_object();
  header(request, "authorization") = "AWS AKIAIOSFODNN7EXAMPLE:frJIUN8DYpKDtOLCwo//yllqDzg=";
  EXPECT_EQ(refused(request), "InvalidRequest");
  header(request, "authorization") = "Basic dXNlcjpwYXNz";
  EXPECT_EQ(refused(request), "InvalidRequest");
  request = get_object();
  header(request, "x-amz-content-sha256").clear();
  EXPECT_EQ(refused(request), "InvalidRequest");
  request = get_object();
  header(request, "x-amz-date").clear();
  EXPECT_NE(refused(request), "");
}

TEST_F(SigV4Test, MalformedAuthorizationsAreRefused) {
  const std::string signature(64, 'a');
  const std::string names = "host;x-amz-content-sha256;x-amz-date";
  const std::string malformed[] = {
      "AWS4-HMAC-SHA256",
      "AWS4-HMAC-SHA256 Credential=,SignedHeaders=,Signature=",
      "AWS4-HMAC-SHA256 Credential=" + std::string(test::kAccessKey) +
          ",SignedHeaders=host,Signature=" + signature,
      authorization(names, ""),
      authorization(names, signature + "a"),
      authorization(names, signature, "20130524/us-east-1/s3"),
      authorization(names, signature, "20130524/us-east-1/s3/aws4_request/x"),
      authorization(names, signature, "20130524/us-east-1/ec2/aws4_request"),
      authorization(names, signature, "20130524/us-east-1/s3/aws5_request"),
      authorization(names, signature, "20130524/eu-west-1/s3/aws4_request"),
      authorization(names, signature, "20130525/us-east-1/s3/aws4_request"),
      authorization("x-amz-content-sha256;x-amz-date", signature),
      authorization("", signature)};
  for (const std::string& text : malformed) {
    HttpRequest request = get_object();
    header(request, "authorization") = text;
    EXPECT_EQ(refused(request), "AuthorizationHeaderMalformed") << text;
  }
  HttpRequest request = get_object();
  header(request, "authorization") = "AWS4-HMAC-SHA256 Credential=NOBODY/" +
                                     std::string(test::kScope) + ",SignedHeaders=" + names +
                                     ",Signature=" + signature;
  EXPECT_EQ(refused(request), "InvalidAccessKeyId");
}

TEST_F(SigV4Test, QueriesInCanonicalOrder) {
  // As a client sorts them: encoded names first, values of one name after that.
  const std::pair<std::string, std::string> queries[] = {
      {"prefix=a%2Fb&delimiter=%2F", "delimiter=%2F&prefix=a%2Fb"},
      {"b&a=", "a=&b="},
      {"a=2&a=1&A=3", "A=3&a=1&a=2"},
      {"prefix=a+b", "prefix=a%20b"},
      {"prefix=%c3%a9~-._", "prefix=%C3%A9~-._"},
      {"a=1&&b=2&", "a=1&b=2"},
      {"a=b=c", "a=b%3Dc"}};
  for (const auto& [sent, canonical] : queries) {
    HttpRequest request = make_request("GET", "/?" + sent, {});
    sign(&request, canonical);
    EXPECT_EQ(refused(request), "") << sent;
  }
}

// "a" sorts before "a-b", although "a-b=2" sorts before "a=1". Source: AWS "Create a signed AWS API
// request": sort by name in code point order.
TEST_F(SigV4Test, NamesAreSortedAlone) {
  for (const auto& [sent, canonical] :
       {std::pair<std::string, std::string>{"a=1&a-b=2", "a=1&a-b=2"},
        {"key2=x&key=y", "key=y&key2=x"}}) {
    HttpRequest request = make_request("GET", "/?" + sent, {});
    sign(&request, canonical);
    EXPECT_EQ(refused(request), "") << sent;
  }
}

// What could change the meaning of a request must be signed. Source: AWS "Authenticating Requests:
// Using the Authorization Header": all x-amz-* headers.
TEST_F(SigV4Test, AnAmzHeaderThatIsNotSignedIsRefused) {
  HttpRequest request = make_request("PUT", "/key", {});
  sign(&request, "");
  ASSERT_EQ(refused(request), "");
  request.headers.emplace_back("x-amz-copy-source", "/secret/object");
  EXPECT_EQ(refused(request), "AccessDenied");
  HttpRequest url = presigned();
  url.headers.emplace_back("x-amz-copy-source", "/secret/object");
  EXPECT_EQ(refused(url), "AccessDenied");
}

TEST(Query, PairsComeDecodedInTheOrderSent) {
  const auto pairs = parse_query("b=1&a&c=%41+%2B&&=x&d==");
  ASSERT_TRUE(pairs.has_value());
  EXPECT_EQ(*pairs, (QueryPairs{{"b", "1"}, {"a", ""}, {"c", "A +"}, {"", "x"}, {"d", "="}}));
  EXPECT_TRUE(parse_query("")->empty());
  EXPECT_TRUE(parse_query("&&")->empty());
  EXPECT_EQ(parse_query("a=%4"), std::nullopt);
  EXPECT_EQ(parse_query("%zz=1"), std::nullopt);
}

// Source: FIPS 180-2 and RFC 4231, test case 2.
TEST(Digests, KnownVectors) {
  EXPECT_EQ(sha256_hex(""), kEmptyHash);
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(to_hex(hmac_sha256("Jefe", "what do ya want for nothing?")),
            "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}

}  // namespace
}  // namespace shoal::s3compat
