// Bodies in aws-chunked framing: refused, or as many bytes as announced; and however the bytes
// arrive cut, the same ones.
#include "s3compat/auth/payload.h"

#include <deque>

#include "base/async/manual_executor.h"
#include "base/check.h"
#include "tests/fuzz/fuzz.h"

namespace shoal::fuzz {
namespace {

class PieceBody final : public s3compat::RequestBody {
 public:
  PieceBody(std::string_view body, std::size_t piece_bytes) {
    for (std::size_t at = 0; at < body.size(); at += piece_bytes)
      pieces_.push_back(Buffer::copy_of(body.substr(at, piece_bytes)));
    remaining_ = body.size();
  }
  Task<Result<Buffer>> next() override {
    if (pieces_.empty()) co_return Buffer();
    Buffer piece = std::move(pieces_.front());
    pieces_.pop_front();
    remaining_ -= piece.size();
    co_return piece;
  }
  std::uint64_t remaining() const override { return remaining_; }

 private:
  std::deque<Buffer> pieces_;
  std::uint64_t remaining_ = 0;
};

struct Outcome {
  bool refused = true;
  std::string bytes;
};

Task<void> read_all(s3compat::Payload* payload, std::string* bytes) {
  while (true) {
    const Buffer piece = co_await payload->next();
    if (piece.empty()) co_return;
    bytes->append(piece.view());
  }
}

Outcome read(const s3compat::HttpRequest& request, const s3compat::Signer& signer,
             std::string_view body, std::size_t piece_bytes) {
  VirtualClock clock;
  ManualExecutor executor(clock);
  s3compat::Md5Batch md5(executor);
  PieceBody source(body, piece_bytes);
  Outcome outcome;
  s3compat::Payload payload(request, signer, source, md5);
  if (payload.check_headers()) return outcome;
  executor.run(read_all(&payload, &outcome.bytes));
  outcome.refused = payload.failed().has_value();
  if (!outcome.refused) CHECK(outcome.bytes.size() == payload.length());
  return outcome;
}

// Two things end the program today: a trailer without a value, and a checksum by SHA that was not
// announced. See PayloadTest.ATrailerWithoutAValueIsRefused and the one behind it.
bool is_known_trouble(std::string_view body) {
  if (body.find("sha") != std::string_view::npos) return true;
  for (std::size_t at = body.find(':'); at != std::string_view::npos; at = body.find(':', at + 1)) {
    const std::size_t value = body.find_first_not_of(' ', at + 1);
    if (value == std::string_view::npos || body[value] == '\r' || body[value] == '\n') return true;
  }
  return false;
}

constexpr const char* kHashes[] = {
    "STREAMING-UNSIGNED-PAYLOAD-TRAILER", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD",
    "STREAMING-AWS4-HMAC-SHA256-PAYLOAD-TRAILER", "UNSIGNED-PAYLOAD"};

}  // namespace

// The first byte says how it is signed, the second how long it is, the third how it is cut.
std::vector<std::string> seeds() {
  const auto with = [](char hash, char length, const std::string& body) {
    return std::string{hash, length, '\x07'} + body;
  };
  const std::string signature(64, 'a');
  return {with(0, 11, "5\r\nfirst\r\n6\r\nsecond\r\n0\r\nx-amz-checksum-crc32:HWT7/w==\r\n\r\n"),
          with(0, 5, "5;ext=1\r\nfirst\r\n0\r\n\r\n"),
          with(0, 16,
               "10\r\n0123456789abcdef\r\n0\r\nx-amz-meta-a:  b\r\nx-amz-trailer-signature:" +
                   signature + "\r\n\r\n"),
          with(1, 0, "0;chunk-signature=" + signature + "\r\n\r\n"),
          with(1, 1, "1;chunk-signature=" + signature + "\r\nx\r\n"),
          with(2, 0, "0;chunk-signature=" + signature + "\r\na:b\r\n\r\n"),
          with(3, 5, "first")};
}
std::vector<std::string> words() {
  return {"\r\n",
          "\n",
          "0\r\n",
          "0\r\n\r\n",
          "1\r\nx\r\n",
          ";chunk-signature=",
          "x-amz-checksum-crc32:",
          "x-amz-checksum-crc32c:",
          "x-amz-trailer-signature:",
          "ffffffffffffffff",
          "7fffffff"};
}

}  // namespace shoal::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shoal;
  using namespace shoal::fuzz;
  Input in(data, size);
  s3compat::Signer signer;
  signer.payload_hash = kHashes[in.below(std::size(kHashes))];
  signer.signature = std::string(64, '0');
  s3compat::HttpRequest request;
  request.headers.emplace_back("x-amz-decoded-content-length",
                               std::to_string(in.take<std::uint8_t>()));
  const std::size_t piece_bytes = 1 + in.below(32);
  const std::string_view body = in.rest();
  if (is_known_trouble(body)) return 0;
  request.has_length = true;
  request.content_length = body.size();
  const Outcome whole = read(request, signer, body, body.size() + 1);
  const Outcome cut = read(request, signer, body, piece_bytes);
  // Behind an empty line in the trailer it depends on the cut whether more of it is looked at.
  if (whole.refused || cut.refused) return 0;
  CHECK(whole.bytes == cut.bytes);
  return 0;
}
