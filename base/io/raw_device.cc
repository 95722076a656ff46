#include "base/io/raw_device.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/crc32c.h"

namespace shoal {
namespace {

constexpr std::uint64_t kUnit = 1 << 20;              // of files
constexpr std::uint64_t kMagic = 0x5741524c414f4853;  // "SHOALRAW"
constexpr std::uint32_t kFormatVersion = 1;
constexpr std::uint32_t kPageMagic = 0x50544853;  // "SHTP"
constexpr std::size_t kNameBytes = 48;
constexpr std::size_t kFilesPerPage = 63;
// The table has room for files of this size over the whole device, and a page more.
constexpr std::uint64_t kSmallestCommonFile = 16 << 20;
// Small: while a large write is under way the device serves nobody else.
constexpr std::size_t kZerosAtOnce = 64 << 10;

struct DeviceHeader {
  std::uint64_t magic;
  std::uint32_t version;
  std::uint32_t table_pages;
  std::uint64_t data_offset;
  std::uint32_t reserved;
  std::uint32_t crc32c;  // of what is before it
};
static_assert(sizeof(DeviceHeader) == 32);

struct TableHeader {
  std::uint32_t magic;
  std::uint32_t crc32c;  // of the whole page, this field zero
  std::uint64_t generation;
  std::uint32_t index;
  std::uint8_t reserved[44];
};
struct TableEntry {
  char name[kNameBytes];  // padded with zeros; all zeros: free
  std::uint64_t offset;
  std::uint64_t size;
};
static_assert(sizeof(TableHeader) == sizeof(TableEntry));
static_assert(sizeof(TableHeader) + kFilesPerPage * sizeof(TableEntry) == kPageSize);

template <typename Struct>
std::span<const std::byte> bytes_of(const Struct& value) {
  return std::as_bytes(std::span(&value, 1));
}

std::uint32_t header_crc(const DeviceHeader& header) {
  return crc32c(bytes_of(header).first(offsetof(DeviceHeader, crc32c)));
}

std::uint32_t page_crc(Buffer page) {
  Buffer copy = Buffer::copy_of(page.span());
  std::memset(copy.mutable_data() + offsetof(TableHeader, crc32c), 0, sizeof(std::uint32_t));
  return crc32c(copy.span());
}

bool all_zero(const Buffer& bytes) {
  return std::all_of(bytes.span().begin(), bytes.span().end(),
                     [](std::byte byte) { return byte == std::byte{0}; });
}

std::uint64_t page_offset(std::size_t index, std::uint64_t generation) {
  return kPageSize * (1 + 2 * index + generation % 2);
}

// A piece of a device as a device of its own.
class SliceDevice final : public BlockDevice {
 public:
  SliceDevice(std::shared_ptr<BlockDevice> whole, std::string name, std::uint64_t offset,
              std::uint64_t size)
      : whole_(std::move(whole)), name_(std::move(name)), offset_(offset), size_(size) {}

  std::uint64_t size_bytes() const override { return size_; }
  const std::string& name() const override { return name_; }
  std::uint64_t flush_count() const override { return flush_count_; }

  Task<Status> write(std::uint64_t offset, BufferList pieces, WriteMode mode) override {
    if (offset > size_ || total_size(pieces) > size_ - offset)
      co_return OutOfRangeError("writing beyond the end of " + name_);
    if (mode == WriteMode::kDurable) ++flush_count_;
    co_return co_await whole_->write(offset_ + offset, std::move(pieces), mode);
  }
  Task<Result<Buffer>> read(std::uint64_t offset, std::size_t length) override {
    if (offset > size_ || length > size_ - offset)
      co_return OutOfRangeError("reading beyond the end of " + name_);
    co_return co_await whole_->read(offset_ + offset, length);
  }
  Task<Status> flush() override {
    ++flush_count_;
    co_return co_await whole_->flush();
  }

