#include "storaged/log/superblock.h"

#include <algorithm>
#include <cstring>

#include "base/crc32c.h"
#include "base/encoding.h"
#include "base/log.h"

namespace shoal::storaged {
namespace {

constexpr std::uint64_t kMagic = 0x31304b4c42535348;  // "HSSBLK01"
constexpr int kCopies = 4;
constexpr char kName[] = "superblock";
constexpr std::uint64_t kKnownIncompat = 0;

std::uint32_t crc_of(Superblock block) {
  block.crc = 0;
  return crc32c(std::as_bytes(std::span(&block, 1)));
}

Status check_identity(const Superblock& block, const DriveIdentity& expected,
                      const std::string& where) {
  if (format_uuid(block.cluster_uuid) != expected.cluster_uuid) {
    return InvalidArgumentError(where + " belongs to cluster " + format_uuid(block.cluster_uuid) +
                                ", not to " + expected.cluster_uuid);
  }
  if (format_uuid(block.drive_uuid) != expected.drive_uuid ||
      block.drive_id != expected.drive.value()) {
    return InvalidArgumentError(where + " is drive " + std::to_string(block.drive_id) + " (" +
                                format_uuid(block.drive_uuid) + "), expected drive " +
                                expected.drive.to_string() + " (" + expected.drive_uuid +
                                "): was it swapped?");
  }
  return OkStatus();
}

}  // namespace

Result<Uuid> parse_uuid(const std::string& text) {
  std::string digits;
  for (const char c : text) {
    if (c != '-') digits.push_back(c);
  }
  const auto bytes = hex_decode(digits);
  if (!bytes || bytes->size() != 16) return InvalidArgumentError("'" + text + "' is not a uuid");
  Uuid uuid{};
  std::memcpy(uuid.data(), bytes->data(), uuid.size());
  return uuid;
}

std::string format_uuid(const Uuid& uuid) {
  std::string text = hex_encode({reinterpret_cast<const char*>(uuid.data()), uuid.size()});
  for (const std::size_t at : {8U, 13U, 18U, 23U}) text.insert(at, 1, '-');
  return text;
}

Task<Result<bool>> is_formatted(BlockDirectory& directory) {
  auto names = co_await directory.list();
  if (!names.ok()) co_return names.status();
  co_return std::find(names->begin(), names->end(), kName) != names->end();
}

Task<Status> format_drive(BlockDirectory& directory, DriveIdentity identity,
                          std::uint64_t segment_bytes) {
  Superblock block{};
  block.magic = kMagic;
  block.format_version = kFormatVersion;
  CO_ASSIGN_OR_RETURN(block.cluster_uuid, parse_uuid(identity.cluster_uuid));
  CO_ASSIGN_OR_RETURN(block.drive_uuid, parse_uuid(identity.drive_uuid));
  block.drive_id = identity.drive.value();
  block.segment_bytes = segment_bytes;
  block.crc = crc_of(block);
  // Under another name until it is whole, so that a crash leaves either no superblock or a good
  // one.
  const std::string temporary = std::string(kName) + ".new";
  const Status removed = co_await directory.remove(temporary);
  if (!removed.ok() && removed.code() != StatusCode::kNotFound) co_return removed;
  auto device = co_await directory.create(temporary, kCopies * kPageSize, true);
  if (!device.ok()) co_return device.status();
  Buffer pages = Buffer::zeros(kCopies * kPageSize);
  for (std::size_t copy = 0; copy < kCopies; ++copy) {
    std::memcpy(pages.mutable_data() + copy * kPageSize, &block, sizeof block);
  }
  BufferList pieces;
  pieces.push_back(std::move(pages));
  CO_RETURN_IF_ERROR(co_await (*device)->write(0, std::move(pieces), WriteMode::kDurable));
  device->reset();
  co_return co_await directory.rename(temporary, kName);
}

Task<Status> mend_superblock(BlockDirectory& directory) {
  auto device = co_await directory.open(kName);
  if (!device.ok()) co_return device.status();
  std::vector<std::uint64_t> bad;
  Buffer good;
  for (std::uint64_t copy = 0; copy < kCopies; ++copy) {
    const auto page = co_await (*device)->read(copy * kPageSize, kPageSize);
    Superblock block{};
    if (page.ok()) std::memcpy(&block, page->data(), sizeof block);
    if (!page.ok() || block.magic != kMagic || block.crc != crc_of(block)) {
      bad.push_back(copy);
    } else {
      good = *page;
    }
  }
  if (good.empty())
    co_return CorruptionError("drive " + directory.path() +
                              ": no copy of the superblock verifies");
  for (const std::uint64_t copy : bad) {
    log_error("storaged", "a copy of the superblock did not verify and is written again",
              {{"drive", directory.path()}, {"copy", copy}});
    BufferList pieces;
    pieces.push_back(good);
    CO_RETURN_IF_ERROR(co_await (*device)->write(copy * kPageSize, std::move(pieces),
                                                 WriteMode::kDurable));
  }
  co_return OkStatus();
}

Task<Result<Superblock>> read_superblock(BlockDirectory& directory, DriveIdentity expected) {
  const std::string where = "drive " + directory.path();
  auto device = co_await directory.open(kName);
  if (!device.ok()) {
    if (device.status().code() != StatusCode::kNotFound) co_return device.status();
    co_return NotFoundError(where + " is not formatted: it has no superblock");
  }
  auto pages = co_await (*device)->read(
      0, std::min<std::uint64_t>((*device)->size_bytes(), kCopies * kPageSize));
  if (!pages.ok()) co_return pages.status();
  for (std::size_t at = 0; at + sizeof(Superblock) <= pages->size(); at += kPageSize) {
    Superblock block{};
    std::memcpy(&block, pages->data() + at, sizeof block);
    if (block.magic != kMagic || block.crc != crc_of(block)) continue;
    if (block.format_version > kFormatVersion) {
      co_return NotSupportedError(
          where + " is of format version " + std::to_string(block.format_version) +
          ", newer than this program knows (" + std::to_string(kFormatVersion) + ")");
    }
    if ((block.incompat_features & ~kKnownIncompat) != 0) {
      co_return NotSupportedError(where + " uses features that this program does not know (bits " +
                                  std::to_string(block.incompat_features & ~kKnownIncompat) + ")");
    }
    CO_RETURN_IF_ERROR(check_identity(block, expected, where));
    co_return block;
  }
  co_return CorruptionError(where + ": no copy of the superblock verifies");
}

}  // namespace shoal::storaged
