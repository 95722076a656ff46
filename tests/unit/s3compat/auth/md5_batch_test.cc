// Md5Batch: many bodies that come in pieces of any size give the MD5 that OpenSSL gives each.
#include "s3compat/auth/md5_batch.h"

#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <memory>
#include <string>

#include "base/async/manual_executor.h"
#include "base/random.h"

namespace shoal::s3compat {
namespace {

std::string openssl_md5(const std::string& message) {
  unsigned char digest[16];
  EVP_Digest(message.data(), message.size(), digest, nullptr, EVP_md5(), nullptr);
  return {reinterpret_cast<const char*>(digest), sizeof digest};
}

Task<void> send(Md5Batch* batch, std::string message, std::uint64_t seed, int* right) {
  SeededRandom random(seed);
  Md5Stream stream(*batch);
  std::size_t at = 0;
  while (at < message.size()) {
    const std::size_t n = std::min<std::size_t>(message.size() - at, 1 + random.below(700));
    stream.update(Buffer::copy_of(std::string_view(message).substr(at, n)));
    at += n;
    if (random.below(3) == 0) co_await yield();
    co_await stream.wait_for_room();
  }
  const auto digest = co_await stream.finish();
  const std::string got(reinterpret_cast<const char*>(digest.data()), digest.size());
  if (got == openssl_md5(message)) ++*right;
}

TEST(Md5Batch, ManyBodiesInPieces) {
  VirtualClock clock;
  ManualExecutor executor(clock);
  Md5Batch batch(executor);
  int right = 0;
  constexpr int kBodies = 100;
  executor.post([&] {
    SeededRandom random(5);
    for (int i = 0; i < kBodies; ++i) {
      std::string message(random.below(i % 3 == 0 ? 130 : 20'000), '\0');
      for (char& c : message) c = static_cast<char>(random.below(256));
      spawn(send(&batch, std::move(message), static_cast<std::uint64_t>(i), &right));
    }
  });
  executor.run_until_idle();
  EXPECT_EQ(right, kBodies);
}

TEST(Md5Batch, ABodyThatIsGivenUpLeavesTheOthers) {
  VirtualClock clock;
  ManualExecutor executor(clock);
  Md5Batch batch(executor);
  int right = 0;
  executor.post([&] {
    auto given_up = std::make_unique<Md5Stream>(batch);
    given_up->update(Buffer::zeros(100'000));
    spawn(send(&batch, std::string(100'000, 'x'), 1, &right));
    given_up.reset();
  });
  executor.run_until_idle();
  EXPECT_EQ(right, 1);
}

}  // namespace
}  // namespace shoal::s3compat
