// A checkpoint store in memory, whose writes are atomic and whose content outlives it.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>

#include "metad/checkpoint/checkpoint_store.h"

namespace shoal::test {

// What a checkpoint store has on its disk, shared by the stores of one test.
struct CheckpointDisk {
  std::map<std::string, std::string> records;
  std::optional<std::uint64_t> position;
  Status fails;
  int writes = 0;

  // For MetadataOptions.
  std::function<Result<std::unique_ptr<metad::CheckpointStore>>()> opener();
};

class MemoryCheckpoint final : public metad::CheckpointStore {
 public:
  explicit MemoryCheckpoint(CheckpointDisk& disk) : disk_(disk) {}
  std::optional<std::uint64_t> position() const override { return disk_.position; }
  Status load(unsigned, const Visit& visit) override {
    for (const auto& [key, value] : disk_.records) RETURN_IF_ERROR(visit(key, value));
    return OkStatus();
  }
  Status write(const metad::CheckpointChanges& changes, std::uint64_t applied_position) override {
    ++disk_.writes;
    if (!disk_.fails.ok()) return disk_.fails;
    changes.for_each([this](std::string_view key, std::optional<std::string_view> value) {
      if (value) {
        disk_.records[std::string(key)] = *value;
      } else {
        disk_.records.erase(std::string(key));
      }
    });
    disk_.position = applied_position;
    return OkStatus();
  }

 private:
  CheckpointDisk& disk_;
};

inline std::function<Result<std::unique_ptr<metad::CheckpointStore>>()> CheckpointDisk::opener() {
  return [this]() -> Result<std::unique_ptr<metad::CheckpointStore>> {
    return std::unique_ptr<metad::CheckpointStore>(std::make_unique<MemoryCheckpoint>(*this));
  };
}

}  // namespace shoal::test
