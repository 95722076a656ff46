#include "tests/sim/sim_disk.h"

#include <algorithm>
#include <cstring>

namespace shoal::sim {
namespace {

constexpr std::size_t kSectorBytes = 512;
constexpr std::uint64_t kBytesPerSecond = 400ULL << 20;

}  // namespace

// A file of the disk, opened by one process. A failed write or flush poisons it for that process.
class SimDevice final : public BlockDevice {
 public:
  SimDevice(SimDisk& disk, SimExecutor& executor, SimDisk::FilePtr file, std::string name)
      : disk_(disk), executor_(executor), file_(std::move(file)), name_(std::move(name)) {}

  std::uint64_t size_bytes() const override { return file_->size(); }
  const std::string& name() const override { return name_; }
  std::uint64_t flush_count() const override { return flush_count_; }

  Task<Status> write(std::uint64_t offset, BufferList pieces, WriteMode mode) override;
  Task<Result<Buffer>> read(std::uint64_t offset, std::size_t length) override;
  Task<Status> flush() override;

 private:
  SimDisk& disk_;
  SimExecutor& executor_;
  const SimDisk::FilePtr file_;
  const std::string name_;
  std::uint64_t flush_count_ = 0;
  Status poisoned_;
};

class SimDirectory final : public BlockDirectory {
 public:
  SimDirectory(SimDisk& disk, SimExecutor& executor) : disk_(disk), executor_(executor) {}

  const std::string& path() const override { return disk_.name_; }
  Task<Result<std::vector<std::string>>> list() override;
  Task<Result<std::unique_ptr<BlockDevice>>> open(std::string name) override;
  Task<Result<std::unique_ptr<BlockDevice>>> create(std::string name, std::uint64_t size_bytes,
                                                    bool prewrite) override;
  bool prewriting_helps() const override { return true; }
  Task<Status> remove(std::string name) override;
  Task<Status> rename(std::string from, std::string to) override;
  Task<Status> check_present() override;
  Result<Space> space() override;

 private:
  Task<Status> change_names(SimDisk::NameChange change);
  std::unique_ptr<BlockDevice> device(const std::string& name, const SimDisk::FilePtr& file) {
    return std::make_unique<SimDevice>(disk_, executor_, file, disk_.name_ + "/" + name);
  }