 private:
  const std::shared_ptr<BlockDevice> whole_;
  const std::string name_;
  const std::uint64_t offset_;
  const std::uint64_t size_;
  std::uint64_t flush_count_ = 0;
};

}  // namespace

bool is_block_device(const std::string& path) {
  struct stat st {};
  return stat(path.c_str(), &st) == 0 && S_ISBLK(st.st_mode);
}

DeviceDirectory::DeviceDirectory(std::string path, std::shared_ptr<BlockDevice> device)
    : path_(std::move(path)), device_(std::move(device)) {}

Task<Result<std::unique_ptr<DeviceDirectory>>> DeviceDirectory::open(IoContext& io,
                                                                     std::string path, bool make) {
  // O_EXCL on a block device: refused while it is mounted or another one has claimed it.
  const int fd = ::open(path.c_str(), O_RDWR | O_DIRECT | O_EXCL | O_CLOEXEC);
  if (fd < 0) {
    co_return errno == EBUSY ? BusyError(path + " is mounted or in use by another process")
                             : ErrnoError(errno, "device " + path);
  }
  std::uint64_t size = 0;
  if (ioctl(fd, BLKGETSIZE64, &size) != 0) {
    const int err = errno;
    close(fd);
    co_return ErrnoError(err, "size of " + path);
  }
  std::shared_ptr<BlockDevice> device = make_file_device(io, fd, path, round_down(size, kPageSize));
  if (size < 64 * kUnit) co_return InvalidArgumentError(path + " is smaller than 64 MiB");
  std::unique_ptr<DeviceDirectory> directory(
      new DeviceDirectory(std::move(path), std::move(device)));
  CO_RETURN_IF_ERROR(co_await directory->load(make));
  co_return directory;
}

Task<Result<std::unique_ptr<DeviceDirectory>>> DeviceDirectory::open_when_free(IoContext& io,
                                                                               std::string path,
                                                                               bool make) {
  co_return co_await shoal::open_when_free(io.loop(), [&] { return open(io, path, make); });
}

Task<Status> DeviceDirectory::load(bool make) {
  auto first = co_await device_->read(0, kUnit);
  if (!first.ok()) co_return first.status();
  DeviceHeader header{};
  std::memcpy(&header, first->data(), sizeof header);
  if (header.magic != kMagic) {
    if (!all_zero(*first)) {
      co_return InvalidArgumentError(
          path_ + " holds something else; if it is not needed, wipe its first MiB and try again");
    }
    if (!make) co_return NotFoundError(path_ + " is blank: no drive was made of it");
    const std::uint64_t places = device_->size_bytes() / kSmallestCommonFile + kFilesPerPage;
    header = {kMagic, kFormatVersion, static_cast<std::uint32_t>(places / kFilesPerPage + 1), 0, 0,
              0};
    header.data_offset = round_up(kPageSize * (1 + 2 * std::uint64_t{header.table_pages}), kUnit);
    header.crc32c = header_crc(header);
    CO_RETURN_IF_ERROR(co_await write_zeros(0, header.data_offset));
    Buffer page = Buffer::zeros(kPageSize);
    std::memcpy(page.mutable_data(), &header, sizeof header);
    BufferList pieces{std::move(page)};
    CO_RETURN_IF_ERROR(co_await device_->write(0, std::move(pieces), WriteMode::kDurable));
  }
  if (header.version > kFormatVersion) {
    co_return NotSupportedError(path_ + " is of format version " + std::to_string(header.version) +
                                ", newer than this program knows: use a newer shoal");
  }
  if (header.crc32c != header_crc(header) || header.data_offset > device_->size_bytes() ||
      header.data_offset < kPageSize * (1 + 2 * std::uint64_t{header.table_pages})) {
    co_return CorruptionError("the header of " + path_ + " is damaged");
  }
  data_offset_ = header.data_offset;
  pages_.resize(header.table_pages);
  for (std::size_t i = 0; i < pages_.size(); ++i) CO_RETURN_IF_ERROR(co_await load_page(i));
  co_return OkStatus();
}

Task<Status> DeviceDirectory::load_page(std::size_t index) {
  TablePage& page = pages_[index];
  page.files.resize(kFilesPerPage);
  auto copies = co_await device_->read(page_offset(index, 0), 2 * kPageSize);
  if (!copies.ok()) co_return copies.status();
  Buffer newest;
  bool blank = true;
  for (std::size_t copy = 0; copy < 2; ++copy) {
    const Buffer bytes = copies->slice(copy * kPageSize, kPageSize);
    TableHeader header{};
    std::memcpy(&header, bytes.data(), sizeof header);
    blank = blank && all_zero(bytes);
    // A copy that was torn while it was written does not count: the other one does.
    if (header.magic != kPageMagic || header.index != index || header.crc32c != page_crc(bytes))
      continue;
    if (header.generation <= page.generation) continue;
    page.generation = header.generation;
    newest = bytes;
  }
  if (blank) co_return OkStatus();
  if (newest.empty())
    co_return CorruptionError("table page " + std::to_string(index) + " of " + path_ +
                              " is damaged in both copies");
  for (std::size_t i = 0; i < kFilesPerPage; ++i) {
    TableEntry entry{};
    std::memcpy(&entry, newest.data() + sizeof(TableHeader) + i * sizeof entry, sizeof entry);
    if (entry.name[0] == '\0') continue;
    File& file = page.files[i];
    file.name.assign(entry.name, strnlen(entry.name, kNameBytes));
    file.offset = entry.offset;
    file.size = entry.size;
    const bool inside = file.offset >= data_offset_ && file.size <= device_->size_bytes() &&
                        file.offset <= device_->size_bytes() - file.size;
    if (!inside || !by_name_.emplace(file.name, index * kFilesPerPage + i).second)
      co_return CorruptionError("file " + file.name + " of " + path_ + " is impossible");
    used_[file.offset] = round_up(file.size, kUnit);
  }
  co_return OkStatus();
}

// *Durable:* the page as it is in memory, or on failure the one before.
Task<Status> DeviceDirectory::write_page(std::size_t index) {
  const auto guard = co_await table_mutex_.lock();
  TablePage& page = pages_[index];
  Buffer bytes = Buffer::zeros(kPageSize);
  TableHeader header{};
  header.magic = kPageMagic;
  header.generation = page.generation + 1;
  header.index = static_cast<std::uint32_t>(index);
  std::memcpy(bytes.mutable_data(), &header, sizeof header);
  for (std::size_t i = 0; i < kFilesPerPage; ++i) {
    const File& file = page.files[i];
    TableEntry entry{};
    std::memcpy(entry.name, file.name.data(), file.name.size());
    entry.offset = file.name.empty() ? 0 : file.offset;
    entry.size = file.name.empty() ? 0 : file.size;
    std::memcpy(bytes.mutable_data() + sizeof header + i * sizeof entry, &entry, sizeof entry);
  }
  header.crc32c = page_crc(bytes);
  std::memcpy(bytes.mutable_data(), &header, sizeof header);
  BufferList pieces{std::move(bytes)};
  CO_RETURN_IF_ERROR(co_await device_->write(page_offset(index, header.generation),
                                             std::move(pieces), WriteMode::kDurable));
  page.generation = header.generation;
  co_return OkStatus();
}

Task<Status> DeviceDirectory::write_zeros(std::uint64_t offset, std::uint64_t size) {
  const Buffer zeros = Buffer::zeros(std::min<std::uint64_t>(kZerosAtOnce, size));
  for (std::uint64_t done = 0; done < size; done += zeros.size()) {
    BufferList pieces{zeros.slice(0, std::min<std::uint64_t>(zeros.size(), size - done))};
    CO_RETURN_IF_ERROR(
        co_await device_->write(offset + done, std::move(pieces), WriteMode::kVolatile));
  }
  co_return co_await device_->flush();
}

Result<std::uint64_t> DeviceDirectory::find_space(std::uint64_t size) const {
  std::uint64_t from = data_offset_;
  for (const auto& [offset, length] : used_) {
    if (offset - from >= size) return from;
    from = offset + length;
  }
  if (from + size <= device_->size_bytes()) return from;
  return NoSpaceError(path_ + " has no room for " + std::to_string(size) + " bytes");
}

Result<std::size_t> DeviceDirectory::free_place() const {
  for (std::size_t page = 0; page < pages_.size(); ++page) {
    for (std::size_t i = 0; i < kFilesPerPage; ++i) {
      if (pages_[page].files[i].name.empty()) return page * kFilesPerPage + i;
    }
  }
  return NoSpaceError("the table of " + path_ + " is full");
}

DeviceDirectory::File& DeviceDirectory::place(std::size_t number) {
  return pages_[number / kFilesPerPage].files[number % kFilesPerPage];
}

std::unique_ptr<BlockDevice> DeviceDirectory::slice(const File& file) const {
  return std::make_unique<SliceDevice>(device_, path_ + ":" + file.name, file.offset, file.size);
}

Task<Result<std::vector<std::string>>> DeviceDirectory::list() {
  std::vector<std::string> names;
  for (const auto& [name, number] : by_name_) names.push_back(name);
  co_return names;
}

Task<Result<std::unique_ptr<BlockDevice>>> DeviceDirectory::open(std::string name) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) co_return NotFoundError(path_ + " has no file " + name);
  co_return slice(place(found->second));
}

