// SimDisk: the block storage of one machine in memory. It outlives the processes that use it, and
// knows for every page what would survive a power loss.
//
// Faults (README.md states the whole model): a write that was not flushed is, page by page, kept,
// lost or torn at 512 bytes; operations take a random time and end in any order; reads and writes
// fail; a failed write poisons its device; pages rot; the disk is slow, full or unplugged.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/io/block_device.h"
#include "tests/sim/simulator.h"

namespace shoal::sim {

// What a power loss does to pages that were written and not flushed.
enum class PowerLoss {
  kKeepsAll,
  kLosesAll,
  kRandom,  // each page is kept or lost
  kTears,   // each 512-byte sector is kept or lost
};
inline constexpr PowerLoss kPowerLosses[] = {PowerLoss::kKeepsAll, PowerLoss::kLosesAll,
                                             PowerLoss::kRandom, PowerLoss::kTears};

struct DiskFaults {
  Duration min_latency = std::chrono::microseconds(20);
  Duration max_latency = std::chrono::milliseconds(2);
  std::uint64_t read_error_per_mille = 0;
  std::uint64_t write_error_per_mille = 0;
  bool hangs = false;      // operations that begin now never end
  bool unplugged = false;  // everything fails until it is plugged in again
  // A canary: what is durable by contract is acknowledged, and is lost at a power loss.
  bool lies_about_flushes = false;
};

class SimDisk {
 public:
  SimDisk(Simulator& simulator, std::string name, std::uint64_t capacity_bytes)
      : simulator_(simulator), name_(std::move(name)), capacity_bytes_(capacity_bytes) {}
  SimDisk(const SimDisk&) = delete;
  SimDisk& operator=(const SimDisk&) = delete;

  // A directory of this disk for a process. Errors: kIoError while the disk is unplugged.
  Result<std::unique_ptr<BlockDirectory>> open(SimExecutor& executor);

  DiskFaults& faults() { return faults_; }
  // The process that used it is dead and nothing of it will run: what was under way may have
  // happened or not; what had ended stays.
  void process_died();
  // And the machine has lost power.
  void lose_power(PowerLoss kind);
  // All of it is gone, for good.
  void destroy();
  // Flips one bit of a page that was written once. Returns whether there was one.
  bool rot();

  // Whether an operation of the process that uses it will never end.
  bool hung() const { return hung_; }

  // Counts the moments at which a crash differs: an operation that changes something begins, or
  // ends. `at_moment` is called at each with its number.
  std::uint64_t moments() const { return moments_; }
  void count_moment();
  std::function<void(std::uint64_t)> at_moment;
  // Every name, with its size.
  std::map<std::string, std::uint64_t> files() const;

 private:
  friend class SimDevice;
  friend class SimDirectory;

  // A page as a write left it.
  struct Version {
    std::uint64_t write = 0;  // its number
    std::uint64_t ended = 0;  // moment of its end; 0: under way
    std::vector<std::byte> bytes;
  };
  struct File {
    std::vector<std::byte> current;                         // what a read sees
    std::vector<std::byte> durable;                         // what a power loss leaves
    std::map<std::uint64_t, std::vector<Version>> pending;  // by page, the oldest first
    std::vector<bool> written;                              // pages that hold something
    std::uint64_t size() const { return current.size(); }
  };
  using FilePtr = std::shared_ptr<File>;
  // Changes of names under way: a crash leaves the state before or after.
  struct NameChange {
    std::string from;
    std::string to;  // empty: the name goes
  };
  struct Making {
    std::string name;
    std::uint64_t size;
  };

  Task<Status> begin_operation(SimExecutor* executor, std::uint64_t bytes, bool changes);
  void apply(const NameChange& change);
  std::uint64_t begin_write(File& file, std::uint64_t offset, const BufferList& pieces);
  void end_write(File& file, std::uint64_t offset, const BufferList& pieces, std::uint64_t write,
                 bool durable);
  void make_durable(File& file, std::uint64_t ended_by);
  void settle_under_way();
  void settle_page(File& file, std::uint64_t page, const std::vector<Version>& versions,
                   PowerLoss kind);
  std::uint64_t used_bytes() const;

  Simulator& simulator_;
  const std::string name_;
  const std::uint64_t capacity_bytes_;
  DiskFaults faults_;
  std::map<std::string, FilePtr> names_;
  std::map<std::uint64_t, NameChange> changing_;
  std::map<std::uint64_t, Making> making_;
  std::uint64_t next_write_ = 1;
  std::uint64_t moments_ = 0;
  bool hung_ = false;
};

}  // namespace shoal::sim
