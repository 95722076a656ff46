#include "base/bucket_name.h"

#include <algorithm>

namespace shoal {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_alphanumeric(char c) { return (c >= 'a' && c <= 'z') || is_digit(c); }

bool is_label(std::string_view label) {
  return !label.empty() && is_alphanumeric(label.front()) && is_alphanumeric(label.back()) &&
         std::all_of(label.begin(), label.end(),
                     [](char c) { return is_alphanumeric(c) || c == '-'; });
}

}  // namespace

bool is_bucket_name(std::string_view name) {
  if (name.size() < 3 || name.size() > 63) return false;
  int labels = 0;
  bool only_digits = true;
  while (true) {
    const std::size_t dot = name.find('.');
    const std::string_view label = name.substr(0, dot);
    if (!is_label(label)) return false;
    ++labels;
    only_digits =
        only_digits && label.size() <= 3 && std::all_of(label.begin(), label.end(), is_digit);
    if (dot == std::string_view::npos) break;
    name.remove_prefix(dot + 1);
  }
  return labels != 4 || !only_digits;
}

}  // namespace shoal
