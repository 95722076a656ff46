// Request bodies: aws-chunked framing cut at every place, signatures, lengths and checksums.
// Source: AWS S3 API reference, "Transferring Payload in Multiple Chunks" and "Including Trailing
// Headers".
#include "s3compat/auth/payload.h"

#include <gtest/gtest.h>

#include "base/async/manual_executor.h"
#include "base/encoding.h"
#include "s3compat/limits.h"
#include "tests/unit/s3compat/requests.h"

namespace shoal::s3compat {
namespace {

using test::Headers;

constexpr char kStreaming[] = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD";
constexpr char kStreamingTrailer[] = "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER";
constexpr char kUnsignedTrailer[] = "STREAMING-UNSIGNED-PAYLOAD-TRAILER";
constexpr char kUnsigned[] = "UNSIGNED-PAYLOAD";
constexpr char kSeed[] = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9";

struct Outcome {
  std::string error;  // the error's code, or ""
  std::string bytes;
  std::string md5;
  std::map<std::string, std::string> checksums;
};

Task<void> read_all(Payload* payload, std::string* bytes) {
  while (true) {
    const Buffer piece = co_await payload->next();
    if (piece.empty()) co_return;
    bytes->append(piece.view());
  }
}

class PayloadTest : public testing::Test {
 protected:
  PayloadTest() {
    signer_.access_key = test::kAccessKey;
    signer_.scope = test::kScope;
    signer_.timestamp = test::kTimestamp;
    signer_.signature = kSeed;
    signer_.key = test::signing_key();
  }
  Outcome read(const std::string& hash, const Headers& headers,
               const std::vector<std::string>& pieces) {
    HttpRequest request = test::make_request("PUT", "/bucket/key", headers);
    test::PieceBody body(pieces);
    request.has_length = true;
    request.content_length = body.remaining();
    signer_.payload_hash = hash;
    Payload payload(request, signer_, body, md5_);
    Outcome outcome;
    if (const auto wrong = payload.check_headers()) {
      outcome.error = wrong->code;
      return outcome;
    }
    executor_.run(read_all(&payload, &outcome.bytes));
    if (payload.failed()) {
      outcome.error = payload.failed()->code;
      return outcome;
    }
    outcome.md5 = payload.md5_hex();
    outcome.checksums = payload.checksums();
    return outcome;
  }
  // A chunked body of `length` object bytes.
  Outcome read_chunked(const std::string& hash, std::size_t length, const std::string& body,
                       Headers headers = {}) {
    headers.emplace_back("x-amz-decoded-content-length", std::to_string(length));
    return read(hash, headers, {body});
  }
  std::string sign(const std::string& to_sign) const {
    return to_hex(hmac_sha256(
        {reinterpret_cast<const char*>(signer_.key.data()), signer_.key.size()}, to_sign));
  }
  // `chunks` and the last, empty one, signed one after the other; then the trailer lines, signed
  // too when there are some.
  std::string framed(const std::vector<std::string>& chunks,
                     const std::vector<std::string>& trailer = {}) const {
    std::string out;
    std::string previous = signer_.signature;
    const std::string head = std::string(test::kTimestamp) + "\n" + test::kScope + "\n";
    std::vector<std::string> all = chunks;
    all.emplace_back();
    for (const std::string& chunk : all) {
      previous = sign("AWS4-HMAC-SHA256-PAYLOAD\n" + head + previous + "\n" + sha256_hex("") +
                      "\n" + sha256_hex(chunk));
      char size[20];
      std::snprintf(size, sizeof size, "%zx", chunk.size());
      out += std::string(size) + ";chunk-signature=" + previous + "\r\n" + chunk;
      if (!chunk.empty()) out += "\r\n";
    }
    if (trailer.empty()) return out + "\r\n";
    std::string canonical;
    for (const std::string& line : trailer) {
      out += line + "\r\n";
      canonical += line + "\n";
    }
    return out + "x-amz-trailer-signature:" +
           sign("AWS4-HMAC-SHA256-TRAILER\n" + head + previous + "\n" + sha256_hex(canonical)) +
           "\r\n\r\n";
  }

