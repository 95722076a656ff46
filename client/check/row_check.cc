#include "client/check/row_check.h"

#include <algorithm>
#include <cstring>

#include "base/async/sync.h"
#include "base/crc32c.h"
#include "base/erasure_code.h"

namespace shoal::client {
namespace {

constexpr Duration kDeadline = std::chrono::seconds(30);

struct Column {
  bool there = false;
  Buffer bytes;   // as stored
  Buffer padded;  // as high as the parity; also decoded, when it is not there
};

class Reader {
 public:
  Reader(const SurveySource* source, const PackAudit* audit, const AuditedRow* row)
      : source_(*source), audit_(*audit), row_(*row), columns_(audit->group.drives.size()) {}

  Task<void> read_all() {
    TaskScope reads;
    for (std::uint8_t c = 0; c < columns_.size(); ++c)
      if ((row_.present >> c & 1) != 0) reads.spawn(read(c));
    co_await reads.join();
  }

  // Each extent against its CRC. What is wrong is decoded from the other columns: that tells a
  // wrong column from a wrong record.
  void check_extents(const std::vector<Extent>& extents) {
    std::uint32_t bad = 0;
    for (const Extent& extent : extents) {
      if (extent.column >= row_.shape.code.k) {
        lose(extent, "names a column that holds no data");
        continue;
      }
      const Column& column = columns_[extent.column];
      if (column.there && !fits(extent, column.bytes.span())) bad |= bit(extent.column);
    }
    for (std::uint8_t c = 0; c < row_.shape.code.k; ++c) {
      if ((bad >> c & 1) == 0) continue;
      columns_[c].there = false;
      note_wrong(c, "its bytes are not those that the metadata promises");
    }
    for (std::uint8_t c = 0; c < row_.shape.code.k; ++c) {
      if (!columns_[c].there) decode_column(c, extents);
    }
  }

  void check_parity() {
    const CodeShape& code = row_.shape.code;
    std::array<const std::byte*, kMaxColumns> data{};
    for (std::size_t c = 0; c < code.k; ++c) {
      if (row_.shape.heights[c] == 0) continue;
      if (columns_[c].padded.empty()) return;  // what its bytes are is not known
      data[c] = columns_[c].padded.data();
    }
    const auto coder = ErasureCode::get(code);
    if (!coder.ok()) return;
    const std::uint32_t height = row_.shape.parity_height();
    std::vector<Buffer> parity;
    std::array<std::byte*, kMaxParityColumns> out{};
    for (std::size_t p = 0; p < code.m; ++p) {
      parity.push_back(Buffer::allocate(height));
      out[p] = parity[p].mutable_data();
    }
    (*coder)->encode({data.data(), code.k}, {out.data(), code.m}, height);
    for (std::size_t p = 0; p < code.m; ++p) {
      const auto c = static_cast<std::uint8_t>(code.k + p);
      if (columns_[c].there && columns_[c].bytes.view() != parity[p].view())
        note_wrong(c, "it is not the parity of its row");
    }
  }

  RowCheck take_result() { return std::move(result_); }

 private:
  static std::uint32_t bit(std::uint8_t column) { return std::uint32_t{1} << column; }

  static bool fits(const Extent& extent, std::span<const std::byte> column) {
    if (extent.column_offset < extent.stored_offset) return false;
    const std::uint64_t begin = extent.column_offset - extent.stored_offset;
    if (begin + extent.stored_length > column.size()) return false;
    return crc32c(column.subspan(begin, extent.stored_length)) == extent.crc32c;
  }

  void note_wrong(std::uint8_t column, const std::string& why) {
    result_.wrong |= bit(column);
    result_.troubles.push_back("fragment " + audit_.pack.to_string() + "/" +
                               std::to_string(row_.row) + "/" + std::to_string(column) +
                               " on drive " + audit_.group.drives[column].to_string() + ": " + why);
  }
  void lose(const Extent& extent, const std::string& why) {
    ++result_.lost_extents;
    result_.troubles.push_back("row " + audit_.pack.to_string() + "/" + std::to_string(row_.row) +
                               ": " + std::to_string(extent.length) + " bytes at " +
                               std::to_string(extent.column_offset) + " of column " +
                               std::to_string(extent.column) + ": " + why);
  }

