#include "storaged/log/scrub_record.h"

#include <cstring>

#include "base/crc32c.h"

namespace shoal::storaged {
namespace {

constexpr char kName[] = "scrub";

std::uint32_t crc_of(ScrubRecord record) {
  record.crc = 0;
  return crc32c(std::as_bytes(std::span(&record, 1)));
}

}  // namespace

Task<ScrubRecord> read_scrub_record(BlockDirectory& directory, Uuid drive_uuid, bool* found) {
  *found = false;
  ScrubRecord none{};
  none.drive_uuid = drive_uuid;
  auto device = co_await directory.open(kName);
  if (!device.ok() || (*device)->size_bytes() < kPageSize) co_return none;
  const auto page = co_await (*device)->read(0, kPageSize);
  if (!page.ok()) co_return none;
  ScrubRecord record{};
  std::memcpy(&record, page->data(), sizeof record);
  if (record.magic != kScrubMagic || record.format_version > kFormatVersion ||
      record.crc != crc_of(record) || record.drive_uuid != drive_uuid) {
    co_return none;
  }
  *found = true;
  co_return record;
}

Task<Status> write_scrub_record(BlockDirectory& directory, ScrubRecord record) {
  auto device = co_await directory.open(kName);
  if (device.ok() && (*device)->size_bytes() < kPageSize) {  // a crash while it was made
    device->reset();
    CO_RETURN_IF_ERROR(co_await directory.remove(kName));
    device = NotFoundError("it was removed");
  }
  if (device.status().code() == StatusCode::kNotFound)
    device = co_await directory.create(kName, kPageSize, true);
  if (!device.ok()) co_return device.status();
  record.magic = kScrubMagic;
  record.format_version = kFormatVersion;
  record.crc = crc_of(record);
  Buffer page = Buffer::zeros(kPageSize);
  std::memcpy(page.mutable_data(), &record, sizeof record);
  BufferList pieces;
  pieces.push_back(std::move(page));
  co_return co_await (*device)->write(0, std::move(pieces), WriteMode::kDurable);
}

}  // namespace shoal::storaged
