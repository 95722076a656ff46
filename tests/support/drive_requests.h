// What tests of a drive write to it and read from it.
#pragma once

#include "base/crc32c.h"
#include "base/random.h"
#include "proto/storage_api.h"
#include "storaged/log/superblock.h"

namespace shoal::test {

inline const storaged::DriveIdentity kDriveIdentity{"11111111-1111-4111-8111-111111111111",
                                                    "22222222-2222-4222-8222-222222222222",
                                                    DriveId(1)};

// A fragment of column 0 in a 4+2 row: `bytes` random bytes from `seed`.
inline WriteFragmentRequest make_write(PackId pack, std::uint32_t row, std::uint32_t bytes,
                                       std::uint64_t seed, std::uint64_t epoch = 1) {
  WriteFragmentRequest request;
  request.drive = DriveId(1);
  request.key = {pack, row, 0};
  request.shape.code = {4, 2, MatrixId::kCauchy};
  request.shape.heights[0] = bytes;
  request.shape.lease_epoch = epoch;
  Buffer payload = Buffer::allocate(bytes);
  SeededRandom random(seed);
  for (std::size_t i = 0; i < bytes; ++i)
    payload.mutable_data()[i] = static_cast<std::byte>(random.next());
  request.page_crcs = page_crc32cs(payload.span());
  request.payload.push_back(std::move(payload));
  return request;
}

inline ReadFragmentRequest make_read(PackId pack, std::uint32_t row, std::uint32_t offset,
                                     std::uint32_t length) {
  ReadFragmentRequest request;
  request.drive = DriveId(1);
  request.key = {pack, row, 0};
  request.offset = offset;
  request.length = length;
  return request;
}

}  // namespace shoal::test
