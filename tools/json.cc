#include "tools/json.h"

#include <unistd.h>

#include <cstdio>
#include <fstream>

namespace shoal::tools {

void JsonWriter::field(std::string_view key, double number) {
  start(key);
  char text[32];
  std::snprintf(text, sizeof text, "%.3f", number);
  text_ += text;
}

void JsonWriter::quote(std::string_view text) {
  text_.push_back('"');
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      text_.push_back('\\');
      text_.push_back(c);
    } else if (static_cast<unsigned char>(c) < 0x20) {
      char escape[8];
      std::snprintf(escape, sizeof escape, "\\u%04x", c);
      text_ += escape;
    } else {
      text_.push_back(c);
    }
  }
  text_.push_back('"');
}

std::uint64_t resident_bytes(pid_t pid) {
  std::ifstream statm("/proc/" + std::to_string(pid) + "/statm");
  std::uint64_t total = 0;
  std::uint64_t resident = 0;
  statm >> total >> resident;
  return resident * static_cast<std::uint64_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace shoal::tools