  SimDisk& disk_;
  SimExecutor& executor_;
};

Task<Status> SimDevice::write(std::uint64_t offset, BufferList pieces, WriteMode mode) {
  const std::uint64_t bytes = total_size(pieces);
  CHECK(offset % kPageSize == 0 && bytes % kPageSize == 0);
  if (offset + bytes > file_->size()) co_return OutOfRangeError("past the end of " + name_);
  if (!poisoned_.ok()) co_return poisoned_;
  if (mode == WriteMode::kDurable) ++flush_count_;
  const std::uint64_t write = disk_.begin_write(*file_, offset, pieces);
  const bool fails = disk_.simulator_.chance(disk_.faults_.write_error_per_mille);
  const Status begun = co_await disk_.begin_operation(&executor_, bytes, true);
  if (!begun.ok() || fails) {
    // What reached the medium is unknown: the pages stay as written and not flushed.
    poisoned_ = begun.ok() ? IoError("writing " + name_ + ": the simulated medium failed") : begun;
    co_return poisoned_;
  }
  disk_.end_write(*file_, offset, pieces, write, mode == WriteMode::kDurable);
  disk_.count_moment();
  co_return OkStatus();
}

Task<Result<Buffer>> SimDevice::read(std::uint64_t offset, std::size_t length) {
  CHECK(offset % kPageSize == 0 && length % kPageSize == 0);
  if (offset + length > file_->size()) co_return OutOfRangeError("past the end of " + name_);
  const bool fails = disk_.simulator_.chance(disk_.faults_.read_error_per_mille);
  CO_RETURN_IF_ERROR(co_await disk_.begin_operation(&executor_, length, false));
  if (fails) co_return IoError("reading " + name_ + ": the simulated medium failed");
  co_return Buffer::copy_of(std::span<const std::byte>(file_->current).subspan(offset, length));
}

Task<Status> SimDevice::flush() {
  if (!poisoned_.ok()) co_return poisoned_;
  ++flush_count_;
  const std::uint64_t ended_by = disk_.moments_;
  const Status begun = co_await disk_.begin_operation(&executor_, 0, true);
  if (!begun.ok()) {
    poisoned_ = begun;
    co_return begun;
  }
  if (!disk_.faults_.lies_about_flushes) disk_.make_durable(*file_, ended_by);
  disk_.count_moment();
  co_return OkStatus();
}

Task<Result<std::vector<std::string>>> SimDirectory::list() {
  CO_RETURN_IF_ERROR(co_await disk_.begin_operation(&executor_, 0, false));
  std::vector<std::string> names;
  for (const auto& [name, file] : disk_.names_) names.push_back(name);
  co_return names;
}

Task<Result<std::unique_ptr<BlockDevice>>> SimDirectory::open(std::string name) {
  CO_RETURN_IF_ERROR(co_await disk_.begin_operation(&executor_, 0, false));
  const auto found = disk_.names_.find(name);
  if (found == disk_.names_.end()) co_return NotFoundError(name + " is not there");
  co_return device(name, found->second);
}

Task<Result<std::unique_ptr<BlockDevice>>> SimDirectory::create(std::string name,
                                                                std::uint64_t size_bytes,
                                                                bool prewrite) {
  if (disk_.names_.contains(name)) co_return AlreadyExistsError(name + " exists");
  if (disk_.used_bytes() + size_bytes > disk_.capacity_bytes_)
    co_return NoSpaceError("the simulated disk is full");
  const std::uint64_t number = disk_.next_write_++;
  disk_.making_[number] = {name, size_bytes};
  const Status begun = co_await disk_.begin_operation(&executor_, prewrite ? size_bytes : 0, true);
  disk_.making_.erase(number);
  if (!begun.ok()) co_return begun;
  auto file = std::make_shared<SimDisk::File>();
  file->current.resize(size_bytes);
  file->durable.resize(size_bytes);
  file->written.resize(size_bytes / kPageSize);
  disk_.names_[name] = file;
  disk_.count_moment();
  co_return device(name, file);
}

Task<Status> SimDirectory::change_names(SimDisk::NameChange change) {
  if (!disk_.names_.contains(change.from)) co_return NotFoundError(change.from + " is not there");
  const std::uint64_t number = disk_.next_write_++;
  disk_.changing_[number] = change;
  const Status begun = co_await disk_.begin_operation(&executor_, 0, true);
  disk_.changing_.erase(number);
  if (!begun.ok()) co_return begun;
  disk_.apply(change);
  disk_.count_moment();
  co_return OkStatus();
}

Task<Status> SimDirectory::remove(std::string name) {
  SimDisk::NameChange change{std::move(name), ""};
  co_return co_await change_names(std::move(change));
}

Task<Status> SimDirectory::rename(std::string from, std::string to) {
  SimDisk::NameChange change{std::move(from), std::move(to)};
  co_return co_await change_names(std::move(change));
}

Task<Status> SimDirectory::check_present() {
  if (disk_.faults_.unplugged) co_return IoError(disk_.name_ + " is not there");
  co_return OkStatus();
}

Result<BlockDirectory::Space> SimDirectory::space() {
  const std::uint64_t used = disk_.used_bytes();
  return Space{disk_.capacity_bytes_,
               disk_.capacity_bytes_ - std::min(disk_.capacity_bytes_, used)};
}

Result<std::unique_ptr<BlockDirectory>> SimDisk::open(SimExecutor& executor) {
  if (faults_.unplugged) return NotFoundError(name_ + " is not there");
  return std::unique_ptr<BlockDirectory>(std::make_unique<SimDirectory>(*this, executor));
}

// Waits for as long as the operation takes.
Task<Status> SimDisk::begin_operation(SimExecutor* executor, std::uint64_t bytes, bool changes) {
  if (changes) count_moment();
  const Duration transfer(static_cast<std::int64_t>(bytes * 1'000'000'000 / kBytesPerSecond));
  const Duration wait = transfer + simulator_.between(faults_.min_latency, faults_.max_latency);
  const bool hangs = faults_.hangs;
  hung_ = hung_ || hangs;
  co_await sleep_until(hangs ? MonotonicTime::max() : executor->now() + wait);
  co_return faults_.unplugged ? IoError(name_ + " was taken away") : OkStatus();
}

void SimDisk::apply(const NameChange& change) {
  auto file = names_.extract(change.from);
  if (file.empty() || change.to.empty()) return;
  names_[change.to] = std::move(file.mapped());
}

void SimDisk::count_moment() {
  ++moments_;
  if (at_moment) at_moment(moments_);
}

std::uint64_t SimDisk::used_bytes() const {
  std::uint64_t used = 0;
  for (const auto& [name, file] : names_) used += file->size();
  for (const auto& [number, making] : making_) used += making.size;
  return used;
}

std::map<std::string, std::uint64_t> SimDisk::files() const {
  std::map<std::string, std::uint64_t> sizes;
  for (const auto& [name, file] : names_) sizes[name] = file->size();
  return sizes;
}

std::uint64_t SimDisk::begin_write(File& file, std::uint64_t offset, const BufferList& pieces) {
  const std::uint64_t write = next_write_++;
  std::uint64_t page = offset / kPageSize;
  for (const Buffer& piece : pieces) {
    for (std::size_t at = 0; at < piece.size(); at += kPageSize) {
      Version version{write, 0, {}};
      version.bytes.assign(piece.data() + at, piece.data() + at + kPageSize);
      file.pending[page++].push_back(std::move(version));
    }
  }
  return write;
}

void SimDisk::end_write(File& file, std::uint64_t offset, const BufferList& pieces,
                        std::uint64_t write, bool durable) {
  const std::uint64_t end = offset + total_size(pieces);
  for (std::uint64_t at = offset; at < end; at += kPageSize) {
    const std::uint64_t page = at / kPageSize;
    std::vector<Version>& versions = file.pending[page];
    const auto mine = std::find_if(versions.begin(), versions.end(),
                                   [&](const Version& version) { return version.write == write; });
    CHECK(mine != versions.end());
    mine->ended = moments_ + 1;
    std::memcpy(file.current.data() + at, mine->bytes.data(), kPageSize);
    file.written[page] = true;
    if (!durable || faults_.lies_about_flushes) continue;
    std::memcpy(file.durable.data() + at, mine->bytes.data(), kPageSize);
    // What ended before is overwritten; another write under way stays possible.
    std::erase_if(versions, [](const Version& version) { return version.ended != 0; });
    if (versions.empty()) file.pending.erase(page);
  }
}

void SimDisk::make_durable(File& file, std::uint64_t ended_by) {
  for (auto at = file.pending.begin(); at != file.pending.end();) {
    std::vector<Version>& versions = at->second;
    const Version* newest = nullptr;
    for (const Version& version : versions) {
      if (version.ended != 0 && version.ended <= ended_by &&
          (newest == nullptr || version.ended >= newest->ended)) {
        newest = &version;
      }
    }
    if (newest != nullptr) {
      std::memcpy(file.durable.data() + at->first * kPageSize, newest->bytes.data(), kPageSize);
      const std::uint64_t covered = newest->ended;
      std::erase_if(versions, [&](const Version& version) {
        return version.ended != 0 && version.ended <= covered;
      });
    }
    at = versions.empty() ? file.pending.erase(at) : std::next(at);
  }
}

// Files that were being made are there, in part or not at all; a change of names has happened or
// not.
void SimDisk::settle_under_way() {
  hung_ = false;
  Random& random = simulator_.random();
  for (const auto& [number, change] : std::exchange(changing_, {})) {
    if (random.below(2) == 0) apply(change);
  }
  for (const auto& [number, making] : std::exchange(making_, {})) {
    const std::uint64_t outcome = random.below(4);
    if (outcome == 0) continue;
    auto file = std::make_shared<File>();
    std::uint64_t size = 0;
    if (outcome == 2) size = making.size;
    if (outcome == 3) size = random.below(making.size / kPageSize) * kPageSize;
    file->current.resize(size);
    file->durable.resize(size);
    file->written.resize(size / kPageSize);
    names_[making.name] = file;
  }
}

void SimDisk::process_died() {
  settle_under_way();
  Random& random = simulator_.random();
  for (const auto& [name, file] : names_) {
    std::map<std::uint64_t, bool> happened;  // by write: it reached the disk, or never did
    for (auto at = file->pending.begin(); at != file->pending.end();) {
      std::vector<Version>& versions = at->second;
      for (Version& version : versions) {
        if (version.ended != 0) continue;
        const auto [fate, fresh] = happened.try_emplace(version.write, false);
        if (fresh) fate->second = random.below(2) == 0;
        if (!fate->second) continue;
        version.ended = std::max<std::uint64_t>(moments_, 1);
        std::memcpy(file->current.data() + at->first * kPageSize, version.bytes.data(), kPageSize);
        file->written[at->first] = true;
      }
      std::erase_if(versions, [](const Version& version) { return version.ended == 0; });
      at = versions.empty() ? file->pending.erase(at) : std::next(at);
    }
  }
}

void SimDisk::settle_page(File& file, std::uint64_t page, const std::vector<Version>& versions,
                          PowerLoss kind) {
  Random& random = simulator_.random();
  std::byte* const place = file.durable.data() + page * kPageSize;
  if (kind == PowerLoss::kKeepsAll) {
    std::memcpy(place, versions.back().bytes.data(), kPageSize);
  } else if (kind == PowerLoss::kRandom) {
    const std::uint64_t chosen = random.below(versions.size() + 1);
    if (chosen < versions.size()) std::memcpy(place, versions[chosen].bytes.data(), kPageSize);
  } else if (kind == PowerLoss::kTears) {
    for (std::size_t at = 0; at < kPageSize; at += kSectorBytes) {
      const std::uint64_t chosen = random.below(versions.size() + 1);
      if (chosen < versions.size())
        std::memcpy(place + at, versions[chosen].bytes.data() + at, kSectorBytes);
    }
  }
}

void SimDisk::lose_power(PowerLoss kind) {
  settle_under_way();
  for (const auto& [name, file] : names_) {
    for (const auto& [page, versions] : file->pending) {
      settle_page(*file, page, versions, kind);
      file->written[page] = true;
    }
    file->pending.clear();
    file->current = file->durable;
  }
}

void SimDisk::destroy() {
  names_.clear();
  changing_.clear();
  making_.clear();
  faults_.unplugged = true;
}

bool SimDisk::rot() {
  std::vector<std::pair<File*, std::uint64_t>> pages;
  for (const auto& [name, file] : names_) {
    for (std::uint64_t page = 0; page < file->written.size(); ++page) {
      if (file->written[page] && !file->pending.contains(page))
        pages.emplace_back(file.get(), page);
    }
  }
  if (pages.empty()) return false;
  Random& random = simulator_.random();
  const auto [file, page] = pages[random.below(pages.size())];
  const std::uint64_t at = page * kPageSize + random.below(kPageSize);
  const auto bit = static_cast<std::byte>(1U << random.below(8));
  file->current[at] ^= bit;
  file->durable[at] = file->current[at];
  return true;
}

}  // namespace shoal::sim
