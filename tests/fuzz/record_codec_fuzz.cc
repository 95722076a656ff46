// Summaries of the drive's log: what parses, is written again as the same bytes.
#include "storaged/log/record_codec.h"

#include "base/check.h"
#include "tests/fuzz/fuzz.h"

namespace shoal::fuzz {
namespace {

using storaged::BatchHeader;
using storaged::BatchKind;
using storaged::Record;
using storaged::RecordType;

constexpr storaged::Uuid kDrive{1, 2, 3};
constexpr std::uint32_t kSegment = 7;
constexpr std::uint64_t kGeneration = 9;

Record fragment() {
  Record record;
  record.lsn = 5;
  record.key = {PackId(77), 3, 1};
  record.shape.code = {4, 2, MatrixId::kCauchy};
  record.shape.heights = {4096, 5000, 0, 1};
  record.shape.lease_epoch = 11;
  record.payload_page = 2;
  record.payload_bytes = 5000;
  record.batch_page = 1;
  record.summary_pages = 1;
  return record;
}

// A whole summary as it lies on the drive: header, CRC and all.
void check_batch(std::string_view records, std::uint32_t count, BatchKind kind) {
  BatchHeader header{};
  header.drive_uuid = kDrive;
  header.segment_id = kSegment;
  header.generation = kGeneration;
  header.record_count = count;
  header.kind = kind;
  const Buffer summary = storaged::finish_summary(header, std::string(records));
  CHECK(summary.size() % kPageSize == 0);
  const auto view =
      storaged::peek_batch(summary.span().first(kPageSize), kDrive, kSegment, kGeneration);
  CHECK(view.ok() && view->summary_pages == summary.size() / kPageSize);
  const auto parsed = storaged::parse_summary(summary.span(), *view);
  const auto alone = storaged::parse_records(records, count, kind == BatchKind::kFooter);
  CHECK(parsed.ok() == alone.ok());
  CHECK(parsed.ok() || parsed.status().code() == StatusCode::kCorruption);
  // Anything but the whole of it is refused.
  if (summary.size() > kPageSize) {
    CHECK(storaged::parse_summary(summary.span().first(kPageSize), *view).status().code() ==
          StatusCode::kCorruption);
  }
}

// A page of anything in the place of a batch.
void check_page(std::string_view bytes) {
  Buffer page = Buffer::zeros(4 * kPageSize);
  std::memcpy(page.mutable_data(), bytes.data(), std::min(bytes.size(), page.size()));
  BatchHeader header{};
  std::memcpy(&header, page.data(), sizeof header);
  header.magic = storaged::kBatchMagic;
  header.drive_uuid = kDrive;
  header.segment_id = kSegment;
  header.generation = kGeneration;
  std::memcpy(page.mutable_data(), &header, sizeof header);
  const auto view =
      storaged::peek_batch(page.span().first(kPageSize), kDrive, kSegment, kGeneration);
  if (!view.ok()) return;
  CHECK(view->header.summary_bytes >= sizeof header);
  const auto parsed = storaged::parse_summary(page.span(), *view);
  CHECK(parsed.ok() || parsed.status().code() == StatusCode::kCorruption);
}

}  // namespace

std::vector<std::string> seeds() {
  std::vector<std::string> all;
  for (const bool footer : {false, true}) {
    std::string bytes{static_cast<char>(footer ? 3 : 2)};
    Record record = fragment();
    if (!footer) {
      record.page_crcs = {1, 2};
      record.directory = {{InodeId(1), 2, 3, 4, 5, 6}};
    }
    storaged::append_record(&bytes, record, footer);
    for (const RecordType type :
         {RecordType::kDeletePack, RecordType::kDeleteRows, RecordType::kSealPack,
          RecordType::kEvictPack}) {
      record.type = type;
      record.rows = {1, 2, 3};
      storaged::append_record(&bytes, record, footer);
      ++bytes[0];
      ++bytes[0];
    }
    all.push_back(bytes);
  }
  return all;
}
std::vector<std::string> words() {
  return {std::string("\xff\xff\xff\xff", 4), std::string("\0\0\x10\0", 4),
          std::string("\x01\0\0\0", 4), "\x01", "\x04"};
}

}  // namespace shoal::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shoal;
  fuzz::Input in(data, size);
  const auto choice = in.take<std::uint8_t>();
  const bool footer = (choice & 1) != 0;
  const std::uint32_t count = choice >> 1;
  const std::string_view bytes = in.rest();
  fuzz::check_page(bytes);
  fuzz::check_batch(bytes, count,
                    footer ? storaged::BatchKind::kFooter : storaged::BatchKind::kData);
  const auto records = storaged::parse_records(bytes, count, footer);
  if (!records.ok()) {
    CHECK(records.status().code() == StatusCode::kCorruption);
    return 0;
  }
  CHECK(records->size() == count);
  std::string again;
  for (const storaged::Record& record : *records) {
    const std::size_t before = again.size();
    storaged::append_record(&again, record, footer);
    CHECK(again.size() - before <= storaged::record_size_bound(record));
    if (record.type == storaged::RecordType::kFragment) CHECK(validate(record.shape).ok());
  }
  CHECK(bytes.starts_with(again));
  return 0;
}
