// A drive under crashes: writes, retries, deletions, evictions and seals side by side, in segments
// so small that they roll, are sealed, cleaned and recycled all the time.
#include <map>

#include "base/crc32c.h"
#include "storaged/store/drive.h"
#include "tests/crash/scenarios.h"

namespace shoal::crash {
namespace {

using storaged::Drive;
using storaged::DriveOptions;

enum class State { kNone, kBegun, kDone };

struct Fragment {
  std::uint32_t bytes = 0;
  State written = State::kNone;
};
struct Pack {
  State deleted = State::kNone;
  std::uint64_t sealed = 0;      // epoch promised
  std::uint64_t seal_begun = 0;  // asked for
  std::map<std::uint32_t, State> deleted_rows;
  bool evicted = false;  // begun; what comes later would count again, and is not tried
  std::uint32_t next_row = 0;
};

std::byte content_byte(const FragmentKey& key, std::size_t at) {
  const std::uint64_t mixed =
      (key.pack.value() * 1000003 + key.row * 131 + key.column * 17 + at / 8) * 0x9e3779b97f4a7c15;
  return static_cast<std::byte>(mixed >> (at % 8 * 8));
}

Buffer content_of(const FragmentKey& key, std::uint32_t bytes) {
  Buffer content = Buffer::allocate(bytes);
  for (std::size_t i = 0; i < bytes; ++i) content.mutable_data()[i] = content_byte(key, i);
  return content;
}

class DriveScenario final : public Scenario {
 public:
  DriveScenario(std::uint64_t seed, DriveScenarioOptions options)
      : Scenario(seed), options_(options), script_(seed * 31 + 7) {
    disk.faults().lies_about_flushes = options.lies_about_flushes;
  }

  Task<Status> open() override;
  Task<void> work() override;
  Task<void> check() override;
  Task<void> close() override {
    co_await drive_->close();
    drive_.reset();
  }
  void abandon() override { (void)drive_.release(); }

 private:
  WriteFragmentRequest request_of(const FragmentKey& key, std::uint32_t bytes) const;
  Task<void> write(FragmentKey key, std::uint32_t bytes);
  Task<void> delete_pack(PackId id);
  Task<void> delete_rows(PackId id, std::vector<std::uint32_t> rows);
  Task<void> evict(PackId id, std::vector<std::uint32_t> rows);
  Task<void> seal(PackId id, std::uint64_t epoch);
  void add_step(std::vector<Task<void>>* side_by_side);
  void add_write(std::vector<Task<void>>* side_by_side);
  void add_change(std::vector<Task<void>>* side_by_side);
  PackId random_pack();
  Task<void> check_fragment(FragmentKey key, Fragment fragment);
  Task<void> check_seals();
  bool gone(const FragmentKey& key) const;  // promised
  bool may_be_gone(const FragmentKey& key) const;

