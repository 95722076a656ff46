#include "tools/commands/terminal.h"

#include <cstdio>

namespace shoal::tools {
namespace {

void print(const std::string& text, std::FILE* file) {
  std::fwrite(text.data(), 1, text.size(), file);
  std::fflush(file);
}

}  // namespace

void TerminalOutput::out(const std::string& text) { print(text, stdout); }
void TerminalOutput::err(const std::string& text) { print(text, stderr); }

std::string take_flag(Arguments* words, const std::string& name) {
  std::string value;
  for (std::size_t i = 0; i < words->size();) {
    const std::string& word = (*words)[i];
    const auto at = words->begin() + static_cast<std::ptrdiff_t>(i);
    if (word == name && i + 1 < words->size()) {
      value = (*words)[i + 1];
      words->erase(at, at + 2);
    } else if (word.starts_with(name + "=")) {
      value = word.substr(name.size() + 1);
      words->erase(at);
    } else {
      ++i;
    }
  }
  return value;
}

}  // namespace shoal::tools