  VirtualClock clock_;
  ManualExecutor executor_{clock_};
  Md5Batch md5_{executor_};
  Signer signer_;
};

// The request of the documents, from its head to its last chunk.
TEST_F(PayloadTest, SignedChunksOfTheDocuments) {
  const Credentials credentials = test::example_credentials();
  const test::StandingClock now(test::kSeconds);
  SigV4Verifier verifier(credentials, "us-east-1", now);
  const HttpRequest request = test::make_request(
      "PUT", "/examplebucket/chunkObject.txt",
      {{"host", "s3.amazonaws.com"},
       {"x-amz-date", test::kTimestamp},
       {"x-amz-storage-class", "REDUCED_REDUNDANCY"},
       {"authorization",
        "AWS4-HMAC-SHA256 Credential=AKIAIOSFODNN7EXAMPLE/20130524/us-east-1/s3/aws4_request,"
        "SignedHeaders=content-encoding;content-length;host;x-amz-content-sha256;x-amz-date;"
        "x-amz-decoded-content-length;x-amz-storage-class,Signature=" +
            std::string(kSeed)},
       {"x-amz-content-sha256", kStreaming},
       {"content-encoding", "aws-chunked"},
       {"x-amz-decoded-content-length", "66560"},
       {"content-length", "66824"}});
  const auto refused = verifier.verify(request, request.path, {}, &signer_);
  ASSERT_FALSE(refused.has_value()) << refused->message;
  const std::string first(65'536, 'a');
  const std::string second(1'024, 'a');
  const std::string body =
      "10000;chunk-signature=ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648\r\n" +
      first +
      "\r\n400;chunk-signature=0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497"
      "\r\n" +
      second +
      "\r\n0;chunk-signature=b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9"
      "\r\n\r\n";
  EXPECT_EQ(body.size(), 66'824U);
  EXPECT_EQ(framed({first, second}), body);
  const Outcome outcome = read_chunked(kStreaming, 66'560, body);
  EXPECT_EQ(outcome.error, "");
  EXPECT_EQ(outcome.bytes, first + second);
  EXPECT_EQ(outcome.md5.size(), 32U);
}

TEST_F(PayloadTest, SignedTrailerOfTheDocuments) {
  signer_.signature = "106e2a8a18243abcf37539882f36619c00e2dfc72633413f02d3b74544bfeb8e";
  const std::string body =
      "10000;chunk-signature=b474d8862b1487a5145d686f57f013e54db672cee1c953b3010fb58501ef5aa2\r\n" +
      std::string(65'536, 'a') +
      "\r\n400;chunk-signature=1c1344b170168f8e65b41376b44b20fe354e373826ccbbe2c1d40a8cae51e5c7"
      "\r\n" +
      std::string(1'024, 'a') +
      "\r\n0;chunk-signature=2ca2aba2005185cf7159c6277faf83795951dd77a3a99e6e65d5c9f85863f992"
      "\r\nx-amz-checksum-crc32c:sOO8/Q==\r\nx-amz-trailer-signature:"
      "d81f82fc3505edab99d459891051a732e8730629a2e4a59689829ca17fe2e435\r\n\r\n";
  const Outcome outcome =
      read_chunked(kStreamingTrailer, 66'560, body, {{"x-amz-trailer", "x-amz-checksum-crc32c"}});
  EXPECT_EQ(outcome.error, "");
  EXPECT_EQ(outcome.bytes.size(), 66'560U);
  EXPECT_EQ(outcome.checksums.at("crc32c"), "sOO8/Q==");
}

TEST_F(PayloadTest, FramingCutAnywhereGivesTheSameBytes) {
  const std::string bytes = "the first chunk, a second and the third";
  const std::string body = framed({bytes.substr(0, 16), bytes.substr(16, 1), bytes.substr(17)},
                                  {"x-amz-checksum-crc32c:GDWVYw=="});
  const Headers headers{{"x-amz-trailer", "x-amz-checksum-crc32c"},
                        {"x-amz-decoded-content-length", std::to_string(bytes.size())}};
  const Outcome whole = read(kStreamingTrailer, headers, {body});
  ASSERT_EQ(whole.error, "");
  ASSERT_EQ(whole.bytes, bytes);
  for (std::size_t cut = 1; cut < body.size(); ++cut) {
    const Outcome outcome =
        read(kStreamingTrailer, headers, {body.substr(0, cut), body.substr(cut)});
    ASSERT_EQ(outcome.error, "") << cut;
    ASSERT_EQ(outcome.bytes, bytes) << cut;
    ASSERT_EQ(outcome.md5, whole.md5);
  }
  std::vector<std::string> single;
  for (const char c : body) single.emplace_back(1, c);
  EXPECT_EQ(read(kStreamingTrailer, headers, single).bytes, bytes);
}

TEST_F(PayloadTest, ABodyThatEndsEarlyIsNeverWhole) {
  const std::string body = framed({"first", "second"});
  // The line end behind the last chunk may be missing, no more.
  for (std::size_t size = 0; size + 2 < body.size(); ++size) {
    EXPECT_EQ(read_chunked(kStreaming, 11, body.substr(0, size)).error, "IncompleteBody") << size;
  }
  const std::string trailed = framed({"first", "second"}, {"x-amz-checksum-crc32:HWT7/w=="});
  for (std::size_t size = 0; size + 4 < trailed.size(); ++size) {
    const Outcome outcome = read_chunked(kStreamingTrailer, 11, trailed.substr(0, size),
                                         {{"x-amz-trailer", "x-amz-checksum-crc32"}});
    EXPECT_NE(outcome.error, "") << size;
  }
}

TEST_F(PayloadTest, AFlippedBitIsSeenOrChangesNothing) {
  const std::string body = framed({"first", "second"}, {"x-amz-checksum-crc32:HWT7/w=="});
  const Headers headers{{"x-amz-trailer", "x-amz-checksum-crc32"}};
  ASSERT_EQ(read_chunked(kStreamingTrailer, 11, body, headers).error, "");
  for (std::size_t at = 0; at < body.size(); ++at) {
    for (int bit = 0; bit < 8; ++bit) {
      std::string flipped = body;
      flipped[at] = static_cast<char>(flipped[at] ^ 1 << bit);
      const Outcome outcome = read_chunked(kStreamingTrailer, 11, flipped, headers);
      if (!outcome.error.empty()) continue;
      ASSERT_EQ(outcome.bytes, "firstsecond") << at << ", bit " << bit;
    }
  }
}

TEST_F(PayloadTest, EachChunksSignatureCoversItsBytesAndItsPlace) {
  const std::string good = framed({"first", "second"});
  std::string changed = good;
  changed[changed.find("first")] = 'F';
  EXPECT_EQ(read_chunked(kStreaming, 11, changed).error, "SignatureDoesNotMatch");
  // The chunks the other way round, each with its own signature.
  const std::size_t second = good.find("6;");
  const std::size_t last = good.find("0;chunk", second);
  EXPECT_EQ(
      read_chunked(kStreaming, 11,
                   good.substr(second, last - second) + good.substr(0, second) + good.substr(last))
          .error,
      "SignatureDoesNotMatch");
  // One chunk left out.
  EXPECT_EQ(read_chunked(kStreaming, 6, good.substr(second)).error, "SignatureDoesNotMatch");
  // Without a signature at all.
  EXPECT_EQ(read_chunked(kStreaming, 5, "5\r\nfirst\r\n0\r\n\r\n").error, "SignatureDoesNotMatch");
  // The last chunk counts too.
  changed = good;
  char& digit = changed[changed.size() - 5];
  digit = digit == '0' ? '1' : '0';
  EXPECT_EQ(read_chunked(kStreaming, 11, changed).error, "SignatureDoesNotMatch");
  // Another request's seed.
  signer_.signature = std::string(64, '0');
  EXPECT_EQ(read_chunked(kStreaming, 11, good).error, "SignatureDoesNotMatch");
}

TEST_F(PayloadTest, TheTrailersSignatureCoversItsLines) {
  const Headers headers{{"x-amz-trailer", "x-amz-checksum-crc32"}};
  const std::string good = framed({"firstsecond"}, {"x-amz-checksum-crc32:HWT7/w=="});
  ASSERT_EQ(read_chunked(kStreamingTrailer, 11, good, headers).error, "");
  std::string changed = good;
  changed.replace(changed.find("HWT7"), 2, "ZZ");
  EXPECT_EQ(read_chunked(kStreamingTrailer, 11, changed, headers).error, "SignatureDoesNotMatch");
  changed = good;
  changed.insert(changed.find("x-amz-checksum"), "x-amz-meta-a:b\r\n");
  EXPECT_EQ(read_chunked(kStreamingTrailer, 11, changed, headers).error, "SignatureDoesNotMatch");
  changed = good.substr(0, good.find("x-amz-trailer-signature")) + "\r\n";
  EXPECT_EQ(read_chunked(kStreamingTrailer, 11, changed, headers).error, "SignatureDoesNotMatch");
}

TEST_F(PayloadTest, UnsignedChunksWithAChecksumBehindThem) {
  const Headers headers{{"x-amz-trailer", "x-amz-checksum-crc32"}};
  const std::string good =
      "5\r\nfirst\r\n6\r\nsecond\r\n0\r\nx-amz-checksum-crc32:HWT7/w==\r\n\r\n";
  const Outcome outcome = read_chunked(kUnsignedTrailer, 11, good, headers);
  EXPECT_EQ(outcome.error, "");
  EXPECT_EQ(outcome.bytes, "firstsecond");
  EXPECT_EQ(outcome.checksums.at("crc32"), "HWT7/w==");
  std::string changed = good;
  changed[3] = 'F';
  EXPECT_EQ(read_chunked(kUnsignedTrailer, 11, changed, headers).error, "BadDigest");
  EXPECT_EQ(
      read_chunked(kUnsignedTrailer, 11,
                   "b\r\nfirstsecond\r\n0\r\nx-amz-checksum-crc32:  HWT7/w==\r\n\r\n", headers)
          .error,
      "");
  EXPECT_EQ(read_chunked(kUnsignedTrailer, 11, "b\r\nfirstsecond\r\n0\r\n\r\n", headers).error,
            "BadDigest")
      << "announced, but it never came";
  EXPECT_EQ(read_chunked(kUnsignedTrailer, 11, "b\r\nfirstsecond\r\n0\r\nno colon\r\n\r\n", headers)
                .error,
            "MalformedTrailerError");
}

// A value is what the checksum is compared with.
TEST_F(PayloadTest, ATrailerWithoutAValueIsRefused) {
  const Headers headers{{"x-amz-trailer", "x-amz-checksum-crc32"}};
  for (const char* line : {"x-amz-checksum-crc32:", "x-amz-checksum-crc32:  ", "a:"}) {
    EXPECT_NE(read_chunked(kUnsignedTrailer, 5,
                           "5\r\nfirst\r\n0\r\n" + std::string(line) + "\r\n\r\n", headers)
                  .error,
              "");
  }
}

// What was not announced was not computed while the body went by.
TEST_F(PayloadTest, AChecksumThatWasNotAnnouncedIsRefused) {
  for (const char* kind : {"crc32", "crc64nvme", "sha1", "sha256"}) {
    const std::string body =
        "5\r\nfirst\r\n0\r\nx-amz-checksum-" + std::string(kind) + ":AAAA\r\n\r\n";
    EXPECT_NE(read_chunked(kUnsignedTrailer, 5, body).error, "") << kind;
  }
}

TEST_F(PayloadTest, TheTrailerIsBounded) {
  const std::string line = "x-amz-meta-filler:" + std::string(900, 'x') + "\r\n";
  std::string body = "5\r\nfirst\r\n0\r\n";
  for (std::size_t size = 0; size < 2 * kMaxTrailerBytes; size += line.size()) body += line;
  EXPECT_EQ(read_chunked(kUnsignedTrailer, 5, body + "\r\n").error, "MalformedTrailerError");
}

TEST_F(PayloadTest, SizesThatDoNotFitAreRefused) {
  const auto error = [&](std::size_t length, const std::string& body) {
    return read_chunked(kUnsignedTrailer, length, body).error;
  };
  EXPECT_EQ(error(5, "5\r\nfirst\r\n0\r\n\r\n"), "");
  EXPECT_EQ(error(6, "5\r\nfirst\r\n0\r\n\r\n"), "IncompleteBody") << "fewer than announced";
  EXPECT_EQ(error(4, "5\r\nfirst\r\n0\r\n\r\n"), "IncompleteBody") << "more than announced";
  EXPECT_EQ(error(0, "5\r\nfirst\r\n0\r\n\r\n"), "IncompleteBody");
  EXPECT_EQ(error(5, "4\r\nfirst\r\n0\r\n\r\n"), "InvalidRequest") << "a chunk longer than it says";
  EXPECT_NE(error(5, "6\r\nfirst\r\n0\r\n\r\n"), "") << "a chunk shorter than it says";
  EXPECT_EQ(error(5, "ffffffffffffffff\r\nfirst\r\n0\r\n\r\n"), "IncompleteBody");
  for (const char* size : {"", "-5", "+5", "0x5", " 5", "5 ", "g", "10000000000000000", "five"})
    EXPECT_EQ(error(5, std::string(size) + "\r\nfirst\r\n0\r\n\r\n"), "InvalidRequest") << size;
  EXPECT_EQ(error(5, std::string(2 * kMaxChunkLine, '0') + "5\r\nfirst\r\n0\r\n\r\n"),
            "InvalidRequest");
}

TEST_F(PayloadTest, SizesAreHexadecimalInBothCases) {
  const std::string bytes(0xab, 'x');
  EXPECT_EQ(read_chunked(kUnsignedTrailer, 0xab, "aB\r\n" + bytes + "\r\n000\r\n\r\n").bytes,
            bytes);
  EXPECT_EQ(read_chunked(kUnsignedTrailer, 5, "05;ext=1;other\r\nfirst\r\n0\r\n\r\n").error, "");
}

TEST_F(PayloadTest, AnEmptyObjectIsOneEmptyChunk) {
  EXPECT_EQ(read_chunked(kStreaming, 0, framed({})).error, "");
  const Outcome outcome = read_chunked(kUnsignedTrailer, 0, "0\r\n\r\n");
  EXPECT_EQ(outcome.error, "");
  EXPECT_EQ(outcome.md5, "d41d8cd98f00b204e9800998ecf8427e");
}

TEST_F(PayloadTest, ALargeBodyOfManySmallChunks) {
  std::string body;
  std::string bytes;
  for (int i = 0; bytes.size() < 3'000'000; ++i) {
    const std::string chunk(static_cast<std::size_t>(1 + i % 5000),
                            static_cast<char>('a' + i % 26));
    char size[20];
    std::snprintf(size, sizeof size, "%zx", chunk.size());
    body += std::string(size) + "\r\n" + chunk + "\r\n";
    bytes += chunk;
  }
  const Outcome outcome = read_chunked(kUnsignedTrailer, bytes.size(), body + "0\r\n\r\n");
  EXPECT_EQ(outcome.error, "");
  EXPECT_TRUE(outcome.bytes == bytes);
}

// Of "123456789".
TEST_F(PayloadTest, ChecksumsInTheHeadAreVerified) {
  const Headers right{{"content-md5", "JfnnlDI7RTiF9RgfG2JNCw=="},
                      {"x-amz-checksum-crc32", "y/Q5Jg=="},
                      {"x-amz-checksum-crc32c", "4waSgw=="},
                      {"x-amz-checksum-sha1", "98O8HYCOBHMq32eZZczDTKeuNEE="},
                      {"x-amz-checksum-sha256", "FeKw08M4keuw8e9gnsQZQgwg4yDOlMZfvIwzEkSOsiU="},
                      {"x-amz-checksum-algorithm", "CRC32"},
                      {"x-amz-checksum-type", "FULL_OBJECT"}};
  const Outcome outcome = read(kUnsigned, right, {"1234", "56789"});
  EXPECT_EQ(outcome.error, "");
  EXPECT_EQ(outcome.md5, "25f9e794323b453885f5181f1b624d0b");
  EXPECT_EQ(outcome.checksums.size(), 4U);
  for (std::size_t i = 0; i < 5; ++i) {
    Headers wrong = right;
    std::string& digit = wrong[i].second;
    digit[0] = digit[0] == 'A' ? 'B' : 'A';
    EXPECT_EQ(read(kUnsigned, wrong, {"123456789"}).error, "BadDigest") << wrong[i].first;
  }
}

TEST_F(PayloadTest, TheHashOfTheHeadIsVerified) {
  EXPECT_EQ(read(sha256_hex("body"), {}, {"bo", "dy"}).error, "");
  EXPECT_EQ(read(sha256_hex("body"), {}, {"bodY"}).error, "XAmzContentSHA256Mismatch");
  EXPECT_EQ(read(sha256_hex(""), {}, {}).error, "");
}

TEST_F(PayloadTest, BadHeadersAreRefusedBeforeTheBody) {
  EXPECT_EQ(read("", {}, {"x"}).error, "NotImplemented");
  EXPECT_EQ(read("STREAMING-AWS4-ECDSA-P256-SHA256-PAYLOAD", {}, {"x"}).error, "NotImplemented");
  EXPECT_EQ(read(std::string(64, 'g'), {}, {"x"}).error, "NotImplemented");
  EXPECT_EQ(read(kStreaming, {}, {"x"}).error, "MissingContentLength");
  for (const char* length : {"", "-1", "x", "5 ", "18446744073709551616"})
    EXPECT_EQ(read(kStreaming, {{"x-amz-decoded-content-length", length}}, {"x"}).error,
              "MissingContentLength");
  EXPECT_EQ(read(kStreaming, {{"x-amz-decoded-content-length", "5368709121"}}, {"x"}).error,
            "EntityTooLarge");
  EXPECT_EQ(read(kUnsigned, {{"x-amz-checksum-xyz", "x"}}, {"x"}).error, "NotImplemented");
  EXPECT_EQ(read(kUnsigned, {{"x-amz-trailer", "x-amz-meta-a"}}, {"x"}).error, "NotImplemented");
  for (const char* md5 : {"x", "AAAA", "JfnnlDI7RTiF9RgfG2JNCw"})
    EXPECT_EQ(read(kUnsigned, {{"content-md5", md5}}, {"x"}).error, "InvalidDigest");
  HttpRequest request;
  test::PieceBody body({});
  Payload payload(request, signer_, body, md5_);
  EXPECT_EQ(payload.check_headers()->code, "MissingContentLength");
}

}  // namespace
}  // namespace shoal::s3compat