  const DriveScenarioOptions options_;
  SeededRandom script_;  // what is done: not disturbed by when the crash is
  std::unique_ptr<Drive> drive_;
  std::map<FragmentKey, Fragment> fragments_;
  std::map<PackId, Pack> packs_;
  std::uint64_t next_pack_ = 1;
};

Task<Status> DriveScenario::open() {
  auto directory = disk.open(*executor);
  if (!directory.ok()) co_return directory.status();
  DriveOptions options;
  options.identity = {"11111111-1111-4111-8111-111111111111",
                      "22222222-2222-4222-8222-222222222222", DriveId(1)};
  options.segment_bytes = options_.segment_bytes;
  options.max_bytes = options_.segment_bytes * options_.segments;
  options.format_if_empty = true;
  auto opened = co_await Drive::open(std::move(*directory), options);
  if (!opened.ok()) co_return opened.status();
  drive_ = std::move(*opened);
  co_return OkStatus();
}

WriteFragmentRequest DriveScenario::request_of(const FragmentKey& key, std::uint32_t bytes) const {
  WriteFragmentRequest request;
  request.drive = DriveId(1);
  request.key = key;
  request.shape.code = {2, 1, MatrixId::kCauchy};
  request.shape.heights[0] = bytes;
  request.shape.lease_epoch = 5;
  request.payload.push_back(content_of(key, bytes));
  request.page_crcs = page_crc32cs(request.payload[0].span());
  return request;
}

Task<void> DriveScenario::write(FragmentKey key, std::uint32_t bytes) {
  Fragment& fragment = fragments_[key];
  fragment.bytes = bytes;
  if (fragment.written == State::kNone) fragment.written = State::kBegun;
  const Status written = co_await drive_->write_fragment(request_of(key, bytes));
  simulator.trace("write " + written.to_string(), key.pack.value(), key.row);
  if (written.ok()) {
    fragments_[key].written = State::kDone;
  } else if (written.code() != StatusCode::kFenced && written.code() != StatusCode::kNoSpace) {
    fail("writing " + key.pack.to_string() + "/" + std::to_string(key.row) + ": " +
         written.to_string());
  }
}

Task<void> DriveScenario::delete_pack(PackId id) {
  const Status deleted = co_await drive_->delete_pack(id);
  simulator.trace("delete pack " + deleted.to_string(), id.value());
  if (deleted.ok()) packs_[id].deleted = State::kDone;
  if (!deleted.ok()) fail("deleting a pack: " + deleted.to_string());
}

Task<void> DriveScenario::delete_rows(PackId id, std::vector<std::uint32_t> rows) {
  for (const std::uint32_t row : rows) {
    State& state = packs_[id].deleted_rows[row];
    if (state == State::kNone) state = State::kBegun;
  }
  const Status deleted = co_await drive_->delete_rows(id, rows);
  for (const std::uint32_t row : rows)
    simulator.trace("delete row " + deleted.to_string(), id.value(), row);
  if (!deleted.ok()) fail("deleting rows: " + deleted.to_string());
  for (const std::uint32_t row : rows) packs_[id].deleted_rows[row] = State::kDone;
}

// `rows` were there before it began; others may be older or newer than it.
Task<void> DriveScenario::evict(PackId id, std::vector<std::uint32_t> rows) {
  const Status evicted = co_await drive_->evict_pack(id);
  simulator.trace("evict " + evicted.to_string(), id.value());
  if (!evicted.ok()) fail("evicting: " + evicted.to_string());
  for (const std::uint32_t row : rows) packs_[id].deleted_rows[row] = State::kDone;
}

Task<void> DriveScenario::seal(PackId id, std::uint64_t epoch) {
  const Status sealed = co_await drive_->seal_pack(id, epoch);
  if (!sealed.ok()) fail("sealing: " + sealed.to_string());
  packs_[id].sealed = std::max(packs_[id].sealed, epoch);
}

PackId DriveScenario::random_pack() {
  auto at = packs_.begin();
  std::advance(at, static_cast<std::ptrdiff_t>(script_.below(packs_.size())));
  return at->first;
}

void DriveScenario::add_write(std::vector<Task<void>>* side_by_side) {
  std::vector<PackId> open;
  for (const auto& [id, pack] : packs_) {
    if (pack.deleted == State::kNone && pack.seal_begun == 0 && !pack.evicted) open.push_back(id);
  }
  if (open.size() < 3) {
    open.push_back(PackId(next_pack_++));
    packs_[open.back()];
  }
  const PackId id = open[script_.below(open.size())];
  Pack& pack = packs_[id];
  const std::uint32_t sizes[] = {300, 4096, 9000, options_.large_bytes};
  const FragmentKey key{id, pack.next_row++, 0};
  const std::uint32_t bytes = sizes[script_.below(4)];
  side_by_side->push_back(write(key, bytes));
  // A retry that comes beside the first try.
  if (script_.below(8) == 0) side_by_side->push_back(write(key, bytes));
}

void DriveScenario::add_change(std::vector<Task<void>>* side_by_side) {
  const PackId id = random_pack();
  Pack& pack = packs_[id];
  const std::uint64_t what = script_.below(9);
  if (what == 8 && pack.deleted == State::kNone) {
    std::vector<std::uint32_t> rows;
    for (std::uint32_t row = 0; row < pack.next_row; ++row) {
      State& state = pack.deleted_rows[row];
      if (state == State::kNone) state = State::kBegun;
      if (fragments_[{id, row, 0}].written == State::kDone) rows.push_back(row);
    }
    side_by_side->push_back(evict(id, rows));
    pack.evicted = true;
    return;
  }
  if (what < 3 && packs_.size() > 2) {
    if (pack.deleted != State::kNone) return;
    pack.deleted = State::kBegun;  // from here on nothing is written to it
    side_by_side->push_back(delete_pack(id));
    if (what == 0) side_by_side->push_back(delete_pack(id));
  } else if (what < 6) {
    std::vector<std::uint32_t> rows;
    for (std::uint32_t row = 0; row < pack.next_row; ++row) {
      if (script_.below(3) == 0) rows.push_back(row);
    }
    if (rows.empty() || pack.deleted != State::kNone) return;
    side_by_side->push_back(delete_rows(id, rows));
    if (what == 3) side_by_side->push_back(delete_rows(id, rows));
  } else if (pack.deleted == State::kNone) {
    pack.seal_begun = 5;
    side_by_side->push_back(seal(id, 5));
    if (what == 6) side_by_side->push_back(seal(id, 5));
  }
}

void DriveScenario::add_step(std::vector<Task<void>>* side_by_side) {
  if (packs_.empty() || script_.below(4) != 0) {
    add_write(side_by_side);
  } else {
    add_change(side_by_side);
  }
}

Task<void> run_quietly(Task<void> task, std::shared_ptr<int> running) {
  co_await std::move(task);
  --*running;
}

Task<void> DriveScenario::work() {
  for (int step = 0; step < options_.steps; ++step) {
    std::vector<Task<void>> side_by_side;
    const std::uint64_t count = 1 + script_.below(4);
    while (side_by_side.size() < count) add_step(&side_by_side);
    const auto running = std::make_shared<int>(static_cast<int>(side_by_side.size()));
    for (Task<void>& task : side_by_side) spawn(run_quietly(std::move(task), running));
    while (*running > 0) co_await sleep_for(std::chrono::microseconds(50));
  }
}

bool DriveScenario::gone(const FragmentKey& key) const {
  const Pack& pack = packs_.at(key.pack);
  const auto row = pack.deleted_rows.find(key.row);
  return pack.deleted == State::kDone ||
         (row != pack.deleted_rows.end() && row->second == State::kDone);
}

bool DriveScenario::may_be_gone(const FragmentKey& key) const {
  const Pack& pack = packs_.at(key.pack);
  return pack.deleted != State::kNone || pack.deleted_rows.contains(key.row);
}

Task<void> DriveScenario::check_fragment(FragmentKey key, Fragment fragment) {
  const std::string name = "fragment " + key.pack.to_string() + "/" + std::to_string(key.row);
  ReadFragmentRequest request;
  request.drive = DriveId(1);
  request.key = key;
  request.length = fragment.bytes;
  auto bytes = co_await drive_->read_fragment(request);
  if (bytes.ok()) {
    if (gone(key)) fail(name + " was deleted and is back");
    if (bytes->view() != content_of(key, fragment.bytes).view())
      fail(name + " holds other bytes than were written");
  } else if (bytes.status().code() != StatusCode::kNotFound) {
    fail("reading " + name + ": " + bytes.status().to_string());
  } else if (fragment.written == State::kDone && !may_be_gone(key)) {
    fail(name + " was acknowledged and is gone");
  }
}

Task<void> DriveScenario::check_seals() {
  for (const auto& [id, pack] : packs_) {
    // A deletion may be forgotten once nothing of the pack is left, and the seal with it.
    if (pack.sealed == 0 || pack.deleted != State::kNone || pack.evicted) continue;
    const Status refused = co_await drive_->write_fragment(request_of({id, 1'000'000, 0}, 100));
    if (refused.code() != StatusCode::kFenced) {
      fail("pack " + id.to_string() + " was sealed and takes writes: " + refused.to_string());
    }
  }
}

Task<void> DriveScenario::check() {
  const auto fragments = fragments_;
  for (const auto& [key, fragment] : fragments) co_await check_fragment(key, fragment);
  for (const PackInfo& info : drive_->list_packs(PackId(0), 1'000'000)) {
    const auto known = packs_.find(info.pack);
    if (known == packs_.end()) {
      fail("pack " + info.pack.to_string() + " was never written");
    } else if (known->second.deleted == State::kDone) {
      fail("pack " + info.pack.to_string() + " was deleted and is listed");
    }
    auto all = co_await drive_->list_fragments(info.pack, 0, 1'000'000, FragmentDetail::kRecord);
    if (!all.ok()) {
      fail("listing: " + all.status().to_string());
      continue;
    }
    for (const FragmentInfo& one : *all) {
      if (!fragments.contains(one.key)) fail("a fragment is listed that was never written");
    }
  }
  co_await check_seals();
}

}  // namespace

std::unique_ptr<Scenario> make_drive_scenario(std::uint64_t seed, DriveScenarioOptions options) {
  return std::make_unique<DriveScenario>(seed, options);
}

}  // namespace shoal::crash
