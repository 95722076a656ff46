#include "storaged/log/record_codec.h"

#include <cstring>

#include "base/crc32c.h"

namespace shoal::storaged {
namespace {

template <typename Number>
void put(std::string* out, Number value) {
  char bytes[sizeof value];
  std::memcpy(bytes, &value, sizeof value);
  out->append(bytes, sizeof value);
}

// Reads numbers off the front; remembers whether it ran out.
class Cursor {
 public:
  explicit Cursor(std::string_view bytes) : bytes_(bytes) {}
  template <typename Number>
  Number take() {
    Number value{};
    if (bytes_.size() < sizeof value) {
      failed_ = true;
      bytes_ = {};
      return value;
    }
    std::memcpy(&value, bytes_.data(), sizeof value);
    bytes_.remove_prefix(sizeof value);
    return value;
  }
  // Whether `count` items of `size` bytes are there.
  bool holds(std::uint64_t count, std::size_t size) const {
    return !failed_ && count <= bytes_.size() / size;
  }
  bool failed() const { return failed_; }

 private:
  std::string_view bytes_;
  bool failed_ = false;
};

constexpr std::size_t kFixedBytes = 64;  // generous bound of a record's fixed part
constexpr std::size_t kDirectoryEntryBytes = 29;

void append_fragment(std::string* out, const Record& record, bool footer) {
  put(out, record.key.row);
  put(out, record.key.column);
  put(out, record.shape.code.k);
  put(out, record.shape.code.m);
  put(out, record.shape.code.matrix);
  put(out, record.shape.lease_epoch);
  for (std::size_t c = 0; c < record.shape.code.k; ++c) put(out, record.shape.heights[c]);
  put(out, record.payload_page);
  put(out, record.payload_bytes);
  if (footer) {
    put(out, record.batch_page);
    put(out, record.summary_pages);
    return;
  }
  put(out, static_cast<std::uint32_t>(record.page_crcs.size()));
  for (const std::uint32_t crc : record.page_crcs) put(out, crc);
  put(out, static_cast<std::uint32_t>(record.directory.size()));
  for (const RowObject& object : record.directory) {
    put(out, object.inode.value());
    put(out, object.file_offset);
    put(out, object.column);
    put(out, object.column_offset);
    put(out, object.length);
    put(out, object.crc32c);
  }
}

Status parse_fragment(Cursor& in, Record* record, bool footer) {
  record->key.row = in.take<std::uint32_t>();
  record->key.column = in.take<std::uint8_t>();
  record->shape.code.k = in.take<std::uint8_t>();
  record->shape.code.m = in.take<std::uint8_t>();
  record->shape.code.matrix = in.take<MatrixId>();
  record->shape.lease_epoch = in.take<std::uint64_t>();
  RETURN_IF_ERROR(validate(record->shape.code));
  for (std::size_t c = 0; c < record->shape.code.k; ++c)
    record->shape.heights[c] = in.take<std::uint32_t>();
  RETURN_IF_ERROR(validate(record->shape));
  record->payload_page = in.take<std::uint32_t>();
  record->payload_bytes = in.take<std::uint32_t>();
  if (record->key.column >= record->shape.code.width() ||
      record->payload_bytes != record->shape.height(record->key.column)) {
    return CorruptionError("a fragment's length is not its column's height");
  }
  if (footer) {
    record->batch_page = in.take<std::uint32_t>();
    record->summary_pages = in.take<std::uint32_t>();
    return OkStatus();
  }
  const auto crcs = in.take<std::uint32_t>();
  if (!in.holds(crcs, 4)) return CorruptionError("more page CRCs than bytes");
  for (std::uint32_t i = 0; i < crcs; ++i) record->page_crcs.push_back(in.take<std::uint32_t>());
  const auto objects = in.take<std::uint32_t>();
  if (!in.holds(objects, kDirectoryEntryBytes))
    return CorruptionError("more directory entries than bytes");
  for (std::uint32_t i = 0; i < objects; ++i) {
    RowObject object;
    object.inode = InodeId(in.take<std::uint64_t>());
    object.file_offset = in.take<std::uint64_t>();
    object.column = in.take<std::uint8_t>();
    object.column_offset = in.take<std::uint32_t>();
    object.length = in.take<std::uint32_t>();
    object.crc32c = in.take<std::uint32_t>();
    record->directory.push_back(object);
  }
  return OkStatus();
}

}  // namespace

std::size_t record_size_bound(const Record& record) {
  return kFixedBytes + 4 * (record.shape.code.k + record.page_crcs.size() + record.rows.size()) +
         kDirectoryEntryBytes * record.directory.size();
}

void append_record(std::string* summary, const Record& record, bool footer) {
  put(summary, record.type);
  put(summary, record.lsn);
  put(summary, record.key.pack.value());
  switch (record.type) {
    case RecordType::kFragment: append_fragment(summary, record, footer); break;
    case RecordType::kDeletePack: break;
    case RecordType::kDeleteRows:
      put(summary, static_cast<std::uint32_t>(record.rows.size()));
      for (const std::uint32_t row : record.rows) put(summary, row);
      break;
    case RecordType::kSealPack: put(summary, record.seal_epoch); break;
    case RecordType::kEvictPack: put(summary, record.evict_below_lsn); break;
  }
}

Result<std::vector<Record>> parse_records(std::string_view bytes, std::uint32_t count,
                                          bool footer) {
  std::vector<Record> records;
  Cursor in(bytes);
  for (std::uint32_t i = 0; i < count; ++i) {
    Record record;
    record.type = in.take<RecordType>();
    record.lsn = in.take<std::uint64_t>();
    record.key.pack = PackId(in.take<std::uint64_t>());
    Status parsed;
    switch (record.type) {
      case RecordType::kFragment: parsed = parse_fragment(in, &record, footer); break;
      case RecordType::kDeletePack: break;
      case RecordType::kDeleteRows: {
        const auto rows = in.take<std::uint32_t>();
        if (!in.holds(rows, 4)) parsed = CorruptionError("more rows than bytes");
        for (std::uint32_t r = 0; parsed.ok() && r < rows; ++r)
          record.rows.push_back(in.take<std::uint32_t>());
        break;
      }
      case RecordType::kSealPack: record.seal_epoch = in.take<std::uint64_t>(); break;
      case RecordType::kEvictPack: record.evict_below_lsn = in.take<std::uint64_t>(); break;
      default: parsed = CorruptionError("unknown type");
    }
    if (parsed.ok() && in.failed()) parsed = CorruptionError("cut short");
    if (!parsed.ok()) {
      return CorruptionError("record " + std::to_string(i) + " of " + std::to_string(count) + ": " +
                             parsed.message());
    }
    records.push_back(std::move(record));
  }
  return records;
}

Buffer finish_summary(BatchHeader header, std::string records) {
  header.magic = kBatchMagic;
  header.format_version = kFormatVersion;
  header.crc = 0;
  header.summary_bytes = static_cast<std::uint32_t>(sizeof header + records.size());
  Buffer summary = Buffer::zeros(round_up(header.summary_bytes, kPageSize));
  std::memcpy(summary.mutable_data(), &header, sizeof header);
  std::memcpy(summary.mutable_data() + sizeof header, records.data(), records.size());
  header.crc = crc32c(summary.span().first(header.summary_bytes));
  std::memcpy(summary.mutable_data(), &header, sizeof header);
  return summary;
}

Result<BatchView> peek_batch(std::span<const std::byte> first_page, const Uuid& drive_uuid,
                             std::uint32_t segment_id, std::uint64_t generation) {
  BatchView view{};
  if (first_page.size() < sizeof view.header) return NotFoundError("no batch");
  std::memcpy(&view.header, first_page.data(), sizeof view.header);
  const BatchHeader& header = view.header;
  if (header.magic != kBatchMagic || header.drive_uuid != drive_uuid ||
      header.segment_id != segment_id || header.generation != generation) {
    return NotFoundError("no batch");
  }
  if (header.format_version > kFormatVersion) {
    return NotSupportedError("a batch of format version " + std::to_string(header.format_version) +
                             ", newer than this program knows (" + std::to_string(kFormatVersion) +
                             ")");
  }
  if (header.summary_bytes < sizeof header)
    return CorruptionError("a summary shorter than its header");
  view.summary_pages = pages_of(header.summary_bytes);
  return view;
}

bool summary_crc_matches(std::span<const std::byte> summary, const BatchHeader& header) {
  const std::size_t used = header.summary_bytes;
  if (used < sizeof header || summary.size() < used) return false;
  BatchHeader clean = header;
  clean.crc = 0;
  const std::uint32_t crc = crc32c(std::as_bytes(std::span(&clean, 1)));
  return crc32c(summary.subspan(sizeof clean, used - sizeof clean), crc) == header.crc;
}

Result<std::vector<Record>> parse_summary(std::span<const std::byte> summary,
                                          const BatchView& view) {
  const std::size_t used = view.header.summary_bytes;
  if (summary.size() < used) return CorruptionError("a summary that is cut short");
  if (!summary_crc_matches(summary, view.header))
    return CorruptionError("a summary whose CRC does not match");
  const std::string_view records(
      reinterpret_cast<const char*>(summary.data()) + sizeof(BatchHeader),
      used - sizeof(BatchHeader));
  return parse_records(records, view.header.record_count, view.header.kind == BatchKind::kFooter);
}

template <typename Struct>
std::uint32_t struct_crc(Struct value) {
  value.crc = 0;
  return crc32c(std::as_bytes(std::span(&value, 1)));
}
template std::uint32_t struct_crc(SegmentHeader);
template std::uint32_t struct_crc(SegmentTrailer);

}  // namespace shoal::storaged