  Task<void> read(std::uint8_t c) {
    const std::uint32_t height = row_.shape.height(c);
    const DriveInfo* info = source_.map->drive(audit_.group.drives[c]);
    StorageApi* const storage = info == nullptr ? nullptr : source_.storage_of(*info);
    if (height == 0 || storage == nullptr) co_return;
    ReadFragmentRequest request;
    request.drive = info->id;
    request.key = {audit_.pack, row_.row, c};
    request.length = height;
    auto bytes = co_await storage->read_fragment(request, Executor::current()->now() + kDeadline);
    if (bytes.ok() && bytes->size() != height)
      bytes = CorruptionError("the drive answered " + std::to_string(bytes->size()) +
                              " bytes instead of " + std::to_string(height));
    if (!bytes.ok()) {
      note_wrong(c, bytes.status().message());
      co_return;
    }
    result_.bytes_read += height;
    Column& column = columns_[c];
    column.there = true;
    column.bytes = std::move(*bytes);
    column.padded = column.bytes;
    const std::uint32_t full = row_.shape.parity_height();
    if (height < full) {
      column.padded = Buffer::zeros(full);
      std::memcpy(column.padded.mutable_data(), column.bytes.data(), height);
    }
  }

  // A column that is not there, from the others: all of them first, then without one parity column
  // after the other, because that one may be wrong itself. What fits all extents is what it was.
  void decode_column(std::uint8_t column, const std::vector<Extent>& extents) {
    std::vector<const Extent*> here;
    for (const Extent& extent : extents)
      if (extent.column == column) here.push_back(&extent);
    columns_[column].padded = Buffer();
    if (here.empty()) return;
    const CodeShape& code = row_.shape.code;
    std::vector<Buffer> tries;
    std::string why = "no column gives the bytes that the metadata promises";
    for (int without = code.k - 1; without < code.width(); ++without) {
      auto decoded = decode(column, without < code.k ? -1 : without);
      if (decoded.ok()) {
        tries.push_back(std::move(*decoded));
      } else if (tries.empty()) {
        why = decoded.status().message();
      }
    }
    const auto fitting = [&](const Buffer& bytes) {
      return std::all_of(here.begin(), here.end(),
                         [&](const Extent* extent) { return fits(*extent, bytes.span()); });
    };
    const auto good = std::find_if(tries.begin(), tries.end(), fitting);
    if (good != tries.end()) {
      columns_[column].padded = *good;
      return;
    }
    for (const Extent* extent : here) {
      const bool any = std::any_of(tries.begin(), tries.end(), [&](const Buffer& bytes) {
        return fits(*extent, bytes.span());
      });
      if (!any) lose(*extent, why);
    }
  }

  // `without`: a column that is not used, -1: none.
  Result<Buffer> decode(std::uint8_t wanted, int without) const {
    const CodeShape& code = row_.shape.code;
    std::array<const std::byte*, kMaxColumns> have{};
    std::uint32_t zeros = 0;
    for (std::uint8_t c = 0; c < columns_.size(); ++c) {
      if (c < code.k && row_.shape.heights[c] == 0) zeros |= bit(c);
      if (c != wanted && c != without && columns_[c].there) have[c] = columns_[c].padded.data();
    }
    ASSIGN_OR_RETURN(const auto coder, ErasureCode::get(code));
    const std::uint32_t height = row_.shape.parity_height();
    Buffer decoded = Buffer::allocate(height);
    const int column = wanted;
    std::byte* const out = decoded.mutable_data();
    RETURN_IF_ERROR(coder->reconstruct({have.data(), static_cast<std::size_t>(code.width())}, zeros,
                                       {&column, 1}, {&out, 1}, height));
    return decoded;
  }

  const SurveySource& source_;
  const PackAudit& audit_;
  const AuditedRow& row_;
  std::vector<Column> columns_;
  RowCheck result_;
};

}  // namespace

Task<RowCheck> check_row(const SurveySource* source, const PackAudit* audit, const AuditedRow* row,
                         const std::vector<Extent>* extents) {
  Reader reader(source, audit, row);
  co_await reader.read_all();
  reader.check_extents(*extents);
  reader.check_parity();
  co_return reader.take_result();
}

}  // namespace shoal::client
