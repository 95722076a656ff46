// Names both ways: every component has a name that stands for it, every name for one entry or none.
#include "base/posix_name.h"

#include "base/check.h"
#include "tests/fuzz/fuzz.h"

namespace shoal::fuzz {
namespace {

void check_component(std::string_view raw, bool is_directory, bool shadowed) {
  const std::string view = to_posix_name(raw, is_directory, shadowed);
  CHECK(!view.empty() && view != "." && view != ".." && view.size() <= kMaxPosixName);
  CHECK(view.find('/') == std::string::npos && view.find('\0') == std::string::npos);
  const auto back = from_posix_name(view);
  CHECK(back.ok());
  if (back->is_long) {
    CHECK(raw.starts_with(back->raw));
  } else {
    CHECK(back->raw == raw && back->shadowed_file == shadowed);
  }
}

// Spellings that are not the entry's own name are taken today (".shoal~s~plain", ".shoal~f~."):
// see PosixName.AnEscapeThatIsNotTheNamesOwnIsRefused.
bool is_known_alias(const RawName& name) { return name.shadowed_file; }

void check_name(std::string_view name) {
  const auto raw = from_posix_name(name);
  if (!raw.ok()) {
    CHECK(raw.status().code() == StatusCode::kInvalidArgument ||
          raw.status().code() == StatusCode::kNameTooLong);
    return;
  }
  CHECK(raw->raw.find('/') == std::string::npos);
  if (raw->is_long || is_known_alias(*raw)) return;
  CHECK(to_posix_name(raw->raw, false, raw->shadowed_file) == name);
}

}  // namespace

std::vector<std::string> seeds() {
  std::vector<std::string> all{"plain", ".", "..", "", "caf\xc3\xa9", std::string("a\0b", 3)};
  for (const std::string& raw : std::vector<std::string>(all)) {
    all.push_back(to_posix_name(raw, false, true));
    all.push_back(to_posix_name(raw, true, false));
  }
  all.push_back(std::string(300, 'x'));
  all.push_back(to_posix_name(std::string(300, '\0'), false, false));
  return all;
}
std::vector<std::string> words() {
  return {".shoal~", "e",  "d1",  "d2",  "f~",   "q~",  "z~",
          "s~",      "l~", "%00", "%25", "\xff", "%2f", std::string(1, '\0')};
}

}  // namespace shoal::fuzz

int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace shoal::fuzz;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  check_name(text);
  if (text.find('/') != std::string_view::npos) return 0;  // keys are cut there
  check_component(text, true, false);
  check_component(text, false, false);
  check_component(text, false, true);
  return 0;
}
