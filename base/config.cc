#include "base/config.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <sstream>

#include "base/file_io.h"

namespace shoal {
namespace {

std::string canonical(std::string_view name) {
  std::string out(name);
  std::replace(out.begin(), out.end(), '_', '-');
  return out;
}

std::string trim(const std::string& text) {
  const auto from = text.find_first_not_of(" \t\r");
  if (from == std::string::npos) return "";
  return text.substr(from, text.find_last_not_of(" \t\r") - from + 1);
}

template <typename Number>
bool parse_whole(std::string_view text, Number* value) {
  Number number{};
  const auto parsed = std::from_chars(text.data(), text.data() + text.size(), number);
  if (parsed.ec != std::errc() || parsed.ptr != text.data() + text.size()) return false;
  *value = number;
  return true;
}

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  for (std::size_t j = 0; j <= b.size(); ++j) row[j] = j;
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      const std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

}  // namespace

std::string nearest_name(std::string_view name, const std::vector<std::string>& known) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(3, name.size() / 2 + 1);
  for (const std::string& candidate : known) {
    const std::size_t distance = edit_distance(name, candidate);
    if (distance < best_distance) {
      best = candidate;
      best_distance = distance;
    }
  }
  return best;
}

Result<std::uint64_t> parse_size(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, int>, 9> kUnits{{{"KiB", 10},
                                                                    {"MiB", 20},
                                                                    {"GiB", 30},
                                                                    {"TiB", 40},
                                                                    {"K", 10},
                                                                    {"M", 20},
                                                                    {"G", 30},
                                                                    {"T", 40},
                                                                    {"B", 0}}};
  std::uint64_t number = 0;
  for (const auto& [unit, shift] : kUnits) {
    if (!text.ends_with(unit)) continue;
    if (parse_whole(text.substr(0, text.size() - unit.size()), &number) &&
        number <= (UINT64_MAX >> shift)) {
      return number << shift;
    }
    break;
  }
  if (parse_whole(text, &number)) return number;
  return InvalidArgumentError("'" + std::string(text) +
                              "' is not a size such as 4096, 4KiB or 64MiB");
}

std::string format_size(std::uint64_t bytes) {
  constexpr std::array<const char*, 5> kUnits{"B", "KiB", "MiB", "GiB", "TiB"};
  double value = static_cast<double>(bytes);
  std::size_t unit = 0;
  while (value >= 1024 && unit + 1 < kUnits.size()) {
    value /= 1024;
    ++unit;
  }
  char text[32];
  std::snprintf(text, sizeof text, unit == 0 ? "%.0f %s" : "%.1f %s", value, kUnits[unit]);
  return text;
}

void Config::declare(std::string name, Kind kind, void* value, std::string help,
                     std::string default_text) {
  options_.push_back({canonical(name), kind, value, std::move(help), std::move(default_text)});
}
void Config::add(std::string name, std::string* value, std::string help) {
  declare(std::move(name), Kind::kString, value, std::move(help), *value);
}
void Config::add(std::string name, std::uint64_t* value, std::string help) {
  declare(std::move(name), Kind::kNumber, value, std::move(help), std::to_string(*value));
}
void Config::add(std::string name, double* value, std::string help) {
  std::ostringstream text;
  text << *value;
  declare(std::move(name), Kind::kReal, value, std::move(help), text.str());
}
void Config::add(std::string name, bool* value, std::string help) {
  declare(std::move(name), Kind::kBool, value, std::move(help), "");
}
void Config::add_size(std::string name, std::uint64_t* value, std::string help) {
  declare(std::move(name), Kind::kSize, value, std::move(help), format_size(*value));
}
void Config::add_list(std::string name, std::vector<std::string>* values, std::string help) {
  declare(std::move(name), Kind::kList, values, std::move(help), "");
}
void Config::add_words(std::string name, std::vector<std::string>* words, std::string help) {
  words_ = words;
  words_name_ = std::move(name);
  words_help_ = std::move(help);
}

Result<Config::Option*> Config::find(std::string_view name, std::string_view where) {
  const std::string wanted = canonical(name);
  std::vector<std::string> known;
  for (Option& option : options_) {
    if (option.name == wanted) return &option;
    known.push_back(option.name);
  }
  const std::string near = nearest_name(wanted, known);
  return InvalidArgumentError(std::string(where) + " is not known" +
                              (near.empty() ? std::string() : "; did you mean --" + near + "?"));
}

