// A canary for the tests with real processes: a journal that answers first and writes later. Linked
// with --wrap in the place of Journal::write, so that the program's own code has no such thing in
// it.
#include <chrono>
#include <deque>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/async/sync.h"
#include "base/log.h"
#include "metad/journal/journal.h"

namespace shoal::metad {

// What the linker calls instead, and the real one. The names are those of Journal::write.
Task<Status>
write_late(Journal* journal, std::uint64_t first_position, std::vector<std::string_view> commands) asm(
    "__wrap__ZN5shoal5metad7Journal5writeEmSt6vectorISt17basic_string_viewIcSt11char_"
    "traitsIcEESaIS6_"
    "EE");
Task<Status>
write_really(Journal* journal, std::uint64_t first_position, std::vector<std::string_view> commands) asm(
    "__real__ZN5shoal5metad7Journal5writeEmSt6vectorISt17basic_string_viewIcSt11char_"
    "traitsIcEESaIS6_"
    "EE");

namespace {

constexpr Duration kLateness = std::chrono::milliseconds(400);

struct Batch {
  Journal* journal;
  std::uint64_t first_position;
  std::vector<std::string> commands;
  MonotonicTime due;
};
std::deque<Batch> waiting;  // of the one metad of this process
bool running = false;

Task<void> write_what_waits() {
  while (!waiting.empty()) {
    co_await sleep_until(waiting.front().due);
    const Batch batch = std::move(waiting.front());
    waiting.pop_front();
    std::vector<std::string_view> views(batch.commands.begin(), batch.commands.end());
    const Status written =
        co_await write_really(batch.journal, batch.first_position, std::move(views));
    if (!written.ok()) log_error("canary", "too late", {{"status", written}});
  }
  running = false;
}

// Apart from what the linker calls: a coroutine cannot have a name for the assembler.
Task<Status> answer_now(Journal* journal, std::uint64_t first_position,
                        std::vector<std::string_view> commands) {
  waiting.push_back({journal, first_position,
                     std::vector<std::string>(commands.begin(), commands.end()),
                     Executor::current()->now() + kLateness});
  if (!std::exchange(running, true)) spawn(write_what_waits());
  co_return OkStatus();
}

}  // namespace

Task<Status> write_late(Journal* journal, std::uint64_t first_position,
                        std::vector<std::string_view> commands) {
  return answer_now(journal, first_position, std::move(commands));
}

}  // namespace shoal::metad
