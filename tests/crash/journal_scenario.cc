// A journal under crashes: batches of commands of any size, checkpoints that trim it, files so
// small that they are recycled all the time.
#include <map>

#include "metad/journal/journal.h"
#include "tests/crash/scenarios.h"

namespace shoal::crash {
namespace {

using metad::Journal;

class JournalScenario final : public Scenario {
 public:
  JournalScenario(std::uint64_t seed, JournalScenarioOptions options)
      : Scenario(seed), options_(options), script_(seed * 31 + 7) {
    disk.faults().lies_about_flushes = options.lies_about_flushes;
  }

  Task<Status> open() override;
  Task<void> work() override;
  Task<void> check() override { co_return; }  // opening has compared everything
  Task<void> close() override {
    abandon();
    co_return;
  }
  void abandon() override {
    (void)journal_.release();
    (void)directory_.release();
  }

 private:
  Status replayed(std::uint64_t position, std::string_view command);
  std::string make_command(std::uint64_t position);

  const JournalScenarioOptions options_;
  SeededRandom script_;
  std::unique_ptr<BlockDirectory> directory_;
  std::unique_ptr<Journal> journal_;
  std::map<std::uint64_t, std::string> written_;  // by position, the last try
  std::uint64_t acknowledged_ = 0;                // position
  std::uint64_t checkpoint_ = 0;
  std::uint64_t next_replayed_ = 0;
  std::uint64_t lives_ = 0;
};

std::string JournalScenario::make_command(std::uint64_t position) {
  std::string command = std::to_string(lives_) + "/" + std::to_string(position) + ":";
  const std::uint64_t sizes[] = {10, 300, 3000, 6000};
  command.resize(command.size() + sizes[script_.below(4)], static_cast<char>('a' + position % 26));
  return command;
}

Status JournalScenario::replayed(std::uint64_t position, std::string_view command) {
  if (position != next_replayed_) {
    fail("position " + std::to_string(position) + " was replayed, expected " +
         std::to_string(next_replayed_));
  }
  const auto known = written_.find(position);
  if (known == written_.end() || known->second != command)
    fail("position " + std::to_string(position) + " is not what was written");
  ++next_replayed_;
  return OkStatus();
}

Task<Status> JournalScenario::open() {
  ++lives_;
  auto directory = disk.open(*executor);
  if (!directory.ok()) co_return directory.status();
  directory_ = std::move(*directory);
  next_replayed_ = checkpoint_ + 1;
  auto opened = co_await Journal::open(*directory_, options_.segment_bytes, checkpoint_,
                                       [this](std::uint64_t position, std::string_view command) {
                                         return replayed(position, command);
                                       });
  if (!opened.ok()) co_return opened.status();
  journal_ = std::move(*opened);
  const std::uint64_t last = journal_->last_position();
  if (last < acknowledged_) {
    fail("position " + std::to_string(acknowledged_) + " was acknowledged, the journal ends at " +
         std::to_string(last));
  }
  if (last != std::max(next_replayed_ - 1, checkpoint_)) fail("it ends elsewhere than it says");
  acknowledged_ = last;  // what was replayed has been seen, and stays
  written_.erase(written_.upper_bound(last), written_.end());
  co_return OkStatus();
}

Task<void> JournalScenario::work() {
  for (int batch = 0; batch < options_.batches; ++batch) {
    std::vector<std::string> commands;
    std::vector<std::string_view> views;
    const std::uint64_t first = acknowledged_ + 1;
    const std::uint64_t count = 1 + script_.below(4);
    for (std::uint64_t i = 0; i < count; ++i) commands.push_back(make_command(first + i));
    for (std::uint64_t i = 0; i < count; ++i) {
      written_[first + i] = commands[i];
      views.push_back(commands[i]);
    }
    const Status written = co_await journal_->write(first, views);
    if (!written.ok()) {
      fail("writing: " + written.to_string());
      co_return;
    }
    acknowledged_ += count;
    if (script_.below(6) == 0) {
      // The checkpoint is durable somewhere else before the journal is trimmed.
      checkpoint_ = acknowledged_ - script_.below(std::min<std::uint64_t>(acknowledged_, 3));
      journal_->trim(checkpoint_);
    }
  }
}

}  // namespace

std::unique_ptr<Scenario> make_journal_scenario(std::uint64_t seed,
                                                JournalScenarioOptions options) {
  return std::make_unique<JournalScenario>(seed, options);
}

}  // namespace shoal::crash
