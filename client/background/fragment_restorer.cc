#include "client/background/fragment_restorer.h"

#include <algorithm>
#include <cstring>

#include "base/async/sync.h"
#include "base/crc32c.h"
#include "base/erasure_code.h"

namespace shoal::client {
namespace {

constexpr Duration kDeadline = std::chrono::seconds(20);

bool has(std::uint32_t mask, std::size_t column) { return (mask >> column & 1) != 0; }

std::string name_of(const FragmentKey& key) {
  return "fragment " + key.pack.to_string() + "/" + std::to_string(key.row) + "/" +
         std::to_string(key.column);
}

// Data columns of the row that are empty: known to be zero.
std::uint32_t zero_columns(const RowShape& shape) {
  std::uint32_t zero = 0;
  for (std::size_t c = 0; c < shape.code.k; ++c)
    if (shape.heights[c] == 0) zero |= std::uint32_t{1} << c;
  return zero;
}

}  // namespace

// Columns with the lowest are read, the others left out: of rows that follow each other, and so lie
// together in the logs, on the same drive, which is then not read there at all, while what is read
// of the others lies close together. With the rows the drives take turns.
std::uint64_t FragmentRestorer::turn(const RestoreJob* job, std::uint8_t column) const {
  constexpr std::uint32_t kRowsOfTurn = 32;
  const auto& map = router_.view().map();
  const std::size_t drives = map == nullptr ? 1 : std::max<std::size_t>(map->drives.size(), 1);
  return (job->group.drives[column].value() + job->key.row / kRowsOfTurn) % drives;
}

Task<Result<Buffer>> FragmentRestorer::read_column(const RestoreJob* job, std::uint8_t column,
                                                   std::uint32_t length) {
  const DriveId drive = job->group.drives[column];
  auto storage = router_.storage(drive);
  if (!storage.ok()) co_return storage.status();
  ReadFragmentRequest request;
  request.drive = drive;
  request.key = job->key;
  request.key.column = column;
  request.length = length;
  request.background = true;
  auto bytes = co_await (*storage)->read_fragment(request, executor_.now() + kDeadline);
  if (bytes.ok() && bytes->size() != length)
    co_return CorruptionError("the drive answered " + std::to_string(bytes->size()) +
                              " bytes instead of " + std::to_string(length));
  co_return bytes;
}

Task<void> FragmentRestorer::read_into(const RestoreJob* job, Column* column) {
  column->bytes = co_await read_column(job, column->column, column->length);
}

// Reads columns until `needed` of them are there; the rest is thrown out.
Task<Status> FragmentRestorer::gather(const RestoreJob* job, std::vector<Column>* columns,
                                      std::size_t needed) {
  std::string trouble;
  std::size_t good = 0;
  std::size_t next = 0;
  while (good < needed && next < columns->size()) {
    const std::size_t end = std::min(columns->size(), next + needed - good);
    TaskScope reads;
    for (std::size_t i = next; i < end; ++i) reads.spawn(read_into(job, &(*columns)[i]));
    co_await reads.join();
    for (; next < end; ++next) {
      const Column& column = (*columns)[next];
      if (column.bytes.ok()) {
        ++good;
      } else {
        trouble += "; column " + std::to_string(column.column) + " on " +
                   router_.view().describe(job->group.drives[column.column]) + ": " +
                   column.bytes.status().message();
      }
    }
  }
  if (good < needed) {
    co_return UnavailableError(name_of(job->key) + " cannot be restored: " + std::to_string(good) +
                               " of " + std::to_string(needed) + " columns can be read" + trouble);
  }
  std::erase_if(*columns, [](const Column& column) { return !column.bytes.ok(); });
  co_return OkStatus();
}

Task<Result<Buffer>> FragmentRestorer::decode(const RestoreJob* job) {
  const RowShape& shape = job->shape;
  const std::uint32_t length = shape.height(job->key.column);
  const std::uint32_t zeros = zero_columns(shape);
  std::vector<std::uint8_t> readable;
  std::size_t zero_count = 0;
  const auto width = static_cast<std::size_t>(shape.code.width());
  for (std::size_t c = 0; c < width; ++c) {
    if (c == job->key.column) continue;
    if (has(zeros, c)) {
      ++zero_count;
    } else if (has(job->present, c) && router_.view().readable(job->group.drives[c])) {
      readable.push_back(static_cast<std::uint8_t>(c));
    }
  }
  std::sort(readable.begin(), readable.end(),
            [&](std::uint8_t a, std::uint8_t b) { return turn(job, a) < turn(job, b); });
  std::vector<Column> columns;
  for (const std::uint8_t c : readable) {
    Column column;
    column.column = c;
    column.length = std::min(length, shape.height(c));
    columns.push_back(std::move(column));
  }
  const std::size_t needed = shape.code.k - std::min<std::size_t>(zero_count, shape.code.k);
  CO_RETURN_IF_ERROR(co_await gather(job, &columns, needed));
  std::array<const std::byte*, kMaxColumns> have{};
  BufferList padded;
  for (const Column& column : columns) {
    have[column.column] = column.bytes->data();
    if (column.length == length) continue;
    Buffer longer = Buffer::zeros(length);
    std::memcpy(longer.mutable_data(), column.bytes->data(), column.length);
    have[column.column] = longer.data();
    padded.push_back(std::move(longer));
  }
  const auto code = ErasureCode::get(shape.code);
  if (!code.ok()) co_return code.status();
  Buffer restored = Buffer::allocate(length);
  const int wanted = job->key.column;
  std::byte* const out = restored.mutable_data();
  CO_RETURN_IF_ERROR(
      (*code)->reconstruct({have.data(), width}, zeros, {&wanted, 1}, {&out, 1}, length));
  co_return restored;
}

Task<std::vector<RowObject>> FragmentRestorer::directory(const RestoreJob* job) {
  const CodeShape& code = job->shape.code;
  for (int c = code.k; c < code.width(); ++c) {
    const auto column = static_cast<std::size_t>(c);
    const DriveId drive = job->group.drives[column];
    const bool same = c == job->key.column;  // what it leaves has it too
    if ((same && drive == job->to) || !router_.view().readable(drive)) continue;
    auto storage = router_.storage(drive);
    if (!storage.ok()) continue;
    FragmentKey key = job->key;
    key.column = static_cast<std::uint8_t>(c);
    auto found = co_await (*storage)->row_directory(drive, key, executor_.now() + kDeadline);
    if (found.ok()) co_return std::move(*found);
  }
  co_return std::vector<RowObject>();
}

Task<Result<std::uint64_t>> FragmentRestorer::restore(RestoreJob job) {
  const std::size_t column = job.key.column;
  const std::uint32_t length = job.shape.height(job.key.column);
  const DriveId from = job.group.drives[column];
  Result<Buffer> bytes = UnavailableError("not read");
  if (from != job.to && has(job.present, column) && router_.view().readable(from))
    bytes = co_await read_column(&job, job.key.column, length);
  if (!bytes.ok()) bytes = co_await decode(&job);
  if (!bytes.ok()) co_return bytes.status();
  auto storage = router_.storage(job.to);
  if (!storage.ok()) co_return storage.status();
  WriteFragmentRequest request;
  request.drive = job.to;
  request.key = job.key;
  request.shape = job.shape;
  request.page_crcs = page_crc32cs(bytes->span());
  if (column >= job.shape.code.k) request.directory = co_await directory(&job);
  request.payload.push_back(std::move(*bytes));
  request.repair = true;
  CO_RETURN_IF_ERROR(
      co_await (*storage)->write_fragment(std::move(request), executor_.now() + kDeadline));
  co_return std::uint64_t{length};
}

}  // namespace shoal::client
