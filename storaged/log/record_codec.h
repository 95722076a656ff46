// Turns records into summaries and back. Everything read is checked: lengths against the bytes
// there are, shapes against the code's limits. Pure functions.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "storaged/log/format.h"

namespace shoal::storaged {

// Appends one record. payload_page is stored as given. In a footer, page CRCs and directories are
// left out.
void append_record(std::string* summary, const Record& record, bool footer);
// Upper bound of what append_record appends.
std::size_t record_size_bound(const Record& record);

// Parses `count` records. Errors: kCorruption naming the record.
Result<std::vector<Record>> parse_records(std::string_view bytes, std::uint32_t count, bool footer);

// A summary with its header in place: `header` with magic, crc and summary_bytes filled in, padded
// to whole pages.
Buffer finish_summary(BatchHeader header, std::string records);

// What a page-aligned place of a segment holds.
struct BatchView {
  BatchHeader header;
  std::uint32_t summary_pages = 0;
};
// Looks only at the first page. Errors: kNotFound when there is no batch of this drive, segment and
// generation (what a torn tail looks like), kNotSupported for a newer format, kCorruption for
// impossible lengths.
Result<BatchView> peek_batch(std::span<const std::byte> first_page, const Uuid& drive_uuid,
                             std::uint32_t segment_id, std::uint64_t generation);
// Whether `summary` is the whole one of this header.
bool summary_crc_matches(std::span<const std::byte> summary, const BatchHeader& header);
// Checks the CRC of the whole summary and parses its records. Errors: kCorruption.
Result<std::vector<Record>> parse_summary(std::span<const std::byte> summary,
                                          const BatchView& view);

template <typename Struct>
std::uint32_t struct_crc(Struct value);

}  // namespace shoal::storaged