Task<Result<std::unique_ptr<BlockDevice>>> DeviceDirectory::create(std::string name,
                                                                   std::uint64_t size_bytes,
                                                                   bool /*prewrite*/) {
  if (name.empty() || name.size() > kNameBytes)
    co_return NameTooLongError("a file name of a device has 1 to " + std::to_string(kNameBytes) +
                               " bytes: " + name);
  if (by_name_.contains(name)) co_return AlreadyExistsError(path_ + " has a file " + name);
  const std::uint64_t size = round_up(size_bytes, kPageSize);
  auto offset = find_space(round_up(size, kUnit));
  if (!offset.ok()) co_return offset.status();
  auto number = free_place();
  if (!number.ok()) co_return number.status();
  // The place and the space are taken before anything is awaited.
  place(*number) = {name, *offset, size};
  used_[*offset] = round_up(size, kUnit);
  Status status = co_await write_zeros(*offset, size);
  if (status.ok()) status = co_await write_page(*number / kFilesPerPage);
  if (!status.ok()) {
    place(*number) = {};
    used_.erase(*offset);
    co_return status;
  }
  by_name_[name] = *number;
  co_return slice(place(*number));
}

Task<Status> DeviceDirectory::remove(std::string name) {
  const auto found = by_name_.find(name);
  if (found == by_name_.end()) co_return OkStatus();
  const std::size_t number = found->second;
  const File old = std::exchange(place(number), {});
  const Status written = co_await write_page(number / kFilesPerPage);
  if (!written.ok()) {
    place(number) = old;
    co_return written;
  }
  by_name_.erase(name);
  used_.erase(old.offset);
  co_return OkStatus();
}

