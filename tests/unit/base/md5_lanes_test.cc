// MD5 in lanes against RFC 1321's vectors and OpenSSL.
#include "base/md5_lanes.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <string>
#include <vector>

#include "base/encoding.h"
#include "base/random.h"

namespace shoal {
namespace {

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text.data(), text.size()));
}

std::string md5_hex(const std::string& message) {
  Md5State state;
  const auto bytes = bytes_of(message);
  const std::size_t blocks = bytes.size() / kMd5BlockBytes;
  if (blocks > 0) {
    const Md5Lane lane{&state, bytes.data()};
    md5_blocks(std::span(&lane, 1), blocks);
  }
  std::array<std::byte, 2 * kMd5BlockBytes> end{};
  const std::size_t last = md5_padding(bytes.subspan(blocks * kMd5BlockBytes), bytes.size(), &end);
  const Md5Lane lane{&state, end.data()};
  md5_blocks(std::span(&lane, 1), last);
  const auto digest = md5_digest(state);
  return hex_encode({reinterpret_cast<const char*>(digest.data()), digest.size()});
}

std::string openssl_md5_hex(const std::string& message) {
  unsigned char digest[16];
  EVP_Digest(message.data(), message.size(), digest, nullptr, EVP_md5(), nullptr);
  return hex_encode({reinterpret_cast<const char*>(digest), sizeof digest});
}

// Source: RFC 1321, appendix A.5.
TEST(Md5Lanes, RfcVectors) {
  EXPECT_EQ(md5_hex(""), "d41d8cd98f00b204e9800998ecf8427e");
  EXPECT_EQ(md5_hex("abc"), "900150983cd24fb0d6963f7d28e17f72");
  EXPECT_EQ(md5_hex("12345678901234567890123456789012345678901234567890123456789012345678901234567"
                    "890"),
            "57edf4a22be3c955ac49da2e2107b67a");
}

TEST(Md5Lanes, EveryLengthAroundABlock) {
  for (std::size_t size = 0; size < 200; ++size) {
    const std::string message(size, static_cast<char>('a' + size % 26));
    EXPECT_EQ(md5_hex(message), openssl_md5_hex(message)) << size;
  }
}

TEST(Md5Lanes, AnyNumberOfLanesAtOnce) {
  SeededRandom random(11);
  constexpr std::size_t kBlocks = 9;
  for (std::size_t count = 1; count <= kMd5Lanes; ++count) {
    std::vector<std::string> messages(count, std::string(kBlocks * kMd5BlockBytes, '\0'));
    std::vector<Md5State> states(count);
    std::vector<Md5Lane> lanes;
    for (std::size_t i = 0; i < count; ++i) {
      for (char& c : messages[i]) c = static_cast<char>(random.below(256));
      lanes.push_back({&states[i], bytes_of(messages[i]).data()});
    }
    md5_blocks(lanes, kBlocks);
    for (std::size_t i = 0; i < count; ++i) {
      std::array<std::byte, 2 * kMd5BlockBytes> end{};
      const std::size_t last = md5_padding({}, messages[i].size(), &end);
      const Md5Lane lane{&states[i], end.data()};
      md5_blocks(std::span(&lane, 1), last);
      const auto digest = md5_digest(states[i]);
      EXPECT_EQ(hex_encode({reinterpret_cast<const char*>(digest.data()), digest.size()}),
                openssl_md5_hex(messages[i]))
          << count << " lanes, lane " << i;
    }
  }
}

}  // namespace
}  // namespace shoal
