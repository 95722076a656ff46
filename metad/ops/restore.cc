// What makes the state of a dump safe to go on from, though the drives are newer.
#include "metad/ops/ops.h"

namespace shoal::metad {
namespace {

// More ids than can have been given between a dump and its load.
constexpr std::uint64_t kIdGap = std::uint64_t{1} << 32;

}  // namespace

Status restore_state(State& state) {
  State::Globals& globals = state.globals;
  if (globals.next_pack + kIdGap >= kPackSequences)
    return OutOfRangeError("dumps were loaded so often that there are no pack ids left");
  globals.kept_unknown.push_back({globals.next_pack, globals.next_pack + kIdGap});
  globals.next_pack += kIdGap;
  globals.next_inode += kIdGap;
  globals.next_session += kIdGap;
  state.note_global();
  for (auto& [id, pack] : state.packs) {
    if (pack.state != proto::PACK_OPEN) continue;
    pack.state = proto::PACK_CLOSED;
    pack.kept = true;
    state.note_pack(id);
  }
  for (const auto& [id, session] : state.sessions) state.note_session(id);
  state.sessions.clear();
  // Nobody holds an unlinked file any more.
  for (const std::uint64_t id : std::vector<std::uint64_t>(state.held.begin(), state.held.end())) {
    Inode* const inode = state.find(id);
    inode->extras->holders = {0};
    state.unreaped.insert(id);
    state.touch(*inode);
  }
  return OkStatus();
}

}  // namespace shoal::metad