Task<Status> DeviceDirectory::rename(std::string from, std::string to) {
  const auto source = by_name_.find(from);
  if (source == by_name_.end()) co_return NotFoundError(path_ + " has no file " + from);
  const std::size_t number = source->second;
  const auto target = by_name_.find(to);
  const bool replaces = target != by_name_.end();
  const std::size_t replaced = replaces ? target->second : number;
  if (replaced / kFilesPerPage != number / kFilesPerPage)
    co_return NotSupportedError("renaming " + from + " over " + to + " on " + path_ +
                                ": they are in different pages of the table");
  const File old = replaces ? std::exchange(place(replaced), {}) : File{};
  place(number).name = to;
  const Status written = co_await write_page(number / kFilesPerPage);
  if (!written.ok()) {
    place(number).name = from;
    if (replaces) place(replaced) = old;
    co_return written;
  }
  if (replaces) used_.erase(old.offset);
  by_name_.erase(from);
  by_name_[to] = number;
  co_return OkStatus();
}

Task<Status> DeviceDirectory::check_present() {
  co_return is_block_device(path_) ? OkStatus() : IoError("device " + path_ + " is gone");
}

Result<BlockDirectory::Space> DeviceDirectory::space() {
  Space space{device_->size_bytes() - data_offset_, 0};
  std::uint64_t used = 0;
  for (const auto& [offset, size] : used_) used += size;
  space.free_bytes = space.total_bytes - std::min(used, space.total_bytes);
  return space;
}

}  // namespace shoal