Status Config::set(const Option& option, const std::string& text, const std::string& where) {
  const auto wrong = [&](const std::string& allowed) {
    return InvalidArgumentError(where + ": '" + text + "' is not " + allowed);
  };
  switch (option.kind) {
    case Kind::kString: *static_cast<std::string*>(option.value) = text; break;
    case Kind::kNumber:
      if (!parse_whole(text, static_cast<std::uint64_t*>(option.value)))
        return wrong("a whole number");
      break;
    case Kind::kReal:
      if (!parse_whole(text, static_cast<double*>(option.value))) return wrong("a number");
      break;
    case Kind::kBool:
      if (text != "true" && text != "false") return wrong("true or false");
      *static_cast<bool*>(option.value) = text == "true";
      break;
    case Kind::kSize: {
      const auto size = parse_size(text);
      if (!size.ok()) return size.status().with_context(where);
      *static_cast<std::uint64_t*>(option.value) = *size;
      break;
    }
    case Kind::kList: static_cast<std::vector<std::string>*>(option.value)->push_back(text); break;
  }
  return OkStatus();
}

Status Config::load_file(const std::string& path) {
  ASSIGN_OR_RETURN(const std::string text, read_file(path));
  std::istringstream lines(text);
  int number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    line = trim(line);
    if (line.empty() || line[0] == '#') continue;
    const std::string where = path + ", line " + std::to_string(number);
    const std::size_t equals = line.find('=');
    if (equals == std::string::npos) return InvalidArgumentError(where + ": expected key = value");
    const std::string key = trim(line.substr(0, equals));
    ASSIGN_OR_RETURN(const Option* option, find(key, where + ": key " + key));
    RETURN_IF_ERROR(set(*option, trim(line.substr(equals + 1)), where + ": " + key));
  }
  return OkStatus();
}

Status Config::load_environment() {
  for (const Option& option : options_) {
    std::string name = "SHOAL_";
    for (const char c : option.name) {
      name.push_back(c == '-' ? '_'
                              : static_cast<char>(std::toupper(static_cast<unsigned char>(c))));
    }
    const char* value = std::getenv(name.c_str());
    if (value != nullptr) RETURN_IF_ERROR(set(option, value, "environment " + name));
  }
  return OkStatus();
}

Status Config::load(const std::vector<std::string>& arguments) {
  constexpr std::string_view kFlag = "--config";
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    if (arguments[i] == kFlag && i + 1 < arguments.size())
      RETURN_IF_ERROR(load_file(arguments[i + 1]));
    if (arguments[i].starts_with("--config="))
      RETURN_IF_ERROR(load_file(arguments[i].substr(kFlag.size() + 1)));
  }
  RETURN_IF_ERROR(load_environment());
  return load_flags(arguments);
}

Status Config::load_flags(const std::vector<std::string>& arguments) {
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (argument == "--help" || argument == "-h") {
      wants_help_ = true;
      return OkStatus();
    }
    if (argument == "--config") {
      if (++i >= arguments.size()) return InvalidArgumentError("--config needs a file");
      continue;
    }
    if (argument.starts_with("--config=")) continue;
    if (!argument.starts_with("--")) {
      if (words_ == nullptr) return InvalidArgumentError("'" + argument + "' is not expected here");
      words_->push_back(argument);
      continue;
    }
    const std::size_t equals = argument.find('=');
    const std::string name = argument.substr(2, equals == std::string::npos ? equals : equals - 2);
    const std::string flag = "--" + name;
    ASSIGN_OR_RETURN(const Option* option, find(name, flag));
    if (equals != std::string::npos) {
      RETURN_IF_ERROR(set(*option, argument.substr(equals + 1), flag));
    } else if (option->kind == Kind::kBool) {
      *static_cast<bool*>(option->value) = true;
    } else if (i + 1 < arguments.size()) {
      RETURN_IF_ERROR(set(*option, arguments[++i], flag));
    } else {
      return InvalidArgumentError(flag + " needs a value");
    }
  }
  return OkStatus();
}

std::string Config::help() const {
  std::string text = "Usage: " + program_ + " [--flag VALUE]...";
  if (words_ != nullptr) text += " " + words_name_;
  text += "\n\n" + purpose_ + "\n\n";
  if (words_ != nullptr && !words_help_.empty())
    text += "  " + words_name_ + "  " + words_help_ + "\n";
  for (const Option& option : options_) {
    std::string left = "  --" + option.name + (option.kind == Kind::kBool ? "" : " VALUE");
    left.resize(std::max<std::size_t>(left.size() + 2, 28), ' ');
    text += left + option.help;
    if (!option.default_text.empty()) text += " (default " + option.default_text + ")";
    text += "\n";
  }
  return text +
         "  --config FILE             read options from a file of `key = value` lines first\n";
}

}  // namespace shoal
